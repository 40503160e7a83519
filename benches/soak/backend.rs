//! The backend of the soak: what a request asks for in its path, good and bad.

use std::time::Duration;

use ringway_tests::{Backend, Head, Peer};

/// Bytes of a large body.
pub(crate) const LARGE: usize = 1024 * 1024;
/// Events of a stream.
pub(crate) const EVENTS: usize = 10;

pub(crate) fn start() -> Backend {
    Backend::scripted(|peer, _| {
        peer.wait_patiently();
        while peer.next_head().is_some_and(|head| serve(peer, &head)) {}
    })
}

/// One request; `false` when the connection is over.
fn serve(peer: &mut Peer, head: &Head) -> bool {
    // `/api/KIND`, behind whatever context path.
    let kind = head.target().rsplit('/').next().unwrap_or_default().to_owned();
    let Some(body) = peer.try_body(head) else { return false };
    match kind.as_str() {
        "large" => {
            say(peer, &format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n"))
                && peer.try_send(&vec![b'x'; LARGE]).is_ok()
        }
        "upload" => say(peer, &answer(&body.len().to_string())),
        "events" => events(peer),
        "echo" => echo(peer),
        // One that is too slow, one that ends too early, one that says more than it announced.
        "stall" => {
            peer.rest();
            false
        }
        "short" => {
            say(peer, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort");
            false
        }
        "long" => say(peer, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok, and more"),
        _ => say(peer, &answer("ok")),
    }
}

fn answer(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn say(peer: &mut Peer, text: &str) -> bool {
    peer.try_send(text.as_bytes()).is_ok()
}

fn events(peer: &mut Peer) -> bool {
    say(peer, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        && (0..EVENTS).all(|number| {
            std::thread::park_timeout(Duration::from_millis(20));
            let event = format!("data: {number}\n\n");
            say(peer, &format!("{:x}\r\n{event}\r\n", event.len()))
        })
        && say(peer, "0\r\n\r\n")
}

/// A tunnel whose bytes come back as they are: good enough for a WebSocket that nobody interprets.
fn echo(peer: &mut Peer) -> bool {
    use std::io::{Read, Write};
    say(peer, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    let mut stream = peer.stream();
    let mut buffer = [0; 4096];
    while let Ok(count) = stream.read(&mut buffer) {
        if count == 0 || stream.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    false
}
