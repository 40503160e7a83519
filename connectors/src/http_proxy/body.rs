//! The body of a response.

use std::io;

use bytes::BytesMut;
use ringway_contract::lane::send;
use ringway_contract::{Cause, Chunk, Fault, Frame};
use ringway_ring::Sender;
use ringway_wire::Framing;
use ringway_wire::chunk::{Decoded, Decoder};

use super::coding;
use super::lane::{Exchange, Turn};

/// Bodies with at least this much to come are read into large blocks.
const LARGE_FROM_BYTES: u64 = 48 * 1024;
/// Bytes of a body that nobody wants that are read all the same, to keep the connection: a new one costs more than a few segments.
const DRAIN_BYTES_MAX: u64 = 16 * 1024;

/// Sends the body on; `true` when it is complete and the connection may be kept.
pub async fn relay(
    exchange: &Exchange<'_>,
    outbox: &mut Sender<Frame>,
    input: &mut BytesMut,
    framing: Framing,
) -> bool {
    let relayed = match framing {
        Framing::None | Framing::Length(0) => Ok(true),
        Framing::Length(length) => counted(exchange, outbox, input, length).await,
        Framing::Chunked => chunked(exchange, outbox, input).await,
        Framing::UntilClose => until_close(exchange, outbox, input).await,
    };
    match relayed.and_then(|keep| whole(exchange).map(|()| keep)) {
        Ok(keep) => {
            send(outbox, Frame::End).await;
            keep
        }
        Err(fault) => {
            send(outbox, Frame::Abort(fault)).await;
            false
        }
    }
}

async fn counted(
    exchange: &Exchange<'_>,
    outbox: &mut Sender<Frame>,
    input: &mut BytesMut,
    mut left: u64,
) -> Result<bool, Fault> {
    loop {
        let excess = (input.len() as u64).saturating_sub(left);
        if excess > 0 {
            // More than was announced. What was announced goes on; the connection is not used again.
            input.truncate(left as usize);
        }
        left -= input.len() as u64;
        pass(exchange, outbox, input).await?;
        if left == 0 {
            return Ok(excess == 0);
        }
        exchange.set_pace();
        *input = more(exchange, std::mem::take(input), left).await?.ok_or_else(|| exchange.closed())?;
    }
}

async fn chunked(exchange: &Exchange<'_>, outbox: &mut Sender<Frame>, input: &mut BytesMut) -> Result<bool, Fault> {
    let mut decoder = Decoder::new(&exchange.endpoint.limits);
    let mut trailers = exchange.kept.trailers.take().unwrap_or_default();
    let mut rest = BytesMut::new();
    loop {
        if !input.is_empty() {
            let decoded = decoder
                .decode(input, &mut rest, &mut trailers)
                .map_err(|rejection| Fault::new(Cause::BackendInvalid).detail(rejection.message()))?;
            pass(exchange, outbox, input).await?;
            if decoded == Decoded::End {
                whole(exchange)?;
                if trailers.is_empty() {
                    trailers.clear();
                    exchange.kept.trailers.set(Some(trailers));
                } else {
                    send(outbox, Frame::Trailers(trailers)).await;
                }
                return Ok(rest.is_empty());
            }
        }
        *input = more(exchange, std::mem::take(input), 0).await?.ok_or_else(|| exchange.closed())?;
    }
}

async fn until_close(exchange: &Exchange<'_>, outbox: &mut Sender<Frame>, input: &mut BytesMut) -> Result<bool, Fault> {
    loop {
        pass(exchange, outbox, input).await?;
        match more(exchange, std::mem::take(input), LARGE_FROM_BYTES).await? {
            Some(read) => *input = read,
            None => return Ok(false),
        }
    }
}

/// Takes a small body in and forgets it; `true` when the connection is then at the beginning of the next response.
pub async fn drain(exchange: &Exchange<'_>, input: &mut BytesMut, framing: Framing) -> bool {
    let mut decoder = match framing {
        Framing::Chunked => Some(Decoder::new(&exchange.endpoint.limits)),
        Framing::None => return input.is_empty(),
        Framing::Length(length) if length <= DRAIN_BYTES_MAX => None,
        Framing::Length(_) | Framing::UntilClose => return false,
    };
    let mut rest = BytesMut::new();
    let mut trailers = exchange.kept.trailers.take().unwrap_or_default();
    let mut drained = 0;
    loop {
        drained += input.len() as u64;
        let is_end = match (&mut decoder, framing) {
            (Some(decoder), _) => match decoder.decode(input, &mut rest, &mut trailers) {
                Ok(decoded) => decoded == Decoded::End,
                Err(_) => return false,
            },
            (None, Framing::Length(length)) if drained > length => return false,
            (None, framing) => framing == Framing::Length(drained),
        };
        input.clear();
        if is_end {
            trailers.clear();
            exchange.kept.trailers.set(Some(trailers));
            return rest.is_empty();
        }
        if drained > DRAIN_BYTES_MAX {
            return false;
        }
        match more(exchange, std::mem::take(input), 0).await {
            Ok(Some(read)) => *input = read,
            Ok(None) | Err(_) => return false,
        }
    }
}

/// Hands the payload in `input` on, whole; `input` is left empty.
async fn pass(exchange: &Exchange<'_>, outbox: &mut Sender<Frame>, input: &mut BytesMut) -> Result<(), Fault> {
    if input.is_empty() {
        return Ok(());
    }
    // The wait for room is the client's slowness, not the backend's: it does not count against the backend.
    exchange.kept.read.disarm();
    let packed = std::mem::take(input);
    let Some(mut gunzip) = exchange.gunzip.take() else {
        send(outbox, Frame::Data(Chunk::Pooled(packed))).await;
        return Ok(());
    };
    // Boxed: a rare case must not make every lane larger.
    let passed = Box::pin(coding::pass(exchange, outbox, &packed, &mut gunzip)).await;
    exchange.gunzip.set(Some(gunzip));
    exchange.endpoint.shard.buffers.put(packed);
    passed
}

/// The body has come to its end: whether it has come to that of its coding, too.
fn whole(exchange: &Exchange<'_>) -> Result<(), Fault> {
    match exchange.gunzip.take() {
        Some(gunzip) if !gunzip.is_complete() => {
            Err(Fault::new(Cause::BackendInvalid).detail("the gzip of the body is cut off"))
        }
        _ => Ok(()),
    }
}

/// Reads behind what `input` holds. `None` at the end of the stream; `left` is what is known to be missing.
///
/// # Errors
/// The backend is silent for too long, or the stream ends without an end: reset, or by TLS without its close_notify.
pub async fn more(exchange: &Exchange<'_>, mut input: BytesMut, left: u64) -> Result<Option<BytesMut>, Fault> {
    let buffers = &exchange.endpoint.shard.buffers;
    if input.capacity() == 0 {
        input = if left >= LARGE_FROM_BYTES { buffers.take_large() } else { buffers.take() };
    } else if input.len() == input.capacity() {
        input.reserve(input.capacity());
    }
    let read = &exchange.kept.read;
    let mut pace = exchange.pace.get().filter(|_| exchange.turn.get() == Turn::Backend);
    match &mut pace {
        Some(pace) => pace.begin(read),
        None => exchange.arm_read(),
    }
    match read.guard(exchange.stream.read(input)).await {
        Ok((result, buffer)) => {
            if let (Ok(count @ 1..), Some(mut pace)) = (&result, pace) {
                pace.end(read, *count);
                exchange.pace.set(Some(pace));
            }
            taken(exchange, result, buffer)
        }
        Err(_) => Err(Fault::new(Cause::BackendTimeout)),
    }
}

/// What a read has brought. `None` at the end of the stream.
///
/// # Errors
/// The stream ended without an end.
pub fn taken(exchange: &Exchange<'_>, result: io::Result<usize>, buffer: BytesMut) -> Result<Option<BytesMut>, Fault> {
    if let Ok(1..) = result {
        return Ok(Some(buffer));
    }
    exchange.endpoint.shard.buffers.put(buffer);
    result.map(|_| None).map_err(|_| exchange.closed())
}
