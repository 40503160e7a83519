//! Small writes whose end nobody waits for.
//!
//! ```text
//!   awaited   write ──▶ completion ──▶ a turn of the task, to learn that it may go on
//!   posted    write ──▶ completion ┄┄▶ noted; the turn that the peer's answer begins finds it
//! ```
//!
//! Whoever writes a request waits for its response next, and whoever writes a response for the next request. What ends that wait
//! comes after the end of the write, as a rule, and an error of the write ends it as well: so a turn of its own would tell nothing new.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::shard::Shard;

/// Bytes of a write that may be posted. So few of them go into the kernel's buffer together unless the peer has left it full.
pub const POST_BYTES_MAX: usize = 4 * 1024;

/// How many posted writes of a shard may be unsettled: each holds its buffer until somebody comes by, 16 MiB in all.
const POSTED_MAX: usize = 1024;

/// Leave to post a write, for as long as it holds a buffer.
pub struct Postage(());

impl Postage {
    /// `None` when as many writes are posted as may be, or `bytes` are too many; and with epoll, where a write that waits is under way with
    /// nobody: it is tried again by whoever is woken, and a posted one wakes no one.
    pub fn of(bytes: usize) -> Option<Self> {
        let is_free = |shard: &Shard| {
            let posted = shard.posted.get();
            let is_free = posted < POSTED_MAX && bytes <= POST_BYTES_MAX && shard.goes_on_alone();
            shard.posted.set(posted + usize::from(is_free));
            is_free
        };
        Shard::with(is_free).unwrap_or(false).then(|| Self(()))
    }
}

impl Drop for Postage {
    fn drop(&mut self) {
        Shard::with(|shard| shard.posted.set(shard.posted.get().saturating_sub(1)));
    }
}

/// Begins `write` without being woken by its end, which takes [`Postage`]. Whoever comes by again polls it in earnest, and has to do so
/// before the stream is written to again or dropped.
pub fn post<F: Future>(write: Pin<&mut F>) -> Poll<F::Output> {
    write.poll(&mut Context::from_waker(Waker::noop()))
}
