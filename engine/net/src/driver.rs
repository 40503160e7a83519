//! Which ring a shard runs on: a ladder that is tried from the top, because containers often forbid io_uring.
//!
//! monoio's default flags cost a third of the throughput: without `COOP_TASKRUN` or `DEFER_TASKRUN` the kernel
//! interrupts the running thread for every completion. So each rung sets its own, and the shard says which one won.

use std::io;

use io_uring::IoUring;
use monoio::time::TimeDriver;
use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};

/// What the operator allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DriverChoice {
    /// The best that works: io_uring, else epoll.
    #[default]
    Auto,
    /// io_uring or an error.
    Uring,
    /// epoll.
    Epoll,
}

/// What a shard got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// io_uring with `SINGLE_ISSUER | DEFER_TASKRUN` (Linux 6.1).
    UringDefer,
    /// io_uring with `COOP_TASKRUN` (Linux 5.19).
    UringCoop,
    /// io_uring without any of them.
    Uring,
    /// epoll.
    Epoll,
}

impl Driver {
    /// The name for logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UringDefer => "io_uring+defer",
            Self::UringCoop => "io_uring+coop",
            Self::Uring => "io_uring",
            Self::Epoll => "epoll",
        }
    }
}

/// A monoio runtime of either kind.
pub(crate) enum Runtime {
    Uring(monoio::Runtime<TimeDriver<IoUringDriver>>),
    Epoll(monoio::Runtime<TimeDriver<LegacyDriver>>),
}

impl Runtime {
    pub(crate) fn block_on<F: Future>(&mut self, future: F) -> F::Output {
        match self {
            Self::Uring(runtime) => runtime.block_on(future),
            Self::Epoll(runtime) => runtime.block_on(future),
        }
    }
}

const URING_RUNGS: [Driver; 3] = [Driver::UringDefer, Driver::UringCoop, Driver::Uring];

/// Entries of the submission queue. Large, because monoio panics when a full queue cannot be flushed.
pub(crate) const ENTRIES: u32 = 4096;
/// Entries of the completion queue.
pub(crate) const COMPLETIONS: u32 = 16_384;
/// Events that one `epoll_wait` returns at most.
const EPOLL_EVENTS: u32 = 1024;

/// Builds the runtime on the thread that will run it: `SINGLE_ISSUER` binds the ring to its builder.
pub(crate) fn build(choice: DriverChoice, entries: u32, completions: u32) -> io::Result<(Runtime, Driver)> {
    let mut refused = None;
    if choice != DriverChoice::Epoll {
        // A ring may exist and yet lack an operation that monoio submits; its own probe knows which.
        if monoio::utils::detect_uring() {
            for rung in URING_RUNGS {
                match build_uring(rung, entries, completions) {
                    Ok(runtime) => return Ok((Runtime::Uring(runtime), rung)),
                    Err(error) => refused = Some(error),
                }
            }
        }
        if choice == DriverChoice::Uring {
            return Err(refused.unwrap_or_else(|| io::Error::other("io_uring is not available here")));
        }
    }
    let runtime = RuntimeBuilder::<LegacyDriver>::new().with_entries(EPOLL_EVENTS).enable_timer().build()?;
    Ok((Runtime::Epoll(runtime), Driver::Epoll))
}

fn build_uring(rung: Driver, entries: u32, completions: u32) -> io::Result<monoio::Runtime<TimeDriver<IoUringDriver>>> {
    let mut ring = IoUring::builder();
    ring.setup_cqsize(completions);
    match rung {
        Driver::UringDefer => {
            ring.setup_single_issuer().setup_defer_taskrun();
        }
        Driver::UringCoop => {
            ring.setup_coop_taskrun();
        }
        Driver::Uring | Driver::Epoll => {}
    }
    RuntimeBuilder::<IoUringDriver>::new().with_entries(entries).uring_builder(ring).enable_timer().build()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{COMPLETIONS, Driver, DriverChoice, ENTRIES, Runtime, URING_RUNGS, build, build_uring};

    /// A rung that the kernel lacks is refused when it is built, and one that is built works.
    #[test]
    fn every_rung_is_refused_or_works() {
        for rung in URING_RUNGS {
            if let Ok(runtime) = build_uring(rung, ENTRIES, COMPLETIONS) {
                Runtime::Uring(runtime).block_on(async { monoio::time::sleep(Duration::from_millis(1)).await });
            }
        }
        let (mut runtime, driver) = build(DriverChoice::Epoll, ENTRIES, COMPLETIONS).unwrap();
        runtime.block_on(async { monoio::time::sleep(Duration::from_millis(1)).await });
        assert_eq!(driver, Driver::Epoll);
        let best = build(DriverChoice::Auto, ENTRIES, COMPLETIONS).unwrap().1;
        assert_eq!(build(DriverChoice::Uring, ENTRIES, COMPLETIONS).is_ok(), best != Driver::Epoll);
    }
}
