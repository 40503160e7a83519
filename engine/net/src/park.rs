//! Where connections wait that have been idle for long: without a task, a poll on the ring, or a deadline of their own.
//!
//! ```text
//!              park                      one epoll set                     stirred, expired
//!   task ────────────────▶ [ what it was, descriptors, until ] ────────────────────────────────▶ a new task
//! ```
//!
//! A task that waits for a readable socket weighs what its future and its pending operation weigh, 700 bytes with this runtime.
//! That is nothing while requests come, and most of what a gateway holds of connections that are silent for minutes. The ring
//! watches the epoll set as one descriptor, so however many are parked, it has one poll under way. Coming back costs a system call
//! and a task, which a connection that is silent for a second at a time does not feel.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::pin::pin;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use crate::clock;
use crate::slots::Slots;
use crate::socket::Socket;

/// How often deadlines are looked at, and their precision.
const SCAN: Duration = Duration::from_secs(1);
/// Descriptors that are told of at a time.
const EVENTS: usize = 64;

/// Where one end of what is parked is watched, from [`Stream::berth`](crate::Stream::berth).
#[derive(Clone, Copy, Debug)]
pub struct Berth(pub(crate) RawFd);

/// Why something is parked no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// One of its ends has something to read, or has ended.
    Stirred,
    /// Its time is up.
    Expired,
}

/// The connections of one shard that are parked.
pub struct Lot<T> {
    epoll: Socket,
    parked: RefCell<Slots<Parked<T>>>,
    /// Who waits in [`leaving`](Self::leaving) while there is nothing to wait for.
    keeper: RefCell<Option<Waker>>,
    scanned: Cell<Instant>,
    started: Instant,
}

struct Parked<T> {
    what: T,
    ends: [RawFd; 2],
    /// Seconds after the lot's start.
    until: u32,
}

/// No descriptor.
const NONE: RawFd = -1;

impl<T> Lot<T> {
    /// An empty lot. On a shard.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the result is checked before it is owned.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` is open and nobody else's.
        let epoll = Socket::watch(unsafe { OwnedFd::from_raw_fd(fd) })?;
        let now = clock::now();
        let (parked, keeper) = (RefCell::new(Slots::new()), RefCell::default());
        Ok(Self { epoll, parked, keeper, scanned: Cell::new(now), started: now })
    }

    fn elapsed(&self) -> Duration {
        clock::now().saturating_duration_since(self.started)
    }

    /// How many are parked.
    pub fn len(&self) -> usize {
        self.parked.borrow().len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Parks `what`, which owns the streams of `ends` and has nothing under way on them, for at most `wait` (whole seconds, rounded up).
    /// Its number, which is another's when it has left; see [`visit`](Self::visit).
    ///
    /// # Errors
    /// `what`, when the kernel refuses to watch it.
    pub fn park(&self, ends: (Berth, Option<Berth>), wait: Duration, what: T) -> Result<u32, T> {
        let ends = [ends.0.0, ends.1.map_or(NONE, |berth| berth.0)];
        let until = self.elapsed().saturating_add(wait).as_secs().saturating_add(1);
        let until = u32::try_from(until).unwrap_or(u32::MAX);
        let mut parked = self.parked.borrow_mut();
        let index = parked.insert(Parked { what, ends, until });
        for end in ends.into_iter().filter(|end| *end != NONE) {
            if self.control(libc::EPOLL_CTL_ADD, end, index).is_err() {
                let Some(parked) = parked.remove(index) else { break };
                self.forget(parked.ends);
                return Err(parked.what);
            }
        }
        if let Some(keeper) = self.keeper.take() {
            keeper.wake();
        }
        Ok(index)
    }

    /// Shows the one of this number to `stays`, which says whether it stays, and must not use the lot. One that does not is given back.
    pub fn visit(&self, number: u32, stays: impl FnOnce(&mut T) -> bool) -> Option<T> {
        let mut parked = self.parked.borrow_mut();
        if stays(&mut parked.at(number)?.what) {
            return None;
        }
        let left = parked.remove(number)?;
        drop(parked);
        self.forget(left.ends);
        Some(left.what)
    }

    /// Waits until some leave, and adds them to `left`. For one task only.
    ///
    /// # Errors
    /// Of the kernel; the lot cannot be used any more.
    pub async fn leaving(&self, left: &mut Vec<(Leave, T)>) -> io::Result<()> {
        loop {
            self.stirred(left)?;
            if clock::now().saturating_duration_since(self.scanned.get()) >= SCAN {
                self.expired(left);
            }
            if !left.is_empty() {
                return Ok(());
            }
            if self.is_empty() {
                poll_fn(|context| {
                    if !self.is_empty() {
                        return Poll::Ready(());
                    }
                    *self.keeper.borrow_mut() = Some(context.waker().clone());
                    Poll::Pending
                })
                .await;
            }
            let (mut stirs, mut scan) = (pin!(self.epoll.readable()), pin!(clock::sleep(look_after())));
            poll_fn(|context| match stirs.as_mut().poll(context) {
                Poll::Ready(outcome) => Poll::Ready(outcome),
                Poll::Pending => scan.as_mut().poll(context).map(Ok),
            })
            .await?;
        }
    }

    /// Takes out what `chosen` says.
    pub fn take(&self, chosen: impl Fn(&T) -> bool) -> Vec<T> {
        self.remove(|parked| chosen(&parked.what))
    }

    fn stirred(&self, left: &mut Vec<(Leave, T)>) -> io::Result<()> {
        #[cfg(feature = "sim")]
        if let Some(world) = crate::sim::current() {
            let stirs = |end: &RawFd| world.held(*end).is_some_and(|conn| conn.is_readable());
            let stirred = self.parked.borrow_mut().remove_all(|parked| parked.ends.iter().any(stirs));
            left.extend(stirred.into_iter().map(|parked| (Leave::Stirred, parked.what)));
            return Ok(());
        }
        let mut events = [const { MaybeUninit::<libc::epoll_event>::uninit() }; EVENTS];
        // SAFETY: the kernel writes at most `EVENTS` entries into the array, which outlives the call.
        let count = unsafe { libc::epoll_wait(self.epoll.raw(), events.as_mut_ptr().cast(), EVENTS as libc::c_int, 0) };
        let Ok(count) = usize::try_from(count) else {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) };
        };
        for event in &events[..count.min(EVENTS)] {
            // SAFETY: one of the first `count` entries, which the kernel has written.
            let index = unsafe { event.assume_init() }.u64;
            // The second end of one whose first end has just stirred is not there any more.
            let parked = u32::try_from(index).ok().and_then(|index| self.parked.borrow_mut().remove(index));
            if let Some(parked) = parked {
                self.forget(parked.ends);
                left.push((Leave::Stirred, parked.what));
            }
        }
        Ok(())
    }

    fn expired(&self, left: &mut Vec<(Leave, T)>) {
        self.scanned.set(clock::now());
        let now = u32::try_from(self.elapsed().as_secs()).unwrap_or(u32::MAX);
        left.extend(self.remove(|parked| parked.until <= now).into_iter().map(|what| (Leave::Expired, what)));
    }

    fn remove(&self, chosen: impl Fn(&Parked<T>) -> bool) -> Vec<T> {
        let removed = self.parked.borrow_mut().remove_all(chosen);
        removed
            .into_iter()
            .map(|parked| {
                self.forget(parked.ends);
                parked.what
            })
            .collect()
    }

    fn forget(&self, ends: [RawFd; 2]) {
        for end in ends.into_iter().filter(|end| *end != NONE) {
            // It may not have been added.
            let _ = self.control(libc::EPOLL_CTL_DEL, end, 0);
        }
    }

    fn control(&self, operation: libc::c_int, fd: RawFd, index: u32) -> io::Result<()> {
        #[cfg(feature = "sim")]
        if crate::sim::current().is_some() {
            return Ok(());
        }
        let interest = (libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLONESHOT) as u32;
        let mut event = libc::epoll_event { events: interest, u64: u64::from(index) };
        // SAFETY: `event` is valid for the call; the kernel refuses descriptors that are none.
        match unsafe { libc::epoll_ctl(self.epoll.borrow().as_raw_fd(), operation, fd, &raw mut event) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// How long until the lot is looked through again.
fn look_after() -> Duration {
    #[cfg(feature = "sim")]
    if crate::sim::current().is_some() {
        // There is no epoll set that would tell.
        return Duration::from_millis(10);
    }
    SCAN
}
