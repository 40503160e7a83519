//! WebSocket through the gateway, which is a pure relay after the backend's 101: every byte passes unchanged.
//!
//! The cases of `groups` follow the groups of the Autobahn suite, which is run by hand (docs/conformance-websocket.md).

pub mod frames;
mod groups;
mod library;
mod life;
mod limits;
mod relay;
mod server;

use std::net::SocketAddr;

use ringway_tests::{Client, Peer};

/// The opening handshake of RFC 6455 section 1.2, and of its sample key the answer.
const ASK: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A connection behind its opening handshake.
#[track_caller]
pub fn open(address: SocketAddr) -> Peer {
    let mut client = Client::connect(address);
    client.send(ASK);
    let head = client.head();
    assert_eq!((head.status(), head.field("sec-websocket-accept")), (101, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")));
    client
}

/// The backend's side of [`open`].
#[track_caller]
fn switch(peer: &mut Peer) {
    peer.head();
    peer.send(SWITCH);
}

/// Bytes without a pattern that a relay could keep by accident: a linear congruential generator's.
fn noise(count: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..count).map(|_| next()).collect()
}
