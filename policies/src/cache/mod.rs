//! Keeps responses of the backend, and answers with them.

mod flight;
mod remote;
mod resource;
mod rules;
mod store;
mod stored;
mod visit;

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use ringway_contract::kind::{Part, Services, decode, refused};
use ringway_contract::scope::parameters;
use ringway_contract::{
    Exchange, Kind, Phases, Policy, Pool, Refusal, RequestHead, ResourceUse, ResponseHead, Root, Source, Step,
    Template, Vocabulary,
};
use schemars::JsonSchema;
use serde::Deserialize;

use self::flight::Flights;
use self::remote::Remote;
use self::store::Store;
use self::visit::Visit;
use crate::text::Text;

/// Types of resources that keep responses.
const MEMORY: &str = "cache";
const REDIS: &str = "cache-redis";

/// `cache`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "cache",
    about: "Answers with responses that the backend gave before.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| refused(configuration, decode(configuration).and_then(Rules::new).err()))
        .with_resources(&[ResourceUse {
            field: "cacheName",
            kinds: &[(MEMORY, resource::check), (REDIS, resource::check_redis)],
        }]),
    shared: None,
    messaging: None,
    build: |source, services| Ok(Rc::new(Cache::new(source, services)?)),
};

/// Configuration of `cache`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// Name of the resource, of type `cache` or `cache-redis`, that keeps the responses.
    pub cache_name: String,
    /// What responses depend on besides the path; may have expressions. Without it, on the query.
    #[serde(default)]
    pub key: Option<String>,
    /// Seconds that a response is kept at most.
    #[serde(default = "ten_minutes")]
    pub time_to_live_seconds: u64,
    /// Methods whose responses are kept. Those of HEAD are made of those of GET.
    #[serde(default = "safe_methods")]
    pub methods: Vec<CachedMethod>,
    /// Which responses are kept: a condition on `#upstreamResponse`. Without it, those with a status of 2xx.
    #[serde(default)]
    pub response_condition: Option<String>,
    /// Whether requests and responses say by their fields what is kept, and for how long (RFC 9111).
    #[serde(default)]
    pub use_response_cache_headers: bool,
    /// Who shares responses: all who call the API, or those of one application.
    #[serde(default)]
    pub scope: Scope,
    /// Whether clients may have a response fetched anew with `X-Gravitee-Cache: REFRESH`.
    #[serde(default = "yes")]
    pub allow_refresh_action: bool,
}

fn ten_minutes() -> u64 {
    600
}

fn safe_methods() -> Vec<CachedMethod> {
    vec![CachedMethod::Get, CachedMethod::Options, CachedMethod::Head]
}

fn yes() -> bool {
    true
}

/// Who shares responses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Scope {
    /// All who call the API.
    Api,
    /// Those of one application. All who call without one are one.
    #[default]
    Application,
}

/// A method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs, reason = "the names say it")]
pub enum CachedMethod {
    Connect,
    Delete,
    Get,
    Head,
    Options,
    Patch,
    Post,
    Put,
    Trace,
    Other,
}

impl CachedMethod {
    const NAMED: [(Self, Method); 9] = [
        (Self::Connect, Method::CONNECT),
        (Self::Delete, Method::DELETE),
        (Self::Get, Method::GET),
        (Self::Head, Method::HEAD),
        (Self::Options, Method::OPTIONS),
        (Self::Patch, Method::PATCH),
        (Self::Post, Method::POST),
        (Self::Put, Method::PUT),
        (Self::Trace, Method::TRACE),
    ];

    fn of(method: &Method) -> Self {
        Self::NAMED.iter().find(|(_, known)| known == method).map_or(Self::Other, |(own, _)| *own)
    }
}

/// Bytes of one response's body that are kept; a longer one is passed on only.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How a client may say what it wants of the cache.
const ACTION_FIELD: &str = "x-gravitee-cache";
const ACTION_PARAMETER: &str = "cache";

/// What is configured.
struct Rules {
    key: Option<Text>,
    live_s: u64,
    methods: Vec<CachedMethod>,
    condition: Option<Template>,
    by_fields: bool,
    scope: Scope,
    refreshes: bool,
}

impl Rules {
    fn new(config: Config) -> Result<Self, Refusal> {
        let text = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let key = text(config.key).map(|key| Text::on_request("key", &key)).transpose()?;
        let condition = text(config.response_condition).map(|condition| {
            let vocabulary = Vocabulary::response().with(Root::UpstreamResponse);
            Template::condition(&condition, &vocabulary)
                .map_err(|problem| Refusal(format!("responseCondition: {problem}")))
        });
        let condition = condition.transpose()?;
        if condition.as_ref().is_some_and(|condition| condition.needs().response_content) {
            return Err(Refusal("responseCondition: the body is not there yet; status and headers are".into()));
        }
        if config.time_to_live_seconds == 0 {
            return Err(Refusal("timeToLiveSeconds: nothing would be kept; disable the step instead".into()));
        }
        Ok(Self {
            key,
            live_s: config.time_to_live_seconds,
            methods: config.methods,
            condition,
            by_fields: config.use_response_cache_headers,
            scope: config.scope,
            refreshes: config.allow_refresh_action,
        })
    }
}

/// What one shard has of a step; every exchange that passes it has a part in it.
struct Shared {
    rules: Rules,
    /// The responses, unless they are kept elsewhere; calls that are under way, and those that nobody waits for.
    store: Arc<Store>,
    remote: Option<Rc<Remote>>,
    flights: Rc<Flights>,
    responses: Pool<ResponseHead>,
    sleep: fn(Duration) -> Pin<Box<dyn Future<Output = ()>>>,
}

struct Cache {
    shared: Rc<Shared>,
}

/// What a client wants of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Use,
    Refresh,
    Bypass,
}

impl Cache {
    fn new(source: Source<'_>, services: &Services) -> Result<Self, Refusal> {
        let config: Config = decode(source.configuration)?;
        let (store, remote) = resource::store(source, &config.cache_name, services)?;
        let shared = Shared {
            rules: Rules::new(config)?,
            store,
            remote,
            flights: Rc::default(),
            responses: services.responses.clone(),
            sleep: services.sleep,
        };
        Ok(Self { shared: Rc::new(shared) })
    }

    fn action(&self, head: &RequestHead) -> Action {
        let said = |value: &[u8]| match value {
            value if value.eq_ignore_ascii_case(b"BY_PASS") => Some(Action::Bypass),
            value if value.eq_ignore_ascii_case(b"REFRESH") && self.shared.rules.refreshes => Some(Action::Refresh),
            _ => None,
        };
        let field = head.fields.get(ACTION_FIELD).and_then(said);
        let parameter = || {
            let mut own = parameters(head.query()?).filter(|(name, _)| name == ACTION_PARAMETER);
            own.find_map(|(_, value)| said(value.as_bytes()))
        };
        field.or_else(parameter).unwrap_or(Action::Use)
    }
}

impl Policy for Cache {
    fn phases(&self) -> Phases {
        let key = self.shared.rules.key.as_ref();
        Phases { request_content: key.is_some_and(|key| key.needs().request_content), ..Phases::REQUEST }
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let Some(head) = exchange.request.as_deref().map(|request| &request.head) else { return Step::Next };
        let action = self.action(head);
        // A part of a response, and another protocol, are no business of a cache.
        if action == Action::Bypass || head.upgrade || head.fields.contains("range") {
            return Step::Next;
        }
        exchange.arounds.push(Rc::new(Visit::new(self.shared.clone(), action == Action::Refresh)));
        Step::Next
    }
}
