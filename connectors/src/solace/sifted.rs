//! The client library's connection, whose frames are looked at before the library reads them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::Frames;
use crate::bridge::Duplex;

/// A connection to a broker.
#[derive(Debug)]
pub struct Sifted {
    stream: Box<dyn Duplex>,
    frames: Frames,
}

impl Sifted {
    /// What comes over this stream.
    pub fn new(stream: Box<dyn Duplex>) -> Self {
        Self { stream, frames: Frames::default() }
    }
}

impl AsyncRead for Sifted {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let count = this.frames.take(buffer.initialize_unfilled());
            if count > 0 || buffer.remaining() == 0 {
                buffer.advance(count);
                return Poll::Ready(Ok(()));
            }
            let mut into = ReadBuf::new(buffer.initialize_unfilled());
            match Pin::new(&mut this.stream).poll_read(cx, &mut into) {
                Poll::Ready(Ok(())) if !into.filled().is_empty() => {
                    this.frames.put(into.filled()).map_err(io::Error::other)?;
                }
                // The end, an error, or nothing yet.
                other => return other,
            }
        }
    }
}

impl AsyncWrite for Sifted {
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
