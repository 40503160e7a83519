//! RabbitMQ over AMQP 0-9-1.
//!
//! ```text
//!   shards                         the brokers' thread                          the library's threads
//!   Feed       ◀═ ring ═▶  consume::run ── channel ─┐
//!   Feed       ◀═ ring ═▶  consume::run ── channel ─┴─ link (Consume) ───── one connection
//!   Publisher  ◀═ ring ═▶  produce::run ── channel ─── link (Publish) ───── one connection
//! ```

use std::cell::OnceCell;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::BytesMut;
use lapin::options::QueueDeclareOptions;
use ringway_contract::kind::{Part, decode};
use ringway_contract::{
    Attributes, Broker, Cause, Fault, Feed, Kind, Message, Messaging, Origin, Publishing, Qos, Refusal, Source,
    Subscribe,
};

use crate::{bridge, tls};

mod config;
mod consume;
mod convert;
mod examine;
mod frames;
mod link;
mod produce;
mod transport;

use config::{Consumer, NAME_BYTES_MAX};
pub use config::{EndpointConfig, SharedConfig};
use consume::{Plan, Settle};
use link::{Link, Role, Target};

/// `rabbitmq`, the endpoint of message APIs.
pub static BROKER: Kind<dyn Broker> = Kind {
    name: "rabbitmq",
    about: "A RabbitMQ broker over AMQP 0-9-1: an exchange to publish to, queues to read from.",
    docs: include_str!("README.md"),
    configuration: Part::of::<EndpointConfig>().examined(examine::examine).reading(examine::files),
    shared: Some(Part::of::<SharedConfig>()),
    messaging: Some(Messaging {
        publish: &[Qos::None, Qos::Auto, Qos::AtMostOnce, Qos::AtLeastOnce],
        subscribe: &[Qos::None, Qos::Auto, Qos::AtMostOnce, Qos::AtLeastOnce],
        // A queue has no places to go on from: what was acknowledged is gone.
        recover: false,
    }),
    build: |source, _| Ok(Rc::new(Rabbit::new(source)?)),
};

/// The attribute that names another exchange.
const EXCHANGE: &str = "rabbitmq.exchange";
/// The attribute that names another routing key.
const ROUTING_KEY: &str = "rabbitmq.routingKey";
/// What names of queues begin with; the reference product's.
const QUEUE: &str = "gravitee/gio-gateway/";

struct Rabbit {
    target: Arc<Target>,
    consumer: Option<Consumer>,
    producer: Option<Arc<config::Producer>>,
    publisher: OnceCell<bridge::Publisher<produce::Detail>>,
}

impl Rabbit {
    fn new(source: Source<'_>) -> Result<Self, Refusal> {
        let endpoint = decode::<EndpointConfig>(source.configuration)?;
        let shared = decode::<SharedConfig>(source.shared)?;
        examine::refuse(&endpoint, &shared)?;
        let SharedConfig { security, consumer, producer } = shared;
        let ssl = security.ssl.clone().map(|ssl| tls::SslConfig::from(ssl).located(source.shared));
        let tls = ssl.as_ref().map(tls::client).transpose()?;
        Ok(Self {
            target: Arc::new(Target { endpoint, security, ssl, tls }),
            consumer: consumer.filter(|consumer| consumer.enabled),
            producer: producer.filter(|producer| producer.enabled).map(Arc::new),
            publisher: OnceCell::new(),
        })
    }

    fn plan(&self, wish: &Subscribe, attributes: &Attributes) -> Result<Plan, Fault> {
        let refused = |detail| Fault::new(Cause::BrokerRefused).detail(detail);
        let consumer = self.consumer.as_ref().ok_or(refused("the endpoint has no consumer"))?;
        let mut exchange = consumer.exchange.clone();
        let mut foreign = false;
        if let Some(name) = attributes.get(EXCHANGE).filter(|name| !name.is_empty())
            && exchange.as_ref().is_none_or(|known| known.name != name)
        {
            // A request may choose among exchanges, but makes none.
            foreign = true;
            let mut other = exchange.unwrap_or_else(config::Exchange::foreign);
            name.clone_into(&mut other.name);
            exchange = Some(other);
        }
        let mut options = QueueDeclareOptions::default();
        let queue = match &consumer.queue {
            Some(queue) => {
                options.durable = consumer.durable.unwrap_or(true);
                // Nothing says how it is declared.
                options.passive = exchange.is_none();
                queue.clone()
            }
            None if wish.live => {
                options.durable = consumer.durable.unwrap_or(false);
                options.exclusive = true;
                options.auto_delete = true;
                format!("{QUEUE}{}/live-{:x}", wish.client, unique())
            }
            None if wish.qos == Qos::AtMostOnce => {
                // A broker that is killed may forget what was acknowledged a moment ago, and bring it again: a queue that it forgets
                // as a whole brings nothing again.
                options.durable = consumer.durable.unwrap_or(false);
                format!("{QUEUE}{}/at-most-once", wish.client)
            }
            None => {
                options.durable = consumer.durable.unwrap_or(true);
                format!("{QUEUE}{}", wish.client)
            }
        };
        let routing_key = attributes.get(ROUTING_KEY).unwrap_or(&consumer.routing_key).to_owned();
        let names = [Some(&queue), Some(&routing_key), exchange.as_ref().map(|exchange| &exchange.name)];
        if names.into_iter().flatten().any(|name| name.len() > NAME_BYTES_MAX) {
            return Err(refused("a queue, exchange or routing key of more than 255 bytes"));
        }
        let settle = match (wish.receipts, wish.qos) {
            (true, _) => Settle::Receipt,
            (false, Qos::AtMostOnce) => Settle::Before,
            (false, _) => Settle::HandOver,
        };
        Ok(Plan { exchange, foreign, routing_key, queue, options, prefetch: consumer.prefetch.max(1), settle })
    }
}

/// A number that no other gateway has, either.
fn unique() -> u64 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    RandomState::new().hash_one((std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)))
}

impl Broker for Rabbit {
    /// A cursor says nothing here: the queue knows how far its consumer has come.
    fn subscribe(&self, wish: &Subscribe, attributes: &Attributes) -> Result<Feed, Fault> {
        let plan = self.plan(wish, attributes)?;
        let internal = |_| Fault::new(Cause::Internal).detail("no descriptors or threads are left");
        let link = Link::to(&self.target, Role::Consume).map_err(internal)?;
        let origin = Box::new(Queue { number: unique() });
        let (feed, remote) = bridge::feed(origin).map_err(internal)?;
        bridge::spawn(consume::run(link, plan, remote)).map_err(internal)?;
        Ok(feed)
    }

    fn subject(&self, wish: &Subscribe, attributes: &Attributes) -> Option<String> {
        let plan = wish.live.then(|| self.plan(wish, attributes).ok())??;
        let exchange = plan.exchange.map(|exchange| exchange.name).unwrap_or_default();
        let queue = self.consumer.as_ref().and_then(|consumer| consumer.queue.as_deref()).unwrap_or_default();
        Some(format!("{exchange}\0{}\0{queue}", plan.routing_key))
    }

    fn publish(&self, message: Message, qos: Qos, attributes: &Attributes) -> Publishing {
        match self.publisher() {
            Ok(publisher) => {
                // A message's own say more than its request's.
                let of = |name| {
                    let own = message.attributes.as_ref().and_then(|own| own.get(name));
                    own.or_else(|| attributes.get(name)).map(str::to_owned)
                };
                let detail = produce::Detail { exchange: of(EXCHANGE), routing_key: of(ROUTING_KEY) };
                publisher.publish(message, qos, detail)
            }
            Err(fault) => Box::pin(async move { Err(fault) }),
        }
    }
}

impl Rabbit {
    fn publisher(&self) -> Result<&bridge::Publisher<produce::Detail>, Fault> {
        if let Some(publisher) = self.publisher.get() {
            return Ok(publisher);
        }
        let none = Fault::new(Cause::BrokerRefused).detail("the endpoint has no producer");
        let plan = self.producer.clone().ok_or(none)?;
        let internal = |_| Fault::new(Cause::Internal).detail("no descriptors or threads are left");
        let link = Link::to(&self.target, Role::Publish).map_err(internal)?;
        let (publisher, remote) = bridge::publisher().map_err(internal)?;
        bridge::spawn(produce::run(link, plan, remote)).map_err(internal)?;
        Ok(self.publisher.get_or_init(|| publisher))
    }
}

/// Ids tell messages apart, and nothing else: the feed's number, the channel's, and the delivery tag.
struct Queue {
    number: u64,
}

impl Origin for Queue {
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
