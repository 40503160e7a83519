//! The decoder: frames of a client in, messages and control frames out.

use bytes::{Buf, Bytes, BytesMut};

use super::compression::{Agreement, Inflater};
use super::{CONTROL_BYTES_MAX, Close, Kind, Opcode, Violation, mask};

/// Payloads of fewer bytes are copied to memory of their own. A larger one that has come whole stays where it is and holds the buffer
/// that it was received in, which for small ones would be many times their size.
const SHARED_BYTES_MIN: usize = 1024;

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const RSV2_RSV3: u8 = 0x30;
const OPCODE: u8 = 0x0f;
const MASKED: u8 = 0x80;

/// What has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A whole message, unmasked, joined and inflated.
    Message {
        /// Whether it is text, whose payload is UTF-8 then.
        kind: Kind,
        /// At most as many bytes as the decoder's limit.
        payload: Bytes,
    },
    /// To be answered by a pong with the same payload, in the middle of a message, too.
    Ping(Control),
    /// An answer to a ping, or a sign of life that nobody asked for (RFC 6455 section 5.5.3).
    Pong(Control),
    /// The client's last frame: it is to be answered by a close frame, unless one was sent before.
    Close(Close),
}

/// The payload of a ping or pong: at most 125 bytes, kept in place.
#[derive(Clone, Copy)]
pub struct Control {
    bytes: [u8; CONTROL_BYTES_MAX],
    len: u8,
}

impl std::ops::Deref for Control {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl PartialEq for Control {
    fn eq(&self, other: &Control) -> bool {
        **self == **other
    }
}

impl Eq for Control {}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(&**self, f)
    }
}

/// Reads the frames of one client. What comes out does not depend on how the bytes are cut into calls.
///
/// ```text
///        ┌─────────── control frame, whole ──────────┐   close ──▶ ended: nothing more is read
///        ▼                                           │
///      head ──── head of a data frame ──▶ payload ───┤   violation ──▶ failed: the same answer for ever
///        ▲                                           │
///        └── end of the frame ◀──────────────────────┘
/// ```
///
/// Of a message that comes in pieces only what has come is kept: unmasked, inflated, and checked so far. It takes at most
/// the limit for messages, and memory grows with what arrives, not with what a head announces.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    /// Bytes of payload that are still to come in this frame.
    remaining: u64,
    /// The masking key, turned so that its first byte meets the next one of the payload.
    key: [u8; 4],
    message: Message,
    message_bytes_max: usize,
    inflater: Option<Box<Inflater>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    /// In the payload of a data frame; whether it is the message's last one.
    Payload {
        last: bool,
    },
    Ended,
    Failed(Violation),
}

/// The message that has begun.
#[derive(Debug, Default)]
struct Message {
    /// `None` between messages.
    kind: Option<Kind>,
    compressed: bool,
    /// What has come before.
    gathered: Vec<u8>,
    /// Bytes of `gathered` that were found to be UTF-8: all but the begin of a character.
    checked: usize,
}

/// What the head of a frame says.
#[derive(Clone, Copy, Debug)]
struct Head {
    opcode: Opcode,
    last: bool,
    compressed: bool,
    payload_bytes: u64,
    key: [u8; 4],
    /// Of the head itself.
    bytes: usize,
}

impl Decoder {
    /// A decoder for messages of at most `message_bytes_max` bytes, after inflating. Without an agreement about compression,
    /// compressed messages are refused.
    #[must_use]
    pub fn new(message_bytes_max: usize, compression: Option<&Agreement>) -> Self {
        Decoder {
            state: State::Head,
            remaining: 0,
            key: [0; 4],
            message: Message::default(),
            message_bytes_max,
            inflater: compression.map(|agreement| Box::new(Inflater::new(agreement))),
        }
    }

    /// Takes the next message or control frame out of `input`. `None` asks for more bytes behind what is left there, which is at
    /// most the head of a frame or a control frame. After a close frame everything is dropped unread (RFC 6455 section 1.4).
    ///
    /// # Errors
    /// When the client breaks a rule; then it does so in every later call.
    #[inline]
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Event>, Violation> {
        let event = self.advance(input);
        if let Err(violation) = event {
            self.fail(violation);
            input.clear();
        }
        event
    }

    /// Whether a message has begun and not ended.
    #[must_use]
    pub fn is_within_message(&self) -> bool {
        self.message.kind.is_some()
    }

    fn advance(&mut self, input: &mut BytesMut) -> Result<Option<Event>, Violation> {
        loop {
            match self.state {
                State::Head => {
                    let Some(head) = self.head(input)? else { return Ok(None) };
                    if head.opcode.is_control() {
                        return self.control(&head, input);
                    }
                    input.advance(head.bytes);
                    self.begin(&head);
                }
                State::Payload { last } => {
                    let bytes = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(input.len());
                    if bytes == 0 && self.remaining > 0 {
                        return Ok(None);
                    }
                    self.remaining -= bytes as u64;
                    let ends = last && self.remaining == 0;
                    let payload = self.payload(bytes, ends, input)?;
                    if self.remaining == 0 {
                        self.state = State::Head;
                    }
                    if let Some(payload) = payload {
                        let kind = self.message.kind.take().unwrap_or(Kind::Binary);
                        return Ok(Some(Event::Message { kind, payload }));
                    }
                }
                State::Ended => {
                    input.clear();
                    return Ok(None);
                }
                State::Failed(violation) => return Err(violation),
            }
        }
    }

    /// Reads a head. Each byte is judged as soon as it is there, not when all are.
    #[inline]
    fn head(&self, input: &[u8]) -> Result<Option<Head>, Violation> {
        let Some(first) = input.first() else { return Ok(None) };
        let (opcode, last, compressed) = self.first(*first)?;
        let Some(second) = input.get(1) else { return Ok(None) };
        if second & MASKED == 0 {
            return Err(Violation::Unmasked);
        }
        let short = second & !MASKED;
        if opcode.is_control() && usize::from(short) > CONTROL_BYTES_MAX {
            return Err(Violation::ControlLength);
        }
        let rest = input.get(2..).unwrap_or_default();
        let (payload_bytes, rest) = match short {
            126 => {
                let Some((length, rest)) = rest.split_first_chunk() else { return Ok(None) };
                let length = u64::from(u16::from_be_bytes(*length));
                if length < 126 {
                    return Err(Violation::LongForm);
                }
                (length, rest)
            }
            127 => {
                let Some((length, rest)) = rest.split_first_chunk() else { return Ok(None) };
                let length = u64::from_be_bytes(*length);
                if length >> 63 != 0 {
                    return Err(Violation::LengthSign);
                }
                if length <= u64::from(u16::MAX) {
                    return Err(Violation::LongForm);
                }
                (length, rest)
            }
            short => (u64::from(short), rest),
        };
        // What is compressed takes no memory as it is; what it inflates to is counted when it does.
        let compressed_message = compressed || (opcode == Opcode::Continuation && self.message.compressed);
        if !opcode.is_control() && !compressed_message {
            let room = self.message_bytes_max.saturating_sub(self.message.gathered.len());
            if payload_bytes > room as u64 {
                return Err(Violation::TooBig);
            }
        }
        let Some((key, rest)) = rest.split_first_chunk() else { return Ok(None) };
        Ok(Some(Head { opcode, last, compressed, payload_bytes, key: *key, bytes: input.len() - rest.len() }))
    }

    /// The first byte of a head: opcode, whether the frame is the last of its message, whether the message is compressed.
    #[inline]
    fn first(&self, byte: u8) -> Result<(Opcode, bool, bool), Violation> {
        let (last, compressed) = (byte & FIN != 0, byte & RSV1 != 0);
        if byte & RSV2_RSV3 != 0 || (compressed && self.inflater.is_none()) {
            return Err(Violation::ReservedBit);
        }
        let opcode = Opcode::of(byte & OPCODE).ok_or(Violation::ReservedOpcode)?;
        match opcode {
            // RFC 7692 section 6.1: only the first frame of a message may have the bit.
            Opcode::Continuation | Opcode::Close | Opcode::Ping | Opcode::Pong if compressed => {
                Err(Violation::ReservedBit)
            }
            Opcode::Close | Opcode::Ping | Opcode::Pong if !last => Err(Violation::ControlFragment),
            Opcode::Continuation if self.message.kind.is_none() => Err(Violation::NothingToContinue),
            Opcode::Text | Opcode::Binary if self.message.kind.is_some() => Err(Violation::Interleaved),
            _ => Ok((opcode, last, compressed)),
        }
    }

    fn begin(&mut self, head: &Head) {
        let kind = match head.opcode {
            Opcode::Text => Some(Kind::Text),
            Opcode::Binary => Some(Kind::Binary),
            _ => None,
        };
        if kind.is_some() {
            self.message.kind = kind;
            self.message.compressed = head.compressed;
        }
        self.remaining = head.payload_bytes;
        self.key = head.key;
        self.state = State::Payload { last: head.last };
    }

    /// A control frame, once it is there as a whole.
    fn control(&mut self, head: &Head, input: &mut BytesMut) -> Result<Option<Event>, Violation> {
        // At most 125: the head was judged.
        let payload_bytes = head.payload_bytes as usize;
        if input.len() < head.bytes + payload_bytes {
            return Ok(None);
        }
        input.advance(head.bytes);
        let mut control = Control { bytes: [0; CONTROL_BYTES_MAX], len: payload_bytes as u8 };
        let mut key = head.key;
        if let (Some(room), Some(payload)) = (control.bytes.get_mut(..payload_bytes), input.get(..payload_bytes)) {
            room.copy_from_slice(payload);
            mask::apply(&mut key, room);
        }
        input.advance(payload_bytes);
        Ok(Some(match head.opcode {
            Opcode::Ping => Event::Ping(control),
            Opcode::Pong => Event::Pong(control),
            _ => {
                let close = Close::read(&control)?;
                self.state = State::Ended;
                self.message = Message::default();
                self.inflater = None;
                Event::Close(close)
            }
        }))
    }

    /// Takes `bytes` of payload. Returns the whole message if they end it.
    fn payload(&mut self, bytes: usize, ends: bool, input: &mut BytesMut) -> Result<Option<Bytes>, Violation> {
        let Some(piece) = input.get_mut(..bytes) else { return Ok(None) };
        mask::apply(&mut self.key, piece);
        let message = &mut self.message;
        if message.compressed {
            let Some(inflater) = &mut self.inflater else { return Err(Violation::ReservedBit) };
            let limit = self.message_bytes_max;
            let mut inflated = inflater.inflate(piece, &mut message.gathered, limit);
            if ends && inflated.is_ok() {
                inflated = inflater.end(&mut message.gathered, limit);
            }
            // What came out before the fault is judged first: it has come first.
            message.check(ends && inflated.is_ok())?;
            inflated?;
            input.advance(bytes);
            return Ok(ends.then(|| message.take()));
        }
        if ends && message.gathered.is_empty() {
            // The message lies in the input as a whole, and nearly all do.
            if message.kind == Some(Kind::Text) && !is_text(piece) {
                return Err(Violation::NotUtf8);
            }
            if bytes >= SHARED_BYTES_MIN {
                return Ok(Some(input.split_to(bytes).freeze()));
            }
            let payload = Bytes::copy_from_slice(piece);
            input.advance(bytes);
            return Ok(Some(payload));
        }
        message.gather(piece, self.message_bytes_max);
        message.check(ends)?;
        input.advance(bytes);
        Ok(ends.then(|| message.take()))
    }

    #[cold]
    fn fail(&mut self, violation: Violation) {
        self.state = State::Failed(violation);
        self.message = Message::default();
        self.inflater = None;
    }
}

/// Most texts are JSON and that is mostly ASCII, which is told in a third of the time.
#[inline]
fn is_text(bytes: &[u8]) -> bool {
    bytes.is_ascii() || simdutf8::basic::from_utf8(bytes).is_ok()
}

impl Message {
    /// Appends a piece. The memory doubles until the limit, which the head was held to.
    fn gather(&mut self, piece: &[u8], bytes_max: usize) {
        let needed = self.gathered.len() + piece.len();
        if needed > self.gathered.capacity() {
            let wanted = (self.gathered.capacity() * 2).min(bytes_max).max(needed);
            self.gathered.reserve_exact(wanted - self.gathered.len());
        }
        self.gathered.extend_from_slice(piece);
    }

    /// Judges the part of a text that has come: a wrong byte is told at once, an unfinished character at the end.
    fn check(&mut self, ends: bool) -> Result<(), Violation> {
        if self.kind != Some(Kind::Text) {
            return Ok(());
        }
        match simdutf8::compat::from_utf8(self.gathered.get(self.checked..).unwrap_or_default()) {
            Ok(text) => self.checked += text.len(),
            Err(error) if error.error_len().is_some() || ends => return Err(Violation::NotUtf8),
            Err(error) => self.checked += error.valid_up_to(),
        }
        Ok(())
    }

    fn take(&mut self) -> Bytes {
        self.checked = 0;
        self.compressed = false;
        Bytes::from(std::mem::take(&mut self.gathered))
    }
}
