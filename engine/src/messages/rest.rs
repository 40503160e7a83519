//! Sessions without a task: those of a shared subscription that have all there is of it.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use ringway_contract::Answer;
use ringway_net::{Berth, spawn};

use super::segment::Segment;
use super::stream::{Live, go_on};
use crate::local::Local;

/// What gives a session at rest its task again.
pub enum Stir {
    /// It begins.
    Begins,
    /// These bytes had no place in its socket.
    Unsent(Bytes),
    /// Its client says something, or has gone.
    Spoke,
    /// Nothing went for as long as it may be quiet.
    Quiet,
    /// Its broker or the gateway has news.
    News,
}

/// How a session at rest gets a segment.
pub struct Hearing {
    /// `None`: by its task.
    pub at: Option<Berth>,
    /// Whether in a chunked body.
    pub chunked: bool,
}

impl Live {
    /// It rests under this number of the lot.
    pub fn sit(&mut self, seat: u32) {
        self.streaming.seat = Some(seat);
        if let Some(reader) = self.streaming.reader() {
            reader.rest(true);
        }
    }

    /// It rests no more: its number may be another's from here on.
    pub fn stand(&mut self) {
        let seat = self.streaming.seat.take();
        if let (Some(seat), Some(reader)) = (seat, self.streaming.reader()) {
            reader.audience().leave(seat);
        }
    }

    /// How much earlier than asked for its time may be up. A client that has to answer gets all of it.
    fn early(&self) -> Duration {
        if self.streaming.answer == Answer::Upgrade { Duration::ZERO } else { EARLY }
    }

    /// Whether its API goes.
    pub fn is_retired(&self) -> bool {
        self.streaming.retired.is_set()
    }

    /// What is to be written to it of a segment, if that is the next one: it counts as written.
    pub fn hear(&mut self, number: u64, segment: &Segment) -> Option<Hearing> {
        let Self { client, streaming, record, .. } = self;
        if !streaming.reader()?.passes(number) {
            return None;
        }
        record.down.set(record.down.get() + segment.len() as u64);
        Some(Hearing { at: client.stream.aim(), chunked: streaming.chunked })
    }
}

/// Gives a session that rested, and is not in the lot any more, its task again.
pub fn rouse(local: &Rc<Local>, mut live: Box<Live>, stir: Stir) {
    live.stand();
    if let Some(reader) = live.streaming.reader() {
        reader.rest(false);
        let heard = reader.grown_at();
        live.streaming.moved = live.streaming.moved.max(heard);
    }
    spawn(go_on(local.clone(), live, stir));
}

/// The time of a session at rest is up, unless it has heard something meanwhile.
pub fn expire(local: &Rc<Local>, mut live: Box<Live>) {
    live.stand();
    let (idle, moved) = (live.streaming.idle, live.streaming.moved);
    let early = live.early();
    let Some(reader) = live.streaming.reader() else { return rouse(local, live, Stir::News) };
    let quiet = local.shard.now().saturating_duration_since(moved.max(reader.grown_at()));
    match idle.map(|idle| idle.saturating_sub(quiet)) {
        Some(left) if left <= early => rouse(local, live, Stir::Quiet),
        left => {
            if let Err(live) = rest(local, live, left) {
                rouse(local, live, Stir::News);
            }
        }
    }
}

/// The lot looks through once a second: better a heartbeat a little early than late.
const EARLY: Duration = Duration::from_secs(1);

/// Has a session rest until something stirs it, for `wait` at most.
pub fn rest(local: &Rc<Local>, mut live: Box<Live>, wait: Option<Duration>) -> Result<(), Box<Live>> {
    live.client.timer.rest();
    let Some(audience) = live.streaming.reader().map(|reader| reader.audience()) else { return Err(live) };
    let wait = wait.map_or(Duration::MAX, |wait| wait.saturating_sub(live.early()));
    audience.take(local, live, wait)
}
