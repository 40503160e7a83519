//! How one thread wakes another that waits on its io_uring: only when it sleeps, and once per batch.
//!
//! ```text
//!                  prepare_sleep                ring: the one that finds SLEEPING
//!      ┌─────────┐ ────────────▶ ┌──────────┐ ─────────────────▶ ┌──────────┐
//!      │  AWAKE  │               │ SLEEPING │                    │ NOTIFIED │ + write(eventfd)
//!      └─────────┘ ◀──────────── └──────────┘                    └──────────┘
//!           ▲        awake                                             │ awake
//!           └──────────────────────────────────────────────────────────┘
//! ```
//!
//! No wake-up is lost because each side writes its own word before it reads the other's, with a full fence in between:
//!
//! ```text
//!   ringer   push (store tail)   ; fence ; load state    finds SLEEPING, or
//!   sleeper  store state SLEEPING; fence ; load tail     finds the value: both cannot miss
//! ```
//!
//! Waking a sleeping core costs the ringer 6 to 7 µs, a write that nobody waits for 0.2 µs, and a bell whose sleeper is
//! awake only the fence and a load: so push all there is, then ring once.

use std::fmt;
use std::io;
#[cfg(not(loom))]
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use crate::eventfd::EventFd;
use crate::sync::{Arc, AtomicU32, AtomicU64, Ordering, fence};

const AWAKE: u32 = 0;
const SLEEPING: u32 = 1;
const NOTIFIED: u32 = 2;

/// Makes a bell: one that sleeps, and one that rings, which may be cloned for more.
///
/// # Errors
/// When the process is out of file descriptors.
pub fn doorbell() -> io::Result<(Ringer, Sleeper)> {
    let bell = Arc::new(Bell { state: AtomicU32::new(AWAKE), wakeups: AtomicU64::new(0), event: EventFd::new()? });
    Ok((Ringer { bell: Arc::clone(&bell) }, Sleeper { bell, due: 0 }))
}

/// The side that wakes. Dropping it rings, so that a sleeper learns of a producer that is gone: drop the ring's end
/// before it.
pub struct Ringer {
    bell: Arc<Bell>,
}

/// The side that sleeps: a shard's task, or the thread of a broker's client.
///
/// ```no_run
/// # fn main() -> std::io::Result<()> {
/// # let (_producer, mut consumer) = ringway_ring::ring::<u8>(8);
/// # let (_ringer, mut sleeper) = ringway_ring::doorbell()?;
/// loop {
///     consumer.pop_batch(256).for_each(drop);
///     if sleeper.prepare_sleep(|| consumer.is_empty()) {
///         sleeper.wait(None)?; // on a shard: wait until `fd` is readable
///         sleeper.awake();
///     }
/// }
/// # }
/// ```
pub struct Sleeper {
    bell: Arc<Bell>,
    /// Writes to the eventfd that were announced (by NOTIFIED) and not read yet.
    due: u64,
}

struct Bell {
    state: AtomicU32,
    /// Writes to the eventfd so far.
    wakeups: AtomicU64,
    event: EventFd,
}

impl Ringer {
    /// Wakes the sleeper if it sleeps. Call it after publishing, once for all that was pushed.
    #[inline]
    pub fn ring(&self) {
        // Between our store of a ring's tail and the load below; pairs with the fence in `prepare_sleep`.
        fence(Ordering::SeqCst);
        if self.bell.state.load(Ordering::Relaxed) == SLEEPING {
            self.wake();
        }
    }

    /// How often the bell had to wake its sleeper, all ringers together.
    pub fn wakeups(&self) -> u64 {
        self.bell.wakeups.load(Ordering::Relaxed)
    }

    #[cold]
    fn wake(&self) {
        // Of several ringers, one writes. Release: what was pushed happens before `awake`.
        let sleeping = self.bell.state.compare_exchange(SLEEPING, NOTIFIED, Ordering::AcqRel, Ordering::Relaxed);
        if sleeping.is_ok() {
            self.bell.wakeups.fetch_add(1, Ordering::Relaxed);
            self.bell.event.signal();
        }
    }
}

impl Sleeper {
    /// Announces the sleep, then asks `is_idle` once more: that nothing is there to do and nobody is gone.
    ///
    /// `true`: wait until the bell rings, then call [`awake`](Self::awake). `false`: there is work, and the sleeper
    /// counts as awake.
    #[inline]
    pub fn prepare_sleep(&mut self, is_idle: impl FnOnce() -> bool) -> bool {
        self.enter(SLEEPING);
        // Between the store above and the loads of the rings' tails; pairs with the fence in `ring`.
        fence(Ordering::SeqCst);
        if is_idle() {
            return true;
        }
        self.awake();
        false
    }

    /// Ends the sleep, whatever ended it: from here on nobody writes to the bell. Look at every ring before sleeping
    /// again.
    ///
    /// A ringer may be just about to write although the sleep is over: then the next sleep ends at once, for nothing,
    /// which is harmless.
    #[inline]
    pub fn awake(&mut self) {
        self.enter(AWAKE);
        if self.due > 0 {
            self.due = self.due.saturating_sub(self.bell.event.drain());
        }
    }

    /// What becomes readable (poll, epoll, `IORING_OP_POLL_ADD`) when the bell rings.
    ///
    /// It does not block: a read before the bell has rung says `EAGAIN`, also through io_uring. Leave the reading to
    /// [`awake`](Self::awake).
    #[cfg(not(loom))]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.bell.event.fd()
    }

    /// Blocks the thread until the bell rings or the time is over: for threads that are no shards. `false` when it did
    /// not ring.
    ///
    /// # Errors
    /// When the kernel is out of memory.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<bool> {
        self.bell.event.wait(timeout)
    }

    /// How often the bell had to wake its sleeper.
    pub fn wakeups(&self) -> u64 {
        self.bell.wakeups.load(Ordering::Relaxed)
    }

    #[inline]
    fn enter(&mut self, state: u32) {
        // Acquire: what its ringer had pushed is seen. And every write is accounted for, or one that comes late would
        // end all sleeps to come.
        if self.bell.state.swap(state, Ordering::AcqRel) == NOTIFIED {
            self.due += 1;
        }
    }
}

impl Clone for Ringer {
    fn clone(&self) -> Self {
        Self { bell: Arc::clone(&self.bell) }
    }
}

impl Drop for Ringer {
    fn drop(&mut self) {
        self.ring();
    }
}

#[cfg(not(loom))]
impl AsFd for Sleeper {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd()
    }
}

impl fmt::Debug for Ringer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ringer").field("wakeups", &self.wakeups()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Sleeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleeper").field("wakeups", &self.wakeups()).finish_non_exhaustive()
    }
}
