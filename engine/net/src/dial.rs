//! Connecting, with a deadline.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use socket2::{Domain, SockAddr, SockRef, Socket as Socket2, Type};

use crate::address::Address;
use crate::shard::Shard;
use crate::socket::Socket;
use crate::stream::Stream;
use crate::vigil::Vigil;

/// How to connect.
#[derive(Clone, Debug)]
pub struct DialOptions {
    /// The longest that connecting may take.
    pub timeout: Duration,
    /// The address to connect from.
    pub source: Option<IpAddr>,
    /// How the kernel watches over the connection. TCP only.
    pub vigil: Vigil,
}

impl Default for DialOptions {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(3), source: None, vigil: Vigil::default() }
    }
}

/// A Unix socket whose queue is full says so at once; this is how long until it is asked again.
const UNIX_RETRY: Duration = Duration::from_millis(5);

/// Connects, with `TCP_NODELAY`.
///
/// The connect itself is a non-blocking system call and the wait is a poll, so a deadline that passes cancels nothing
/// but a poll.
///
/// # Errors
/// Of the connection; [`TimedOut`](io::ErrorKind::TimedOut) when the deadline passes.
pub async fn dial(address: &Address, options: &DialOptions) -> io::Result<Stream> {
    let slot = Shard::current().timers.slot();
    slot.arm(options.timeout);
    #[cfg(feature = "sim")]
    if let (Some(world), Address::Tcp(address)) = (crate::sim::current(), address) {
        return slot.guard(world.dial(*address)).await?.and_then(Stream::simulated);
    }
    match address {
        Address::Tcp(address) => slot.guard(connect_tcp(*address, options)).await?,
        Address::Unix(path) => {
            let address = SockAddr::unix(path)?;
            slot.guard(connect_unix(&address)).await?
        }
    }
}

async fn connect_tcp(address: SocketAddr, options: &DialOptions) -> io::Result<Stream> {
    let socket = Socket2::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    options.vigil.keep(&SockRef::from(&socket))?;
    if let Some(source) = options.source {
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    match socket.connect(&address.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {
            // The wait is on a descriptor of its own, which also keeps the driver's registration apart from the
            // stream's.
            let waiting = Socket::watch(OwnedFd::from(socket.try_clone()?))?;
            waiting.writable().await?;
            if let Some(error) = SockRef::from(&socket).take_error()? {
                return Err(error);
            }
        }
        Err(error) => return Err(error),
    }
    Stream::from_fd(OwnedFd::from(socket))
}

async fn connect_unix(address: &SockAddr) -> io::Result<Stream> {
    loop {
        let socket = Socket2::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        match socket.connect(address) {
            Ok(()) => return Stream::from_fd(OwnedFd::from(socket)),
            // connect(2): EAGAIN of a Unix socket is a full queue, and nothing to be polled for.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => crate::timer::sleep(UNIX_RETRY).await,
            Err(error) => return Err(error),
        }
    }
}
