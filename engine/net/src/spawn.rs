//! Tasks of a shard, and the only way for one of them to step aside.

use std::any::Any;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use ringway_ring::Extent;

use crate::clock;
use crate::shard::Shard;
use crate::socket::Socket;

/// Runs `future` on this shard. A panic ends the future and nothing else: it is counted ([`Shard::panics`]) and
/// reported.
///
/// One allocation: the runtime's task, which the guard is part of.
///
/// # Panics
/// On a thread that is no shard.
pub fn spawn<F: Future<Output = ()> + 'static>(future: F) {
    Shard::with(Shard::task_born);
    clock::run(Guarded { future: Some(future) });
}

/// Lets the shard do everything else that it has to do: other tasks, completions and timers.
///
/// A future must not wake itself and return `Pending`: monoio 0.2.4 puts such a task in front of its queue, where it
/// runs alone, and timers fire only when the queue is empty. So the way leads through the kernel: a poll of a
/// descriptor that is always readable, which completes at the next turn of the ring. With epoll it is a sleep of a
/// millisecond.
pub async fn yield_now() {
    let ready = Shard::with(|shard| shard.ready.borrow().as_ref().map(Rc::clone)).flatten();
    match ready {
        Some(ready) => {
            let _ = ready.readable().await;
        }
        None => clock::sleep(Duration::from_millis(1)).await,
    }
}

/// An eventfd that nobody ever reads.
pub(crate) fn always_ready() -> io::Result<Socket> {
    // SAFETY: no pointers; the result is checked before it is owned.
    let fd = unsafe { libc::eventfd(1, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `fd` is open and nobody else's.
    Socket::watch(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// How much of a task is asked for before its turn.
const WARM_BYTES: usize = 1280;

struct Guarded<F> {
    future: Option<F>,
}

impl<F: Future<Output = ()>> Future for Guarded<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Extent::of(&*self, WARM_BYTES).prefetch();
        // SAFETY: `future` is pinned with `self`: it is only polled in place and dropped in place, never moved.
        let mut future = unsafe { self.map_unchecked_mut(|guarded| &mut guarded.future) };
        // Unwind safe: after a panic the future is dropped and never polled again; what it shares with other tasks is
        // the shard's, which is written to stand it (cells that are set after the fact, no half-done moves).
        let polled = catch_unwind(AssertUnwindSafe(|| match future.as_mut().as_pin_mut() {
            Some(future) => future.poll(context),
            None => Poll::Ready(()),
        }));
        if let Ok(Poll::Pending) = polled {
            return Poll::Pending;
        }
        if let Err(payload) = polled {
            report(&*payload);
        }
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| future.set(None))) {
            report(&*payload);
        }
        Poll::Ready(())
    }
}

impl<F> Drop for Guarded<F> {
    fn drop(&mut self) {
        Shard::with(Shard::task_gone);
    }
}

fn report(payload: &(dyn Any + Send)) {
    let message = payload
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a message");
    Shard::with(|shard| shard.count_panic(message));
}
