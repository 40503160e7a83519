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

    /// Whether a call may go out now. A caller that gets `true` reports its end by [`Breaker::ended`].
    pub fn admit(&self, now: Instant) -> bool {
        match self.state.get() {
            State::Closed => true,
            State::Open { until } if now < until => false,
            State::Open { .. } | State::HalfOpen { trial: false } => {
                self.state.set(State::HalfOpen { trial: true });
                true
            }
            State::HalfOpen { trial: true } => false,
        }
    }

    /// A call ended after `took`; `failed` tells how.
    pub fn ended(&self, failed: bool, took: Duration, now: Instant) {
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

    /// A call was given up by its client: it says nothing of the backend, but a trial's place is free again.
    pub fn abandoned(&self) {
        if let State::HalfOpen { trial: true } = self.state.get() {
            self.state.set(State::HalfOpen { trial: false });
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
        assert!(breaker.admit(start));
        breaker.ended(true, QUICK, start);
        breaker.ended(false, QUICK, start);
        breaker.ended(true, QUICK, start);
        assert!(breaker.admit(start), "a success in between starts the count anew");
        breaker.ended(false, SLOW, start);
        assert!(!breaker.admit(start), "a slow call is a failure");
        let later = start + Duration::from_secs(10);
        assert!(breaker.admit(later));
        assert!(!breaker.admit(later), "one trial at a time");
        breaker.ended(true, QUICK, later);
        assert!(!breaker.admit(later), "a failed trial opens it again");
        let latest = later + Duration::from_secs(10);
        assert!(breaker.admit(latest));
        breaker.abandoned();
        assert!(breaker.admit(latest), "an abandoned trial frees its place");
        breaker.ended(false, QUICK, latest);
        assert!(breaker.admit(latest) && breaker.admit(latest));
    }
}
