//! After a 101: two connections, and bytes both ways.
//!
//! ```text
//!   carriage ═ link ═ lane      until the 101: heads, a body, two workers with rings and buffers
//!   client ◀───────▶ backend    after it: this, which holds no buffer while both sides are quiet
//! ```
//!
//! Neither carriage nor lane has anything to do for a tunnel, which may idle for hours: both let go of their connection, and what is left
//! weighs a few hundred bytes. A side is read only when the other has taken what came before, so a slow reader slows its peer.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use http::StatusCode;
use ringway_contract::{Cause, Exchange, Fault};
use ringway_net::{Buffers, Slot, Stream};

use crate::access_log::Draft;
use crate::call::Served;
use crate::connection::Connection;
use crate::exchange::Next;
use crate::local::Local;
use crate::telemetry::ApiCounters;
use crate::upstream::member::Seat;

/// The backend's side of a tunnel.
pub struct Opened {
    /// Its connection.
    pub stream: Stream,
    /// What it said right behind its 101.
    pub early: BytesMut,
    /// The longest that neither side may say anything.
    pub idle: Option<Duration>,
    /// The place among the endpoint's connections; the tunnel counts as one for as long as it is open.
    pub seat: Option<Seat>,
}

/// What is written down of the exchange when its tunnel ends.
pub struct Record {
    /// The exchange, without its heads.
    pub exchange: Exchange,
    /// The line of the access log.
    pub draft: Draft,
    /// Counters of the API.
    pub counters: Arc<ApiCounters>,
    /// When the exchange began.
    pub started: Instant,
    /// Payload bytes of the request that asked for the tunnel.
    pub request_bytes: u64,
}

/// A tunnel that has not begun yet.
pub struct Tunnel {
    /// The client's side.
    pub client: Connection,
    /// What it said right behind its request.
    pub early: BytesMut,
    /// The backend's side.
    pub opened: Opened,
    /// What is written down at the end.
    pub record: Record,
}

/// Relays until both sides have ended, one has failed, or both were quiet for too long.
pub async fn run(local: Rc<Local>, mut tunnel: Box<Tunnel>) {
    let Tunnel { client, early, opened, record } = &mut *tunnel;
    let (client, backend, slot) = (&client.stream, &opened.stream, &client.timer);
    let ways = Ways { buffers: &local.shard.buffers, slot, idle: opened.idle };
    let (up, down) = (Cell::new(0), Cell::new(0));
    ways.moved();
    let ended = slot
        .guard(both(
            ways.carry(std::mem::take(early), (client, Cause::ClientClosed), (backend, Cause::BackendClosed), &up),
            ways.carry(
                std::mem::take(&mut opened.early),
                (backend, Cause::BackendClosed),
                (client, Cause::ClientClosed),
                &down,
            ),
        ))
        .await;
    let fault = match ended {
        Ok(Ok(())) => None,
        Ok(Err(cause)) => Some(Fault::new(cause)),
        Err(_) => Some(Fault::new(Cause::BackendTimeout).detail("the tunnel was idle")),
    };
    slot.disarm();
    if fault.is_some() {
        client.abort();
        backend.abort();
    }
    record.write(&local, up.get(), down.get(), fault);
}

impl Record {
    fn write(&mut self, local: &Local, up: u64, down: u64, fault: Option<Fault>) {
        let served = Served {
            request_bytes: self.request_bytes + up,
            response_bytes: down,
            fault,
            aborted: fault.is_some(),
            ..Served::new(StatusCode::SWITCHING_PROTOCOLS, Next::Close)
        };
        let took = local.shard.now().saturating_duration_since(self.started);
        self.counters.ended(&served, took);
        local.access_log.finish(std::mem::take(&mut self.draft), &self.exchange, &served, took);
    }
}

/// What both directions share.
struct Ways<'a> {
    buffers: &'a Buffers,
    slot: &'a Slot,
    idle: Option<Duration>,
}

impl Ways<'_> {
    /// The deadline begins anew: a tunnel is not idle while either side talks.
    fn moved(&self) {
        match self.idle {
            Some(idle) => self.slot.arm(idle),
            None => self.slot.disarm(),
        }
    }

    /// Carries one direction to its end, which it passes on. The error blames a side.
    async fn carry(
        &self,
        early: BytesMut,
        (from, from_closed): (&Stream, Cause),
        (to, to_closed): (&Stream, Cause),
        carried: &Cell<u64>,
    ) -> Result<(), Cause> {
        let mut buffer = early;
        loop {
            if !buffer.is_empty() {
                carried.set(carried.get() + buffer.len() as u64);
                self.moved();
                let (written, back) = to.write(buffer).await;
                self.buffers.put(back);
                written.map_err(|_| to_closed)?;
                self.moved();
            }
            // No buffer is held while this direction is quiet.
            from.readable().await.map_err(|_| from_closed)?;
            buffer = self.buffers.take();
            match from.read_now(&mut buffer) {
                Ok(Some(0)) => {
                    self.buffers.put(buffer);
                    // The other direction may go on: a client that has said all still hears. That it is gone, the other one finds.
                    let _ = to.shutdown().await;
                    return Ok(());
                }
                // Nothing after all: the empty buffer goes back below.
                Ok(_) => {}
                Err(_) => {
                    self.buffers.put(buffer);
                    return Err(from_closed);
                }
            }
            if buffer.is_empty() {
                self.buffers.put(std::mem::take(&mut buffer));
            }
        }
    }
}

/// Polls both until both are done, or one failed.
async fn both(
    up: impl Future<Output = Result<(), Cause>>,
    down: impl Future<Output = Result<(), Cause>>,
) -> Result<(), Cause> {
    let (mut up, mut down) = (pin!(up), pin!(down));
    let (mut up_done, mut down_done) = (false, false);
    poll_fn(|cx| {
        if !up_done && let Poll::Ready(ended) = up.as_mut().poll(cx) {
            ended?;
            up_done = true;
        }
        if !down_done && let Poll::Ready(ended) = down.as_mut().poll(cx) {
            ended?;
            down_done = true;
        }
        if up_done && down_done { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}
