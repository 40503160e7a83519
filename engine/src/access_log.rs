//! The access log, off the path of exchanges: a shard formats a line into a buffer of its own and hands full buffers to a writer thread
//! over a ring. A writer that lags costs lines, which are counted, never time.

use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut, BytesMut};
use ringway_contract::Exchange;
use ringway_net::Shard;
use ringway_ring::{Consumer, Producer, Ringer};
use ringway_wire::{RequestHead, date};

use crate::call::Served;
use crate::secrets::Secrets;
use crate::telemetry::ShardCounters;

/// A buffer is handed over when it has grown to this, or when the shard has been quiet.
const BATCH_BYTES: usize = 32 * 1024;
/// Most bytes of a request's target in a line.
const TARGET_BYTES_MAX: usize = 2 * 1024;
/// Buffers on their way to the writer, per shard.
pub const BATCHES_MAX: usize = 64;

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// The common log format of web servers, with the duration at the end.
    Common,
}

/// A shard's end of the access log.
pub struct AccessLog {
    shard: Rc<Shard>,
    counters: Arc<ShardCounters>,
    sink: Option<Sink>,
}

struct Sink {
    format: Format,
    state: RefCell<State>,
}

struct State {
    batch: BytesMut,
    ring: Producer<BytesMut>,
    bell: Ringer,
}

/// The part of a line that is known when an exchange begins, because later the request may be gone with its lane.
#[derive(Debug, Default)]
pub struct Draft {
    target: Option<BytesMut>,
    started: Option<Instant>,
}

impl AccessLog {
    /// A log that is off.
    pub fn off(shard: Rc<Shard>, counters: Arc<ShardCounters>) -> Self {
        Self { shard, counters, sink: None }
    }

    /// A log whose batches go to `ring`.
    pub fn new(
        shard: Rc<Shard>,
        counters: Arc<ShardCounters>,
        format: Format,
        ring: Producer<BytesMut>,
        bell: Ringer,
    ) -> Self {
        let state = State { batch: BytesMut::with_capacity(BATCH_BYTES + 4096), ring, bell };
        Self { shard, counters, sink: Some(Sink { format, state: RefCell::new(state) }) }
    }

    /// Notes what a line says of the request, without what shows who is calling.
    pub fn draft(&self, exchange: &Exchange, secrets: &Secrets, started: Instant) -> Draft {
        if self.sink.is_none() {
            return Draft::default();
        }
        let mut target = self.shard.buffers.take();
        if let Some(request) = exchange.request.as_deref() {
            describe(&request.head, secrets, &mut target);
        }
        Draft { target: Some(target), started: Some(started) }
    }

    /// A draft that may have to wait for long: it gives its buffer back.
    pub fn keep(&self, draft: Draft) -> Draft {
        let target = draft.target.map(|pooled| {
            let kept = BytesMut::from(&pooled[..]);
            self.shard.buffers.put(pooled);
            kept
        });
        Draft { target, ..draft }
    }

    /// Writes the line of an exchange that is over.
    pub fn finish(&self, draft: Draft, exchange: &Exchange, served: &Served, took: Duration) {
        let (Some(sink), Some(target), Some(_)) = (&self.sink, draft.target, draft.started) else { return };
        let mut state = sink.state.borrow_mut();
        let now_ms = self.shard.unix_ms();
        match sink.format {
            Format::Json => json(&mut state.batch, now_ms, &target, exchange, served, took),
            Format::Common => common(&mut state.batch, now_ms, &target, exchange, served, took),
        }
        self.shard.buffers.put(target);
        if state.batch.len() >= BATCH_BYTES {
            self.hand_over(&mut state);
        }
    }

    /// Writes a line of another kind, which ends with its end of line.
    pub fn record(&self, line: &str) {
        let Some(sink) = &self.sink else { return };
        let mut state = sink.state.borrow_mut();
        state.batch.extend_from_slice(line.as_bytes());
        if state.batch.len() >= BATCH_BYTES {
            self.hand_over(&mut state);
        }
    }

    /// Hands over what there is. Called now and then, so that a quiet shard's lines appear.
    pub fn flush(&self) {
        if let Some(sink) = &self.sink {
            let mut state = sink.state.borrow_mut();
            if !state.batch.is_empty() {
                self.hand_over(&mut state);
            }
        }
    }

    fn hand_over(&self, state: &mut State) {
        let batch = std::mem::replace(&mut state.batch, BytesMut::with_capacity(BATCH_BYTES + 4096));
        match state.ring.push(batch) {
            Ok(()) => {
                state.bell.ring();
            }
            Err(lost) => {
                let lines = lost.iter().filter(|byte| **byte == b'\n').count() as u64;
                self.counters.log_dropped.add(lines);
            }
        }
    }
}

/// `method SP target`, cut at [`TARGET_BYTES_MAX`].
fn describe(head: &RequestHead, secrets: &Secrets, out: &mut BytesMut) {
    out.extend_from_slice(head.method.as_str().as_bytes());
    out.put_u8(b' ');
    let target = head.raw_target();
    let target = target.get(..target.floor_char_boundary(TARGET_BYTES_MAX)).unwrap_or(target);
    // A buffer grows: there is nothing that could fail.
    let _ = secrets.write_target(target, out);
}

fn json(out: &mut BytesMut, now_ms: u64, target: &[u8], exchange: &Exchange, served: &Served, took: Duration) {
    let split = target.iter().position(|byte| *byte == b' ').unwrap_or(target.len());
    let (method, path) = target.split_at(split);
    let mut out = out.writer();
    let _ = write!(out, "{{\"time\":{now_ms},\"remote\":\"");
    match exchange.client.address {
        Some(address) => {
            let _ = write!(out, "{}", address.ip());
        }
        None => {
            let _ = out.write_all(b"unix");
        }
    }
    let _ = out.write_all(b"\",\"method\":\"");
    escape(out.get_mut(), method);
    let _ = out.write_all(b"\",\"uri\":\"");
    escape(out.get_mut(), path.get(1..).unwrap_or_default());
    let _ = write!(out, "\",\"status\":{},\"api\":\"", served.status.as_u16());
    escape(out.get_mut(), exchange.api.id.as_bytes());
    let _ = out.write_all(b"\",\"plan\":\"");
    escape(out.get_mut(), exchange.plan.name.as_bytes());
    let _ = write!(
        out,
        "\",\"requestBytes\":{},\"responseBytes\":{},\"durationUs\":{}",
        served.request_bytes,
        served.response_bytes,
        took.as_micros()
    );
    if let Some(fault) = served.fault {
        let _ = write!(out, ",\"errorKey\":\"{}\"", fault.cause.key());
        if !fault.detail.is_empty() {
            let _ = write!(out, ",\"errorDetail\":\"{}\"", fault.detail);
        }
    }
    let _ = out.write_all(b"}\n");
}

fn common(out: &mut BytesMut, now_ms: u64, target: &[u8], exchange: &Exchange, served: &Served, took: Duration) {
    match exchange.client.address {
        Some(address) => {
            let _ = write!(out.writer(), "{}", address.ip());
        }
        None => out.extend_from_slice(b"unix"),
    }
    out.extend_from_slice(b" - - [");
    let now = date::imf_fixdate(now_ms / 1000);
    // `Sun, 06 Nov 1994 08:49:37 GMT` to `06/Nov/1994:08:49:37 +0000`
    for (piece, end) in [(5..7, "/"), (8..11, "/"), (12..16, ":"), (17..25, " +0000")] {
        out.extend_from_slice(now.get(piece).unwrap_or_default());
        out.extend_from_slice(end.as_bytes());
    }
    out.extend_from_slice(b"] \"");
    escape(out, target);
    let _ =
        writeln!(out.writer(), " HTTP/1.1\" {} {} {}", served.status.as_u16(), served.response_bytes, took.as_micros());
}

/// What would break a line or a JSON string is escaped; a client cannot forge a line.
fn escape(out: &mut BytesMut, text: &[u8]) {
    for byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            0x20..=0x7e => out.put_u8(*byte),
            _ => {
                let _ = write!(out.writer(), "\\u{byte:04x}");
            }
        }
    }
}

/// Writes the batches of every shard until `stop` says so. Runs on the writer thread.
pub fn write_batches(
    rings: &mut [Consumer<BytesMut>],
    wait: &mut dyn FnMut() -> bool,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    loop {
        let more = wait();
        for ring in rings.iter_mut() {
            while let Some(batch) = ring.pop() {
                out.write_all(&batch)?;
            }
        }
        out.flush()?;
        if !more {
            return Ok(());
        }
    }
}
