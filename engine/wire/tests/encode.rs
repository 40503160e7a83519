//! What is written to backends and clients.

use bytes::BytesMut;
use http::{Method, StatusCode};
use ringway_wire::encode::{content_length, decimal, status_line};
use ringway_wire::{Connection, Framing, Limits, Parsed, RequestHead, ResponseHead, TargetParts};

fn request(bytes: &str) -> RequestHead {
    let (mut head, mut input) = (RequestHead::new(), BytesMut::from(bytes));
    assert_eq!(head.parse(&mut input, &Limits::default()), Ok(Parsed::Complete));
    head
}

fn written(head: &RequestHead, prefix: &str, framing: Framing, connection: Connection<'_>) -> String {
    let mut out = BytesMut::from("before ");
    let target = TargetParts { prefix, path: head.path(), query: head.query() };
    head.encode(&target, "backend:9000", framing, connection, &mut out);
    assert!(out.starts_with(b"before "));
    String::from_utf8_lossy(&out[7..]).into_owned()
}

#[test]
fn a_request_is_written_with_one_host_one_framing_and_no_hop_by_hop_line() {
    let head = request(
        "POST /a/./b?c HTTP/1.0\r\nAccept: d\r\nHost: front\r\nConnection: keep-alive, x-e\r\nX-E: f\r\nContent-Length: 5\r\nCookie: g\r\n\r\n",
    );
    let start = "POST /base/a/b?c HTTP/1.1\r\nHost: backend:9000\r\nAccept: d\r\nCookie: g\r\n";
    for (framing, connection, end) in [
        (Framing::None, Connection::Keep, ""),
        (Framing::Length(5), Connection::Keep, "Content-Length: 5\r\n"),
        (Framing::Length(0), Connection::KeepAlive, "Content-Length: 0\r\nConnection: keep-alive\r\n"),
        (Framing::Chunked, Connection::Close, "Transfer-Encoding: chunked\r\nConnection: close\r\n"),
        (Framing::None, Connection::Upgrade(b"websocket"), "Connection: upgrade\r\nUpgrade: websocket\r\n"),
    ] {
        assert_eq!(written(&head, "/base", framing, connection), format!("{start}{end}\r\n"));
    }
}

#[test]
fn te_trailers_is_passed_on_with_its_option() {
    let mut head = request("GET / HTTP/1.1\r\nHost: a\r\nTE: gzip, trailers\r\nConnection: te\r\n\r\n");
    let start = "GET / HTTP/1.1\r\nHost: backend:9000\r\n";
    for (connection, end) in [
        (Connection::Keep, "Connection: te\r\nTE: trailers\r\n"),
        (Connection::KeepAlive, "Connection: keep-alive, te\r\nTE: trailers\r\n"),
        (Connection::Close, "Connection: close, te\r\nTE: trailers\r\n"),
        (Connection::Upgrade(b"x"), "Connection: upgrade, te\r\nTE: trailers\r\nUpgrade: x\r\n"),
    ] {
        assert_eq!(written(&head, "", Framing::None, connection), format!("{start}{end}\r\n"));
    }
    head.te_trailers = false;
    assert_eq!(written(&head, "", Framing::None, Connection::Keep), format!("{start}\r\n"));
}

#[test]
fn prefix_path_and_query_join_with_one_slash() {
    let head = request("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    for (prefix, path, query, target) in [
        ("", "/", None, "/"),
        ("", "/a", Some("b"), "/a?b"),
        ("/p", "/a", None, "/p/a"),
        ("/p/", "/a", None, "/p/a"),
        ("/", "/a", None, "/a"),
        ("/p", "", None, "/p"),
        ("/p/", "", None, "/p/"),
        ("/p", "/", Some(""), "/p/?"),
        ("", "", None, "/"),
        ("", "", Some("a"), "/?a"),
    ] {
        let mut out = BytesMut::new();
        head.encode(&TargetParts { prefix, path, query }, "h", Framing::None, Connection::Keep, &mut out);
        assert_eq!(out, format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
    }
    let options = request("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(written(&options, "/base", Framing::None, Connection::Keep).starts_with("OPTIONS * HTTP/1.1\r\n"));
}

#[test]
fn a_response_keeps_the_backends_reason_and_its_lines() {
    let (mut head, limits) = (ResponseHead::new(), Limits::default());
    let mut input = BytesMut::from(
        "HTTP/1.1 404 Gone fishing\r\nServer: x\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\nKeep-Alive: 5\r\nX: y\r\n\r\n",
    );
    assert_eq!(head.parse(&mut input, &limits, &Method::GET), Ok(Parsed::Complete));
    let mut out = BytesMut::new();
    head.encode(Framing::Chunked, Connection::Keep, &mut out);
    assert_eq!(&out[..], b"HTTP/1.1 404 Gone fishing\r\nServer: x\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n");
    head.set_status(StatusCode::BAD_GATEWAY);
    out.clear();
    head.encode(Framing::Length(2), Connection::Close, &mut out);
    assert_eq!(
        &out[..],
        b"HTTP/1.1 502 Bad Gateway\r\nServer: x\r\nX: y\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"
    );
    out.clear();
    head.encode(Framing::UntilClose, Connection::Close, &mut out);
    assert_eq!(&out[..], b"HTTP/1.1 502 Bad Gateway\r\nServer: x\r\nX: y\r\nConnection: close\r\n\r\n");
}

#[test]
fn an_own_response_is_made_from_nothing() {
    let mut head = ResponseHead::new();
    head.set_status(StatusCode::UNAUTHORIZED);
    head.fields.set("content-type", "text/plain").unwrap();
    let mut out = BytesMut::new();
    head.encode(Framing::Length(12), Connection::Keep, &mut out);
    assert_eq!(&out[..], b"HTTP/1.1 401 Unauthorized\r\ncontent-type: text/plain\r\nContent-Length: 12\r\n\r\n");
}

#[test]
fn status_lines_have_the_canonical_reason_when_none_is_given() {
    for (status, reason, line) in [
        (200, "", "HTTP/1.1 200 OK\r\n"),
        (200, "OK", "HTTP/1.1 200 OK\r\n"),
        (200, "Fine", "HTTP/1.1 200 Fine\r\n"),
        (431, "", "HTTP/1.1 431 Request Header Fields Too Large\r\n"),
        (799, "", "HTTP/1.1 799 \r\n"),
    ] {
        let mut out = BytesMut::new();
        status_line(StatusCode::from_u16(status).unwrap(), reason.as_bytes(), &mut out);
        assert_eq!(out, line.as_bytes());
    }
}

#[test]
fn numbers_are_written_in_full() {
    for number in [0, 1, 9, 10, 99, 100, 12_345, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
        let mut out = BytesMut::new();
        decimal(number, &mut out);
        assert_eq!(out, number.to_string().as_bytes());
    }
    let mut out = BytesMut::new();
    content_length(0, &mut out);
    assert_eq!(&out[..], b"Content-Length: 0\r\n");
}
