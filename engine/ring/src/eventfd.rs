//! The kernel's half of the doorbell: an eventfd, and under loom a counter that can be waited for.

#[cfg(loom)]
pub(crate) use model::EventFd;
#[cfg(not(loom))]
pub(crate) use real::EventFd;

#[cfg(not(loom))]
mod real {
    use std::fs::File;
    use std::io::{self, Read, Write};
    use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
    use std::time::Duration;

    pub(crate) struct EventFd(File);

    impl EventFd {
        pub(crate) fn new() -> io::Result<Self> {
            // SAFETY: a plain system call without pointers.
            let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: the call above made `fd` and nobody else knows of it.
            Ok(Self(File::from(unsafe { OwnedFd::from_raw_fd(fd) })))
        }

        pub(crate) fn signal(&self) {
            // Eight bytes to an eventfd fail only when its counter is at 2^64 - 2, and then it is readable, which is
            // all that is asked.
            let _ = (&self.0).write(&1u64.to_ne_bytes());
        }

        /// Resets the counter and says how many signals it had counted.
        pub(crate) fn drain(&self) -> u64 {
            let mut count = [0; 8];
            match (&self.0).read_exact(&mut count) {
                Ok(()) => u64::from_ne_bytes(count),
                Err(_) => 0, // `WouldBlock`: nothing to read
            }
        }

        pub(crate) fn wait(&self, timeout: Option<Duration>) -> io::Result<bool> {
            // Rounded up, so that a caller with a deadline does not spin through its last millisecond.
            let timeout_ms = timeout.map_or(-1, |timeout| {
                libc::c_int::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(libc::c_int::MAX)
            });
            let mut poll = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: `poll` is one valid entry and outlives the call.
            match unsafe { libc::poll(&mut poll, 1, timeout_ms) } {
                0 => Ok(false),
                count if count > 0 => Ok(true),
                _ => match io::Error::last_os_error() {
                    error if error.kind() == io::ErrorKind::Interrupted => Ok(false),
                    error => Err(error),
                },
            }
        }

        pub(crate) fn fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }
}

#[cfg(loom)]
mod model {
    use std::io;
    use std::time::Duration;

    use loom::sync::{Condvar, Mutex};

    pub(crate) struct EventFd {
        count: Mutex<u64>,
        signalled: Condvar,
    }

    impl EventFd {
        pub(crate) fn new() -> io::Result<Self> {
            Ok(Self { count: Mutex::new(0), signalled: Condvar::new() })
        }

        pub(crate) fn signal(&self) {
            *self.count.lock().unwrap() += 1;
            self.signalled.notify_one();
        }

        pub(crate) fn drain(&self) -> u64 {
            std::mem::take(&mut *self.count.lock().unwrap())
        }

        /// Without a clock: a wait that nothing ends is a deadlock, which is what loom looks for.
        pub(crate) fn wait(&self, _timeout: Option<Duration>) -> io::Result<bool> {
            let mut count = self.count.lock().unwrap();
            while *count == 0 {
                count = self.signalled.wait(count).unwrap();
            }
            Ok(true)
        }
    }
}
