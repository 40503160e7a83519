//! Free ports that stay ours.
//!
//! Binding port 0 and letting go again is not enough here: the gateway listens with `SO_REUSEPORT`, so two gateways that were
//! told the same port would share it in silence, each taking half of the other's connections. So a port is leased by
//! a locked file for as long as the [`Port`] lives, across test threads and test processes, and lies below the range
//! from which the kernel picks ports of outgoing connections.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicU16, Ordering};

const RANGE: Range<u16> = 20_000..32_000;

/// A port of the loopback interface that no other test uses.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lease: File,
}

impl Port {
    /// Leases a free port.
    #[expect(clippy::new_without_default, reason = "a lease is not a default value")]
    pub fn new() -> Port {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let folder = std::env::temp_dir().join("ringway-ports");
        fs::create_dir_all(&folder).expect("a folder in the temporary directory");
        // Test processes start at different places, so that they seldom try each other's.
        let start = (std::process::id() as u16).wrapping_mul(97) % (RANGE.end - RANGE.start);
        for _ in RANGE {
            let step = NEXT.fetch_add(1, Ordering::Relaxed);
            let number = RANGE.start + (start + step % (RANGE.end - RANGE.start)) % (RANGE.end - RANGE.start);
            let lease = File::create(folder.join(number.to_string())).expect("a lease file");
            // To try it by listening would take it away from us: a program that another thread starts at this moment
            // inherits the socket, and holds it from its fork to its exec.
            if lease.try_lock().is_ok() && TcpStream::connect(("127.0.0.1", number)).is_err() {
                return Port { number, _lease: lease };
            }
        }
        panic!("no free port in {RANGE:?}");
    }

    /// The number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// The port of the loopback interface.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.number))
    }
}
