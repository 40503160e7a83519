//! Between a shard and the client library of a broker, which has threads or a runtime of its own: rings, and a bell each way.
//!
//! ```text
//!   shard                                        the broker's side (any thread)
//!   Feed       ◀══ deliveries ═══════════════    RemoteFeed::send, ring
//!              ═══ receipts, credit ════════▶    RemoteFeed::receipt, ready
//!   Publisher  ═══ jobs ════════════════════▶    RemotePublisher::take, ready
//!              ◀══ outcomes ════════════════     RemotePublisher::done, ring
//! ```
//!
//! Neither side ever blocks the other. When one drops its end, the other finds out: `is_gone`, or a fault.

mod dial;
mod feed;
mod publish;
mod runtime;

pub use dial::{DIAL_WITHIN, Duplex, backoff, dial};
pub use feed::{RemoteFeed, feed};
pub use publish::{Claim, Job, Publisher, RemotePublisher, publisher};
pub use runtime::spawn;

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use ringway_ring::Sleeper;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The broker's side of a bell: it waits on a thread, or in the runtime of [`spawn`].
struct Bell {
    sleeper: Sleeper,
    /// A second descriptor of the bell, from the first wait in a runtime on.
    event: Option<AsyncFd<OwnedFd>>,
}

impl Bell {
    fn new(sleeper: Sleeper) -> Self {
        Self { sleeper, event: None }
    }

    /// Announces a sleep in a runtime. `true`: nothing is there to do, so wait for the bell with [`Bell::rung`]. Two steps, because what
    /// tells whether there is something to do cannot be kept over a wait.
    fn may_sleep(&mut self, is_idle: impl FnOnce() -> bool) -> bool {
        self.sleeper.prepare_sleep(is_idle)
    }

    /// Waits in a runtime until the bell rings.
    async fn rung(&mut self) -> io::Result<()> {
        if self.event.is_none() {
            let second = self.sleeper.fd().try_clone_to_owned()?;
            #[expect(
                deprecated,
                reason = "its successor wants a promise that the descriptor stays open, and this one is owned"
            )]
            let event = AsyncFd::with_interest(second, Interest::READABLE)?;
            self.event = Some(event);
        }
        let waited = match &self.event {
            Some(event) => event.readable().await.map(|mut guard| guard.clear_ready()),
            None => Ok(()),
        };
        self.sleeper.awake();
        waited
    }

    /// Blocks the thread until the bell rings or the time is over, unless there is something to do.
    fn wait(&mut self, timeout: Option<Duration>, is_idle: impl FnOnce() -> bool) -> io::Result<()> {
        if self.sleeper.prepare_sleep(is_idle) {
            let waited = self.sleeper.wait(timeout);
            self.sleeper.awake();
            waited?;
        }
        Ok(())
    }
}
