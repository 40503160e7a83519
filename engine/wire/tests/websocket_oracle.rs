//! Beside another implementation: what one writes, the other reads, and the same bytes of a client mean the same to both.
#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

use std::io::{Cursor, Read, Write};

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use ringway_wire::fuzz::{websocket_frame, websocket_play};
use ringway_wire::websocket::{Event, FrameHead, Kind, Opcode, encode};
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame, Frame};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Message, WebSocket};

/// A peer that has said all that it will say, and whose ears keep what they hear.
#[derive(Debug)]
struct Line {
    says: Cursor<Vec<u8>>,
    hears: Vec<u8>,
}

impl Line {
    fn saying(bytes: &[u8]) -> Line {
        Line { says: Cursor::new(bytes.to_vec()), hears: Vec::new() }
    }
}

impl Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.says.read(buffer)
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.hears.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What is said, in a form that both have.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

impl From<&Event> for Said {
    fn from(event: &Event) -> Said {
        match event {
            Event::Message { kind: Kind::Text, payload } => Said::Text(String::from_utf8(payload.to_vec()).unwrap()),
            Event::Message { kind: Kind::Binary, payload } => Said::Binary(payload.to_vec()),
            Event::Ping(payload) => Said::Ping(payload.to_vec()),
            Event::Pong(payload) => Said::Pong(payload.to_vec()),
            Event::Close(close) => Said::Close(close.code, close.reason.clone()),
        }
    }
}

impl From<Message> for Said {
    fn from(message: Message) -> Said {
        match message {
            Message::Text(text) => Said::Text(text.as_str().to_owned()),
            Message::Binary(bytes) => Said::Binary(bytes.to_vec()),
            Message::Ping(bytes) => Said::Ping(bytes.to_vec()),
            Message::Pong(bytes) => Said::Pong(bytes.to_vec()),
            Message::Close(None) => Said::Close(None, String::new()),
            Message::Close(Some(frame)) => Said::Close(Some(frame.code.into()), frame.reason.as_str().to_owned()),
            Message::Frame(frame) => panic!("{frame:?}"),
        }
    }
}

/// What the other implementation hears, until the end or a fault; whether it was the end.
fn theirs(bytes: &[u8], role: Role) -> (Vec<Said>, bool) {
    let mut socket = WebSocket::from_raw_socket(Line::saying(bytes), role, Some(WebSocketConfig::default()));
    let mut heard = Vec::new();
    loop {
        match socket.read() {
            // What it says of a close frame with a code that none may have, in place of that frame.
            Ok(Message::Close(Some(frame))) if frame.reason.as_str() == "Protocol violation" => return (heard, false),
            Ok(message) => heard.push(Said::from(message)),
            // The line has ended: in its own words, without a close handshake.
            Err(tungstenite::Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake))
            | Err(tungstenite::Error::ConnectionClosed) => return (heard, true),
            Err(_) => return (heard, false),
        }
    }
}

fn ours(bytes: &[u8]) -> (Vec<Said>, bool) {
    let (events, end) = websocket_play(&[bytes], 16 << 20, None);
    (events.iter().map(Said::from).collect(), end.is_ok())
}

fn said() -> impl Strategy<Value = Said> {
    let small = || vec(any::<u8>(), 0..126);
    prop_oneof![
        4 => any::<String>().prop_map(Said::Text),
        4 => vec(any::<u8>(), 0..2000).prop_map(Said::Binary),
        1 => (65_000usize..70_000).prop_map(|bytes| Said::Binary(vec![7; bytes])),
        2 => small().prop_map(Said::Ping),
        2 => small().prop_map(Said::Pong),
    ]
}

fn close() -> impl Strategy<Value = Option<Said>> {
    let code = select(&[1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4999][..]);
    prop_oneof![
        Just(None),
        Just(Some(Said::Close(None, String::new()))),
        (code, "[a-zü]{0,40}").prop_map(|(code, reason)| Some(Said::Close(Some(code), reason))),
    ]
}

/// Bytes at the most in a fragment, or no fragments.
fn fragments() -> impl Strategy<Value = Option<usize>> {
    prop_oneof![Just(None), (1usize..500).prop_map(Some)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_we_write_they_read((mut list, close, pieces) in (vec(said(), 0..8), close(), fragments())) {
        list.extend(close);
        let mut out = BytesMut::new();
        for said in &list {
            match (said, pieces) {
                (Said::Text(text), None) => encode::message(Kind::Text, false, text.as_bytes(), &mut out),
                (Said::Binary(bytes), None) => encode::message(Kind::Binary, false, bytes, &mut out),
                (Said::Text(text), Some(most)) => fragmented(Opcode::Text, text.as_bytes(), most, &mut out),
                (Said::Binary(bytes), Some(most)) => fragmented(Opcode::Binary, bytes, most, &mut out),
                (Said::Ping(bytes), _) => encode::ping(bytes, &mut out),
                (Said::Pong(bytes), _) => encode::pong(bytes, &mut out),
                (Said::Close(code, reason), _) => encode::close(*code, reason, &mut out),
            }
        }
        prop_assert_eq!(theirs(&out, Role::Client), (list, true));
    }

    #[test]
    fn what_they_write_we_read((mut list, close, pieces) in (vec(said(), 0..8), close(), fragments())) {
        list.extend(close);
        let mut socket = WebSocket::from_raw_socket(Line::saying(b""), Role::Client, None);
        for said in &list {
            for message in messages(said, pieces) {
                socket.send(message).unwrap();
            }
        }
        prop_assert_eq!(ours(&socket.get_ref().hears), (list, true));
    }

    #[test]
    fn any_frames_mean_the_same_to_both(list in vec((any_first_byte(), any::<[u8; 4]>(), any_payload()), 0..8)) {
        let bytes: Vec<u8> = list.iter().flat_map(|(first, key, payload)| websocket_frame(*first, *key, payload)).collect();
        prop_assert_eq!(ours(&bytes), theirs(&bytes, Role::Server));
    }
}

fn fragmented(opcode: Opcode, payload: &[u8], most: usize, out: &mut BytesMut) {
    let pieces: Vec<&[u8]> = if payload.is_empty() { vec![payload] } else { payload.chunks(most).collect() };
    for (at, piece) in pieces.iter().enumerate() {
        let opcode = if at == 0 { opcode } else { Opcode::Continuation };
        out.extend_from_slice(&FrameHead::new(opcode, at == pieces.len() - 1, false, piece.len() as u64));
        out.extend_from_slice(piece);
    }
}

fn messages(said: &Said, pieces: Option<usize>) -> Vec<Message> {
    let (data, payload) = match said {
        Said::Text(text) => (Data::Text, text.as_bytes()),
        Said::Binary(bytes) => (Data::Binary, &bytes[..]),
        Said::Ping(bytes) => return vec![Message::Ping(bytes.clone().into())],
        Said::Pong(bytes) => return vec![Message::Frame(Frame::pong(bytes.clone()))],
        Said::Close(code, reason) => {
            let frame = code.map(|code| CloseFrame { code: code.into(), reason: reason.as_str().into() });
            return vec![Message::Close(frame)];
        }
    };
    let most = pieces.unwrap_or(usize::MAX);
    let pieces: Vec<&[u8]> = if payload.is_empty() { vec![payload] } else { payload.chunks(most).collect() };
    let last = pieces.len() - 1;
    let opcode = |at| OpCode::Data(if at == 0 { data } else { Data::Continue });
    pieces
        .iter()
        .enumerate()
        .map(|(at, piece)| Message::Frame(Frame::message(piece.to_vec(), opcode(at), at == last)))
        .collect()
}

/// Mostly what a client may send, now and then what it may not.
fn any_first_byte() -> impl Strategy<Value = u8> {
    prop_oneof![
        8 => select(&[0x81u8, 0x82, 0x01, 0x02, 0x00, 0x00, 0x80, 0x80, 0x89, 0x8a][..]),
        1 => any::<u8>(),
    ]
}

/// Pieces of characters, and close codes.
const PIECES: &[&[u8]] = &[b"\xce\xba", b"\xce", b"\xba", b"\xf0\x90", b"\x8d\x88", b"\x03\xe8", b"\x03\xee", b""];

fn any_payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        2 => vec(any::<u8>(), 0..6),
        4 => any::<String>().prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 120..140),
        1 => select(PIECES).prop_map(<[u8]>::to_vec),
    ]
}

#[test]
fn control_opcodes_of_the_other_are_what_we_think() {
    // A guard of the table above: the oracle's numbers are those of the RFC.
    for (theirs, ours) in
        [(Control::Close, Opcode::Close), (Control::Ping, Opcode::Ping), (Control::Pong, Opcode::Pong)]
    {
        assert_eq!(u8::from(OpCode::Control(theirs)), ours as u8);
    }
}
