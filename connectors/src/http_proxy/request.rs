//! The request on its way to the backend.

use std::fmt::Write;
use std::future::{Future, poll_fn};
use std::io;
use std::task::Poll;

use bytes::BytesMut;
use futures_util::FutureExt;
use futures_util::future::Either;
use ringway_contract::{Cause, Chunk, Fault, Frame, Request};
use ringway_net::{Elapsed, POST_BYTES_MAX, Pace};
use ringway_ring::Receiver;
use ringway_wire::{Connection, Framing, Known, TargetParts, chunk};

use super::endpoint::HttpProxy;
use super::lane::{Exchange, Turn};

/// What follows a chunk's data.
const CHUNK_TAIL: &[u8] = b"\r\n";

/// Writes the head of a request to the endpoint's own target.
pub fn encode(exchange: &Exchange<'_>, request: &mut Request, out: &mut BytesMut) {
    let endpoint = exchange.endpoint;
    exchange.undoes.set(endpoint.codings.ask(&mut request.head));
    for name in &endpoint.headers.names {
        request.head.fields.remove(name);
    }
    let mut authority = exchange.kept.authority.take();
    let head = &request.head;
    let connection = match (head.upgrade, endpoint.shared.http.keep_alive) {
        (true, _) => Connection::Upgrade(head.fields.known(Known::Upgrade).unwrap_or_default()),
        (false, true) => Connection::Keep,
        (false, false) => Connection::Close,
    };
    let target = TargetParts { prefix: &endpoint.target.base, path: request.rest(), query: head.query() };
    head.encode(&target, host(endpoint, request, &mut authority), head.framing, connection, out);
    endpoint.headers.append_to(request.set.as_deref(), out);
    if exchange.undoes.get() {
        endpoint.codings.append_to(out);
    }
    exchange.kept.authority.set(authority);
}

/// `Host` of a request to the endpoint's own target; `room` is for the client's.
pub fn host<'a>(endpoint: &'a HttpProxy, request: &'a Request, room: &'a mut String) -> &'a str {
    let head = &request.head;
    if let Some(host) = endpoint.headers.host(request.set.as_deref()) {
        return host;
    }
    if !endpoint.shared.http.propagate_client_host || head.host().is_empty() {
        return &endpoint.target.authority;
    }
    room.clear();
    room.push_str(head.host());
    if let Some(port) = head.port() {
        // Writing to a string cannot fail.
        let _ = write!(room, ":{port}");
    }
    room
}

/// Writes the head of a request without a body, for [`has_sent`]. A small one takes no time: the connection has nothing else to send.
pub fn send_head(exchange: &Exchange<'_>, out: BytesMut) -> impl Future<Output = Result<BytesMut, Fault>> {
    match out.len() {
        ..=POST_BYTES_MAX => Either::Left(exchange.stream.write(out).map(|written| has_written(Ok(written)))),
        _ => Either::Right(write(exchange, out)),
    }
}

/// The head is written, or it is not.
pub fn has_sent(exchange: &Exchange<'_>, written: Result<BytesMut, Fault>) {
    match written {
        Ok(out) => exchange.endpoint.shard.buffers.put(out),
        Err(fault) => exchange.give_up_sending(fault),
    }
}

/// Writes the head and then what comes over the ring. Credit goes back when the bytes have left, so a slow backend slows its
/// client.
pub async fn send(
    exchange: &Exchange<'_>,
    inbox: &mut Receiver<Frame>,
    mut out: BytesMut,
    framing: Framing,
) -> Result<(), Fault> {
    let mut body = Body::new(framing);
    loop {
        let frame = match inbox.recv() {
            Some(frame) => frame,
            None => {
                out = write(exchange, out).await?;
                inbox.grant(inbox.owed());
                poll_fn(|_| inbox.recv().map_or(Poll::Pending, Poll::Ready)).await
            }
        };
        match frame {
            Frame::Data(piece) => {
                exchange.pass_turn(&[Turn::Continue], Turn::Client);
                body.count(piece.len())?;
                out = append(exchange, out, piece, body.is_chunked()).await?;
                if out.is_empty() {
                    inbox.grant(inbox.owed());
                }
            }
            Frame::Trailers(trailers) => {
                if body.is_chunked() {
                    chunk::last(Some(&trailers), &mut out);
                    body.ends_written = true;
                }
            }
            Frame::End => {
                if body.is_chunked() && !body.ends_written {
                    chunk::last(None, &mut out);
                }
                body.end()?;
                out = write(exchange, out).await?;
                inbox.grant(inbox.owed());
                exchange.endpoint.shard.buffers.put(out);
                exchange.pass_turn(&[Turn::Continue, Turn::Client], Turn::Backend);
                return Ok(());
            }
            _ => return Err(Fault::new(Cause::Internal).detail("a frame that no request has")),
        }
    }
}

/// How far the body is. What was announced is what is sent, whatever comes over the ring: the backend would take a difference for
/// another request.
struct Body {
    framing: Framing,
    /// Bytes still to come of a body with a length.
    left: u64,
    /// The last chunk is written.
    ends_written: bool,
}

impl Body {
    fn new(framing: Framing) -> Self {
        let left = if let Framing::Length(left) = framing { left } else { 0 };
        Self { framing, left, ends_written: false }
    }

    fn is_chunked(&self) -> bool {
        self.framing == Framing::Chunked
    }

    fn count(&mut self, bytes: usize) -> Result<(), Fault> {
        if self.is_chunked() && !self.ends_written {
            return Ok(());
        }
        match self.left.checked_sub(bytes as u64) {
            Some(left) => self.left = left,
            None => return Err(Fault::new(Cause::Internal).detail("a longer body than announced")),
        }
        Ok(())
    }

    fn end(&self) -> Result<(), Fault> {
        if self.left == 0 { Ok(()) } else { Err(Fault::new(Cause::Internal).detail("a shorter body than announced")) }
    }
}

/// Adds a piece behind `out`; a large one leaves uncopied, together with it.
async fn append(exchange: &Exchange<'_>, mut out: BytesMut, piece: Chunk, chunked: bool) -> Result<BytesMut, Fault> {
    let buffers = &exchange.endpoint.shard.buffers;
    // A chunk of nothing would be the last one.
    if piece.is_empty() {
        if let Chunk::Pooled(buffer) = piece {
            buffers.put(buffer);
        }
        return Ok(out);
    }
    if chunked {
        chunk::head(piece.len() as u64, &mut out);
    }
    if out.len() + piece.len() + CHUNK_TAIL.len() <= out.capacity() {
        out.extend_from_slice(piece.as_slice());
        if let Chunk::Pooled(buffer) = piece {
            buffers.put(buffer);
        }
        if chunked {
            out.extend_from_slice(CHUNK_TAIL);
        }
        return Ok(out);
    }
    let tail = if chunked { CHUNK_TAIL } else { b"" };
    let bytes = out.len() + piece.len() + tail.len();
    let stream = exchange.stream;
    let written = match piece {
        Chunk::Pooled(body) => {
            let written = paced(exchange, bytes, || stream.write_three(out, body, tail)).await;
            written.map(|(result, (out, body, _))| {
                buffers.put(body);
                (result, out)
            })
        }
        Chunk::Shared(body) => {
            let written = paced(exchange, bytes, || stream.write_three(out, body, tail)).await;
            written.map(|(result, (out, _, _))| (result, out))
        }
    };
    has_written(written)
}

/// Writes what was gathered.
async fn write(exchange: &Exchange<'_>, out: BytesMut) -> Result<BytesMut, Fault> {
    if out.is_empty() {
        return Ok(out);
    }
    let bytes = out.len();
    has_written(paced(exchange, bytes, || exchange.stream.write(out)).await)
}

/// Waits for a write, as long as the backend takes something now and then: how fast is the client's affair, which has to bring it.
async fn paced<F: Future>(
    exchange: &Exchange<'_>,
    bytes: usize,
    write: impl FnOnce() -> F,
) -> Result<F::Output, Elapsed> {
    match exchange.endpoint.idle_timeout() {
        Some(silence) => Pace::new(0, silence).keep(&exchange.kept.write, exchange.stream, bytes, write).await,
        None => Ok(write().await),
    }
}

fn has_written(written: Result<(io::Result<()>, BytesMut), Elapsed>) -> Result<BytesMut, Fault> {
    match written {
        Ok((Ok(()), mut out)) => {
            out.clear();
            Ok(out)
        }
        Ok((Err(_), _)) => Err(Fault::new(Cause::BackendClosed)),
        Err(_) => Err(Fault::new(Cause::BackendTimeout).detail("the backend takes nothing of the request")),
    }
}
