//! One connection to the backend, and the exchanges that go over it one after another.
//!
//! ```text
//!            Open                     head sent                 response complete, request sent
//!   Idle ───────────▶ Sending ───────────────────▶ Receiving ───────────────────────────────────▶ Idle
//!    │ readable: the backend closed, or sent something unasked                │ anything else
//!    ▼                                                                        ▼
//!   ended                                                                   ended
//! ```
//!
//! The wait for readability that is armed while the lane idles is the one that the next response ends: an idle connection is
//! watched at no cost per exchange.

use std::fmt::Write;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use bytes::BytesMut;
use ringway_contract::{Cause, Chunk, Fault, Frame, LaneEnd, Request, Retry};
use ringway_net::{Slot, Stream};
use ringway_ring::Receiver;
use ringway_wire::{Connection, Framing, Known, RequestHead, TargetParts, chunk};

use super::backend;
use super::endpoint::HttpProxy;
use super::response;

/// Serves exchanges until the connection cannot be used again.
pub async fn serve(endpoint: Rc<HttpProxy>, mut end: LaneEnd) {
    let Frame::Open(request) = end.recv().await else { return };
    let stream = match backend::connect(&endpoint, &endpoint.target).await {
        Ok(stream) => stream,
        Err(fault) => {
            end.send(Frame::Fail(request, fault)).await;
            return;
        }
    };
    let slots = Slots { read: endpoint.shard.timers.slot(), write: endpoint.shard.timers.slot() };
    let mut exchange = Exchange { endpoint: &endpoint, stream: &stream, slots: &slots, reused: false, authority: String::new() };
    let mut first = Some(request);
    loop {
        let mut readable = pin!(stream.readable());
        let request = match first.take() {
            Some(request) => request,
            None => match next(&mut end, readable.as_mut()).await {
                Some(request) => request,
                None => break,
            },
        };
        if !exchange.run(&mut end, readable, request).await {
            break;
        }
        exchange.reused = true;
    }
    stream.abort();
}

/// What follows a chunk's data.
const CHUNK_TAIL: &[u8] = b"\r\n";

/// Deadlines of the lane.
pub struct Slots {
    /// Of the backend's silence.
    pub read: Slot,
    /// Of its not taking anything.
    pub write: Slot,
}

/// Waits for the next exchange; `None` when the backend closed or babbled first.
async fn next(end: &mut LaneEnd, mut readable: Pin<&mut impl Future>) -> Option<Box<Request>> {
    poll_fn(|cx| {
        // The backend first: a lane that is asked whether it is fit must not take the exchange and then find out.
        if readable.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        match end.inbox.recv() {
            Some(Frame::Open(request)) => Poll::Ready(Some(request)),
            Some(_) => Poll::Ready(None),
            None => Poll::Pending,
        }
    })
    .await
}

/// What an exchange over this lane works with.
pub struct Exchange<'a> {
    /// The endpoint.
    pub endpoint: &'a HttpProxy,
    /// The connection.
    pub stream: &'a Stream,
    /// The lane's deadlines.
    pub slots: &'a Slots,
    /// Whether the connection has served an exchange before.
    pub reused: bool,
    /// Room for the client's `Host`, where it is passed on.
    pub authority: String,
}

impl Exchange<'_> {
    /// Runs one exchange; `true` when the connection may serve another.
    async fn run(&mut self, end: &mut LaneEnd, readable: Pin<&mut impl Future>, mut request: Box<Request>) -> bool {
        let framing = request.head.framing;
        let upgrade = request.head.upgrade;
        let expects = request.head.expect_continue;
        let mut out = self.endpoint.shard.buffers.take();
        self.encode(&mut request, framing, upgrade, &mut out);
        end.send(Frame::Ready).await;

        if framing == Framing::None && !upgrade {
            // The end of a request without a body is at hand: it was sent with its head.
            let _ = end.inbox.recv();
            match self.write(out).await {
                Ok(out) => self.endpoint.shard.buffers.put(out),
                Err(fault) => {
                    end.send(Frame::Fail(request, self.verdict(fault))).await;
                    return false;
                }
            }
            let received = response::receive(self, &mut end.outbox, readable, request).await;
            return received.reusable;
        }

        let LaneEnd { inbox, outbox } = end;
        let sent = std::cell::Cell::new(false);
        let mut sending = pin!(async {
            if !expects {
                // A client that has its body at hand gets it into the same segment as the head.
                pause().await;
            }
            let done = self.send(inbox, out, framing, upgrade).await.is_ok();
            sent.set(done);
        });
        let mut receiving = pin!(response::receive(self, outbox, readable, request));
        let mut over = false;
        let received = poll_fn(|cx| {
            over = over || sending.as_mut().poll(cx).is_ready();
            receiving.as_mut().poll(cx)
        })
        .await;
        // After a tunnel, or a response that came before the whole request was sent, the connection is in no known state.
        received.reusable && sent.get() && !upgrade
    }

    fn encode(&mut self, request: &mut Request, framing: Framing, upgrade: bool, out: &mut BytesMut) {
        for header in &self.endpoint.shared.headers {
            // Refused names and values were refused when the endpoint was built.
            let _ = request.head.fields.set(&header.name, header.value.as_bytes());
        }
        let head = &request.head;
        let host = if self.endpoint.shared.http.propagate_client_host {
            authority(head, &mut self.authority);
            &self.authority
        } else {
            &self.endpoint.target.authority
        };
        let connection = match (upgrade, self.endpoint.shared.http.keep_alive) {
            (true, _) => Connection::Upgrade(head.fields.known(Known::Upgrade).unwrap_or_default()),
            (false, true) => Connection::Keep,
            (false, false) => Connection::Close,
        };
        let target = TargetParts { prefix: &self.endpoint.target.base, path: request.rest(), query: head.query() };
        head.encode(&target, host, framing, connection, out);
    }

    /// Writes the head and then what comes over the ring: the body, and after a 101 the tunnel's bytes.
    async fn send(
        &self,
        inbox: &mut Receiver<Frame>,
        mut out: BytesMut,
        framing: Framing,
        upgrade: bool,
    ) -> Result<(), Fault> {
        let chunked = framing == Framing::Chunked;
        let mut body = true;
        let mut ended = false;
        let mut granted = 0;
        loop {
            let frame = match inbox.recv() {
                Some(frame) => frame,
                None => {
                    if !out.is_empty() {
                        out = self.write(out).await?;
                    }
                    inbox.grant(std::mem::take(&mut granted));
                    poll_fn(|_| inbox.recv().map_or(Poll::Pending, Poll::Ready)).await
                }
            };
            match frame {
                Frame::Data(piece) => {
                    let weight = piece.len();
                    out = self.append(out, piece, chunked && body).await?;
                    granted += weight;
                }
                Frame::Trailers(trailers) => {
                    chunk::last(Some(&trailers), &mut out);
                    ended = true;
                },
                Frame::End if body => {
                    if chunked && !ended {
                        chunk::last(None, &mut out);
                    }
                    if !upgrade {
                        if !out.is_empty() {
                            out = self.write(out).await?;
                        }
                        self.endpoint.shard.buffers.put(out);
                        inbox.grant(granted);
                        return Ok(());
                    }
                    body = false;
                }
                Frame::End => {
                    if !out.is_empty() {
                        out = self.write(out).await?;
                    }
                    self.endpoint.shard.buffers.put(out);
                    inbox.grant(granted);
                    let _ = self.stream.shutdown().await;
                    return Ok(());
                }
                _ => return Err(Fault::new(Cause::Internal)),
            }
        }
    }

    /// Adds a piece behind `out`; a large one leaves uncopied.
    async fn append(&self, mut out: BytesMut, piece: Chunk, chunked: bool) -> Result<BytesMut, Fault> {
        if chunked {
            chunk::head(piece.len() as u64, &mut out);
        }
        let small = out.len() + piece.len() + CHUNK_TAIL.len() <= out.capacity();
        if small {
            out.extend_from_slice(piece.as_slice());
            if let Chunk::Pooled(buffer) = piece {
                self.endpoint.shard.buffers.put(buffer);
            }
            if chunked {
                out.extend_from_slice(CHUNK_TAIL);
            }
            return Ok(out);
        }
        let tail: &'static [u8] = if chunked { CHUNK_TAIL } else { b"" };
        self.arm_write();
        let written = match piece {
            Chunk::Pooled(body) => {
                let written = self.slots.write.guard(self.stream.write_three(out, body, tail)).await;
                written.map(|(result, (out, body, _))| {
                    self.endpoint.shard.buffers.put(body);
                    (result, out)
                })
            }
            Chunk::Shared(body) => {
                let written = self.slots.write.guard(self.stream.write_three(out, body, tail)).await;
                written.map(|(result, (out, _, _))| (result, out))
            }
        };
        self.written(written)
    }

    async fn write(&self, out: BytesMut) -> Result<BytesMut, Fault> {
        self.arm_write();
        let written = self.slots.write.guard(self.stream.write(out)).await;
        self.written(written)
    }

    fn arm_write(&self) {
        if let Some(timeout) = self.endpoint.idle_timeout() {
            self.slots.write.arm(timeout);
        }
    }

    fn written<E>(&self, written: Result<(std::io::Result<()>, BytesMut), E>) -> Result<BytesMut, Fault> {
        self.slots.write.disarm();
        match written {
            Ok((Ok(()), mut out)) => {
                out.clear();
                Ok(out)
            }
            Ok((Err(_), _)) => Err(Fault::new(Cause::BackendClosed)),
            Err(_) => Err(Fault::new(Cause::BackendTimeout)),
        }
    }

    /// A kept connection that fails before any byte of a response was most likely closing when it was used.
    pub fn verdict(&self, fault: Fault) -> Fault {
        if self.reused && fault.cause == Cause::BackendClosed { fault.retry(Retry::Idempotent) } else { fault }
    }
}

/// The client's own name for the host, with the port that it named.
fn authority(head: &RequestHead, out: &mut String) {
    out.clear();
    out.push_str(head.host());
    if let Some(port) = head.port() {
        // Writing to a string cannot fail.
        let _ = write!(out, ":{port}");
    }
}

/// Lets the other half of the exchange run once.
async fn pause() {
    let mut paused = false;
    poll_fn(|_| {
        if std::mem::replace(&mut paused, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
