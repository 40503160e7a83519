//! The time since the gateway began.

use std::sync::LazyLock;
use std::time::Instant;

/// Milliseconds of a clock that is never set.
pub fn now_ms() -> u64 {
    static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);
    // From one on, so that nothing is as old as the clock.
    1 + STARTED.elapsed().as_millis() as u64
}
