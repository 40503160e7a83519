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
        let Some((first, frame)) = self.frame()? else { return Ok(None) };
        let foreign = |what: &str| Ended::Foreign(what.to_owned());
        if first >> 4 != 2 {
            return Err(foreign("its first packet is no CONNACK"));
        }
        match look(first, body(&frame).unwrap_or_default()) {
            Ok(Look::Read) => {}
            Ok(Look::LeaveOut(..)) => return Err(foreign("its first packet has too many properties")),
            Err(what) => return Err(foreign(what)),
        }
        match parse(frame) {
            Ok(Some(Packet::ConnAck(answer))) => Ok(Some(answer)),
            Ok(_) => Err(foreign("its first packet is no CONNACK")),
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
                3 => match look(first, body) {
                    Ok(Look::Read) => match parse(frame) {
                        Ok(Some(Packet::Publish(publish))) => Inbound::Publish(publish),
                        Ok(_) => return Err(invalid()),
                        Err(error) => return Err(Ended::Invalid(error.to_string())),
                    },
                    Ok(Look::LeaveOut(packet, qos)) => Inbound::Overloaded(packet, qos),
                    Err(what) => return Err(Ended::Invalid(what.to_owned())),
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

/// What becomes of a packet that the library would read.
#[derive(Debug, PartialEq, Eq)]
pub enum Look {
    /// It reads it.
    Read,
    /// There are more than [`PROPERTIES_MAX`] properties: its packet identifier, 0 without one, and its QoS.
    LeaveOut(u16, QoS),
}

/// Looks at what stands behind the first byte and the length of a PUBLISH or CONNACK (MQTT 5, sections 3.3 and 3.2); nothing else is read by the
/// library. It takes properties until it has as many bytes as they say to have, or meets what is none, and keeps them until then: their number
/// counts in a packet that it refuses, too, and with more bytes than the packet has it goes on in the payload.
///
/// # Errors
/// The packet is none: what is wrong.
pub fn look(first: u8, body: &[u8]) -> Result<Look, &'static str> {
    const SHORT: &str = "a packet that is too short";
    let (packet, qos, rest) = match first >> 4 {
        // Flags and a reason.
        2 => (0, QoS::AtMostOnce, body.get(2..).ok_or(SHORT)?),
        3 => {
            let qos = qos(first >> 1 & 3).ok_or("a message of QoS 3")?;
            let rest = behind_text(body).ok_or(SHORT)?;
            // It would mean an earlier one by an alias (section 3.3.2.3.4), and the broker was allowed none.
            if body.starts_with(&[0, 0]) {
                return Err("a message without a topic");
            }
            match qos {
                QoS::AtMostOnce => (0, qos, rest),
                _ => match rest.split_first_chunk().ok_or(SHORT)? {
                    ([0, 0], _) => return Err("a message with the packet identifier 0"),
                    (packet, rest) => (u16::from_be_bytes(*packet), qos, rest),
                },
            }
        }
        _ => return Err("a packet that is not read"),
    };
    let (length, digits) = integer(rest).ok_or(SHORT)?;
    let properties = rest.get(digits..digits + length).ok_or("properties that are longer than their packet")?;
    Ok(if has_too_many(properties) { Look::LeaveOut(packet, qos) } else { Look::Read })
}

/// Whether these are more than [`PROPERTIES_MAX`] properties (MQTT 5, section 2.2.2).
fn has_too_many(mut rest: &[u8]) -> bool {
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

    /// What is in the packet is told by who refuses it: the library has words of its own.
    #[test]
    fn properties_of_a_packet_that_is_none_are_not_read() {
        let many = [0x26, 0, 0, 0, 0].repeat(3_000);
        let framed = |first: u8, head: &[u8], length: &[u8]| {
            let size = head.len() + length.len() + many.len();
            let size = [0x80 | size as u8, 0x80 | (size >> 7) as u8, (size >> 14) as u8];
            [&[first][..], &size, head, length, &many].concat()
        };
        let (right, beyond) = (&[0x98, 0xF5, 0x00][..], &[0x99, 0xF5, 0x00][..]);
        let zero = "a message with the packet identifier 0";
        let longer = "properties that are longer than their packet";
        for (first, head, length, wrong) in [
            (0x32, &b"\x00\x01t\x00\x00"[..], right, zero),
            (0x34, b"\x00\x01t\x00\x00", right, zero),
            (0x32, b"\x00\x01t\x00\x00", beyond, zero),
            (0x30, b"\x00\x01t", beyond, longer),
            (0x32, b"\x00\x01t\x00\x07", beyond, longer),
            (0x34, b"\x00\x01t\x00\x07", b"\xFF\xFF\xFF\x7F", longer),
            (0x30, b"\x00\x00", right, "a message without a topic"),
            (0x36, b"\x00\x01t\x00\x07", right, "a message of QoS 3"),
        ] {
            let bytes = framed(first, head, length);
            match packets(&bytes).next() {
                Err(Ended::Invalid(what)) => assert_eq!(what, wrong, "{head:x?} {length:x?}"),
                other => panic!("{head:x?} {length:x?}: {other:?}"),
            }
            let answered = packets(&bytes).accepted();
            assert_eq!(answered.err(), Some(Ended::Foreign("its first packet is no CONNACK".to_owned())));
        }
        let answered = packets(&framed(0x20, &[0, 0], beyond)).accepted();
        assert_eq!(answered.err(), Some(Ended::Foreign(longer.to_owned())));
        // Of these nothing is read but numbers and reasons, whatever their properties say.
        let answers = [framed(0x40, &[0, 7, 0], right), framed(0x62, &[0, 7, 0], beyond), framed(0x90, &[0, 9], right)];
        let mut packets = packets(&answers.concat());
        assert!(matches!(packets.next(), Ok(Some(Inbound::PubAck(7, 0)))));
        assert!(matches!(packets.next(), Ok(Some(Inbound::PubRel(7)))));
        assert!(matches!(packets.next(), Ok(Some(Inbound::SubAck(reasons))) if reasons.is_empty()));
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
