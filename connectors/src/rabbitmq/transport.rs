//! The client library's connection over our own sockets and TLS.

use std::future::Future;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_rs::traits::{Executor, Reactor, RuntimeKit};
use async_rs::util::Task;
use async_rs::{Runtime, Tokio};
use futures_util::Stream;
use ringway_net::ClientTls;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::frames::Frames;
use crate::bridge::{DIAL_WITHIN, dial};
use crate::sifted::Sifted;

/// The brokers' runtime, for a client library that asks for one by a trait: the library's own kit, but for what a connection is.
#[derive(Clone, Debug)]
pub struct Kit(Tokio);

impl Kit {
    /// Of the runtime that this is called in.
    pub fn current() -> Runtime<Self> {
        Runtime::new(Self(Tokio::current()))
    }
}

/// A connection. Until it is said to be established, it fails when its time is up: the library itself would wait for a silent broker for
/// ever, and hold a thread for it.
pub struct Connection {
    stream: Sifted<Frames>,
    deadline: Pin<Box<Sleep>>,
    established: Arc<AtomicBool>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// Of the resolver, the kernel, or TLS (`InvalidData`).
    pub async fn open(
        host: &str,
        port: u16,
        tls: Option<&ClientTls>,
        established: Arc<AtomicBool>,
    ) -> io::Result<Self> {
        let stream = Sifted::new(dial(host, port, tls).await?);
        Ok(Self { stream, deadline: Box::pin(sleep(DIAL_WITHIN)), established })
    }
}

impl futures_io::AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let mut into = ReadBuf::new(buffer);
        match Pin::new(&mut this.stream).poll_read(cx, &mut into) {
            Poll::Ready(read) => Poll::Ready(read.map(|()| into.filled().len())),
            Poll::Pending if this.established.load(Ordering::Relaxed) => Poll::Pending,
            Poll::Pending => {
                ready!(this.deadline.as_mut().poll(cx));
                match this.established.load(Ordering::Relaxed) {
                    true => Poll::Pending,
                    false => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                }
            }
        }
    }
}

impl futures_io::AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl RuntimeKit for Kit {}

impl Executor for Kit {
    type Task<T: Send + 'static> = <Tokio as Executor>::Task<T>;

    fn block_on<T, F: Future<Output = T>>(&self, future: F) -> T {
        self.0.block_on(future)
    }

    fn spawn<T: Send + 'static, F: Future<Output = T> + Send + 'static>(&self, future: F) -> Task<Self::Task<T>> {
        self.0.spawn(future)
    }

    fn spawn_blocking<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(&self, call: F) -> Task<Self::Task<T>> {
        self.0.spawn_blocking(call)
    }
}

impl Reactor for Kit {
    type TcpStream = Connection;
    type Sleep = <Tokio as Reactor>::Sleep;

    #[expect(refining_impl_trait, reason = "nothing is registered, so there is nothing to be generic about")]
    fn register<H: Read + Write + Send + 'static>(&self, _socket: H) -> io::Result<Connection> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sleep(&self, time: Duration) -> Self::Sleep {
        self.0.sleep(time)
    }

    fn interval(&self, time: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(time)
    }

    fn tcp_connect_addr(&self, _address: SocketAddr) -> impl Future<Output = io::Result<Connection>> + Send + 'static {
        std::future::ready(Err(io::ErrorKind::Unsupported.into()))
    }
}
