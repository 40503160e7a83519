//! Sends to many sockets with one system call.
//!
//! ```text
//!   [ shot, shot, shot, … ] ──▶ one io_uring_enter ──▶ [ what each socket took ]
//! ```
//!
//! A message for a thousand clients is a thousand sends. As operations of the shard's ring they would each have a future that is woken by
//! its end; as system calls of their own they would each pay for the way into the kernel and back. Here they are operations of a second ring
//! that nobody waits at: with `MSG_DONTWAIT` a send ends within the call that submits it. Where there is no such ring (epoll, or the
//! kernel has no more of them) they are system calls.

use std::cell::RefCell;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};

use io_uring::{IoUring, opcode, types};
use socket2::SockRef;

use crate::park::Berth;

/// How many are sent with one system call.
const ROUND: usize = 256;
/// Fewer are sent one by one.
const WORTH: usize = 4;
const FLAGS: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;

/// Bytes for one socket.
#[derive(Clone, Copy, Debug)]
pub struct Shot<'a> {
    /// A plain stream's, which is open and has no other write under way.
    pub to: Berth,
    /// What is sent.
    pub bytes: &'a [u8],
}

/// What a shard sends to many sockets.
pub struct Volley(RefCell<Means>);

enum Means {
    /// A ring, when it is first worth one.
    Unknown,
    Ring(Box<IoUring>),
    Calls,
}

impl Volley {
    pub(crate) fn new(has_ring: bool) -> Self {
        Self(RefCell::new(if has_ring { Means::Unknown } else { Means::Calls }))
    }

    /// Sends what the kernel takes of each at once: so many bytes of it are added to `taken`, in the order of `shots`. An error is 0, and left to
    /// the next operation that waits.
    pub fn send(&self, shots: &[Shot<'_>], taken: &mut Vec<usize>) {
        let mut means = self.0.borrow_mut();
        for round in shots.chunks(ROUND) {
            let mut ends = [None; ROUND];
            if round.len() >= WORTH {
                means.fire(round, &mut ends);
            }
            taken.extend(round.iter().zip(ends).map(|(shot, end)| end.unwrap_or_else(|| send_now(shot))));
        }
    }
}

impl Means {
    /// What has no end afterwards was not sent.
    fn fire(&mut self, shots: &[Shot<'_>], ends: &mut [Option<usize>; ROUND]) {
        #[cfg(feature = "sim")]
        if crate::sim::current().is_some() {
            return;
        }
        if let Self::Unknown = self {
            *self = IoUring::new(ROUND as u32).map_or(Self::Calls, |ring| Self::Ring(Box::new(ring)));
        }
        if let Self::Ring(ring) = self
            && !fire(ring, shots, ends)
        {
            *self = Self::Calls;
        }
    }
}

/// `false` when nothing is under way and the rest cannot be submitted: the ring cannot be used any more.
fn fire(ring: &mut IoUring, shots: &[Shot<'_>], ends: &mut [Option<usize>; ROUND]) -> bool {
    let mut queue = ring.submission();
    for (index, shot) in (0..).zip(shots) {
        let len = u32::try_from(shot.bytes.len()).unwrap_or(u32::MAX);
        let send =
            opcode::Send::new(types::Fd(shot.to.0), shot.bytes.as_ptr(), len).flags(FLAGS).build().user_data(index);
        // SAFETY: the bytes are borrowed until this function returns, and it does not return while an operation is under way.
        if unsafe { queue.push(&send) }.is_err() {
            break;
        }
    }
    let mut open = queue.len();
    drop(queue);
    while open > 0 {
        let submitted = ring.submit_and_wait(open);
        for end in ring.completion() {
            open = open.saturating_sub(1);
            let place = usize::try_from(end.user_data()).ok().and_then(|index| ends.get_mut(index));
            if let Some(place) = place {
                *place = Some(usize::try_from(end.result()).unwrap_or(0));
            }
        }
        match submitted {
            // Submitting is over at the first refusal, so that the rest is what the queue still has.
            Err(error) if error.kind() != io::ErrorKind::Interrupted && open == ring.submission().len() => {
                return false;
            }
            _ => {}
        }
    }
    true
}

fn send_now(shot: &Shot<'_>) -> usize {
    #[cfg(feature = "sim")]
    if let Some(world) = crate::sim::current() {
        return world.held(shot.to.0).map_or(0, |conn| conn.send_now(shot.bytes));
    }
    SockRef::from(&borrow(shot.to.0)).send_with_flags(shot.bytes, FLAGS).unwrap_or(0)
}

fn borrow<'a>(fd: RawFd) -> BorrowedFd<'a> {
    // SAFETY: the stream of a shot is open, see `Shot::to`.
    unsafe { BorrowedFd::borrow_raw(fd) }
}
