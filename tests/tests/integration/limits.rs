//! Every limit at its border, and what is answered beyond it.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use ringway_tests::{Api, Backend, Client, DEADLINE, Gateway, Peer, wait_until};
use serde_json::json;

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

/// Fails unless the answer is a refusal with this status and key, as a problem document.
#[track_caller]
fn refused(client: &mut Peer, status: u16, key: &str) {
    let (head, body) = client.response();
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap_or_else(|_| panic!("{head:?}: no document"));
    assert_eq!(
        (head.status(), problem["key"].as_str(), problem["status"].as_u64()),
        (status, Some(key), Some(status.into()))
    );
    assert_eq!(head.field("content-type"), Some("application/problem+json"));
    let overloaded = ["GATEWAY_OVERLOADED", "GATEWAY_PENDING_OVERFLOW", "GATEWAY_PENDING_TIMEOUT"].contains(&key);
    assert_eq!(head.field("retry-after"), overloaded.then_some("1"), "{head:?}");
}

#[test]
fn heads_are_as_large_as_they_may_be_and_no_larger() {
    let (_backend, gateway) = gateway("limits: { headBytes: 2000, headerCount: 10, uriBytes: 300 }\n");
    let filled = |bytes: usize| {
        let frame = "GET / HTTP/1.1\r\nHost: a\r\nX-Fill: \r\n\r\n".len();
        format!("GET / HTTP/1.1\r\nHost: a\r\nX-Fill: {}\r\n\r\n", "x".repeat(bytes - frame))
    };
    let fields = |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X-Field: x\r\n".repeat(count - 1));
    let target = |bytes: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(bytes - 1));
    for (within, beyond, status, key) in [
        (filled(2000), filled(2001), 431, "HEADER_TOO_LARGE"),
        (fields(10), fields(11), 431, "TOO_MANY_FIELDS"),
        (target(300), target(301), 414, "URI_TOO_LONG"),
    ] {
        assert_eq!(Client::ask(gateway.http(), &within).0.status(), 200, "{key}: at the limit");
        let mut client = gateway.connect();
        client.send(beyond);
        refused(&mut client, status, key);
        client.expect_end();
    }
}

#[test]
fn a_refusal_is_worded_as_the_client_wants_it() {
    let (_backend, gateway) = gateway("limits: { bodyBytes: 1 }\n");
    for (accept, media) in [
        ("", "application/problem+json"),
        ("Accept: */*\r\n", "application/problem+json"),
        ("Accept: application/json\r\n", "application/json"),
        ("Accept: text/plain\r\n", "text/plain"),
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{accept}Content-Length: 2\r\n\r\nhi");
        let (head, body) = Client::ask(gateway.http(), &request);
        assert_eq!((head.status(), head.field("content-type")), (413, Some(media)));
        let text = String::from_utf8(body).unwrap();
        assert!(text.contains("REQUEST_CONTENT_LIMIT_TOO_LARGE"), "{accept}: {text}");
        assert_eq!(text.starts_with('{'), media != "text/plain", "{accept}: {text}");
    }
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
fn a_shard_takes_as_many_connections_as_it_may() {
    let (_backend, gateway) = gateway("limits: { connectionsPerShard: 5 }\n");
    let mut served: Vec<Peer> = (0..5).map(|_| gateway.connect()).collect();
    for client in &mut served {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().1, b"ok");
    }
    gateway.connect().expect_end();
    assert_eq!(gateway.metric("ringway_connections_refused_total", &[]), 1.0);
    drop(served.pop());
    wait_until("room for another connection", || {
        let mut client = gateway.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        client.rest().starts_with(b"HTTP/1.1 200")
    });
}

/// A backend that answers nothing before it is told to, and then everything; how many requests it had at a time.
struct Dam {
    backend: Backend,
    most: Arc<AtomicUsize>,
    gates: mpsc::Sender<()>,
}

impl Dam {
    fn new() -> Dam {
        let (gates, closed) = mpsc::channel::<()>();
        let (closed, present, most) = (Mutex::new(closed), AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
        let backend = Backend::scripted({
            let most = Arc::clone(&most);
            move |peer, _| {
                while peer.next_head().is_some() {
                    most.fetch_max(present.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    // Nothing is ever sent: it opens when the sender is dropped.
                    let _ = closed.lock().unwrap().recv_timeout(DEADLINE);
                    present.fetch_sub(1, Ordering::SeqCst);
                    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                }
            }
        });
        Dam { backend, most, gates }
    }
}

#[test]
fn a_backend_gets_as_many_requests_as_it_may_and_as_many_more_wait() {
    let dam = Dam::new();
    let api = Api::proxy("/", &dam.backend.target()).http("maxConcurrentConnections", json!(2));
    let gateway = Gateway::configured("limits: { pendingRequests: 1 }\n", &[api]);
    let (told, answers) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let (mut client, told) = (gateway.connect(), told.clone());
            scope.spawn(move || {
                client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                client.stream().peek(&mut [0]).unwrap();
                told.send(client).unwrap();
            });
        }
        let first = answers.recv_timeout(DEADLINE);
        refused(&mut first.unwrap(), 503, "GATEWAY_PENDING_OVERFLOW");
        wait_until("two requests to be at the backend", || dam.most.load(Ordering::SeqCst) == 2);
        drop(dam.gates);
        for _ in 0..3 {
            assert_eq!(answers.recv_timeout(DEADLINE).unwrap().response().1, b"ok");
        }
    });
    assert_eq!(dam.most.load(Ordering::SeqCst), 2, "as many at a time as it may have");
}

#[test]
fn nobody_waits_for_a_backend_for_ever() {
    let dam = Dam::new();
    let api = Api::proxy("/", &dam.backend.target()).http("maxConcurrentConnections", json!(1));
    let gateway = Gateway::configured("timeouts: { pending: 300 }\n", &[api]);
    let (mut first, mut second) = (gateway.connect(), gateway.connect());
    first.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_until("the first to be at the backend", || dam.most.load(Ordering::SeqCst) == 1);
    second.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    refused(&mut second, 503, "GATEWAY_PENDING_TIMEOUT");
    drop(dam.gates);
    assert_eq!(first.response().1, b"ok");
}

#[test]
fn a_request_too_many_is_shed_and_the_next_one_served() {
    let dam = Dam::new();
    let gateway = Gateway::configured("limits: { exchangesPerShard: 3 }\n", &[Api::proxy("/", &dam.backend.target())]);
    let mut clients: Vec<Peer> = (0..3).map(|_| gateway.connect()).collect();
    clients.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    wait_until("three requests to be under way", || gateway.metric("ringway_exchanges", &[]) == 3.0);
    let mut fourth = gateway.connect();
    for _ in 0..2 {
        fourth.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        refused(&mut fourth, 503, "GATEWAY_OVERLOADED");
    }
    assert_eq!(gateway.metric("ringway_requests_shed_total", &[]), 2.0);
    drop(dam.gates);
    clients.iter_mut().for_each(|client| assert_eq!(client.response().1, b"ok"));
    fourth.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(fourth.response().1, b"ok", "the connection of a shed request is kept");
    // With content nobody reads it: the connection ends, so that it is not taken for the next request.
    assert_eq!(gateway.metric("ringway_exchanges", &[]), 0.0);
}

#[test]
fn short_memory_leaves_room_for_a_few_requests() {
    let dam = Dam::new();
    let api = Api::proxy("/", &dam.backend.target()).http("maxConcurrentConnections", json!(100));
    let gateway = Gateway::configured("limits: { memoryBytes: 1 }\n", &[api]);
    let mut clients = Vec::new();
    wait_until("a request to be shed", || {
        let mut client = gateway.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        clients.push(client);
        gateway.metric("ringway_requests_shed_total", &[]) >= 1.0
    });
    let served = gateway.metric("ringway_exchanges", &[]) as usize;
    assert!(served >= 32 && clients.len() > served, "{served} of {} are served", clients.len());
    drop(dam.gates);
    let statuses: Vec<u16> = clients.iter_mut().map(|client| client.response().0.status()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), served, "{statuses:?}");
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
fn a_body_that_stops_coming_ends_its_request() {
    let (_backend, gateway) = gateway("timeouts: { clientBodyIdle: 300 }\n");
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nsome");
    refused(&mut client, 408, "REQUEST_BODY_TIMEOUT");
}

/// How long a peer that drips pauses between two drops.
const PAUSE: Duration = Duration::from_millis(20);

#[test]
fn a_body_that_drips_ends_its_request() {
    let (_backend, gateway) = gateway("limits: { bodyRateMin: 100000 }\ntimeouts: { clientBodyIdle: 300 }\n");
    for (framing, drop) in [("Content-Length: 1000000", "x"), ("Transfer-Encoding: chunked", "1\r\nx\r\n")] {
        let mut client = gateway.connect();
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n"));
        while client.is_quiet(PAUSE) {
            client.send(drop);
        }
        refused(&mut client, 408, "REQUEST_BODY_TIMEOUT");
    }
}

#[test]
fn a_head_that_drips_is_given_up_when_its_time_is_up() {
    let (backend, gateway) = gateway("timeouts: { clientHeader: 500 }\n");
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ");
    while client.is_quiet(PAUSE) {
        client.send("x");
    }
    refused(&mut client, 408, "REQUEST_HEADER_TIMEOUT");
    assert_eq!(backend.connections(), 0);
}

#[test]
fn a_head_in_many_pieces_is_a_head() {
    let (_backend, gateway) = gateway("");
    // More pieces than one head may be put off, with the next request at the end.
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\n\r\n", "x".repeat(300));
    let mut client = gateway.connect();
    for round in 0..2 {
        for piece in request.as_bytes().chunks(4) {
            client.send(piece);
            assert!(client.is_quiet(Duration::from_millis(1)) || piece.ends_with(b"\n"), "round {round}");
        }
        assert_eq!(client.response().1, b"ok", "round {round}");
    }
}

/// A backend with a body that is longer than anybody takes, and when its connection ended.
fn endless() -> (Backend, mpsc::Receiver<()>) {
    let (ended, end) = mpsc::channel();
    let ended = Mutex::new(ended);
    let backend = Backend::scripted(move |peer, _| {
        if peer.next_head().is_some() {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n");
            while peer.try_send(&[b'x'; 16 * 1024]).is_ok() {}
            let _ = ended.lock().unwrap().send(());
        }
    });
    (backend, end)
}

#[test]
fn a_client_that_reads_nothing_or_drops_is_cut_off() {
    let yaml = "limits: { responseRateMin: 100000000 }\ntimeouts: { clientWriteIdle: 400 }\n";
    for bytes in [0, 64 * 1024] {
        let (backend, end) = endless();
        let gateway = Gateway::configured(yaml, &[Api::proxy("/", &backend.target())]);
        let mut client = gateway.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client.head();
        wait_until("the client to be cut off", || {
            client.exactly(bytes);
            end.recv_timeout(PAUSE).is_ok()
        });
        let api = gateway.metric("ringway_api_aborted_total", &[]);
        assert_eq!(api, 1.0, "reading {bytes} bytes at a time");
    }
}

#[test]
fn a_client_that_reads_slowly_but_all_the_time_is_served() {
    // Here the kernel takes more to send only after seconds of reading: the wait for it is longer than the silence that is allowed.
    let (backend, end) = endless();
    let yaml = "timeouts: { clientWriteIdle: 2000 }\n";
    let gateway = Gateway::configured(yaml, &[Api::proxy("/", &backend.target())]);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.head();
    for _ in 0..100 {
        client.exactly(16 * 1024);
        assert!(end.recv_timeout(Duration::from_millis(50)).is_err(), "a client that reads was cut off");
    }
    assert_eq!(gateway.metric("ringway_api_aborted_total", &[]), 0.0);
}

#[test]
fn a_backend_that_takes_slowly_but_all_the_time_gets_its_request() {
    // As above, the other way around: only silence counts against a backend that is sent a body.
    let (pause, paused) = mpsc::channel::<()>();
    let paused = Mutex::new(paused);
    let backend = Backend::scripted(move |peer, _| {
        peer.head();
        for _ in 0..100 {
            let _ = paused.lock().unwrap().recv_timeout(Duration::from_millis(50));
            if peer.try_exactly(16 * 1024).is_none() {
                return;
            }
        }
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    });
    let api = Api::proxy("/", &backend.target()).http("idleTimeout", json!(2000));
    let gateway = Gateway::configured("limits: { bodyBytes: 100000000000 }\n", &[api]);
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000000\r\n\r\n");
    let mut upload = client.stream().try_clone().unwrap();
    let upload = std::thread::spawn(move || while upload.write_all(&[b'x'; 16 * 1024]).is_ok() {});
    assert_eq!(client.head().status(), 200);
    drop((client, gateway, pause));
    upload.join().unwrap();
}
