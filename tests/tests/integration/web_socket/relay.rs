//! What passes the tunnel: exactly the bytes, in both directions, whatever they mean.

use std::sync::{Mutex, mpsc};
use std::thread;

use ringway_tests::{Api, Backend, DEADLINE, Gateway};

use super::frames::{Frame, read};
use super::{ASK, SWITCH, noise, open, switch};

#[test]
fn any_bytes_pass_both_ways_at_once() {
    const BYTES: usize = 8 << 20;
    let backend = Backend::scripted(|peer, _| {
        switch(peer);
        let mut writer = peer.stream().try_clone().unwrap();
        let sending = thread::spawn(move || std::io::Write::write_all(&mut writer, &noise(BYTES, 10)));
        assert!(peer.exactly(BYTES) == noise(BYTES, 11), "what the client sent was changed");
        sending.join().unwrap().unwrap();
        peer.send("all of it");
        peer.rest();
    });
    let gateway = Gateway::before(&backend.target());
    let mut client = open(gateway.http());
    let mut writer = client.stream().try_clone().unwrap();
    let sending = thread::spawn(move || std::io::Write::write_all(&mut writer, &noise(BYTES, 11)));
    assert!(client.exactly(BYTES) == noise(BYTES, 10), "what the backend sent was changed");
    sending.join().unwrap().unwrap();
    client.expect("all of it");
}

#[test]
fn the_offer_and_the_answer_about_compression_pass_as_they_are() {
    const OFFER: &str =
        "permessage-deflate; client_max_window_bits=10; server_no_context_takeover, x-other; q=\"a, b\"";
    const CHOICE: &str = "permessage-deflate; server_max_window_bits=9";
    // "Hello" compressed (RFC 7692 section 7.2.3.1), its first half with RSV1, its second half without.
    let deflated = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
    let frames = || {
        let first = Frame::text(&deflated[..3]).reserved(4).unfinished();
        [first, Frame::new(0, &deflated[3..]), Frame::ping("x"), Frame::binary(noise(70_000, 12)).reserved(4)]
    };
    let backend = Backend::scripted(move |peer, _| {
        let head = peer.head();
        assert_eq!(head.field("sec-websocket-extensions"), Some(OFFER), "{head:?}");
        assert_eq!(head.field("sec-websocket-protocol"), Some("v2.test, v1.test"), "{head:?}");
        assert_eq!(head.field("origin"), Some("https://page.test"), "{head:?}");
        let fields = format!("Sec-WebSocket-Extensions: {CHOICE}\r\nSec-WebSocket-Protocol: v1.test\r\n\r\n");
        peer.send(SWITCH.replace("\r\n\r\n", "\r\n") + &fields);
        for frame in frames() {
            peer.expect(frame.masked());
            peer.send(frame.plain());
        }
        peer.rest();
    });
    let gateway = Gateway::before(&backend.target());
    let mut client = gateway.connect();
    let fields = format!(
        "Sec-WebSocket-Extensions: {OFFER}\r\nSec-WebSocket-Protocol: v2.test, v1.test\r\nOrigin: https://page.test\r\n\r\n"
    );
    client.send(ASK.replace("\r\n\r\n", "\r\n") + &fields);
    let head = client.head();
    assert_eq!(
        (head.field("sec-websocket-extensions"), head.field("sec-websocket-protocol")),
        (Some(CHOICE), Some("v1.test"))
    );
    for frame in frames() {
        client.send(frame.masked());
        client.expect(frame.plain());
    }
}

/// RFC 6455 section 4.1 has the client wait for the 101. One that does not may not reach the backend before it (a smuggled
/// request), nor lose its bytes.
#[test]
fn what_the_client_sends_too_early_waits_for_the_101() {
    let backend = Backend::scripted(|peer, _| {
        peer.head();
        assert!(peer.is_quiet(std::time::Duration::from_millis(300)), "bytes of a tunnel that there is not yet");
        peer.send(SWITCH);
        peer.expect(Frame::text("early").masked());
        peer.expect(Frame::text("late").masked());
        peer.send(Frame::text("both").plain());
        peer.rest();
    });
    let gateway = Gateway::before(&backend.target());
    let mut client = gateway.connect();
    client.send([ASK.as_bytes(), &Frame::text("early").masked()].concat());
    assert_eq!(client.head().status(), 101);
    client.send(Frame::text("late").masked());
    assert_eq!(read(&mut client), Some((Frame::text("both"), false)));
}

#[test]
fn what_the_backend_says_with_its_101_and_before_its_end_arrives() {
    let backend = Backend::scripted(|peer, _| {
        peer.head();
        peer.send([SWITCH.as_bytes(), &Frame::text("first").plain(), &noise(300_000, 13)].concat());
    });
    let gateway = Gateway::before(&backend.target());
    for _ in 0..20 {
        let mut client = open(gateway.http());
        assert_eq!(read(&mut client), Some((Frame::text("first"), false)));
        assert!(client.rest() == noise(300_000, 13), "the last bytes were lost");
    }
}

#[test]
fn a_client_that_ends_its_direction_still_hears_the_backend() {
    let backend = Backend::scripted(|peer, _| {
        switch(peer);
        let all = peer.rest();
        assert!(all == noise(100_000, 14), "{} bytes came before the end", all.len());
        peer.send(noise(500_000, 15));
    });
    let gateway = Gateway::before(&backend.target());
    let mut client = open(gateway.http());
    client.send(noise(100_000, 14));
    client.shut_write();
    let rest = client.rest();
    assert!(rest == noise(500_000, 15), "{} bytes came after the client's end", rest.len());
}

#[test]
fn a_backend_that_ends_its_direction_still_hears_the_client() {
    let (told, heard) = mpsc::channel();
    let told = Mutex::new(told);
    let backend = Backend::scripted(move |peer, _| {
        switch(peer);
        peer.send("last");
        peer.shut_write();
        told.lock().unwrap().send(peer.rest()).unwrap();
    });
    let gateway = Gateway::before(&backend.target());
    let mut client = open(gateway.http());
    assert_eq!(client.rest(), b"last");
    client.send(noise(100_000, 16));
    client.shut_write();
    let got = heard.recv_timeout(DEADLINE).unwrap();
    assert!(got == noise(100_000, 16), "{} bytes reached the backend after its end", got.len());
}

#[test]
fn bytes_that_look_like_requests_are_no_requests() {
    let smuggled = "GET /admin HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 500 No\r\n\r\n";
    let backend = Backend::scripted(move |peer, _| {
        switch(peer);
        peer.expect(smuggled);
        peer.send(answer);
        peer.expect("more");
        peer.send("as well");
        peer.rest();
    });
    let gateway = Gateway::serving(&[Api::proxy("/chat", &backend.target())]);
    let mut client = open(gateway.http());
    client.send(smuggled);
    client.expect(answer);
    client.send("more");
    client.expect("as well");
}
