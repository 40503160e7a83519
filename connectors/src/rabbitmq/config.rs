//! What a definition may say of a RabbitMQ broker. Names are the reference product's; what it does not have is said so.

use lapin::ExchangeKind;
use lapin::options::ExchangeDeclareOptions;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::tls::BrokerSsl;

/// Bytes of a name: the protocol's short string (AMQP 0-9-1, section 4.2.5.3).
pub const NAME_BYTES_MAX: usize = 255;

/// `configuration` of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EndpointConfig {
    /// Name or address of the broker.
    pub server_host: String,
    /// Its port. Default 5672; brokers offer TLS at 5671.
    #[serde(default = "port")]
    pub server_port: u16,
    /// The virtual host. Default `/`.
    #[serde(default = "virtual_host")]
    pub virtual_host: String,
}

fn port() -> u16 {
    5672
}

fn virtual_host() -> String {
    "/".to_owned()
}

/// `sharedConfiguration` of a group, inherited by its endpoints.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct SharedConfig {
    /// Who the gateway is, and how the connection is protected.
    pub security: Security,
    /// Where subscriptions read. Without it there are none.
    pub consumer: Option<Consumer>,
    /// Where messages are published. Without it none are.
    pub producer: Option<Producer>,
}

/// Who the gateway is, and how the connection is protected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Security {
    /// User and password (SASL PLAIN).
    pub auth: Auth,
    /// TLS. The connection is encrypted when this block is there, be it empty.
    pub ssl: Option<BrokerSsl>,
}

/// User and password.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Auth {
    /// The user. Default `guest`, which brokers let in from their own machine only.
    pub username: String,
    /// The password. Default `guest`.
    pub password: String,
}

impl Default for Auth {
    fn default() -> Self {
        Self { username: "guest".to_owned(), password: "guest".to_owned() }
    }
}

/// Where subscriptions read.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Consumer {
    /// Whether there are subscriptions at all. Default true.
    pub enabled: bool,
    /// The exchange that the queue is bound to; it is declared. Without, `queue` has to be there already.
    pub exchange: Option<Exchange>,
    /// The key that the queue is bound with. Default empty: what exchanges of type `fanout` need.
    pub routing_key: String,
    /// Name of the queue that all clients share, instead of one for each client. Not in the reference product.
    pub queue: Option<String>,
    /// Whether the queue outlives the broker, where it would be decided by the level of service. Not in the reference product.
    pub durable: Option<bool>,
    /// Messages that the broker sends ahead of acknowledgements. Default 100. Not in the reference product.
    #[schemars(range(min = 1))]
    pub prefetch: u16,
}

impl Default for Consumer {
    fn default() -> Self {
        Self { enabled: true, exchange: None, routing_key: String::new(), queue: None, durable: None, prefetch: 100 }
    }
}

/// Where messages are published.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Producer {
    /// Whether messages are published at all. Default true.
    pub enabled: bool,
    /// The exchange; it is declared. Without, the default exchange, which takes the routing key for the name of a queue.
    pub exchange: Option<Exchange>,
    /// The routing key. Default empty.
    pub routing_key: String,
    /// Whether a message that no queue takes is a failure. Not at the level `NONE`. Default false. Not in the reference product.
    pub mandatory: bool,
    /// Whether messages outlive the broker, in queues that do. Default true. Not in the reference product.
    pub persistent: bool,
}

impl Default for Producer {
    fn default() -> Self {
        Self { enabled: true, exchange: None, routing_key: String::new(), mandatory: false, persistent: true }
    }
}

/// An exchange. One that is there already has to be just as it is declared here.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Exchange {
    /// Its name.
    pub name: String,
    /// Its type: `direct`, `fanout`, `topic`, `headers`, or a type that a plug-in brings (`x-…`). Default `direct`.
    #[serde(rename = "type", default = "direct")]
    pub kind: String,
    /// Whether it outlives the broker. Default true.
    #[serde(default = "yes")]
    pub durable: bool,
    /// Whether it goes with the last queue that is bound to it. Default false.
    #[serde(default)]
    pub auto_delete: bool,
}

fn direct() -> String {
    "direct".to_owned()
}

fn yes() -> bool {
    true
}

impl Exchange {
    /// Its type as the client library has it; `None`: there is none of this name.
    pub fn kind(&self) -> Option<ExchangeKind> {
        Some(match &*self.kind {
            "direct" => ExchangeKind::Direct,
            "fanout" => ExchangeKind::Fanout,
            "topic" => ExchangeKind::Topic,
            "headers" => ExchangeKind::Headers,
            other if other.starts_with("x-") => ExchangeKind::Custom(other.to_owned()),
            _ => return None,
        })
    }

    /// How it is declared.
    pub fn options(&self) -> ExchangeDeclareOptions {
        ExchangeDeclareOptions {
            durable: self.durable,
            auto_delete: self.auto_delete,
            ..ExchangeDeclareOptions::default()
        }
    }
}

impl Exchange {
    /// One that is there already, about which nothing else is known.
    pub fn foreign() -> Self {
        Self { name: String::new(), kind: direct(), durable: true, auto_delete: false }
    }
}
