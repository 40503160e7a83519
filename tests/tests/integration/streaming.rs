//! Bodies of any size pass in bounded memory, and nobody is made to wait for bytes that are there.

use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use ringway_tests::{Backend, DEADLINE, Gateway, Peer};

const MIB: u64 = 1024 * 1024;
/// What the test pushes.
const BODY: u64 = 256 * MIB;
/// What may be under way: the kernel's buffers of four sockets (up to 6 MiB to receive and 4 MiB to send each), and the gateway's.
const UNDER_WAY_MAX: u64 = 48 * MIB;
/// How much the gateway may grow: its own buffers, by far less than what is under way.
const GROWTH_MAX_KIB: u64 = 16 * 1024;

/// Writes until the other side takes no more; how much that was.
fn fill(peer: &mut Peer) -> u64 {
    let block = vec![b'x'; 64 * 1024];
    let mut written = 0;
    peer.stream().set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut stream = peer.stream();
    loop {
        match stream.write(&block) {
            Ok(count) => written += count as u64,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
        assert!(written <= UNDER_WAY_MAX, "nobody reads, and still {written} bytes were taken");
    }
    peer.stream().set_write_timeout(Some(DEADLINE)).unwrap();
    written
}

#[test]
fn a_client_that_does_not_read_stops_its_backend() {
    let (full, filled) = mpsc::channel();
    let full = Mutex::new(full);
    let backend = Backend::scripted(move |peer, _| {
        peer.head();
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY}\r\n\r\n"));
        let mut left = BODY - fill(peer);
        full.lock().unwrap().send(()).unwrap();
        let block = vec![b'x'; 1024 * 1024];
        while left > 0 {
            let count = left.min(block.len() as u64);
            peer.try_send(&block[..count as usize]).unwrap();
            left -= count;
        }
    });
    let gateway = Gateway::before(&backend.target());
    let before = gateway.process().memory_kib("VmHWM");
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    filled.recv_timeout(DEADLINE).expect("the backend is stopped");
    assert_eq!(client.head().field("content-length"), Some(BODY.to_string().as_str()));
    let mut received = 0;
    while received < BODY {
        received += client.exactly(MIB as usize).len() as u64;
    }
    client.expect_end();
    let grown = gateway.process().memory_kib("VmHWM").saturating_sub(before);
    assert!(grown < GROWTH_MAX_KIB, "{BODY} bytes passed and the gateway grew by {grown} KiB");
}

#[test]
fn a_backend_that_does_not_read_stops_its_client() {
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let total = Arc::new(AtomicU64::new(0));
    let backend = Backend::scripted({
        let total = Arc::clone(&total);
        move |peer, _| {
            let head = peer.head();
            assert_eq!(head.field("content-length"), Some(BODY.to_string().as_str()));
            let _ = held.lock().unwrap().recv_timeout(DEADLINE);
            for _ in 0..BODY / MIB {
                total.fetch_add(peer.exactly(MIB as usize).len() as u64, Ordering::SeqCst);
            }
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let gateway = Gateway::before(&backend.target());
    let before = gateway.process().memory_kib("VmHWM");
    let mut client = gateway.connect();
    client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {BODY}\r\n\r\n"));
    let mut left = BODY - fill(&mut client);
    release.send(()).unwrap();
    let block = vec![b'x'; 1024 * 1024];
    while left > 0 {
        let count = left.min(block.len() as u64);
        client.try_send(&block[..count as usize]).unwrap();
        left -= count;
    }
    assert_eq!(client.response().1, b"ok");
    assert_eq!(total.load(Ordering::SeqCst), BODY);
    let grown = gateway.process().memory_kib("VmHWM").saturating_sub(before);
    assert!(grown < GROWTH_MAX_KIB, "{BODY} bytes passed and the gateway grew by {grown} KiB");
}

#[test]
fn an_event_stream_is_passed_on_event_by_event() {
    for (framing, wrap) in [("Transfer-Encoding: chunked", true), ("Connection: close", false)] {
        let (next, go) = mpsc::channel::<()>();
        let go = Mutex::new(go);
        let backend = Backend::scripted(move |peer, _| {
            peer.head();
            peer.send(format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{framing}\r\n\r\n"));
            for number in 0..5 {
                let event = format!("id: {number}\ndata: x\n\n");
                peer.send(if wrap { format!("{:x}\r\n{event}\r\n", event.len()) } else { event });
                // The next event waits until the client has this one: a gateway that collects would wait with it.
                go.lock().unwrap().recv_timeout(DEADLINE).unwrap();
            }
            if wrap {
                peer.send("0\r\n\r\n");
            }
        });
        let gateway = Gateway::before(&backend.target());
        let mut client = gateway.connect();
        client.send("GET /events HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\nConnection: close\r\n\r\n");
        assert_eq!(client.head().field("content-type"), Some("text/event-stream"));
        for number in 0..5 {
            client.until(format!("id: {number}\ndata: x\n\n").as_bytes());
            next.send(()).unwrap();
        }
        client.rest();
    }
}

#[test]
fn a_request_body_is_passed_on_as_it_comes() {
    let (got, have) = mpsc::channel();
    let got = Mutex::new(got);
    let backend = Backend::scripted(move |peer, _| {
        peer.head();
        for _ in 0..3 {
            peer.until(b"piece");
            got.lock().unwrap().send(()).unwrap();
        }
        peer.until(b"0\r\n\r\n");
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    let gateway = Gateway::before(&backend.target());
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..3 {
        client.send("5\r\npiece\r\n");
        have.recv_timeout(DEADLINE).expect("a piece arrives before the next is sent");
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.head().status(), 200);
}
