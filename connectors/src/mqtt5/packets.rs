//! What a broker says, read out of the bytes that come: packets of MQTT 5, by `rumqttc` where there is more to them than numbers.

use bytes::BytesMut;
use rumqttc::v5::mqttbytes::v5::{ConnAck, Packet, Publish};
use rumqttc::v5::mqttbytes::{Error, QoS, qos};

/// The largest packet that is taken, a message of 16 MiB with its topic and headers; the broker is told, and sends none that is larger.
pub const PACKET_BYTES_MAX: usize = (16 * 1024 + 64) * 1024;

/// Properties of a packet. One takes five bytes, and ten times as much and more once it is read.
pub const PROPERTIES_MAX: usize = 1024;

/// A packet from the broker, as far as somebody wants to know of it.
#[derive(Debug)]
pub enum Inbound {
    /// A message.
    Publish(Publish),
    /// One with more than [`PROPERTIES_MAX`] properties, which is not read: its packet identifier, 0 without one, and its QoS.
    Overloaded(u16, QoS),
    /// PUBACK: packet and reason.
    PubAck(u16, u8),
    /// PUBREC.
    PubRec(u16, u8),
    /// PUBREL: packet.
    PubRel(u16),
    /// PUBCOMP: packet.
    PubComp(u16),
    /// SUBACK: a reason for each filter.
    SubAck(Vec<u8>),
    /// UNSUBACK.
    UnsubAck,
}

/// Why nothing more is read.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// The broker ends the connection and says why (MQTT 5, section 3.14.2.1).
    Told(u8),
    /// What comes is no MQTT: what is wrong.
    Invalid(String),
    /// What comes first is no answer to CONNECT.
    Foreign(String),
}

/// The bytes that have come.
#[derive(Default)]
pub struct Packets(BytesMut);

impl Packets {
    /// Where more are put.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.0
    }

    /// The answer to CONNECT, which comes before all else.
    ///
    /// # Errors
    /// Something else came.
    pub fn accepted(&mut self) -> Result<Option<ConnAck>, Ended> {
        let Some((_, frame)) = self.frame()? else { return Ok(None) };
        // Flags and a reason come before the properties.
        if body(&frame).and_then(|body| body.get(2..)).is_some_and(has_too_many) {
            return Err(Ended::Foreign("its first packet has too many properties".to_owned()));
        }
        match parse(frame) {
            Ok(Some(Packet::ConnAck(answer))) => Ok(Some(answer)),
            Ok(_) => Err(Ended::Foreign("its first packet is no CONNACK".to_owned())),
            Err(error) => Err(Ended::Foreign(error.to_string())),
        }
    }

    /// The next packet that has come.
    ///
    /// # Errors
    /// It is none, or says that the connection ends.
    pub fn next(&mut self) -> Result<Option<Inbound>, Ended> {
        while let Some((first, frame)) = self.frame()? {
            let invalid = || Ended::Invalid("a packet that is too short".to_owned());
            let body = body(&frame).ok_or_else(invalid)?;
            // By hand: what its reason codes mean is for those to judge who asked.
            let number = |body: &[u8]| body.first_chunk().map(|bytes| u16::from_be_bytes(*bytes)).ok_or_else(invalid);
            let reason = body.get(2).copied().unwrap_or(0);
            return Ok(Some(match first >> 4 {
                4 => Inbound::PubAck(number(body)?, reason),
                5 => Inbound::PubRec(number(body)?, reason),
                6 => Inbound::PubRel(number(body)?),
                7 => Inbound::PubComp(number(body)?),
                9 => {
                    let rest = body.get(2..).and_then(behind_properties).ok_or_else(invalid)?;
                    Inbound::SubAck(rest.to_vec())
                }
                11 => Inbound::UnsubAck,
                13 => continue,
                14 => return Err(Ended::Told(body.first().copied().unwrap_or(0))),
                3 if let Some((packet, qos)) = overloaded(first, body) => Inbound::Overloaded(packet, qos),
                3 => match parse(frame) {
                    // One without a topic means an earlier one by an alias (section 3.3.2.3.4), and the broker was allowed none.
                    Ok(Some(Packet::Publish(publish))) if !publish.topic.is_empty() => Inbound::Publish(publish),
                    Ok(_) => return Err(invalid()),
                    Err(error) => return Err(Ended::Invalid(error.to_string())),
                },
                kind => return Err(Ended::Invalid(format!("a packet of type {kind}"))),
            }));
        }
        Ok(None)
    }

    /// Takes a whole packet from the input: its first byte, and all of it.
    fn frame(&mut self) -> Result<Option<(u8, BytesMut)>, Ended> {
        let Some(first) = self.0.first().copied() else { return Ok(None) };
        let Some((length, digits)) = self.0.get(1..).and_then(integer) else {
            return match self.0.len() {
                0..5 => Ok(None),
                _ => Err(Ended::Invalid("a length of more than four bytes".to_owned())),
            };
        };
        let whole = 1 + digits + length;
        if whole > PACKET_BYTES_MAX {
            return Err(Ended::Invalid(format!("a packet of {whole} bytes, although it was told that none is taken")));
        }
        if self.0.len() < whole {
            self.0.reserve(whole - self.0.len());
            return Ok(None);
        }
        Ok(Some((first, self.0.split_to(whole))))
    }
}

fn parse(mut frame: BytesMut) -> Result<Option<Packet>, Error> {
    match Packet::read(&mut frame, None) {
        Ok(packet) => Ok(Some(packet)),
        // A whole packet that lacks something is none.
        Err(Error::InsufficientBytes(_)) => Err(Error::MalformedPacket),
        Err(error) => Err(error),
    }
}

/// A variable byte integer (MQTT 5, section 1.5.5), and how many bytes it takes.
fn integer(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    None
}

/// What stands behind the first byte and the length.
fn body(frame: &[u8]) -> Option<&[u8]> {
    let (_, digits) = integer(frame.get(1..)?)?;
    frame.get(1 + digits..)
}

/// Packet identifier and QoS of a message (MQTT 5, section 3.3.2) with too many properties.
fn overloaded(first: u8, body: &[u8]) -> Option<(u16, QoS)> {
    let qos = qos(first >> 1 & 3)?;
    let rest = behind_text(body)?;
    let (packet, properties) = match qos {
        QoS::AtMostOnce => (0, rest),
        _ => rest.split_first_chunk().map(|(packet, properties)| (u16::from_be_bytes(*packet), properties))?,
    };
    (has_too_many(properties) && (packet > 0 || qos == QoS::AtMostOnce)).then_some((packet, qos))
}

/// Whether more than [`PROPERTIES_MAX`] properties begin here (MQTT 5, section 2.2.2).
fn has_too_many(bytes: &[u8]) -> bool {
    let properties = integer(bytes).and_then(|(length, digits)| bytes.get(digits..digits + length));
    let mut rest = properties.unwrap_or_default();
    for _ in 0..PROPERTIES_MAX {
        // What is none is for the library to find.
        let Some(behind) = rest.split_first().and_then(|(kind, value)| behind_value(*kind, value)) else {
            return false;
        };
        rest = behind;
    }
    !rest.is_empty()
}

/// What is behind the value of a property (MQTT 5, table 2-4).
fn behind_value(kind: u8, value: &[u8]) -> Option<&[u8]> {
    match kind {
        0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28..=0x2A => value.get(1..),
        0x13 | 0x21..=0x23 => value.get(2..),
        0x02 | 0x11 | 0x18 | 0x27 => value.get(4..),
        0x0B => value.get(integer(value)?.1..),
        0x03 | 0x08 | 0x09 | 0x12 | 0x15 | 0x16 | 0x1A | 0x1C | 0x1F => behind_text(value),
        0x26 => behind_text(behind_text(value)?),
        _ => None,
    }
}

/// What is behind text, or bytes, with their length in two bytes.
fn behind_text(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.get(usize::from(u16::from_be_bytes(*length))..)
}

fn behind_properties(bytes: &[u8]) -> Option<&[u8]> {
    let (length, digits) = integer(bytes)?;
    bytes.get(digits + length..)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(input: &[u8]) -> Packets {
        Packets(input.into())
    }

    #[test]
    fn packets_come_one_after_the_other_with_whatever_reason() {
        // PUBACK with a reason that the library does not know (packet too large), PINGRESP, a short PUBACK, SUBACK, half a PUBACK.
        let bytes = b"\x40\x03\x00\x07\x95\xD0\x00\x40\x02\x00\x08\x90\x05\x00\x09\x00\x01\x87\x40\x02\x00";
        let mut packets = packets(bytes);
        assert!(matches!(packets.next(), Ok(Some(Inbound::PubAck(7, 0x95)))));
        assert!(matches!(packets.next(), Ok(Some(Inbound::PubAck(8, 0)))));
        let Ok(Some(Inbound::SubAck(reasons))) = packets.next() else { panic!("no SUBACK") };
        assert_eq!(reasons, [1, 0x87]);
        assert!(matches!(packets.next(), Ok(None)));
    }

    /// A packet of a message with so many user properties, which say nothing, and one more of another kind.
    fn message(first: u8, properties: usize) -> Vec<u8> {
        let integer = |value: usize| [0x80 | value as u8, 0x80 | (value >> 7) as u8, (value >> 14) as u8];
        let properties = [&[0x26, 0, 0, 0, 0].repeat(properties)[..], &[0x0B, 0x80, 0x01]].concat();
        let packet = if first & 6 == 0 { &[][..] } else { &[0, 7] };
        let body = [b"\x00\x01t", packet, &integer(properties.len()), &properties, b"hi"].concat();
        [&[first][..], &integer(body.len()), &body].concat()
    }

    #[test]
    fn a_message_with_too_many_properties_is_not_read() {
        for (first, packet, level) in
            [(0x30, 0, QoS::AtMostOnce), (0x32, 7, QoS::AtLeastOnce), (0x3D, 7, QoS::ExactlyOnce)]
        {
            let bytes = [message(first, PROPERTIES_MAX - 1), message(first, PROPERTIES_MAX)].concat();
            let mut packets = packets(&bytes);
            let Ok(Some(Inbound::Publish(publish))) = packets.next() else { panic!("{level:?}: no message") };
            let properties = publish.properties.expect("properties");
            assert_eq!(properties.user_properties.len(), PROPERTIES_MAX - 1);
            match packets.next() {
                Ok(Some(Inbound::Overloaded(found, qos))) => assert_eq!((found, qos), (packet, level)),
                other => panic!("{level:?}: {other:?}"),
            }
            assert!(matches!(packets.next(), Ok(None)));
        }
        let answer = |properties: usize| {
            let properties = [0x26, 0, 0, 0, 0].repeat(properties);
            let length = |value: usize| [0x80 | value as u8, (value >> 7) as u8];
            [b"\x20", &length(properties.len() + 4)[..], b"\x00\x00", &length(properties.len()), &properties].concat()
        };
        assert!(matches!(packets(&answer(PROPERTIES_MAX)).accepted(), Ok(Some(_))));
        assert!(matches!(packets(&answer(PROPERTIES_MAX + 1)).accepted(), Err(Ended::Foreign(_))));
    }

    #[test]
    fn what_is_no_packet_ends_the_connection() {
        for bytes in [
            &b"\x40\x01\x00"[..],                // an acknowledgement of nothing
            b"\x30\xFF\xFF\xFF\xFF\x01",         // a length of five bytes
            b"\x30\xFF\xFF\xFF\x7F",             // 256 MiB
            b"\x30\x01\x00",                     // a PUBLISH without a topic
            b"\x30\x06\x00\x00\x03\x23\x00\x01", // an alias of one
            b"\x32\x04\x00\x01a\x00",            // its packet identifier cut off
            b"\x32\x06\x00\x01a\x00\x00\x00",    // a packet identifier of 0
            b"\x36\x06\x00\x01a\x00\x01\x00",    // QoS 3
            b"\x30\x05\x00\x01a\x05\x01",        // properties beyond the packet
            b"\x90\x04\x00\x01\x09\x00",         // the same in a SUBACK
            b"\x10\x02\x00\x00",                 // a CONNECT
            b"\xF0\x00",                         // an AUTH
            b"\x00\x00",                         // nothing
        ] {
            assert!(matches!(packets(bytes).next(), Err(Ended::Invalid(_))), "{bytes:x?}");
        }
        assert!(matches!(packets(b"\xE0\x00").next(), Err(Ended::Told(0))));
        assert!(matches!(packets(b"\xE0\x02\x8E\x00").next(), Err(Ended::Told(0x8E))));
    }
}
