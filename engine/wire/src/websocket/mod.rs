//! WebSocket (RFC 6455) with message compression (RFC 7692): the server's side, without I/O.
//!
//! ```text
//!  request ──▶ handshake::Opening::read ──▶ protocol(), compression() ──▶ answer ──▶ 101
//!  client  ──▶ Decoder::decode ──▶ Event::{Message, Ping, Pong, Close}   or a Violation with its close code
//!  client  ◀── encode::{message, ping, pong, close}, FrameHead ◀── compression::Deflater
//! ```
//!
//! Who calls owns the connection, the clock and the manners: it answers a ping, echoes a close, sends the code of a
//! [`Violation`] before it closes, and gives up on a peer that is silent.

pub mod close;
pub mod compression;
mod decode;
pub mod encode;
pub(crate) mod fuzz;
pub mod handshake;
mod mask;
mod offer;
mod violation;

pub use close::Close;
pub use decode::{Control, Decoder, Event};
pub use encode::FrameHead;
pub use violation::Violation;

/// The largest payload of a control frame (RFC 6455 section 5.5).
pub const CONTROL_BYTES_MAX: usize = 125;

/// What a message is made of (RFC 6455 section 5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// Any bytes.
    Binary,
}

/// What a frame is (RFC 6455 section 5.2). The other ten numbers are reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Opcode {
    /// A further piece of the message that has begun.
    Continuation = 0,
    /// Text, or its first piece.
    Text = 1,
    /// Bytes, or their first piece.
    Binary = 2,
    /// The last frame of its sender.
    Close = 8,
    /// To be answered by a pong with the same payload.
    Ping = 9,
    /// The answer to a ping, or a sign of life.
    Pong = 10,
}

impl Opcode {
    /// The opcode of this number.
    #[must_use]
    pub fn of(number: u8) -> Option<Opcode> {
        Some(match number {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            _ => return None,
        })
    }

    /// Whether the frame speaks of the connection and may stand in the middle of a message.
    #[must_use]
    pub fn is_control(self) -> bool {
        self as u8 & 8 != 0
    }
}

impl From<Kind> for Opcode {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Text => Opcode::Text,
            Kind::Binary => Opcode::Binary,
        }
    }
}
