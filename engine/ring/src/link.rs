//! A ring whose producer also needs credit: a window of bytes that the consumer opens again as it is done with them.
//!
//! ```text
//!                     sent ───────────── received ───────── granted
//!   Sender::credit      │  in the ring       │  at the receiver  │ done
//!   = window - (sent - granted)              └── owed ───────────┘
//! ```
//!
//! The slots bound how many values are under way, the window bounds what they weigh together. A value that alone is
//! heavier than the window passes when nothing weighs in it, so a large frame is slow but never stuck.

use std::fmt;

use crate::prefetch::Extent;
use crate::ring::{Batch, Consumer, Producer, ring};

/// Makes a link of at least `slots` slots (see [`ring`]) and `window_bytes` of credit.
pub fn link<T>(slots: usize, window_bytes: usize) -> (Sender<T>, Receiver<T>) {
    let (producer, consumer) = ring(slots);
    let sender = Sender { ring: producer, window_bytes, sent: 0, granted_seen: 0 };
    (sender, Receiver { ring: consumer, received: 0, granted: 0 })
}

/// The end that sends, within the credit that it has.
pub struct Sender<T> {
    ring: Producer<Weighed<T>>,
    window_bytes: usize,
    /// Bytes sent so far, wrapping.
    sent: usize,
    /// Bytes granted as last seen: never ahead of the real count, so credit is never overestimated.
    granted_seen: usize,
}

/// The end that receives and gives credit back.
pub struct Receiver<T> {
    ring: Consumer<Weighed<T>>,
    /// Bytes received so far, wrapping.
    received: usize,
    /// Bytes granted so far, wrapping; never ahead of `received`.
    granted: usize,
}

/// The link has no room: the value, and what it lacked.
pub struct Full<T> {
    /// What was to be sent.
    pub value: T,
    /// What has to come back before it can be.
    pub shortage: Shortage,
}

/// What a full link lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortage {
    /// Every slot holds a value: the receiver has to take one.
    Slots,
    /// The window is used up: the receiver has to grant.
    Credit,
}

/// Values received one after another whose slots go back together.
pub struct RecvBatch<'a, T> {
    batch: Batch<'a, Weighed<T>>,
    received: &'a mut usize,
}

struct Weighed<T> {
    value: T,
    weight: usize,
}

impl<T> Sender<T> {
    /// Sends a value that takes `weight` bytes of credit (0 takes a slot only).
    ///
    /// # Errors
    /// The value comes back when slots or credit are out. A link whose receiver is gone fills up like any other:
    /// ask [`is_closed`](Self::is_closed).
    #[inline]
    pub fn send(&mut self, value: T, weight: usize) -> Result<(), Full<T>> {
        self.stage(value, weight)?;
        self.ring.publish();
        Ok(())
    }

    /// Like [`send`](Self::send), but the receiver does not see it before the next [`publish`](Self::publish).
    ///
    /// # Errors
    /// The value comes back when slots or credit are out.
    // Always: a large value is made in its slot then, and not moved there.
    #[inline(always)]
    pub fn stage(&mut self, value: T, weight: usize) -> Result<(), Full<T>> {
        if !self.covers(weight) {
            self.granted_seen = self.ring.granted();
            if !self.covers(weight) {
                return Err(Full { value, shortage: Shortage::Credit });
            }
        }
        match self.ring.vacancy() {
            Some(vacancy) => {
                vacancy.fill(Weighed { value, weight });
                self.sent = self.sent.wrapping_add(weight);
                Ok(())
            }
            None => Err(Full { value, shortage: Shortage::Slots }),
        }
    }

    /// Lets the receiver see everything that was staged, with one store.
    #[inline]
    pub fn publish(&mut self) {
        self.ring.publish();
    }

    /// Bytes that can be sent now. What was sent beyond the window (see [`link`]) leaves 0.
    #[inline]
    pub fn credit(&self) -> usize {
        self.window_bytes.saturating_sub(self.sent.wrapping_sub(self.ring.granted()))
    }

    /// Whether a value of this weight could be sent now: ask before reading what then would have to wait.
    #[inline]
    pub fn has_room(&self, weight: usize) -> bool {
        admits(self.window_bytes, self.sent.wrapping_sub(self.ring.granted()), weight) && self.ring.free() > 0
    }

    /// Tells the receiver that this side waits for so many free slots, or for credit; with 0, that it waits for neither. So it is woken for
    /// them, and not when it waits for something else, nor for each one of many. Say so first, and only then look for room once more and
    /// sleep: room that comes later is seen by a receiver that asks [`Receiver::sender_waits`] after having made it.
    #[inline]
    pub fn wait_for_room(&mut self, slots: usize) {
        self.ring.set_waits(slots);
    }

    /// The window: bytes of credit when nothing is under way.
    #[inline]
    pub fn window_bytes(&self) -> usize {
        self.window_bytes
    }

    /// Values in the link, not yet received.
    #[inline]
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether every value was received.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// Slots that can be filled now.
    #[inline]
    pub fn free(&self) -> usize {
        self.ring.free()
    }

    /// Whether nothing of the last exchange is left: every value received, every byte granted. The link is as good as
    /// new.
    #[inline]
    pub fn is_drained(&self) -> bool {
        self.is_empty() && self.sent == self.ring.granted()
    }

    /// Whether the receiver is gone.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.ring.is_closed()
    }

    /// A number that changes whenever either side moved. See [`Consumer::moves`].
    #[inline]
    pub fn moves(&self) -> usize {
        self.ring.moves()
    }

    #[inline]
    fn covers(&self, weight: usize) -> bool {
        admits(self.window_bytes, self.sent.wrapping_sub(self.granted_seen), weight)
    }
}

impl<T> Receiver<T> {
    /// Where the link lies in memory: its indices and its slots.
    pub fn extents(&self) -> [Extent; 2] {
        self.ring.extents()
    }

    /// Takes the oldest value. Its weight stays owed until it is [granted](Self::grant).
    #[inline]
    pub fn recv(&mut self) -> Option<T> {
        let Weighed { value, weight } = self.ring.pop()?;
        self.received = self.received.wrapping_add(weight);
        Some(value)
    }

    /// Takes up to `max` values one after another; their slots go back with one store when the batch is dropped.
    #[inline]
    pub fn recv_batch(&mut self, max: usize) -> RecvBatch<'_, T> {
        RecvBatch { batch: self.ring.pop_batch(max), received: &mut self.received }
    }

    /// Gives `weight` bytes of credit back: call it when they have left (were written on, stored, dropped), not when
    /// they came.
    ///
    /// More than is [owed](Self::owed) is a mistake of the caller: it fails in debug builds and grants what is owed in
    /// release builds, so that the window never grows.
    #[inline]
    pub fn grant(&mut self, weight: usize) {
        debug_assert!(weight <= self.owed(), "granted {weight} bytes of {} owed", self.owed());
        let weight = weight.min(self.owed());
        if weight > 0 {
            self.granted = self.granted.wrapping_add(weight);
            self.ring.set_granted(self.granted);
        }
    }

    /// Whether the sender waits, and for no more slots than are free: then it is to be woken. Ask after slots and credit were given back.
    #[inline]
    pub fn sender_waits(&self) -> bool {
        self.ring.producer_waits()
    }

    /// Bytes received and not granted yet.
    #[inline]
    pub fn owed(&self) -> usize {
        self.received.wrapping_sub(self.granted)
    }

    /// Makes the link ready for the next exchange: drops what is in it and grants all that is owed.
    ///
    /// The sender has to be done with the last exchange, or else what it sends next is taken for the new one. Bounded:
    /// at most the values that were in the link when the call began.
    pub fn reset(&mut self) {
        let left = self.ring.len();
        self.recv_batch(left).for_each(drop);
        self.grant(self.owed());
    }

    /// Values that can be received now.
    #[inline]
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether there is nothing to receive.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// Whether nothing of the last exchange is left: every value received, every byte granted.
    #[inline]
    pub fn is_drained(&self) -> bool {
        self.is_empty() && self.owed() == 0
    }

    /// Whether the sender is gone: a `None` of [`recv`](Self::recv) *after* this said true is the end.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.ring.is_closed()
    }

    /// A number that changes whenever either side moved. See [`Consumer::moves`].
    #[inline]
    pub fn moves(&self) -> usize {
        self.ring.moves()
    }
}

impl<T> Full<T> {
    /// The value, to be tried again.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T> Iterator for RecvBatch<'_, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        let Weighed { value, weight } = self.batch.next()?;
        *self.received = self.received.wrapping_add(weight);
        Some(value)
    }
}

impl<T> fmt::Debug for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Full").field("shortage", &self.shortage).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("len", &self.len()).field("credit", &self.credit()).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("len", &self.len()).field("owed", &self.owed()).finish_non_exhaustive()
    }
}

/// Whether a window with `outstanding` bytes in it takes `weight` more: what fits, what weighs nothing, and anything
/// when it is untouched.
#[inline]
fn admits(window_bytes: usize, outstanding: usize, weight: usize) -> bool {
    weight == 0 || outstanding == 0 || weight <= window_bytes.saturating_sub(outstanding)
}
