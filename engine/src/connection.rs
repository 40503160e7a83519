//! A client's connection: idle, it is a small future that waits for something to read.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use ringway_contract::Client;
use ringway_net::{Slot, Stream, spawn};

use crate::carriage::{self, Back, carriage};
use crate::local::{Counted, Local};
use crate::messages::stream;
use crate::parking::{PARK_AFTER, Parked};
use crate::tunnel;

/// A client's connection. It goes from hand to hand in its box, so that neither the task nor a carriage has room for it.
pub struct Connection {
    /// The socket.
    pub stream: Stream,
    /// Deadline of reads and of idleness.
    pub timer: Slot,
    /// Who is there.
    pub client: Client,
    /// Requests served so far.
    pub requests: u32,
    /// Index of the server (in `ringway.yaml`) that accepted it.
    pub server: u16,
    /// Bytes that were read before the carriage is there: behind a PROXY protocol header, or of a head that came in part.
    pub early: Option<Box<BytesMut>>,
    /// In how many pieces the present head has come. If in some, it is in `early`, and `timer` is armed with its deadline.
    pub pieces: u8,
    /// It counts as one for as long as it is open.
    #[expect(dead_code, reason = "dropping it is what counts")]
    pub counted: Counted,
}

/// Serves a connection to its end, or until it has been silent for so long that it is parked.
pub async fn run(local: Rc<Local>, mut connection: Box<Connection>) {
    loop {
        match idle(&local, &connection).await {
            Idle::Ready => {}
            Idle::Over => return,
            Idle::Silent(left) => {
                if let Some(berth) = connection.stream.berth() {
                    connection.timer.rest();
                    // What the kernel does not want to watch is closed: it is short of memory.
                    let _ = local.parked.park((berth, None), left, Parked::Client(connection));
                    return;
                }
            }
        }
        match serve(&local, connection).await {
            Some(idle) => connection = idle,
            None => return,
        }
    }
}

/// Serves a connection that was parked and has something to read.
pub async fn resume(local: Rc<Local>, connection: Box<Connection>) {
    if let Some(idle) = serve(&local, connection).await {
        run(local, idle).await;
    }
}

/// How a wait for a request ends.
enum Idle {
    /// There is something to read.
    Ready,
    /// The connection is to be closed.
    Over,
    /// Nothing came for [`PARK_AFTER`]; there is so much left of the time that it may idle.
    Silent(Duration),
}

async fn idle(local: &Local, connection: &Connection) -> Idle {
    if connection.pieces > 0 {
        // Late or not, a carriage has to answer.
        let _ = connection.timer.guard(connection.stream.readable()).await;
        return Idle::Ready;
    }
    if connection.early.is_some() {
        return Idle::Ready;
    }
    let site = local.site();
    let served = connection.requests > 0;
    let wait = if served { site.timeouts.keep_alive } else { site.timeouts.client_header };
    drop(site);
    connection.timer.arm(wait.min(PARK_AFTER));
    let mut readable = pin!(connection.timer.guard(connection.stream.readable()));
    let mut drained = pin!(local.drain.wait());
    let idle = poll_fn(|cx| match readable.as_mut().poll(cx) {
        Poll::Ready(Ok(Ok(()))) => Poll::Ready(Idle::Ready),
        Poll::Ready(Err(_)) if wait > PARK_AFTER => Poll::Ready(Idle::Silent(wait - PARK_AFTER)),
        Poll::Ready(_) => Poll::Ready(Idle::Over),
        // A process that is ending closes what is idle; a new client's first request is on its way.
        Poll::Pending if served => drained.as_mut().poll(cx).map(|()| Idle::Over),
        Poll::Pending => Poll::Pending,
    })
    .await;
    connection.timer.disarm();
    idle
}

/// Serves what is there to read. `None` when the connection is closed or no HTTP any more.
async fn serve(local: &Rc<Local>, connection: Box<Connection>) -> Option<Box<Connection>> {
    let mut carriage = local.carriages.borrow_mut().pop().unwrap_or_else(|| carriage(local.clone()));
    let back = carriage.run(connection).await?;
    local.keep(carriage);
    match back {
        Back::Idle(idle) if !local.draining() || idle.pieces > 0 => Some(idle),
        Back::Closed => None,
        // Nothing told this client that the connection ends: its next request may be on the way.
        Back::Idle(last) => {
            spawn(async move { carriage::linger(&last).await });
            None
        }
        Back::Lingering(last) => {
            spawn(async move { carriage::linger(&last).await });
            None
        }
        Back::Tunnel(tunnel) => {
            // A task of its own: this one has room for what a tunnel does not need.
            spawn(tunnel::run(local.clone(), tunnel));
            None
        }
        Back::Stream(live) => {
            spawn(stream::run(local.clone(), live));
            None
        }
    }
}
