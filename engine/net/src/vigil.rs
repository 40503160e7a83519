//! Whether the other end of a connection is still there: what the kernel does to find out, and what it knows.
//!
//! A peer whose machine or network went away says nothing, and a connection that only waits for it would wait for ever: "half-open"
//! (RFC 9293 section 3.5.1).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// What the kernel does to find out. Set on a listening socket it is inherited by what is accepted there, which saves the system calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vigil {
    /// Silence after which the peer is probed: `TCP_KEEPIDLE`, in whole seconds.
    pub idle: Duration,
    /// Between two probes: `TCP_KEEPINTVL`, in whole seconds.
    pub interval: Duration,
    /// Unanswered probes after which the connection is reset: `TCP_KEEPCNT`.
    pub probes: u32,
    /// How long sent bytes may stay unacknowledged, or unsent because the peer takes none: `TCP_USER_TIMEOUT` (RFC 5482). `None` leaves
    /// that to the kernel, which goes on for about 15 minutes.
    pub unacknowledged: Option<Duration>,
}

impl Default for Vigil {
    fn default() -> Self {
        Self { idle: Duration::from_secs(60), interval: Duration::from_secs(10), probes: 3, unacknowledged: None }
    }
}

impl Vigil {
    pub(crate) fn keep(&self, socket: &SockRef<'_>) -> io::Result<()> {
        let keepalive = TcpKeepalive::new().with_time(self.idle).with_interval(self.interval).with_retries(self.probes);
        socket.set_tcp_keepalive(&keepalive)?;
        socket.set_tcp_user_timeout(self.unacknowledged)
    }
}

/// Place of `tcpi_bytes_acked` in `struct tcp_info` (linux/tcp.h, since Linux 4.1), in words of 8 bytes.
const BYTES_ACKED: usize = 15;

/// Bytes that the other end has acknowledged. `None` for what is no TCP socket.
pub(crate) fn bytes_acknowledged(fd: BorrowedFd<'_>) -> Option<u64> {
    let mut info = [0u64; BYTES_ACKED + 1];
    let mut length = libc::socklen_t::try_from(size_of_val(&info)).ok()?;
    // SAFETY: the pointers are those of live values, and `length` is the size of what the kernel may write.
    let result = unsafe {
        let value = info.as_mut_ptr().cast();
        libc::getsockopt(fd.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, value, &raw mut length)
    };
    let whole = usize::try_from(length).is_ok_and(|length| length == size_of_val(&info));
    (result == 0 && whole).then(|| info[BYTES_ACKED])
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn what_is_set_on_a_listener_is_inherited() {
        let vigil = Vigil { unacknowledged: Some(Duration::from_secs(90)), ..Vigil::default() };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        vigil.keep(&SockRef::from(&listener)).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let accepted = SockRef::from(&accepted);
        assert!(accepted.keepalive().unwrap());
        assert_eq!(accepted.tcp_keepalive_time().unwrap(), vigil.idle);
        assert_eq!(accepted.tcp_keepalive_interval().unwrap(), vigil.interval);
        assert_eq!(accepted.tcp_keepalive_retries().unwrap(), vigil.probes);
        assert_eq!(accepted.tcp_user_timeout().unwrap(), vigil.unacknowledged);
    }

    #[test]
    fn the_kernel_counts_what_the_peer_has_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut accepted, _) = listener.accept().unwrap();
        let before = bytes_acknowledged(accepted.as_fd()).unwrap();
        accepted.write_all(&[7; 1000]).unwrap();
        client.read_exact(&mut [0; 1000]).unwrap();
        // The answer carries the acknowledgement of all that came before it.
        client.write_all(b"x").unwrap();
        accepted.read_exact(&mut [0; 1]).unwrap();
        assert_eq!(bytes_acknowledged(accepted.as_fd()).unwrap() - before, 1000);
        assert_eq!(bytes_acknowledged(UnixStream::pair().unwrap().0.as_fd()), None);
    }
}
