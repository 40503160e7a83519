//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

/// How long anything in a test may take before it counts as failed. Generous: it is only ever waited out by a failure.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// How long a broker that is started again may be missed: until it runs, while others start beside it, its clients wait longer from try to
/// try.
const RETURN_DEADLINE: Duration = Duration::from_secs(120);

/// Between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(5);

/// Asks until `condition` yields a value, and fails the test with `what` at the [`DEADLINE`].
#[track_caller]
pub fn wait_for<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    match try_wait(DEADLINE, condition) {
        Some(value) => value,
        None => panic!("waited {DEADLINE:?} in vain for {what}"),
    }
}

/// Asks until `condition` holds, and fails the test with `what` at the [`DEADLINE`].
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(what, || condition().then_some(()));
}

/// Asks until what a broker that was started again is needed for goes on, and fails the test with `what` after two minutes.
#[track_caller]
pub fn wait_for_return(what: &str, mut condition: impl FnMut() -> bool) {
    if try_wait(RETURN_DEADLINE, || condition().then_some(())).is_none() {
        panic!("waited {RETURN_DEADLINE:?} in vain for {what}");
    }
}

/// Asks until `condition` yields a value or `limit` has passed.
pub(crate) fn try_wait<T>(limit: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(value) = condition() {
            return Some(value);
        }
        if Instant::now() >= end {
            return None;
        }
        // The pause between two looks at a condition, and the only one: not a guess at how long something takes.
        std::thread::park_timeout(PAUSE);
    }
}
