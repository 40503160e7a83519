//! A feed whose messages come from another thread.

use std::io;
use std::time::Duration;

use ringway_contract::{Delivery, FEED_SLOTS, Feed, FeedEnd, Origin, Receipt};
use ringway_net::Doorbell;
use ringway_ring::{Ringer, doorbell};

use super::Bell;

/// Free slots for which whoever waits for room is woken: one at a time would be a wake-up for each message, as long as the shard is slower.
const ROOM_SLOTS: usize = FEED_SLOTS / 4;

/// The broker's end of a feed. Dropping it ends the feed.
pub struct RemoteFeed {
    // In this order: the ring is closed before its bell rings for the last time.
    end: FeedEnd,
    ringer: Ringer,
    bell: Bell,
    waker: Ringer,
}

/// A feed, and its other end for another thread. Only on a shard.
///
/// # Errors
/// The process is out of file descriptors.
pub fn feed(origin: Box<dyn Origin>) -> io::Result<(Feed, RemoteFeed)> {
    let (ringer, sleeper) = doorbell()?;
    let (their_ringer, their_sleeper) = doorbell()?;
    let mut bell = Doorbell::new(sleeper)?;
    let mut remote = None;
    let waker = their_ringer.clone();
    let feed = Feed::new(origin, Some(their_ringer), |level, end| {
        remote = Some(RemoteFeed { end, ringer, bell: Bell::new(their_sleeper), waker });
        async move {
            loop {
                level.drained().await;
                if level.is_closed() || bell.wait(|| level.is_idle()).await.is_err() {
                    return;
                }
            }
        }
    });
    remote.map(|remote| (feed, remote)).ok_or_else(|| io::Error::other("a feed without an end"))
}

impl RemoteFeed {
    /// Hands a delivery over; [`RemoteFeed::ring`] after a batch of them.
    ///
    /// # Errors
    /// The delivery comes back when there is no room or no credit: see [`RemoteFeed::ready`].
    #[inline(always)]
    #[expect(clippy::result_large_err, reason = "what comes back is what was given: it is to be sent again")]
    pub fn send(&mut self, delivery: Delivery) -> Result<(), Delivery> {
        let weight = weight(&delivery);
        self.end.outbox.stage(delivery, weight).map_err(|full| full.value)?;
        self.end.outbox.publish();
        Ok(())
    }

    /// Wakes the shard, if it sleeps.
    pub fn ring(&self) {
        self.ringer.ring();
    }

    /// Bytes that may be handed over now.
    pub fn credit(&self) -> usize {
        self.end.outbox.credit()
    }

    /// Messages that may be handed over now, if they are light.
    pub fn free(&self) -> usize {
        self.end.outbox.free()
    }

    /// The next receipt. After the feed is gone, those that were on their way still come: take them before the end.
    pub fn receipt(&mut self) -> Option<Receipt> {
        let receipt = self.end.inbox.recv();
        // The shard may have more of them than there was room for.
        if receipt.is_some() && self.end.inbox.is_empty() && self.end.inbox.sender_waits() {
            self.ring();
        }
        receipt
    }

    /// Whether the shard has dropped its end.
    pub fn is_gone(&self) -> bool {
        self.end.inbox.is_closed()
    }

    /// Hands a delivery over, waits for room if need be, and rings. `false`: the feed is gone.
    pub async fn deliver(&mut self, delivery: Delivery) -> bool {
        let mut delivery = delivery;
        loop {
            if self.is_gone() {
                return false;
            }
            let weight = weight(&delivery);
            match self.send(delivery) {
                Ok(()) => {
                    self.ring();
                    return true;
                }
                Err(back) => delivery = back,
            }
            let Self { end, bell, .. } = self;
            end.outbox.wait_for_room(ROOM_SLOTS);
            let asleep = bell.may_sleep(|| !is_roomy(end, weight) && !end.inbox.is_closed());
            if asleep && self.bell.rung().await.is_err() {
                return false;
            }
        }
    }

    /// Waits in the runtime until there is a receipt, the feed is gone, or (if `weight` is given) there is room for so much.
    ///
    /// # Errors
    /// Of the kernel.
    pub async fn ready(&mut self, weight: Option<usize>) -> io::Result<()> {
        let Self { end, bell, .. } = self;
        end.outbox.wait_for_room(weight.map_or(0, |_| ROOM_SLOTS));
        match bell.may_sleep(|| is_idle(end, weight)) {
            true => self.bell.rung().await,
            false => Ok(()),
        }
    }

    /// The same on a thread of one's own, for `timeout` at most.
    ///
    /// # Errors
    /// Of the kernel.
    pub fn wait(&mut self, weight: Option<usize>, timeout: Option<Duration>) -> io::Result<()> {
        self.wait_while(weight, timeout, || true)
    }

    /// The same for a thread that waits for something of its own, too: `idle_else` is asked after the sleep was announced, and whoever
    /// ends that idleness rings [`RemoteFeed::waker`] afterwards.
    ///
    /// # Errors
    /// Of the kernel.
    pub fn wait_while(
        &mut self,
        weight: Option<usize>,
        timeout: Option<Duration>,
        idle_else: impl FnOnce() -> bool,
    ) -> io::Result<()> {
        let Self { end, bell, .. } = self;
        end.outbox.wait_for_room(weight.map_or(0, |_| ROOM_SLOTS));
        bell.wait(timeout, || is_idle(end, weight) && idle_else())
    }

    /// Rings this side's own bell, from any thread.
    pub fn waker(&self) -> Ringer {
        self.waker.clone()
    }
}

fn is_idle(end: &FeedEnd, weight: Option<usize>) -> bool {
    end.inbox.is_empty() && !end.inbox.is_closed() && !weight.is_some_and(|weight| is_roomy(end, weight))
}

fn is_roomy(end: &FeedEnd, weight: usize) -> bool {
    end.outbox.has_room(weight) && end.outbox.free() >= ROOM_SLOTS
}

#[inline]
fn weight(delivery: &Delivery) -> usize {
    match delivery {
        Delivery::Message(message) => message.weight(),
        Delivery::Ready | Delivery::Away(_) | Delivery::Fault(_) => 0,
    }
}
