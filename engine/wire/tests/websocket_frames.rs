//! Every rule of RFC 6455 sections 5.2 to 5.5 and 7.4, as frames of a client and what becomes of them.
//!
//! Each conversation is read at once and byte by byte, and must mean the same.

use bytes::{Bytes, BytesMut};
use ringway_wire::fuzz::{websocket_frame as frame, websocket_play as play};
use ringway_wire::websocket::Violation::*;
use ringway_wire::websocket::{Close, Decoder, Event, FrameHead, Kind, Opcode, Violation, close, encode};

const LIMIT: usize = 100_000;
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// First bytes: FIN is 0x80.
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
const TEXT_BEGINS: u8 = 0x01;
const BINARY_BEGINS: u8 = 0x02;
const CONTINUES: u8 = 0x00;
const ENDS: u8 = 0x80;

fn read(bytes: &[u8]) -> (Vec<String>, Result<(), Violation>) {
    let whole = play(&[bytes], LIMIT, None);
    assert_eq!(whole, play(&bytes.chunks(1).collect::<Vec<_>>(), LIMIT, None), "byte by byte");
    (whole.0.iter().map(said).collect(), whole.1)
}

fn said(event: &Event) -> String {
    match event {
        Event::Message { kind: Kind::Text, payload } => format!("text {}", String::from_utf8_lossy(payload)),
        Event::Message { kind: Kind::Binary, payload } => format!("binary {payload:?}"),
        Event::Ping(payload) => format!("ping {}", String::from_utf8_lossy(payload)),
        Event::Pong(payload) => format!("pong {}", String::from_utf8_lossy(payload)),
        Event::Close(Close { code, reason }) => format!("close {code:?} {reason}"),
    }
}

/// Frames of a first byte and a payload.
fn frames(list: &[(u8, &[u8])]) -> Vec<u8> {
    list.iter().flat_map(|(first, payload)| frame(*first, KEY, payload)).collect()
}

#[track_caller]
fn conversation(list: &[(u8, &[u8])], wanted: &[&str], end: Result<(), Violation>) {
    let (events, got) = read(&frames(list));
    assert_eq!((events.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), got), (wanted, end), "{list:x?}");
}

#[test]
fn the_examples_of_the_rfc() {
    // Section 5.7.
    assert_eq!(
        read(&[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]),
        (vec!["text Hello".into()], Ok(()))
    );
    assert_eq!(
        read(&[0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]),
        (vec!["pong Hello".into()], Ok(()))
    );
    let mut out = BytesMut::new();
    encode::message(Kind::Text, false, b"Hello", &mut out);
    assert_eq!(&out[..], [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
    out.clear();
    encode::ping(b"Hello", &mut out);
    assert_eq!(&out[..], [0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
    assert_eq!(&FrameHead::new(Opcode::Text, false, false, 3)[..], [0x01, 0x03]);
    assert_eq!(&FrameHead::new(Opcode::Continuation, true, false, 2)[..], [0x80, 0x02]);
    assert_eq!(&FrameHead::new(Opcode::Binary, true, false, 256)[..], [0x82, 0x7e, 0x01, 0x00]);
    assert_eq!(&FrameHead::new(Opcode::Binary, true, false, 65_536)[..], [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]);
}

#[test]
fn messages_and_control_frames_are_told_apart() {
    conversation(
        &[(TEXT, b"a"), (BINARY, b"\xff\0"), (TEXT, b""), (PING, b"p"), (PONG, b""), (CLOSE, b"\x03\xe8bye")],
        &["text a", r#"binary b"\xff\0""#, "text ", "ping p", "pong ", "close Some(1000) bye"],
        Ok(()),
    );
}

#[test]
fn section_5_1_an_unmasked_frame_fails_the_connection() {
    for first in [TEXT, BINARY, PING, PONG, CLOSE, TEXT_BEGINS] {
        assert_eq!(read(&[first, 0]), (vec![], Err(Unmasked)));
        // It is known from the second byte.
        assert_eq!(read(&[first, 126]), (vec![], Err(Unmasked)));
    }
}

#[test]
fn section_5_2_reserved_bits_and_opcodes() {
    for bits in 1..8 {
        for first in [TEXT, BINARY, CLOSE, PING, PONG, TEXT_BEGINS, CONTINUES] {
            conversation(&[(first | bits << 4, b"")], &[], Err(ReservedBit));
        }
        conversation(&[(TEXT_BEGINS, b"a"), (ENDS | bits << 4, b"b")], &[], Err(ReservedBit));
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        conversation(&[(0x80 | opcode, b"")], &[], Err(ReservedOpcode));
        conversation(&[(opcode, b"a")], &[], Err(ReservedOpcode));
    }
}

#[test]
fn section_5_2_lengths_take_the_fewest_bytes() {
    for bytes in [0usize, 1, 31, 32, 33, 125, 126, 127, 1023, 1024, 65_535, 65_536, LIMIT] {
        let payload = vec![b'x'; bytes];
        let wanted = Event::Message { kind: Kind::Binary, payload: Bytes::from(payload.clone()) };
        let data = frame(BINARY, KEY, &payload);
        assert_eq!(play(&[&data], LIMIT, None), (vec![wanted.clone()], Ok(())), "{bytes}");
        assert_eq!(play(&data.chunks(7).collect::<Vec<_>>(), LIMIT, None), (vec![wanted], Ok(())), "{bytes}");
    }
    for bytes in [0u16, 1, 125] {
        let data = [&[BINARY, 0x80 | 126][..], &bytes.to_be_bytes()].concat();
        assert_eq!(read(&data), (vec![], Err(LongForm)), "{bytes}");
    }
    for bytes in [0u64, 125, 126, 65_535] {
        let data = [&[BINARY, 0x80 | 127][..], &bytes.to_be_bytes()].concat();
        assert_eq!(read(&data), (vec![], Err(LongForm)), "{bytes}");
    }
    for bytes in [1u64 << 63, u64::MAX] {
        let data = [&[BINARY, 0x80 | 127][..], &bytes.to_be_bytes()].concat();
        assert_eq!(read(&data), (vec![], Err(LengthSign)), "{bytes}");
    }
}

#[test]
fn an_announced_length_is_judged_before_anything_is_kept() {
    for bytes in [LIMIT as u64 + 1, 1 << 32, (1 << 63) - 1] {
        // Without key and payload: the length is enough.
        let data = [&[BINARY, 0x80 | 127][..], &bytes.to_be_bytes()].concat();
        assert_eq!(read(&data), (vec![], Err(TooBig)), "{bytes}");
    }
    let half = vec![0; LIMIT / 2];
    let exact = [frame(BINARY_BEGINS, KEY, &half), frame(ENDS, KEY, &half)].concat();
    assert_eq!(play(&[&exact], LIMIT, None).0.len(), 1);
    let more = [frame(BINARY_BEGINS, KEY, &half), frame(CONTINUES, KEY, &half), vec![ENDS, 0x81]].concat();
    assert_eq!(play(&[&more], LIMIT, None), (vec![], Err(TooBig)));
    // With an endless limit the largest length there is may be announced, and costs nothing.
    let endless = [&[BINARY, 0x80 | 127][..], &(u64::MAX >> 1).to_be_bytes(), &KEY, b"some"].concat();
    assert_eq!(play(&[&endless], usize::MAX, None), (vec![], Ok(())));
}

#[test]
fn section_5_3_any_key_unmasks() {
    for key in [[0; 4], [0xff; 4], [1, 2, 3, 4], KEY] {
        for bytes in 0..70 {
            let text: String = "The quick brown fox jumps over the lazy dog. 0123456789 abcdefghijklmnopqrst"
                .chars()
                .take(bytes)
                .collect();
            assert_eq!(read(&frame(TEXT, key, text.as_bytes())), (vec![format!("text {text}")], Ok(())));
        }
    }
}

#[test]
fn section_5_4_fragments_are_joined() {
    conversation(&[(TEXT_BEGINS, b"Hel"), (ENDS, b"lo")], &["text Hello"], Ok(()));
    conversation(
        &[(BINARY_BEGINS, b"a"), (CONTINUES, b"b"), (CONTINUES, b""), (ENDS, b"c")],
        &[r#"binary b"abc""#],
        Ok(()),
    );
    conversation(&[(TEXT_BEGINS, b""), (ENDS, b"")], &["text "], Ok(()));
    conversation(&[(TEXT_BEGINS, b""), (ENDS, b"whole")], &["text whole"], Ok(()));
    conversation(&[(TEXT_BEGINS, b"whole"), (ENDS, b""), (TEXT, b"next")], &["text whole", "text next"], Ok(()));
    conversation(&[(TEXT_BEGINS, b"a")], &[], Ok(()));
}

#[test]
fn section_5_4_control_frames_may_stand_between_fragments() {
    conversation(
        &[(TEXT_BEGINS, b"a"), (PING, b"1"), (CONTINUES, b"b"), (PONG, b"2"), (PING, b"3"), (ENDS, b"c"), (PING, b"4")],
        &["ping 1", "pong 2", "ping 3", "text abc", "ping 4"],
        Ok(()),
    );
    conversation(&[(TEXT_BEGINS, b"a"), (CLOSE, b""), (ENDS, b"c")], &["close None "], Ok(()));
}

#[test]
fn section_5_4_messages_are_not_interleaved() {
    for first in [CONTINUES, ENDS] {
        conversation(&[(first, b"a")], &[], Err(NothingToContinue));
        conversation(&[(TEXT, b"a"), (first, b"b")], &["text a"], Err(NothingToContinue));
        conversation(&[(TEXT_BEGINS, b"a"), (ENDS, b"b"), (first, b"c")], &["text ab"], Err(NothingToContinue));
    }
    for first in [TEXT, BINARY, TEXT_BEGINS, BINARY_BEGINS] {
        conversation(&[(TEXT_BEGINS, b"a"), (first, b"b")], &[], Err(Interleaved));
        conversation(&[(BINARY_BEGINS, b"a"), (CONTINUES, b"b"), (first, b"c")], &[], Err(Interleaved));
    }
}

#[test]
fn section_5_5_control_frames_are_small_and_whole() {
    for first in [PING, PONG, CLOSE] {
        conversation(&[(first & 0x0f, b"")], &[], Err(ControlFragment));
        conversation(&[(first, &[b'x'; 126])], &[], Err(ControlLength));
        assert_eq!(read(&[first, 0x80 | 127]), (vec![], Err(ControlLength)));
    }
    let largest = [b'x'; 125];
    let text = String::from_utf8_lossy(&largest);
    conversation(&[(PING, &largest), (PONG, &largest)], &[&format!("ping {text}"), &format!("pong {text}")], Ok(()));
}

#[test]
fn section_5_5_1_and_7_4_close_frames() {
    conversation(&[(CLOSE, b"")], &["close None "], Ok(()));
    conversation(&[(CLOSE, b"\x03")], &[], Err(CloseLength));
    conversation(&[(CLOSE, b"\x03\xe8")], &["close Some(1000) "], Ok(()));
    conversation(&[(CLOSE, "\u{3}\u{f}ü".as_bytes())], &[], Err(CloseCode));
    conversation(&[(CLOSE, b"\x03\xe8\xff")], &[], Err(CloseReason));
    conversation(&[(CLOSE, b"\x03\xe8\xc3")], &[], Err(CloseReason));
    let longest = [b"\x03\xe8", "ü".repeat(61).as_bytes(), b"x"].concat();
    conversation(&[(CLOSE, &longest)], &[&format!("close Some(1000) {}x", "ü".repeat(61))], Ok(()));
    for code in 0..=u16::MAX {
        let allowed = match code {
            0..=999 => false,
            1000..=1003 | 1007..=1011 => true,
            // 1004 and the rest up to 1015 are reserved, or name what no frame says; IANA gave 1012 to 1014 to servers.
            1012..=1014 => true,
            1004..=1006 | 1015..=2999 => false,
            3000..=4999 => true,
            5000.. => false,
        };
        let event = play(&[&frame(CLOSE, KEY, &code.to_be_bytes())], LIMIT, None);
        let wanted = Event::Close(Close { code: Some(code), reason: String::new() });
        let wanted = if allowed { (vec![wanted], Ok(())) } else { (vec![], Err(CloseCode)) };
        assert_eq!(event, wanted, "{code}");
        assert_eq!(close::may_be_sent(code), allowed, "{code}");
    }
}

#[test]
fn nothing_is_read_behind_a_close_frame() {
    conversation(&[(CLOSE, b"\x03\xe9"), (TEXT, b"a"), (0xff, b"nonsense")], &["close Some(1001) "], Ok(()));
    let (mut decoder, mut input) = (Decoder::new(LIMIT, None), BytesMut::from(&frames(&[(CLOSE, b"")])[..]));
    assert!(matches!(decoder.decode(&mut input), Ok(Some(Event::Close(_)))));
    input.extend_from_slice(&[0xff; 1000]);
    assert_eq!((decoder.decode(&mut input), input.len()), (Ok(None), 0));
}

#[test]
fn section_8_1_text_is_utf_8_across_fragments() {
    let text = "κόσμε \u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}\0";
    for cut in 0..=text.len() {
        let (first, second) = text.as_bytes().split_at(cut);
        conversation(&[(TEXT_BEGINS, first), (PING, b""), (ENDS, second)], &["ping ", &format!("text {text}")], Ok(()));
    }
    for bad in [
        &b"\x80"[..],
        b"\xc0\xaf",
        b"\xc1\xbf",
        b"\xe0\x80\xaf",
        b"\xed\xa0\x80",
        b"\xf0\x80\x80\xaf",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xfe",
        b"\xff",
        b"a\xce",
        b"\xe1\xbd",
        b"\xf0\x90\x8d",
    ] {
        conversation(&[(TEXT, bad)], &[], Err(NotUtf8));
        conversation(&[(TEXT_BEGINS, bad), (ENDS, b"")], &[], Err(NotUtf8));
        conversation(&[(TEXT_BEGINS, bad), (ENDS, b"x")], &[], Err(NotUtf8));
        let binary = format!("binary {:?}", Bytes::copy_from_slice(bad));
        conversation(&[(BINARY, bad)], &[&binary], Ok(()));
    }
}

#[test]
fn a_wrong_byte_is_told_when_it_comes() {
    // The frame announces 100 bytes; the fourth to come can't follow the third.
    for (begin, wrong) in [(&b"ab\xf4"[..], 0x90), (b"ab\xed", 0xa0), (b"abc", 0xff), (b"ab\xc3", b'c')] {
        let (mut decoder, mut input) = (Decoder::new(LIMIT, None), BytesMut::from(&[TEXT, 0x80 | 100, 0, 0, 0, 0][..]));
        input.extend_from_slice(begin);
        assert_eq!(decoder.decode(&mut input), Ok(None), "{begin:?}");
        input.extend_from_slice(&[wrong]);
        assert_eq!(decoder.decode(&mut input), Err(NotUtf8), "{begin:?}");
        assert!(input.is_empty());
    }
}

#[test]
fn a_broken_rule_is_not_forgiven() {
    let (mut decoder, mut input) = (Decoder::new(LIMIT, None), BytesMut::from(&[TEXT, 0][..]));
    for _ in 0..3 {
        assert_eq!(decoder.decode(&mut input), Err(Unmasked));
        input.extend_from_slice(&frames(&[(TEXT, b"fine")]));
    }
}

#[test]
fn a_large_message_that_came_whole_is_not_copied() {
    let data = frame(BINARY, KEY, &[7; 4096]);
    let mut input = BytesMut::with_capacity(2 * data.len());
    input.extend_from_slice(&data);
    let at = input.as_ptr() as usize;
    let Ok(Some(Event::Message { payload, .. })) = Decoder::new(LIMIT, None).decode(&mut input) else {
        panic!("a message");
    };
    assert_eq!(payload.as_ptr() as usize - at, data.len() - 4096);
    assert_eq!(payload, vec![7; 4096]);
}

#[test]
fn a_small_message_does_not_hold_the_buffer_that_it_came_in() {
    let mut input = BytesMut::with_capacity(16 * 1024);
    input.extend_from_slice(&frame(BINARY, KEY, b"small"));
    let at = input.as_ptr() as usize;
    let Ok(Some(Event::Message { payload, .. })) = Decoder::new(LIMIT, None).decode(&mut input) else {
        panic!("a message");
    };
    // The only owner gets its room back without an allocation.
    input.reserve(16 * 1024);
    assert_eq!(input.as_ptr() as usize, at);
    assert_eq!(payload, "small");
}

#[test]
fn a_decoder_knows_whether_it_stands_between_messages() {
    let mut decoder = Decoder::new(LIMIT, None);
    for (frame, within) in [
        (frames(&[(TEXT_BEGINS, b"a")]), true),
        (frames(&[(PING, b"")]), true),
        (frames(&[(ENDS, b"b")]), false),
        (frames(&[(TEXT, b"abc")])[..7].to_vec(), true),
    ] {
        let mut input = BytesMut::from(&frame[..]);
        while !input.is_empty() {
            decoder.decode(&mut input).unwrap();
        }
        assert_eq!(decoder.is_within_message(), within, "{frame:?}");
    }
}

#[test]
fn close_frames_are_written_so_that_they_may_be_read() {
    for (code, reason, wanted) in [
        (None, "", &b"\x88\x00"[..]),
        (None, "never without a code", b"\x88\x00"),
        (Some(1000), "", b"\x88\x02\x03\xe8"),
        (Some(1001), "Stopping", b"\x88\x0a\x03\xe9Stopping"),
        (Some(4999), "x", b"\x88\x03\x13\x87x"),
        (Some(1005), "no frame may have it", b"\x88\x00"),
        (Some(1006), "", b"\x88\x00"),
        (Some(0), "", b"\x88\x00"),
    ] {
        let mut out = BytesMut::new();
        encode::close(code, reason, &mut out);
        assert_eq!(&out[..], wanted, "{code:?} {reason}");
    }
    // A reason that is too long loses whole characters.
    let mut out = BytesMut::new();
    encode::close(Some(close::INTERNAL_ERROR), &"ü".repeat(100), &mut out);
    assert_eq!(&out[..4], [0x88, 2 + 122, 0x03, 0xf3]);
    assert_eq!(&out[4..], "ü".repeat(61).as_bytes());
}

#[test]
fn pings_are_cut_to_what_a_control_frame_holds() {
    let mut out = BytesMut::new();
    encode::ping(&[1; 200], &mut out);
    encode::pong(&[2; 125], &mut out);
    assert_eq!((out.len(), &out[..2], &out[127..129]), (2 * 127, &[0x89, 125][..], &[0x8a, 125][..]));
}
