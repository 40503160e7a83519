//! A client's connection: idle, it is a small future that waits for something to read.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::BytesMut;
use ringway_contract::Client;
use ringway_net::{Slot, Stream};

use crate::carriage::{Back, carriage};
use crate::local::Local;
use crate::tunnel;

/// A client's connection.
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
    /// Bytes that were read before the first request, with a PROXY protocol header.
    pub early: Option<Box<BytesMut>>,
}

/// Serves a connection to its end.
pub async fn run(local: Rc<Local>, mut connection: Connection) {
    let drain = local.clone();
    let mut drained = pin!(drain.drain.wait());
    loop {
        let site = local.site();
        let wait = if connection.requests == 0 { site.timeouts.client_header } else { site.timeouts.keep_alive };
        drop(site);
        connection.timer.arm(wait);
        let served = connection.requests > 0;
        let ready = connection.early.is_some() || {
            let mut readable = pin!(connection.timer.guard(connection.stream.readable()));
            poll_fn(|cx| match readable.as_mut().poll(cx) {
                Poll::Ready(outcome) => Poll::Ready(matches!(outcome, Ok(Ok(())))),
                // A process that is ending closes what is idle; a new client's first request is on its way.
                Poll::Pending if served => drained.as_mut().poll(cx).map(|()| false),
                Poll::Pending => Poll::Pending,
            })
            .await
        };
        connection.timer.disarm();
        if !ready {
            return;
        }
        let mut carriage = local.carriages.borrow_mut().pop().unwrap_or_else(|| carriage(local.clone()));
        let back = carriage.run(connection).await;
        let Some(back) = back else { return };
        local.keep(carriage);
        match back {
            Back::Idle(idle) if !local.draining() => connection = idle,
            Back::Idle(_) | Back::Closed => return,
            // Boxed, so that no other connection's task has room for it.
            Back::Tunnel(tunnel) => return Box::pin(tunnel::run(local, tunnel)).await,
        }
    }
}
