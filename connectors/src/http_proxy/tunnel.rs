//! What follows a 101: bytes, in both directions.

use bytes::BytesMut;
use ringway_contract::lane::send;
use ringway_contract::{Cause, Chunk, Fault, Frame};
use ringway_ring::Sender;

use super::body::pass;
use super::lane::{Exchange, Turn};
use super::response::{LOST, Received};

/// Sends the backend's bytes on until it closes, or until neither side has said anything for too long. The bytes of the other
/// direction go through [`request::send`](super::request::send), which puts the deadline off, too.
pub async fn tunnel(exchange: &Exchange<'_>, outbox: &mut Sender<Frame>, mut input: BytesMut) -> Received {
    exchange.turn.set(Turn::Tunnel);
    let buffers = &exchange.endpoint.shard.buffers;
    pass(exchange, outbox, &mut input).await;
    buffers.put(input);
    loop {
        exchange.arm_read();
        // No buffer is held while the tunnel is quiet.
        let fault = match exchange.kept.read.guard(exchange.stream.readable()).await {
            Ok(Ok(())) => {
                let mut buffer = buffers.take();
                match exchange.stream.read_now(&mut buffer) {
                    Ok(Some(read)) if read > 0 => {
                        send(outbox, Frame::Data(Chunk::Pooled(buffer))).await;
                        continue;
                    }
                    Ok(None) => {
                        buffers.put(buffer);
                        continue;
                    }
                    Ok(Some(_)) if exchange.is_whole() => {
                        buffers.put(buffer);
                        send(outbox, Frame::End).await;
                        return LOST;
                    }
                    Ok(Some(_)) | Err(_) => exchange.closed(),
                }
            }
            Ok(Err(_)) => exchange.closed(),
            Err(_) => Fault::new(Cause::BackendTimeout).detail("the tunnel was idle"),
        };
        send(outbox, Frame::Abort(fault)).await;
        return LOST;
    }
}
