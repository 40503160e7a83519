//! AMQP 1.0, as the client library reads it behind what looks at it before: frames, and the messages in them, which become messages of the gateway
//! and are published again.
//!
//! The connectors' own files without their crate, whose brokers' client libraries take minutes to build.
#![no_main]
#![allow(dead_code)]

use bytes::{Buf, Bytes, BytesMut};
use fe2o3_amqp::frames::amqp::{FrameBody, FrameDecoder};
use fe2o3_amqp::frames::sasl::FrameCodec;
use fe2o3_amqp::types::messaging::message::__private::Serializable;
use fe2o3_amqp::types::messaging::message::{Body, DecodeIntoMessage};
use fe2o3_amqp::types::primitives::Value;
use ringway_contract::Position;
use serde_amqp::read::{IoReader, SliceReader};
use tokio_util::codec::Decoder;

#[path = "../../connectors/src/sifter.rs"]
mod sifter;

#[path = "../shared/sifted.rs"]
mod sifted;

#[path = "../../connectors/src/solace"]
mod solace {
    pub mod convert;
    pub mod frames;
}

use sifted::sifted;
use solace::convert::{self, Received};
use solace::frames::{DEPTH_MAX, Frames};

/// Inputs that are read byte by byte, too.
const BYTEWISE_MAX: usize = 1024;

/// What the library makes of what was handed on: each frame, and the message of each delivery.
fn read(mut bytes: &[u8]) {
    let mut parts: Vec<Bytes> = Vec::new();
    while let Some(size) = bytes.first_chunk() {
        if size == b"AMQP" {
            bytes = &bytes[8..];
            continue;
        }
        let (frame, rest) = bytes.split_at(u32::from_be_bytes(*size) as usize);
        bytes = rest;
        let mut frame = BytesMut::from(&frame[4..]);
        if frame[1] == 1 {
            let _ = FrameCodec {}.decode(&mut frame);
            continue;
        }
        let Ok(Some(frame)) = FrameDecoder {}.decode(&mut frame) else { return };
        if let FrameBody::Transfer { performative, payload } = frame.body {
            parts.push(payload);
            if performative.aborted {
                parts.clear();
            } else if !performative.more {
                let _ = message(std::mem::take(&mut parts));
            }
        }
    }
}

/// The library has a reader for a message in one part, and another for one in several.
fn message(parts: Vec<Bytes>) -> Option<Received> {
    let whole = parts.concat();
    let read = match &*parts {
        [_] => Body::<Value>::decode_message_from_reader(SliceReader::new(&whole)),
        _ => Body::<Value>::decode_message_from_reader(IoReader::new(whole.reader())),
    };
    let received = read.ok()?;
    if let Some(message) = convert::received(received.clone(), Position::default()) {
        again(&message);
    }
    Some(received)
}

/// A message that is published is read as what it is.
fn again(message: &ringway_contract::Message) {
    let sent = convert::sent(message, true, 7);
    let bytes = serde_amqp::to_vec(&Serializable(sent)).expect("what is published can be written");
    let (out, malformed) = sifted::<Frames>(std::iter::once(&*frame(&bytes, false)));
    assert!(malformed.is_none(), "{malformed:?}");
    let payload = &out[HEAD.len() + 8..];
    // More values than anybody is given come from nobody.
    assert_eq!(payload, bytes, "what is published passes");
    let read = Body::<Value>::decode_message_from_reader(SliceReader::new(payload)).expect("a message");
    let back = convert::received(read, Position::default()).expect("it has content");
    assert_eq!(back.content, message.content);
}

const HEAD: [u8; 12] = [0x00, 0x53, 0x14, 0xc0, 7, 6, 0x43, 0x43, 0x40, 0x43, 0x42, 0x42];

/// A frame with a part of a message.
fn frame(part: &[u8], more: bool) -> Vec<u8> {
    let mut frame = Vec::with_capacity(20 + part.len());
    frame.extend_from_slice(&((8 + HEAD.len() + part.len()) as u32).to_be_bytes());
    frame.extend_from_slice(&[2, 0, 0, 0]);
    frame.extend_from_slice(&HEAD);
    if more {
        frame[19] = 0x41;
    }
    frame.extend_from_slice(part);
    frame
}

/// A message in one part and in two: what is handed on of it is as long, and what was not changed is read alike.
fn parts(data: &[u8]) {
    let cut = data.len() / 3;
    let payload = |parts: &[&[u8]]| -> Vec<Bytes> {
        let last = parts.len() - 1;
        let frames: Vec<_> = parts.iter().enumerate().map(|(at, part)| frame(part, at < last)).collect();
        let whole = frames.concat();
        let (out, malformed) = sifted::<Frames>(std::iter::once(&*whole));
        assert!(malformed.is_none() && out.len() == whole.len(), "{malformed:?}");
        let mut rest = &*out;
        let of = |part: &&[u8]| {
            let (frame, behind) = rest.split_at(20 + part.len());
            rest = behind;
            Bytes::copy_from_slice(&frame[20..])
        };
        parts.iter().map(of).collect()
    };
    let (one, two) = (payload(&[data]), payload(&[&data[..cut], &data[cut..]]));
    let (changed, torn) = (one.concat() != data, two.concat() != data);
    assert!(changed || !torn, "one that is none in two parts only");
    let (first, second) = (message(one), message(two));
    // The readers differ in nothing but where bytes lie.
    assert!(changed || format!("{first:?}") == format!("{second:?}"), "in two parts: {first:?} and {second:?}");
    if let Some(read) = first {
        assert!(deepest(&read) <= DEPTH_MAX);
    }
}

/// How deep the values of a body lie.
fn deepest(message: &Received) -> usize {
    let depths: Vec<usize> = match &message.body {
        Body::Value(value) => vec![depth(&value.0)],
        Body::Sequence(sections) => sections.iter().flat_map(|section| section.0.iter().map(depth)).collect(),
        _ => Vec::new(),
    };
    depths.into_iter().max().unwrap_or(0)
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Described(described) => 1 + depth(&described.value),
        Value::List(values) => 1 + values.iter().map(depth).max().unwrap_or(0),
        Value::Array(values) => 1 + values.iter().map(depth).max().unwrap_or(0),
        Value::Map(values) => 1 + values.iter().map(|(key, value)| depth(key).max(depth(value))).max().unwrap_or(0),
        _ => 0,
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let said = sifted::<Frames>(std::iter::once(data));
    assert_eq!(sifted::<Frames>(data.chunks(data.len() % 61 + 2)), said, "in pieces");
    if data.len() <= BYTEWISE_MAX {
        assert_eq!(sifted::<Frames>(data.chunks(1)), said, "byte by byte");
    }
    read(&said.0);
    parts(data);
});
