//! Listening: bound anywhere, accepted from on a shard, without an accept ever in flight.

use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use socket2::{Domain, SockAddr, SockRef, Socket as Socket2, Type};

use crate::address::{Address, Peer};
use crate::clock;
use crate::shard::Shard;
use crate::socket::{Socket, owned};
use crate::spawn::yield_now;
use crate::stream::Stream;
use crate::vigil::Vigil;

/// How to listen.
#[derive(Clone, Debug)]
pub struct ListenerOptions {
    /// Connections that the kernel queues (it cuts this to `net.core.somaxconn`).
    pub backlog: u32,
    /// `SO_REUSEPORT`: every shard, and the next process, binds a listener of its own to the same port. TCP only.
    pub reuseport: bool,
    /// Hand a connection over only when its first bytes are there, or this long after: `TCP_DEFER_ACCEPT`, in seconds.
    pub defer_accept_secs: Option<u32>,
    /// An IPv6 wildcard takes no IPv4 connections.
    pub v6only: bool,
    /// How the kernel watches over accepted connections. TCP only.
    pub vigil: Vigil,
}

impl Default for ListenerOptions {
    fn default() -> Self {
        Self { backlog: 4096, reuseport: true, defer_accept_secs: None, v6only: false, vigil: Vigil::default() }
    }
}

/// A listening socket that no shard has taken yet. Bound off the shards, so that an address in use is known before any
/// starts.
pub struct BoundListener {
    listening: Listening,
}

enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
    #[cfg(feature = "sim")]
    Sim(SimListener),
}

impl BoundListener {
    /// Binds and listens. The file of a Unix socket that nobody listens on any more is replaced.
    ///
    /// # Errors
    /// Of the system calls: address in use, no permission, and so on.
    pub fn bind(address: &Address, options: &ListenerOptions) -> io::Result<Self> {
        let listening = match address {
            Address::Tcp(address) => Listening::Tcp(bind_tcp(*address, options)?),
            Address::Unix(path) => {
                let address = SockAddr::unix(path)?;
                let socket = Socket2::new(Domain::UNIX, Type::STREAM, None)?;
                if let Err(error) = socket.bind(&address) {
                    // A file is left behind by a process that was killed. If somebody listens on it, it is not ours to
                    // take.
                    if error.kind() != io::ErrorKind::AddrInUse || !is_abandoned(&address) {
                        return Err(error);
                    }
                    std::fs::remove_file(path)?;
                    socket.bind(&address)?;
                }
                socket.listen(backlog(options))?;
                socket.set_nonblocking(true)?;
                Listening::Unix(UnixListener::from(OwnedFd::from(socket)))
            }
        };
        Ok(Self { listening })
    }

    /// The address, with the port that the kernel chose if 0 was asked for. `None` for a Unix socket.
    ///
    /// # Errors
    /// Of the system call.
    pub fn local_addr(&self) -> io::Result<Option<SocketAddr>> {
        match &self.listening {
            Listening::Tcp(listener) => listener.local_addr().map(Some),
            Listening::Unix(_) => Ok(None),
            #[cfg(feature = "sim")]
            Listening::Sim(listener) => Ok(Some(listener.address)),
        }
    }

    /// The same socket once more, for another shard. Shards that share one socket race for its connections; with TCP a
    /// socket of its own for each (`reuseport`) is better.
    ///
    /// # Errors
    /// When the descriptor table is full.
    pub fn try_clone(&self) -> io::Result<Self> {
        let listening = match &self.listening {
            Listening::Tcp(listener) => Listening::Tcp(listener.try_clone()?),
            Listening::Unix(listener) => Listening::Unix(listener.try_clone()?),
            #[cfg(feature = "sim")]
            Listening::Sim(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        Ok(Self { listening })
    }
}

/// A listener of a simulated world. Bound on the thread that then runs the world, it goes through types that could go to another.
#[cfg(feature = "sim")]
struct SimListener {
    address: SocketAddr,
}

#[cfg(feature = "sim")]
impl SimListener {
    fn listening(&self) -> io::Result<std::rc::Rc<crate::sim::Listening>> {
        let listening = crate::sim::current().and_then(|world| world.listening_at(self.address));
        listening.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn accept(&self) -> io::Result<Option<Accepted>> {
        let Some((id, peer)) = crate::sim::current().and_then(|world| world.accept(self.address)) else {
            return Ok(None);
        };
        Ok(Some(Accepted { simulated: Some(Token(id)), ..Accepted::new(crate::socket::nothing()?, peer) }))
    }
}

#[cfg(feature = "sim")]
impl Drop for SimListener {
    fn drop(&mut self) {
        if let Ok(listening) = self.listening() {
            listening.close();
        }
    }
}

#[cfg(feature = "sim")]
impl BoundListener {
    pub(crate) fn simulated(address: SocketAddr) -> Self {
        Self { listening: Listening::Sim(SimListener { address }) }
    }
}

/// A connection that was accepted in a simulated world, and is closed if nobody opens it.
#[cfg(feature = "sim")]
#[derive(Debug)]
pub(crate) struct Token(u64);

#[cfg(feature = "sim")]
impl Drop for Token {
    fn drop(&mut self) {
        if let Some(world) = crate::sim::current() {
            world.discard(self.0);
        }
    }
}

fn bind_tcp(address: SocketAddr, options: &ListenerOptions) -> io::Result<TcpListener> {
    let socket = Socket2::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(options.reuseport)?;
    if address.is_ipv6() {
        socket.set_only_v6(options.v6only)?;
    }
    if let Some(secs) = options.defer_accept_secs {
        set_defer_accept(&socket, secs)?;
    }
    // Both are inherited by accepted sockets, which saves the system calls for each.
    socket.set_tcp_nodelay(true)?;
    options.vigil.keep(&SockRef::from(&socket))?;
    socket.bind(&address.into())?;
    socket.listen(backlog(options))?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn backlog(options: &ListenerOptions) -> i32 {
    i32::try_from(options.backlog).unwrap_or(i32::MAX)
}

fn set_defer_accept(socket: &Socket2, secs: u32) -> io::Result<()> {
    let secs = libc::c_int::try_from(secs).unwrap_or(libc::c_int::MAX);
    let length = libc::socklen_t::try_from(size_of_val(&secs)).unwrap_or_default();
    // SAFETY: the pointer and the length are those of a live `c_int`, which is what the option takes.
    let result = unsafe {
        let value = (&raw const secs).cast();
        libc::setsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, value, length)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn is_abandoned(address: &SockAddr) -> bool {
    let probe = Socket2::new(Domain::UNIX, Type::STREAM, None).and_then(|socket| {
        socket.set_nonblocking(true)?;
        socket.connect(address)
    });
    matches!(probe, Err(error) if error.kind() == io::ErrorKind::ConnectionRefused)
}

/// A listening socket of this shard.
///
/// The listener is polled for readability and accepts with a plain, non-blocking system call. An accept on the ring
/// that is cancelled at the wrong moment loses its connection and leaks the descriptor (monoio 0.2.4); here there is
/// none to cancel, so accepting is stopped by dropping the future of [`accept`](Self::accept), or the listener.
///
/// To stop for good without losing a client: [`refuse`](Self::refuse) new ones, go on accepting for a moment, take what is queued with
/// [`try_accept`](Self::try_accept) until it is empty, then drop the listener. What the kernel still queues at that moment is reset.
pub struct Listener {
    listening: Listening,
    /// A second descriptor of the same socket, for waiting.
    socket: Socket,
    /// Connections accepted since the last wait.
    burst: Cell<u32>,
    /// What the next wait for free descriptors takes.
    backoff_ms: Cell<u64>,
    exhausted: Cell<u64>,
}

/// A new connection, with `TCP_NODELAY`. It is no shard's yet, so it may still go to another one.
#[derive(Debug)]
pub struct Accepted {
    /// The connection.
    pub fd: OwnedFd,
    /// Who connected.
    pub peer: Peer,
    /// What stands for it in a simulated world.
    #[cfg(feature = "sim")]
    pub(crate) simulated: Option<Token>,
}

impl Accepted {
    /// One that was accepted elsewhere.
    pub fn new(fd: OwnedFd, peer: Peer) -> Self {
        Self {
            fd,
            peer,
            #[cfg(feature = "sim")]
            simulated: None,
        }
    }

    /// Takes it to this shard.
    ///
    /// # Errors
    /// When the driver refuses the descriptor. It is closed.
    ///
    /// # Panics
    /// On a thread that is no shard.
    pub fn open(self) -> io::Result<Stream> {
        #[cfg(feature = "sim")]
        if let Some(Token(id)) = &self.simulated {
            let conn = crate::sim::current().and_then(|world| world.open(*id));
            return Stream::simulated(conn.ok_or(io::ErrorKind::NotFound)?);
        }
        Stream::from_fd(self.fd)
    }
}

/// Connections that are accepted in a row before the rest of the shard has its turn.
const BURST_MAX: u32 = 64;
const BACKOFF_FIRST_MS: u64 = 10;
const BACKOFF_MAX_MS: u64 = 1000;

impl Listener {
    /// Binds on the shard.
    ///
    /// # Errors
    /// As [`BoundListener::bind`].
    pub fn bind(address: &Address, options: &ListenerOptions) -> io::Result<Self> {
        Self::from_bound(BoundListener::bind(address, options)?)
    }

    /// Takes a listener that was bound elsewhere.
    ///
    /// # Errors
    /// When the descriptor table is full, or the driver refuses.
    pub fn from_bound(bound: BoundListener) -> io::Result<Self> {
        let twin = match &bound.listening {
            Listening::Tcp(listener) => listener.as_fd().try_clone_to_owned()?,
            Listening::Unix(listener) => listener.as_fd().try_clone_to_owned()?,
            #[cfg(feature = "sim")]
            Listening::Sim(_) => crate::socket::nothing()?,
        };
        Ok(Self {
            listening: bound.listening,
            socket: Socket::watch(twin)?,
            burst: Cell::new(0),
            backoff_ms: Cell::new(BACKOFF_FIRST_MS),
            exhausted: Cell::new(0),
        })
    }

    /// The address. `None` for a Unix socket.
    ///
    /// # Errors
    /// Of the system call.
    pub fn local_addr(&self) -> io::Result<Option<SocketAddr>> {
        match &self.listening {
            Listening::Tcp(listener) => listener.local_addr().map(Some),
            Listening::Unix(_) => Ok(None),
            #[cfg(feature = "sim")]
            Listening::Sim(listener) => Ok(Some(listener.address)),
        }
    }

    /// How often descriptors or memory ran out.
    pub fn exhausted(&self) -> u64 {
        self.exhausted.get()
    }

    /// Waits for a connection. When descriptors or memory run out it backs off (10 ms, doubling to 1 s) and tries
    /// again; what waits meanwhile waits in the kernel's queue.
    ///
    /// # Errors
    /// [`Interrupted`](io::ErrorKind::Interrupted) when the shard is closing; else what the listening socket itself
    /// suffers from, which no retry heals.
    pub async fn accept(&self) -> io::Result<Accepted> {
        let shard = Shard::current();
        loop {
            if shard.closing().is_set() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            if self.burst.get() >= BURST_MAX {
                self.burst.set(0);
                yield_now().await;
            }
            match self.try_accept() {
                Ok(Some(accepted)) => {
                    self.burst.set(self.burst.get() + 1);
                    self.backoff_ms.set(BACKOFF_FIRST_MS);
                    return Ok(accepted);
                }
                Ok(None) => {
                    self.burst.set(0);
                    self.wait(&shard).await?;
                }
                Err(error) if is_exhausted(&error) => {
                    self.exhausted.set(self.exhausted.get() + 1);
                    let backoff = self.backoff_ms.get();
                    self.backoff_ms.set((backoff * 2).min(BACKOFF_MAX_MS));
                    clock::sleep(Duration::from_millis(backoff)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes a connection that is already queued. `None` when there is none.
    ///
    /// # Errors
    /// Those of [`accept`](Self::accept), and also when descriptors or memory ran out.
    pub fn try_accept(&self) -> io::Result<Option<Accepted>> {
        // A connection that went away before it was accepted is an error of its own, not of the listener: accept(2),
        // "Error handling".
        for _ in 0..BURST_MAX {
            let accepted = match &self.listening {
                Listening::Tcp(listener) => listener.accept().map(|(stream, peer)| (owned(stream), Peer::Tcp(peer))),
                Listening::Unix(listener) => listener.accept().map(|(stream, _)| (owned(stream), Peer::Unix)),
                #[cfg(feature = "sim")]
                Listening::Sim(listener) => return listener.accept(),
            };
            match accepted {
                Ok((fd, peer)) => return Ok(Some(Accepted::new(fd, peer))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if is_the_clients(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    async fn ready(&self) -> io::Result<()> {
        #[cfg(feature = "sim")]
        if let Listening::Sim(listener) = &self.listening {
            listener.listening()?.readable().await;
            return Ok(());
        }
        self.socket.readable().await
    }

    async fn wait(&self, shard: &Shard) -> io::Result<()> {
        let mut closing = std::pin::pin!(shard.closing().wait());
        let mut readable = std::pin::pin!(self.ready());
        std::future::poll_fn(|context| {
            if closing.as_mut().poll(context).is_ready() {
                return std::task::Poll::Ready(Err(io::ErrorKind::Interrupted.into()));
            }
            readable.as_mut().poll(context)
        })
        .await
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        match &self.listening {
            Listening::Tcp(listener) => listener.as_raw_fd(),
            Listening::Unix(listener) => listener.as_raw_fd(),
            #[cfg(feature = "sim")]
            Listening::Sim(_) => -1,
        }
    }
}

fn is_exhausted(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

fn is_the_clients(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::EINTR
                | libc::EPROTO
                | libc::EPERM
                | libc::ENETDOWN
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::EOPNOTSUPP
                | libc::ENETUNREACH
        )
    )
}
