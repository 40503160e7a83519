//! Compressed messages (RFC 7692 sections 6 and 7.2).
#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

use bytes::BytesMut;
use ringway_wire::fuzz::{websocket_frame as frame, websocket_masked as masked, websocket_play as play};
use ringway_wire::websocket::Violation::{NotDeflated, NotUtf8, ReservedBit, TooBig};
use ringway_wire::websocket::compression::{Agreement, Deflater, Preferences, negotiate};
use ringway_wire::websocket::{Event, Kind, Violation, encode};

const KEY: [u8; 4] = [1, 2, 3, 4];
const LIMIT: usize = 1 << 20;
const RSV1: u8 = 0x40;
/// "Hello" deflated (section 7.2.3.1).
const HELLO: &[u8] = &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

fn agreement(offer: &str) -> Agreement {
    negotiate([format!("permessage-deflate{offer}").as_bytes()], &Preferences::default()).unwrap().unwrap()
}

fn plain() -> Agreement {
    agreement("")
}

#[track_caller]
fn texts(data: &[u8], agreement: &Agreement, wanted: &[&str], end: Result<(), Violation>) {
    for pieces in [vec![data], data.chunks(1).collect(), data.chunks(7).collect()] {
        let (events, got) = play(&pieces, LIMIT, Some(agreement));
        let events: Vec<_> = events
            .iter()
            .map(|event| match event {
                Event::Message { kind: Kind::Text, payload } => String::from_utf8_lossy(payload).into_owned(),
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!((events.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), got), (wanted, end), "{data:x?}");
    }
}

fn compressed(payload: &[u8]) -> Vec<u8> {
    frame(0x81 | RSV1, KEY, payload)
}

#[test]
fn the_examples_of_the_rfc() {
    // 7.2.3.1: one frame, and two.
    texts(&compressed(HELLO), &plain(), &["Hello"], Ok(()));
    let fragments =
        [frame(0x01 | RSV1, KEY, &HELLO[..3]), frame(0x89, KEY, b"p"), frame(0x80, KEY, &HELLO[3..])].concat();
    texts(&fragments, &plain(), &["Ping([112])", "Hello"], Ok(()));
    // 7.2.3.2: the second message is deflated with the first in view.
    let second = [0xf2, 0x00, 0x11, 0x00, 0x00];
    texts(&[compressed(HELLO), compressed(&second)].concat(), &plain(), &["Hello", "Hello"], Ok(()));
    // 7.2.3.3: a block without compression.
    let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
    texts(&compressed(&stored), &plain(), &["Hello"], Ok(()));
    // 7.2.3.4: a block that is marked as the last of its stream; another message follows.
    let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    texts(&[compressed(&last), compressed(HELLO)].concat(), &plain(), &["Hello", "Hello"], Ok(()));
    // 7.2.3.5: two blocks in one message.
    let blocks = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
    texts(&compressed(&blocks), &plain(), &["Hello"], Ok(()));
    // 7.2.3.6: no bytes, both ways.
    texts(&compressed(&[0]), &plain(), &[""], Ok(()));
    let mut out = Vec::new();
    for _ in 0..2 {
        out.clear();
        Deflater::new(&plain(), 6).deflate(b"", &mut out).unwrap();
        assert_eq!(out, [0]);
    }
}

#[test]
fn a_message_may_be_left_as_it_is() {
    texts(
        &[frame(0x81, KEY, b"plain"), compressed(HELLO), frame(0x81, KEY, b"")].concat(),
        &plain(),
        &["plain", "Hello", ""],
        Ok(()),
    );
}

#[test]
fn the_bit_stands_in_the_first_frame_of_a_message_only() {
    for data in [
        [frame(0x01, KEY, b"a"), frame(0x80 | RSV1, KEY, b"b")].concat(),
        [frame(0x01 | RSV1, KEY, &HELLO[..3]), frame(0x80 | RSV1, KEY, &HELLO[3..])].concat(),
        frame(0x89 | RSV1, KEY, b""),
        frame(0x8a | RSV1, KEY, b""),
        frame(0x88 | RSV1, KEY, b""),
        frame(0x81 | 0x60, KEY, b""),
    ] {
        texts(&data, &plain(), &[], Err(ReservedBit));
    }
}

#[test]
fn without_takeover_every_message_stands_alone() {
    let alone = agreement("; client_no_context_takeover");
    texts(&[compressed(HELLO), compressed(HELLO)].concat(), &alone, &["Hello", "Hello"], Ok(()));
    let second = [0xf2, 0x00, 0x11, 0x00, 0x00];
    texts(&[compressed(HELLO), compressed(&second)].concat(), &alone, &["Hello"], Err(NotDeflated));
}

#[test]
fn what_is_not_deflated_is_refused() {
    // A block type that does not exist; a stored block whose length and its complement differ.
    texts(&compressed(&[0x06]), &plain(), &[], Err(NotDeflated));
    texts(&compressed(&[0x00, 0x05, 0x00, 0x00, 0x00]), &plain(), &[], Err(NotDeflated));
    texts(&compressed(&[0xff; 20]), &plain(), &[], Err(NotDeflated));
}

#[test]
fn streams_may_end_over_and_over_within_a_message() {
    let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let message = compressed(&[&last.repeat(40)[..], &[0]].concat());
    texts(&message.repeat(2), &plain(), &[&"Hello".repeat(40), &"Hello".repeat(40)], Ok(()));
    // What has ended can't be referred to.
    let back = [0xf2, 0x00, 0x11, 0x00, 0x00];
    texts(&compressed(&[&last[..], &back].concat()), &plain(), &[], Err(NotDeflated));
}

#[test]
fn inflated_text_is_utf_8() {
    let mut deflater = Deflater::new(&plain(), 6);
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    deflater.deflate("κόσμε".repeat(100).as_bytes(), &mut good).unwrap();
    deflater.deflate(b"abc\xff", &mut bad).unwrap();
    texts(&[compressed(&good), compressed(&bad)].concat(), &plain(), &[&"κόσμε".repeat(100)], Err(NotUtf8));
}

#[test]
fn a_bomb_is_refused_at_the_limit() {
    let mut bomb = Vec::new();
    Deflater::new(&plain(), 9).deflate(&vec![0; LIMIT + 1], &mut bomb).unwrap();
    assert!(bomb.len() < LIMIT / 500, "{} bytes", bomb.len());
    for pieces in [vec![&compressed(&bomb)[..]], compressed(&bomb).chunks(11).collect()] {
        assert_eq!(play(&pieces, LIMIT, Some(&plain())), (vec![], Err(TooBig)));
        assert_eq!(play(&pieces, LIMIT + 1, Some(&plain())).1, Ok(()));
    }
    // A limit of 0 still lets empty messages pass.
    assert_eq!(play(&[&compressed(&[0])], 0, Some(&plain())).1, Ok(()));
    assert_eq!(play(&[&compressed(HELLO)], 0, Some(&plain())), (vec![], Err(TooBig)));
}

#[test]
fn what_is_deflated_inflates_again_in_every_window() {
    let samples: Vec<Vec<u8>> = vec![
        b"a".to_vec(),
        b"Hello, hello, hello".to_vec(),
        vec![],
        vec![0; 100_000],
        (0..70_000u32).flat_map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()).collect(),
        "{\"id\":4711,\"state\":\"open\"},".repeat(3000).into_bytes(),
        vec![],
        b"Hello, hello, hello".to_vec(),
    ];
    for bits in 9..=15 {
        for takeover in ["", "; server_no_context_takeover; client_no_context_takeover"] {
            let agreed =
                agreement(&format!("; server_max_window_bits={bits}; client_max_window_bits={bits}{takeover}"));
            for level in [1, 6, 9] {
                let (mut deflater, mut out, mut frames) = (Deflater::new(&agreed, level), Vec::new(), BytesMut::new());
                for sample in &samples {
                    out.clear();
                    deflater.deflate(sample, &mut out).unwrap();
                    assert!(out.len() <= sample.len() + sample.len() / 8 + 16, "{} of {}", out.len(), sample.len());
                    encode::message(Kind::Binary, true, &out, &mut frames);
                }
                let (events, end) = play(&masked(&frames).chunks(5000).collect::<Vec<_>>(), LIMIT, Some(&agreed));
                let payloads: Vec<_> = events
                    .into_iter()
                    .map(|event| match event {
                        Event::Message { payload, .. } => payload.to_vec(),
                        other => panic!("{other:?}"),
                    })
                    .collect();
                assert!(end.is_ok() && payloads == samples, "{bits} bits, level {level}{takeover}");
            }
        }
    }
}

#[test]
fn takeover_pays_for_messages_that_are_alike() {
    let message = b"{\"sensor\":\"7f3a\",\"unit\":\"C\",\"value\":21.4,\"at\":\"2026-11-26T10:00:00Z\"}";
    let second = |offer: &str| {
        let mut deflater = Deflater::new(&agreement(offer), 6);
        let mut out = Vec::new();
        deflater.deflate(message, &mut out).unwrap();
        deflater.rest();
        let first = out.len();
        deflater.deflate(message, &mut out).unwrap();
        (first, out.len() - first)
    };
    let (first, again) = second("");
    assert!(again < first / 4, "{first} {again}");
    let (first, again) = second("; server_no_context_takeover");
    assert_eq!(first, again);
}
