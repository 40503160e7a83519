//! Frames to a client: never masked (RFC 6455 section 5.1), and a message is always one frame.

use bytes::{BufMut, BytesMut};

use super::{CONTROL_BYTES_MAX, Kind, Opcode, close};

/// Bytes of a frame's head at most: two, and a length of 64 bits.
pub const HEAD_BYTES_MAX: usize = 10;

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;

/// What stands before a payload, so that the payload itself need not be copied.
///
/// ```text
///   FIN RSV1 RSV2 RSV3 opcode │ 0 length │ length of 16 or 64 bits, when the first says 126 or 127
///    1   1    1    1     4    │ 1   7    │ 0, 2 or 8 bytes
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FrameHead {
    bytes: [u8; HEAD_BYTES_MAX],
    len: u8,
}

impl FrameHead {
    /// The head of a frame with a payload of `payload_bytes`, which are less than 2^63. `last` is clear in all frames of a message
    /// but its last; `compressed` may be set in its first one only, and where compression was agreed (RFC 7692 section 6).
    #[must_use]
    pub fn new(opcode: Opcode, last: bool, compressed: bool, payload_bytes: u64) -> FrameHead {
        debug_assert!(payload_bytes >> 63 == 0, "a length has 63 bits");
        debug_assert!(!opcode.is_control() || (last && !compressed && payload_bytes <= CONTROL_BYTES_MAX as u64));
        debug_assert!(!compressed || opcode != Opcode::Continuation, "the first frame speaks for all");
        let mut bytes = [0; HEAD_BYTES_MAX];
        bytes[0] = opcode as u8 | if last { FIN } else { 0 } | if compressed { RSV1 } else { 0 };
        let len = match payload_bytes {
            0..126 => {
                bytes[1] = payload_bytes as u8;
                2
            }
            126..0x1_0000 => {
                bytes[1] = 126;
                bytes[2..4].copy_from_slice(&(payload_bytes as u16).to_be_bytes());
                4
            }
            _ => {
                bytes[1] = 127;
                bytes[2..10].copy_from_slice(&payload_bytes.to_be_bytes());
                10
            }
        };
        FrameHead { bytes, len }
    }
}

impl std::ops::Deref for FrameHead {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

/// Writes a whole message. What is `compressed` comes from a [`Deflater`](super::compression::Deflater).
pub fn message(kind: Kind, compressed: bool, payload: &[u8], out: &mut BytesMut) {
    let head = FrameHead::new(kind.into(), true, compressed, payload.len() as u64);
    out.reserve(head.len() + payload.len());
    out.extend_from_slice(&head);
    out.extend_from_slice(payload);
}

/// Writes a ping. Of the payload the first 125 bytes count.
pub fn ping(payload: &[u8], out: &mut BytesMut) {
    control(Opcode::Ping, payload, out);
}

/// Writes a pong; the answer to a ping has the same payload (RFC 6455 section 5.5.3).
pub fn pong(payload: &[u8], out: &mut BytesMut) {
    control(Opcode::Pong, payload, out);
}

/// Writes a close frame, the last that may be sent. A reason needs a code and is cut to what fits; a code that no frame may have is
/// left out with its reason.
pub fn close(code: Option<u16>, reason: &str, out: &mut BytesMut) {
    let Some(code) = code.filter(|code| close::may_be_sent(*code)) else {
        return control(Opcode::Close, &[], out);
    };
    let reason = reason.get(..reason.floor_char_boundary(close::REASON_BYTES_MAX)).unwrap_or_default();
    out.extend_from_slice(&FrameHead::new(Opcode::Close, true, false, 2 + reason.len() as u64));
    out.put_u16(code);
    out.extend_from_slice(reason.as_bytes());
}

fn control(opcode: Opcode, payload: &[u8], out: &mut BytesMut) {
    let payload = payload.get(..CONTROL_BYTES_MAX).unwrap_or(payload);
    out.extend_from_slice(&FrameHead::new(opcode, true, false, payload.len() as u64));
    out.extend_from_slice(payload);
}
