//! Frames to the client's bytes.
//!
//! Small pieces gather in one buffer and leave with one send: a head together with the body that is there already. A piece that does not
//! fit goes out behind the gathered bytes in one vectored write, uncopied.

use std::future::Future;
use std::io;

use bytes::BytesMut;
use ringway_contract::{Cause, Chunk, Fault};
use ringway_net::{Buffers, POST_BYTES_MAX, Pace, Slot};
use ringway_wire::{Fields, chunk};

use crate::connection::Connection;
use crate::local::Local;

/// Pieces up to this size are copied behind the gathered bytes: below it a copy costs less than one more vector entry.
const COPY_BYTES_MAX: usize = 4 * 1024;

/// Gathered bytes leave at the latest at this size: beyond it the client sets the pace.
const GATHERED_BYTES_MAX: usize = 8 * 1024;

/// What follows a chunk's data.
const CHUNK_TAIL: &[u8] = b"\r\n";

/// Writes one response.
pub struct Writer<'a> {
    connection: &'a Connection,
    buffers: &'a Buffers,
    slot: &'a Slot,
    pace: Pace,
    out: BytesMut,
    has_flushed: bool,
    /// `out` is the whole response, and complete.
    is_left: bool,
    /// Payload bytes written so far.
    pub payload_bytes: u64,
}

impl<'a> Writer<'a> {
    /// A writer that gives up on a client that falls behind `pace`.
    pub fn new(connection: &'a Connection, buffers: &'a Buffers, slot: &'a Slot, pace: Pace) -> Self {
        Self {
            connection,
            buffers,
            slot,
            pace,
            out: BytesMut::new(),
            has_flushed: false,
            is_left: false,
            payload_bytes: 0,
        }
    }

    /// The gathered bytes: heads are encoded straight into them. Their buffer is taken when there are some: an exchange that waits has
    /// none, and the one taken last is the warmest.
    pub fn gathered(&mut self) -> &mut BytesMut {
        if self.out.capacity() == 0 {
            self.out = self.buffers.take();
        }
        &mut self.out
    }

    /// Sends what was gathered.
    pub async fn flush(&mut self) -> Result<(), Fault> {
        if self.out.is_empty() {
            return Ok(());
        }
        self.has_flushed = true;
        let stream = &self.connection.stream;
        let out = std::mem::take(&mut self.out);
        let bytes = out.len();
        let (result, out) = self.paced(bytes, || stream.write(out)).await?;
        self.has_written(result, out)
    }

    /// Sends the end of a response. If that is all of it, and little, and the connection goes on (`kept`), it is left to [`rest`](Self::rest).
    pub async fn finish(&mut self, kept: bool) -> Result<(), Fault> {
        if kept && !self.has_flushed && self.out.len() <= POST_BYTES_MAX {
            self.is_left = true;
            return Ok(());
        }
        self.flush().await
    }

    /// The response that [`finish`](Self::finish) left to be sent; nothing if it is sent, or failed.
    pub fn rest(&mut self) -> BytesMut {
        if self.is_left { std::mem::take(&mut self.out) } else { BytesMut::new() }
    }

    /// Adds a piece of the body, framed as a chunk if `chunked`.
    pub async fn data(&mut self, piece: Chunk, chunked: bool) -> Result<(), Fault> {
        if piece.is_empty() {
            self.recycle(piece);
            return Ok(());
        }
        self.payload_bytes += piece.len() as u64;
        if chunked {
            chunk::head(piece.len() as u64, &mut self.out);
        }
        if piece.len() <= COPY_BYTES_MAX || self.out.len() + piece.len() + CHUNK_TAIL.len() <= self.out.capacity() {
            self.out.extend_from_slice(piece.as_slice());
            self.recycle(piece);
            if chunked {
                self.out.extend_from_slice(CHUNK_TAIL);
            }
            return if self.out.len() >= GATHERED_BYTES_MAX { self.flush().await } else { Ok(()) };
        }
        self.has_flushed = true;
        let tail = if chunked { CHUNK_TAIL } else { b"" };
        let out = std::mem::take(&mut self.out);
        let bytes = out.len() + piece.len();
        let stream = &self.connection.stream;
        let (result, out) = match piece {
            Chunk::Pooled(body) => {
                let written = self.paced(bytes, || stream.write_three(out, body, tail)).await?;
                let (result, (out, body, _)) = written;
                self.buffers.put(body);
                (result, out)
            }
            Chunk::Shared(body) => {
                let written = self.paced(bytes, || stream.write_three(out, body, tail)).await?;
                let (result, (out, ..)) = written;
                (result, out)
            }
        };
        self.has_written(result, out)
    }

    /// Waits for a write of `bytes`, as long as the client keeps the pace.
    async fn paced<F: Future>(&mut self, bytes: usize, write: impl FnOnce() -> F) -> Result<F::Output, Fault> {
        let written = self.pace.keep(self.slot, &self.connection.stream, bytes, write).await;
        written.map_err(|_| Fault::new(Cause::ClientWriteTimeout))
    }

    fn has_written(&mut self, result: io::Result<()>, mut out: BytesMut) -> Result<(), Fault> {
        result.map_err(|_| Fault::new(Cause::ClientClosed))?;
        out.clear();
        self.out = out;
        Ok(())
    }

    /// Ends a chunked body, with trailers if there are some.
    pub fn last_chunk(&mut self, trailers: Option<&Fields>) {
        chunk::last(trailers, &mut self.out);
    }

    fn recycle(&self, piece: Chunk) {
        if let Chunk::Pooled(buffer) = piece {
            self.buffers.put(buffer);
        }
    }
}

/// Sends a whole response that [`Writer::rest`] gave; `false` if the client is gone, or too slow.
pub async fn send(local: &Local, connection: &Connection, slot: &Slot, response: BytesMut) -> bool {
    let mut pace = local.site().write_pace;
    let stream = &connection.stream;
    match pace.keep(slot, stream, response.len(), || stream.write(response)).await {
        Ok((result, response)) => {
            local.shard.buffers.put(response);
            result.is_ok()
        }
        Err(_) => {
            stream.abort();
            false
        }
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        self.buffers.put(std::mem::take(&mut self.out));
    }
}
