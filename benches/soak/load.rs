//! The mixed load: a few threads, each of which does one kind of thing at its pace, and one turn in a hundred does it badly.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::backend::{EVENTS, LARGE};
use crate::stage::{Stage, Wire, exactly, head, response};

/// One turn in this many is faulty.
const FAULTY: u64 = 100;
/// Turns of a kept connection before it is closed and another made.
const KEPT_TURNS: u64 = 50;

/// What a thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Kept,
    Tls,
    Fresh,
    Download,
    Upload,
    Events,
    Tunnel,
}

/// Every kind with its share of the turns, in percent.
pub(crate) const KINDS: [(Kind, f64); 7] = [
    (Kind::Kept, 50.0),
    (Kind::Tls, 25.0),
    (Kind::Fresh, 10.0),
    (Kind::Download, 5.0),
    (Kind::Upload, 5.0),
    (Kind::Events, 3.0),
    (Kind::Tunnel, 2.0),
];

/// What was done so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub done: [AtomicU64; KINDS.len()],
    pub faults: AtomicU64,
    pub wrong: AtomicU64,
}

impl Tally {
    pub(crate) fn turns(&self) -> u64 {
        self.done.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

/// Takes turns until told to stop. What goes wrong is said and counted, and the next turn begins with a new connection.
pub(crate) fn run(stage: &Stage, index: usize, per_second: f64, tally: &Tally, stop: &AtomicBool) {
    let (kind, _) = KINDS[index];
    let pause = Duration::from_secs_f64(1.0 / per_second);
    let (mut wire, mut turn, mut due) = (None, index as u64 * 13, Instant::now());
    while !stop.load(Ordering::Relaxed) {
        turn += 1;
        let outcome = if turn.is_multiple_of(FAULTY) {
            tally.faults.fetch_add(1, Ordering::Relaxed);
            wire = None;
            misbehave(stage, kind, turn / FAULTY)
        } else {
            take_turn(stage, kind, turn, &mut wire)
        };
        if let Err(error) = outcome {
            tally.wrong.fetch_add(1, Ordering::Relaxed);
            println!("{kind:?}, turn {turn}: {error:#}");
            wire = None;
        }
        tally.done[index].fetch_add(1, Ordering::Relaxed);
        due += pause;
        match due.checked_duration_since(Instant::now()) {
            Some(left) => std::thread::park_timeout(left),
            // Late by more than a little: what was missed is not made up for.
            None => due = Instant::now(),
        }
    }
}

/// A few turns of every kind, so that what is made once is made, on every shard.
pub(crate) fn warm(stage: &Stage) -> Result<()> {
    for (kind, _) in KINDS {
        for turn in 1..=20 {
            take_turn(stage, kind, turn, &mut None)?;
        }
    }
    Ok(())
}

fn take_turn(stage: &Stage, kind: Kind, turn: u64, kept: &mut Option<Box<dyn Wire>>) -> Result<()> {
    let mut wire = match kept.take() {
        Some(wire) => wire,
        None => stage.connect(kind == Kind::Tls)?,
    };
    match kind {
        Kind::Kept | Kind::Tls | Kind::Fresh => {
            wire.write_all(b"GET /api/small HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
            expect(wire.as_mut(), b"ok")?;
        }
        Kind::Download => {
            wire.write_all(b"GET /api/large HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
            let (status, body) = response(wire.as_mut())?;
            ensure!(
                status == 200 && body.len() == LARGE && body.iter().all(|byte| *byte == b'x'),
                "{status}, {} bytes",
                body.len()
            );
        }
        Kind::Upload => upload(wire.as_mut(), turn)?,
        Kind::Events => {
            wire.write_all(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
            let (status, body) = response(wire.as_mut())?;
            let events = String::from_utf8_lossy(&body).matches("data: ").count();
            ensure!(status == 200 && events == EVENTS, "{status}, {events} events");
        }
        Kind::Tunnel => return tunnel(wire.as_mut()),
    }
    if kind != Kind::Fresh && !turn.is_multiple_of(KEPT_TURNS) {
        *kept = Some(wire);
    }
    Ok(())
}

fn expect(wire: &mut dyn Wire, wanted: &[u8]) -> Result<()> {
    let (status, body) = response(wire)?;
    ensure!(status == 200 && body == wanted, "{status} {:?}", String::from_utf8_lossy(&body));
    Ok(())
}

/// By length and in chunks in turn.
fn upload(wire: &mut dyn Wire, turn: u64) -> Result<()> {
    let body = vec![b'u'; 256 * 1024];
    if turn.is_multiple_of(2) {
        write!(wire, "POST /api/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len())?;
        wire.write_all(&body)?;
    } else {
        wire.write_all(b"POST /api/upload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        for piece in body.chunks(10_000) {
            write!(wire, "{:x}\r\n", piece.len())?;
            wire.write_all(piece)?;
            wire.write_all(b"\r\n")?;
        }
        wire.write_all(b"0\r\n\r\n")?;
    }
    expect(wire, body.len().to_string().as_bytes())
}

fn tunnel(wire: &mut dyn Wire) -> Result<()> {
    wire.write_all(b"GET /api/echo HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")?;
    let (said, mut rest) = head(wire)?;
    ensure!(said.starts_with("HTTP/1.1 101"), "{said}");
    for number in 0..10u8 {
        let message = [number; 100];
        wire.write_all(&message)?;
        let back = exactly(wire, std::mem::take(&mut rest), message.len())?;
        ensure!(back == message, "message {number} came back as {back:?}");
    }
    Ok(())
}

/// A fault of the client's or the backend's, and what must come of it.
fn misbehave(stage: &Stage, kind: Kind, turn: u64) -> Result<()> {
    let mut wire = stage.connect(kind == Kind::Tls)?;
    let wire = wire.as_mut();
    let get = |kind: &str| format!("GET /faulty/{kind} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    match turn % 7 {
        // Gone in the middle of a head, of a body, of a response, and before it.
        0 => wire.write_all(b"GET /api/small HTTP/1.1\r\nHo")?,
        1 => wire.write_all(b"POST /api/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhalf")?,
        2 => {
            wire.write_all(get("large").as_bytes())?;
            head(wire)?;
        }
        3 => wire.write_all(get("events").as_bytes())?,
        4 => {
            wire.write_all(get("stall").as_bytes())?;
            let (status, _) = response(wire)?;
            ensure!(status == 504, "a stalled backend was answered {status}");
        }
        5 => {
            wire.write_all(get("short").as_bytes())?;
            ensure!(response(wire).is_err(), "a body that was cut short looks whole");
        }
        _ => {
            wire.write_all(get("long").as_bytes())?;
            expect(wire, b"ok").context("a backend that says too much")?;
        }
    }
    Ok(())
}
