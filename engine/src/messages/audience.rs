//! Those who have everything that there is of a log: they have no task and wait in the shard's [`Lot`](ringway_net::Lot), and what is new is
//! written to them by whoever made it.
//!
//! ```text
//!               rest                                     rouse: what is new did not fit into its socket; its client says something;
//!   a task ────────────▶ [ seat, seat, seat ] ────────────────▶ nothing went for long; the broker is away; the API goes
//!                             ▲
//!   feeder ── one send each ──┘     by a volley, see ringway_net::Volley
//! ```
//!
//! A task for each of them would be woken, would have its send queued, and be woken again by its end; and would weigh more than the rest of a
//! stream while it waits.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use ringway_net::{Shot, yield_now};

use super::rest::{self, Hearing, Stir};
use super::segment::Segment;
use super::stream::Live;
use crate::local::Local;
use crate::parking::Parked;

/// How many are written to before others on the shard have their turn: about 300 µs of it.
const TURN: usize = 64;
/// The same while no exchange is under way: a millisecond. A send costs less the more go together.
const LONG_TURN: usize = 256;

/// The clients at rest of one log.
#[derive(Default)]
pub struct Audience {
    local: OnceCell<Rc<Local>>,
    /// Their numbers in the lot.
    seats: RefCell<BTreeSet<u32>>,
}

impl Audience {
    /// Takes a stream that has read everything, and has nothing else under way, for at most `wait`.
    ///
    /// # Errors
    /// The stream, when it cannot be watched.
    pub fn take(&self, local: &Rc<Local>, live: Box<Live>, wait: Duration) -> Result<(), Box<Live>> {
        let Some(berth) = live.client.stream.berth() else { return Err(live) };
        let seat = match local.parked.park((berth, None), wait, Parked::Stream(live)) {
            Ok(seat) => seat,
            Err(Parked::Stream(live)) => return Err(live),
            // It is what was to be parked.
            Err(_) => return Ok(()),
        };
        local.parked.visit(seat, |parked| {
            if let Parked::Stream(live) = parked {
                live.sit(seat);
            }
            true
        });
        self.local.get_or_init(|| local.clone());
        self.seats.borrow_mut().insert(seat);
        Ok(())
    }

    /// One has left the lot.
    pub fn leave(&self, seat: u32) {
        self.seats.borrow_mut().remove(&seat);
    }

    /// Writes a segment to all who have not got it.
    pub async fn tell(&self, number: u64, segment: &Segment) {
        let Some(local) = self.local.get() else { return };
        let (mut turn, mut hearing, mut shots, mut taken) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut from = 0;
        loop {
            let length = if local.shard.is_idle() { LONG_TURN } else { TURN };
            turn.extend(self.seats.borrow().range(from..).take(length).copied());
            for seat in turn.drain(..) {
                from = seat.saturating_add(1);
                let mut hears = None;
                local.parked.visit(seat, |parked| {
                    if let Parked::Stream(live) = parked {
                        hears = live.hear(number, segment);
                    }
                    true
                });
                match hears {
                    Some(Hearing { at: Some(to), chunked }) => {
                        hearing.push((seat, chunked));
                        shots.push(Shot { to, bytes: segment.as_slice(chunked) });
                    }
                    Some(Hearing { at: None, chunked }) => rouse(local, seat, segment.bytes(chunked, 0)),
                    None => {}
                }
            }
            local.shard.volley.send(&shots, &mut taken);
            for (((seat, chunked), shot), taken) in hearing.drain(..).zip(shots.drain(..)).zip(taken.drain(..)) {
                if taken < shot.bytes.len() {
                    rouse(local, seat, segment.bytes(chunked, taken));
                }
            }
            if self.seats.borrow().range(from..).next().is_none() {
                return;
            }
            yield_now().await;
        }
    }

    /// Gives all of them tasks.
    pub fn rouse_all(&self) {
        let seats = std::mem::take(&mut *self.seats.borrow_mut());
        let Some(local) = self.local.get() else { return };
        for seat in seats {
            if let Some(Parked::Stream(live)) = local.parked.visit(seat, |_| false) {
                rest::rouse(local, live, Stir::News);
            }
        }
    }
}

/// Gives one of them a task, which has this to write first.
fn rouse(local: &Rc<Local>, seat: u32, unsent: Bytes) {
    if let Some(Parked::Stream(live)) = local.parked.visit(seat, |_| false) {
        rest::rouse(local, live, Stir::Unsent(unsent));
    }
}
