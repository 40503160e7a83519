//! Limits, and clients that press on them.

use ringway_tests::{Api, Backend, Gateway, wait_until};

fn gateway(yaml: &str) -> (Backend, Gateway) {
    // It answers once it has a whole request: a request that is cut short is what some of these tests want.
    let backend = Backend::scripted(|peer, _| {
        while let Some(head) = peer.next_head() {
            if peer.try_body(&head).is_none() {
                return;
            }
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let gateway = Gateway::configured(yaml, &[Api::proxy("/", &backend.target())]);
    (backend, gateway)
}

#[test]
fn a_body_beyond_its_limit_is_a_413_in_both_framings() {
    let (_backend, gateway) = gateway("limits: { bodyBytes: 1000 }\n");
    for (body, status) in [(1000, 200), (1001, 413)] {
        let content = "x".repeat(body);
        let mut client = gateway.connect();
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {body}\r\n\r\n{content}"));
        assert_eq!(client.head().status(), status, "{body} bytes by length");
        let mut client = gateway.connect();
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body:x}\r\n{content}\r\n0\r\n\r\n"
        ));
        assert_eq!(client.head().status(), status, "{body} bytes in chunks");
    }
}

#[test]
fn a_connection_serves_as_many_requests_as_it_may() {
    let (_backend, gateway) = gateway("limits: { requestsPerConnection: 3 }\n");
    let mut client = gateway.connect();
    for number in 1..=3 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let (head, _) = client.response();
        assert_eq!(head.has("connection", "close"), number == 3, "request {number}: {head:?}");
    }
    client.expect_end();
}

#[test]
fn one_address_gets_as_many_connections_as_it_may() {
    let (_backend, gateway) = gateway("limits: { connectionsPerAddress: 5 }\n");
    let mut served = Vec::new();
    for _ in 0..5 {
        let mut client = gateway.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().1, b"ok");
        served.push(client);
    }
    let mut sixth = gateway.connect();
    sixth.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(!sixth.rest().starts_with(b"HTTP/1.1 200"), "the sixth connection was served");
    drop(served);
    wait_until("room for another connection", || {
        let mut client = gateway.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        client.rest().starts_with(b"HTTP/1.1 200")
    });
}

#[test]
fn idle_connections_are_closed_when_their_time_is_up() {
    let (_backend, gateway) = gateway("timeouts: { keepAlive: 200 }\n");
    let mut silent = gateway.connect();
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().1, b"ok");
    client.expect_end();
    silent.expect_end();
}

#[test]
fn hundreds_of_slow_clients_do_not_keep_others_out() {
    let (_backend, gateway) = gateway("timeouts: { clientHeader: 1000 }\n");
    let before = gateway.process().memory_kib("VmRSS");
    let mut slow: Vec<_> = (0..800)
        .map(|_| {
            let mut client = gateway.connect();
            client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ");
            client
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(gateway.get("/").1, b"ok");
    }
    let each = gateway.process().memory_kib("VmRSS").saturating_sub(before) * 1024 / 800;
    // A read buffer, the exchange that waits for the rest of its head, and half as much again for an unoptimised build.
    assert!(each < 32_000, "a slow client takes {each} bytes");
    for client in &mut slow {
        let rest = client.rest();
        assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&rest));
    }
}

#[test]
fn a_body_that_stops_coming_ends_its_request() {
    let (_backend, gateway) = gateway("timeouts: { clientBodyIdle: 300 }\n");
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nsome");
    let answer = client.rest();
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&answer));
}
