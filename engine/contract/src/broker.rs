//! What a message API reaches.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use bytes::Bytes;
use ringway_config::api::Qos;

use crate::{Attributes, Fault, Feed, Message};

/// A message on its way into a broker; done when the broker has it, to the extent that the level of service asks for.
pub type Publishing = Pin<Box<dyn Future<Output = Result<(), Fault>>>>;

/// What a subscription asks for.
#[derive(Clone, Debug)]
pub struct Subscribe {
    /// What is promised of the delivery. Never `Auto` where the pair has a level of its own.
    pub qos: Qos,
    /// Whether only what comes from now on matters, and nothing of it is remembered for this consumer: a stream that anybody may look at.
    /// Otherwise the broker remembers how far this consumer has come.
    pub live: bool,
    /// Where to go on: an id that an [`Origin`](crate::Origin) of this endpoint gave out.
    pub cursor: Option<Bytes>,
    /// Who consumes: the same text is the same consumer, also over another connection and after a restart.
    pub client: Rc<str>,
    /// Whether the feed is to wait for receipts: else the broker's side takes each message for delivered as it hands it over.
    pub receipts: bool,
}

/// Speaks a broker's protocol on one side and messages on the other. Built once per shard.
///
/// The client library may have threads or a runtime of its own; between them and the shard there are only rings.
pub trait Broker {
    /// Begins a subscription. Its feed says [`Delivery::Ready`](crate::Delivery::Ready) when the broker has accepted it.
    ///
    /// # Errors
    /// It cannot be had at all: a cursor that is none, an endpoint without a consumer, ...
    fn subscribe(&self, wish: &Subscribe, attributes: &Attributes) -> Result<Feed, Fault>;

    /// What [`Broker::subscribe`] would read for this wish, if it is live: subscriptions of equal subjects may share one. `None`: each
    /// has one of its own.
    fn subject(&self, wish: &Subscribe, attributes: &Attributes) -> Option<String>;

    /// Publishes one message. Messages of one session are published in the order of the calls. A fault whose retry is
    /// [`Retry::Safe`](crate::Retry::Safe) left the broker without the message: it may be published elsewhere.
    fn publish(&self, message: Message, qos: Qos, attributes: &Attributes) -> Publishing;
}
