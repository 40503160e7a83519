//! A write of a whole buffer to a plain socket.
//!
//! By hand and not as an `async fn`: each of those has a copy of its arguments, and a byte, on a line of its own, that tells where it is. A write
//! is looked at when it is begun and when it has ended, and when hundreds are under way, each line of it has left the caches in between.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use monoio::buf::IoBuf;
use pin_project_lite::pin_project;

use crate::shard::Shard;
use crate::socket::Socket;

/// How a write ended, and its buffer, untouched.
pub(crate) type Written<B> = (io::Result<()>, B);

pin_project! {
    /// Writes all of a buffer. `F` is the operation that `begin` begins.
    pub(crate) struct Write<'a, F, B> {
        socket: &'a Socket,
        begin: B,
        #[pin]
        state: State<'a, F>,
    }
}

pin_project! {
    #[project = StateNow]
    enum State<'a, F> {
        Fresh { buffer: BytesMut },
        Under { #[pin] operation: F },
        // The kernel has taken a part, or there is none: rare enough to be boxed.
        Rest { rest: Pin<Box<dyn Future<Output = Written<BytesMut>> + 'a>> },
    }
}

impl<'a, F, B> Write<'a, F, B>
where
    F: Future<Output = (io::Result<usize>, Unsent<BytesMut>)>,
    B: Fn(&'a Socket, Unsent<BytesMut>) -> F,
{
    pub(crate) fn new(socket: &'a Socket, buffer: BytesMut, begin: B) -> Self {
        Self { socket, begin, state: State::Fresh { buffer } }
    }
}

impl<'a, F, B> Future for Write<'a, F, B>
where
    F: Future<Output = (io::Result<usize>, Unsent<BytesMut>)>,
    B: Fn(&'a Socket, Unsent<BytesMut>) -> F,
{
    type Output = Written<BytesMut>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateNow::Fresh { buffer } => {
                    let unsent = Unsent::begin(this.socket, std::mem::take(buffer));
                    if unsent.bytes_init() == 0 {
                        return Poll::Ready((Ok(()), unsent.buffer));
                    }
                    let next = match this.socket.is_simulated() {
                        true => State::Rest { rest: Box::pin(go_on(this.socket, unsent)) },
                        false => State::Under { operation: (this.begin)(this.socket, unsent) },
                    };
                    this.state.set(next);
                }
                StateNow::Under { operation } => {
                    let (count, mut unsent) = ready!(operation.poll(cx));
                    if let Some(end) = unsent.take(count) {
                        return Poll::Ready((end, unsent.buffer));
                    }
                    this.state.set(State::Rest { rest: Box::pin(go_on(this.socket, unsent)) });
                }
                StateNow::Rest { rest } => return rest.as_mut().poll(cx),
            }
        }
    }
}

/// Writes all of `buffer`.
pub(crate) async fn write_all<B: IoBuf>(socket: &Socket, buffer: B) -> Written<B> {
    go_on(socket, Unsent::begin(socket, buffer)).await
}

async fn go_on<B: IoBuf>(socket: &Socket, mut unsent: Unsent<B>) -> Written<B> {
    while unsent.bytes_init() > 0 {
        let (count, back) = socket.write_some(unsent).await;
        unsent = back;
        if let Some(end) = unsent.take(count) {
            return (end, unsent.buffer);
        }
    }
    (Ok(()), unsent.buffer)
}

/// A buffer of which a part is written already.
pub(crate) struct Unsent<B> {
    buffer: B,
    /// At most the length of the buffer: the kernel never takes more than it is given.
    sent: usize,
}

impl<B: IoBuf> Unsent<B> {
    /// While little is under way, what the kernel takes at once is sent at once.
    fn begin(socket: &Socket, buffer: B) -> Self {
        let mut unsent = Self { buffer, sent: 0 };
        if Shard::with(Shard::is_calm).unwrap_or(false) {
            // SAFETY: the initialised bytes of a buffer that is owned here and not touched meanwhile.
            let bytes = unsafe { std::slice::from_raw_parts(unsent.read_ptr(), unsent.bytes_init()) };
            unsent.sent = socket.send_now(bytes);
        }
        unsent
    }

    /// The kernel has taken `count` bytes; the end of the write, if that is one.
    fn take(&mut self, count: io::Result<usize>) -> Option<io::Result<()>> {
        match count {
            Ok(0) => return Some(Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => self.sent += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Some(Err(error)),
        }
        (self.bytes_init() == 0).then_some(Ok(()))
    }
}

// SAFETY: the inner buffer upholds the contract, and this is a part of it.
unsafe impl<B: IoBuf> IoBuf for Unsent<B> {
    fn read_ptr(&self) -> *const u8 {
        // SAFETY: within the buffer, or one past its end, see `sent`.
        unsafe { self.buffer.read_ptr().add(self.sent) }
    }

    fn bytes_init(&self) -> usize {
        self.buffer.bytes_init() - self.sent
    }
}
