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
use crate::parking::{PARK_AFTER, Parked};
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

/// What is written down of the exchange when its tunnel or stream ends.
pub struct Record {
    /// The exchange, without its heads; `None` when nobody will ask for it.
    pub exchange: Option<Box<Exchange>>,
    /// The line of the access log.
    pub draft: Draft,
    /// Counters of the API.
    pub counters: Arc<ApiCounters>,
    /// When the exchange began.
    pub started: Instant,
    /// Payload bytes of the request that asked for it.
    pub request_bytes: u64,
    /// Bytes from the client since.
    pub up: Cell<u64>,
    /// Bytes to the client since.
    pub down: Cell<u64>,
}

impl Record {
    /// The record of an exchange whose request had so much payload.
    pub fn new(
        exchange: Exchange,
        draft: Draft,
        counters: Arc<ApiCounters>,
        started: Instant,
        request_bytes: u64,
    ) -> Self {
        let exchange = Some(Box::new(exchange));
        Self { exchange, draft, counters, started, request_bytes, up: Cell::new(0), down: Cell::new(0) }
    }

    /// Forgets the exchange if nothing is to be written down of it: it weighs as much as the rest of what waits for hours.
    pub fn forget(&mut self) {
        if self.draft.is_vacant() {
            self.exchange = None;
        }
    }

    /// Writes it down.
    pub fn close(&mut self, local: &Local, served: &Served) {
        let took = local.shard.now().saturating_duration_since(self.started);
        self.counters.ended(served, took);
        local.counters.ended(served, took);
        if let Some(exchange) = &self.exchange {
            local.access_log.finish(std::mem::take(&mut self.draft), exchange, served, took);
        }
    }
}

/// A tunnel.
pub struct Tunnel {
    /// The client's side.
    pub client: Box<Connection>,
    /// What it said right behind its request.
    pub early: BytesMut,
    /// The backend's side.
    pub opened: Box<Opened>,
    /// What is written down at the end.
    pub record: Record,
}

/// The longest silence once one side has ended. Whether the other still has something to say, or its peer is gone altogether, cannot
/// be told apart before something is written.
const HALF_CLOSED_IDLE_MAX: Duration = Duration::from_secs(5);

/// How a relay ends.
enum End {
    /// Nobody said anything for [`PARK_AFTER`].
    Quiet,
    /// It is over.
    Over(Option<Fault>),
}

/// Relays until both sides have ended, one has failed, both were quiet for too long, or so quiet that the tunnel is parked.
pub async fn run(local: Rc<Local>, mut tunnel: Box<Tunnel>) {
    tunnel.record.forget();
    loop {
        match relay(&local, &mut tunnel).await {
            End::Over(fault) => return tunnel.end(&local, fault),
            End::Quiet => {
                let (client, backend) = (tunnel.client.stream.berth(), tunnel.opened.stream.berth());
                // One that has decrypted something meanwhile is relayed further.
                let (Some(client), Some(backend)) = (client, backend) else { continue };
                tunnel.client.timer.rest();
                let left = tunnel.opened.idle.map_or(Duration::MAX, |idle| idle.saturating_sub(PARK_AFTER));
                if let Err(Parked::Tunnel(tunnel)) =
                    local.parked.park((client, Some(backend)), left, Parked::Tunnel(tunnel))
                {
                    tunnel.end(&local, Some(Fault::new(Cause::Internal).detail("the tunnel cannot be parked")));
                }
                return;
            }
        }
    }
}

async fn relay(local: &Local, tunnel: &mut Tunnel) -> End {
    let Tunnel { client, early, opened, record } = tunnel;
    let slot = &client.timer;
    let ways = Ways {
        buffers: &local.shard.buffers,
        slot,
        idle: opened.idle,
        is_patient: Cell::new(false),
        writes: Cell::new(0),
        taken: Cell::new(None),
    };
    let client = Side { stream: &client.stream, closed: Cause::ClientClosed };
    let backend = Side { stream: &opened.stream, closed: Cause::BackendClosed };
    ways.moved();
    // Pinned here and not in a function that joins two futures: it would have room for each of them twice.
    let mut upward = pin!(ways.carry(early, &client, &backend, &record.up));
    let mut downward = pin!(ways.carry(&mut opened.early, &backend, &client, &record.down));
    let (mut up_ended, mut down_ended) = (false, false);
    let end = loop {
        let relayed = slot.guard(poll_fn(|cx| {
            if !up_ended && let Poll::Ready(ended) = upward.as_mut().poll(cx) {
                ended?;
                up_ended = true;
            }
            if !down_ended && let Poll::Ready(ended) = downward.as_mut().poll(cx) {
                ended?;
                down_ended = true;
            }
            if up_ended && down_ended { Poll::Ready(Ok(())) } else { Poll::Pending }
        }));
        let relayed = relayed.await;
        let is_half = (up_ended || down_ended) && ways.writes.get() == 0;
        match relayed {
            Ok(Ok(())) => break End::Over(None),
            Ok(Err(cause)) => break End::Over(Some(Fault::new(cause))),
            Err(_) if ways.writes.get() > 0 && ways.is_taken(&client, &backend) => ways.wait_for_more(),
            Err(_) if ways.is_patient.get() && is_half => break End::Over(None),
            Err(_) if ways.is_patient.get() || ways.idle.is_some_and(|idle| idle <= PARK_AFTER) => {
                break End::Over(Some(idled()));
            }
            // Half of a tunnel cannot be parked: its other end would stir at once. Nor can one that waits to write.
            Err(_) if is_half || ways.writes.get() > 0 => ways.wait_further(is_half),
            Err(_) => break End::Quiet,
        }
    };
    slot.disarm();
    end
}

fn idled() -> Fault {
    Fault::new(Cause::BackendTimeout).detail("the tunnel was idle")
}

impl Tunnel {
    /// Ends a tunnel that was parked, and silent for too long.
    pub fn expire(self, local: &Local) {
        self.end(local, Some(idled()));
    }

    fn end(mut self, local: &Local, fault: Option<Fault>) {
        let record = &mut self.record;
        let served = Served {
            request_bytes: record.request_bytes + record.up.get(),
            response_bytes: record.down.get(),
            fault,
            aborted: fault.is_some(),
            ..Served::new(StatusCode::SWITCHING_PROTOCOLS, Next::Close)
        };
        // Counted before anybody can know of it.
        record.close(local, &served);
        if fault.is_some() {
            self.client.stream.abort();
            self.opened.stream.abort();
        }
    }
}

/// One side, and the fault of its going away.
struct Side<'a> {
    stream: &'a Stream,
    closed: Cause,
}

/// What both directions share.
struct Ways<'a> {
    buffers: &'a Buffers,
    slot: &'a Slot,
    idle: Option<Duration>,
    /// Whether the deadline is the one that ends the tunnel, and not the earlier one that parks it.
    is_patient: Cell<bool>,
    /// Writes under way.
    writes: Cell<u8>,
    /// How much the kernels of client and backend had acknowledged when it was looked at last, since something moved.
    taken: Cell<Option<Acknowledged>>,
}

type Acknowledged = (Option<u64>, Option<u64>);

impl Ways<'_> {
    /// The deadline begins anew: a tunnel is not idle while either side talks.
    fn moved(&self) {
        self.is_patient.set(false);
        self.taken.set(None);
        self.slot.arm(self.idle.map_or(PARK_AFTER, |idle| idle.min(PARK_AFTER)));
    }

    /// Whether something of the writes under way was taken since the last look, or this is the first one. A write ends when the kernel has its
    /// last byte: where a reader is slow, long after it has taken the first; see [`Pace`](ringway_net::Pace).
    fn is_taken(&self, client: &Side<'_>, backend: &Side<'_>) -> bool {
        let now = (client.stream.acknowledged(), backend.stream.acknowledged());
        self.taken.replace(Some(now)) != Some(now)
    }

    /// The whole time again, until the next look.
    fn wait_for_more(&self) {
        self.is_patient.set(true);
        match self.idle {
            Some(idle) => self.slot.arm(idle),
            None => self.slot.disarm(),
        }
    }

    /// Nothing has moved for [`PARK_AFTER`]: the rest of the time.
    fn wait_further(&self, is_half: bool) {
        self.is_patient.set(true);
        let half = is_half.then_some(HALF_CLOSED_IDLE_MAX);
        match self.idle.map_or(half, |idle| Some(half.map_or(idle, |half| half.min(idle)))) {
            Some(idle) => self.slot.arm(idle.saturating_sub(PARK_AFTER)),
            None => self.slot.disarm(),
        }
    }

    /// Carries one direction to its end, which it passes on. The error blames a side.
    async fn carry(
        &self,
        early: &mut BytesMut,
        from: &Side<'_>,
        to: &Side<'_>,
        carried: &Cell<u64>,
    ) -> Result<(), Cause> {
        let mut buffer = std::mem::take(early);
        loop {
            if !buffer.is_empty() {
                carried.set(carried.get() + buffer.len() as u64);
                self.moved();
                // Boxed: a write that waits is large, and a tunnel waits to read for most of its life.
                self.writes.set(self.writes.get() + 1);
                let (written, back) = Box::pin(to.stream.write(buffer)).await;
                self.writes.set(self.writes.get() - 1);
                self.buffers.put(back);
                written.map_err(|_| to.closed)?;
                self.moved();
            }
            // No buffer is held while this direction is quiet.
            from.stream.readable().await.map_err(|_| from.closed)?;
            buffer = self.buffers.take();
            match from.stream.read_now(&mut buffer) {
                Ok(Some(0)) => {
                    self.buffers.put(buffer);
                    // The other direction may go on: a client that has said all still hears. That it is gone, the other one finds.
                    let _ = Box::pin(to.stream.shutdown()).await;
                    return Ok(());
                }
                // Nothing after all: the empty buffer goes back below.
                Ok(_) => {}
                Err(_) => {
                    self.buffers.put(buffer);
                    return Err(from.closed);
                }
            }
            if buffer.is_empty() {
                self.buffers.put(std::mem::take(&mut buffer));
            }
        }
    }
}
