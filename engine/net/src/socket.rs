//! A descriptor on the shard's ring: the five calls that everything else is made of.
//!
//! To monoio, a stream socket is a stream socket: its `UnixStream` is eight bytes and does the same `recv`, `send`,
//! `writev` and `poll` as its `TcpStream`, which also carries two cached addresses. So every descriptor here is one.

use std::cell::UnsafeCell;
use std::io;
use std::mem::MaybeUninit;
use std::net::Shutdown;
#[cfg(feature = "sim")]
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::time::Duration;

use bytes::BytesMut;
use monoio::buf::{IoBuf, IoBufMut, IoVecBuf};
use monoio::io::{AsyncReadRent, AsyncWriteRent, CancelableAsyncReadRent};
use monoio::net::UnixStream;
use socket2::SockRef;

use crate::arrival::Recall;
use crate::shard::Shard;
#[cfg(feature = "sim")]
use crate::sim::Conn;
use crate::vigil;

/// A descriptor of this shard. Closed when it is dropped and no operation holds it any more.
pub(crate) struct Socket {
    /// See [`Socket::io`].
    io: Io,
    /// Its place in the shard's table of connected sockets; `NONE` when it is not one.
    slot: u32,
}

const NONE: u32 = u32::MAX;

enum Io {
    Real(UnsafeCell<UnixStream>),
    #[cfg(feature = "sim")]
    Sim(Simulated),
}

/// A connection of a simulated world, or nothing at all: what a shard only waits for is told of there in another way.
#[cfg(feature = "sim")]
struct Simulated {
    conn: Option<Conn>,
    /// What stands for its descriptor.
    fd: RawFd,
}

/// In a simulated world, the connection that stands for the socket.
#[cfg(feature = "sim")]
macro_rules! simulated {
    ($socket:expr, $conn:ident => $does:expr) => {
        if let Io::Sim(Simulated { conn, .. }) = &$socket.io {
            let Some($conn) = conn.as_ref() else { return std::future::pending().await };
            return $does;
        }
    };
}

impl Socket {
    /// Takes a connected stream socket. The blocking mode becomes what the driver needs: io_uring fails an operation on
    /// a non-blocking descriptor instead of waiting, epoll needs it non-blocking.
    pub(crate) fn connected(fd: OwnedFd) -> io::Result<Self> {
        let epoll = Shard::current().is_epoll();
        if nonblocking(&fd)? != epoll {
            SockRef::from(&fd).set_nonblocking(epoll)?;
        }
        let mut socket = Self::watch(fd)?;
        socket.slot = Shard::current().register(socket.raw());
        Ok(socket)
    }

    /// Takes a descriptor that is only waited for ([`Socket::readable`], [`Socket::writable`]).
    pub(crate) fn watch(fd: OwnedFd) -> io::Result<Self> {
        // On an error the descriptor is closed by the std type that owns it meanwhile.
        #[cfg(feature = "sim")]
        if crate::sim::current().is_some() {
            return Ok(Self { io: Io::Sim(Simulated { conn: None, fd: -1 }), slot: NONE });
        }
        let io = UnixStream::from_std(std::os::unix::net::UnixStream::from(fd))?;
        Ok(Self { io: Io::Real(UnsafeCell::new(io)), slot: NONE })
    }

    pub(crate) fn raw(&self) -> RawFd {
        match &self.io {
            // SAFETY: a shared borrow for the length of this call; see `io`.
            Io::Real(io) => unsafe { &*io.get() }.as_raw_fd(),
            #[cfg(feature = "sim")]
            Io::Sim(simulated) => simulated.fd,
        }
    }

    /// For system calls of `socket2` and std.
    pub(crate) fn borrow(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor is open as long as `self` is.
        unsafe { BorrowedFd::borrow_raw(self.raw()) }
    }

    /// The stream, for the moment in which an operation is made.
    ///
    /// # Safety
    /// The caller must not hold the borrow while another one is used. That is kept here, in this file, by the same
    /// argument that monoio gives for its `Split`: everything runs on one thread, `AsyncReadRent::read` and its
    /// siblings use the `&mut` only to clone the descriptor's `Rc` into the operation (before they return), and the
    /// returned future works on that clone and never touches the stream again. So two borrows are never used at the
    /// same time, however many operations are under way.
    #[allow(clippy::mut_from_ref)]
    unsafe fn io(&self) -> &mut UnixStream {
        match &self.io {
            // SAFETY: see above.
            Io::Real(io) => unsafe { &mut *io.get() },
            #[cfg(feature = "sim")]
            Io::Sim(_) => unreachable!("a simulated socket has no stream"),
        }
    }

    /// Waits until there is something to read: bytes, an end, an error. May be dropped at any time: nothing is lost.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        #[cfg(feature = "sim")]
        simulated!(self, conn => {
            conn.readable().await;
            Ok(())
        });
        // SAFETY: as in `io`: an async function of monoio's that uses the stream only at its first poll, which is here
        // and now.
        unsafe { self.io() }.readable(false).await
    }

    /// Waits until it can be written to.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        // SAFETY: as in `readable`.
        unsafe { self.io() }.writable(false).await
    }

    /// Reads into the spare capacity of `buffer`. 0 is the end. Dropped while it waits, it may lose what arrives
    /// meanwhile.
    pub(crate) async fn read(&self, buffer: BytesMut) -> (io::Result<usize>, BytesMut) {
        #[cfg(feature = "sim")]
        simulated!(self, conn => self.read_simulated(conn, buffer).await);
        let mut spare = Spare(buffer);
        loop {
            // SAFETY: see `io`.
            let (result, back) = unsafe { self.io() }.read(spare).await;
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => spare = back,
                result => return (result, back.0),
            }
        }
    }

    /// Begins one read into the spare capacity of `buffer`, on a real socket.
    pub(crate) fn begin_read(&self, buffer: BytesMut) -> impl Future<Output = (io::Result<usize>, Spare)> {
        // SAFETY: see `io`.
        unsafe { self.io() }.read(Spare(buffer))
    }

    /// The same, but `recall` may end it.
    pub(crate) fn begin_read_until(
        &self,
        recall: &Recall,
        buffer: BytesMut,
    ) -> impl Future<Output = (io::Result<usize>, Spare)> {
        // SAFETY: see `io`; this one uses the stream at its first poll, and only then.
        unsafe { self.io() }.cancelable_read(Spare(buffer), recall.handle())
    }

    /// Begins one write on a real socket, of whatever the kernel takes.
    pub(crate) fn begin_write<B: IoBuf>(&self, buffer: B) -> impl Future<Output = (io::Result<usize>, B)> {
        // SAFETY: see `io`.
        unsafe { self.io() }.write(buffer)
    }

    /// Writes once, whatever the kernel takes.
    pub(crate) async fn write_some<B: IoBuf>(&self, buffer: B) -> (io::Result<usize>, B) {
        #[cfg(feature = "sim")]
        simulated!(self, conn => {
            // SAFETY: the initialised bytes of a buffer that is owned here and not touched meanwhile.
            let bytes = unsafe { std::slice::from_raw_parts(buffer.read_ptr(), buffer.bytes_init()) };
            (conn.write_some(bytes).await, buffer)
        });
        self.begin_write(buffer).await
    }

    /// Writes once from several buffers, whatever the kernel takes.
    pub(crate) async fn writev_some<B: IoVecBuf>(&self, buffers: B) -> (io::Result<usize>, B) {
        #[cfg(feature = "sim")]
        simulated!(self, conn => {
            let mut bytes = Vec::new();
            for at in 0..buffers.read_iovec_len() {
                // SAFETY: there are so many entries, and each points to bytes that `buffers` owns and nobody touches meanwhile.
                bytes.extend_from_slice(unsafe {
                    let entry = *buffers.read_iovec_ptr().add(at);
                    std::slice::from_raw_parts(entry.iov_base.cast::<u8>(), entry.iov_len)
                });
            }
            (conn.write_some(&bytes).await, buffers)
        });
        // SAFETY: see `io`.
        unsafe { self.io() }.writev(buffers).await
    }

    /// Receives what is there now. `None` when there is nothing.
    pub(crate) fn recv_now(&self, buffer: &mut [MaybeUninit<u8>], peek: bool) -> io::Result<Option<usize>> {
        #[cfg(feature = "sim")]
        if let Some(conn) = self.simulated() {
            let mut bytes = vec![0; buffer.len()];
            let count = conn.read_now(&mut bytes, peek)?;
            for (place, byte) in buffer.iter_mut().zip(bytes.into_iter().take(count.unwrap_or_default())) {
                place.write(byte);
            }
            return Ok(count);
        }
        let flags = libc::MSG_DONTWAIT | if peek { libc::MSG_PEEK } else { 0 };
        loop {
            match SockRef::from(&self.borrow()).recv_with_flags(buffer, flags) {
                Ok(count) => return Ok(Some(count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads what is there now into the spare capacity of `buffer`. `None` when there is nothing.
    pub(crate) fn read_now(&self, buffer: &mut BytesMut) -> io::Result<Option<usize>> {
        let received = self.recv_now(buffer.spare_capacity_mut(), false)?;
        if let Some(count) = received {
            // SAFETY: the kernel wrote `count` bytes there.
            unsafe { buffer.set_len(buffer.len() + count) };
        }
        Ok(received)
    }

    /// Sends what the kernel takes now, and says how much. An error is left to the next operation that waits.
    pub(crate) fn send_now(&self, bytes: &[u8]) -> usize {
        #[cfg(feature = "sim")]
        if let Some(conn) = self.simulated() {
            return conn.send_now(bytes);
        }
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        SockRef::from(&self.borrow()).send_with_flags(bytes, flags).unwrap_or(0)
    }

    /// Ends both directions now: every wait on the socket ends.
    pub(crate) fn shutdown_both(&self) {
        shutdown_raw(self.raw());
    }

    /// Whether the socket's end is to be a reset.
    pub(crate) fn end_by_reset(&self, reset: bool) {
        #[cfg(feature = "sim")]
        if let Some(conn) = self.simulated() {
            return conn.end_by_reset(reset);
        }
        // A socket that is gone already ends as it has ended.
        let _ = SockRef::from(&self.borrow()).set_linger(reset.then_some(Duration::ZERO));
    }

    /// Gives the socket away as a second descriptor, because an operation may still hold the first (monoio would
    /// panic).
    pub(crate) fn into_fd(self) -> io::Result<OwnedFd> {
        self.borrow().try_clone_to_owned()
    }

    /// Ends the writing side.
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        #[cfg(feature = "sim")]
        if let Some(conn) = self.simulated() {
            conn.shut_write();
            return Ok(());
        }
        SockRef::from(&self.borrow()).shutdown(Shutdown::Write)
    }

    /// Bytes that the other end has acknowledged so far.
    pub(crate) fn acknowledged(&self) -> Option<u64> {
        #[cfg(feature = "sim")]
        if let Some(conn) = self.simulated() {
            return Some(conn.delivered());
        }
        vigil::bytes_acknowledged(self.borrow())
    }

    /// The addresses of this end and of the other.
    #[cfg(feature = "sim")]
    pub(crate) fn addresses(&self) -> Option<(SocketAddr, SocketAddr)> {
        self.simulated().map(|conn| (conn.here(), conn.there()))
    }

    #[cfg(feature = "sim")]
    async fn read_simulated(&self, conn: &Conn, mut buffer: BytesMut) -> (io::Result<usize>, BytesMut) {
        loop {
            conn.readable().await;
            if let Some(read) = self.read_now(&mut buffer).transpose() {
                return (read, buffer);
            }
        }
    }

    /// Whether it is of a simulated world, where no operation of the ring can be begun.
    pub(crate) fn is_simulated(&self) -> bool {
        !matches!(self.io, Io::Real(_))
    }

    #[cfg(feature = "sim")]
    fn simulated(&self) -> Option<&Conn> {
        match &self.io {
            Io::Real(_) => None,
            Io::Sim(simulated) => simulated.conn.as_ref(),
        }
    }

    /// Takes a connection of a simulated world.
    #[cfg(feature = "sim")]
    pub(crate) fn of_world(conn: Conn) -> io::Result<Self> {
        let world = crate::sim::current().ok_or(io::ErrorKind::NotConnected)?;
        let fd = world.hold(&conn);
        let slot = Shard::current().register(fd);
        Ok(Self { io: Io::Sim(Simulated { conn: Some(conn), fd }), slot })
    }
}

/// A descriptor for where one is asked for and none is used.
#[cfg(feature = "sim")]
pub(crate) fn nothing() -> io::Result<OwnedFd> {
    std::fs::File::open("/dev/null").map(OwnedFd::from)
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.slot != NONE {
            Shard::with(|shard| shard.deregister(self.slot));
        }
        #[cfg(feature = "sim")]
        if let (Io::Sim(simulated), Some(world)) = (&self.io, crate::sim::current()) {
            drop(world.release(simulated.fd));
        }
    }
}

/// Ends both directions of a connected socket, with a reset if it lingers for no time at all.
pub(crate) fn shutdown_raw(fd: RawFd) {
    #[cfg(feature = "sim")]
    if let Some(world) = crate::sim::current() {
        world.held(fd).inspect(Conn::shut_both);
        return;
    }
    // SAFETY: the descriptor is only borrowed for this call; one that is closed is refused by the kernel.
    let linger = SockRef::from(&unsafe { BorrowedFd::borrow_raw(fd) }).linger();
    if matches!(linger, Ok(Some(Duration::ZERO))) && reset_raw(fd) {
        return;
    }
    // SAFETY: no pointers. A descriptor that is no connected socket is refused by the kernel.
    unsafe { libc::shutdown(fd, libc::SHUT_RDWR) };
}

/// Dissolves a TCP connection at once, by a connect to nothing (connect(2), "AF_UNSPEC"): the peer is reset, and every wait here ends.
/// A shutdown would send an end instead, and closing has to wait for the operations that hold the descriptor.
fn reset_raw(fd: RawFd) -> bool {
    // SAFETY: all zeroes is a valid `sockaddr`, whose family is AF_UNSPEC.
    let nothing: libc::sockaddr = unsafe { std::mem::zeroed() };
    let length = libc::socklen_t::try_from(size_of_val(&nothing)).unwrap_or_default();
    // SAFETY: the pointer and the length are those of a live `sockaddr`.
    unsafe { libc::connect(fd, &raw const nothing, length) == 0 }
}

fn nonblocking(fd: &OwnedFd) -> io::Result<bool> {
    // SAFETY: no pointers; `fd` is open.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
    if flags < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(flags & libc::O_NONBLOCK != 0)
}

/// A buffer that is read into behind what it holds.
pub(crate) struct Spare(pub BytesMut);

// SAFETY: the bytes of a `BytesMut` do not move with it, and nobody else has it while the runtime does. Reading is not
// used.
unsafe impl IoBufMut for Spare {
    fn write_ptr(&mut self) -> *mut u8 {
        self.0.spare_capacity_mut().as_mut_ptr().cast()
    }

    fn bytes_total(&mut self) -> usize {
        self.0.capacity() - self.0.len()
    }

    unsafe fn set_init(&mut self, count: usize) {
        let len = self.0.len();
        debug_assert!(count <= self.0.capacity() - len, "the kernel wrote past the end");
        // SAFETY: the caller vouches that the first `count` bytes of the spare capacity were written.
        unsafe { self.0.set_len(len + count) };
    }
}

/// Takes a std or socket2 socket apart.
pub(crate) fn owned(socket: impl IntoRawFd) -> OwnedFd {
    // SAFETY: `into_raw_fd` gives up the ownership that is taken here.
    unsafe { OwnedFd::from_raw_fd(socket.into_raw_fd()) }
}
