//! Accepting without descriptors. In a test binary of its own, because the limit is the process's.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::future::poll_fn;
use std::os::fd::AsRawFd;
use std::pin::pin;
use std::task::Poll;

use ringway_net::{Address, Listener, ListenerOptions, yield_now};
use support::{client, drivers, on_shard, rest};

/// With no descriptor left, a listener that tried again at once would spin. It backs off and takes the client in when
/// it can.
#[test]
fn accepting_survives_a_full_descriptor_table() {
    for driver in drivers() {
        let client = on_shard(driver, |_| async {
            let address = Address::Tcp("127.0.0.1:0".parse().unwrap());
            let listener = Listener::bind(&address, &ListenerOptions::default()).unwrap();
            let client = client(listener.local_addr().unwrap().unwrap(), |mut stream| rest(&mut stream));
            while !is_readable(&listener) {
                yield_now().await;
            }
            let limit = DescriptorLimit::lower();
            let mut accept = pin!(listener.accept());
            let pending = poll_fn(|context| Poll::Ready(accept.as_mut().poll(context).is_pending())).await;
            drop(limit);
            assert!(pending);
            assert_eq!(listener.exhausted(), 1, "tried once, then backed off");
            accept.await.unwrap();
            client
        });
        assert!(client.join().unwrap().is_empty());
    }
}

/// Whether a client is queued, without accepting it.
fn is_readable(listener: &Listener) -> bool {
    let mut poll = libc::pollfd { fd: listener.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, which lives for the call.
    unsafe { libc::poll(&raw mut poll, 1, 0) == 1 }
}

struct DescriptorLimit(libc::rlimit);

impl DescriptorLimit {
    /// Below what is open already, so that every new descriptor is refused and no old one is.
    fn lower() -> Self {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the pointers are to live structs.
        unsafe {
            assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
            let lowered = libc::rlimit { rlim_cur: 3, rlim_max: limit.rlim_max };
            assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const lowered), 0);
        }
        Self(limit)
    }
}

impl Drop for DescriptorLimit {
    fn drop(&mut self) {
        // SAFETY: the pointer is to a live struct.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const self.0) };
    }
}
