//! Where a subscription's thread hands messages over, and what it has read of each partition.

use ringway_contract::{Delivery, Message};

use super::consumer::Commits;
use super::ledger::Ledger;
use crate::bridge::RemoteFeed;

/// The feed, and what went into it.
pub struct Outlet {
    /// The feed. It is to be rung after a batch of messages.
    pub remote: RemoteFeed,
    /// By the number of the part.
    pub read: Vec<Read>,
}

/// What was read of a partition.
#[derive(Default)]
pub struct Read {
    /// Whether it is to be read now. What was handed over before it was given up is accounted for all the same: it may come back.
    pub is_ours: bool,
    /// What was handed over, and what of it was acknowledged.
    pub ledger: Ledger,
    /// The message behind the last one that was handed over.
    pub next: Option<i64>,
}

impl Outlet {
    /// Hands a message over and writes it down, for what is to be committed.
    ///
    /// # Errors
    /// It comes back when there is no room.
    // Always, as with what it calls: a message is made in its slot of the ring then, and not moved there.
    #[inline(always)]
    #[expect(clippy::result_large_err, reason = "what comes back is what was given: it waits")]
    pub fn hand_over(&mut self, message: Message, commits: Commits) -> Result<(), Message> {
        let position = message.position;
        if let Err(Delivery::Message(back)) = self.remote.send(Delivery::Message(message)) {
            return Err(back);
        }
        if let Some(read) = self.read.get_mut(position.part as usize) {
            read.next = Some(position.offset + 1);
            match commits {
                Commits::Never | Commits::Before => {}
                Commits::HandedOver => {
                    read.ledger.handed_over(position.offset);
                    read.ledger.acknowledged(position.offset);
                }
                Commits::Acknowledged => read.ledger.handed_over(position.offset),
            }
        }
        Ok(())
    }
}
