//! What a definition may say of an MQTT 5 broker. Names are the reference product's; what it does not have is said so.

use rumqttc::v5::mqttbytes::QoS;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::tls::SslConfig;

/// `configuration` of an endpoint.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EndpointConfig {
    /// Name or address of the broker.
    pub server_host: String,
    /// Its port. Default 1883; brokers offer TLS at 8883.
    #[serde(default = "port")]
    #[schemars(range(min = 1))]
    pub server_port: u16,
}

fn port() -> u16 {
    1883
}

/// `sharedConfiguration` of a group, inherited by its endpoints.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct SharedConfig {
    /// How often in a row connecting may fail before a subscription ends with a fault. Without: as long as it takes. The pause between two
    /// attempts doubles from 0.2 s to 20 s. Also written `reconnectAttempt`.
    #[serde(alias = "reconnectAttempt")]
    #[schemars(range(max = 10))]
    pub reconnect_attempts: Option<u8>,
    /// How long the broker keeps the session of a consumer that is away, with the messages that it has not acknowledged, in seconds; -1: for
    /// ever. Streams that only hear what comes from now on keep none. Default 86,400.
    pub session_expiry_interval: i64,
    /// The longest that a connection may be silent, in seconds: the gateway asks for a sign of life (PINGREQ) before. Default 30. Not in the
    /// reference product.
    #[schemars(range(min = 2))]
    pub keep_alive_interval: u16,
    /// Who the gateway is, and how the connection is protected.
    pub security: Security,
    /// What subscriptions read. Without it there are none.
    pub consumer: Option<Consumer>,
    /// Where messages are published. Without it none are.
    pub producer: Option<Producer>,
    /// What the broker publishes when the gateway goes without saying so. It belongs to the producer's connections, one for each shard, or,
    /// where there is no producer, to those of subscriptions. Not in the reference product.
    pub last_will: Option<Will>,
}

impl Default for SharedConfig {
    fn default() -> Self {
        Self {
            reconnect_attempts: None,
            session_expiry_interval: 86_400,
            keep_alive_interval: 30,
            security: Security::default(),
            consumer: None,
            producer: None,
            last_will: None,
        }
    }
}

/// Who the gateway is, and how the connection is protected.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Security {
    /// User and password.
    pub auth: Option<Auth>,
    /// TLS. The connection is encrypted when this block is there, be it empty.
    pub ssl: Option<SslConfig>,
}

/// User and password.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Auth {
    /// The user.
    pub username: String,
    /// The password.
    #[serde(default)]
    pub password: String,
}

/// What subscriptions read.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Consumer {
    /// Whether there are subscriptions at all. Default true.
    pub enabled: bool,
    /// A topic filter; `+` stands for a level, `#` for all that follow.
    pub topic: Option<String>,
    /// More topic filters. Not in the reference product.
    pub topics: Vec<String>,
    /// Whether the connections of one consumer share its messages (`$share/CONSUMER/FILTER`) instead of each getting all of them. Streams
    /// that only hear what comes from now on never share. Default true. Not in the reference product.
    pub shared: bool,
    /// The QoS that is subscribed at: 0, 1 or 2. The level `NONE` is always 0. Default 1. Not in the reference product.
    #[schemars(range(max = 2))]
    pub qos: u8,
    /// Whether a subscription begins with a new session: what the consumer has missed is forgotten. Default false. Not in the reference
    /// product.
    pub clean_start: bool,
    /// Messages of QoS 1 and 2 that the broker sends ahead of acknowledgements. Default 256. Not in the reference product.
    #[schemars(range(min = 1))]
    pub receive_maximum: u16,
}

impl Default for Consumer {
    fn default() -> Self {
        Self {
            enabled: true,
            topic: None,
            topics: Vec::new(),
            shared: true,
            qos: 1,
            clean_start: false,
            receive_maximum: 256,
        }
    }
}

impl Consumer {
    /// All filters.
    pub fn filters(&self) -> impl Iterator<Item = &str> {
        self.topic.iter().chain(&self.topics).map(String::as_str)
    }
}

/// Where messages are published.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Producer {
    /// Whether messages are published at all. Default true.
    pub enabled: bool,
    /// The topic, without wildcards.
    pub topic: Option<String>,
    /// Whether the broker keeps the last message for those who subscribe later. Default false.
    pub retained: bool,
    /// How long the broker keeps a message for those who are away, in seconds; -1: for ever. Default -1.
    pub message_expiry_interval: i64,
    /// The topic that answers are expected at, of messages that do not say it themselves.
    pub response_topic: Option<String>,
    /// The QoS that is published at: 0, 1 or 2. The level `NONE` is always 0. Default 1. Not in the reference product.
    #[schemars(range(max = 2))]
    pub qos: u8,
    /// The content type of messages that do not say it themselves. Not in the reference product.
    pub content_type: Option<String>,
}

impl Default for Producer {
    fn default() -> Self {
        Self {
            enabled: true,
            topic: None,
            retained: false,
            message_expiry_interval: -1,
            response_topic: None,
            qos: 1,
            content_type: None,
        }
    }
}

/// What the broker publishes when the gateway goes without saying so.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Will {
    /// The topic, without wildcards.
    pub topic: String,
    /// The payload. Default empty.
    #[serde(default)]
    pub payload: String,
    /// 0, 1 or 2. Default 0.
    #[serde(default)]
    #[schemars(range(max = 2))]
    pub qos: u8,
    /// Whether the broker keeps it. Default false.
    #[serde(default)]
    pub retained: bool,
    /// How long the broker waits with it for the gateway to come back, in seconds. Default 0.
    #[serde(default)]
    pub delay_interval: u32,
}

/// A QoS of a checked configuration.
pub fn qos(level: u8) -> QoS {
    match level {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

/// Seconds as the protocol has them: its largest number means for ever (MQTT 5, section 3.1.2.11.2).
pub fn expiry(seconds: i64) -> u32 {
    if seconds < 0 { u32::MAX } else { u32::try_from(seconds).unwrap_or(u32::MAX) }
}
