//! The backend's response, frame by frame.

use std::future::{Future, poll_fn};
use std::pin::Pin;

use bytes::BytesMut;
use http::StatusCode;
use ringway_contract::lane::send;
use ringway_contract::{Cause, Chunk, Fault, Frame, Request};
use ringway_ring::Sender;
use ringway_wire::chunk::{Decoded, Decoder};
use ringway_wire::{Fields, Framing, Known, Parsed};

use super::lane::Exchange;

/// Interim responses that one exchange may bring.
const INTERIM_MAX: usize = 16;
/// Bodies with at least this much to come are read into large blocks.
const LARGE_FROM_BYTES: u64 = 48 * 1024;

/// How receiving ended.
pub struct Received {
    /// Whether the connection is at the beginning of the next response.
    pub reusable: bool,
}

const LOST: Received = Received { reusable: false };

/// Receives one response and sends it on, from `Reply` (or `Fail`) to `End` (or `Abort`).
pub async fn receive(
    exchange: &Exchange<'_>,
    outbox: &mut Sender<Frame>,
    mut readable: Pin<&mut impl Future>,
    request: Box<Request>,
) -> Received {
    let endpoint = exchange.endpoint;
    let buffers = &endpoint.shard.buffers;
    let mut input = BytesMut::new();
    let mut interims = 0;
    let mut begun = false;
    let mut head = endpoint.responses.take();
    if let Some(timeout) = endpoint.read_timeout() {
        exchange.slots.read.arm(timeout);
    }
    let waited = exchange.slots.read.guard(poll_fn(|cx| readable.as_mut().poll(cx).map(drop))).await;
    if waited.is_err() {
        return fail(outbox, request, Fault::new(Cause::BackendTimeout)).await;
    }
    loop {
        input = match more(exchange, input, 0).await {
            Ok(Some(input)) => input,
            Ok(None) => {
                // Nothing of a response: the kept connection was closing. Anything at all: it broke off.
                let fault = Fault::new(Cause::BackendClosed);
                let fault = if interims == 0 && !begun { exchange.verdict(fault) } else { fault };
                return fail(outbox, request, fault).await;
            }
            Err(fault) => return fail(outbox, request, fault).await,
        };
        begun = true;
        loop {
            match head.parse(&mut input, &endpoint.limits, &request.head.method) {
                Ok(Parsed::Partial) => break,
                Ok(Parsed::Complete) if head.status == StatusCode::SWITCHING_PROTOCOLS => {
                    if !request.head.upgrade || !offered(&request.head.fields, &head.fields) {
                        let fault = Fault::new(Cause::BackendInvalid).detail("101 to a protocol that was not asked for");
                        return fail(outbox, request, fault).await;
                    }
                    send(outbox, Frame::Reply(request, head)).await;
                    return tunnel(exchange, outbox, input).await;
                }
                Ok(Parsed::Complete) if head.status.is_informational() => {
                    interims += 1;
                    if interims > INTERIM_MAX {
                        let fault = Fault::new(Cause::BackendInvalid).detail("too many interim responses");
                        return fail(outbox, request, fault).await;
                    }
                    send(outbox, Frame::Interim(std::mem::replace(&mut head, endpoint.responses.take()))).await;
                }
                Ok(Parsed::Complete) => {
                    let framing = head.framing;
                    let persistent = head.persistent && endpoint.shared.http.keep_alive;
                    send(outbox, Frame::Reply(request, head)).await;
                    let complete = body(exchange, outbox, &mut input, framing).await;
                    exchange.slots.read.disarm();
                    let rest = input.len();
                    buffers.put(input);
                    // Bytes behind a complete response are nobody's: the connection is not to be trusted.
                    return Received { reusable: complete && persistent && rest == 0 };
                }
                Err(_) => return fail(outbox, request, Fault::new(Cause::BackendInvalid)).await,
            }
        }
    }
}

/// Whether the protocols that a 101 switches to are among those that were asked for (RFC 9110 section 7.8).
fn offered(asked: &Fields, chosen: &Fields) -> bool {
    let protocols = |value: &'_ [u8]| -> Vec<Vec<u8>> {
        value.split(|byte| *byte == b',').map(|item| item.trim_ascii().to_ascii_lowercase()).collect()
    };
    let asked = asked.known(Known::Upgrade).map(protocols).unwrap_or_default();
    let chosen = chosen.known(Known::Upgrade).map(protocols).unwrap_or_default();
    !chosen.is_empty() && chosen.iter().all(|protocol| asked.contains(protocol))
}

async fn fail(outbox: &mut Sender<Frame>, request: Box<Request>, fault: Fault) -> Received {
    send(outbox, Frame::Fail(request, fault)).await;
    LOST
}

/// Sends the body on; `true` when it is complete and the connection may be kept.
async fn body(exchange: &Exchange<'_>, outbox: &mut Sender<Frame>, input: &mut BytesMut, framing: Framing) -> bool {
    let relayed = match framing {
        Framing::None | Framing::Length(0) => Ok(true),
        Framing::Length(length) => counted(exchange, outbox, input, length).await,
        Framing::Chunked => chunked(exchange, outbox, input).await,
        Framing::UntilClose => until_close(exchange, outbox, input).await,
    };
    match relayed {
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
        pass(exchange, outbox, input).await;
        if left == 0 {
            return Ok(excess == 0);
        }
        *input = more(exchange, std::mem::take(input), left).await?.ok_or(Fault::new(Cause::BackendClosed))?;
    }
}

async fn chunked(exchange: &Exchange<'_>, outbox: &mut Sender<Frame>, input: &mut BytesMut) -> Result<bool, Fault> {
    let mut decoder = Decoder::new(&exchange.endpoint.limits);
    let mut trailers = Box::<Fields>::default();
    let mut rest = BytesMut::new();
    loop {
        if !input.is_empty() {
            let decoded = decoder
                .decode(input, &mut rest, &mut trailers)
                .map_err(|rejection| Fault::new(Cause::BackendInvalid).detail(rejection.message()))?;
            pass(exchange, outbox, input).await;
            if decoded == Decoded::End {
                if !trailers.is_empty() {
                    send(outbox, Frame::Trailers(trailers)).await;
                }
                return Ok(rest.is_empty());
            }
        }
        *input = more(exchange, std::mem::take(input), 0).await?.ok_or(Fault::new(Cause::BackendClosed))?;
    }
}

async fn until_close(exchange: &Exchange<'_>, outbox: &mut Sender<Frame>, input: &mut BytesMut) -> Result<bool, Fault> {
    loop {
        pass(exchange, outbox, input).await;
        match more(exchange, std::mem::take(input), LARGE_FROM_BYTES).await? {
            Some(read) => *input = read,
            None => return Ok(false),
        }
    }
}

/// Bytes of the backend after its 101, until it closes.
async fn tunnel(exchange: &Exchange<'_>, outbox: &mut Sender<Frame>, mut input: BytesMut) -> Received {
    let buffers = &exchange.endpoint.shard.buffers;
    pass(exchange, outbox, &mut input).await;
    buffers.put(input);
    loop {
        match exchange.endpoint.idle_timeout() {
            Some(timeout) => exchange.slots.read.arm(timeout),
            None => exchange.slots.read.disarm(),
        }
        // No buffer is held while the tunnel is quiet.
        let quiet = exchange.slots.read.guard(exchange.stream.readable()).await;
        let fault = match quiet {
            Ok(Ok(())) => match exchange.stream.read(buffers.take()).await {
                (Ok(read), buffer) if read > 0 => {
                    send(outbox, Frame::Data(Chunk::Pooled(buffer))).await;
                    continue;
                }
                (Ok(_), buffer) => {
                    buffers.put(buffer);
                    send(outbox, Frame::End).await;
                    return LOST;
                }
                (Err(_), _) => Fault::new(Cause::BackendClosed),
            },
            Ok(Err(_)) => Fault::new(Cause::BackendClosed),
            Err(_) => Fault::new(Cause::BackendTimeout).detail("the tunnel was idle"),
        };
        send(outbox, Frame::Abort(fault)).await;
        return LOST;
    }
}

/// Hands the payload in `input` on, whole; `input` is left empty.
async fn pass(exchange: &Exchange<'_>, outbox: &mut Sender<Frame>, input: &mut BytesMut) {
    if !input.is_empty() {
        // The wait for room is the client's slowness, not the backend's: it does not count against the backend.
        exchange.slots.read.disarm();
        send(outbox, Frame::Data(Chunk::Pooled(std::mem::take(input)))).await;
    }
}

/// Reads behind what `input` holds. `None` at the end of the stream; `left` is what is known to be missing.
async fn more(exchange: &Exchange<'_>, mut input: BytesMut, left: u64) -> Result<Option<BytesMut>, Fault> {
    let buffers = &exchange.endpoint.shard.buffers;
    if input.capacity() == 0 {
        input = if left >= LARGE_FROM_BYTES { buffers.take_large() } else { buffers.take() };
    } else if input.len() == input.capacity() {
        input.reserve(input.capacity());
    }
    if let Some(timeout) = exchange.endpoint.read_timeout() {
        exchange.slots.read.arm(timeout);
    }
    match exchange.slots.read.guard(exchange.stream.read(input)).await {
        Ok((Ok(0) | Err(_), buffer)) => {
            buffers.put(buffer);
            Ok(None)
        }
        Ok((Ok(_), buffer)) => Ok(Some(buffer)),
        Err(_) => Err(Fault::new(Cause::BackendTimeout)),
    }
}
