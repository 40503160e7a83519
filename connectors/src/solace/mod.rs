//! Solace event brokers by their open protocols: AMQP 1.0 here, MQTT 5 in `direct.rs`.

use std::cell::OnceCell;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::BytesMut;
use ringway_contract::kind::{Part, decode};
use ringway_contract::{
    Attributes, Broker, Cause, Fault, Feed, Kind, Message, Messaging, Origin, Publishing, Qos, Refusal, Services,
    Source, Subscribe,
};

use crate::{bridge, tls};

mod config;
mod consume;
mod convert;
mod direct;
mod frames;
mod link;
mod produce;
mod words;

use config::{Consumer, Place, Protocol};
pub use config::{EndpointConfig, SharedConfig};
use consume::Settle;
use direct::Direct;
use link::Target;

/// `solace`, the endpoint of message APIs.
pub static BROKER: Kind<dyn Broker> = Kind {
    name: "solace",
    about: "A Solace event broker by its open protocols: queues and topic endpoints over AMQP 1.0, direct topics over MQTT 5.",
    docs: include_str!("README.md"),
    configuration: Part::of::<EndpointConfig>().examined(config::examine).reading(config::files),
    shared: Some(Part::of::<SharedConfig>()),
    messaging: Some(Messaging {
        publish: &[Qos::None, Qos::Auto, Qos::AtMostOnce, Qos::AtLeastOnce],
        subscribe: &[Qos::None, Qos::Auto, Qos::AtMostOnce, Qos::AtLeastOnce],
        // A queue has no places to go on from: what was accepted is gone.
        recover: false,
    }),
    build,
};

fn build(source: Source<'_>, _: &Services) -> Result<Rc<dyn Broker>, Refusal> {
    let endpoint = decode::<EndpointConfig>(source.configuration)?;
    let shared = decode::<SharedConfig>(source.shared)?;
    let place = config::refuse(&endpoint, &shared)?;
    Ok(match endpoint.protocol {
        Protocol::Amqp => Rc::new(Solace::new(place, endpoint.vpn_name, shared, source)?),
        Protocol::Mqtt => Rc::new(Direct::new(place, &shared, source)?),
    })
}

/// A broker by its AMQP port.
struct Solace {
    target: Arc<Target>,
    consumer: Option<Consumer>,
    producer: Option<produce::Plan>,
    publisher: OnceCell<bridge::Publisher<()>>,
}

impl Solace {
    fn new(place: Place, vpn: Option<String>, shared: SharedConfig, source: Source<'_>) -> Result<Self, Refusal> {
        let ssl = tls::SslConfig::from(shared.security.ssl).located(source.shared);
        let tls = place.tls.then(|| tls::client(&ssl)).transpose()?;
        let producer = shared.producer.filter(|producer| producer.enabled);
        let producer = producer.map(|producer| {
            let address = config::address(&producer.topics, producer.queue.as_deref()).map_err(Refusal)?;
            let durable = producer.delivery_mode == config::DeliveryMode::Persistent;
            Ok::<_, Refusal>(produce::Plan { address, name: format!("ringway-{:x}", unique()), durable })
        });
        Ok(Self {
            target: Arc::new(Target { place, vpn, auth: shared.security.auth, tls }),
            consumer: shared.consumer.filter(|consumer| consumer.enabled),
            producer: producer.transpose()?,
            publisher: OnceCell::new(),
        })
    }

    fn plan(&self, wish: &Subscribe) -> Result<consume::Plan, Fault> {
        let refused = |detail| Fault::new(Cause::BrokerRefused).detail(detail);
        let consumer = self.consumer.as_ref().ok_or(refused("the endpoint has no consumer"))?;
        let address = config::address(&consumer.topics, consumer.queue.as_deref());
        let name = format!("gravitee/gio-gateway/{}", wish.client);
        let of_topic = consumer.queue.is_none();
        Ok(consume::Plan {
            address: address.map_err(|_| refused("the endpoint has no one address"))?,
            // Of a queue, several links of one client are several readers; a topic endpoint is its name.
            name: if wish.live || !of_topic { format!("{name}/{:x}", unique()) } else { name },
            durable: of_topic && !wish.live,
            prefetch: consumer.prefetch.max(1),
            settle: match (wish.receipts, wish.qos) {
                (true, _) => Settle::Receipt,
                (false, Qos::AtMostOnce) => Settle::Before,
                (false, _) => Settle::HandOver,
            },
        })
    }

    fn publisher(&self) -> Result<&bridge::Publisher<()>, Fault> {
        if let Some(publisher) = self.publisher.get() {
            return Ok(publisher);
        }
        let none = Fault::new(Cause::BrokerRefused).detail("the endpoint has no producer");
        let plan = self.producer.clone().ok_or(none)?;
        let (publisher, remote) = bridge::publisher().map_err(internal)?;
        bridge::spawn(produce::run(self.target.clone(), plan, remote)).map_err(internal)?;
        Ok(self.publisher.get_or_init(|| publisher))
    }
}

fn internal(_: std::io::Error) -> Fault {
    Fault::new(Cause::Internal).detail("no descriptors or threads are left")
}

/// A number that no other gateway has, either.
fn unique() -> u64 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    RandomState::new().hash_one((std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)))
}

impl Broker for Solace {
    /// A cursor says nothing here: the queue knows how far its consumer has come.
    fn subscribe(&self, wish: &Subscribe, _attributes: &Attributes) -> Result<Feed, Fault> {
        let plan = self.plan(wish)?;
        let (feed, remote) = bridge::feed(Box::new(Link { number: unique() })).map_err(internal)?;
        bridge::spawn(consume::run(self.target.clone(), plan, remote)).map_err(internal)?;
        Ok(feed)
    }

    fn subject(&self, wish: &Subscribe, _attributes: &Attributes) -> Option<String> {
        // The address is the same for all.
        wish.live.then(String::new)
    }

    fn publish(&self, message: Message, qos: Qos, _attributes: &Attributes) -> Publishing {
        match self.publisher() {
            Ok(publisher) => publisher.publish(message, qos, ()),
            Err(fault) => Box::pin(async move { Err(fault) }),
        }
    }
}

/// Ids tell messages apart, and nothing else.
struct Link {
    number: u64,
}

impl Origin for Link {
    fn passed(&mut self, _message: &Message) {}

    fn id(&self, message: &Message, out: &mut BytesMut) {
        let given = message.metadata.iter().find(|(name, _)| *name == "messageId").map(|(_, id)| id);
        match given.filter(|id| !id.is_empty() && id.iter().all(|byte| (b' '..=b'~').contains(byte))) {
            Some(id) => out.extend_from_slice(id),
            None => {
                let position = message.position;
                out.extend_from_slice(format!("{:x}-{}-{}", self.number, position.part, position.offset).as_bytes());
            }
        }
    }

    fn metadata(&self, _message: &Message, _each: &mut dyn FnMut(&str, &[u8])) {}
}
