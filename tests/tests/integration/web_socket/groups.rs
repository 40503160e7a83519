//! Autobahn's groups, each case once straight at the server and then through the gateway: the same bytes come back.

use std::net::SocketAddr;

use ringway_tests::{Backend, Gateway};

use super::frames::{BINARY, CLOSE, CONTINUATION, Frame, TEXT, fragments};
use super::{noise, open, server};

/// What a client sends and what comes back. Every case ends with a close frame of the server.
struct Case {
    name: String,
    sends: Vec<Frame>,
    back: Vec<Frame>,
}

impl Case {
    /// The server's answers are followed by a good-bye of the client, code 1000.
    fn good(name: impl Into<String>, sends: Vec<Frame>, back: Vec<Frame>) -> Case {
        let end = |mut frames: Vec<Frame>| {
            frames.push(Frame::close(1000, ""));
            frames
        };
        Case { name: name.into(), sends: end(sends), back: end(back) }
    }

    /// The server closes with `code`, whatever follows. A message before is echoed.
    fn bad(name: impl Into<String>, code: u16, sends: Vec<Frame>) -> Case {
        let mut all = vec![Frame::text("before")];
        all.extend(sends);
        all.push(Frame::text("after"));
        Case { name: name.into(), sends: all, back: vec![Frame::text("before"), Frame::close(code, "")] }
    }

    /// A message that comes back.
    fn echo(name: impl Into<String>, message: Frame) -> Case {
        Case::good(name, vec![message.clone()], vec![message])
    }
}

/// The most bytes of a case that is also sent byte by byte.
const BYTEWISE_MAX: usize = 400;
/// Sent at a time otherwise: no divisor of any buffer.
const PIECE_BYTES: usize = 997;

fn play(address: SocketAddr, bytes: &[u8], piece: usize) -> Vec<u8> {
    let mut client = open(address);
    for piece in bytes.chunks(piece) {
        client.send(piece);
    }
    client.rest()
}

/// Plays every case at once and in pieces, straight and through.
#[track_caller]
fn same_verdicts(cases: &[Case]) {
    let backend = Backend::scripted(|peer, _| server::serve(peer));
    let gateway = Gateway::before(&backend.target());
    for case in cases {
        let sends: Vec<u8> = case.sends.iter().flat_map(Frame::masked).collect();
        let back: Vec<u8> = case.back.iter().flat_map(Frame::plain).collect();
        let small = if sends.len() <= BYTEWISE_MAX { 1 } else { PIECE_BYTES };
        for piece in [sends.len(), small] {
            let straight = play(backend.address(), &sends, piece);
            assert!(straight == back, "{} straight, {piece} bytes at a time: {}", case.name, told(&straight));
            let through = play(gateway.http(), &sends, piece);
            assert!(through == back, "{} through, {piece} bytes at a time: {}", case.name, told(&through));
        }
    }
}

fn told(bytes: &[u8]) -> String {
    format!("{} bytes, the last of them {:?}", bytes.len(), &bytes[bytes.len().saturating_sub(40)..])
}

#[test]
fn framing_of_every_length() {
    let mut cases = Vec::new();
    for length in [0, 1, 125, 126, 127, 128, 65_535, 65_536] {
        cases.push(Case::echo(format!("a text of {length}"), Frame::text(vec![b'*'; length])));
        cases.push(Case::echo(format!("{length} bytes"), Frame::binary(noise(length, 1))));
    }
    same_verdicts(&cases);
}

#[test]
fn pings_and_pongs() {
    let mut cases = vec![Case::good("an unasked pong", vec![Frame::pong("x")], vec![])];
    for payload in [&b""[..], b"hello", &[0, 255, 254, 253, 252, 251, 0, 255], &[b'*'; 125]] {
        cases.push(Case::good("a ping", vec![Frame::ping(payload)], vec![Frame::pong(payload)]));
    }
    cases.push(Case::bad("a ping of 126 bytes", 1002, vec![Frame::ping([b'*'; 126])]));
    let pings: Vec<Frame> = (0..10).map(|number| Frame::ping(format!("payload-{number}"))).collect();
    let pongs = pings.iter().map(|ping| Frame::pong(ping.payload.clone())).collect();
    cases.push(Case::good("ten pings", pings, pongs));
    same_verdicts(&cases);
}

#[test]
fn reserved_bits_and_opcodes_are_refused_by_whom_they_reach() {
    let mut cases = Vec::new();
    for bits in 1..8 {
        cases.push(Case::bad(format!("reserved bits {bits}"), 1002, vec![Frame::text("x").reserved(bits)]));
        cases.push(Case::bad(format!("a ping, bits {bits}"), 1002, vec![Frame::ping("x").reserved(bits)]));
        cases.push(Case::bad(format!("a close, bits {bits}"), 1002, vec![Frame::close(1000, "").reserved(bits)]));
    }
    for opcode in (3..8).chain(11..16) {
        for payload in ["", "reserved opcode payload"] {
            cases.push(Case::bad(format!("opcode {opcode}"), 1002, vec![Frame::new(opcode, payload)]));
        }
    }
    same_verdicts(&cases);
}

#[test]
fn fragments_with_control_frames_between() {
    let more = |payload: &str| Frame::new(CONTINUATION, payload);
    let halves = || vec![Frame::text("frag").unfinished(), more("ment")];
    let between = vec![Frame::text("frag").unfinished(), Frame::ping("p"), more("me").unfinished(), more("nt")];
    let mut cases = vec![
        Case::good("two fragments", halves(), vec![Frame::text("fragment")]),
        Case::good("a ping between", between, vec![Frame::pong("p"), Frame::text("fragment")]),
        Case::bad("a ping in fragments", 1002, vec![Frame::ping("p").unfinished(), more("ing")]),
        Case::bad("a pong in fragments", 1002, vec![Frame::pong("p").unfinished(), more("ong")]),
        Case::bad("more of nothing", 1002, vec![more("x")]),
        Case::bad("more of nothing, unfinished", 1002, vec![more("x").unfinished(), more("y")]),
        Case::bad("a message within a message", 1002, vec![Frame::text("a").unfinished(), Frame::text("b")]),
        Case::bad("more after the end", 1002, [halves(), vec![more("x")]].concat()),
        Case::good(
            "empty fragments",
            vec![Frame::text("").unfinished(), more("").unfinished(), more("")],
            vec![Frame::text("")],
        ),
    ];
    // The last one's refusal comes after the whole message was echoed.
    if let Some(after) = cases.iter_mut().find(|case| case.name == "more after the end") {
        after.back.insert(1, Frame::text("fragment"));
    }
    let payload = noise(5_000, 2);
    for size in [1, 7, 128, 4_999] {
        let name = format!("fragments of {size}");
        cases.push(Case::good(name, fragments(BINARY, &payload, size), vec![Frame::binary(payload.clone())]));
    }
    same_verdicts(&cases);
}

#[test]
fn utf8_split_over_frames() {
    let mut cases = Vec::new();
    let good = [
        "Hello-µ@ßöäüàá-UTF-8!!",
        "κόσμε",
        "\u{0}\u{7f}\u{80}\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}",
        "\u{fdd0}\u{1fffe}",
    ];
    for text in good {
        cases.push(Case::echo(text, Frame::text(text)));
        for size in 1..5 {
            let frames = fragments(TEXT, text.as_bytes(), size);
            cases.push(Case::good(format!("{text} by {size}"), frames, vec![Frame::text(text)]));
        }
    }
    let bad: [&[u8]; 12] = [
        b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80edited",
        b"\x80",
        b"\xbf",
        b"\xfe",
        b"\xff",
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\xf0\x80\x80\x80",
        b"\xed\xbf\xbf",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"cut \xe2\x82",
    ];
    for bytes in bad {
        cases.push(Case::bad(format!("{bytes:x?}"), 1007, vec![Frame::text(bytes)]));
        cases.push(Case::bad(format!("{bytes:x?} split"), 1007, fragments(TEXT, bytes, 1)));
        cases.push(Case::echo(format!("{bytes:x?} as bytes"), Frame::binary(bytes)));
    }
    same_verdicts(&cases);
}

#[test]
fn the_close_handshake_and_its_codes() {
    let bye = |name: &str, sends: Vec<Frame>, back: Frame| Case { name: name.into(), sends, back: vec![back] };
    let empty = Frame::new(CLOSE, "");
    let mut cases = vec![
        bye("empty", vec![empty.clone()], empty.clone()),
        bye("twice", vec![empty.clone(), empty.clone()], empty.clone()),
        bye("a ping after it", vec![empty.clone(), Frame::ping("x")], empty.clone()),
        bye("a message after it", vec![empty.clone(), Frame::text("x")], empty.clone()),
        bye("within a message", vec![Frame::text("x").unfinished(), empty.clone()], empty),
        bye("a reason of 123 bytes", vec![Frame::close(1000, [b'*'; 123])], Frame::close(1000, "")),
        Case::bad("one byte", 1002, vec![Frame::new(CLOSE, "x")]),
        Case::bad("a reason of 124 bytes", 1002, vec![Frame::close(1000, [b'*'; 124])]),
        Case::bad("a reason that is no text", 1007, vec![Frame::close(1000, b"\xce\xba\xed\xa0\x80")]),
    ];
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999] {
        cases.push(bye("a good code", vec![Frame::close(code, "why")], Frame::close(code, "")));
    }
    for code in [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65_535] {
        cases.push(Case::bad(format!("code {code}"), 1002, vec![Frame::close(code, "")]));
    }
    same_verdicts(&cases);
}

#[test]
fn a_frame_without_a_mask_is_refused_by_whom_it_reaches() {
    let backend = Backend::scripted(|peer, _| server::serve(peer));
    let gateway = Gateway::before(&backend.target());
    for address in [backend.address(), gateway.http()] {
        assert_eq!(play(address, &Frame::text("bare").plain(), 100), Frame::close(1002, "").plain());
    }
}
