//! Backends that fail, and clients that do.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use ringway_tests::{Api, Backend, Gateway, Port, wait_until};
use serde_json::json;

#[test]
fn a_refused_connection_is_a_502_with_a_stable_key() {
    let nobody = Port::new();
    let gateway = Gateway::before(&format!("http://{}", nobody.address()));
    let (head, body) = gateway.get("/");
    assert_eq!(head.status(), 502);
    let text = String::from_utf8_lossy(&body).into_owned();
    assert!(text.contains("GATEWAY_"), "the answer names its key: {text}");
    assert!(!text.contains(&nobody.number().to_string()), "the answer must not tell where the backend is: {text}");
}

#[test]
fn a_silent_backend_is_a_504_when_its_time_is_up() {
    let (release, held) = mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let backend = Backend::scripted(move |peer, _| {
        peer.head();
        let _ = held.lock().unwrap().recv();
    });
    let gateway = Gateway::serving(&[Api::proxy("/", &backend.target()).http("readTimeout", json!(300))]);
    assert_eq!(gateway.get("/").0.status(), 504);
    drop(release);
}

#[test]
fn a_pooled_connection_that_the_backend_closed_costs_no_request() {
    // Each connection answers once, claims to be kept, and closes.
    let backend = Backend::scripted(|peer, _| {
        if peer.next_head().is_some() {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let gateway = Gateway::before(&backend.target());
    let mut client = gateway.connect();
    for _ in 0..200 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let (head, body) = client.response();
        assert_eq!((head.status(), body.as_slice()), (200, &b"ok"[..]));
    }
}

#[test]
fn a_request_that_is_not_safe_to_repeat_is_sent_once() {
    // The connection dies after the request has arrived whole.
    let arrived = Arc::new(AtomicUsize::new(0));
    let backend = Backend::scripted({
        let arrived = Arc::clone(&arrived);
        move |peer, _| {
            if let Some(head) = peer.next_head() {
                peer.body(&head);
                arrived.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    let gateway = Gateway::before(&backend.target());
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(client.head().status(), 502);
    assert_eq!(arrived.load(Ordering::SeqCst), 1);
}

#[test]
fn a_client_that_goes_away_takes_its_backend_connection_with_it() {
    let (told, tell) = mpsc::channel();
    let (ended, end) = mpsc::channel();
    let (told, ended) = (std::sync::Mutex::new(told), std::sync::Mutex::new(ended));
    let backend = Backend::scripted(move |peer, connection| {
        if connection == 0 {
            peer.head();
            told.lock().unwrap().send(()).unwrap();
            // The end of the connection is what the test waits for.
            peer.rest();
            ended.lock().unwrap().send(()).unwrap();
        }
    });
    let gateway = Gateway::before(&backend.target());
    let mut client = gateway.connect();
    client.send("GET /long HTTP/1.1\r\nHost: a\r\n\r\n");
    tell.recv_timeout(ringway_tests::DEADLINE).unwrap();
    drop(client);
    end.recv_timeout(ringway_tests::DEADLINE).expect("the backend's connection ends with the client's");
}

#[test]
fn a_head_that_does_not_come_is_not_waited_for_forever() {
    let backend = Backend::ok("ok");
    let gateway = Gateway::configured("timeouts: { clientHeader: 300 }\n", &[Api::proxy("/", &backend.target())]);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ");
    let rest = client.rest();
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&rest));
    assert_eq!(backend.connections(), 0);
}

#[test]
fn running_out_of_descriptors_is_survived() {
    let backend = Backend::ok("ok");
    let gateway = Gateway::before(&backend.target());
    let limit = gateway.process().descriptors() + 20;
    let id = gateway.process().id().to_string();
    ringway_tests::tool::run("prlimit", ["--pid", &id, &format!("--nofile={limit}:{limit}")]).ok();
    let crowd: Vec<_> = (0..60).map(|_| gateway.connect()).collect();
    drop(crowd);
    wait_until("the gateway to serve again", || {
        let mut client = gateway.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        client.rest().starts_with(b"HTTP/1.1 200")
    });
}
