//! A connection: TCP or Unix, plain or TLS, read and written by `&self`.

use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use bytes::BytesMut;
use futures_util::future::Either;
use socket2::SockRef;

use crate::address::Peer;
use crate::arrival::{Arrival, Arriving, Recall, Waiting};
use crate::gather::{Gather, Stable};
use crate::park::Berth;
use crate::shard::Shard;
use crate::socket::Socket;
use crate::tls::{ClientTls, HandshakeLimits, Parts, ServerTls, Session, TlsInfo};
use crate::vigil::Vigil;
use crate::write::Write;

/// A connected stream socket of this shard.
///
/// One task may read and write at the same time, from two futures that it polls: they share nothing but the descriptor.
/// At most one read and one write may be under way at a time.
///
/// Dropping a future of this type is always safe: the runtime keeps its buffer until the kernel is done with it. What
/// it means for the connection differs: a dropped [`readable`](Self::readable) changes nothing; a dropped read may have
/// taken bytes that are lost with it, and a dropped write may have sent a part, so after these the connection is only
/// good for [`abort`](Self::abort).
///
/// With TLS, reading and writing are the same; the end of the stream is the peer's close_notify, and a socket that ends
/// without it is an [`UnexpectedEof`](io::ErrorKind::UnexpectedEof), because the data may have been cut (RFC 8446
/// section 6.1). Whose framing tells the end (a content length, a last chunk) need not mind. A dropped TLS read loses
/// nothing.
pub struct Stream {
    socket: Socket,
    tls: Option<Box<Session>>,
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
        Ok(Self { socket: Socket::connected(fd)?, tls: None })
    }

    /// Takes a connection of a simulated world.
    #[cfg(feature = "sim")]
    pub(crate) fn simulated(conn: crate::sim::Conn) -> io::Result<Self> {
        Ok(Self { socket: Socket::of_world(conn)?, tls: None })
    }

    /// Gives the connection away, so that another shard can take it with [`from_fd`](Self::from_fd). No operation may
    /// be under way and, on this side, nothing read ahead.
    ///
    /// # Errors
    /// When the descriptor table is full; [`Unsupported`](io::ErrorKind::Unsupported) with TLS, whose state stays here.
    pub fn into_fd(self) -> io::Result<OwnedFd> {
        if self.tls.is_some() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.socket.into_fd()
    }

    /// Shakes hands as a server. `early` is what was read from the stream before, such as what came behind a PROXY
    /// header.
    ///
    /// # Errors
    /// [`TimedOut`](io::ErrorKind::TimedOut); [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) when the client leaves;
    /// [`InvalidData`](io::ErrorKind::InvalidData), mostly with a rustls error inside, when it is wrong. The client is
    /// told why.
    pub async fn accept_tls(self, tls: &ServerTls, early: &[u8], limits: HandshakeLimits) -> io::Result<Self> {
        let (connection, names) =
            tls.connection().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let session = Session::handshake(&self.socket, connection, early, limits).await?.named(names);
        Ok(Self { socket: self.socket, tls: Some(Box::new(session)) })
    }

    /// Shakes hands as a client of `server_name`, a host name or an IP address.
    ///
    /// # Errors
    /// As [`accept_tls`](Self::accept_tls); [`InvalidInput`](io::ErrorKind::InvalidInput) for a name that is none.
    pub async fn connect_tls(self, tls: &ClientTls, server_name: &str, limits: HandshakeLimits) -> io::Result<Self> {
        let connection =
            tls.connection(server_name).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let session = Session::handshake(&self.socket, connection, &[], limits).await?;
        Ok(Self { socket: self.socket, tls: Some(Box::new(session)) })
    }

    /// What the handshake agreed on. `None` without TLS.
    pub fn tls(&self) -> Option<&TlsInfo> {
        self.tls.as_deref().map(Session::info)
    }

    /// Waits until [`read`](Self::read) has something to say: bytes, the end, or an error. Holds no buffer, so this is
    /// how a connection idles. It may be dropped at any time, and it may be kept pending while the same stream is
    /// written to.
    ///
    /// With TLS it returns at once when decrypted bytes are waiting, and it may return for records that carry no data,
    /// such as a ticket; [`peek`](Self::peek) tells.
    ///
    /// # Errors
    /// Of the driver.
    pub async fn readable(&self) -> io::Result<()> {
        if self.tls.as_deref().is_some_and(Session::is_ready) {
            return Ok(());
        }
        self.socket.readable().await
    }

    /// Waits until there is something to read, and reads it if that costs nothing more. Whoever drops the wait may lose what has come, so
    /// the connection is to be given up with it: unless `recall` has ended it.
    /// A read begins with this call, and not when the future is first polled; it holds its buffer until it has ended or is dropped.
    pub fn arrival<'a>(&'a self, recall: Option<&'a Recall>) -> impl Future<Output = Arrival> + use<'a> {
        let waiting = if self.tls.is_none() { Waiting::begin(recall) } else { None };
        match (waiting, recall) {
            (Some((waiting, buffer)), _) if self.socket.is_simulated() => Arriving::Simulated {
                read: Box::pin(async move {
                    let (result, buffer) = self.socket.read(buffer).await;
                    drop(waiting);
                    Arrival::Read(result, buffer)
                }),
            },
            (Some((waiting, buffer)), None) => {
                Arriving::Read { waiting: Some(waiting), read: self.socket.begin_read(buffer) }
            }
            (Some((waiting, buffer)), Some(recall)) => {
                Arriving::ReadUntil { waiting: Some(waiting), read: self.socket.begin_read_until(recall, buffer) }
            }
            (None, _) => Arriving::Readable { wait: self.readable() },
        }
    }

    /// Reads into the spare capacity of `buffer`, behind what it holds. `Ok(0)` is the end of the stream.
    ///
    /// # Errors
    /// Of the socket; [`InvalidInput`](io::ErrorKind::InvalidInput) for a buffer without spare capacity.
    pub async fn read(&self, mut buffer: BytesMut) -> (io::Result<usize>, BytesMut) {
        if buffer.len() == buffer.capacity() {
            return (Err(no_room()), buffer);
        }
        match &self.tls {
            None => {
                if is_calm() {
                    match self.socket.read_now(&mut buffer) {
                        Ok(Some(count)) => return (Ok(count), buffer),
                        Ok(None) => {}
                        Err(error) => return (Err(error), buffer),
                    }
                }
                self.socket.read(buffer).await
            }
            Some(session) => (session.read(&self.socket, &mut buffer).await, buffer),
        }
    }

    /// Reads what is there, without waiting, with a plain system call. `Ok(None)` when there is nothing.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_now(&self, buffer: &mut BytesMut) -> io::Result<Option<usize>> {
        if buffer.len() == buffer.capacity() {
            return Err(no_room());
        }
        match &self.tls {
            None => self.socket.read_now(buffer),
            Some(session) => session.read_now(&self.socket, buffer),
        }
    }

    /// Writes all of `buffer` and gives it back, untouched, to be used again.
    ///
    /// # Errors
    /// Of the socket, after which nothing more may be written.
    pub fn write(&self, buffer: BytesMut) -> impl Future<Output = (io::Result<()>, BytesMut)> {
        match &self.tls {
            None => Either::Left(Write::new(&self.socket, buffer, Socket::begin_write)),
            Some(session) => Either::Right(async move {
                (session.write(&self.socket, Parts::new([&buffer, NOTHING, NOTHING])).await, buffer)
            }),
        }
    }

    /// Writes `head` and `body` with one system call where the kernel takes them at once, without copying them
    /// together.
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
        if let Some(session) = &self.tls {
            let parts = Parts::new([head.as_ref(), body.as_ref(), tail.as_ref()]);
            return (session.write(&self.socket, parts).await, (head, body, tail));
        }
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

    /// Ends the writing side, with TLS by a close_notify: the peer reads the end after what was written before. Reading
    /// goes on.
    ///
    /// # Errors
    /// Of the socket, for instance when the peer has reset it already.
    pub async fn shutdown(&self) -> io::Result<()> {
        if let Some(session) = &self.tls {
            session.close(&self.socket).await?;
        }
        self.socket.shutdown_write()
    }

    /// Ends the writing side and discards what still comes, until the peer is done, `bytes_max` have come, or the future
    /// is dropped (give it a deadline). Then the stream may be dropped.
    ///
    /// A socket that is closed with unread bytes is reset, and the reset may overtake the last response: a server that
    /// answers before it has read all of a request closes in this way (RFC 9112 section 9.6).
    ///
    /// # Errors
    /// Of the socket: the peer has reset it, which is an end as well.
    pub async fn linger(&self, bytes_max: usize) -> io::Result<()> {
        self.shutdown().await?;
        let shard = Shard::current();
        let mut left = bytes_max;
        loop {
            let mut buffer = shard.buffers.take();
            // Below TLS: nobody wants to know what it says.
            let received = self.socket.read_now(&mut buffer);
            shard.buffers.put(buffer);
            match received? {
                Some(0) => return Ok(()),
                Some(count) if count < left => left -= count,
                Some(_) => return Ok(()),
                None => self.socket.readable().await?,
            }
        }
    }

    /// Ends both directions at once: whatever is under way on this stream ends. The descriptor is closed when the
    /// stream is dropped. The peer reads an end, or a reset, see [`end_by_reset`](Self::end_by_reset).
    pub fn abort(&self) {
        self.socket.shutdown_both();
    }

    /// Whether this connection ends with a reset, however it ends: by [`abort`](Self::abort), by being dropped, with its shard or with
    /// the process (`SO_LINGER` of 0, socket(7)). For as long as the end of the connection would tell the peer that it has got
    /// everything (RFC 9112 section 8), and it has not. What the peer has not read yet may be lost with it.
    ///
    /// TCP only: to a Unix socket every end looks the same.
    pub fn end_by_reset(&self, reset: bool) {
        self.socket.end_by_reset(reset);
    }

    /// What waits, without waiting and without taking it. With TLS, records that carry no data are worked off on the
    /// way: a server's tickets come after the handshake and are no reason to give up an idle connection.
    pub fn peek(&self) -> Peek {
        if let Some(session) = &self.tls {
            return session.peek(&self.socket);
        }
        let mut byte = [MaybeUninit::uninit(); 1];
        match self.socket.recv_now(&mut byte, true) {
            Ok(None) => Peek::Quiet,
            Ok(Some(0)) | Err(_) => Peek::Closed,
            Ok(Some(_)) => Peek::Bytes,
        }
    }

    /// Where it can be parked. `None` while decrypted bytes wait: the socket would not tell of them.
    pub fn berth(&self) -> Option<Berth> {
        let ready = self.tls.as_deref().is_some_and(Session::is_ready);
        (!ready).then(|| Berth(self.socket.raw()))
    }

    /// Where a [`Volley`](crate::Volley) sends to it. `None` with TLS, whose records are written as a whole.
    pub fn aim(&self) -> Option<Berth> {
        self.tls.is_none().then(|| Berth(self.socket.raw()))
    }

    /// The address of the other end.
    ///
    /// # Errors
    /// When it is not connected any more.
    pub fn peer_addr(&self) -> io::Result<Peer> {
        #[cfg(feature = "sim")]
        if let Some((_, there)) = self.socket.addresses() {
            return Ok(Peer::Tcp(there));
        }
        Ok(peer(SockRef::from(&self.socket.borrow()).peer_addr()?.as_socket()))
    }

    /// The address of this end.
    ///
    /// # Errors
    /// Of the system call.
    pub fn local_addr(&self) -> io::Result<Peer> {
        #[cfg(feature = "sim")]
        if let Some((here, _)) = self.socket.addresses() {
            return Ok(Peer::Tcp(here));
        }
        Ok(peer(SockRef::from(&self.socket.borrow()).local_addr()?.as_socket()))
    }

    /// Sets `TCP_NODELAY`. Nothing happens on a Unix socket.
    ///
    /// # Errors
    /// Of the system call.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        tcp_only(SockRef::from(&self.socket.borrow()).set_tcp_nodelay(nodelay))
    }

    /// Makes the kernel find out whether the peer is still there, see [`Vigil`]. Nothing happens on a Unix socket.
    ///
    /// # Errors
    /// Of the system call.
    pub fn set_vigil(&self, vigil: &Vigil) -> io::Result<()> {
        tcp_only(vigil.keep(&SockRef::from(&self.socket.borrow())))
    }

    /// Bytes that the peer's kernel has acknowledged so far; below TLS. `None` when nobody knows: a Unix socket.
    pub fn acknowledged(&self) -> Option<u64> {
        self.socket.acknowledged()
    }
}

const NOTHING: &[u8] = &[];

/// See [`Shard::busy`].
fn is_calm() -> bool {
    Shard::with(Shard::is_calm).unwrap_or(false)
}

fn no_room() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "no room to read into")
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
