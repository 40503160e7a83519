//! HAProxy's PROXY protocol on the way in.

use ringway_tests::{Api, Backend, Client, Gateway};

const SERVERS: &str = "servers: [{ id: http, listen: '{http}', proxyProtocol: true }]\n";

fn pair() -> (Backend, Gateway) {
    let backend = Backend::ok("ok");
    let gateway = Gateway::configured(SERVERS, &[Api::proxy("/", &backend.target())]);
    (backend, gateway)
}

#[test]
fn the_address_in_the_header_is_the_clients() {
    let (backend, gateway) = pair();
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    v2.extend([192, 0, 2, 9, 192, 0, 2, 10, 0xdc, 0x04, 0x01, 0xbb]);
    for (header, address) in [
        (b"PROXY TCP4 192.0.2.7 192.0.2.8 56324 443\r\n".to_vec(), "192.0.2.7"),
        (b"PROXY TCP6 2001:db8::7 2001:db8::8 56324 443\r\n".to_vec(), "2001:db8::7"),
        (v2, "192.0.2.9"),
    ] {
        let mut client = Client::connect(gateway.http());
        client.send(header);
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().1, b"ok");
        let (request, _) = backend.seen().pop().unwrap();
        assert_eq!(request.field("x-forwarded-for"), Some(address));
    }
}

#[test]
fn curl_speaks_it_too() {
    let (_backend, gateway) = pair();
    let said = ringway_tests::tool::curl(&format!("--fail --haproxy-protocol http://{}/", gateway.http()));
    assert_eq!(said.ok(), "ok");
}

#[test]
fn a_connection_without_the_header_is_closed() {
    let (backend, gateway) = pair();
    for start in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "PROXY TCP4 1.2.3.4\r\n", "PROXY TCP9 1.2.3.4 1.2.3.4 1 2\r\n"] {
        let mut client = Client::connect(gateway.http());
        client.send(start);
        client.expect_end();
    }
    assert_eq!(backend.connections(), 0);
}
