//! Tasks, sleeps and the time: the runtime's and the system's, or, in a simulated world, the world's.

use std::time::{Duration, Instant};

/// The time. What a shard does asks here and not the system, so that a simulation can give it.
#[inline]
pub fn now() -> Instant {
    #[cfg(feature = "sim")]
    if let Some(now) = crate::sim::now() {
        return now;
    }
    Instant::now()
}

/// How long this thread has worked so far (`CLOCK_THREAD_CPUTIME_ID`).
pub(crate) fn worked() -> Duration {
    #[cfg(feature = "sim")]
    if let Some(world) = crate::sim::current() {
        return world.worked();
    }
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is that of a live `timespec`.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Milliseconds since 1970.
pub(crate) fn unix_ms() -> u64 {
    #[cfg(feature = "sim")]
    if let Some(world) = crate::sim::current() {
        return crate::sim::UNIX_MS + u64::try_from(world.elapsed().as_millis()).unwrap_or_default();
    }
    let unix = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(unix.as_millis()).unwrap_or(u64::MAX)
}

/// The number of this process; in a simulated world always the same: a seed is the same run in every process.
pub fn process_id() -> u32 {
    #[cfg(feature = "sim")]
    if crate::sim::current().is_some() {
        return 1;
    }
    std::process::id()
}

/// Sleeps, to the millisecond.
pub(crate) async fn sleep(duration: Duration) {
    #[cfg(feature = "sim")]
    if let Some(world) = crate::sim::current() {
        return world.sleep(duration).await;
    }
    monoio::time::sleep(duration).await;
}

/// Runs a task.
#[inline]
pub(crate) fn run(task: impl Future<Output = ()> + 'static) {
    #[cfg(feature = "sim")]
    if let Some(world) = crate::sim::current() {
        return world.spawn(task);
    }
    drop(monoio::spawn(task));
}
