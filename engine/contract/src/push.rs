//! Entrypoints that go to their consumers: they send each message of a subscription, and are told what became of it.
//!
//! ```text
//!             open(subscription)
//!   engine ── deliver(parcel) ──▶ courier ──▶ consumer
//!          ◀─ Verdict ───────────
//! ```
//!
//! The engine subscribes, keeps the order, repeats, acknowledges and puts dead letters away; a courier only delivers.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use ringway_config::Node;
use ringway_config::api::Qos;

use crate::{Fault, Message, Origin, Refusal};

/// A delivery under way. Dropped, it is given up wherever it is.
pub type Delivering = Pin<Box<dyn Future<Output = Verdict>>>;

/// A message and what it is known by.
#[derive(Debug)]
pub struct Parcel {
    /// The message.
    pub message: Message,
    /// Its id, as its [`Origin`](crate::Origin) tells: the same when it comes again. Empty on the way to a broker.
    pub id: Bytes,
    /// What its origin tells of it besides its own metadata, where somebody asks for it.
    pub told: Vec<(Box<str>, Bytes)>,
}

impl Parcel {
    /// A message that has just [passed](crate::Origin::passed).
    pub fn of(message: Message, origin: &dyn Origin) -> Self {
        let mut id = BytesMut::new();
        origin.id(&message, &mut id);
        let mut told = Vec::new();
        origin.metadata(&message, &mut |name, value| told.push((name.into(), Bytes::copy_from_slice(value))));
        Self { message, id: id.freeze(), told }
    }

    /// All metadata of the message.
    pub fn metadata(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        let own = self.message.metadata.iter().map(|(name, value)| (*name, value));
        own.chain(self.told.iter().map(|(name, value)| (&**name, value)))
    }
}

/// A message that comes from a client.
impl From<Message> for Parcel {
    fn from(message: Message) -> Self {
        Self { message, id: Bytes::new(), told: Vec::new() }
    }
}

/// What became of a parcel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The consumer has it.
    Delivered,
    /// The consumer does not want it, and would not want it a second time.
    Refused(StatusCode),
    /// The consumer does not want it now, and may later.
    Deferred(StatusCode),
    /// The consumer has failed.
    Failed(StatusCode),
    /// There was no answer. A fault whose retry is [`Retry::Safe`](crate::Retry::Safe) left the consumer without a byte of the message.
    Exception(Fault),
}

/// How the time between two attempts grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// By the first one each time.
    Linear,
    /// It doubles.
    Exponential,
}

/// How often a delivery is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Attempts after the first.
    pub retries_max: u32,
    /// Before the second attempt.
    pub initial: Duration,
    /// Between two attempts at most.
    pub max: Duration,
    /// How it grows between them.
    pub growth: Growth,
}

impl Patience {
    /// How long to wait after so many attempts, of which there was one at least.
    pub fn delay(&self, attempts: u32) -> Duration {
        let factor = match self.growth {
            Growth::Linear => attempts,
            Growth::Exponential => 1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX),
        };
        self.initial.saturating_mul(factor.max(1)).min(self.max)
    }
}

/// On what terms a subscription is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Messages that are under way at once at most. At least 1.
    pub window: usize,
    /// How often a delivery is tried again; `None`: it is not.
    pub patience: Option<Patience>,
    /// Whether the subscription ends when the consumer has failed for good. Otherwise it goes on with the next message.
    pub stops_when_failed: bool,
    /// The same when there was no answer.
    pub stops_when_silent: bool,
}

/// Delivers the messages of one subscription, on one shard.
pub trait Courier {
    /// On what terms; asked once.
    fn terms(&self) -> Terms;

    /// Delivers a parcel, once. It is called again to repeat it.
    fn deliver(self: Rc<Self>, parcel: Rc<Parcel>) -> Delivering;

    /// Lets go what has been idle for too long. Called about once per second.
    fn sweep(&self) {}
}

/// An entrypoint that goes to its consumers. Built once per shard.
pub trait Push {
    /// Makes the courier of a subscription from what the subscription tells the entrypoint.
    ///
    /// # Errors
    /// It cannot be served from this configuration.
    fn open(&self, subscription: Option<&Node>, qos: Qos) -> Result<Rc<dyn Courier>, Refusal>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_their_bound() {
        let patience = |growth| Patience {
            retries_max: 9,
            initial: Duration::from_secs(10),
            max: Duration::from_secs(35),
            growth,
        };
        let seconds = |growth| [1, 2, 3, 4, 40].map(|attempts| patience(growth).delay(attempts).as_secs());
        assert_eq!(seconds(Growth::Linear), [10, 20, 30, 35, 35]);
        assert_eq!(seconds(Growth::Exponential), [10, 20, 35, 35, 35]);
    }
}
