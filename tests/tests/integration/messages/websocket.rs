//! `websocket`: frames are messages, both ways.

use ringway_tests::{Api, Authority, Gateway, Peer, tool, wait_until};
use serde_json::{Value, json};

use super::{gateway, made_up};
use crate::web_socket::frames::{BINARY, CLOSE, Frame, PING, PONG, TEXT, fragments, read};
use crate::web_socket::open;

/// The next frame, of a server.
#[track_caller]
fn next(peer: &mut Peer) -> Frame {
    let (frame, masked) = read(peer).expect("a frame");
    assert!(!masked, "a server masks nothing (RFC 6455 section 5.1)");
    frame
}

/// The next frame that is not a message of the broker.
#[track_caller]
fn other(peer: &mut Peer) -> Frame {
    loop {
        let frame = next(peer);
        if frame.opcode != TEXT {
            return frame;
        }
    }
}

/// The code and the reason of the close frame that comes, and the end behind it.
#[track_caller]
fn closed(peer: &mut Peer) -> (u16, String) {
    let frame = other(peer);
    assert_eq!((frame.opcode, frame.fin), (CLOSE, true), "{frame:?}");
    peer.expect_end();
    (u16::from_be_bytes([frame.payload[0], frame.payload[1]]), String::from_utf8(frame.payload[2..].to_vec()).unwrap())
}

fn published(gateway: &Gateway) -> f64 {
    gateway.metric("ringway_api_messages_published_total", &[])
}

/// A broker that says nothing.
fn quiet(configuration: Value) -> Api {
    let entrypoint = json!([{ "type": "websocket", "configuration": configuration }]);
    made_up(entrypoint, json!({ "messageInterval": 3_600_000 }))
}

/// Connects to URL 1, with or without compression; what it gets and what became of the connection.
const SCRIPT: &str = r#"
import asyncio, json, ssl, sys, websockets
url, authority = sys.argv[1], sys.argv[2]
context = ssl.create_default_context(cafile=authority) if authority else None

async def main():
    for compression in ("deflate", None):
        async with websockets.connect(url, subprotocols=["x", "telemetry.v1"], compression=compression, ssl=context) as socket:
            holder = socket if hasattr(socket, "extensions") else socket.protocol
            seen = [socket.subprotocol, [type(extension).__name__ for extension in holder.extensions]]
            # With others at the same subscription, the first message may be any.
            first = await asyncio.wait_for(socket.recv(), 20)
            number = int(first.rsplit(" ", 1)[1])
            for step in range(1, 30):
                message = await asyncio.wait_for(socket.recv(), 20)
                assert message == first.rsplit(" ", 1)[0] + f" {number + step}", (first, step, message)
            seen.append(first.rsplit(" ", 1)[0])
            for message in ("hello", b"\x00\x01", "ä" * 1000, b"x" * 500_000, ""):
                await socket.send(message)
            async def pieces():
                for piece in ("fr", "ag", "ments"):
                    yield piece
            await socket.send(pieces())
            await asyncio.wait_for(await socket.ping(), 20)
        seen.append(socket.close_code)
        print(json.dumps(seen))

asyncio.run(main())
"#;

fn speaks(configuration: Value, content: &str) -> Api {
    let entrypoint = json!([{ "type": "websocket", "configuration": configuration }]);
    made_up(entrypoint, json!({ "messageInterval": 5, "messageContent": content }))
}

#[test]
fn a_client_of_another_make_sends_gets_and_closes() {
    let long = "a reading of a sensor that says much the same each time, and at some length";
    for takeover in [false, true] {
        let compression = json!({ "enabled": true, "contextTakeover": takeover });
        let configuration = json!({ "subprotocols": ["telemetry.v1"], "compression": compression });
        let gateway = Gateway::serving(&[speaks(configuration, long)]);
        let said = tool::python(SCRIPT, &[&format!("ws://{}/room", gateway.http()), ""]).ok();
        let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0], json!(["telemetry.v1", ["PerMessageDeflate"], long, 1000]));
        assert_eq!(lines[1], json!(["telemetry.v1", [], long, 1000]));
        assert_eq!(published(&gateway), 12.0);
    }
}

#[test]
fn a_client_over_tls_is_served_the_same() {
    let authority = Authority::new();
    authority.sign("one.test");
    let servers = format!(
        "servers:\n  - {{ id: http, listen: '{{http}}' }}\n  - id: https\n    listen: '{{tls}}'\n    tls:\n      certificates: [{{ cert: '{}', key: '{}' }}]\n",
        authority.path("one.test.pem"),
        authority.path("one.test.key")
    );
    let configuration = json!({ "subprotocols": ["telemetry.v1"], "compression": { "enabled": true } });
    let gateway = Gateway::configured(&servers, &[speaks(configuration, "tick")]);
    let said = tool::python(SCRIPT, &[&format!("wss://{}/", gateway.tls()), &authority.path("ca.pem")]).ok();
    assert_eq!(said.lines().count(), 2);
    assert_eq!(published(&gateway), 12.0);
}

#[test]
fn messages_come_as_frames_one_after_the_other() {
    let gateway = gateway("websocket", "AUTO", json!({}));
    let mut client = open(gateway.http());
    for number in 0..20 {
        assert_eq!(next(&mut client), Frame::text(format!("tick {number}")));
    }
    // Who comes later hears what the others hear from then on.
    let mut late = open(gateway.http());
    let first = String::from_utf8(next(&mut late).payload).unwrap();
    assert!(first.strip_prefix("tick ").unwrap().parse::<u32>().unwrap() >= 20, "{first}");
    assert_eq!(gateway.metric("ringway_streams", &[]), 2.0);
    drop((client, late));
    wait_until("the sessions are gone", || gateway.metric("ringway_streams", &[]) == 0.0);
}

#[test]
fn what_a_client_sends_is_published_however_it_is_cut() {
    let gateway = Gateway::serving(&[quiet(json!({}))]);
    let mut client = open(gateway.http());
    // One that fills a receive buffer, and the begin of the next; many small ones at once; a large one in fragments.
    let large: Vec<u8> = fragments(BINARY, &vec![7; 900_000], 10_000).iter().flat_map(Frame::masked).collect();
    let small: Vec<u8> = (0..2000).flat_map(|_| Frame::text("x").masked()).collect();
    let middle: Vec<u8> = (0..200).flat_map(|at| Frame::text(vec![b'm'; 1500 + at]).masked()).collect();
    client.send([large, small, middle].concat());
    for byte in Frame::text("slowly").masked() {
        client.send([byte]);
    }
    client.send(Frame::ping("done").masked());
    assert_eq!(next(&mut client), Frame::pong("done"));
    wait_until("all are published", || published(&gateway) == 2202.0);
}

#[test]
fn a_receive_buffer_may_end_in_the_middle_of_a_head() {
    let gateway = Gateway::serving(&[quiet(json!({}))]);
    // Buffers have 16 KiB; a large message that has come whole keeps its part of one.
    for left in 1..8 {
        let mut client = open(gateway.http());
        let first = Frame::binary(vec![7; 16 * 1024 - 8 - left]).masked();
        assert_eq!(first.len(), 16 * 1024 - left);
        client.send([first, Frame::binary(vec![8; 5000]).masked(), Frame::close(1000, "").masked()].concat());
        assert_eq!(closed(&mut client).0, 1000);
    }
    assert_eq!(published(&gateway), 14.0);
}

#[test]
fn pings_are_answered_in_the_middle_of_a_message() {
    let gateway = Gateway::serving(&[quiet(json!({}))]);
    let mut client = open(gateway.http());
    let halves = fragments(TEXT, b"halves", 3);
    client.send([halves[0].masked(), Frame::ping("now").masked()].concat());
    assert_eq!(next(&mut client), Frame::pong("now"));
    client.send(halves[1].masked());
    wait_until("it is published", || published(&gateway) == 1.0);
}

#[test]
fn a_close_is_answered_with_its_code() {
    let gateway = Gateway::serving(&[quiet(json!({}))]);
    for code in [1000, 1001, 3000, 4999] {
        let mut client = open(gateway.http());
        client.send([Frame::text("last").masked(), Frame::close(code, "bye").masked()].concat());
        assert_eq!(closed(&mut client), (code, String::new()));
    }
    // What was sent before the close is published all the same.
    assert_eq!(published(&gateway), 4.0);
}

#[test]
fn who_breaks_a_rule_is_told_which() {
    let entrypoint = json!([{ "type": "websocket" }]);
    let gateway = Gateway::configured(
        "limits: { messageBytes: 1024 }\n",
        &[made_up(entrypoint, json!({ "messageInterval": 3_600_000 }))],
    );
    for (said, code, reason) in [
        (Frame::text("plain").plain(), 1002, "a frame of a client is not masked"),
        (Frame::text("a").reserved(4).masked(), 1002, "a reserved bit"),
        (Frame::new(3, "a").masked(), 1002, "the opcode is reserved"),
        (Frame::new(0, "a").masked(), 1002, "a continuation without"),
        (Frame::text(b"\xed\xa0\x80").masked(), 1007, "a text is not UTF-8"),
        (Frame::text(vec![b'x'; 1025]).masked(), 1009, "the message is larger"),
    ] {
        let mut client = open(gateway.http());
        client.send(said);
        let (got, said) = closed(&mut client);
        assert!(got == code && said.starts_with(reason), "{got} {said}");
    }
    let mut client = open(gateway.http());
    client.send([Frame::text(vec![b'x'; 1024]).masked(), Frame::close(1000, "").masked()].concat());
    assert_eq!(closed(&mut client).0, 1000);
    assert_eq!(published(&gateway), 1.0);
}

#[test]
fn a_broken_rule_is_told_however_much_there_is_to_hear() {
    for entrypoint in [json!({}), json!({ "compression": { "enabled": true, "contextTakeover": true } })] {
        let entrypoint = json!([{ "type": "websocket", "configuration": entrypoint }]);
        let gateway = Gateway::serving(&[made_up(entrypoint, json!({ "messageInterval": 0 }))]);
        let mut client = open(gateway.http());
        client
            .send([Frame::text("once").masked(), Frame::new(3, "").masked(), Frame::text("unheard").masked()].concat());
        let (code, reason) = closed(&mut client);
        assert!(code == 1002 && reason.starts_with("the opcode is reserved"), "{code} {reason}");
        assert_eq!(published(&gateway), 1.0);
    }
}

#[test]
fn a_client_that_only_listens_may_not_speak() {
    let gateway = Gateway::serving(&[quiet(json!({ "publisher": { "enabled": false } }))]);
    let mut client = open(gateway.http());
    client.send([Frame::ping("fine").masked(), Frame::text("not taken").masked()].concat());
    assert_eq!(next(&mut client), Frame::pong("fine"));
    assert_eq!(closed(&mut client), (1008, "No messages are taken here".to_owned()));
    assert_eq!(published(&gateway), 0.0);
}

#[test]
fn a_quiet_client_is_pinged_and_given_up_when_it_does_not_answer() {
    let gateway = Gateway::serving(&[quiet(json!({ "heartbeatIntervalInMs": 1_000 }))]);
    let mut client = open(gateway.http());
    for _ in 0..2 {
        assert_eq!(next(&mut client), Frame::new(PING, ""));
        client.send(Frame::new(PONG, "").masked());
    }
    assert_eq!(next(&mut client), Frame::new(PING, ""));
    assert_eq!(closed(&mut client), (1011, "No answer to a ping".to_owned()));
}

#[test]
fn a_subscription_that_ends_closes_normally() {
    let entrypoint = json!([{ "type": "websocket" }]);
    let gateway = Gateway::serving(&[made_up(entrypoint, json!({ "messageInterval": 1, "messageCount": 3 }))]);
    let mut client = open(gateway.http());
    for number in 0..3 {
        assert_eq!(next(&mut client), Frame::text(format!("mock message {number}")));
    }
    assert_eq!(closed(&mut client), (1000, String::new()));
}

#[test]
fn a_redeployed_api_and_a_gateway_that_stops_are_going_away() {
    let mut gateway = gateway("websocket", "AUTO", json!({}));
    let mut client = open(gateway.http());
    next(&mut client);
    gateway.write("apis/0.json", &quiet(json!({})).json());
    assert_eq!(gateway.reload().0, 200);
    assert_eq!(closed(&mut client), (1001, "Stopping, please reconnect".to_owned()));
    let mut client = open(gateway.http());
    client.send(Frame::text("before the end").masked());
    wait_until("it is published", || published(&gateway) == 1.0);
    gateway.terminate();
    assert_eq!(closed(&mut client).0, 1001);
    drop(client);
    assert!(gateway.wait().success());
}

#[test]
fn a_handshake_that_is_none_is_refused_and_the_connection_goes_on() {
    let gateway = Gateway::serving(&[quiet(json!({}))]);
    let mut client = gateway.connect();
    let ask = |version: &str, key: &str| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: {version}\r\n\
             Sec-WebSocket-Key: {key}\r\n\r\n"
        )
    };
    for (request, status) in [(ask("8", "dGhlIHNhbXBsZSBub25jZQ=="), 426), (ask("13", "short"), 400)] {
        client.send(request);
        let (head, body) = client.response();
        assert_eq!(head.status(), status);
        let problem: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem["key"], "GATEWAY_INVALID_HANDSHAKE");
        if status == 426 {
            assert_eq!(head.field("sec-websocket-version"), Some("13"));
            assert_eq!((head.field("upgrade"), head.field("connection")), (Some("websocket"), Some("upgrade")));
        }
    }
    // No entrypoint takes a plain request.
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().0.status(), 404);
}

#[test]
fn a_compressed_bomb_meets_the_limit_of_a_message() {
    let gateway = Gateway::serving(&[quiet(json!({ "compression": { "enabled": true } }))]);
    let mut client = gateway.connect();
    client.send(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
    );
    let head = client.head();
    assert_eq!(
        head.field("sec-websocket-extensions"),
        Some("permessage-deflate; server_no_context_takeover; client_no_context_takeover")
    );
    // Blocks of zeros, by the fixed code of RFC 1951 section 3.2.6: a literal 0, then copies of 258 bytes from 1 back (code 285, distance 1).
    let mut bits = Bits::default();
    bits.low_first(0b010, 3);
    bits.high_first(0b0011_0000, 8);
    for _ in 0..5000 {
        bits.high_first(0b1100_0101, 8);
        bits.high_first(0, 5);
    }
    bits.high_first(0, 7);
    bits.low_first(0, 3);
    let bomb = bits.bytes();
    assert!(bomb.len() < 9000);
    client.send(Frame::binary(bomb).reserved(4).masked());
    assert_eq!(closed(&mut client).0, 1009);
}

/// A stream of bits, the lowest of each byte first.
#[derive(Default)]
struct Bits(Vec<bool>);

impl Bits {
    /// Numbers.
    fn low_first(&mut self, value: u32, count: u32) {
        self.0.extend((0..count).map(|at| value >> at & 1 == 1));
    }

    /// Codes.
    fn high_first(&mut self, value: u32, count: u32) {
        self.0.extend((0..count).rev().map(|at| value >> at & 1 == 1));
    }

    fn bytes(&self) -> Vec<u8> {
        let byte = |bits: &[bool]| bits.iter().enumerate().map(|(at, bit)| u8::from(*bit) << at).sum();
        self.0.chunks(8).map(byte).collect()
    }
}

#[test]
fn a_client_at_rest_hears_and_is_heard() {
    let gateway = gateway("websocket", "AUTO", json!({}));
    let mut client = open(gateway.http());
    for number in 0..2 {
        assert_eq!(next(&mut client), Frame::text(format!("tick {number}")));
    }
    wait_until("it rests", || gateway.metric("ringway_connections_parked", &[]) == 1.0);
    client.send(Frame::text("a message").masked());
    client.send(Frame::ping("there").masked());
    let mut ticks = 2;
    loop {
        let frame = next(&mut client);
        if frame.opcode != TEXT {
            assert_eq!(frame, Frame::pong("there"));
            break;
        }
        assert_eq!(frame, Frame::text(format!("tick {ticks}")));
        ticks += 1;
    }
    wait_until("it is published", || published(&gateway) == 1.0);
    client.send(Frame::close(1000, "").masked());
    assert_eq!(closed(&mut client).0, 1000);
}
