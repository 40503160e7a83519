//! Packets of clients: bytes in, what they ask for out. The codec is that of `rumqttc`; what it cannot do as a broker's is done here.

use bytes::BytesMut;
use rumqttc::v5::mqttbytes::Error;
use rumqttc::v5::mqttbytes::v5::{Connect, LastWill, Packet, Publish, Subscribe, Unsubscribe};

/// The largest packet that is taken, in bytes. Clients are told.
pub const PACKET_BYTES_MAX: usize = 64 * 1024;

/// Reasons of DISCONNECT and CONNACK (MQTT 5, section 2.4).
pub mod reason {
    pub const MALFORMED: u8 = 0x81;
    pub const PROTOCOL_ERROR: u8 = 0x82;
    pub const VERSION_UNSUPPORTED: u8 = 0x84;
    pub const METHOD_UNKNOWN: u8 = 0x8C;
    pub const KEEP_ALIVE: u8 = 0x8D;
    pub const TAKEN_OVER: u8 = 0x8E;
    pub const TOPIC_INVALID: u8 = 0x90;
    pub const ALIAS_INVALID: u8 = 0x94;
    pub const PACKET_TOO_LARGE: u8 = 0x95;
    pub const QUOTA_EXCEEDED: u8 = 0x97;
    pub const QOS_UNSUPPORTED: u8 = 0x9B;
}

/// What a client sends.
#[derive(Debug)]
pub enum Inbound {
    /// It introduces itself.
    Connect(Connect, Option<LastWill>),
    /// It publishes.
    Publish(Publish),
    /// It has a message: packet.
    PubAck(u16),
    /// It wants to hear.
    Subscribe(Subscribe),
    /// It does not want to hear any more.
    Unsubscribe(Unsubscribe),
    /// It asks whether anybody is there.
    Ping,
    /// It goes; whether its will is to be published.
    Disconnect(bool),
}

/// Takes the first whole packet.
///
/// # Errors
/// The reason for which the connection ends.
pub fn take(input: &mut BytesMut) -> Result<Option<Inbound>, u8> {
    let Some(first) = input.first().copied() else { return Ok(None) };
    let Some((length, digits)) = input.get(1..).and_then(integer) else {
        // A length has up to four bytes (section 1.5.5).
        return if input.len() < 5 { Ok(None) } else { Err(reason::MALFORMED) };
    };
    let whole = 1 + digits + length;
    if whole > PACKET_BYTES_MAX {
        return Err(reason::PACKET_TOO_LARGE);
    }
    if input.len() < whole {
        return Ok(None);
    }
    let mut frame = input.split_to(whole);
    let body = frame.get(1 + digits..).unwrap_or_default();
    // By hand: the codec refuses the short forms of these.
    match first >> 4 {
        4 => {
            let packet = body.first_chunk().ok_or(reason::MALFORMED)?;
            return Ok(Some(Inbound::PubAck(u16::from_be_bytes(*packet))));
        }
        12 => return Ok(Some(Inbound::Ping)),
        // Section 3.14.2.1: only a normal end takes the will away.
        14 => return Ok(Some(Inbound::Disconnect(body.first().is_some_and(|reason| *reason != 0)))),
        _ => {}
    }
    let packet = match Packet::read(&mut frame, None) {
        Ok(packet) => packet,
        Err(Error::InvalidProtocolLevel(_) | Error::InvalidProtocol) => return Err(reason::VERSION_UNSUPPORTED),
        Err(_) => return Err(reason::MALFORMED),
    };
    match packet {
        Packet::Connect(connect, will, _) => Ok(Some(Inbound::Connect(connect, will))),
        Packet::Publish(publish) => Ok(Some(Inbound::Publish(publish))),
        Packet::Subscribe(subscribe) => Ok(Some(Inbound::Subscribe(subscribe))),
        Packet::Unsubscribe(unsubscribe) => Ok(Some(Inbound::Unsubscribe(unsubscribe))),
        _ => Err(reason::PROTOCOL_ERROR),
    }
}

/// A variable byte integer (section 1.5.5), and how many bytes it takes.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_waits_for_its_end() {
        let mut whole = BytesMut::new();
        Packet::Subscribe(Subscribe { pkid: 7, filters: vec![Default::default()], properties: None })
            .write(&mut whole, None)
            .unwrap();
        let mut input = BytesMut::new();
        for byte in whole.split_to(whole.len() - 1) {
            input.extend_from_slice(&[byte]);
            assert!(take(&mut input).unwrap().is_none());
        }
        input.extend_from_slice(&whole);
        assert!(matches!(take(&mut input), Ok(Some(Inbound::Subscribe(Subscribe { pkid: 7, .. })))));
        assert!(input.is_empty());
    }

    #[test]
    fn short_forms_are_read_and_hostile_ones_refused() {
        let read = |bytes: &[u8]| take(&mut BytesMut::from(bytes));
        assert!(matches!(read(&[0xE0, 0]), Ok(Some(Inbound::Disconnect(false)))));
        assert!(matches!(read(&[0xE0, 1, 4]), Ok(Some(Inbound::Disconnect(true)))));
        assert!(matches!(read(&[0xC0, 0]), Ok(Some(Inbound::Ping))));
        assert!(matches!(read(&[0x40, 2, 1, 2]), Ok(Some(Inbound::PubAck(0x102)))));
        for (bytes, wanted) in [
            (&[0x30, 0xFF, 0xFF, 0xFF, 0xFF][..], reason::MALFORMED),
            (&[0x30, 0xFF, 0xFF, 0xFF, 0x7F], reason::PACKET_TOO_LARGE),
            (&[0x40, 1, 1], reason::MALFORMED),
            (&[0x30, 0], reason::MALFORMED),
            (&[0x32, 3, 0, 1, b'a'], reason::MALFORMED),
            (&[0x10, 7, 0, 4, b'M', b'Q', b'T', b'T', 4], reason::VERSION_UNSUPPORTED),
            (&[0x20, 3, 0, 0, 0], reason::PROTOCOL_ERROR),
            (&[0x82, 3, 0, 1, 0], reason::MALFORMED),
        ] {
            assert_eq!(read(bytes).map(|_| ()), Err(wanted), "{bytes:02x?}");
        }
    }
}
