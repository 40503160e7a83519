//! Protocol upgrades (RFC 9110 section 7.8): a tunnel only after the backend's 101.

use std::time::{Duration, Instant};

use ringway_tests::{Api, Backend, Gateway, wait_until};
use serde_json::json;

const ASK: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

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
fn a_side_that_has_said_all_still_hears() {
    let backend = Backend::scripted(|peer, connection| {
        peer.head();
        peer.send(SWITCHED);
        if connection == 0 {
            peer.expect("client is done");
            peer.expect_end();
            peer.send("the backend's last word");
        } else {
            peer.send("backend is done");
            peer.shut_write();
            peer.expect("the client's last word");
            peer.expect_end();
        }
    });
    let gateway = Gateway::before(&backend.target());
    let mut client = gateway.connect();
    client.send(ASK);
    assert_eq!(client.head().status(), 101);
    client.send("client is done");
    client.shut_write();
    assert_eq!(client.rest(), b"the backend's last word");

    let mut client = gateway.connect();
    client.send(ASK);
    assert_eq!(client.head().status(), 101);
    client.expect("backend is done");
    client.expect_end();
    client.send("the client's last word");
    client.shut_write();
    wait_until("both tunnels to be over", || gateway.metric("ringway_connections", &[]) == 0.0);
}

#[test]
fn what_a_client_sends_behind_its_request_is_the_tunnels_once_the_backend_agrees() {
    let backend = Backend::scripted(|peer, _| {
        let head = peer.head();
        assert_eq!(peer.body(&head), b"hi");
        peer.send(SWITCHED);
        peer.expect("early");
        peer.send("heard");
    });
    let gateway = Gateway::before(&backend.target());
    let mut client = gateway.connect();
    client.send(
        "POST /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nhiearly",
    );
    assert_eq!(client.head().status(), 101);
    client.expect("heard");
    client.expect_end();
}

#[test]
fn a_quiet_tunnel_ends_and_one_in_which_either_side_talks_does_not() {
    let backend = Backend::scripted(|peer, _| {
        peer.head();
        peer.send(SWITCHED);
        // One side says something three times; what ends the tunnel is the quiet after it.
        for _ in 0..3 {
            peer.expect("tick");
        }
        peer.rest();
    });
    let api = Api::proxy("/", &backend.target()).http("idleTimeout", json!(2500));
    let gateway = Gateway::serving(&[api]);
    let mut client = gateway.connect();
    let begun = Instant::now();
    client.send(ASK);
    assert_eq!(client.head().status(), 101);
    for tick in 1..=3 {
        // The gateway's clock is what is tested: longer than its timeout in sum, shorter each.
        wait_until("the next tick", || begun.elapsed() > Duration::from_millis(1000 * tick));
        client.send("tick");
    }
    client.expect_end();
    assert!(begun.elapsed() > Duration::from_millis(3 * 1000 + 2500 - 200), "it ended while one side was talking");
    assert_eq!(gateway.metric("ringway_api_aborted_total", &[]), 1.0);
}

#[test]
fn a_tunnel_counts_as_a_connection_of_its_endpoint_and_is_reported_when_it_ends() {
    let backend = Backend::scripted(|peer, _| {
        if peer.next_head().is_some_and(|head| head.has("upgrade", "websocket")) {
            peer.send(SWITCHED);
            peer.send("down");
            peer.rest();
        }
    });
    let api = Api::proxy("/", &backend.target()).http("maxConcurrentConnections", json!(1));
    let gateway = Gateway::configured("timeouts: { pending: 300 }\n", &[api]);
    let mut client = gateway.connect();
    client.send(ASK);
    assert_eq!(client.head().status(), 101);
    client.expect("down");
    client.send("up!");
    assert_eq!(gateway.get("/").0.status(), 503, "the only connection is taken");
    let log = gateway.log();
    assert!(!log.contains("\"status\":101"), "it is not over yet: {log}");
    drop(client);
    wait_until("the line of the tunnel", || {
        let log = gateway.log();
        log.lines().any(|line| {
            line.contains("\"status\":101")
                && line.contains("\"requestBytes\":3")
                && line.contains("\"responseBytes\":4")
        })
    });
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
