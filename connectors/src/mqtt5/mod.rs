//! An MQTT 5 broker.
//!
//! ```text
//!   shards                          the brokers' thread
//!   Feed       ◀═ ring ═▶  consume::run ── connection of its own ──┐
//!   Feed       ◀═ ring ═▶  consume::run ── connection of its own ──┼── broker
//!   Publisher  ◀═ ring ═▶  produce::run ── one for each shard ─────┘
//! ```
//!
//! A subscription has a connection of its own, because MQTT knows who has acknowledged what by the connection's client identifier.

use std::cell::OnceCell;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ringway_contract::kind::{Part, decode};
use ringway_contract::{
    Attributes, Broker, Cause, Fault, Feed, Kind, Message, Messaging, Origin, Publishing, Qos, Refusal, Source,
    Subscribe,
};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{LastWill, LastWillProperties, Login, Publish};

use crate::tls::SslConfig;
use crate::{bridge, tls};

mod config;
mod connection;
mod consume;
mod convert;
pub mod examine;
mod lease;
mod ledger;
mod packets;
mod produce;

pub use config::{Auth, Consumer, EndpointConfig, Producer, SharedConfig};
use connection::Target;
use consume::{Plan, Settle};

/// `mqtt5`, the endpoint of message APIs.
pub static BROKER: Kind<dyn Broker> = Kind {
    name: "mqtt5",
    about: "An MQTT 5 broker: topics to publish to and to subscribe to, with shared subscriptions and QoS 0, 1 and 2.",
    docs: include_str!("README.md"),
    configuration: Part::of::<EndpointConfig>().examined(examine::examine).reading(examine::files),
    shared: Some(Part::of::<SharedConfig>()),
    messaging: Some(Messaging {
        publish: &[Qos::None, Qos::Auto, Qos::AtMostOnce, Qos::AtLeastOnce],
        subscribe: &[Qos::None, Qos::Auto, Qos::AtMostOnce, Qos::AtLeastOnce],
        // A topic has no places to go on from: what was acknowledged is gone.
        recover: false,
    }),
    build: |source, _| Ok(Rc::new(Mqtt::new(source)?)),
};

/// Speaks to a broker.
pub struct Mqtt {
    target: Arc<Target>,
    consumer: Option<config::Consumer>,
    producer: Option<config::Producer>,
    expiry_s: u32,
    will: Option<LastWill>,
    /// How long a message waits for a broker that is away.
    patience: Duration,
    publisher: OnceCell<bridge::Publisher<Publish>>,
}

impl Mqtt {
    fn new(source: Source<'_>) -> Result<Self, Refusal> {
        let endpoint = decode::<EndpointConfig>(source.configuration)?;
        let shared = decode::<SharedConfig>(source.shared)?;
        let ssl = shared.security.ssl.clone().map(|ssl| ssl.located(source.shared));
        Self::of(endpoint, shared, ssl.as_ref(), source.has_siblings())
    }

    /// One of a configuration that may have been written in other words. `among_others`: whether another broker may serve instead.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of(
        endpoint: EndpointConfig,
        shared: SharedConfig,
        ssl: Option<&SslConfig>,
        among_others: bool,
    ) -> Result<Self, Refusal> {
        examine::refuse(&endpoint, &shared)?;
        let target = Target {
            host: endpoint.server_host,
            port: endpoint.server_port,
            tls: ssl.map(tls::client).transpose()?,
            login: shared.security.auth.map(|auth| Login::new(auth.username, auth.password)),
            keep_alive_s: shared.keep_alive_interval.max(2),
            attempts_max: shared.reconnect_attempts.map(u32::from),
        };
        Ok(Self {
            target: Arc::new(target),
            consumer: shared.consumer.filter(|consumer| consumer.enabled),
            producer: shared.producer.filter(|producer| producer.enabled),
            expiry_s: config::expiry(shared.session_expiry_interval),
            will: shared.last_will.map(will),
            patience: if among_others { produce::PATIENCE_AMONG_OTHERS } else { produce::PATIENCE },
            publisher: OnceCell::new(),
        })
    }

    fn plan(&self, wish: &Subscribe, attributes: &Attributes) -> Result<Plan, Fault> {
        let none = Fault::new(Cause::BrokerRefused).detail("the endpoint has no consumer");
        let consumer = self.consumer.as_ref().ok_or(none)?;
        let mut filters: Vec<String> = match attributes.get(convert::TOPIC).filter(|topic| !topic.is_empty()) {
            Some(topic) if examine::filter(topic).is_some() => {
                return Err(Fault::new(Cause::SubscribeFailed).detail("`mqtt5.topic` is no topic filter"));
            }
            Some(topic) => vec![topic.to_owned()],
            None => consumer.filters().map(str::to_owned).collect(),
        };
        filters.dedup();
        let qos = if wish.qos == Qos::None { QoS::AtMostOnce } else { config::qos(consumer.qos) };
        let mut identity = None;
        if !wish.live {
            let client = name(&wish.client);
            // Another subscription is another session: the broker would keep the filters of the one before.
            let subscription = format!("{}\0{}\0{}", filters.join("\0"), qos as u8, consumer.shared);
            if consumer.shared {
                for filter in filters.iter_mut().filter(|filter| !filter.starts_with("$share/")) {
                    *filter = format!("$share/{client}/{filter}");
                }
            }
            identity = Some(format!("ringway-{client}-{:08x}", digest(&subscription)));
        }
        Ok(Plan {
            target: self.target.clone(),
            filters,
            qos,
            settle: match (wish.receipts, wish.qos) {
                (true, _) => Settle::Receipt,
                (false, Qos::AtMostOnce) => Settle::Before,
                (false, _) => Settle::HandOver,
            },
            consumer: identity,
            clean_start: consumer.clean_start,
            expiry_s: self.expiry_s,
            receive_maximum: consumer.receive_maximum.max(1),
            will: self.will.clone().filter(|_| self.producer.is_none()),
        })
    }

    fn publisher(&self) -> Result<&bridge::Publisher<Publish>, Fault> {
        if let Some(publisher) = self.publisher.get() {
            return Ok(publisher);
        }
        let (publisher, remote) = bridge::publisher().map_err(internal)?;
        let plan = produce::Plan { target: self.target.clone(), will: self.will.clone(), patience: self.patience };
        bridge::spawn(produce::run(plan, remote)).map_err(internal)?;
        Ok(self.publisher.get_or_init(|| publisher))
    }

    fn published(&self, message: Message, qos: Qos, attributes: &Attributes) -> Result<Publishing, Fault> {
        let none = Fault::new(Cause::BrokerRefused).detail("the endpoint has no producer");
        let producer = self.producer.as_ref().ok_or(none)?;
        let publish = convert::outbound(&message, qos, attributes, producer)?;
        Ok(self.publisher()?.publish(message, qos, publish))
    }
}

fn internal(error: std::io::Error) -> Fault {
    tracing::error!(%error, "no descriptors or threads are left for a broker");
    Fault::new(Cause::Internal).detail("no descriptors or threads are left")
}

fn will(will: config::Will) -> LastWill {
    let properties = LastWillProperties {
        delay_interval: (will.delay_interval > 0).then_some(will.delay_interval),
        payload_format_indicator: None,
        message_expiry_interval: None,
        content_type: None,
        response_topic: None,
        correlation_data: None,
        user_properties: Vec::new(),
    };
    LastWill {
        topic: Bytes::from(will.topic),
        message: Bytes::from(will.payload),
        qos: config::qos(will.qos),
        retain: will.retained,
        properties: Some(properties),
    }
}

/// Some bits that no other process has, either.
fn chance() -> u64 {
    // Each state has keys of its own.
    RandomState::new().hash_one(std::process::id())
}

/// Longest name of a client; of a longer one a part stands for all.
const NAME_BYTES_MAX: usize = 200;

/// A client's name as a part of share names and client identifiers, where other characters mean something (MQTT 5, section 4.8.2).
fn name(client: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
    let mut name: String = client.chars().take(NAME_BYTES_MAX).map(plain).collect();
    if name != client {
        name.push_str(&format!("-{:08x}", digest(client)));
    }
    name
}

/// A few bits of a text, the same in every release: FNV-1a.
fn digest(text: &str) -> u32 {
    text.bytes().fold(0x811C_9DC5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

impl Broker for Mqtt {
    /// A cursor says nothing here: the broker's session knows how far its consumer has come.
    fn subscribe(&self, wish: &Subscribe, attributes: &Attributes) -> Result<Feed, Fault> {
        let plan = self.plan(wish, attributes)?;
        let (feed, remote) = bridge::feed(Box::new(Topic::default())).map_err(internal)?;
        bridge::spawn(consume::run(plan, remote)).map_err(internal)?;
        Ok(feed)
    }

    fn subject(&self, wish: &Subscribe, attributes: &Attributes) -> Option<String> {
        let plan = wish.live.then(|| self.plan(wish, attributes).ok())??;
        Some(format!("{}\0{}", plan.qos as u8, plan.filters.join("\0")))
    }

    fn publish(&self, message: Message, qos: Qos, attributes: &Attributes) -> Publishing {
        match self.published(message, qos, attributes) {
            Ok(publishing) => publishing,
            Err(fault) => Box::pin(async move { Err(fault) }),
        }
    }
}

/// Messages of MQTT have no ids: those that are made up tell messages of one subscription apart, and nothing else.
struct Topic {
    subscription: u64,
    count: u64,
}

impl Default for Topic {
    fn default() -> Self {
        Self { subscription: chance(), count: 0 }
    }
}

impl Origin for Topic {
    fn passed(&mut self, _message: &Message) {
        self.count += 1;
    }

    fn id(&self, _message: &Message, out: &mut BytesMut) {
        out.extend_from_slice(format!("{:016x}-{}", self.subscription, self.count).as_bytes());
    }

    fn metadata(&self, _message: &Message, _each: &mut dyn FnMut(&str, &[u8])) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_clients_are_names_of_shares() {
        assert_eq!(name("api-127-0-0-1"), "api-127-0-0-1");
        assert!(name("a/b+#").starts_with("a_b__-"));
        assert_ne!(name("a/b"), name("a+b"));
        assert!(name(&"x".repeat(1_000)).len() < 256);
    }
}
