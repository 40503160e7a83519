//! Compressed messages, `permessage-deflate` (RFC 7692): what is agreed about them, and both directions of it.
//!
//! A message is deflated by itself or with what was sent before in view (*context takeover*), flushed to a byte boundary, and
//! stripped of the four bytes that every flush ends with. Memory is taken when a first message is compressed, not when compression is
//! agreed: 48 KB to inflate, whatever the window; 250 KB to deflate with the smallest window, 380 KB with the largest.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::Violation;
pub use super::offer::{Malformed, Preferences, negotiate};

/// What a flush ends with, and a compressed message is sent without (RFC 7692 section 7.2.1): an empty block that is not compressed.
const FLUSH_END: [u8; 4] = [0, 0, 0xff, 0xff];
/// A compressed message of no bytes (RFC 7692 section 7.2.3.6).
const EMPTY: u8 = 0;
/// Bytes by which the room for output grows at least, and at most.
const GROWTH_BYTES: std::ops::RangeInclusive<usize> = 256..=64 * 1024;
/// The largest window, and the one that holds when none is named: 2^15 bytes.
pub const WINDOW_BITS_MAX: u8 = 15;
/// The smallest window that zlib can deflate with. An offer may ask for 2^8 bytes.
pub const WINDOW_BITS_MIN: u8 = 9;

/// What client and server agreed about compression (RFC 7692 section 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The server forgets each message before it deflates the next.
    pub server_no_context_takeover: bool,
    /// The client forgets each message before it deflates the next.
    pub client_no_context_takeover: bool,
    /// The server's window, as a power of two: 9 to 15.
    pub server_max_window_bits: u8,
    /// The client's window, as a power of two: 8 to 15.
    pub client_max_window_bits: u8,
    /// Whether the offer asked about the server's window, so that the answer must name it.
    pub(super) names_server_window: bool,
}

impl Agreement {
    /// The value of the answer's `Sec-WebSocket-Extensions`.
    #[must_use]
    pub fn answer(&self) -> String {
        let mut value = String::from("permessage-deflate");
        if self.server_no_context_takeover {
            value.push_str("; server_no_context_takeover");
        }
        if self.client_no_context_takeover {
            value.push_str("; client_no_context_takeover");
        }
        if self.names_server_window || self.server_max_window_bits < WINDOW_BITS_MAX {
            value.push_str(&format!("; server_max_window_bits={}", self.server_max_window_bits));
        }
        if self.client_max_window_bits < WINDOW_BITS_MAX {
            value.push_str(&format!("; client_max_window_bits={}", self.client_max_window_bits));
        }
        value
    }
}

/// Inflates a client's messages, each to a bounded size. The window is always the largest: a smaller one would take as much memory
/// (zlib-rs 0.6).
#[derive(Debug)]
pub(super) struct Inflater {
    takeover: bool,
    state: Option<Decompress>,
}

impl Inflater {
    pub(super) fn new(agreement: &Agreement) -> Inflater {
        Inflater { takeover: !agreement.client_no_context_takeover, state: None }
    }

    /// Inflates a piece of a message to the end of `out`, which gets at most one byte more than `bytes_max` before the
    /// message is refused.
    pub(super) fn inflate(&mut self, mut piece: &[u8], out: &mut Vec<u8>, bytes_max: usize) -> Result<(), Violation> {
        let state = self.state.get_or_insert_with(|| Decompress::new(false));
        loop {
            if out.len() == out.capacity() {
                let growth = (piece.len() * 3).max(out.len()).clamp(*GROWTH_BYTES.start(), *GROWTH_BYTES.end());
                out.reserve_exact(growth.min(bytes_max.saturating_add(1) - out.len()));
            }
            let (read, written) = (state.total_in(), out.len());
            let status = state.decompress_vec(piece, out, FlushDecompress::Sync);
            let read = (state.total_in() - read) as usize;
            piece = piece.get(read..).unwrap_or_default();
            if out.len() > bytes_max {
                // The allocator may have given more room than was asked for.
                out.truncate(bytes_max + 1);
                return Err(Violation::TooBig);
            }
            match status {
                Err(_) => return Err(Violation::NotDeflated),
                // What a deflater without a flush writes (RFC 7692 section 7.2.3.4). What follows is a stream of its own, which has
                // forgotten what was before.
                Ok(Status::StreamEnd) => state.reset(false),
                // Whatever could be written was: there was room for more.
                Ok(_) if piece.is_empty() && out.len() < out.capacity() => return Ok(()),
                Ok(_) if read == 0 && out.len() == written => {
                    return if piece.is_empty() { Ok(()) } else { Err(Violation::NotDeflated) };
                }
                Ok(_) => {}
            }
        }
    }

    /// Ends a message.
    pub(super) fn end(&mut self, out: &mut Vec<u8>, bytes_max: usize) -> Result<(), Violation> {
        self.inflate(&FLUSH_END, out, bytes_max)?;
        if !self.takeover {
            self.state = None;
        }
        Ok(())
    }
}

/// Deflates messages to a client.
///
/// With context takeover it belongs to one connection, and what is deflated must be sent, in order. Without, it forgets every message, and
/// all connections of a thread that agreed on the same window may share one; to forget costs 4 µs a message (bench `wire`).
#[derive(Debug)]
pub struct Deflater {
    window_bits: u8,
    takeover: bool,
    level: u32,
    state: Option<Compress>,
}

impl Deflater {
    /// A deflater by what was agreed. `level` is 1 (fast) to 9 (small); zlib's own default is 6.
    #[must_use]
    pub fn new(agreement: &Agreement, level: u32) -> Deflater {
        Deflater {
            window_bits: agreement.server_max_window_bits.clamp(WINDOW_BITS_MIN, WINDOW_BITS_MAX),
            takeover: !agreement.server_no_context_takeover,
            level: level.clamp(1, 9),
            state: None,
        }
    }

    /// Appends the compressed form of a whole message to `out`. Where nothing can be saved it is larger than the message,
    /// by an eighth at most.
    ///
    /// # Errors
    /// When zlib finds its own state broken, which it never should: the connection is to be closed with 1011.
    pub fn deflate(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), flate2::CompressError> {
        if payload.is_empty() {
            out.push(EMPTY);
            return Ok(());
        }
        let (level, window_bits) = (Compression::new(self.level), self.window_bits);
        let state = self.state.get_or_insert_with(|| Compress::new_with_window_bits(level, false, window_bits));
        let mut piece = payload;
        loop {
            // zlib wants more than six bytes of room, or it may write the end of a flush twice.
            if out.capacity() - out.len() < *GROWTH_BYTES.start() / 2 {
                out.reserve((piece.len() / 2).clamp(*GROWTH_BYTES.start(), *GROWTH_BYTES.end()));
            }
            let read = state.total_in();
            state.compress_vec(piece, out, FlushCompress::Sync)?;
            piece = piece.get((state.total_in() - read) as usize..).unwrap_or_default();
            if piece.is_empty() && out.len() < out.capacity() {
                break;
            }
        }
        debug_assert!(out.ends_with(&FLUSH_END));
        out.truncate(out.len() - FLUSH_END.len());
        if !self.takeover {
            state.reset();
        }
        Ok(())
    }

    /// Gives the memory back, where nothing has to be remembered.
    pub fn rest(&mut self) {
        if !self.takeover {
            self.state = None;
        }
    }
}
