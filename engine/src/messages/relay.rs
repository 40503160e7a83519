//! From a subscription to its client.

use bytes::Bytes;
use ringway_contract::{Chunk, Delivery, Ending, Fault, Feed, Out, Parcel, Position, Receipt};
use ringway_net::Pace;

use super::Receipts;
use super::brokers::Source;
use super::passage::Fate;
use super::segment::Segment;
use super::stream::Streaming;
use super::topic::Reader;
use crate::connection::Connection;
use crate::local::Local;
use crate::tunnel::Record;
use crate::writer::Writer;

/// Bytes that are gathered before they are sent.
const GATHERED_BYTES_MAX: usize = 64 * 1024;

/// Renders what a subscription of its own brings, sends it, and tells the broker's side so. Gives why it ends, and whether its broker is away.
pub async fn relay(
    local: &Local,
    client: &Connection,
    streaming: &mut Streaming,
    record: &mut Record,
    out: &mut Out,
) -> Result<(Option<Ending>, Option<Fault>), Fault> {
    let mut positions: Vec<Position> = Vec::new();
    let (mut weight, mut delivered) = (0, 0);
    let (mut ending, mut away) = (None, None);
    {
        let Streaming { session, renderer, source, subscribe, .. } = streaming;
        let Some(Source::Own(feed)) = source else { return Ok((Some(Ending::Complete), None)) };
        let mut next = feed.take();
        while let Some(delivery) = next.take() {
            match delivery {
                Delivery::Message(message) => {
                    positions.push(message.position);
                    weight += message.weight();
                    let message = match record.exchange.as_deref_mut().filter(|_| !subscribe.is_idle()) {
                        None => Some(message),
                        Some(exchange) => match subscribe.pass(exchange, Parcel::of(message, &*feed.origin)).await {
                            Fate::On(parcel) => Some(parcel.message),
                            Fate::Dropped => None,
                            Fate::Refused(..) => {
                                record.counters.push_refused.bump();
                                None
                            }
                        },
                    };
                    if let Some(message) = message {
                        if let Some(renderer) = renderer {
                            renderer.render(&message, &*feed.origin, &mut out.bytes);
                        }
                        session.delivered(out);
                        delivered += 1;
                    }
                }
                Delivery::Ready => {}
                Delivery::Away(fault) => away = Some(fault),
                Delivery::Fault(fault) => ending = Some(Ending::Fault(fault)),
            }
            if out.bytes.len() < GATHERED_BYTES_MAX && ending.is_none() && !out.finished {
                next = feed.take();
            }
        }
    }
    record.counters.delivered.add(delivered);
    let bytes = std::mem::take(&mut out.bytes).freeze();
    // Credit comes back when the client has taken them: until then the broker's side waits with more.
    let sent = put(local, client, streaming, record, bytes).await;
    if let Some(Source::Own(feed)) = &mut streaming.source {
        settle(feed, &positions, weight, streaming.receipts, sent.is_ok());
    }
    sent.map(|()| (ending, away))
}

fn settle(feed: &mut Feed, positions: &[Position], weight: usize, receipts: Receipts, arrived: bool) {
    if receipts == Receipts::OnWrite {
        for position in positions {
            feed.receipt(if arrived { Receipt::Ack(*position) } else { Receipt::Nack(*position) });
        }
        feed.ring();
    }
    feed.grant(weight);
}

/// Sends bytes, in a chunk of their own where the response is chunked.
pub async fn put(
    local: &Local,
    client: &Connection,
    streaming: &Streaming,
    record: &Record,
    bytes: Bytes,
) -> Result<(), Fault> {
    record.down.set(record.down.get() + bytes.len() as u64);
    send(local, client, streaming.pace, Chunk::Shared(bytes), streaming.chunked).await
}

/// Sends a piece, in a chunk of its own if `chunked`.
pub async fn send(local: &Local, client: &Connection, pace: Pace, piece: Chunk, chunked: bool) -> Result<(), Fault> {
    if piece.is_empty() {
        return Ok(());
    }
    // Boxed: a write is large, and a session waits for most of its life.
    Box::pin(async {
        let mut writer = Writer::new(client, &local.shard.buffers, &client.timer, pace);
        writer.data(piece, chunked).await?;
        writer.flush().await
    })
    .await
}

/// Sends a segment, and those behind it that are there already.
pub async fn catch_up(
    local: &Local,
    client: &Connection,
    streaming: &mut Streaming,
    record: &Record,
    segment: Segment,
) -> Result<(), Fault> {
    Box::pin(async {
        let mut writer = Writer::new(client, &local.shard.buffers, &client.timer, streaming.pace);
        let mut gathered = 0;
        let mut next = Some(segment);
        while let Some(segment) = next.take() {
            gathered += segment.len();
            record.down.set(record.down.get() + segment.len() as u64);
            writer.data(Chunk::Shared(segment.bytes(streaming.chunked, 0)), false).await?;
            if gathered < GATHERED_BYTES_MAX {
                next = streaming.reader().and_then(Reader::take);
            }
        }
        writer.flush().await
    })
    .await
}

/// Sends the end of the body.
pub async fn finish(local: &Local, client: &Connection, streaming: &Streaming) -> Option<Fault> {
    if !streaming.chunked {
        return None;
    }
    Box::pin(async {
        let mut writer = Writer::new(client, &local.shard.buffers, &client.timer, streaming.pace);
        writer.last_chunk(None);
        writer.flush().await
    })
    .await
    .err()
}
