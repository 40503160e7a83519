//! The properties of this module for any bytes; see [`crate::fuzz`].

use bytes::{BufMut, BytesMut};

use super::compression::{Agreement, Deflater, Preferences, negotiate};
use super::{Decoder, Event, FrameHead, Kind, Opcode, Violation, encode};
use crate::fuzz::cut;

/// A limit that short inputs reach.
const SMALL_BYTES_MAX: usize = 64;
const LARGE_BYTES_MAX: usize = 64 * 1024;

/// Frames decode the same however they are cut; what was decoded encodes to frames that decode to the same, deflated, too; and an
/// answer to offers is one that they allow.
pub fn websocket(data: &[u8]) {
    let Some((options, data)) = data.split_first() else { return };
    if options & 0x80 != 0 {
        return offers(data);
    }
    let agreement = (options & 1 != 0).then(|| Agreement {
        server_no_context_takeover: options & 2 != 0,
        client_no_context_takeover: options & 2 != 0,
        server_max_window_bits: 9 + (options >> 2 & 3) * 2,
        client_max_window_bits: 9 + (options >> 2 & 3) * 2,
        names_server_window: false,
    });
    let limit = if options & 16 != 0 { SMALL_BYTES_MAX } else { LARGE_BYTES_MAX };
    let whole = play(&[data], limit, agreement.as_ref());
    assert_eq!(whole, play(&cut(data, *options), limit, agreement.as_ref()));
    assert_eq!(whole, play(&data.chunks(1).collect::<Vec<_>>(), limit, agreement.as_ref()));
    check(&whole.0, limit);
    let (mut out, mut deflater) = (BytesMut::new(), agreement.map(|agreement| Deflater::new(&agreement, 6)));
    let mut deflated = Vec::new();
    for event in &whole.0 {
        match (event, &mut deflater) {
            (Event::Message { kind, payload }, Some(deflater)) => {
                deflated.clear();
                assert!(deflater.deflate(payload, &mut deflated).is_ok());
                encode::message(*kind, true, &deflated, &mut out);
            }
            (Event::Message { kind, payload }, None) => encode::message(*kind, false, payload, &mut out),
            (Event::Ping(payload), _) => encode::ping(payload, &mut out),
            (Event::Pong(payload), _) => encode::pong(payload, &mut out),
            (Event::Close(close), _) => encode::close(close.code, &close.reason, &mut out),
        }
    }
    let again = play(&[&masked(&out)], limit, agreement.as_ref());
    assert_eq!((whole.0, Ok(())), again);
}

/// What a decoder makes of the pieces: events, and how it ended.
pub fn play(
    pieces: &[&[u8]],
    message_bytes_max: usize,
    agreement: Option<&Agreement>,
) -> (Vec<Event>, Result<(), Violation>) {
    let mut decoder = Decoder::new(message_bytes_max, agreement);
    let (mut input, mut events) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(violation) => {
                    assert_eq!(decoder.decode(&mut input), Err(violation));
                    return (events, Err(violation));
                }
            }
        }
        assert!(input.len() < encode::HEAD_BYTES_MAX + 4 + super::CONTROL_BYTES_MAX, "what is kept unread is bounded");
    }
    (events, Ok(()))
}

/// A client's frame: `first` is the byte of opcode and flags.
pub fn frame(first: u8, key: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let head = FrameHead::new(Opcode::Binary, true, false, payload.len() as u64);
    let mut out = head.to_vec();
    out[0] = first;
    out[1] |= 0x80;
    out.put_slice(&key);
    out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

/// A server's frames as a client would send them.
pub fn masked(mut frames: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let [first, second, rest @ ..] = frames {
        let (length, rest) = match second {
            126 => (u64::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            127 => (u64::from_be_bytes(*rest.first_chunk().unwrap_or(&[0; 8])), &rest[8..]),
            short => (u64::from(*short), rest),
        };
        let (payload, rest) = rest.split_at(length as usize);
        out.extend_from_slice(&frame(*first, [first.wrapping_mul(7), 0, 0xff, *second], payload));
        frames = rest;
    }
    out
}

fn check(events: &[Event], limit: usize) {
    for (at, event) in events.iter().enumerate() {
        match event {
            Event::Message { kind, payload } => {
                assert!(payload.len() <= limit);
                assert!(*kind == Kind::Binary || std::str::from_utf8(payload).is_ok());
            }
            Event::Close(close) => {
                assert_eq!(at, events.len() - 1, "nothing is read behind a close frame");
                assert!(close.code.is_none_or(super::close::may_be_sent));
                assert!(close.reason.len() <= super::close::REASON_BYTES_MAX);
            }
            Event::Ping(_) | Event::Pong(_) => {}
        }
    }
}

fn offers(data: &[u8]) {
    let Some((wanted, line)) = data.split_first() else { return };
    let preferences = Preferences {
        server_no_context_takeover: wanted & 1 != 0,
        client_no_context_takeover: wanted & 2 != 0,
        server_max_window_bits: wanted >> 2 & 7 | 8,
        client_max_window_bits: wanted >> 5 | 8,
    };
    let Ok(Some(agreement)) = negotiate([line], &preferences) else { return };
    assert!((9..=15).contains(&agreement.server_max_window_bits));
    assert!((8..=15).contains(&agreement.client_max_window_bits));
    assert!(agreement.server_no_context_takeover || !preferences.server_no_context_takeover);
    // As an offer the answer can be met as it stands.
    let answer = agreement.answer();
    let again = negotiate([answer.as_bytes()], &Preferences::default()).map(|again| again.map(|again| again.answer()));
    assert_eq!(again, Ok(Some(answer)));
}
