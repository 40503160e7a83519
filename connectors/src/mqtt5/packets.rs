//! What a broker says, read out of the bytes that come: packets of MQTT 5, by `rumqttc` where there is more to them than numbers.

use bytes::BytesMut;
use rumqttc::v5::mqttbytes::Error;
use rumqttc::v5::mqttbytes::v5::{ConnAck, Packet, Publish};

/// The largest packet that is taken, a message of 16 MiB with its topic and headers; the broker is told, and sends none that is larger.
pub const PACKET_BYTES_MAX: usize = (16 * 1024 + 64) * 1024;

/// A packet from the broker, as far as somebody wants to know of it.
#[derive(Debug)]
pub enum Inbound {
    /// A message.
    Publish(Publish),
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
