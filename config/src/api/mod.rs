//! An API definition: the shape of Gravitee's v4, typed.
//!
//! Names, defaults and ranges are the reference product's. What belongs to a connector, a policy or a resource (`configuration` and
//! its kin) stays a [`Node`]: its own `Kind` knows what may stand there.

mod analytics;
mod application;
mod common;
mod credential;
mod endpoint;
mod flow;
mod listener;
mod plan;
mod portal;
mod subscription;
mod template;

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

pub use analytics::*;
pub use application::*;
pub use common::*;
pub use credential::*;
pub use endpoint::*;
pub use flow::*;
pub use listener::*;
pub use plan::*;
pub use portal::*;
pub use subscription::*;
pub use template::*;

use crate::node::{Node, Span};
use crate::secrets::Hidden;

/// An API: what it is called, how consumers reach it, what it reaches, who may call it, and what happens on the way.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Api {
    /// Identifies the API; unique within a gateway. Without one, `hrid` is taken, and without that one is made from the name.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub id: String,
    /// Identifies the API across environments; written by exports.
    pub cross_id: Option<String>,
    /// Human-readable id of the Automation API: letters, digits, `-` and `_`.
    #[schemars(regex(pattern = r"^[a-zA-Z0-9][a-zA-Z0-9_-]+[a-zA-Z0-9]$"), length(max = 256))]
    pub hrid: Option<String>,
    /// Name; need not be unique.
    #[schemars(length(min = 1, max = 512))]
    pub name: String,
    /// Version of the API itself, such as `1.0.0`.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub api_version: String,
    /// What it is about. At most 4,000 characters.
    #[serde(default)]
    #[schemars(length(max = 4000))]
    pub description: String,
    /// Version of the definition's format.
    #[serde(default)]
    pub definition_version: DefinitionVersion,
    /// What is carried.
    #[serde(rename = "type")]
    pub kind: ApiType,
    /// Sharding tags: a gateway with tags of its own deploys only APIs that share one.
    #[serde(default)]
    #[schemars(inner(length(max = 64)))]
    pub tags: Vec<String>,
    /// How consumers reach it. At least one.
    #[schemars(length(min = 1))]
    pub listeners: Vec<Listener>,
    /// What it reaches. At least one; the first is the default.
    #[schemars(length(min = 1))]
    pub endpoint_groups: Vec<EndpointGroup>,
    /// What is recorded.
    #[serde(default)]
    pub analytics: Analytics,
    /// Retries and circuit breaker. Off unless given.
    #[serde(default)]
    pub failover: Failover,
    /// How flows are chosen.
    #[serde(default)]
    pub flow_execution: FlowExecution,
    /// Policies of every plan.
    #[serde(default)]
    pub flows: Vec<Flow>,
    /// Who may call. Without a published plan nobody may.
    #[serde(default)]
    pub plans: Vec<Plan>,
    /// Who is subscribed to push plans, and where its messages are sent to.
    #[serde(default)]
    pub subscriptions: Vec<Subscription>,
    /// Constants for expressions.
    #[serde(default)]
    pub properties: Vec<Property>,
    /// What policies share, such as caches and authorization servers.
    #[serde(default)]
    pub resources: Vec<Resource>,
    /// Services beside the traffic.
    #[serde(default)]
    pub services: ApiServices,
    /// What refusals and failures say: error key, then media type of `Accept` (`*/*` for any), in the order of the file.
    #[serde(default)]
    pub response_templates: Templates,
    /// Whether it is served. A stopped API answers 404.
    #[serde(default)]
    pub state: State,
    /// How far the portal has come with it.
    #[serde(default)]
    pub lifecycle_state: Option<LifecycleState>,
    /// Who sees it in the portal.
    #[serde(default)]
    pub visibility: Option<Visibility>,
    /// Words to find it by.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Categories of the portal.
    #[serde(default)]
    pub categories: Vec<String>,
    /// Groups of people who work on it.
    #[serde(default)]
    #[schemars(with = "Vec<serde_json::Value>")]
    pub groups: Vec<Node>,
    /// People who work on it.
    #[serde(default)]
    pub members: Vec<Node>,
    /// Who owns it.
    #[serde(default)]
    pub primary_owner: Option<Node>,
    /// Facts for the portal and for expressions.
    #[serde(default)]
    pub metadata: Vec<Metadata>,
    /// Documentation.
    #[serde(default)]
    pub pages: Vec<Node>,
    /// Whether its members are told of changes.
    #[serde(default)]
    pub notify_members: Option<bool>,
    /// Which events the Console tells of.
    #[serde(default)]
    pub console_notification: Option<Node>,
    /// Whether products may contain it.
    #[serde(default)]
    pub allowed_in_api_products: Option<bool>,
    /// Whether an application may subscribe to several plans with tokens.
    #[serde(default)]
    pub allow_multi_jwt_oauth2_subscriptions: Option<bool>,
    /// Where the definition is mastered.
    #[serde(default)]
    pub definition_context: Option<Node>,

    /// Flows around its own and those of its plans.
    #[serde(skip)]
    pub platform: Arc<Platform>,
    /// Why it is loaded but not served by this gateway; `None` when it is served.
    #[serde(skip)]
    pub idle: Option<String>,
    /// Where the definition begins.
    #[serde(skip)]
    pub source: Option<Span>,
    /// Changes when anything that the gateway acts on changes: an API that keeps it keeps its connections on reload.
    #[serde(skip)]
    pub fingerprint: u64,
    /// The secrets that were read with it: what is written down of its traffic does not have them.
    #[serde(skip)]
    pub hidden: Hidden,
}

impl Api {
    /// Why it is loaded but not served by this gateway; `None` when it is served.
    pub fn idle_reason(&self) -> Option<String> {
        self.idle.clone()
    }

    /// The context paths of its HTTP listeners.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.http_listeners().flat_map(|listener| &listener.paths)
    }

    /// Whether it is served by this gateway.
    pub fn is_served(&self) -> bool {
        self.idle.is_none()
    }

    /// The plans that callers may use here, in the order of the definition. None of them: nobody may call.
    pub fn offered_plans(&self) -> impl Iterator<Item = &Plan> {
        self.plans.iter().filter(|plan| plan.withheld.is_none())
    }

    /// Its HTTP listeners.
    pub fn http_listeners(&self) -> impl Iterator<Item = &HttpListener> {
        self.listeners.iter().filter_map(|listener| match listener {
            Listener::Http(http) => Some(http),
            _ => None,
        })
    }

    /// The entrypoints that send messages to subscribers.
    pub fn pushing_entrypoints(&self) -> impl Iterator<Item = &Entrypoint> {
        self.listeners
            .iter()
            .filter(|listener| matches!(listener, Listener::Subscription(_)))
            .flat_map(Listener::entrypoints)
    }

    /// The subscriptions that are served here.
    pub fn served_subscriptions(&self) -> impl Iterator<Item = &Subscription> {
        self.subscriptions.iter().filter(|subscription| subscription.withheld.is_none())
    }
}

/// Version of the definition's format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum DefinitionVersion {
    /// Gravitee v4; gateway definitions write it `4.0.0`.
    #[default]
    V4,
}

/// What an API carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ApiType {
    /// Requests and responses, as they are.
    Proxy,
    /// Messages of brokers, over HTTP and webhooks.
    Message,
    /// The Kafka protocol.
    Native,
    /// Language models.
    LlmProxy,
    /// The Model Context Protocol.
    McpProxy,
    /// Agent to agent.
    A2aProxy,
}

impl ApiType {
    /// The name in definitions.
    pub fn name(self) -> &'static str {
        match self {
            Self::Proxy => "PROXY",
            Self::Message => "MESSAGE",
            Self::Native => "NATIVE",
            Self::LlmProxy => "LLM_PROXY",
            Self::McpProxy => "MCP_PROXY",
            Self::A2aProxy => "A2A_PROXY",
        }
    }
}

/// Whether an API is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// It is.
    #[default]
    Started,
    /// It is not: its paths answer 404.
    Stopped,
    /// As `STOPPED`.
    Closed,
    /// As `STARTED`: exports may have caught it on its way.
    Initialized,
    /// As `STOPPED`.
    Stopping,
}

impl State {
    /// Whether traffic flows.
    pub fn is_started(self) -> bool {
        matches!(self, Self::Started | Self::Initialized)
    }
}

/// Retries and circuit breaker: each attempt chooses an endpoint anew.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct Failover {
    /// Whether it is on. Default false.
    pub enabled: bool,
    /// Attempts after the first. Default 2.
    #[schemars(range(max = 100))]
    pub max_retries: u32,
    /// A call that takes longer counts as failed, in milliseconds. Default 2,000; at least 50.
    #[schemars(range(min = 50))]
    pub slow_call_duration: u64,
    /// How long the open breaker refuses calls, in milliseconds. Default 10,000; at least 500.
    #[schemars(range(min = 500))]
    pub open_state_duration: u64,
    /// Failures that open the breaker. Default 5; at least 1.
    #[schemars(range(min = 1))]
    pub max_failures: u32,
    /// Whether each subscription has a breaker of its own. Default true.
    pub per_subscription: bool,
    /// Expression on the response: which responses count as failed.
    pub failure_condition: Option<String>,
    /// Whether a retry always goes to another endpoint. Default false.
    pub force_next_endpoint_on_failure: bool,
}

impl Default for Failover {
    fn default() -> Self {
        Self {
            enabled: false,
            max_retries: 2,
            slow_call_duration: 2_000,
            open_state_duration: 10_000,
            max_failures: 5,
            per_subscription: true,
            failure_condition: None,
            force_next_endpoint_on_failure: false,
        }
    }
}

/// A constant for expressions: `{#api.properties['key']}`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Property {
    /// Its name.
    pub key: String,
    /// Its value.
    #[serde(default)]
    pub value: String,
    /// Whether the value is encrypted.
    #[serde(default)]
    pub encrypted: bool,
    /// Whether a dynamic property service wrote it.
    #[serde(default)]
    pub dynamic: bool,
    /// Whether the Console is to encrypt it.
    #[serde(default)]
    pub encryptable: bool,
}

/// What policies share.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Resource {
    /// Its name; unique in the API.
    pub name: String,
    /// Its type, such as `cache` or `oauth2`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it is there. Default true.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Its configuration.
    pub configuration: Option<Node>,
}

/// Services of an API beside the traffic.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct ApiServices {
    /// Fetches properties from elsewhere.
    pub dynamic_property: Option<Service>,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Service {
    /// Its type, such as `http-health-check`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Whether it runs. Default true.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// In an endpoint: whether this one replaces that of the group. Default false.
    #[serde(default)]
    pub override_configuration: bool,
    /// Its configuration.
    pub configuration: Option<Node>,
}

/// Templates of responses, by error key.
pub type Templates = BTreeMap<String, MediaTemplates>;

pub(crate) fn yes() -> bool {
    true
}
