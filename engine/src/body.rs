//! The client's body, as it arrives.

use bytes::BytesMut;
use ringway_contract::{Cause, Fault};
use ringway_net::{Buffers, Pace};
use ringway_wire::chunk::{Decoded, Decoder};
use ringway_wire::{Fields, Framing, Rejection};

use crate::connection::Connection;
use crate::site::Site;

/// A piece of a body.
pub enum Part {
    /// Payload in a pooled buffer.
    Data(BytesMut),
    /// The trailer section; the end of the body.
    Trailers(Box<Fields>),
}

/// Looks at what of a body came together with its head. Chunks that are wrong there cost a backend nothing: not even the head
/// reaches it.
pub fn check(framing: Framing, input: &[u8], site: &Site) -> Result<(), Fault> {
    if framing != Framing::Chunked || input.is_empty() {
        return Ok(());
    }
    Decoder::new(&site.limits).check(input).map_err(invalid)
}

fn invalid(rejection: Rejection) -> Fault {
    Fault::new(Cause::ClientBodyInvalid).detail(rejection.message())
}

/// Bodies with at least this much to come are read into large blocks, fewer and longer reads, ...
const LARGE_FROM_BYTES: u64 = 48 * 1024;
/// ... as long as reads bring at least this much: a client that is slow, or pretends to be, holds no large block.
const FAST_FROM_BYTES: usize = 8 * 1024;

/// Reads one body. What lies behind it stays in `input` for the next request.
pub struct BodyReader<'a> {
    connection: &'a Connection,
    buffers: &'a Buffers,
    input: &'a mut BytesMut,
    state: State,
    pace: Pace,
    /// Whether the last read brought much.
    fast: bool,
    bytes_max: u64,
    /// Payload bytes read so far.
    pub payload_bytes: u64,
}

enum State {
    Length {
        left: u64,
    },
    Chunked {
        decoder: Decoder,
        trailers: Box<Fields>,
    },
    /// The content is complete; these go out last.
    Trailers(Box<Fields>),
    Done,
}

impl<'a> BodyReader<'a> {
    /// A reader of a body framed as `framing`, of at most `bytes_max`.
    pub fn new(
        connection: &'a Connection,
        buffers: &'a Buffers,
        input: &'a mut BytesMut,
        (framing, bytes_max): (Framing, u64),
        site: &Site,
    ) -> Self {
        let state = match framing {
            Framing::Length(left) if left > 0 => State::Length { left },
            Framing::Chunked => State::Chunked { decoder: Decoder::new(&site.limits), trailers: Box::default() },
            _ => State::Done,
        };
        Self { connection, buffers, input, state, pace: site.body_pace, fast: false, bytes_max, payload_bytes: 0 }
    }

    /// The next piece; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Part>, Fault> {
        match &mut self.state {
            State::Done => Ok(None),
            State::Length { left } => {
                let left = *left;
                let mut piece = self.some(left).await?;
                if piece.len() as u64 > left {
                    // The next request is right behind: it stays, the piece goes.
                    let mut own = self.buffers.take();
                    own.extend_from_slice(piece.get(..left as usize).unwrap_or_default());
                    bytes::Buf::advance(&mut piece, left as usize);
                    *self.input = std::mem::replace(&mut piece, own);
                }
                let left = left - piece.len() as u64;
                self.state = if left == 0 { State::Done } else { State::Length { left } };
                self.count(piece.len())?;
                Ok(Some(Part::Data(piece)))
            }
            State::Chunked { .. } => self.chunk().await,
            State::Trailers(_) => match std::mem::replace(&mut self.state, State::Done) {
                State::Trailers(trailers) => Ok(Some(Part::Trailers(trailers))),
                _ => Ok(None),
            },
        }
    }

    async fn chunk(&mut self) -> Result<Option<Part>, Fault> {
        loop {
            let mut piece = self.some(0).await?;
            let State::Chunked { decoder, trailers } = &mut self.state else { return Ok(None) };
            let decoded = decoder.decode(&mut piece, self.input, trailers).map_err(invalid)?;
            if decoded == Decoded::End {
                let trailers = std::mem::take(trailers);
                self.state = if trailers.is_empty() { State::Done } else { State::Trailers(trailers) };
            }
            if !piece.is_empty() {
                self.count(piece.len())?;
                return Ok(Some(Part::Data(piece)));
            }
            self.buffers.put(piece);
            match std::mem::replace(&mut self.state, State::Done) {
                State::Trailers(trailers) => return Ok(Some(Part::Trailers(trailers))),
                State::Done => return Ok(None),
                more => self.state = more,
            }
        }
    }

    /// Bytes that are there, or the next that come; `left` is what is known to be still missing.
    async fn some(&mut self, left: u64) -> Result<BytesMut, Fault> {
        if !self.input.is_empty() {
            let fresh = self.buffers.take();
            return Ok(std::mem::replace(self.input, fresh));
        }
        let buffer =
            if self.fast && left >= LARGE_FROM_BYTES { self.buffers.take_large() } else { self.buffers.take() };
        let timer = &self.connection.timer;
        self.pace.begin(timer);
        let read = timer.guard(self.connection.stream.read(buffer)).await;
        let count = if let Ok((Ok(count), _)) = read { count } else { 0 };
        self.pace.end(timer, count);
        self.fast = count >= FAST_FROM_BYTES;
        match read {
            Ok((_, buffer)) if count > 0 => Ok(buffer),
            Ok((_, buffer)) => {
                self.buffers.put(buffer);
                Err(Fault::new(Cause::ClientClosed))
            }
            Err(_) => Err(Fault::new(Cause::ClientBodyTimeout)),
        }
    }

    fn count(&mut self, bytes: usize) -> Result<(), Fault> {
        self.payload_bytes += bytes as u64;
        if self.payload_bytes > self.bytes_max { Err(Fault::new(Cause::ClientBodyTooLarge)) } else { Ok(()) }
    }
}
