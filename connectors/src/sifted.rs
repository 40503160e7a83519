//! A connection of a client library, whose frames are looked at before the library reads them.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::bridge::Duplex;
use crate::sifter::{Sieve, Sifter};

/// A connection to a broker.
#[derive(Debug)]
pub struct Sifted<S> {
    stream: Box<dyn Duplex>,
    sifter: Sifter<S>,
}

impl<S: Default> Sifted<S> {
    /// What comes over this stream.
    pub fn new(stream: Box<dyn Duplex>) -> Self {
        Self { stream, sifter: Sifter::default() }
    }
}

impl<S: Sieve + Unpin> AsyncRead for Sifted<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { stream, sifter } = self.get_mut();
        while sifter.take(buffer) == 0 && buffer.remaining() > 0 {
            let read = pin!(stream.read_buf(sifter.buffer()));
            if ready!(read.poll(cx))? == 0 {
                break;
            }
            sifter.sift().map_err(io::Error::other)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Unpin> AsyncWrite for Sifted<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
