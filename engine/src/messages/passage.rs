//! What messages pass between client and broker: the steps of the flows that were taken when their session began.

use std::rc::Rc;

use ringway_contract::{Exchange, Message, Parcel, Reply};

use crate::chain::{Settled, Step};

/// The steps of one way, in order.
#[derive(Clone, Default)]
pub struct Passage(Box<[Rc<[Step]>]>);

/// What becomes of a message.
pub enum Fate {
    /// It goes on, perhaps as another one.
    On(Box<Parcel>),
    /// It goes no further, and nobody misses it.
    Dropped,
    /// It goes no further; this is what whoever sent it is told, and the message as it was then.
    Refused(Box<Reply>, Box<Parcel>),
}

impl Passage {
    /// The steps of flows.
    pub fn new<'a>(flows: impl Iterator<Item = &'a Rc<[Step]>>) -> Self {
        Self(flows.filter(|steps| !steps.is_empty()).cloned().collect())
    }

    /// Whether messages pass nothing.
    pub fn is_idle(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes a message through.
    pub async fn pass(&self, exchange: &mut Exchange, parcel: Parcel) -> Fate {
        exchange.message = Some(Box::new(parcel));
        let mut settled = Settled::Next;
        for step in self.0.iter().flat_map(|steps| steps.iter()) {
            settled = step.message(exchange).await;
            if !matches!(settled, Settled::Next) {
                break;
            }
        }
        // A policy that takes it away has dropped it.
        match (settled, exchange.message.take()) {
            (Settled::Next, Some(parcel)) => Fate::On(parcel),
            (Settled::Reply(reply), Some(parcel)) => Fate::Refused(reply, parcel),
            (Settled::Reply(reply), None) => Fate::Refused(reply, Box::new(Parcel::from(Message::default()))),
            (Settled::Drop, _) | (Settled::Next, None) => Fate::Dropped,
        }
    }
}
