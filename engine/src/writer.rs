//! Frames to the client's bytes.
//!
//! Small pieces gather in one buffer and leave with one send: a head together with the body that is there already. A piece that does not
//! fit goes out behind the gathered bytes in one vectored write, uncopied.

use std::time::Duration;

use bytes::BytesMut;
use ringway_contract::{Cause, Chunk, Fault};
use ringway_net::{Buffers, Slot};
use ringway_wire::{Fields, chunk};

use crate::connection::Connection;

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
    idle: Duration,
    out: BytesMut,
    /// Payload bytes written so far.
    pub payload_bytes: u64,
}

impl<'a> Writer<'a> {
    /// A writer that gives up when the client takes nothing for `idle`.
    pub fn new(connection: &'a Connection, buffers: &'a Buffers, slot: &'a Slot, idle: Duration) -> Self {
        Self { connection, buffers, slot, idle, out: buffers.take(), payload_bytes: 0 }
    }

    /// The gathered bytes: heads are encoded straight into them.
    pub fn gathered(&mut self) -> &mut BytesMut {
        &mut self.out
    }

    /// Sends what was gathered.
    pub async fn flush(&mut self) -> Result<(), Fault> {
        if self.out.is_empty() {
            return Ok(());
        }
        let out = std::mem::take(&mut self.out);
        self.slot.arm(self.idle);
        let written = self.slot.guard(self.connection.stream.write(out)).await;
        self.slot.disarm();
        match written {
            Ok((Ok(()), mut out)) => {
                out.clear();
                self.out = out;
                Ok(())
            }
            Ok((Err(_), _)) => Err(Fault::new(Cause::ClientClosed)),
            Err(_) => Err(Fault::new(Cause::ClientWriteTimeout)),
        }
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
        let tail = if chunked { CHUNK_TAIL } else { b"" };
        let out = std::mem::take(&mut self.out);
        self.slot.arm(self.idle);
        let written = match piece {
            Chunk::Pooled(body) => {
                let written = self.slot.guard(self.connection.stream.write_three(out, body, tail)).await;
                written.map(|(result, (out, body, _))| {
                    self.buffers.put(body);
                    (result, out)
                })
            }
            Chunk::Shared(body) => {
                let written = self.slot.guard(self.connection.stream.write_three(out, body, tail)).await;
                written.map(|(result, (out, _, _))| (result, out))
            }
        };
        self.slot.disarm();
        match written {
            Ok((Ok(()), mut out)) => {
                out.clear();
                self.out = out;
                Ok(())
            }
            Ok((Err(_), _)) => Err(Fault::new(Cause::ClientClosed)),
            Err(_) => Err(Fault::new(Cause::ClientWriteTimeout)),
        }
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

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        self.buffers.put(std::mem::take(&mut self.out));
    }
}
