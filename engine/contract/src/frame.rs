//! What crosses the ring between entrypoint and endpoint.

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
/// ```
#[derive(Debug)]
pub enum Frame {
    /// The request. The lane keeps it until `Reply` or `Fail`.
    Open(Box<Request>),
    /// The lane has a connection: the body may flow. Until then a failure leaves the body unread, so the request can go elsewhere.
    Ready,
    /// An interim response (RFC 9110 section 15.2), but never 101.
    Interim(Box<ResponseHead>),
    /// The final response (or 101), and the request back.
    Reply(Box<Request>, Box<ResponseHead>),
    /// A piece of a body, or of a tunnel after 101.
    Data(Chunk),
    /// The trailer section.
    Trailers(Box<Fields>),
    /// The body, and with it this direction of the exchange, is complete.
    End,
    /// No response: the request comes back and may be sent elsewhere if the fault says so.
    Fail(Box<Request>, Fault),
    /// The response broke off after its head.
    Abort(Fault),
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
