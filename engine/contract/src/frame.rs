//! What crosses the ring between entrypoint and endpoint.

use std::any::Any;
use std::fmt;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use ringway_wire::{Fields, ResponseHead};

use crate::{Fault, Request};

/// Payload bytes, owned: crossing the ring never copies them.
#[derive(Debug)]
pub enum Chunk {
    /// A buffer of the shard's pool; whoever consumes it gives it back there.
    Pooled(BytesMut),
    /// Bytes that are owned elsewhere (a broker's client library, a constant).
    Shared(Bytes),
}

impl Chunk {
    /// The payload.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Chunk::Pooled(bytes) => bytes,
            Chunk::Shared(bytes) => bytes,
        }
    }

    /// Bytes of payload.
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Whether there is no payload.
    pub fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    /// Drops the first `count` bytes of the payload.
    pub fn advance(&mut self, count: usize) {
        match self {
            Chunk::Pooled(bytes) => bytes.advance(count),
            Chunk::Shared(bytes) => bytes.advance(count),
        }
    }
}

/// One frame. An exchange over a lane is
///
/// ```text
///   carriage ──▶ lane   Open  Data*  Trailers?  End
///   carriage ◀── lane   Ready?  Interim*  Reply  Data*  Trailers?  End        (or Fail before Reply, or Abort after it)
///                       Ready?  Interim*  Reply (101)  Upgraded               and the lane has ended
/// ```
#[derive(Debug)]
pub enum Frame {
    /// The request. The lane keeps it until `Reply` or `Fail`.
    Open(Box<Request>),
    /// The lane has a connection: the body, if the request has one, may flow. Until then a failure leaves it unread, so the request can go
    /// elsewhere.
    Ready,
    /// An interim response (RFC 9110 section 15.2), but never 101.
    Interim(Box<ResponseHead>),
    /// The final response (or 101), and the request back.
    Reply(Box<Request>, Box<ResponseHead>),
    /// A piece of a body.
    Data(Chunk),
    /// The trailer section.
    Trailers(Box<Fields>),
    /// The body, and with it this direction of the exchange, is complete.
    End,
    /// No response: the request comes back and may be sent elsewhere if the fault says so.
    Fail(Box<Request>, Fault),
    /// The response broke off after its head.
    Abort(Fault),
    /// After a 101 and the end of the request: the connection itself. What follows on it is no exchange any more.
    Upgraded(Box<Upgraded>),
}

/// A backend connection that has left its lane, for the engine to relay. A lane holds rings and room for heads and bodies, which
/// a tunnel that idles for hours has no use for.
pub struct Upgraded {
    /// A stream of the crate that does the shard's input and output, which this crate does not know.
    pub connection: Box<dyn Any>,
    /// What the backend sent right behind its 101.
    pub early: BytesMut,
    /// The longest that neither side may say anything; `None` for any time.
    pub idle: Option<Duration>,
}

impl fmt::Debug for Upgraded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Upgraded").field("early", &self.early.len()).field("idle", &self.idle).finish()
    }
}

impl Frame {
    /// Bytes that the frame takes of a link's credit.
    pub fn weight(&self) -> usize {
        match self {
            Frame::Data(chunk) => chunk.len(),
            _ => 0,
        }
    }
}
