//! A connection: TCP or Unix, plain or TLS, read and written by `&self`.

use std::io;
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::time::Duration;

use bytes::BytesMut;
use monoio::buf::IoBuf;
use socket2::{SockRef, TcpKeepalive};

use crate::address::Peer;
use crate::gather::{Gather, Stable};
use crate::shard::Shard;
use crate::socket::Socket;

/// A connected stream socket of this shard.
///
/// One task may read and write at the same time, from two futures that it polls: they share nothing but the descriptor. At most one
/// read and one write may be under way at a time.
///
/// Dropping a future of this type is always safe: the runtime keeps its buffer until the kernel is done with it. What it means for
/// the connection differs: a dropped [`readable`](Self::readable) changes nothing; a dropped read may have taken bytes that are lost
/// with it, and a dropped write may have sent a part, so after these the connection is only good for [`abort`](Self::abort).
pub struct Stream {
    socket: Socket,
}

/// What waits on a connection, see [`Stream::peek`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peek {
    /// Nothing.
    Quiet,
    /// Bytes to read.
    Bytes,
    /// The end, or an error.
    Closed,
}

impl Stream {
    /// Takes a connected stream socket, TCP or Unix.
    ///
    /// # Errors
    /// When the driver refuses the descriptor.
    ///
    /// # Panics
    /// On a thread that is no shard.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self { socket: Socket::connected(fd)? })
    }

    /// Gives the connection away, so that another shard can take it with [`from_fd`](Self::from_fd). No operation may be under way
    /// and, on this side, nothing read ahead.
    ///
    /// # Errors
    /// When the descriptor table is full.
    pub fn into_fd(self) -> io::Result<OwnedFd> {
        self.socket.into_fd()
    }

    /// Waits until [`read`](Self::read) has something to say: bytes, the end, or an error. Holds no buffer, so this is how a
    /// connection idles. It may be dropped at any time, and it may be kept pending while the same stream is written to.
    pub async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Reads into the spare capacity of `buffer`, behind what it holds. `Ok(0)` is the end of the stream.
    ///
    /// # Errors
    /// Of the socket; [`InvalidInput`](io::ErrorKind::InvalidInput) for a buffer without spare capacity.
    pub async fn read(&self, buffer: BytesMut) -> (io::Result<usize>, BytesMut) {
        self.socket.read(buffer).await
    }

    /// Writes all of `buffer` and gives it back, untouched, to be used again.
    ///
    /// # Errors
    /// Of the socket, after which nothing more may be written.
    pub async fn write(&self, buffer: BytesMut) -> (io::Result<()>, BytesMut) {
        write_all(&self.socket, buffer).await
    }

    /// Writes `head` and `body` with one system call where the kernel takes them at once, without copying them together.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn write_two<A: Stable, B: Stable>(&self, head: A, body: B) -> (io::Result<()>, (A, B)) {
        let (result, (head, body, _)) = self.write_three(head, body, NOTHING).await;
        (result, (head, body))
    }

    /// Writes three parts as [`write_two`](Self::write_two) does: a chunk's size line, its bytes and its end, say.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn write_three<A: Stable, B: Stable, C: Stable>(
        &self,
        head: A,
        body: B,
        tail: C,
    ) -> (io::Result<()>, (A, B, C)) {
        let iovec = Shard::current().iovecs.take();
        let mut gather = Gather::new((head, body, tail), iovec);
        let mut written = 0;
        let mut result = Ok(());
        while gather.point_past(written) {
            let (count, back) = self.socket.writev_some(gather).await;
            gather = back;
            match count {
                Ok(0) => result = Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => result = Err(error),
            }
            if result.is_err() {
                break;
            }
        }
        Shard::current().iovecs.put(gather.iovec);
        (result, gather.parts)
    }

    /// Ends the writing side: the peer reads the end after what was written before. Reading goes on.
    ///
    /// # Errors
    /// Of the socket, for instance when the peer has reset it already.
    pub async fn shutdown(&self) -> io::Result<()> {
        SockRef::from(&self.socket.borrow()).shutdown(Shutdown::Write)
    }

    /// Ends both directions at once: whatever is under way on this stream ends. The descriptor is closed when the stream is dropped.
    pub fn abort(&self) {
        self.socket.shutdown_both();
    }

    /// What waits, without waiting and without taking it.
    pub fn peek(&self) -> Peek {
        let mut byte = [MaybeUninit::uninit(); 1];
        match self.socket.recv_now(&mut byte, true) {
            Ok(None) => Peek::Quiet,
            Ok(Some(0)) | Err(_) => Peek::Closed,
            Ok(Some(_)) => Peek::Bytes,
        }
    }

    /// The address of the other end.
    ///
    /// # Errors
    /// When it is not connected any more.
    pub fn peer_addr(&self) -> io::Result<Peer> {
        Ok(peer(SockRef::from(&self.socket.borrow()).peer_addr()?.as_socket()))
    }

    /// The address of this end.
    ///
    /// # Errors
    /// Of the system call.
    pub fn local_addr(&self) -> io::Result<Peer> {
        Ok(peer(SockRef::from(&self.socket.borrow()).local_addr()?.as_socket()))
    }

    /// Sets `TCP_NODELAY`. Nothing happens on a Unix socket.
    ///
    /// # Errors
    /// Of the system call.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        tcp_only(SockRef::from(&self.socket.borrow()).set_tcp_nodelay(nodelay))
    }

    /// Makes the kernel probe a silent peer after `idle`, every `interval`, and give up after `probes`. Nothing happens on a Unix
    /// socket.
    ///
    /// # Errors
    /// Of the system call.
    pub fn set_keepalive(&self, idle: Duration, interval: Duration, probes: u32) -> io::Result<()> {
        let keepalive = TcpKeepalive::new().with_time(idle).with_interval(interval).with_retries(probes);
        tcp_only(SockRef::from(&self.socket.borrow()).set_tcp_keepalive(&keepalive))
    }
}

const NOTHING: &[u8] = &[];

/// Writes all of `buffer`.
pub(crate) async fn write_all(socket: &Socket, buffer: BytesMut) -> (io::Result<()>, BytesMut) {
    let mut unsent = Unsent { buffer, sent: 0 };
    while unsent.bytes_init() > 0 {
        let (count, back) = socket.write_some(unsent).await;
        unsent = back;
        match count {
            Ok(0) => return (Err(io::ErrorKind::WriteZero.into()), unsent.buffer),
            Ok(count) => unsent.sent += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (Err(error), unsent.buffer),
        }
    }
    (Ok(()), unsent.buffer)
}

/// A buffer of which a part is written already.
struct Unsent {
    buffer: BytesMut,
    sent: usize,
}

// SAFETY: the bytes of a `BytesMut` do not move with it, and nobody else has it while the runtime does.
unsafe impl IoBuf for Unsent {
    fn read_ptr(&self) -> *const u8 {
        self.buffer[self.sent..].as_ptr()
    }

    fn bytes_init(&self) -> usize {
        self.buffer.len() - self.sent
    }
}

fn peer(address: Option<std::net::SocketAddr>) -> Peer {
    address.map_or(Peer::Unix, Peer::Tcp)
}

/// Options of TCP are refused by a Unix socket, which does not need them.
fn tcp_only(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(()),
        result => result,
    }
}
