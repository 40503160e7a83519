//! Connections that have been silent for long are parked: what is left of them is their own few hundred bytes.

use std::rc::Rc;
use std::time::Duration;

use ringway_net::{Leave, spawn};

use crate::connection::{self, Connection};
use crate::local::Local;
use crate::messages::rest::{self, Stir};
use crate::messages::stream::Live;
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
    /// A stream that has all that there is; see [`Audience`](crate::messages::audience::Audience).
    Stream(Box<Live>),
}

/// Gives those that stir a task again, and ends those whose time is up.
pub async fn keep(local: Rc<Local>) {
    let mut left = Vec::new();
    loop {
        if let Err(error) = local.parked.leaving(&mut left).await {
            tracing::error!(shard = local.shard.id, %error, "parked connections cannot be watched");
            return;
        }
        // All of them before the first is parked again, perhaps under the number of another.
        for (_, parked) in &mut left {
            if let Parked::Stream(live) = parked {
                live.stand();
            }
        }
        for (leave, parked) in left.drain(..) {
            match (leave, parked) {
                (Leave::Stirred, Parked::Client(connection)) => spawn(connection::resume(local.clone(), connection)),
                (Leave::Stirred, Parked::Tunnel(tunnel)) => spawn(tunnel::run(local.clone(), tunnel)),
                (Leave::Expired, Parked::Client(connection)) => drop(connection),
                (Leave::Expired, Parked::Tunnel(tunnel)) => tunnel.expire(&local),
                (Leave::Stirred, Parked::Stream(live)) => rest::rouse(&local, live, Stir::Spoke),
                (Leave::Expired, Parked::Stream(live)) => rest::expire(&local, live),
            }
        }
    }
}

/// Closes the connections that wait for another request. One whose first is still to come is not cut off, nor is a tunnel.
pub fn close_idle(local: &Local) {
    local.parked.take(|parked| matches!(parked, Parked::Client(connection) if connection.requests > 0));
}

/// Gives streams that are to end their last words: those of an API that goes, or all when the process does.
pub fn dismiss(local: &Rc<Local>) {
    rouse(local, |live| local.draining() || live.is_retired());
}

/// Ends everything that is parked: the shard does.
pub fn clear(local: &Rc<Local>) {
    rouse(local, |_| true);
    drop(local.parked.take(|_| true));
}

fn rouse(local: &Rc<Local>, chosen: impl Fn(&Live) -> bool) {
    for parked in local.parked.take(|parked| matches!(parked, Parked::Stream(live) if chosen(live))) {
        if let Parked::Stream(live) = parked {
            rest::rouse(local, live, Stir::News);
        }
    }
}
