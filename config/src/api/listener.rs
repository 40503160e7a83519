//! How consumers reach an API.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};

use crate::node::Node;

/// A listener. Which one, `type` tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Listener {
    /// HTTP.
    Http(HttpListener),
    /// Subscriptions of consumers: webhooks live here.
    Subscription(SubscriptionListener),
    /// TCP with TLS, told apart by SNI.
    Tcp(TcpListener),
    /// The Kafka protocol.
    Kafka(KafkaListener),
}

impl Listener {
    /// The name in definitions.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Http(_) => "HTTP",
            Self::Subscription(_) => "SUBSCRIPTION",
            Self::Tcp(_) => "TCP",
            Self::Kafka(_) => "KAFKA",
        }
    }

    pub(crate) fn entrypoints_mut(&mut self) -> &mut [Entrypoint] {
        match self {
            Self::Http(listener) => &mut listener.entrypoints,
            Self::Subscription(listener) => &mut listener.entrypoints,
            Self::Tcp(listener) => &mut listener.entrypoints,
            Self::Kafka(listener) => &mut listener.entrypoints,
        }
    }

    /// Its entrypoints.
    pub fn entrypoints(&self) -> &[Entrypoint] {
        match self {
            Self::Http(listener) => &listener.entrypoints,
            Self::Subscription(listener) => &listener.entrypoints,
            Self::Tcp(listener) => &listener.entrypoints,
            Self::Kafka(listener) => &listener.entrypoints,
        }
    }
}

impl<'de> Deserialize<'de> for Listener {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node = Node::deserialize(deserializer)?;
        crate::decode::tagged(
            &node,
            "type",
            &[
                ("HTTP", |node| HttpListener::deserialize(node).map(Self::Http)),
                ("SUBSCRIPTION", |node| SubscriptionListener::deserialize(node).map(Self::Subscription)),
                ("TCP", |node| TcpListener::deserialize(node).map(Self::Tcp)),
                ("KAFKA", |node| KafkaListener::deserialize(node).map(Self::Kafka)),
            ],
        )
    }
}

impl JsonSchema for Listener {
    fn schema_name() -> Cow<'static, str> {
        "Listener".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        crate::schema::tagged(
            "type",
            [
                ("HTTP", HttpListener::json_schema(generator)),
                ("SUBSCRIPTION", SubscriptionListener::json_schema(generator)),
                ("TCP", TcpListener::json_schema(generator)),
                ("KAFKA", KafkaListener::json_schema(generator)),
            ],
        )
    }
}

/// HTTP: context paths, on hosts.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct HttpListener {
    /// Context paths. At least one.
    #[schemars(length(min = 1))]
    pub paths: Vec<Path>,
    /// How requests are taken. At least one.
    #[schemars(length(min = 1))]
    pub entrypoints: Vec<Entrypoint>,
    /// Ids of the gateway's servers that it is served on; none for all.
    #[serde(default)]
    pub servers: Vec<String>,
    /// Cross-origin resource sharing. Off unless given.
    #[serde(default)]
    pub cors: Cors,
    /// Path patterns that analytics groups by.
    #[serde(default)]
    pub path_mappings: Vec<String>,
}

/// A context path.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Path {
    /// Host that requests are for: exact or `*.wildcard`; none for every host. Compared without case and port.
    pub host: Option<String>,
    /// Path that requests begin with, by whole segments: `/orders` takes `/orders` and `/orders/1`, not `/orders2`. `:name` takes any one
    /// segment. Default `/`.
    #[serde(default = "root")]
    pub path: String,
    /// Whether the environment's host restrictions are overridden.
    #[serde(default)]
    pub override_access: bool,
}

fn root() -> String {
    "/".into()
}

/// Subscriptions of consumers.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct SubscriptionListener {
    /// How messages are delivered. At least one.
    #[schemars(length(min = 1))]
    pub entrypoints: Vec<Entrypoint>,
    /// Ids of the gateway's servers. Without effect: nobody connects to such a listener.
    #[serde(default)]
    pub servers: Vec<String>,
}

/// TCP with TLS.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct TcpListener {
    /// Host names that clients ask for by SNI; unique per server.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// How connections are taken. At least one.
    #[schemars(length(min = 1))]
    pub entrypoints: Vec<Entrypoint>,
    /// Ids of the gateway's servers that it is served on; none for all.
    #[serde(default)]
    pub servers: Vec<String>,
}

/// The Kafka protocol.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct KafkaListener {
    /// Host name that clients ask for by SNI.
    pub host: Option<String>,
    /// Port.
    pub port: Option<u16>,
    /// How connections are taken. At least one.
    #[schemars(length(min = 1))]
    pub entrypoints: Vec<Entrypoint>,
    /// Ids of the gateway's servers that it is served on; none for all.
    #[serde(default)]
    pub servers: Vec<String>,
}

/// How consumers are spoken to.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Entrypoint {
    /// Its type, such as `http-proxy`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What is promised of the delivery of messages.
    #[serde(default)]
    pub qos: Qos,
    /// Where messages go that the consumer refuses. Of listeners of type SUBSCRIPTION.
    pub dlq: Option<Dlq>,
    /// Its configuration.
    pub configuration: Option<Node>,
}

/// What is promised of the delivery of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Qos {
    /// Nothing.
    None,
    /// What entrypoint and endpoint do best together.
    #[default]
    Auto,
    /// No message comes twice.
    AtMostOnce,
    /// No message is lost.
    AtLeastOnce,
}

/// A dead-letter queue.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Dlq {
    /// Name of an endpoint or endpoint group of the API.
    pub endpoint: String,
}

/// Cross-origin resource sharing (the Fetch standard).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct Cors {
    /// Whether it is on. Default false.
    pub enabled: bool,
    /// Whether credentials may be sent. Default false.
    pub allow_credentials: bool,
    /// Fields that may be sent.
    pub allow_headers: Vec<String>,
    /// Methods that may be used.
    pub allow_methods: Vec<String>,
    /// Origins that may call: `*`, an origin, or a regular expression that the whole origin must match.
    pub allow_origin: Vec<String>,
    /// Fields of the response that a script may see.
    pub expose_headers: Vec<String>,
    /// How long the answer to a preflight holds, in seconds; -1 leaves it to the browser. Default -1.
    #[schemars(range(min = -1))]
    pub max_age: i64,
    /// Whether preflights pass the API's flows (on the way to the endpoint, without a plan: a preflight carries no credentials), which may refuse
    /// them, before the gateway answers. Default false.
    pub run_policies: bool,
}

impl Default for Cors {
    fn default() -> Self {
        Self {
            enabled: false,
            allow_credentials: false,
            allow_headers: Vec::new(),
            allow_methods: Vec::new(),
            allow_origin: Vec::new(),
            expose_headers: Vec::new(),
            max_age: -1,
            run_policies: false,
        }
    }
}
