//! Messages as frames.

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};
use ringway_contract::{Message, Origin, Render};
use ringway_wire::websocket::compression::{Agreement, Deflater};
use ringway_wire::websocket::{Kind, encode};

use super::FrameType;

/// Messages of fewer bytes are not compressed by themselves: nothing would be saved.
const COMPRESSED_BYTES_MIN: usize = 64;
/// Room for a compressed message that is kept from one to the next.
const SCRATCH_BYTES_KEPT_MAX: usize = 64 * 1024;

const CONTENT_TYPE: &str = "Content-Type";
const OCTET_STREAM: &str = "application/octet-stream";

/// The header of a message that came as a binary frame. Bytes may be UTF-8 by chance, and every broker carries a content type.
pub const BINARY: (Bytes, Bytes) =
    (Bytes::from_static(CONTENT_TYPE.as_bytes()), Bytes::from_static(OCTET_STREAM.as_bytes()));

/// Renders each message as one frame.
pub struct Frames {
    frame_type: FrameType,
    level: u32,
    agreement: Option<Agreement>,
    deflating: RefCell<Option<Deflating>>,
}

struct Deflating {
    deflater: Deflater,
    scratch: Vec<u8>,
}

impl Frames {
    /// As agreed with a client, or with all that agreed on the same.
    pub fn new(frame_type: FrameType, agreement: Option<Agreement>, level: u32) -> Self {
        let deflating =
            agreement.map(|agreement| Deflating { deflater: Deflater::new(&agreement, level), scratch: Vec::new() });
        Self { frame_type, level, agreement, deflating: RefCell::new(deflating) }
    }

    fn takes_over(&self) -> bool {
        self.agreement.is_some_and(|agreement| !agreement.server_no_context_takeover)
    }

    fn kind(&self, message: &Message) -> Kind {
        let content = &*message.content;
        match self.frame_type {
            FrameType::Auto if is_binary(message) => Kind::Binary,
            FrameType::Auto if content.is_ascii() || std::str::from_utf8(content).is_ok() => Kind::Text,
            FrameType::Auto | FrameType::Binary => Kind::Binary,
        }
    }

    /// Writes a compressed frame, if that is worth it.
    fn compressed(&self, kind: Kind, content: &[u8], out: &mut BytesMut) -> bool {
        let mut place = self.deflating.borrow_mut();
        let Some(Deflating { deflater, scratch }) = &mut *place else { return false };
        if content.len() < COMPRESSED_BYTES_MIN && !self.takes_over() {
            return false;
        }
        scratch.clear();
        if deflater.deflate(content, scratch).is_err() {
            // The client knows nothing of what was lost: whatever follows is sent as it is.
            *place = None;
            return false;
        }
        // What others will refer back to must be sent.
        let worth = scratch.len() < content.len() || self.takes_over();
        if worth {
            encode::message(kind, true, scratch, out);
        }
        scratch.shrink_to(SCRATCH_BYTES_KEPT_MAX);
        worth
    }
}

impl Render for Frames {
    fn format(&self) -> Option<u64> {
        if self.takes_over() {
            return None;
        }
        let bits = self.agreement.map_or(0, |agreement| u64::from(agreement.server_max_window_bits));
        // The first two bytes tell the entrypoint, so that no other's format is the same.
        Some(0x5753_0000 | u64::from(self.level) << 8 | bits << 4 | self.frame_type as u64)
    }

    fn render(&self, message: &Message, _origin: &dyn Origin, out: &mut BytesMut) {
        let content = &*message.content;
        let kind = self.kind(message);
        if !self.compressed(kind, content, out) {
            encode::message(kind, false, content, out);
        }
    }
}

/// Whether a message says of itself that it is bytes, with whatever parameters (RFC 2046 section 4.5.1).
fn is_binary(message: &Message) -> bool {
    let said = message.header(CONTENT_TYPE).and_then(|said| said.split(|byte| *byte == b';').next());
    said.is_some_and(|said| said.trim_ascii().eq_ignore_ascii_case(OCTET_STREAM.as_bytes()))
}
