//! Waiting on the shard for a bell that another thread rings.

use std::io;
use std::os::fd::AsFd;

use ringway_ring::Sleeper;

use crate::socket::Socket;

/// The sleeping side of a [`ringway_ring::doorbell`], on a shard.
///
/// ```no_run
/// # async fn example(sleeper: ringway_ring::Sleeper, mut rings: ringway_ring::Consumer<u8>) -> std::io::Result<()> {
/// let mut bell = ringway_net::Doorbell::new(sleeper)?;
/// loop {
///     rings.pop_batch(256).for_each(drop);
///     if rings.is_empty() {
///         bell.wait(|| rings.is_empty()).await?;
///     } else {
///         ringway_net::yield_now().await;
///     }
/// }
/// # }
/// ```
pub struct Doorbell {
    sleeper: Sleeper,
    /// A second descriptor of the bell's eventfd.
    event: Socket,
}

impl Doorbell {
    /// Takes the sleeper to this shard.
    ///
    /// # Errors
    /// When the descriptor table is full.
    pub fn new(sleeper: Sleeper) -> io::Result<Self> {
        let event = Socket::watch(sleeper.as_fd().try_clone_to_owned()?)?;
        Ok(Self { sleeper, event })
    }

    /// Waits until the bell rings. Returns at once when `is_idle`, which is asked after the sleep was announced, says
    /// that there is something to do after all. It may return for nothing, and may be dropped at any time.
    ///
    /// # Errors
    /// Of the driver.
    pub async fn wait(&mut self, is_idle: impl FnOnce() -> bool) -> io::Result<()> {
        if self.sleeper.prepare_sleep(is_idle) {
            #[cfg(feature = "sim")]
            if crate::sim::current().is_some() {
                // Whoever rings is no part of the world: it is looked after now and then.
                crate::clock::sleep(std::time::Duration::from_millis(10)).await;
                self.sleeper.awake();
                return Ok(());
            }
            let rung = self.event.readable().await;
            self.sleeper.awake();
            rung?;
        }
        Ok(())
    }

    /// How often the bell had to wake the shard.
    pub fn wakeups(&self) -> u64 {
        self.sleeper.wakeups()
    }
}
