//! Connections that are silent for so long that they are parked: they notice nothing of it.

use ringway_tests::{Api, Authority, Backend, Gateway, tool, wait_until};
use serde_json::json;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn parked(gateway: &Gateway, count: usize) {
    wait_until("connections to be parked", || gateway.metric("ringway_connections_parked", &[]) == count as f64);
}

#[test]
fn a_parked_connection_serves_again_and_weighs_little() {
    const CROWD: usize = 500;
    let backend = Backend::ok("ok");
    let gateway = Gateway::before(&backend.target());
    let mut crowd: Vec<_> = (0..CROWD).map(|_| gateway.connect()).collect();
    for round in 0..2 {
        for client in &mut crowd {
            client.send(GET);
            assert_eq!(client.response().1, b"ok", "round {round}");
        }
        parked(&gateway, CROWD);
    }
    // Every one of them is still counted.
    assert_eq!(gateway.metric("ringway_connections", &[]), CROWD as f64);
    drop(crowd);
    wait_until("all to be gone", || gateway.metric("ringway_connections", &[]) == 0.0);
    parked(&gateway, 0);
}

#[test]
fn a_parked_connection_is_closed_when_its_time_is_up() {
    let backend = Backend::ok("ok");
    let api = Api::proxy("/", &backend.target());
    let gateway = Gateway::configured("timeouts: { keepAlive: 2500, clientHeader: 2500 }\n", &[api]);
    let mut served = gateway.connect();
    let mut silent = gateway.connect();
    served.send(GET);
    assert_eq!(served.response().1, b"ok");
    parked(&gateway, 2);
    served.expect_end();
    silent.expect_end();
    wait_until("both to be gone", || gateway.metric("ringway_connections", &[]) == 0.0);
}

#[test]
fn a_drain_closes_what_is_parked_but_not_who_is_still_to_ask() {
    let backend = Backend::ok("ok");
    let mut gateway = Gateway::before(&backend.target());
    let mut served = gateway.connect();
    let mut new = gateway.connect();
    served.send(GET);
    assert_eq!(served.response().1, b"ok");
    parked(&gateway, 2);
    gateway.terminate();
    served.expect_end();
    new.send(GET);
    let (head, body) = new.response();
    assert!(head.has("connection", "close") && body == b"ok", "{head:?}");
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn a_parked_tunnel_carries_both_ways_again_and_ends_when_it_is_idle() {
    let backend = Backend::scripted(|peer, _| {
        peer.head();
        peer.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        for _ in 0..2 {
            peer.expect("ping");
            peer.send("pong");
        }
        peer.rest();
    });
    let gateway = Gateway::serving(&[Api::proxy("/", &backend.target()).http("idleTimeout", json!(3000))]);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(client.head().status(), 101);
    for _ in 0..2 {
        parked(&gateway, 1);
        client.send("ping");
        client.expect("pong");
    }
    parked(&gateway, 1);
    client.expect_end();
    wait_until("the tunnel to be reported", || gateway.log().contains("\"requestBytes\":8,\"responseBytes\":8"));
    assert_eq!(gateway.metric("ringway_api_aborted_total", &[]), 1.0);
}

/// Asks over TLS, waits until the connection is parked, asks again.
const TLS: &str = r#"
import socket, ssl, sys, urllib.request
host, port, ca, admin = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
context = ssl.create_default_context(cafile=ca)
socket = context.wrap_socket(socket.create_connection((host, port)), server_hostname="one.test")

def ask():
    socket.sendall(b"GET / HTTP/1.1\r\nHost: one.test\r\n\r\n")
    got = b""
    while not got.endswith(b"confidential"):
        more = socket.recv(4096)
        assert more, got
        got += more

def parked():
    lines = urllib.request.urlopen(f"http://{admin}/metrics").read().decode().splitlines()
    return any(line.startswith("ringway_connections_parked{") and line.endswith(" 1") for line in lines)

for _ in range(3):
    ask()
    while not parked():
        pass
print("served")
"#;

#[test]
fn a_parked_tls_connection_serves_again() {
    let authority = Authority::new();
    authority.sign("one.test");
    let backend = Backend::ok("confidential");
    let servers = format!(
        "servers:\n  - {{ id: http, listen: '{{http}}' }}\n  - id: https\n    listen: '{{tls}}'\n    tls: {{ certificates: [{{ cert: '{}', key: '{}' }}] }}\n",
        authority.path("one.test.pem"),
        authority.path("one.test.key")
    );
    let gateway = Gateway::configured(&servers, &[Api::proxy("/", &backend.target())]);
    let (tls, admin) = (gateway.tls(), gateway.admin());
    let arguments = [tls.ip().to_string(), tls.port().to_string(), authority.path("ca.pem"), admin.to_string()];
    let said = tool::python(TLS, &arguments.each_ref().map(String::as_str)).ok();
    assert_eq!(said.trim(), "served");
}
