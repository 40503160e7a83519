//! Steering new connections to a successor's listeners.
//!
//! Sockets that share a port by `SO_REUSEPORT` stand in one array, in the order in which they were bound: those of this process first, a
//! successor's behind them. A classic BPF program of the group chooses among them; an index that is out of range falls back to the
//! usual hash (socket(7), `SO_ATTACH_REUSEPORT_CBPF`).
//!
//! ```text
//!   index   0 … n-1     n … 2n-1
//!           ours        the successor's          program: n + random % n, and n while ours are closed
//! ```
//!
//! So connections that arrive from now on are the successor's, and closing our listeners resets nobody. Without a successor every
//! index is out of range and nothing changes. With another number of shards some connections still come here, and are served.
//!
//! When a socket is closed, the last of the array takes its place. With the first of ours gone, the index 2n-1 is out of range, and the
//! hash may choose one of ours that is about to close too. So before any of ours is closed, the program is narrowed to the index n: the
//! successor's first socket stays there until all of ours are gone, in whatever order they go.
//!
//! Without a successor there is nobody to steer to; then our listeners stop taking new connections before they are closed, see
//! [`Listener::refuse`].

use std::io;
use std::os::fd::AsRawFd;

use crate::listen::Listener;

/// Loads a random number: the ancillary word at `SKF_AD_OFF + SKF_AD_RANDOM` (linux/filter.h).
const RANDOM: u32 = (libc::SKF_AD_OFF as u32).wrapping_add(56);

impl Listener {
    /// Steers new connections away from the `own` listeners that this process has on the port, to as many of a successor.
    ///
    /// # Errors
    /// Of the system call; a Unix socket has no such group.
    pub fn divert(&self, own: u32) -> io::Result<()> {
        self.steer(own, own)
    }

    /// The same to the first of a successor's only: to be called before one of the `own` listeners is closed.
    ///
    /// # Errors
    /// As [`divert`](Self::divert).
    pub fn divert_to_first(&self, own: u32) -> io::Result<()> {
        self.steer(own, 1)
    }

    /// Takes no new connection from here on: their first packets are dropped as if lost, and are sent again a second later, to whoever
    /// listens then. What has begun to connect goes on, so that in a moment the queue holds all that will ever come to it; emptied, the
    /// listener can be closed without a client being reset. TCP only.
    ///
    /// # Errors
    /// Of the system call.
    pub fn refuse(&self) -> io::Result<()> {
        #[cfg(feature = "sim")]
        if let Some(world) = crate::sim::current() {
            let address = self.local_addr()?.and_then(|address| world.listening_at(address));
            address.inspect(|listening| listening.refuse());
            return Ok(());
        }
        // The filter of a TCP socket reads from the TCP header on; a first packet is a SYN without ACK (RFC 9293 section 3.1).
        const FLAGS: u32 = 13;
        const SYN: u32 = 0x02;
        const SYN_OR_ACK: u32 = 0x12;
        let mut program = [
            step(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, FLAGS),
            step(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, SYN_OR_ACK),
            libc::sock_filter { jf: 1, ..step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, SYN) },
            step(libc::BPF_RET | libc::BPF_K, 0),
            step(libc::BPF_RET | libc::BPF_K, u32::MAX),
        ];
        self.attach(libc::SO_ATTACH_FILTER, &mut program)
    }

    fn steer(&self, own: u32, spread: u32) -> io::Result<()> {
        let mut program = [
            step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, RANDOM),
            step(libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K, spread.max(1)),
            step(libc::BPF_ALU | libc::BPF_ADD | libc::BPF_K, own),
            step(libc::BPF_RET | libc::BPF_A, 0),
        ];
        self.attach(libc::SO_ATTACH_REUSEPORT_CBPF, &mut program)
    }

    fn attach(&self, option: libc::c_int, program: &mut [libc::sock_filter]) -> io::Result<()> {
        let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
        // SAFETY: the option takes a `sock_fprog`; it and the program it points to live until the call returns, and the kernel copies
        // them.
        let result = unsafe {
            libc::setsockopt(
                self.as_raw_fd(),
                libc::SOL_SOCKET,
                option,
                (&raw const filter).cast(),
                size_of::<libc::sock_fprog>() as libc::socklen_t,
            )
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

fn step(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k }
}
