//! Large messages, many messages, and readers that do not keep up.

use std::io::{ErrorKind, Write};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use ringway_tests::{Api, Backend, DEADLINE, Gateway, Peer, wait_until};
use serde_json::json;

use super::frames::{BINARY, Frame, TEXT, fragments, read};
use super::{noise, open, server, switch};

const MIB: usize = 1 << 20;
/// What a slow reader is sent in all.
const STREAM: usize = 64 * MIB;
/// What may be under way: the kernel's buffers of four sockets (up to 6 MiB to receive and 4 MiB to send each), and the gateway's.
const UNDER_WAY_MAX: usize = 48 * MIB;
/// How much the gateway may grow, by far less than what is under way.
const GROWTH_MAX_KIB: u64 = 16 * 1024;

/// Sends `frames` and expects `back`, straight and through.
#[track_caller]
fn same(backend: &Backend, gateway: &Gateway, frames: &[Frame], back: &Frame) {
    for address in [backend.address(), gateway.http()] {
        let mut client = open(address);
        for frame in frames {
            client.send(frame.masked());
        }
        let (frame, masked) = read(&mut client).expect("an answer");
        assert!(!masked && frame == *back, "{} bytes came back", frame.payload.len());
    }
}

#[test]
fn messages_of_megabytes_whole_and_in_fragments() {
    let backend = Backend::scripted(|peer, _| server::serve(peer));
    let gateway = Gateway::before(&backend.target());
    let text: Vec<u8> = "BAsd7&jh23 µ".bytes().cycle().take(MIB / 13 * 13).collect();
    same(&backend, &gateway, &[Frame::text(text.clone())], &Frame::text(text.clone()));
    same(&backend, &gateway, &fragments(TEXT, &text, 4096), &Frame::text(text));
    for size in [64 << 10, 256 << 10, MIB, 4 * MIB] {
        let payload = noise(size, size as u64);
        let whole = Frame::binary(payload.clone());
        same(&backend, &gateway, std::slice::from_ref(&whole), &whole);
        same(&backend, &gateway, &fragments(BINARY, &payload, 65_521), &whole);
    }
}

#[test]
fn a_message_beyond_the_servers_limit_is_closed_with_its_code() {
    let backend = Backend::scripted(|peer, _| server::serve(peer));
    let gateway = Gateway::before(&backend.target());
    let large = Frame::binary(vec![7; server::MESSAGE_MAX + 1]);
    same(&backend, &gateway, std::slice::from_ref(&large), &Frame::close(1009, ""));
    same(&backend, &gateway, &fragments(BINARY, &large.payload, MIB), &Frame::close(1009, ""));
}

#[test]
fn a_thousand_messages_each_after_the_echo_of_the_last() {
    let backend = Backend::scripted(|peer, _| server::serve(peer));
    let gateway = Gateway::before(&backend.target());
    let mut client = open(gateway.http());
    for number in 0..1000_usize {
        let message = Frame::binary(noise(number * 37 % 20_000, number as u64));
        client.send(message.masked());
        assert!(read(&mut client) == Some((message, false)), "message {number}");
    }
}

/// Sends frames of a mebibyte until the other side takes no more: how many bytes it took, a part of a frame perhaps.
fn fill(peer: &mut Peer, frame: &[u8]) -> usize {
    peer.stream().set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let (mut written, mut stream) = (0, peer.stream());
    loop {
        match stream.write(&frame[written % frame.len()..]) {
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
        assert!(written <= UNDER_WAY_MAX, "nobody reads, and still {written} bytes were taken");
    }
    peer.stream().set_write_timeout(Some(DEADLINE)).unwrap();
    written
}

/// Fills the way to a reader that does not read, says so, and sends the rest of the stream.
fn pour(peer: &mut Peer, frame: &[u8], filled: &mpsc::Sender<()>) {
    let all = STREAM / MIB * frame.len();
    let mut sent = fill(peer, frame);
    filled.send(()).unwrap();
    while sent < all {
        let from = sent % frame.len();
        peer.try_send(&frame[from..]).unwrap();
        sent += frame.len() - from;
    }
}

/// Reads the whole stream once `full` says that its sender was stopped.
fn drink(peer: &mut Peer, frame: &Frame, full: &mpsc::Receiver<()>) {
    full.recv_timeout(DEADLINE).expect("the sender is stopped");
    for _ in 0..STREAM / MIB {
        let (got, _) = read(peer).expect("a whole frame");
        assert!(got == *frame, "a frame differs");
    }
}

#[test]
fn a_client_that_does_not_read_stops_its_backend_in_bounded_memory() {
    let frame = Frame::binary(noise(MIB, 3));
    let (filled, full) = mpsc::channel();
    let plain = frame.plain();
    let filled = Mutex::new(filled);
    let backend = Backend::scripted(move |peer, _| {
        switch(peer);
        pour(peer, &plain, &filled.lock().unwrap());
        peer.rest();
    });
    let gateway = Gateway::before(&backend.target());
    let before = gateway.process().memory_kib("VmHWM");
    let mut client = open(gateway.http());
    drink(&mut client, &frame, &full);
    let grown = gateway.process().memory_kib("VmHWM").saturating_sub(before);
    assert!(grown < GROWTH_MAX_KIB, "the gateway grew by {grown} KiB");
}

#[test]
fn a_backend_that_does_not_read_stops_its_client_in_bounded_memory() {
    let frame = Frame::binary(noise(MIB, 4));
    let (filled, full) = mpsc::channel();
    let full = Mutex::new(full);
    let backend = Backend::scripted({
        let frame = frame.clone();
        move |peer, _| {
            switch(peer);
            drink(peer, &frame, &full.lock().unwrap());
            peer.send(Frame::text("all of it").plain());
            peer.rest();
        }
    });
    let gateway = Gateway::before(&backend.target());
    let before = gateway.process().memory_kib("VmHWM");
    let mut client = open(gateway.http());
    pour(&mut client, &frame.masked(), &filled);
    assert_eq!(read(&mut client), Some((Frame::text("all of it"), false)));
    let grown = gateway.process().memory_kib("VmHWM").saturating_sub(before);
    assert!(grown < GROWTH_MAX_KIB, "the gateway grew by {grown} KiB");
}

/// What a reader takes of a write that is under way counts: kernels tell of room for more in leaps, and `idleTimeout` may pass between two.
#[test]
fn a_reader_that_is_slow_and_steady_keeps_its_tunnel() {
    let frame = Frame::binary(noise(MIB, 5));
    let (filled, full) = mpsc::channel();
    let (plain, filled) = (frame.plain(), Mutex::new(filled));
    let all = STREAM / MIB * plain.len();
    let backend = Backend::scripted(move |peer, _| {
        switch(peer);
        pour(peer, &plain, &filled.lock().unwrap());
        peer.rest();
    });
    let gateway = Gateway::serving(&[Api::proxy("/", &backend.target()).http("idleTimeout", json!(1_200))]);
    let mut client = open(gateway.http());
    full.recv_timeout(DEADLINE).expect("the sender is stopped");
    let begun = Instant::now();
    let mut came = Vec::new();
    for piece in 1..=40 {
        wait_until("the next piece is due", || begun.elapsed() > Duration::from_millis(150) * piece);
        came.extend(client.exactly(64 * 1024));
    }
    came.extend(client.exactly(all - came.len()));
    assert!(came.chunks(frame.plain().len()).all(|one| *one == frame.plain()), "a frame differs");
}

/// One direction is stuck, the other flows: neither waits for the other.
#[test]
fn a_stuck_direction_does_not_hold_up_the_other() {
    let (filled, full) = mpsc::channel();
    let filled = Mutex::new(filled);
    let plain = Frame::binary(noise(MIB, 5)).plain();
    let backend = Backend::scripted(move |peer, _| {
        switch(peer);
        let mut reader = peer.stream().try_clone().unwrap();
        thread::scope(|scope| {
            let stuck = scope.spawn(|| pour(peer, &plain, &filled.lock().unwrap()));
            let mut got = Vec::new();
            std::io::Read::read_to_end(&mut std::io::Read::take(&mut reader, 4 * MIB as u64), &mut got).unwrap();
            assert!(got == noise(4 * MIB, 6), "{} bytes of the client", got.len());
            stuck.join().unwrap();
        });
        peer.rest();
    });
    let gateway = Gateway::before(&backend.target());
    let mut client = open(gateway.http());
    full.recv_timeout(DEADLINE).expect("the backend is stopped");
    client.try_send(&noise(4 * MIB, 6)).expect("the backend reads while its own bytes are stuck");
    for _ in 0..STREAM / MIB {
        read(&mut client).expect("a whole frame");
    }
}
