//! Connections that have been silent for long are parked: what is left of them is their own few hundred bytes.

use std::rc::Rc;
use std::time::Duration;

use ringway_net::{Leave, spawn};

use crate::connection::{self, Connection};
use crate::local::Local;
use crate::tunnel::{self, Tunnel};

/// A connection is parked when nothing came for this long. Shorter, and clients that ask every second would pay for it; longer, and
/// a burst of connections weighs more for a while.
pub const PARK_AFTER: Duration = Duration::from_secs(1);

/// What is parked.
pub enum Parked {
    /// A client's connection between two requests, or before the first.
    Client(Box<Connection>),
    /// A tunnel in which nobody talks.
    Tunnel(Box<Tunnel>),
}

/// Gives those that stir a task again, and ends those whose time is up.
pub async fn keep(local: Rc<Local>) {
    let mut left = Vec::new();
    loop {
        if let Err(error) = local.parked.leaving(&mut left).await {
            tracing::error!(shard = local.shard.id, %error, "parked connections cannot be watched");
            return;
        }
        for (leave, parked) in left.drain(..) {
            match (leave, parked) {
                (Leave::Stirred, Parked::Client(connection)) => spawn(connection::resume(local.clone(), connection)),
                (Leave::Stirred, Parked::Tunnel(tunnel)) => spawn(tunnel::run(local.clone(), tunnel)),
                (Leave::Expired, Parked::Client(connection)) => drop(connection),
                (Leave::Expired, Parked::Tunnel(tunnel)) => tunnel.expire(&local),
            }
        }
    }
}

/// Closes the connections that wait for another request. One whose first is still to come is not cut off, nor is a tunnel.
pub fn close_idle(local: &Local) {
    local.parked.take(|parked| matches!(parked, Parked::Client(connection) if connection.requests > 0));
}
