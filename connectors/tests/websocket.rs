//! The `websocket` entrypoint by itself: what a client sends, and what the engine is told to do about it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "test code")]

mod support;

use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ringway_connectors::websocket::ENTRYPOINT;
use ringway_contract::{
    Answer, Attributes, Cause, Client, Ending, Entrypoint, Fault, Message, Node, Opening, Origin, Out, Qos, Render,
    Reply, ResponseHead, Services, Session, Source, Tick,
};
use ringway_wire::fuzz::{websocket_frame as frame, websocket_masked as masked, websocket_play as play};
use ringway_wire::websocket::Event;
use ringway_wire::websocket::compression::{Preferences, negotiate};
use serde_json::json;

use crate::support::request;

const ASK: &str = "GET / HTTP/1.1|Host: a|Connection: Upgrade|Upgrade: websocket|Sec-WebSocket-Version: 13|\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
const KEY: [u8; 4] = [9, 8, 7, 6];
const LIMIT: usize = 4096;

fn built(configuration: &serde_json::Value) -> Result<Rc<dyn Entrypoint>, String> {
    let node = Node::parse_json("test", &configuration.to_string()).unwrap();
    let source = Source { configuration: Some(&node), shared: None, place: "test", resources: &[], groups: &[] };
    (ENTRYPOINT.build)(source, &Services::default()).map_err(|refusal| refusal.0)
}

fn open(entrypoint: &Rc<dyn Entrypoint>, head: &str) -> Result<Box<dyn Session>, Box<Reply>> {
    let request = request(head);
    entrypoint.open(&Opening {
        request: &request,
        client: &Client { address: None, tls: false, certificate: None },
        attributes: &Attributes::default(),
        qos: Qos::Auto,
        message_bytes_max: LIMIT,
        random: 7,
    })
}

fn session(configuration: serde_json::Value) -> Box<dyn Session> {
    open(&built(&configuration).unwrap(), ASK).map_err(|reply| reply.key).unwrap()
}

/// What a session does about frames of its client.
fn hears(session: &mut dyn Session, frames: &[(u8, &[u8])]) -> Out {
    let mut out = Out::default();
    let mut input =
        BytesMut::from(&frames.iter().flat_map(|(first, said)| frame(*first, KEY, said)).collect::<Vec<_>>()[..]);
    assert!(session.received(&mut input, &mut out).is_ok());
    out
}

fn contents(out: &Out) -> Vec<&[u8]> {
    out.publish.iter().map(|message| &*message.content).collect()
}

fn fields(session: &mut dyn Session) -> Vec<(String, String)> {
    let mut head = ResponseHead::new();
    session.head(&mut head);
    assert_eq!(head.status.as_u16(), 101);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    head.fields.iter().map(|(name, value)| (text(name), text(value))).collect()
}

struct Nowhere;

impl Origin for Nowhere {
    fn passed(&mut self, _message: &Message) {}
    fn id(&self, _message: &Message, _out: &mut BytesMut) {}
    fn metadata(&self, _message: &Message, _each: &mut dyn FnMut(&str, &[u8])) {}
}

fn rendered(renderer: &Rc<dyn Render>, content: impl Into<Bytes>) -> BytesMut {
    let mut out = BytesMut::new();
    renderer.render(&Message::new(content), &Nowhere, &mut out);
    out
}

#[test]
fn requests_for_a_web_socket_are_taken_before_all_others() {
    let entrypoint = built(&json!({})).unwrap();
    assert_eq!(entrypoint.criteria(), 4);
    for (head, taken) in [
        (ASK, true),
        ("GET / HTTP/1.1|Host: a|Connection: keep-alive, upgrade|Upgrade: WebSocket", true),
        ("GET / HTTP/1.1|Host: a", false),
        ("GET / HTTP/1.1|Host: a|Upgrade: websocket", false),
        ("GET / HTTP/1.1|Host: a|Connection: Upgrade|Upgrade: other", false),
        ("POST / HTTP/1.1|Host: a|Connection: Upgrade|Upgrade: websocket", false),
        ("GET / HTTP/1.0|Host: a|Connection: Upgrade|Upgrade: websocket", false),
    ] {
        assert_eq!(entrypoint.matches(&request(head)), taken, "{head}");
    }
}

#[test]
fn the_answer_switches_protocols() {
    let mut plain = session(json!({}));
    let line = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let accept = line("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(fields(&mut *plain), [line("upgrade", "websocket"), accept.clone()]);
    let outline = plain.outline();
    assert_eq!(outline.answer, Answer::Upgrade);
    assert!(outline.publish && outline.subscribe.is_some_and(|wish| wish.live && wish.cursor.is_none()));
    assert_eq!(outline.idle, Some(Duration::from_secs(30)));

    let entrypoint = built(&json!({ "subprotocols": ["b", "c"], "compression": { "enabled": true } })).unwrap();
    let more = format!(
        "{ASK}|Sec-WebSocket-Protocol: a, c, b|Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
    );
    let mut chosen = open(&entrypoint, &more).map_err(|reply| reply.key).unwrap();
    let extensions = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    assert_eq!(
        fields(&mut *chosen),
        [
            line("upgrade", "websocket"),
            accept,
            line("sec-websocket-protocol", "c"),
            line("sec-websocket-extensions", extensions)
        ]
    );
    // Not enabled: not agreed.
    let mut declined = open(&built(&json!({})).unwrap(), &more).map_err(|reply| reply.key).unwrap();
    assert_eq!(fields(&mut *declined).len(), 2);
}

#[test]
fn a_handshake_that_is_none_is_refused() {
    let entrypoint = built(&json!({})).unwrap();
    for (head, status, field) in [
        (ASK.replace("Version: 13", "Version: 8"), 426, Some(("sec-websocket-version", "13"))),
        (ASK.replace("|Sec-WebSocket-Version: 13", ""), 426, Some(("sec-websocket-version", "13"))),
        (ASK.replace("ZQ==", ""), 400, None),
        (format!("{ASK}|Sec-WebSocket-Extensions: ="), 400, None),
        (format!("{ASK}|Sec-WebSocket-Protocol: a, a"), 400, None),
        (format!("{ASK}|Content-Length: 5"), 400, None),
    ] {
        let Err(reply) = open(&entrypoint, &head) else { panic!("{head}") };
        assert_eq!((reply.status.as_u16(), &*reply.key), (status, "GATEWAY_INVALID_HANDSHAKE"), "{head}");
        let line = field.map(|(name, value)| (name.into(), Bytes::from(value)));
        assert!(line.is_none_or(|line| reply.headers.contains(&line)), "{head}");
    }
}

#[test]
fn messages_are_published_in_their_order() {
    let mut socket = session(json!({}));
    let out =
        hears(&mut *socket, &[(0x81, b"one"), (0x02, b"t"), (0x89, b"?"), (0x80, b"wo"), (0x8a, b""), (0x82, b"")]);
    assert_eq!(contents(&out), [&b"one"[..], b"two", b""]);
    assert_eq!(&out.bytes[..], b"\x8a\x01?");
    assert!(!out.finished);
}

#[test]
fn what_ends_a_connection_is_said_once_and_nothing_follows() {
    let large = vec![b'x'; LIMIT + 1];
    for (said, code, reason) in [
        ((0x88, &b"\x03\xe8bye"[..]), Some(1000), ""),
        ((0x88, b""), None, ""),
        ((0x88, b"\x0f\xa1"), Some(4001), ""),
        ((0x88, b"\x03\xec"), Some(1002), "a close code that no frame may have"),
        ((0x83, b""), Some(1002), "the opcode is reserved"),
        ((0x81, b"\xff"), Some(1007), "a text is not UTF-8"),
        ((0x82, &large), Some(1009), "the message is larger than the limit"),
    ] {
        let mut socket = session(json!({}));
        let mut out = hears(&mut *socket, &[said, (0x89, b"still there?")]);
        let (events, end) = play(&[&masked(&out.bytes)], LIMIT, None);
        let [Event::Close(close)] = &events[..] else { panic!("one close frame: {events:?}") };
        assert!(close.code == code && close.reason.starts_with(reason), "{close:?}");
        assert!(end.is_ok() && out.finished);
        let bytes = out.bytes.len();
        socket.tick(Tick::Idle, &mut out);
        socket.published(Err(Fault::new(Cause::BrokerTimeout)), &mut out);
        socket.stop(Ending::GoAway, &mut out);
        assert_eq!(out.bytes.len(), bytes, "nothing follows a close frame");
        assert!(contents(&hears(&mut *socket, &[(0x81, b"late")])).is_empty());
    }
}

#[test]
fn each_ending_has_its_code() {
    for (ending, code) in [
        (Ending::GoAway, 1001),
        (Ending::Complete, 1000),
        (Ending::Lagged, 1013),
        (Ending::Fault(Fault::new(Cause::SubscribeFailed)), 1011),
    ] {
        let (mut socket, mut out) = (session(json!({})), Out::default());
        socket.stop(ending, &mut out);
        let (events, end) = play(&[&masked(&out.bytes)], LIMIT, None);
        assert!(matches!(&events[..], [Event::Close(close)] if close.code == Some(code)), "{ending:?}: {events:?}");
        assert!(end.is_ok() && out.finished);
    }
}

#[test]
fn a_message_that_the_broker_does_not_take_ends_the_connection() {
    let mut socket = session(json!({}));
    let mut out = hears(&mut *socket, &[(0x81, b"one")]);
    socket.published(Ok(()), &mut out);
    assert!(out.bytes.is_empty() && !out.finished);
    socket.published(Err(Fault::new(Cause::BrokerTimeout)), &mut out);
    assert!(out.bytes[2..].starts_with(&1011u16.to_be_bytes()) && out.finished);
}

#[test]
fn a_close_waits_for_what_became_of_the_messages_before_it() {
    for (last, code) in [((0x88, &b"\x03\xe8bye"[..]), 1000), ((0x83, b""), 1002)] {
        let mut socket = session(json!({}));
        let mut out = hears(&mut *socket, &[(0x81, b"one"), (0x81, b"two"), last, (0x89, b"unheard")]);
        assert_eq!(contents(&out), [b"one", b"two"]);
        socket.published(Ok(()), &mut out);
        assert!(out.bytes.is_empty() && !out.finished);
        assert!(contents(&hears(&mut *socket, &[(0x81, b"late")])).is_empty());
        let mut failed = Out::default();
        socket.published(Ok(()), &mut out);
        if code != 1000 {
            // What was published may still be on its way back.
            assert!(out.bytes.is_empty() && !out.finished && out.settles.take().is_some());
            socket.tick(Tick::Idle, &mut out);
        }
        assert_eq!(out.settles, None);
        assert!(out.bytes[2..].starts_with(&u16::to_be_bytes(code)) && out.finished);
        socket.published(Err(Fault::new(Cause::BrokerTimeout)), &mut failed);
        assert!(failed.bytes.is_empty(), "nothing follows a close frame");
    }
    // To who has published nothing, or is not subscribed, nothing comes back.
    for (configuration, frames) in [
        (json!({}), &[(0x83, &b""[..])][..]),
        (json!({ "subscriber": { "enabled": false } }), &[(0x81, b"one"), (0x83, b"")]),
    ] {
        let mut socket = session(configuration);
        let mut out = hears(&mut *socket, frames);
        out.publish.drain(..).for_each(drop);
        if frames.len() > 1 {
            socket.published(Ok(()), &mut out);
        }
        assert!(out.bytes[2..].starts_with(&1002u16.to_be_bytes()) && out.finished && out.settles.is_none());
    }
    // A broker that does not answer for as long as a heartbeat: a rule that was broken is told all the same.
    let mut socket = session(json!({}));
    let mut out = hears(&mut *socket, &[(0x81, b"one"), (0x83, b"")]);
    socket.tick(Tick::Idle, &mut out);
    assert!(out.bytes[2..].starts_with(&1002u16.to_be_bytes()) && out.finished);
    let mut socket = session(json!({}));
    let mut out = hears(&mut *socket, &[(0x81, b"one"), (0x88, b"\x03\xe8")]);
    socket.tick(Tick::Idle, &mut out);
    assert!(out.bytes[2..].starts_with(&1011u16.to_be_bytes()) && out.finished);
    // Who closes in peace and hears 1011 knows that something was not published.
    let mut socket = session(json!({}));
    let mut out = hears(&mut *socket, &[(0x81, b"one"), (0x88, b"\x03\xe8")]);
    socket.published(Err(Fault::new(Cause::PublishFailed)), &mut out);
    assert!(out.bytes[2..].starts_with(&1011u16.to_be_bytes()) && out.finished);
}

#[test]
fn who_does_not_answer_a_ping_is_given_up() {
    let (mut socket, mut out) = (session(json!({})), Out::default());
    socket.tick(Tick::Idle, &mut out);
    assert_eq!(&out.bytes[..], b"\x89\x00");
    // Anything is a sign of life.
    hears(&mut *socket, &[(0x8a, b"")]);
    out.bytes.clear();
    socket.tick(Tick::Idle, &mut out);
    assert_eq!(&out.bytes[..], b"\x89\x00");
    out.bytes.clear();
    socket.tick(Tick::Idle, &mut out);
    assert!(out.bytes[2..].starts_with(&1011u16.to_be_bytes()) && out.finished);
}

#[test]
fn either_half_may_be_left_out_but_not_both() {
    let mut reader = session(json!({ "publisher": { "enabled": false } }));
    assert!(!reader.outline().publish);
    let out = hears(&mut *reader, &[(0x89, b"fine"), (0x81, b"not taken")]);
    assert!(out.publish.is_empty() && out.finished);
    assert!(out.bytes.starts_with(b"\x8a\x04fine\x88") && out.bytes[8..].starts_with(&1008u16.to_be_bytes()));

    let writer = session(json!({ "subscriber": { "enabled": false } }));
    assert!(writer.outline().subscribe.is_none() && writer.renderer().is_none());

    let neither = json!({ "publisher": { "enabled": false }, "subscriber": { "enabled": false } });
    let node = Node::parse_json("test", &neither.to_string()).unwrap();
    let problems = ENTRYPOINT.configuration.examine.unwrap()(Some(&node), None);
    assert_eq!(problems.len(), 1);
    assert!(built(&neither).is_err_and(|refusal| refusal.contains("nothing to do")));
    assert!(built(&json!({ "subprotocols": ["a b"] })).is_err_and(|refusal| refusal.contains("a b")));
    assert!(built(&json!({ "heartbeatIntervalInMs": 999 })).is_err());
}

#[test]
fn a_message_is_a_frame_of_its_kind() {
    let auto = session(json!({})).renderer().unwrap();
    assert_eq!(&rendered(&auto, "21.4")[..], b"\x81\x0421.4");
    assert_eq!(&rendered(&auto, "ü")[..], b"\x81\x02\xc3\xbc");
    assert_eq!(&rendered(&auto, &b"\xff"[..])[..], b"\x82\x01\xff");
    assert_eq!(&rendered(&auto, "")[..], b"\x81\x00");
    let binary = session(json!({ "subscriber": { "frameType": "BINARY" } })).renderer().unwrap();
    assert_eq!(&rendered(&binary, "21.4")[..], b"\x82\x0421.4");
    assert_ne!(auto.format(), binary.format());
}

#[test]
fn a_binary_message_says_that_it_is_one_and_is_one_again() {
    let mut socket = session(json!({}));
    let out = hears(&mut *socket, &[(0x82, b"21.4"), (0x81, b"21.4"), (0x02, b"21"), (0x80, b".4")]);
    let said: Vec<_> = out.publish.iter().map(|message| message.header("content-type")).collect();
    let binary = Some(&b"application/octet-stream"[..]);
    assert_eq!(said, [binary, None, binary]);
    let renderer = socket.renderer().unwrap();
    let mut frames = BytesMut::new();
    out.publish.iter().for_each(|message| renderer.render(message, &Nowhere, &mut frames));
    assert_eq!(&frames[..], b"\x82\x0421.4\x81\x0421.4\x82\x0421.4");
    for (said, first) in [
        ("Application/Octet-Stream; padding=0", 0x82),
        (" application/octet-stream ", 0x82),
        ("application/json", 0x81),
        ("", 0x81),
    ] {
        let (mut message, mut frame) = (Message::new("x"), BytesMut::new());
        message.append_header("content-type", said);
        renderer.render(&message, &Nowhere, &mut frame);
        assert_eq!(frame[0], first, "{said}");
    }
    let mut plain = session(json!({ "publisher": { "keepFrameType": false } }));
    assert!(hears(&mut *plain, &[(0x82, b"21.4")]).publish[0].headers.is_empty());
}

#[test]
fn clients_that_get_the_same_bytes_share_a_renderer() {
    let entrypoint = built(&json!({ "compression": { "enabled": true } })).unwrap();
    let renderer = |offer: &str| {
        let head = if offer.is_empty() { ASK.to_owned() } else { format!("{ASK}|Sec-WebSocket-Extensions: {offer}") };
        open(&entrypoint, &head).map_err(|reply| reply.key).unwrap().renderer().unwrap()
    };
    let plain = renderer("");
    let wide = renderer("permessage-deflate");
    let narrow = renderer("permessage-deflate; server_max_window_bits=10");
    assert!(Rc::ptr_eq(&plain, &renderer("other")));
    assert!(Rc::ptr_eq(&wide, &renderer("permessage-deflate; client_max_window_bits; client_no_context_takeover")));
    assert!(Rc::ptr_eq(&narrow, &renderer("permessage-deflate; server_max_window_bits=10; client_max_window_bits=9")));
    let formats = [plain.format(), wide.format(), narrow.format()];
    assert!(formats.iter().all(Option::is_some) && formats[0] != formats[1] && formats[1] != formats[2]);
}

#[test]
fn compressed_messages_are_read_by_who_agreed() {
    let text = "{\"sensor\":\"7f3a\",\"unit\":\"C\",\"value\":21.4},".repeat(20);
    for takeover in [false, true] {
        let entrypoint = built(&json!({ "compression": { "enabled": true, "contextTakeover": takeover } })).unwrap();
        let offer = "permessage-deflate; client_max_window_bits";
        let head = format!("{ASK}|Sec-WebSocket-Extensions: {offer}");
        let mut socket = open(&entrypoint, &head).map_err(|reply| reply.key).unwrap();
        let agreed = fields(&mut *socket).pop().unwrap().1;
        assert_eq!(agreed.contains("no_context_takeover"), !takeover, "{agreed}");
        // The answer, read as an offer, is what a client would inflate by.
        let agreement = negotiate([agreed.as_bytes()], &Preferences::default()).unwrap().unwrap();
        let renderer = socket.renderer().unwrap();
        assert_eq!(renderer.format().is_none(), takeover);
        let sent: Vec<BytesMut> =
            [&text[..], "short", &text, ""].map(|content| rendered(&renderer, content.to_owned())).to_vec();
        assert!(sent[0][0] == 0xc1 && sent[0].len() < text.len() / 4);
        assert_eq!(sent[1][0], if takeover { 0xc1 } else { 0x81 });
        assert!(if takeover { sent[2].len() < sent[0].len() } else { sent[2] == sent[0] });
        let (events, end) = play(&[&masked(&sent.concat())], LIMIT, Some(&agreement));
        let said: Vec<_> = events
            .iter()
            .map(|event| match event {
                Event::Message { payload, .. } => String::from_utf8(payload.to_vec()).unwrap(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!((said, end), (vec![text.clone(), "short".to_owned(), text.clone(), String::new()], Ok(())));
        // And the other way round: what the client compresses is published inflated.
        let out = hears(&mut *socket, &[(0xc1, &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00])]);
        assert_eq!(contents(&out), [b"Hello"]);
    }
}

#[test]
fn a_compressed_bomb_is_refused_at_the_limit() {
    let entrypoint = built(&json!({ "compression": { "enabled": true } })).unwrap();
    let head = format!("{ASK}|Sec-WebSocket-Extensions: permessage-deflate");
    let mut socket = open(&entrypoint, &head).map_err(|reply| reply.key).unwrap();
    let agreement = negotiate([&b"permessage-deflate"[..]], &Preferences::default()).unwrap().unwrap();
    let mut bomb = Vec::new();
    ringway_wire::websocket::compression::Deflater::new(&agreement, 9).deflate(&vec![0; LIMIT + 1], &mut bomb).unwrap();
    let out = hears(&mut *socket, &[(0xc2, &bomb)]);
    assert!(out.publish.is_empty() && out.finished && out.bytes[2..].starts_with(&1009u16.to_be_bytes()));
}
