//! A directory that knows users: `auth-provider-ldap-resource`.

mod ber;
mod connection;
mod filter;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, select};
use ringway_contract::kind::{Part, Services, decode};
use ringway_contract::{Dial, Exchange, Node, Problem, Refusal, Remote, RemoteTls};
use schemars::JsonSchema;
use serde::Deserialize;

use self::connection::{Code, Connection, Entry, Search};
use self::filter::Filter;
use super::Credentials;
use super::provider::{Asking, Provider, User, Verdict};
use crate::clock::now_ms;
use crate::gate::Gate;
use crate::seal::{Mark, Seal};

/// Servers of one directory.
const SERVERS_MAX: usize = 16;
/// Where a time is not bounded, it is all the same.
const TIMEOUT_MS_MAX: u64 = 60_000;
/// Authentications that a shard remembers, whatever the configuration says.
const CACHED_MAX: usize = 10_000;
/// Connections of the whole gateway, whatever the configuration says.
const POOL_MAX: usize = 1024;

/// Configuration of a resource of type `auth-provider-ldap-resource`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    context_source_url: String,
    #[serde(rename = "useStartTLS")]
    use_start_tls: bool,
    context_source_base: String,
    context_source_username: String,
    context_source_password: String,
    user_search_filter: String,
    user_search_base: String,
    attributes: Vec<String>,
    cache_max_elements: usize,
    cache_time_to_live: u64,
    connect_timeout: u64,
    response_timeout: u64,
    min_pool_size: usize,
    max_pool_size: usize,
    /// PEM of the authorities that sign the directory's certificate; without, those of the system. Of Ringway.
    ca: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            context_source_url: String::new(),
            use_start_tls: false,
            context_source_base: String::new(),
            context_source_username: String::new(),
            context_source_password: String::new(),
            user_search_filter: "uid={0}".into(),
            user_search_base: String::new(),
            attributes: Vec::new(),
            cache_max_elements: 100,
            cache_time_to_live: 60_000,
            connect_timeout: 5000,
            response_timeout: 5000,
            min_pool_size: 5,
            max_pool_size: 15,
            ca: None,
        }
    }
}

/// Checks the configuration of such a resource.
pub fn check(node: &Node) -> Vec<Problem> {
    let mut problems = (Part::of::<Config>().check)(node);
    let Ok(config) = decode::<Config>(Some(node)) else { return problems };
    match Plan::new(config) {
        Err((field, message)) => {
            let place = node.field(field).unwrap_or(node);
            problems.push(Problem::error(&place.span, field, message));
        }
        Ok(plan) if plan.servers.iter().any(|server| server.secured().tls.is_none()) => {
            let message =
                "passwords go to the directory in clear: use `ldaps://` or `useStartTLS` where others can listen";
            let place = node.field("contextSourceUrl").unwrap_or(node);
            problems.push(Problem::warning(&place.span, "contextSourceUrl", message));
        }
        Ok(_) => {}
    }
    problems
}

/// What a configuration asks for.
struct Plan {
    servers: Vec<Server>,
    login: Option<(String, String)>,
    base: String,
    filter: Filter,
    attributes: Vec<String>,
    cached_max: usize,
    cached_ms: u64,
    response: Duration,
    connections_max: usize,
}

impl Plan {
    /// The field that is wrong, and what is wrong with it.
    fn new(config: Config) -> Result<Self, (&'static str, String)> {
        let texts = [
            ("contextSourceUrl", &config.context_source_url),
            ("contextSourceBase", &config.context_source_base),
            ("contextSourceUsername", &config.context_source_username),
            ("contextSourcePassword", &config.context_source_password),
            ("userSearchFilter", &config.user_search_filter),
            ("userSearchBase", &config.user_search_base),
        ];
        if let Some((field, _)) = texts.iter().find(|(_, text)| text.contains("{#")) {
            let message = "an expression here may ask for `#api` and `#properties`: what it says is settled before a request comes";
            return Err((field, message.into()));
        }
        let bounded = |ms: u64| Duration::from_millis(if ms == 0 { TIMEOUT_MS_MAX } else { ms.min(TIMEOUT_MS_MAX) });
        let tls =
            RemoteTls { authorities: config.ca.filter(|pem| !pem.is_empty()), verify_hostname: true, trust_all: false };
        let urls = config.context_source_url.split([',', ' ']).filter(|url| !url.is_empty());
        let read = |url| server(url, &tls, config.use_start_tls, bounded(config.connect_timeout));
        let servers = urls.map(read).collect::<Result<Vec<_>, _>>();
        let servers = servers.map_err(|message| ("contextSourceUrl", message))?;
        if servers.is_empty() || servers.len() > SERVERS_MAX {
            return Err(("contextSourceUrl", format!("it is one URL to {SERVERS_MAX}, with commas between them")));
        }
        let filter = Filter::parse(&config.user_search_filter).map_err(|message| ("userSearchFilter", message))?;
        if !filter.has_place() {
            return Err((
                "userSearchFilter",
                "`{0}`, the place of the name, is not in it: everybody would be the same".into(),
            ));
        }
        let bases = [config.user_search_base, config.context_source_base];
        let login = (config.context_source_username, config.context_source_password);
        // RFC 4513 section 5.1.2: with a name and without a password, a directory lets in as nobody.
        if !login.0.is_empty() && login.1.is_empty() {
            return Err(("contextSourcePassword", "it is empty, and `contextSourceUsername` is not".into()));
        }
        Ok(Self {
            servers,
            login: Some(login).filter(|(name, _)| !name.is_empty()),
            base: bases.into_iter().filter(|base| !base.trim().is_empty()).collect::<Vec<_>>().join(","),
            filter,
            attributes: config.attributes,
            cached_max: config.cache_max_elements.min(CACHED_MAX),
            cached_ms: config.cache_time_to_live,
            response: bounded(config.response_timeout),
            connections_max: config.max_pool_size.clamp(1, POOL_MAX),
        })
    }
}

fn server(url: &str, tls: &RemoteTls, starts: bool, timeout: Duration) -> Result<Server, String> {
    let wrong = || format!("`{url}` is not of the form `ldap://host:389` or `ldaps://host:636`");
    let uri: http::Uri = url.parse().map_err(|_| wrong())?;
    let (in_tls, port) = match uri.scheme_str() {
        Some("ldap") => (false, 389),
        Some("ldaps") if starts => {
            return Err(format!("`{url}` is TLS from the start, and `useStartTLS` asks for it later"));
        }
        Some("ldaps") => (true, 636),
        _ => return Err(wrong()),
    };
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(format!("`{url}`: what is searched stands in `contextSourceBase`"));
    }
    let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(wrong)?.to_owned();
    let remote = Remote { host, port: uri.port_u16().unwrap_or(port), tls: in_tls.then(|| tls.clone()), timeout };
    let started = starts.then(|| Remote { tls: Some(tls.clone()), ..remote.clone() });
    Ok(Server { remote, started })
}

/// A server of a directory.
struct Server {
    remote: Remote,
    /// The same with TLS, where it begins when it is asked for.
    started: Option<Remote>,
}

impl Server {
    /// What passwords go over, in the end.
    fn secured(&self) -> &Remote {
        self.started.as_ref().unwrap_or(&self.remote)
    }
}

/// What a connection is for. A bind makes it somebody's, so that those that search are not those that try passwords.
#[derive(Clone, Copy)]
enum Use {
    Search,
    Try,
}

type Sleep = fn(Duration) -> Pin<Box<dyn Future<Output = ()>>>;

/// A directory, as one shard asks it.
pub struct Directory {
    plan: Plan,
    dial: Rc<dyn Dial>,
    sleep: Sleep,
    gate: Rc<Gate>,
    idle: [RefCell<Vec<Connection>>; 2],
    seal: Seal,
    /// Who showed the right password, and until when that is remembered. By a mark that only this shard can make.
    right: RefCell<HashMap<Mark, (User, u64)>>,
    /// Whether the last question was not answered: it is said once.
    away: Cell<bool>,
}

impl Directory {
    /// # Errors
    /// A field is wrong, or there is nothing to dial with.
    pub fn new(configuration: Option<&Node>, services: &Services) -> Result<Self, Refusal> {
        let plan =
            Plan::new(decode(configuration)?).map_err(|(field, message)| Refusal(format!("{field}: {message}")))?;
        let dial = services.dial.clone().ok_or_else(|| Refusal("there is nothing to reach a directory with".into()))?;
        plan.servers.iter().try_for_each(|server| dial.check(server.secured()))?;
        Ok(Self {
            gate: Gate::new(plan.connections_max, services.shards),
            plan,
            dial,
            sleep: services.sleep,
            idle: Default::default(),
            seal: Seal::new()?,
            right: RefCell::default(),
            away: Cell::new(false),
        })
    }

    /// Waits for an operation for as long as it may take.
    async fn within<T>(&self, operation: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        match select(pin!(operation), (self.sleep)(self.plan.response)).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// A new connection to a server, in TLS where it is asked for.
    async fn reach(&self, server: &Server) -> io::Result<Connection> {
        let connection = Connection::new(self.dial.dial(&server.remote).await?);
        match &server.started {
            Some(remote) => self.within(connection.start_tls(remote)).await,
            None => Ok(connection),
        }
    }

    /// A new connection to the first server that takes one.
    async fn connect(&self, what: Use) -> io::Result<Connection> {
        let mut last = io::Error::other("there is no server");
        for server in &self.plan.servers {
            let mut connection = match self.reach(server).await {
                Ok(connection) => connection,
                Err(error) => {
                    last = error;
                    continue;
                }
            };
            if let (Use::Search, Some((name, password))) = (what, &self.plan.login) {
                match self.within(connection.bind(name, password)).await {
                    Ok(Code::SUCCESS) => {}
                    Ok(Code(code)) => {
                        last = io::Error::other(format!("the directory does not let `{name}` in: {code}"));
                        continue;
                    }
                    Err(error) => {
                        last = error;
                        continue;
                    }
                }
            }
            return Ok(connection);
        }
        Err(last)
    }

    /// Does something with a connection. One that was idle may have been closed by the directory: then with a new one, once.
    async fn with<T>(&self, what: Use, operation: impl AsyncFn(&mut Connection) -> io::Result<T>) -> io::Result<T> {
        let [search, attempt] = &self.idle;
        let idle = match what {
            Use::Search => search,
            Use::Try => attempt,
        };
        let kept = idle.borrow_mut().pop();
        if let Some(mut connection) = kept {
            match self.within(operation(&mut connection)).await {
                Ok(outcome) => {
                    idle.borrow_mut().push(connection);
                    return Ok(outcome);
                }
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(error),
                Err(_) => idle.borrow_mut().clear(),
            }
        }
        let mut connection = self.connect(what).await?;
        let outcome = self.within(operation(&mut connection)).await?;
        // There are no more than places at the gate.
        idle.borrow_mut().push(connection);
        Ok(outcome)
    }

    /// The one entry that the name leads to.
    async fn find(&self, name: &str) -> io::Result<Option<Entry>> {
        let mut filter = Vec::new();
        self.plan.filter.write(&mut filter, name.as_bytes());
        let limit_s = u32::try_from(self.plan.response.as_secs()).unwrap_or(u32::MAX).max(1);
        let search = Search {
            base: &self.plan.base,
            filter: &filter,
            attributes: &self.plan.attributes,
            entries_max: 2,
            limit_s,
        };
        let (code, mut entries) = self.with(Use::Search, async |connection| connection.search(&search).await).await?;
        match code {
            Code::SUCCESS | Code::SIZE_LIMIT_EXCEEDED => {}
            Code::NO_SUCH_OBJECT => return Ok(None),
            Code(code) => return Err(io::Error::other(format!("the search ended with {code}"))),
        }
        if entries.len() > 1 {
            tracing::warn!("a name leads to more than one entry of the directory: it is nobody's");
        }
        let entry = entries.pop().filter(|entry| entries.is_empty() && !entry.name.is_empty());
        Ok(entry)
    }

    async fn verdict(&self, credentials: &Credentials) -> io::Result<Verdict> {
        let Some(entry) = self.find(&credentials.name).await? else { return Ok(Verdict::Unknown) };
        let (name, password) = (&entry.name, &credentials.password);
        match self.with(Use::Try, async |connection| connection.bind(name, password).await).await? {
            Code::SUCCESS => {}
            code if code.refuses() => return Ok(Verdict::Unknown),
            Code(code) => return Err(io::Error::other(format!("the login ended with {code}"))),
        }
        let attributes = entry.attributes.into_iter().filter_map(|(kind, values)| {
            // As the definition writes it; a directory may write it otherwise.
            let known = self.plan.attributes.iter().find(|known| known.eq_ignore_ascii_case(&kind))?;
            Some((known.clone(), values.into_iter().next()?))
        });
        Ok(Verdict::Known(User { attributes: attributes.collect(), name: entry.name, roles: None }))
    }

    fn remember(&self, mark: Mark, user: &User) {
        let mut right = self.right.borrow_mut();
        if self.plan.cached_max == 0 {
            return;
        }
        if right.len() >= self.plan.cached_max {
            let now_ms = now_ms();
            right.retain(|_, (_, until_ms)| *until_ms > now_ms);
        }
        if right.len() >= self.plan.cached_max {
            let any = right.keys().next().copied();
            any.map(|any| right.remove(&any));
        }
        right.insert(mark, (user.clone(), now_ms().saturating_add(self.plan.cached_ms)));
    }
}

impl Provider for Directory {
    fn knows(&self, _: &Exchange, credentials: &Credentials) -> Option<Verdict> {
        // RFC 4513 section 5.1.2: a login without a password succeeds, and is nobody's.
        if credentials.password.is_empty() {
            return Some(Verdict::Unknown);
        }
        if self.plan.cached_max == 0 {
            return None;
        }
        let right = self.right.borrow();
        let (user, until_ms) = right.get(&self.seal.mark_pair(&credentials.name, &credentials.password))?;
        (*until_ms > now_ms()).then(|| Verdict::Known(user.clone()))
    }

    fn ask<'a>(&'a self, _: &'a Exchange, credentials: &'a Credentials) -> Asking<'a> {
        Box::pin(async move {
            let _place = self.gate.enter().await;
            let said = self.verdict(credentials).await;
            let was_away = self.away.replace(said.is_err());
            match said {
                Ok(verdict) => {
                    if let Verdict::Known(user) = &verdict {
                        self.remember(self.seal.mark_pair(&credentials.name, &credentials.password), user);
                    }
                    verdict
                }
                Err(error) => {
                    if !was_away {
                        tracing::warn!(%error, "the directory cannot be asked");
                    }
                    Verdict::Away
                }
            }
        })
    }
}
