//! The end of a process, and its replacement by another: every request is counted.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use ringway_tests::{Backend, Client, DEADLINE, Gateway, wait_until};
use rustix::process::Signal;

#[test]
fn a_drain_finishes_what_runs_and_refuses_what_comes() {
    let (go, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let backend = Backend::scripted(move |peer, _| {
        while peer.next_head().is_some() {
            let _ = held.lock().unwrap().recv_timeout(DEADLINE);
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate");
        }
    });
    let mut gateway = Gateway::before(&backend.target());
    let mut idle = gateway.connect();
    go.send(()).unwrap();
    idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(idle.response().1, b"late");
    let mut busy = gateway.connect();
    busy.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_until("the backend to be asked again", || gateway.metric("ringway_requests_total", &[]) >= 2.0);
    gateway.terminate();
    idle.expect_end();
    wait_until("new connections to be refused", || TcpStream::connect(gateway.http()).is_err());
    go.send(()).unwrap();
    let (head, body) = busy.response();
    assert_eq!(body, b"late");
    assert!(head.has("connection", "close"), "a draining gateway says that it closes: {head:?}");
    busy.expect_end();
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn a_drain_ends_at_its_limit() {
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let backend = Backend::scripted(move |peer, _| {
        if peer.next_head().is_some() {
            let _ = held.lock().unwrap().recv();
        }
    });
    let api = ringway_tests::Api::proxy("/", &backend.target());
    let mut gateway = Gateway::configured("timeouts: { drain: 300 }\n", &[api]);
    let mut stuck = gateway.connect();
    stuck.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_until("the backend to be asked", || backend.connections() == 1);
    gateway.terminate();
    gateway.wait();
    stuck.rest();
    drop(release);
}

/// What clients saw while processes came and went.
#[derive(Debug, Default)]
struct Count {
    answered: AtomicUsize,
    /// The connection could not be made.
    refused: AtomicUsize,
    /// The connection was new and ended without an answer.
    dropped: AtomicUsize,
    /// An answer broke off.
    truncated: AtomicUsize,
    /// Another status than 200.
    wrong: AtomicUsize,
    /// A kept connection ended just when it was used again: RFC 9112 section 9.3.1 lets the client repeat.
    repeated: AtomicUsize,
}

/// Asks on `stream`; what came until the response was whole or the connection ended.
fn ask(stream: &mut TcpStream, close: bool) -> Vec<u8> {
    let connection = if close { "Connection: close\r\n" } else { "" };
    let mut answer = Vec::new();
    if stream.write_all(format!("GET / HTTP/1.1\r\nHost: a\r\n{connection}\r\n").as_bytes()).is_err() {
        return answer;
    }
    let mut buffer = [0; 4096];
    while !answer.ends_with(b"whole") {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(count) => answer.extend_from_slice(&buffer[..count]),
        }
    }
    answer
}

fn client(address: std::net::SocketAddr, close: bool, stop: &AtomicBool, count: &Count) {
    let mut kept: Option<TcpStream> = None;
    while !stop.load(Ordering::SeqCst) {
        let fresh = kept.is_none();
        let Some(mut stream) = kept.take().or_else(|| TcpStream::connect(address).ok()) else {
            count.refused.fetch_add(1, Ordering::SeqCst);
            continue;
        };
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let answer = ask(&mut stream, close);
        let text = String::from_utf8_lossy(&answer).to_lowercase();
        let counter = match (answer.is_empty(), fresh) {
            (true, true) => &count.dropped,
            (true, false) => &count.repeated,
            _ if !text.ends_with("whole") => &count.truncated,
            _ if !text.starts_with("http/1.1 200") => &count.wrong,
            _ => &count.answered,
        };
        counter.fetch_add(1, Ordering::SeqCst);
        if text.ends_with("whole") && !close && !text.contains("connection: close") {
            kept = Some(stream);
        }
    }
}

#[test]
fn a_new_process_takes_over_and_no_request_is_lost() {
    const RESTARTS: usize = 5;
    let backend = Backend::ok("whole");
    let mut gateway = Gateway::before(&backend.target());
    let stop = Arc::new(AtomicBool::new(false));
    let count = Arc::new(Count::default());
    let clients: Vec<_> = (0..8)
        .map(|number| {
            let (address, stop, count) = (gateway.http(), Arc::clone(&stop), Arc::clone(&count));
            thread::spawn(move || client(address, number % 2 == 0, &stop, &count))
        })
        .collect();
    for _ in 0..RESTARTS {
        let before = count.answered.load(Ordering::SeqCst);
        let mut old = gateway.replace();
        old.signal(Signal::TERM);
        let status = old.wait(DEADLINE).expect("the old process drains and ends");
        assert_eq!(status.code(), Some(0), "{}", gateway.log());
        wait_until("requests to go on", || count.answered.load(Ordering::SeqCst) > before + 100);
    }
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.join().unwrap();
    }
    let failed = [&count.refused, &count.dropped, &count.truncated, &count.wrong];
    let failed: Vec<usize> = failed.iter().map(|counter| counter.load(Ordering::SeqCst)).collect();
    assert_eq!(failed, [0, 0, 0, 0], "refused, dropped, truncated, wrong of {count:?}");
    assert_eq!(Client::get(gateway.http(), "a", "/").1, b"whole");
}
