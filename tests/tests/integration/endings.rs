//! How connections, exchanges and processes end: in time, visibly, and without taking a response with them.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use ringway_tests::{Api, Backend, DEADLINE, Gateway, Peer, wait_until};
use rustix::process::Signal;
use serde_json::json;

/// Reads to the end of the connection: what came, and whether the end was a reset.
fn rest(client: &mut Peer) -> (Vec<u8>, bool) {
    let mut all = Vec::new();
    let ended = client.stream().read_to_end(&mut all);
    (all, ended.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset))
}

#[test]
fn interim_responses_do_not_buy_a_backend_time() {
    let backend = Backend::scripted(|peer, _| {
        peer.head();
        // One now and then, more often than the request's time runs out, until the gateway goes.
        while peer.try_send(b"HTTP/1.1 102 Processing\r\n\r\n").is_ok() && peer.is_quiet(Duration::from_millis(350)) {}
    });
    let gateway = Gateway::configured("timeouts: { request: 700 }\n", &[Api::proxy("/", &backend.target())]);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut interims = 0;
    let status = loop {
        match client.head().status() {
            102 => interims += 1,
            status => break status,
        }
    };
    assert_eq!(status, 504, "after {interims} interim responses");
    assert!((1..5).contains(&interims), "{interims} interim responses fit into the time");
}

#[test]
fn attempts_share_the_time_of_their_request() {
    let attempts = Arc::new(AtomicUsize::new(0));
    let backend = Backend::scripted({
        let attempts = attempts.clone();
        move |peer, _| {
            if peer.next_head().is_some() {
                attempts.fetch_add(1, Ordering::SeqCst);
                peer.is_quiet(Duration::from_millis(300));
            }
        }
    });
    let api = Api::proxy("/", &backend.target())
        .with("failover", json!({ "enabled": true, "maxRetries": 30, "slowCallDuration": 60000, "maxFailures": 1000 }));
    let gateway = Gateway::configured("timeouts: { request: 1000 }\n", &[api]);
    let (head, _) = gateway.get("/");
    assert!([502, 504].contains(&head.status()), "{head:?}");
    let attempts = attempts.load(Ordering::SeqCst);
    assert!((2..8).contains(&attempts), "{attempts} attempts of 300 ms fit into a second");
}

/// The request is the lane's when the time is up; that it was a HEAD is known all the same.
#[test]
fn a_head_that_takes_too_long_is_answered_without_a_body() {
    let backend = Backend::scripted(|peer, _| drop(peer.rest()));
    let gateway = Gateway::configured("timeouts: { request: 300 }\n", &[Api::proxy("/", &backend.target())]);
    let mut client = gateway.connect();
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().status(), 504);
    client.expect_end();
}

/// To HTTP/1.0 the end of the connection is the end of a stream of events.
#[test]
fn a_stream_of_events_that_is_cut_does_not_look_whole_to_http_1_0() {
    let mock = json!({ "messageInterval": 0, "messageContent": "x".repeat(10_000) });
    let api = Api::messages("/", json!([{ "type": "sse", "qos": "AT_MOST_ONCE" }]), "mock", mock);
    let gateway = Gateway::configured("timeouts: { clientWriteIdle: 500 }\n", &[api]);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.0\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n");
    assert_eq!(client.head().status(), 200);
    wait_until("a client that reads nothing to be given up", || {
        gateway.metric("ringway_api_aborted_total", &[]) == 1.0
    });
    let (_, is_reset) = rest(&mut client);
    assert!(is_reset, "what is cut must not look whole");
}

/// A backend whose first piece of the body is there before its connection breaks off.
fn breaks_off(head: &'static str) -> (Backend, mpsc::Sender<()>) {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let backend = Backend::scripted(move |peer, _| {
        if peer.next_head().is_some() {
            peer.send(head);
            let _ = wait.lock().unwrap().recv_timeout(DEADLINE);
            // A reset: of what has no length, an end would be the end.
            rustix::net::sockopt::set_socket_linger(peer.stream(), Some(Duration::ZERO)).unwrap();
            reset(peer.stream());
        }
    });
    (backend, go)
}

/// Closing would do, were the harness not to shut down first.
fn reset(stream: &TcpStream) {
    use std::os::fd::AsFd;
    let _ = rustix::net::connect_unspec(stream.as_fd());
}

#[test]
fn a_body_that_breaks_off_never_looks_complete() {
    let until_close = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n";
    let counted = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf";
    for (head, version, must_reset) in [
        (until_close, "HTTP/1.0", true),
        (chunked, "HTTP/1.0", true),
        (counted, "HTTP/1.0", false),
        (until_close, "HTTP/1.1", false),
        (chunked, "HTTP/1.1", false),
        (counted, "HTTP/1.1", false),
    ] {
        let (backend, go) = breaks_off(head);
        let gateway = Gateway::before(&backend.target());
        let mut client = gateway.connect();
        client.send(format!("GET / {version}\r\nHost: a\r\n\r\n"));
        let answer = client.head();
        assert_eq!(answer.status(), 200);
        // The half is here before the rest fails to come.
        client.until(b"half");
        go.send(()).unwrap();
        let (more, was_reset) = rest(&mut client);
        assert!(!more.ends_with(b"0\r\n\r\n"), "{head} to {version}: a last chunk");
        assert!(was_reset || !must_reset, "{head} to {version}: looks complete");
    }
}

#[test]
fn a_body_that_the_end_of_the_process_cuts_off_never_looks_complete() {
    for signal in [Signal::TERM, Signal::KILL] {
        let backend = Backend::scripted(|peer, _| {
            if peer.next_head().is_some() {
                peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf");
                peer.rest();
            }
        });
        let api = Api::proxy("/", &backend.target());
        let mut gateway = Gateway::configured("timeouts: { drain: 300 }\n", &[api]);
        let mut client = gateway.connect();
        client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
        client.head();
        client.until(b"half");
        gateway.process().signal(signal);
        assert!(rest(&mut client).1, "{signal:?}: looks complete");
        gateway.wait();
    }
}

#[test]
fn a_complete_body_without_framing_ends_with_an_end() {
    let backend = Backend::scripted(|peer, _| {
        if peer.next_head().is_some() {
            peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nwhole");
        }
    });
    let gateway = Gateway::before(&backend.target());
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    let mut all = Vec::new();
    client.stream().read_to_end(&mut all).expect("an end, and no reset");
    assert!(all.ends_with(b"\r\n\r\nwhole"), "{all:?}");
}

/// Asks with `first`, and sends more requests than will be answered before it reads the answer.
fn pipelined(gateway: &Gateway, first: &str) -> Option<usize> {
    let mut client = gateway.connect();
    client.send(first);
    let head = client.head();
    assert!(head.has("connection", "close"), "{head:?}");
    // The gateway has said its last; these come in while it closes, or are there already.
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(50));
    client.try_body(&head).map(|body| body.len())
}

#[test]
fn a_pipelined_request_too_many_does_not_destroy_the_last_response() {
    const BYTES: usize = 2 * 1024 * 1024;
    let backend =
        Backend::replies(|_, _| format!("HTTP/1.1 200 OK\r\nContent-Length: {BYTES}\r\n\r\n{}", "x".repeat(BYTES)));
    let gateway = Gateway::configured("limits: { requestsPerConnection: 1 }\n", &[Api::proxy("/", &backend.target())]);
    let pipeline = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3);
    let closes = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".repeat(3);
    for first in [&pipeline, &closes] {
        for round in 0..10 {
            assert_eq!(pipelined(&gateway, first), Some(BYTES), "round {round}");
        }
    }
}

/// Asks on fresh connections until they are refused: how often a connection was made and not answered, and how often it was.
fn until_refused(address: SocketAddr) -> (usize, usize) {
    let (mut lost, mut answered) = (0, 0);
    while let Ok(mut stream) = TcpStream::connect(address) {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut answer = Vec::new();
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let _ = stream.read_to_end(&mut answer);
        if answer.ends_with(b"whole") { answered += 1 } else { lost += 1 }
    }
    (lost, answered)
}

#[test]
fn whoever_is_connected_while_a_process_ends_is_answered() {
    const CLIENTS: usize = 6;
    let backend = Backend::ok("whole");
    for shards in ["1", "2"] {
        let api = Api::proxy("/", &backend.target());
        let mut gateway = Gateway::configured(&format!("shards: {shards}\n"), &[api]);
        let begun = Arc::new(Barrier::new(CLIENTS + 1));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let (address, begun) = (gateway.http(), begun.clone());
                thread::spawn(move || {
                    begun.wait();
                    until_refused(address)
                })
            })
            .collect();
        begun.wait();
        wait_until("some to be answered", || gateway.metric("ringway_requests_total", &[]) > 50.0);
        gateway.terminate();
        let (mut lost, mut answered) = (0, 0);
        for client in clients {
            let (l, a) = client.join().unwrap();
            (lost, answered) = (lost + l, answered + a);
        }
        assert_eq!(lost, 0, "shards: {shards}: lost beside {answered} that were answered");
        assert_eq!(gateway.wait().code(), Some(0));
    }
}
