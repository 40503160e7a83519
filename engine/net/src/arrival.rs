//! The wait for the next bytes of a connection that nothing is known to be on the way to.
//!
//! ```text
//!   few connections wait   a read is under way, with a buffer of the shard: what comes has been read when the task wakes
//!   many do                only readability is waited for, without a buffer; the read is a second operation and a second wake
//! ```
//!
//! Waiting with a buffer saves an operation of the ring and a turn of the task per head, waiting without saves 16 KiB per idle
//! connection. So a bounded number of connections waits with one, and a wait that grows long is [recalled](Recall).

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use monoio::io::{CancelHandle, Canceller};
use pin_project_lite::pin_project;

use crate::shard::Shard;
use crate::socket::Spare;

/// How many buffers of a shard wait for bytes at most: 16 MiB, of which a head touches the first page.
const WAITING_MAX: usize = 1024;

/// How a wait for bytes ended.
#[derive(Debug)]
pub enum Arrival {
    /// There is something to read, or the socket has failed.
    Ready,
    /// It has been read. 0 is the end of the stream.
    Read(io::Result<usize>, BytesMut),
}

pin_project! {
    /// The wait itself: a read, one that can be recalled, or a wait without a buffer. By hand and not as an `async fn` for the same reason as
    /// [`Write`](crate::write::Write).
    #[project = ArrivingNow]
    pub(crate) enum Arriving<'a, R, U, W> {
        Read { waiting: Option<Waiting<'a>>, #[pin] read: R },
        ReadUntil { waiting: Option<Waiting<'a>>, #[pin] read: U },
        Readable { #[pin] wait: W },
        Simulated { read: Pin<Box<dyn Future<Output = Arrival> + 'a>> },
    }
}

impl<R, U, W> Future for Arriving<'_, R, U, W>
where
    R: Future<Output = (io::Result<usize>, Spare)>,
    U: Future<Output = (io::Result<usize>, Spare)>,
    W: Future<Output = io::Result<()>>,
{
    type Output = Arrival;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Arrival> {
        let ((result, Spare(buffer)), waiting) = match self.project() {
            ArrivingNow::Read { waiting, read } => (ready!(read.poll(cx)), waiting),
            ArrivingNow::ReadUntil { waiting, read } => (ready!(read.poll(cx)), waiting),
            // A socket that has failed tells when it is read.
            ArrivingNow::Readable { wait } => return wait.poll(cx).map(|_| Arrival::Ready),
            ArrivingNow::Simulated { read } => return read.as_mut().poll(cx),
        };
        drop(waiting.take());
        Poll::Ready(match result {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                Shard::current().buffers.put(buffer);
                Arrival::Ready
            }
            result => Arrival::Read(result, buffer),
        })
    }
}

/// Takes a wait back, so that the buffer that it holds is free again. One for each connection, used by one wait at a time.
#[derive(Default)]
pub struct Recall {
    canceller: RefCell<Option<Canceller>>,
    waiting: Cell<bool>,
}

impl Recall {
    /// Ends the wait that holds a buffer, if one does: `true`. It has to be awaited then, because bytes may have come
    /// meanwhile; if none have, its result is an error.
    pub fn recall(&self) -> bool {
        if !self.waiting.get() {
            return false;
        }
        let mut canceller = self.canceller.borrow_mut();
        if let Some(present) = canceller.take() {
            *canceller = Some(present.cancel());
        }
        true
    }

    pub(crate) fn handle(&self) -> CancelHandle {
        self.canceller.borrow_mut().get_or_insert_with(Canceller::new).handle()
    }
}

/// A buffer of the shard that waits for bytes.
pub(crate) struct Waiting<'a>(Option<&'a Recall>);

impl<'a> Waiting<'a> {
    /// `None` when as many wait as may, or the driver would not fill it.
    pub(crate) fn begin(recall: Option<&'a Recall>) -> Option<(Self, BytesMut)> {
        Shard::with(|shard| {
            let waiting = shard.waiting.get();
            if waiting >= WAITING_MAX || shard.is_epoll() {
                return None;
            }
            // In a simulated world, nothing is recalled.
            #[cfg(feature = "sim")]
            if recall.is_some() && crate::sim::current().is_some() {
                return None;
            }
            shard.waiting.set(waiting + 1);
            if let Some(recall) = recall {
                recall.waiting.set(true);
            }
            Some((Self(recall), shard.buffers.take()))
        })
        .flatten()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(recall) = self.0 {
            recall.waiting.set(false);
        }
        Shard::with(|shard| shard.waiting.set(shard.waiting.get().saturating_sub(1)));
    }
}
