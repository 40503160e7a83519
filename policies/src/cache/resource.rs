//! The resources that keep responses, of type `cache` and `cache-redis`: how much they may hold, for how long, and where.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringway_contract::kind::{Part, Services, decode};
use ringway_contract::{Node, Problem, Refusal, Remote as Place, RemoteTls, Source};
use schemars::JsonSchema;
use serde::Deserialize;

use super::remote::Remote;
use super::store::{Bounds, ENTRIES_MAX, Store};
use super::{MEMORY, REDIS};
use crate::redis::{Redis, Sentinels, Server};

/// Configuration of a resource of type `cache`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// A name for people.
    name: String,
    /// Seconds after which an entry goes that nobody asks for; 0: it does not.
    time_to_idle_seconds: u64,
    /// Seconds after which every entry goes; 0: when it is not fresh any more.
    time_to_live_seconds: u64,
    /// Entries at most; 0: as many as there is room for.
    max_entries_local_heap: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { name: String::new(), time_to_idle_seconds: 0, time_to_live_seconds: 0, max_entries_local_heap: 1000 }
    }
}

/// Checks the configuration of such a resource.
pub fn check(node: &Node) -> Vec<Problem> {
    (Part::of::<Config>().check)(node)
}

/// Configuration of a resource of type `cache-redis`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RedisConfig {
    /// A name for people.
    name: String,
    /// Whether the entries go with the API.
    release_cache: bool,
    /// Connections at most.
    max_total: u32,
    /// The password of the server; without, there is no login.
    password: Option<String>,
    /// Seconds after which every entry goes; 0: when it is not fresh any more.
    time_to_live_seconds: u64,
    /// Milliseconds that connecting, and that an answer may take.
    timeout: u64,
    /// Whether the connection is of TLS.
    use_ssl: bool,
    /// PEM of the authorities that sign the server's certificate; without, those of the system. Of Ringway.
    ca: Option<String>,
    /// Whether sentinels say where the server is.
    sentinel_mode: bool,
    standalone: Standalone,
    sentinel: Sentinel,
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            release_cache: false,
            max_total: 8,
            password: None,
            time_to_live_seconds: 0,
            timeout: 2000,
            use_ssl: true,
            ca: None,
            sentinel_mode: false,
            standalone: Standalone::default(),
            sentinel: Sentinel::default(),
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
struct Standalone {
    enabled: bool,
    host: String,
    port: u16,
}

impl Default for Standalone {
    fn default() -> Self {
        Self { enabled: true, host: "localhost".into(), port: 6379 }
    }
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
struct Sentinel {
    enabled: bool,
    master_id: String,
    password: Option<String>,
    nodes: Vec<SentinelNode>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
struct SentinelNode {
    host: String,
    port: u16,
}

impl Default for SentinelNode {
    fn default() -> Self {
        Self { host: "localhost".into(), port: 26_379 }
    }
}

/// Longest and shortest time that connecting or an answer may take, in milliseconds.
const TIMEOUT_MS: (u64, u64) = (10, 60_000);

impl RedisConfig {
    /// The field that is wrong, and what is wrong with it.
    fn server(self) -> Result<Server, (&'static str, String)> {
        let (least, most) = TIMEOUT_MS;
        if !(least..=most).contains(&self.timeout) {
            return Err(("timeout", format!("it is from {least} to {most} milliseconds")));
        }
        let by_sentinels = self.sentinel_mode || self.sentinel.enabled;
        if by_sentinels && (self.sentinel.master_id.is_empty() || self.sentinel.nodes.is_empty()) {
            return Err(("sentinel", "it needs `masterId` and `nodes`".into()));
        }
        if !by_sentinels && self.standalone.host.is_empty() {
            return Err(("standalone", "it needs a `host`".into()));
        }
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let timeout = Duration::from_millis(self.timeout);
        let tls = RemoteTls { authorities: given(self.ca), verify_hostname: true, trust_all: false };
        let Sentinel { master_id, password, nodes, .. } = self.sentinel;
        let sentinels = Sentinels {
            master: master_id,
            nodes: nodes.into_iter().map(|node| (node.host, node.port)).collect(),
            password: given(password),
        };
        let Standalone { host, port, .. } = self.standalone;
        Ok(Server {
            remote: Place { host, port, tls: self.use_ssl.then_some(tls), timeout },
            login: given(self.password).map(|password| (None, password)),
            database: 0,
            sentinels: by_sentinels.then_some(sentinels),
            scripts: &[],
            timeout,
        })
    }
}

/// Checks the configuration of such a resource.
pub fn check_redis(node: &Node) -> Vec<Problem> {
    let mut problems = (Part::of::<RedisConfig>().check)(node);
    let Ok(config) = decode::<RedisConfig>(Some(node)) else { return problems };
    if let Some(said) = node.field("releaseCache").filter(|_| config.release_cache) {
        let message = "entries go when their time is over, not with the API";
        problems.push(Problem::warning(&said.span, "releaseCache", message));
    }
    if let Err((field, message)) = config.server() {
        let place = node.field(field).unwrap_or(node);
        problems.push(Problem::error(&place.span, field, message));
    }
    problems
}

/// The store of the resource that a step names, and where its responses are kept if that is elsewhere.
///
/// # Errors
/// There is no such resource, or it is of another type, or it can never be reached.
pub fn store(source: Source<'_>, name: &str, services: &Services) -> Result<(Arc<Store>, Option<Rc<Remote>>), Refusal> {
    let (kind, configuration) = source.resource(name)?;
    // A place begins with the API's id; keys have it besides.
    let api = source.place.split('/').next().unwrap_or_default();
    if kind.eq_ignore_ascii_case(REDIS) {
        let config: RedisConfig = decode(configuration)?;
        let live_ms = config.time_to_live_seconds.saturating_mul(1000);
        let server = config.server().map_err(|(field, message)| Refusal(format!("{name}: {field}: {message}")))?;
        let prefix = format!("ringway:cache:{name}:");
        let redis = Redis::shared(server, services)?;
        let remote = Remote { redis, prefix, live_ms, spawn: services.spawn };
        // Of calls that nobody waits for; how long each of these is remembered, it says.
        let bounds = Bounds { entries_max: PASSES_MAX, live_ms: 0, idle_ms: 0 };
        return Ok((Store::shared(api, name, bounds), Some(Rc::new(remote))));
    }
    if !kind.eq_ignore_ascii_case(MEMORY) {
        return Err(Refusal(format!("the resource `{name}` is of type `{kind}`, and a cache is needed")));
    }
    let config: Config = decode(configuration)?;
    let bounds = Bounds {
        entries_max: match config.max_entries_local_heap {
            0 => ENTRIES_MAX,
            entries => entries.min(ENTRIES_MAX),
        },
        live_ms: config.time_to_live_seconds.saturating_mul(1000),
        idle_ms: config.time_to_idle_seconds.saturating_mul(1000),
    };
    Ok((Store::shared(api, name, bounds), None))
}

/// Keys of a Redis' responses that nobody waits for.
const PASSES_MAX: usize = 4096;
