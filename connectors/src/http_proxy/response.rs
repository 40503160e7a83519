//! The backend's response, frame by frame.

use std::future::Future;
use std::pin::Pin;

use bytes::BytesMut;
use http::StatusCode;
use ringway_contract::lane::send;
use ringway_contract::{Cause, Fault, Frame, Request};
use ringway_net::Arrival;
use ringway_ring::Sender;
use ringway_wire::{Fields, Known, Parsed};

use super::body::{self, more};
use super::coding::{self, Gunzip};
use super::lane::{Exchange, Turn};
use super::redirect::{self, Moved};

/// Interim responses that one exchange may bring.
const INTERIM_MAX: usize = 16;

/// How receiving ended.
pub enum Received {
    /// The exchange is over.
    Done {
        /// Whether the connection is at the beginning of the next response.
        reusable: bool,
    },
    /// A redirect that is to be followed; nothing of it was sent on.
    Moved(Box<Moved>),
    /// The backend speaks another protocol from here on; what it said of it already.
    Upgraded(BytesMut),
}

/// The exchange is over, and the connection with it.
pub const LOST: Received = Received::Done { reusable: false };

/// Receives one response and sends it on, from `Reply` (or `Fail`) to `End` (or `Abort`); of a 101 the `Reply`.
pub async fn receive(
    exchange: &Exchange<'_>,
    outbox: &mut Sender<Frame>,
    readable: Pin<&mut impl Future<Output = Arrival>>,
    request: Box<Request>,
) -> Received {
    let endpoint = exchange.endpoint;
    let buffers = &endpoint.shard.buffers;
    let mut input = BytesMut::new();
    let mut interims = 0;
    let mut begun = false;
    exchange.arm_read();
    let mut arrived = match exchange.kept.read.guard(readable).await {
        Ok(Arrival::Ready) => None,
        Ok(Arrival::Read(result, buffer)) => Some(body::taken(exchange, result, buffer)),
        Err(_) => return fail(outbox, request, Fault::new(Cause::BackendTimeout)).await,
    };
    // Now, and not before the wait: the one that came back last is the warmest.
    let mut head = endpoint.responses.take();
    loop {
        let read = match arrived.take() {
            Some(read) => read,
            None => more(exchange, std::mem::take(&mut input), 0).await,
        };
        let fault = match read {
            Ok(Some(read)) => {
                input = read;
                None
            }
            Ok(None) => Some(exchange.closed()),
            Err(fault) => Some(fault),
        };
        if let Some(fault) = fault {
            return fail(outbox, request, if begun { fault } else { exchange.verdict(fault) }).await;
        }
        begun = true;
        loop {
            match head.parse(&mut input, &endpoint.limits, &request.head.method) {
                Ok(Parsed::Partial) => break,
                Ok(Parsed::Complete) if head.status == StatusCode::SWITCHING_PROTOCOLS => {
                    if !request.head.upgrade || !head.upgrade || !is_offered(&request.head.fields, &head.fields) {
                        let fault =
                            Fault::new(Cause::BackendInvalid).detail("101 to a protocol that was not asked for");
                        return fail(outbox, request, fault).await;
                    }
                    send(outbox, Frame::Reply(request, head)).await;
                    exchange.kept.read.disarm();
                    return Received::Upgraded(input);
                }
                Ok(Parsed::Complete) if head.status.is_informational() => {
                    interims += 1;
                    if interims > INTERIM_MAX {
                        let fault = Fault::new(Cause::BackendInvalid).detail("too many interim responses");
                        return fail(outbox, request, fault).await;
                    }
                    if head.status == StatusCode::CONTINUE {
                        exchange.pass_turn(&[Turn::Continue], Turn::Client);
                    }
                    send(outbox, Frame::Interim(std::mem::replace(&mut head, endpoint.responses.take()))).await;
                }
                Ok(Parsed::Complete) => {
                    let framing = head.framing;
                    let persistent = head.persistent && endpoint.shared.http.keep_alive && exchange.is_whole();
                    if exchange.follows.get()
                        && let Some(to) = redirect::located(exchange, &request, &head)
                    {
                        let reusable = persistent && body::drain(exchange, &mut input, framing).await;
                        exchange.kept.read.disarm();
                        buffers.put(input);
                        head.clear();
                        endpoint.responses.put(head);
                        return Received::Moved(Box::new(Moved { request, to, reusable }));
                    }
                    if is_event_stream(&head.fields) {
                        exchange.silence.set(endpoint.idle_timeout());
                    }
                    if exchange.undoes.get() && coding::undo(&request.head.method, &mut head) {
                        exchange.gunzip.set(Some(Gunzip::new()));
                    }
                    send(outbox, Frame::Reply(request, head)).await;
                    let complete = body::relay(exchange, outbox, &mut input, framing).await;
                    exchange.kept.read.disarm();
                    let rest = input.len();
                    buffers.put(input);
                    // Bytes behind a complete response are nobody's: the connection is not to be trusted.
                    return Received::Done { reusable: complete && persistent && rest == 0 };
                }
                Err(rejection) => {
                    let fault = Fault::new(Cause::BackendInvalid).detail(rejection.message());
                    return fail(outbox, request, fault).await;
                }
            }
        }
    }
}

async fn fail(outbox: &mut Sender<Frame>, request: Box<Request>, fault: Fault) -> Received {
    send(outbox, Frame::Fail(request, fault)).await;
    LOST
}

/// Whether the client asked for every protocol that the backend switches to (RFC 9110 section 7.8).
fn is_offered(request: &Fields, response: &Fields) -> bool {
    let protocols = |line: &'_ [u8]| -> Vec<Vec<u8>> {
        line.split(|byte| *byte == b',').map(|protocol| protocol.trim_ascii().to_ascii_lowercase()).collect()
    };
    let offered: Vec<_> = request.known_all(Known::Upgrade).flat_map(protocols).collect();
    response.known_all(Known::Upgrade).flat_map(protocols).all(|chosen| offered.contains(&chosen))
}

/// Events may be far apart: their silence is that of an idle connection, not that of a backend that does not answer.
fn is_event_stream(fields: &Fields) -> bool {
    const TYPE: &[u8] = b"text/event-stream";
    fields
        .known(Known::ContentType)
        .and_then(|value| value.get(..TYPE.len()))
        .is_some_and(|kind| kind.eq_ignore_ascii_case(TYPE))
}
