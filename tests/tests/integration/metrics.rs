//! Rate, errors and duration of shards and backends, and who waits: for a connection, or for the other half of an exchange.

use std::sync::{Mutex, mpsc};

use ringway_tests::{Api, Backend, DEADLINE, Gateway, wait_until};
use serde_json::json;

#[test]
fn rate_errors_and_duration_are_told_of_shards_and_backends() {
    let backend = Backend::replies(|head, _| {
        let status = if head.start.contains("/broken") { "500 Broken" } else { "200 OK" };
        format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")
    });
    let gateway = Gateway::before(&backend.target());
    for target in ["/a", "/b", "/broken"] {
        gateway.get(target);
    }
    let figure = |name: &str| gateway.metric(name, &[]);
    wait_until("the requests to be counted", || figure("ringway_request_duration_seconds_count") == 3.0);
    assert_eq!((figure("ringway_requests_total"), figure("ringway_requests_failed_total")), (3.0, 1.0));
    assert_eq!(figure("ringway_endpoint_exchanges_total"), 3.0);
    assert_eq!(figure("ringway_endpoint_duration_seconds_count"), 3.0);
    let (shard, endpoint) =
        (figure("ringway_request_duration_seconds_sum"), figure("ringway_endpoint_duration_seconds_sum"));
    assert!(0.0 < endpoint && endpoint <= shard, "the backend's part of {shard} s is {endpoint} s");
    // The head, its end and the head of the response at least.
    assert!(figure("ringway_ring_frames_total") >= 9.0);
}

#[test]
fn who_waits_for_a_connection_is_counted_while_it_does() {
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let backend = Backend::replies(move |_, _| {
        held.lock().unwrap().recv_timeout(DEADLINE).unwrap();
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into()
    });
    let gateway = Gateway::serving(&[Api::proxy("/", &backend.target()).http("maxConcurrentConnections", json!(1))]);
    let mut clients = [gateway.connect(), gateway.connect(), gateway.connect()];
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    let pending = || gateway.metric("ringway_endpoint_pending", &[]);
    wait_until("two requests to wait", || pending() == 2.0);
    for _ in &clients {
        release.send(()).unwrap();
    }
    for client in &mut clients {
        assert_eq!(client.response().0.status(), 200);
    }
    assert_eq!(pending(), 0.0);
}

#[test]
fn a_backend_that_is_slower_than_its_client_shows_at_the_ring() {
    const BODY: usize = 16 * 1024 * 1024;
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let backend = Backend::scripted(move |peer, _| {
        let Some(head) = peer.next_head() else { return };
        held.lock().unwrap().recv_timeout(DEADLINE).unwrap();
        peer.body(&head);
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    let gateway = Gateway::before(&backend.target());
    let mut client = gateway.connect();
    let waits = || gateway.metric("ringway_ring_waits_total", &[]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {BODY}\r\n\r\n"));
            client.send("x".repeat(BODY));
            assert_eq!(client.response().0.status(), 200);
        });
        wait_until("the body to be held up", || waits() > 0.0);
        release.send(()).unwrap();
    });
}
