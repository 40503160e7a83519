//! Protocol upgrades (RFC 9110 section 7.8): a tunnel only after the backend's 101.

use ringway_tests::{Backend, Gateway};

const ASK: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[test]
fn after_a_101_bytes_pass_both_ways_until_either_side_ends() {
    let backend = Backend::scripted(|peer, connection| {
        let head = peer.head();
        assert!(head.has("connection", "upgrade") && head.has("upgrade", "websocket"), "{head:?}");
        peer.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Kept: 1\r\n\r\nfirst",
        );
        peer.expect("\0\u{1}not HTTP");
        peer.send("\r\n\r\nlast");
        if connection == 0 {
            peer.expect("bye");
            peer.expect_end();
        }
    });
    let gateway = Gateway::before(&backend.target());
    for ends in ["client", "backend"] {
        let mut client = gateway.connect();
        client.send(ASK);
        let head = client.head();
        assert_eq!((head.status(), head.field("x-kept")), (101, Some("1")));
        assert!(head.has("upgrade", "websocket") && head.has("connection", "upgrade"), "{head:?}");
        client.expect("first");
        client.send("\0\u{1}not HTTP");
        client.expect("\r\n\r\nlast");
        if ends == "client" {
            client.send("bye");
            drop(client);
        } else {
            client.expect_end();
        }
    }
}

#[test]
fn without_a_101_the_bytes_after_the_request_are_requests() {
    let backend = Backend::replies(|head, _| {
        let text = head.target().to_owned();
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len())
    });
    let gateway = Gateway::before(&backend.target());
    let mut client = gateway.connect();
    // CVE-2026-2833: what follows must not be tunnelled before the 101.
    client.send(format!("{ASK}GET /second HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_eq!(client.response().1, b"/ws");
    let rest = {
        client.shut_write();
        client.rest()
    };
    let text = String::from_utf8_lossy(&rest).into_owned();
    assert!(text.is_empty() || text.ends_with("/second"), "{text}");
    for (head, _) in backend.seen() {
        assert!(head.target() == "/ws" || head.target() == "/second", "{head:?}");
        assert!(head.target() == "/ws" || head.field("via").is_some(), "the second came around the gateway: {head:?}");
    }
}

#[test]
fn an_upgrade_to_http2_is_never_passed_on() {
    let backend = Backend::ok("ok");
    let gateway = Gateway::before(&backend.target());
    let mut client = gateway.connect();
    client.send(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    );
    assert_eq!(client.response().1, b"ok");
    let (request, _) = backend.only();
    assert_eq!((request.field("upgrade"), request.field("http2-settings")), (None, None));
}

#[test]
fn a_101_for_another_protocol_is_refused() {
    let backend = Backend::scripted(|peer, _| {
        peer.head();
        peer.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n");
        peer.rest();
    });
    let gateway = Gateway::before(&backend.target());
    let mut client = gateway.connect();
    client.send(ASK);
    assert_eq!(client.head().status(), 502);
}
