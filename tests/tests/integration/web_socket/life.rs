//! How long a tunnel lives: through idleness, reloads and drains, and not beyond the end of either side.

use std::net::TcpStream;
use std::sync::{Mutex, mpsc};

use ringway_tests::{Api, Backend, DEADLINE, Gateway, Peer, wait_until};
use rustix::net::sockopt::set_socket_linger;
use serde_json::json;

use super::frames::{Frame, read};
use super::{open, server, switch};

fn echo() -> Backend {
    Backend::scripted(|peer, _| server::serve(peer))
}

#[track_caller]
fn assert_alive(client: &mut Peer, word: &str) {
    client.send(Frame::text(word).masked());
    assert_eq!(read(client), Some((Frame::text(word), false)), "the tunnel is alive");
}

/// A tunnel has a limit of its own (`idleTimeout`); those of requests, heads and kept connections are none of its business.
#[test]
fn a_quiet_tunnel_outlives_the_limits_of_requests() {
    let backend = echo();
    let api = Api::proxy("/", &backend.target()).http("readTimeout", json!(200)).http("keepAliveTimeout", json!(200));
    let yaml =
        "timeouts: { clientHeader: 300, keepAlive: 300, clientBodyIdle: 300, clientWriteIdle: 300, request: 300 }\n";
    let gateway = Gateway::configured(yaml, &[api]);
    let mut tunnel = open(gateway.http());
    assert_alive(&mut tunnel, "at first");
    for _ in 0..3 {
        // The end of a connection that says nothing is the sign that the limits have passed.
        gateway.connect().expect_end();
    }
    assert_alive(&mut tunnel, "after all limits");
}

#[test]
fn a_tunnel_that_is_quiet_for_too_long_is_closed_on_both_sides() {
    let (ended, end) = mpsc::channel();
    let ended = Mutex::new(ended);
    let backend = Backend::scripted(move |peer, _| {
        switch(peer);
        peer.expect_end();
        ended.lock().unwrap().send(()).unwrap();
    });
    let gateway = Gateway::serving(&[Api::proxy("/", &backend.target()).http("idleTimeout", json!(300))]);
    let mut tunnel = open(gateway.http());
    tunnel.expect_end();
    end.recv_timeout(DEADLINE).expect("the backend is told");
}

#[test]
fn a_side_that_breaks_off_takes_the_other_with_it() {
    let (ended, end) = mpsc::channel();
    let ended = Mutex::new(ended);
    let backend = Backend::scripted(move |peer, connection| {
        switch(peer);
        peer.expect("hello");
        if connection == 0 {
            peer.rest();
            ended.lock().unwrap().send(()).unwrap();
        } else {
            reset(peer.stream());
        }
    });
    let gateway = Gateway::before(&backend.target());
    let mut client = open(gateway.http());
    client.send("hello");
    reset(client.stream());
    drop(client);
    end.recv_timeout(DEADLINE).expect("the backend learns that its client is gone");
    let mut client = open(gateway.http());
    client.send("hello");
    client.expect_end();
    drop(client);
    wait_until("the connections to be counted out", || gateway.metric("ringway_connections", &[]) == 0.0);
}

/// Closing sends a reset instead of an end.
fn reset(stream: &TcpStream) {
    set_socket_linger(stream, Some(std::time::Duration::ZERO)).unwrap();
}

#[test]
fn a_tunnel_outlives_reloads_and_the_api_that_it_began_with() {
    let backend = echo();
    let gateway = Gateway::before(&backend.target());
    let mut tunnel = open(gateway.http());
    assert_alive(&mut tunnel, "before");
    gateway.write("apis/0.json", &Api::proxy("/", &backend.target()).http("readTimeout", json!(5_000)).json());
    assert_eq!(gateway.reload().0, 200);
    assert_alive(&mut tunnel, "its API was changed");
    gateway.write("apis/0.json", &Api::proxy("/elsewhere", &backend.target()).with("id", json!("other")).json());
    assert_eq!(gateway.reload().0, 200);
    wait_until("the API to be gone", || gateway.get("/chat").0.status() == 404);
    assert_alive(&mut tunnel, "its API was removed");
}

#[test]
fn a_drain_leaves_a_tunnel_its_time() {
    let backend = echo();
    let mut gateway = Gateway::before(&backend.target());
    let mut tunnel = open(gateway.http());
    assert_alive(&mut tunnel, "before");
    gateway.terminate();
    wait_until("new connections to be refused", || TcpStream::connect(gateway.http()).is_err());
    assert_alive(&mut tunnel, "while the gateway drains");
    tunnel.send(Frame::close(1000, "").masked());
    assert_eq!(read(&mut tunnel), Some((Frame::close(1000, ""), false)));
    drop(tunnel);
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn a_drain_that_is_over_cuts_the_tunnels_that_are_left() {
    let backend = echo();
    let api = Api::proxy("/", &backend.target());
    let mut gateway = Gateway::configured("timeouts: { drain: 300 }\n", &[api]);
    let mut tunnels: Vec<Peer> = (0..10).map(|_| open(gateway.http())).collect();
    assert_alive(&mut tunnels[0], "before");
    gateway.terminate();
    for tunnel in &mut tunnels {
        tunnel.expect_end();
    }
    assert_eq!(gateway.wait().code(), Some(0));
    assert!(gateway.log().contains("cut=10"), "the log says how many were cut: {}", gateway.log());
}
