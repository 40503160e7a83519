//! A minimum rate: how far a peer may fall behind before its time is up.
//!
//! ```text
//!   balance   full = grace          waiting costs what passes, bytes earn what they would take at the minimum rate
//!     ▲  ▔▔▔▔╲      ╱▔▔╲
//!     │       ╲____╱    ╲___        a peer that is fast enough is never away from `full` for long;
//!     └─────────────────────╲──▶    one that drips arrives at nothing, however regular its drops are
//! ```
//!
//! A deadline that every byte puts off can be held open for ever by a byte now and then; one for the whole cuts a large body off.
//! Time is read from the timers' tick, so a wait that is shorter than a tick costs either nothing or a whole one: over many waits the
//! sum is right, and no clock is read.

use std::pin::pin;
use std::time::Duration;

use crate::stream::Stream;
use crate::timer::{Elapsed, Slot, TICKS_PER_SECOND, whole_ticks};

/// What a peer has left of its grace. Only the time that is spent in waiting for it counts, see [`begin`](Self::begin).
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Bytes per second; 0: every byte earns the whole grace, so that only silence counts.
    rate: u32,
    grace_ticks: u32,
    /// In bytes times ticks per second, so that neither a tick nor a byte is a fraction.
    balance: u64,
    /// The tick in which the present wait began.
    began: u32,
}

impl Pace {
    /// A peer that has all its grace. `rate` in bytes per second.
    pub fn new(rate: u32, grace: Duration) -> Self {
        let grace_ticks = whole_ticks(grace).max(1);
        Self { rate, grace_ticks, balance: full(rate, grace_ticks), began: 0 }
    }

    /// A wait begins: `slot` is armed with what is left.
    pub fn begin(&mut self, slot: &Slot) {
        self.began = slot.arm_ticks(self.left());
    }

    /// The same with half of what is left, for waits that are looked at before they are given up.
    fn begin_half(&mut self, slot: &Slot) {
        self.began = slot.arm_ticks(self.left().div_ceil(2));
    }

    /// The wait is over, and `bytes` came of it; `slot` is disarmed.
    pub fn end(&mut self, slot: &Slot, bytes: usize) {
        self.settle(slot.tick(), bytes as u64);
        slot.disarm();
    }

    /// The wait goes on, `bytes` having come of it so far. `false` when nothing is left of the grace: the peer is too slow.
    fn go_on(&mut self, slot: &Slot, bytes: u64) -> bool {
        self.settle(slot.tick(), bytes);
        let left = self.left();
        if left > 0 {
            self.began = slot.arm_ticks(left);
        }
        left > 0
    }

    /// Waits for a write of `bytes` to `stream`, as long as its peer keeps the pace.
    ///
    /// A write ends when the kernel has taken its last byte, and where the peer is slow the kernel takes bytes in leaps of a third of
    /// its buffer: minutes may pass between two of them though the peer reads all the time. So before a peer is given up, its
    /// kernel's acknowledgements tell what it has really taken. They are asked for only then, and half the grace earlier to have
    /// something to compare with.
    ///
    /// # Errors
    /// The peer is too slow. The write is dropped, so the stream is only good for being ended.
    pub async fn keep<F: Future>(
        &mut self,
        slot: &Slot,
        stream: &Stream,
        bytes: usize,
        write: impl FnOnce() -> F,
    ) -> Result<F::Output, Elapsed> {
        // Made here, in its place: a write is some kilobytes long, which are not to be copied on their way.
        let mut write = pin!(write());
        let mut taken = None;
        self.begin_half(slot);
        loop {
            if let Ok(written) = slot.guard(write.as_mut()).await {
                self.end(slot, bytes);
                return Ok(written);
            }
            let now = stream.acknowledged();
            let before = std::mem::replace(&mut taken, now);
            let since = now.zip(before).map_or(0, |(now, before)| now.saturating_sub(before));
            if !self.go_on(slot, since) {
                slot.disarm();
                return Err(Elapsed);
            }
        }
    }

    fn left(&self) -> u32 {
        if self.balance == full(self.rate, self.grace_ticks) {
            return self.grace_ticks;
        }
        u32::try_from(self.balance.div_ceil(self.unit())).unwrap_or(u32::MAX)
    }

    /// What a tick costs.
    fn unit(&self) -> u64 {
        u64::from(self.rate.max(1))
    }

    fn settle(&mut self, now: u32, bytes: u64) {
        let spent = u64::from(now.wrapping_sub(self.began)).saturating_mul(self.unit());
        let earned = match self.rate {
            0 if bytes > 0 => u64::MAX,
            0 => 0,
            _ => bytes.saturating_mul(u64::from(TICKS_PER_SECOND)),
        };
        self.began = now;
        self.balance = self.balance.saturating_sub(spent).saturating_add(earned).min(full(self.rate, self.grace_ticks));
    }
}

fn full(rate: u32, grace_ticks: u32) -> u64 {
    u64::from(rate.max(1)).saturating_mul(u64::from(grace_ticks))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ticks until a peer that sends `bytes` every `every` ticks has used up its grace; `None` if it has not within an hour.
    fn lasts(rate: u32, grace: Duration, every: u32, bytes: u64) -> Option<u32> {
        let mut pace = Pace::new(rate, grace);
        for turn in 1..=36_000 / every {
            if pace.left() < every {
                return Some((turn - 1) * every + pace.left());
            }
            pace.settle(turn * every, bytes);
        }
        None
    }

    #[test]
    fn who_keeps_the_rate_is_never_cut_and_who_drips_is() {
        let grace = Duration::from_secs(30);
        let cases = [
            // rate, every (ticks), bytes, ticks until the end
            (500, 10, 500, None),
            (500, 10, 1_000_000, None),
            (500, 250, 12_500, None),
            (500, 10, 250, Some(595)),
            (500, 10, 0, Some(300)),
            (500, 10, 1, Some(301)),
            (500, 301, 1_000_000, Some(300)),
            (0, 299, 1, None),
            (0, 301, 1_000_000, Some(300)),
        ];
        for (rate, every, bytes, ends) in cases {
            assert_eq!(lasts(rate, grace, every, bytes), ends, "{bytes} bytes every {every} ticks at least {rate} B/s");
        }
    }

    #[test]
    fn a_burst_earns_no_more_than_the_grace() {
        let mut pace = Pace::new(1000, Duration::from_secs(2));
        pace.settle(1, u64::MAX);
        assert_eq!(pace.left(), 20);
        pace.settle(16, 0);
        assert_eq!(pace.left(), 5);
        pace.settle(16, 100);
        assert_eq!(pace.left(), 6, "100 bytes at 1000 B/s are a tick");
    }
}
