//! What is seen of packets of MQTT 5 before the client library reads them, beside what its own reader makes of the same bytes.

use bytes::Bytes;
use rumqttc::v5::mqttbytes::Error;
use rumqttc::v5::mqttbytes::v5::{ConnAckProperties, Packet, Publish, PublishProperties, check};

use super::mqtt5::packets::{Ended, Inbound, Look, PROPERTIES_MAX, Packets, look};

/// Properties that are read without what is behind them, if they have no more bytes.
const SHORT_BYTES: usize = 64;

/// Packets one after the other, which come in pieces of this size.
pub fn stream(bytes: &[u8], size: usize) {
    let (mut packets, mut pieces) = (Packets::default(), bytes.chunks(size));
    let mut next = || loop {
        match packets.next() {
            Ok(None) => match pieces.next() {
                Some(piece) => packets.buffer().extend_from_slice(piece),
                None => return Ok(None),
            },
            next => return next,
        }
    };
    let mut rest = bytes;
    while let Ok(header) = check(rest.iter(), None) {
        let (frame, behind) = rest.split_at(header.frame_length());
        rest = behind;
        answer(frame);
        let kind = frame[0] >> 4;
        // Answers to pings are passed over.
        if kind == 13 {
            continue;
        }
        let next = next();
        assert!(!matches!(next, Ok(None)), "{frame:x?} is a whole packet");
        if kind == 3 {
            message(frame, &next);
        }
        if next.is_err() {
            return;
        }
    }
    let next = next();
    assert!(matches!(next, Ok(None) | Err(Ended::Invalid(_))), "{next:?} of no packet");
}

/// A message is handed on as the library reads it, left out, or refused, and the library agrees.
fn message(frame: &[u8], next: &Result<Option<Inbound>, Ended>) {
    let read = match Packet::read(&mut frame.into(), None) {
        Ok(Packet::Publish(publish)) => Some(publish),
        Ok(other) => panic!("a message becomes {other:?}"),
        Err(_) => None,
    };
    let body = body(frame);
    match (look(frame[0], body), next) {
        (Ok(Look::Read), Ok(Some(Inbound::Publish(publish)))) => {
            assert_eq!(Some(publish), read.as_ref(), "unchanged");
            assert!(!publish.topic.is_empty());
            assert_eq!(publish.pkid == 0, frame[0] & 6 == 0);
            assert!(count(properties_of_message(frame[0], body), PublishProperties::read) <= PROPERTIES_MAX);
        }
        (Ok(Look::Read), Err(Ended::Invalid(_))) => {
            assert!(read.is_none(), "refused: {read:?}");
            assert!(count(properties_of_message(frame[0], body), PublishProperties::read) <= PROPERTIES_MAX);
        }
        (Ok(Look::LeaveOut(packet, qos)), Ok(Some(Inbound::Overloaded(number, level)))) => {
            assert_eq!((packet, qos), (*number, *level));
            assert_eq!(packet == 0, frame[0] & 6 == 0);
            let count = count(properties_of_message(frame[0], body), PublishProperties::read);
            assert!(count > PROPERTIES_MAX || refused(&read), "{count} are few");
        }
        (Err(what), Err(Ended::Invalid(told))) => {
            assert_eq!(what, told);
            assert!(refused(&read) || read.is_some_and(|read| read.topic.is_empty()), "{what}");
        }
        (look, next) => panic!("{look:?} and {next:?}"),
    }
}

/// Whether the library refuses a message, or does not find its end: it takes each subscription identifier for a byte longer than it is.
fn refused(read: &Option<Publish>) -> bool {
    let properties = read.as_ref().map(|read| read.properties.as_ref());
    properties.is_none_or(|it| it.is_some_and(|properties| !properties.subscription_identifiers.is_empty()))
}

/// An answer to CONNECT, or what comes in its place.
fn answer(frame: &[u8]) {
    let mut packets = Packets::default();
    packets.buffer().extend_from_slice(frame);
    let accepted = packets.accepted();
    if frame[0] >> 4 != 2 {
        assert_eq!(accepted.err(), Some(Ended::Foreign("its first packet is no CONNACK".to_owned())));
        return;
    }
    let read = match Packet::read(&mut frame.into(), None) {
        Ok(Packet::ConnAck(answer)) => Some(answer),
        _ => None,
    };
    let count = || count(body(frame).get(2..).unwrap_or_default(), ConnAckProperties::read);
    match (look(frame[0], body(frame)), accepted) {
        (Ok(Look::Read), accepted) => {
            assert_eq!(accepted.ok().flatten(), read, "unchanged");
            assert!(count() <= PROPERTIES_MAX);
        }
        (Ok(Look::LeaveOut(..)), Err(Ended::Foreign(_))) => assert!(read.is_none() || count() > PROPERTIES_MAX),
        (Err(what), Err(Ended::Foreign(told))) => assert!(read.is_none() && what == told, "{what} and {told}"),
        (look, accepted) => panic!("{look:?} and {accepted:?}"),
    }
}

/// What stands behind the first byte and the length.
fn body(frame: &[u8]) -> &[u8] {
    let digits = frame[1..].iter().position(|byte| byte & 0x80 == 0).expect("a length");
    &frame[digits + 2..]
}

/// What stands behind topic and packet identifier.
fn properties_of_message(first: u8, body: &[u8]) -> &[u8] {
    let topic = usize::from(u16::from_be_bytes([body[0], body[1]]));
    &body[2 + topic + if first & 6 == 0 { 0 } else { 2 }..]
}

/// How many properties the library takes before it has all of them or refuses one; counted up to one more than are allowed. It is asked for
/// each by itself: of what it makes of all, nobody can tell how often one has come.
fn count<T>(bytes: &[u8], read: fn(&mut Bytes) -> Result<T, Error>) -> usize {
    let (mut length, mut digits) = (0, 0);
    for byte in bytes.iter().take(4) {
        length |= usize::from(byte & 0x7F) << (7 * digits);
        digits += 1;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let bytes = &bytes[digits..];
    let (mut taken, mut count) = (0, 0);
    while taken < length && count <= PROPERTIES_MAX {
        // One begins within one byte. Most are short: what the library takes of a part it takes of all.
        let rest = &bytes[taken..];
        let one = |most: usize| {
            let mut one = Bytes::from([&[1], &rest[..rest.len().min(most)]].concat());
            let size = one.len() - 1;
            read(&mut one).is_ok().then(|| size - one.len())
        };
        let Some(size) = one(SHORT_BYTES).or_else(|| one(rest.len())) else { break };
        taken += size;
        count += 1;
    }
    count
}

/// A PUBLISH or CONNACK with about as many properties as are allowed, or any number, whose length is right or nearly; and what the input says
/// behind that. Inputs hardly ever become that by themselves. Of those that begin like text or a packet nothing is made: it takes longer than all
/// else.
pub fn crowded(data: &[u8]) -> Vec<u8> {
    let Some((&[first, high, low, off, kind, packet], rest)) = data.split_first_chunk() else { return Vec::new() };
    if first & 0x80 == 0 {
        return Vec::new();
    }
    let number = usize::from(u16::from_be_bytes([high, low]));
    let times = if high < 128 { PROPERTIES_MAX - 4 + number % 8 } else { number % (2 * PROPERTIES_MAX) };
    let (own, rest) = rest.split_at(rest.len().min(8));
    let property = match kind % 8 {
        0 => &[0x26, 0, 0, 0, 0][..],
        1 => &[0x26, 0, 1, b'a', 0, 1, b'b'],
        2 => &[0x0B, 1],
        3 => &[0x02, 0, 0, 0, 1],
        4 => &[0x01, 1],
        5 => &[0x1F, 0, 0],
        _ => own,
    };
    let properties = property.repeat(times);
    let length = match off {
        0..128 => properties.len(),
        _ => (properties.len() + usize::from(off)).saturating_sub(192),
    };
    let head = match (first & 0x40, first & 6) {
        (0, 0) => vec![0, 1, b't'],
        (0, _) => vec![0, 1, b't', 0, packet % 4],
        _ => vec![0, packet % 2],
    };
    let body = [&head, &integer(length)[..], &properties, own, rest].concat();
    let first = if first & 0x40 == 0 { 0x30 | first & 0x0F } else { 0x20 };
    [&[first][..], &integer(body.len()), &body].concat()
}

/// A variable byte integer of three bytes.
fn integer(value: usize) -> [u8; 3] {
    [0x80 | value as u8, 0x80 | (value >> 7) as u8, (value >> 14) as u8 & 0x7F]
}
