//! The circuit breaker of an API's failover.
//!
//! ```text
//!            maxFailures in a row                  openStateDuration over
//!   Closed ───────────────────────▶ Open ─────────────────────────────▶ HalfOpen
//!     ▲                              ▲                                     │  one trial at a time
//!     └──────── trial succeeds ──────┼──────────── trial fails ────────────┘
//! ```

use std::cell::Cell;
use std::time::{Duration, Instant};

/// One per API and shard: a shard opens on what it has seen itself.
#[derive(Debug)]
pub struct Breaker {
    failures_max: u32,
    open_for: Duration,
    slow_after: Duration,
    failures: Cell<u32>,
    state: Cell<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open { until: Instant },
    HalfOpen { trial: bool },
}

impl Breaker {
    /// `failures_max` failures in a row open it for `open_for`; a call slower than `slow_after` is a failure.
    pub fn new(failures_max: u32, open_for: Duration, slow_after: Duration) -> Self {
        Self { failures_max, open_for, slow_after, failures: Cell::new(0), state: Cell::new(State::Closed) }
    }

    /// Leave for a call to go out now; `None` while calls are suspended.
    pub fn admit(&self, now: Instant) -> Option<Leave<'_>> {
        let admitted = match self.state.get() {
            State::Closed => true,
            State::Open { until } if now < until => false,
            State::Open { .. } | State::HalfOpen { trial: false } => {
                self.state.set(State::HalfOpen { trial: true });
                true
            }
            State::HalfOpen { trial: true } => false,
        };
        admitted.then_some(Leave { breaker: Some(self) })
    }

    fn ended(&self, failed: bool, took: Duration, now: Instant) {
        if !failed && took <= self.slow_after {
            self.failures.set(0);
            self.state.set(State::Closed);
            return;
        }
        self.failures.set(self.failures.get().saturating_add(1));
        let trial = matches!(self.state.get(), State::HalfOpen { .. });
        if trial || self.failures.get() >= self.failures_max {
            self.state.set(State::Open { until: now + self.open_for });
        }
    }
}

/// Leave for one call. Dropped without a verdict (the client went away, no connection was free), it says nothing of the backend, but a
/// trial's place is free again.
pub struct Leave<'a> {
    breaker: Option<&'a Breaker>,
}

impl Leave<'_> {
    /// The call ended after `took`; `failed` tells how.
    pub fn ended(mut self, failed: bool, took: Duration, now: Instant) {
        if let Some(breaker) = self.breaker.take() {
            breaker.ended(failed, took, now);
        }
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if let Some(breaker) = self.breaker
            && breaker.state.get() == (State::HalfOpen { trial: true })
        {
            breaker.state.set(State::HalfOpen { trial: false });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_millis(1);
    const SLOW: Duration = Duration::from_secs(3);

    #[test]
    fn it_opens_after_failures_in_a_row_and_closes_after_a_good_trial() {
        let start = Instant::now();
        let breaker = Breaker::new(2, Duration::from_secs(10), Duration::from_secs(2));
        let call = |at, failed, took| match breaker.admit(at) {
            Some(leave) => {
                leave.ended(failed, took, at);
                true
            }
            None => false,
        };
        assert!(call(start, true, QUICK));
        assert!(call(start, false, QUICK));
        assert!(call(start, true, QUICK), "a success in between starts the count anew");
        assert!(call(start, false, SLOW), "a slow call is a failure");
        assert!(!call(start, false, QUICK), "two failures in a row open it");
        let later = start + Duration::from_secs(10);
        let trial = breaker.admit(later);
        assert!(trial.is_some());
        assert!(breaker.admit(later).is_none(), "one trial at a time");
        drop(trial);
        assert!(call(later, true, QUICK), "an abandoned trial frees its place");
        assert!(!call(later, false, QUICK), "a failed trial opens it again");
        let latest = later + Duration::from_secs(10);
        assert!(call(latest, false, QUICK));
        assert!(breaker.admit(latest).is_some() && breaker.admit(latest).is_some());
    }
}
