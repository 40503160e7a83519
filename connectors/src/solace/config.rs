//! What a definition may say of a Solace event broker. Names are the reference product's; what it does not have is said so.

use std::path::PathBuf;

use ringway_contract::kind::decode;
use ringway_contract::{Node, Problem, Refusal};
use schemars::JsonSchema;
use serde::Deserialize;

use super::words;
use crate::tls::{BrokerSsl, SslConfig};

/// `configuration` of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EndpointConfig {
    /// Where the broker is: `tcp://host:port` or, with TLS, `tcps://host:port`. The port is that of the open protocol, not 55555 of Solace's own
    /// (SMF). Default for `AMQP` 5672, with TLS 5671; for `MQTT` 1883, with TLS 8883.
    pub url: String,
    /// The message VPN; without, the broker's default. Over `MQTT` the port alone decides.
    pub vpn_name: Option<String>,
    /// The open protocol by which the broker is spoken to. Not in the reference product, which speaks SMF.
    pub protocol: Protocol,
}

/// An open protocol of the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// AMQP 1.0, for queues and durable topic endpoints.
    Amqp,
    /// MQTT 5, for direct topics.
    Mqtt,
}

impl Protocol {
    /// Where brokers listen for it.
    fn port(self, tls: bool) -> u16 {
        match (self, tls) {
            (Self::Amqp, false) => 5672,
            (Self::Amqp, true) => 5671,
            (Self::Mqtt, false) => 1883,
            (Self::Mqtt, true) => 8883,
        }
    }
}

/// `sharedConfiguration` of a group, inherited by its endpoints.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct SharedConfig {
    /// Who the gateway is, and whom it trusts.
    pub security: Security,
    /// Where subscriptions read. Without it there are none.
    pub consumer: Option<Consumer>,
    /// Where messages are published. Without it none are.
    pub producer: Option<Producer>,
}

/// Who the gateway is, and whom it trusts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Security {
    /// User and password (SASL PLAIN); without, nobody in particular (ANONYMOUS).
    pub auth: Option<Auth>,
    /// TLS, for `tcps`.
    pub ssl: BrokerSsl,
}

/// User and password.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Auth {
    /// The user.
    pub username: String,
    /// The password.
    pub password: String,
}

/// Where subscriptions read: a queue, or a topic.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Consumer {
    /// Whether there are subscriptions at all. Default true.
    pub enabled: bool,
    /// Over `AMQP` one topic: a durable topic endpoint of the client, and for streams that hear what comes from now on one that goes with
    /// them. Over `MQTT` one or more, which may have Solace's wildcards for whole levels (`*`, and `>` at the end), or those of MQTT.
    pub topics: Vec<String>,
    /// The queue that all clients read, instead of a topic; over `AMQP` only. Several topics on one queue are the broker's to configure. Not
    /// in the reference product.
    pub queue: Option<String>,
    /// Messages that the broker may have sent and the gateway has not settled. Default 100. Not in the reference product.
    #[schemars(range(min = 1, max = 10_000))]
    pub prefetch: u32,
    /// Over `MQTT`: whether the connections of one consumer share its messages (`$share/CONSUMER/TOPIC`). Default true. Not in the reference
    /// product.
    pub shared: bool,
}

impl Default for Consumer {
    fn default() -> Self {
        Self { enabled: true, topics: Vec::new(), queue: None, prefetch: 100, shared: true }
    }
}

/// Where messages are published.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Producer {
    /// Whether messages are published at all. Default true.
    pub enabled: bool,
    /// The topic, one.
    pub topics: Vec<String>,
    /// The queue, instead of a topic; over `AMQP` only. Not in the reference product.
    pub queue: Option<String>,
    /// Whether the broker keeps messages (`PERSISTENT`, the default; over `MQTT` QoS 1) or only passes them on (`DIRECT`; QoS 0, of which
    /// nobody says that it has arrived).
    pub delivery_mode: DeliveryMode,
}

impl Default for Producer {
    fn default() -> Self {
        Self { enabled: true, topics: Vec::new(), queue: None, delivery_mode: DeliveryMode::default() }
    }
}

/// What a broker does with a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum DeliveryMode {
    /// It keeps it.
    #[default]
    Persistent,
    /// It passes it on.
    Direct,
}

/// An endpoint's URL, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Whether with TLS.
    pub tls: bool,
}

impl Place {
    /// Of an URL.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(url: &str, protocol: Protocol) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or("needs a scheme: `tcp://` or `tcps://`")?;
        let tls = match scheme {
            "tcp" | "amqp" => false,
            "tcps" | "amqps" => true,
            _ => return Err(format!("no scheme is called `{scheme}`: there are `tcp` and `tcps`")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        // An IPv6 address has colons of its own, and brackets because of them.
        let (host, port) = match rest.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
            Some((host, port)) => (host, port.parse().map_err(|_| format!("`{port}` is no port"))?),
            None => (rest, protocol.port(tls)),
        };
        let host = match host.strip_prefix('[') {
            Some(address) => address.strip_suffix(']').unwrap_or_default(),
            None => host,
        };
        let foreign = |c: char| c.is_whitespace() || matches!(c, '/' | '@' | '[' | ']');
        if host.is_empty() || host.contains(foreign) || port == 0 {
            return Err("is not `tcp://host:port`".to_owned());
        }
        Ok(Self { host: host.to_owned(), port, tls })
    }
}

/// The address of a queue or topic in AMQP 1.0. A name that is an address already stays as it is.
///
/// # Errors
/// There is none, or more than one.
pub fn address(topics: &[String], queue: Option<&str>) -> Result<String, String> {
    let whole = |prefix: &str, name: &str| match name.contains("://") || name.starts_with('/') {
        true => name.to_owned(),
        false => format!("{prefix}://{name}"),
    };
    match (topics, queue) {
        ([], Some(queue)) if !queue.is_empty() => Ok(whole("queue", queue)),
        ([topic], None) if !topic.is_empty() => Ok(whole("topic", topic)),
        _ => Err("needs exactly one topic in `topics`, or `queue`".to_owned()),
    }
}

const SHARED: &str = "sharedConfiguration";

/// All that is wrong or without effect. Both nodes fit their schemas.
pub fn examine(configuration: Option<&Node>, shared: Option<&Node>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let (Some(node), Ok(endpoint)) = (configuration, decode::<EndpointConfig>(configuration)) else { return problems };
    let mut refuse = |node: &Node, pointer: &str, message: String| {
        problems.push(Problem::error(&node.span, pointer, message));
    };
    let place = Place::parse(&endpoint.url, endpoint.protocol);
    match &place {
        Err(error) => refuse(node.field("url").unwrap_or(node), "configuration.url", error.clone()),
        Ok(place) if [55_555, 55_443, 55_003].contains(&place.port) => {
            let message =
                format!("port {} is SMF's, and `protocol` is an open one: see the broker's services", place.port);
            problems.push(Problem::warning(&node.field("url").unwrap_or(node).span, "configuration.url", message));
        }
        Ok(_) => {}
    }
    if let Some(entry) = node.entry("vpnName").filter(|_| endpoint.protocol == Protocol::Mqtt) {
        let message = "`vpnName` has no effect over `MQTT`: each VPN has a port of its own";
        problems.push(Problem::warning(&entry.span, "configuration.vpnName", message));
    }
    let mut refuse = |node: &Node, pointer: &str, message: String| {
        problems.push(Problem::error(&node.span, pointer, message));
    };
    let Some(node) = shared else {
        refuse(node, SHARED, NOTHING.to_owned());
        return problems;
    };
    let Ok(config) = decode::<SharedConfig>(shared) else { return problems };
    for (name, message) in self::shared(&config, endpoint.protocol) {
        let pointer = if name.is_empty() { SHARED.to_owned() } else { format!("{SHARED}.{name}") };
        refuse(node.field(name).unwrap_or(node), &pointer, message);
    }
    if place.is_ok_and(|place| place.tls) {
        let place = node.field("security").and_then(|security| security.field("ssl")).unwrap_or(node);
        problems.extend(
            SslConfig::from(config.security.ssl).located(shared).problems(place, &format!("{SHARED}.security.ssl")),
        );
    }
    problems
}

/// The stores that it is built from.
pub fn files(_: Option<&Node>, shared: Option<&Node>) -> Vec<PathBuf> {
    let Ok(config) = decode::<SharedConfig>(shared) else { return Vec::new() };
    SslConfig::from(config.security.ssl).located(shared).files()
}

const NOTHING: &str = "neither a consumer nor a producer is enabled: nothing can be read or published";

fn shared(config: &SharedConfig, protocol: Protocol) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    let consumer = config.consumer.as_ref().filter(|consumer| consumer.enabled);
    let producer = config.producer.as_ref().filter(|producer| producer.enabled);
    if consumer.is_none() && producer.is_none() {
        found.push(("", NOTHING.to_owned()));
    }
    if protocol == Protocol::Mqtt {
        found.extend(words::shared(config).err());
        return found;
    }
    if let Some(Err(error)) = consumer.map(|consumer| address(&consumer.topics, consumer.queue.as_deref())) {
        found.push(("consumer", error));
    }
    if let Some(Err(error)) = producer.map(|producer| address(&producer.topics, producer.queue.as_deref())) {
        found.push(("producer", error));
    }
    found
}

/// The first of what [`examine`] refuses besides TLS.
///
/// # Errors
/// There is something.
pub fn refuse(endpoint: &EndpointConfig, config: &SharedConfig) -> Result<Place, Refusal> {
    let place = Place::parse(&endpoint.url, endpoint.protocol).map_err(|error| Refusal(format!("url: {error}")))?;
    match shared(config, endpoint.protocol).into_iter().next() {
        Some((name, message)) => Err(Refusal(format!("{name}: {message}"))),
        None => Ok(place),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_and_whether_with_tls() {
        let place = |host: &str, port, tls| Ok(Place { host: host.to_owned(), port, tls });
        for (url, expected) in [
            ("tcp://a:1", place("a", 1, false)),
            ("tcps://a", place("a", 5671, true)),
            ("tcp://[::1]:7/", place("::1", 7, false)),
            ("tcp://[::1]", place("::1", 5672, false)),
        ] {
            assert_eq!(Place::parse(url, Protocol::Amqp), expected, "{url}");
        }
        assert_eq!(Place::parse("tcps://a", Protocol::Mqtt), place("a", 8883, true));
        for url in [
            "a:1",
            "http://a",
            "tcp://",
            "tcp://a:b",
            "tcp://u@a:1",
            "tcp://a:0",
            "tcp://a/b",
            "tcp://[::1]a:1",
            "tcp://[[::1]]:1",
            "tcp://a]:1",
            "tcp://a b:1",
        ] {
            assert!(Place::parse(url, Protocol::Mqtt).is_err(), "{url}");
        }
    }

    #[test]
    fn an_address_is_one_queue_or_one_topic() {
        let topics = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(address(&topics(&["a/b"]), None).unwrap(), "topic://a/b");
        assert_eq!(address(&[], Some("q")).unwrap(), "queue://q");
        assert_eq!(address(&[], Some("/queue/q")).unwrap(), "/queue/q");
        assert!(address(&topics(&["a"]), Some("q")).is_err());
        assert!(address(&topics(&["a", "b"]), None).is_err());
        assert!(address(&[], None).is_err());
    }
}
