//! What messages pass between client and broker: the steps of the flows that were taken when their session began, and who writes them down.

use std::rc::Rc;

use ringway_contract::{Exchange, Message, Parcel, Reply};

use super::scribe::Scribe;
use crate::chain::{Settled, Step};

/// The steps of one way, in order.
#[derive(Clone, Default)]
pub struct Passage {
    steps: Box<[Rc<[Step]>]>,
    /// Who writes messages down, if somebody does.
    scribe: Option<Rc<Scribe>>,
}

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
        Self { steps: flows.filter(|steps| !steps.is_empty()).cloned().collect(), scribe: None }
    }

    /// The same, with somebody who writes messages down.
    pub(crate) fn written_by(self, scribe: Option<Rc<Scribe>>) -> Self {
        Self { scribe, ..self }
    }

    /// Whether messages pass nothing.
    pub fn is_idle(&self) -> bool {
        self.steps.is_empty() && self.scribe.is_none()
    }

    /// Takes a message through.
    pub async fn pass(&self, exchange: &mut Exchange, parcel: Parcel) -> Fate {
        exchange.message = Some(Box::new(parcel));
        let noted = self.scribe.as_ref().and_then(|scribe| Some((scribe, scribe.before(exchange)?)));
        let mut settled = Settled::Next;
        for step in self.steps.iter().flat_map(|steps| steps.iter()) {
            settled = step.message(exchange).await;
            if !matches!(settled, Settled::Next) {
                break;
            }
        }
        // A policy that takes it away has dropped it.
        let fate = match (settled, exchange.message.take()) {
            (Settled::Next, Some(parcel)) => Fate::On(parcel),
            (Settled::Reply(reply), Some(parcel)) => Fate::Refused(reply, parcel),
            (Settled::Reply(reply), None) => Fate::Refused(reply, Box::new(Parcel::from(Message::default()))),
            (Settled::Drop, _) | (Settled::Next, None) => Fate::Dropped,
        };
        if let Some((scribe, noted)) = noted {
            scribe.after(noted, &fate);
        }
        fate
    }
}
