//! Chunked content (RFC 9112 section 7.1): a strict decoder that works in place, and the encoder.
//!
//! ```text
//!         ┌──────────────────────── CRLF ◀── data (size bytes) ◀──────────────┐
//!         ▼                                                                   │ size > 0
//!       size ── 1*16HEXDIG ──▶ [BWS] ";" extension ──▶ CR ──▶ LF ─────────────┤
//!                                                                             │ size = 0
//!       done ◀── LF ◀── CR (empty line) ◀── trailer line* ◀───────────────────┘
//! ```
//!
//! Every byte of framing is looked at, because each that one reader skips and another does not is a request smuggled: a bare
//! LF, white space after the size, a sign, an empty size, a size beyond 64 bits. httparse's parser of chunk sizes lets most of
//! them pass and is not used.

use bytes::{Buf, BytesMut};

use crate::fields::{FIELDS_MAX, Fields};
use crate::known;
use crate::{Limits, Rejection, syntax};

/// Bytes that [`head`] writes at most: 16 digits and CRLF.
pub const HEAD_BYTES_MAX: usize = 18;
/// The largest size of a chunk.
const SIZE_MAX: u64 = 1 << 60;
/// Digits of a size, leading zeros included.
const SIZE_DIGITS_MAX: u8 = 16;
/// Bytes of one chunk's extension, white space included.
const EXTENSION_BYTES_MAX: u32 = 256;
/// Bytes of all extensions of one message: they carry no content, so a sender could keep a connection busy with them alone.
const EXTENSIONS_BYTES_MAX: u32 = 16 * 1024;

/// What a call to [`Decoder::decode`] has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// More chunks must come.
    More,
    /// The content and its trailers have ended.
    End,
}

/// Strips chunk framing. The result does not depend on how the bytes are cut into calls.
#[derive(Clone, Debug)]
pub struct Decoder {
    state: State,
    /// Bytes of data that are still to come in this chunk; the size so far while it is being read.
    remaining: u64,
    digits: u8,
    extension_bytes: u32,
    extensions_bytes: u32,
    trailer_bytes_max: usize,
    trailers_max: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the digits of a size.
    Size,
    /// White space after a size, which only an extension may follow.
    SpaceAfterSize,
    Extension,
    /// The CR of the size line was read.
    SizeLine,
    Data,
    /// The data was read: CR must follow.
    DataEnd,
    /// The CR after the data was read.
    DataLine,
    /// At the begin of a line behind the last chunk.
    TrailerStart,
    Trailer,
    /// The CR of a trailer line was read.
    TrailerLine,
    /// The CR of the empty line was read.
    LastLine,
    Done,
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder::new(&Limits::default())
    }
}

impl Decoder {
    /// A decoder at the begin of chunked content. Trailers share the limits of a head.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Decoder {
            state: State::Size,
            remaining: 0,
            digits: 0,
            extension_bytes: 0,
            extensions_bytes: 0,
            trailer_bytes_max: limits.head_bytes(),
            trailers_max: limits.fields(),
        }
    }

    /// Back to the begin of chunked content.
    pub fn reset(&mut self) {
        self.state = State::Size;
        self.remaining = 0;
        self.digits = 0;
        self.extension_bytes = 0;
        self.extensions_bytes = 0;
    }

    /// Whether the content and its trailers have ended.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Strips the framing from `data`, which holds newly received bytes and afterwards only content. What follows the end of
    /// the content, the next request of a pipeline, is appended to `rest`. `trailers` is filled as they come; it is complete
    /// with [`Decoded::End`] and must be empty at the begin.
    ///
    /// ```text
    ///  before  │5␍␊│hello│␍␊6␍␊│ world│␍␊0␍␊␍␊│GET /…
    ///  after       │hello world│                rest: GET /…
    /// ```
    /// The first chunk stays where it is, later ones move down to it: a read that holds one chunk is never copied.
    ///
    /// Trailer lines that speak of framing, routing, authentication or the content's form are dropped, as RFC 9110 section 6.5.1
    /// asks of who merges trailers; the message is not refused for them, for they have no effect once the gateway frames anew.
    ///
    /// # Errors
    /// When the framing is refused: the connection can't be used for another message.
    pub fn decode(
        &mut self,
        data: &mut BytesMut,
        rest: &mut BytesMut,
        trailers: &mut Fields,
    ) -> Result<Decoded, Rejection> {
        if self.state == State::Done {
            rest.extend_from_slice(data);
            data.clear();
            return Ok(Decoded::End);
        }
        // Content found so far is `data[start..end]`; the next byte to read is `data[at]`.
        let (mut start, mut end, mut at) = (0, 0, 0);
        while at < data.len() && self.state != State::Done {
            if self.state == State::Data {
                let count = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(data.len() - at);
                if start == end {
                    (start, end) = (at, at);
                }
                if end != at {
                    data.copy_within(at..at + count, end);
                }
                end += count;
                at += count;
                self.remaining -= count as u64;
                if self.remaining == 0 {
                    self.state = State::DataEnd;
                }
            } else if self.state == State::Trailer {
                at += self.trailer(data.get(at..).unwrap_or_default(), trailers.raw_mut())?;
            } else {
                let Some(byte) = data.get(at) else { break };
                self.framing(*byte, trailers.raw_mut())?;
                at += 1;
            }
        }
        if self.state == State::Done {
            rest.extend_from_slice(data.get(at..).unwrap_or_default());
        }
        data.truncate(end);
        data.advance(start);
        if self.state != State::Done {
            return Ok(Decoded::More);
        }
        trailers.read_trailers(self.trailers_max)?;
        Ok(Decoded::End)
    }

    /// Looks at framed bytes without taking them: what is wrong with them can be told before anything of the message is sent on.
    ///
    /// # Errors
    /// The one that [`decode`](Self::decode) would meet in the same bytes.
    pub fn check(&self, data: &[u8]) -> Result<(), Rejection> {
        let mut ahead = self.clone();
        let mut trailers = Fields::new();
        let mut at = 0;
        while ahead.state != State::Done
            && let Some(byte) = data.get(at)
        {
            if ahead.state == State::Data {
                let count = usize::try_from(ahead.remaining).unwrap_or(usize::MAX).min(data.len() - at);
                at += count;
                ahead.remaining -= count as u64;
                if ahead.remaining == 0 {
                    ahead.state = State::DataEnd;
                }
            } else if ahead.state == State::Trailer {
                at += ahead.trailer(data.get(at..).unwrap_or_default(), trailers.raw_mut())?;
            } else {
                ahead.framing(*byte, trailers.raw_mut())?;
                at += 1;
            }
        }
        if ahead.state == State::Done { trailers.read_trailers(ahead.trailers_max) } else { Ok(()) }
    }

    /// One byte that is neither content nor inside of a trailer line.
    #[inline]
    fn framing(&mut self, byte: u8, trailers: &mut BytesMut) -> Result<(), Rejection> {
        self.state = match (self.state, byte) {
            (State::Size, b'\r') if self.digits > 0 => State::SizeLine,
            (State::Size, b';') if self.digits > 0 => State::Extension,
            (State::Size, b' ' | b'\t') if self.digits > 0 => {
                self.extension(byte)?;
                State::SpaceAfterSize
            }
            (State::Size, digit) => {
                let digit = syntax::hex(digit).ok_or(Rejection::BadChunkSize)?;
                self.digits += 1;
                self.remaining = self.remaining << 4 | u64::from(digit);
                if self.digits > SIZE_DIGITS_MAX || self.remaining > SIZE_MAX {
                    return Err(Rejection::BadChunkSize);
                }
                State::Size
            }
            (State::SpaceAfterSize, b' ' | b'\t') => {
                self.extension(byte)?;
                State::SpaceAfterSize
            }
            (State::SpaceAfterSize, b';') => State::Extension,
            (State::SpaceAfterSize, _) => return Err(Rejection::BadChunkSize),
            (State::Extension, b'\r') => State::SizeLine,
            (State::Extension, byte) => {
                self.extension(byte)?;
                State::Extension
            }
            (State::SizeLine, b'\n') => {
                self.digits = 0;
                self.extension_bytes = 0;
                if self.remaining == 0 { State::TrailerStart } else { State::Data }
            }
            (State::SizeLine, _) => return Err(Rejection::BadChunkSize),
            (State::DataEnd, b'\r') => State::DataLine,
            (State::DataLine, b'\n') => State::Size,
            (State::DataEnd | State::DataLine, _) => return Err(Rejection::BadChunkEnd),
            (State::TrailerStart, b'\r') => State::LastLine,
            (State::TrailerStart, byte) => {
                self.keep_trailer(&[byte], trailers)?;
                if byte == b'\n' {
                    return Err(Rejection::BareLineFeed);
                }
                State::Trailer
            }
            (State::TrailerLine, b'\n') => {
                self.keep_trailer(b"\r\n", trailers)?;
                State::TrailerStart
            }
            (State::TrailerLine, _) => return Err(Rejection::BadFieldValue),
            (State::LastLine, b'\n') => State::Done,
            (State::LastLine, _) => return Err(Rejection::BadChunkEnd),
            (state @ (State::Data | State::Trailer | State::Done), _) => state,
        };
        Ok(())
    }

    /// One byte of an extension: `[!-~ \t]`, and not without end.
    fn extension(&mut self, byte: u8) -> Result<(), Rejection> {
        if !matches!(byte, b'!'..=b'~' | b' ' | b'\t') {
            return Err(Rejection::BadChunkExtension);
        }
        self.extension_bytes += 1;
        self.extensions_bytes += 1;
        if self.extension_bytes > EXTENSION_BYTES_MAX || self.extensions_bytes > EXTENSIONS_BYTES_MAX {
            return Err(Rejection::ChunkExtensionTooLong);
        }
        Ok(())
    }

    /// The inside of a trailer line, up to its CR, which is read but not kept yet.
    fn trailer(&mut self, bytes: &[u8], trailers: &mut BytesMut) -> Result<usize, Rejection> {
        match memchr::memchr2(b'\r', b'\n', bytes) {
            None => {
                self.keep_trailer(bytes, trailers)?;
                Ok(bytes.len())
            }
            Some(at) if bytes.get(at) == Some(&b'\n') => Err(Rejection::BareLineFeed),
            Some(at) => {
                self.keep_trailer(bytes.get(..at).unwrap_or_default(), trailers)?;
                self.state = State::TrailerLine;
                Ok(at + 1)
            }
        }
    }

    fn keep_trailer(&self, bytes: &[u8], trailers: &mut BytesMut) -> Result<(), Rejection> {
        // The empty line's CRLF is added when the section is read.
        if trailers.len() + bytes.len() + 2 > self.trailer_bytes_max {
            return Err(Rejection::TrailersTooLarge);
        }
        trailers.extend_from_slice(bytes);
        Ok(())
    }
}

impl Fields {
    /// Reads the trailer lines that the decoder has gathered.
    fn read_trailers(&mut self, lines_max: usize) -> Result<(), Rejection> {
        if self.raw().is_empty() {
            return Ok(());
        }
        self.raw_mut().extend_from_slice(b"\r\n");
        let raw = std::mem::take(self.raw_mut());
        let result = self.read_section(&raw, lines_max);
        *self.raw_mut() = raw;
        result?;
        self.remove_set(known::FORBIDDEN_IN_TRAILERS);
        Ok(())
    }

    fn read_section(&mut self, section: &[u8], lines_max: usize) -> Result<(), Rejection> {
        let mut lines = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let room = lines.get_mut(..lines_max).unwrap_or_default();
        match httparse::parse_headers(section, room) {
            Ok(httparse::Status::Complete((end, lines))) if end == section.len() => self.read(section, lines, end - 2),
            Ok(_) => Err(Rejection::BadFieldName),
            Err(httparse::Error::TooManyHeaders) => Err(Rejection::TrailersTooLarge),
            // `diagnose` skips the start line, which a trailer section has not.
            Err(error) => Err(crate::head::diagnose(&[b"\n", section].concat(), error)),
        }
    }
}

/// Writes the size line of a chunk of `data_bytes`, which must not be 0: that would end the content.
pub fn head(data_bytes: u64, out: &mut BytesMut) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    debug_assert!(data_bytes > 0, "an empty chunk is the last one");
    let mut line = [0; HEAD_BYTES_MAX];
    let digits = (64 - (data_bytes | 1).leading_zeros()).div_ceil(4) as usize;
    for (at, slot) in line.iter_mut().take(digits).enumerate() {
        *slot = DIGITS[(data_bytes >> (4 * (digits - 1 - at)) & 15) as usize];
    }
    out.extend_from_slice(line.get(..digits).unwrap_or_default());
    out.extend_from_slice(b"\r\n");
}

/// Writes what follows a chunk's data.
pub fn tail(out: &mut BytesMut) {
    out.extend_from_slice(b"\r\n");
}

/// Writes the last chunk, the trailers that may be passed on, and the empty line.
pub fn last(trailers: Option<&Fields>, out: &mut BytesMut) {
    out.extend_from_slice(b"0\r\n");
    if let Some(trailers) = trailers {
        trailers.encode_without(known::FORBIDDEN_IN_TRAILERS, out);
    }
    out.extend_from_slice(b"\r\n");
}
