//! Response heads: framing by status and request method, and what a backend may not say.

use bytes::BytesMut;
use http::Method;
use ringway_wire::{Connection, Framing, Limits, Parsed, Rejection, ResponseHead, Version};

fn parse_for(method: &Method, bytes: impl AsRef<[u8]>) -> Result<ResponseHead, Rejection> {
    let (mut head, mut input) = (ResponseHead::new(), BytesMut::from(bytes.as_ref()));
    assert_eq!(head.parse(&mut input, &Limits::default(), method)?, Parsed::Complete);
    assert!(input.is_empty());
    Ok(head)
}

fn parse(bytes: impl AsRef<[u8]>) -> Result<ResponseHead, Rejection> {
    parse_for(&Method::GET, bytes)
}

#[test]
fn an_ordinary_response_means_what_it_says() {
    let head =
        parse("HTTP/1.1 404 Nothing here\r\nContent-Length: 3\r\nSet-Cookie: a\r\nset-cookie: b\r\n\r\n").unwrap();
    assert_eq!((head.status.as_u16(), head.version, head.reason()), (404, Version::Http11, &b"Nothing here"[..]));
    assert_eq!((head.framing, head.persistent), (Framing::Length(3), true));
    assert_eq!(head.fields.get_all("Set-Cookie").collect::<Vec<_>>(), [b"a", b"b"]);
}

#[test]
fn framing_follows_method_status_and_fields() {
    use Framing::*;
    let (get, head, connect) = (Method::GET, Method::HEAD, Method::CONNECT);
    for (method, start, lines, framing, persistent) in [
        (&get, "1.1 200 OK", "Content-Length: 5\r\n", Length(5), true),
        (&get, "1.1 200 OK", "Content-Length: 0\r\n", Length(0), true),
        (&get, "1.1 200 OK", "Transfer-Encoding: chunked\r\n", Chunked, true),
        (&get, "1.1 200 OK", "", UntilClose, false),
        (&get, "1.1 200 OK", "Connection: keep-alive\r\n", UntilClose, false),
        (&get, "1.1 200 OK", "Connection: close\r\nContent-Length: 5\r\n", Length(5), false),
        (&get, "1.0 200 OK", "Content-Length: 5\r\n", Length(5), false),
        (&get, "1.0 200 OK", "Content-Length: 5\r\nConnection: keep-alive\r\n", Length(5), false),
        (&get, "1.0 200 OK", "", UntilClose, false),
        (&get, "1.1 204 No Content", "", None, true),
        (&get, "1.1 204 No Content", "Content-Length: 0\r\n", None, true),
        (&get, "1.1 204 No Content", "Content-Length: 5\r\n", None, false),
        (&get, "1.1 204 No Content", "Transfer-Encoding: chunked\r\n", None, false),
        (&get, "1.1 304 Not Modified", "", None, true),
        (&get, "1.1 304 Not Modified", "Content-Length: 5\r\n", None, true),
        (&get, "1.1 304 Not Modified", "Transfer-Encoding: chunked\r\n", None, true),
        (&get, "1.1 100 Continue", "", None, true),
        (&get, "1.1 103 Early Hints", "Link: </a>\r\n", None, true),
        (&get, "1.1 101 Switching Protocols", "", None, true),
        (&get, "1.1 205 Reset Content", "Content-Length: 0\r\n", Length(0), true),
        (&head, "1.1 200 OK", "Content-Length: 5\r\n", None, true),
        (&head, "1.1 200 OK", "Transfer-Encoding: chunked\r\n", None, true),
        (&head, "1.1 200 OK", "", None, true),
        (&connect, "1.1 200 OK", "Content-Length: 5\r\n", None, true),
        (&connect, "1.1 299 OK", "Transfer-Encoding: chunked\r\n", None, true),
        (&connect, "1.1 403 Forbidden", "Content-Length: 5\r\n", Length(5), true),
    ] {
        let parsed = parse_for(method, format!("HTTP/{start}\r\n{lines}\r\n")).unwrap();
        assert_eq!((parsed.framing, parsed.persistent), (framing, persistent), "{method} {start} {lines:?}");
    }
}

#[test]
fn the_length_that_head_and_304_declare_is_passed_on() {
    for (method, status) in [(Method::HEAD, "200 OK"), (Method::GET, "304 Not Modified")] {
        let bytes = format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\n");
        let head = parse_for(&method, &bytes).unwrap();
        let mut out = BytesMut::new();
        head.encode(head.framing, Connection::Keep, &mut out);
        assert_eq!(out, bytes.as_bytes());
    }
    let mut out = BytesMut::new();
    parse("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n").unwrap().encode(
        Framing::None,
        Connection::Keep,
        &mut out,
    );
    assert_eq!(&out[..], b"HTTP/1.1 204 No Content\r\n\r\n");
}

#[test]
fn status_lines_may_lack_the_reason_and_nothing_else() {
    for (line, status, reason) in [
        ("HTTP/1.1 200 OK", 200, &b"OK"[..]),
        ("HTTP/1.1 200 ", 200, b""),
        ("HTTP/1.1 200", 200, b""),
        ("HTTP/1.1 200 \u{e9}t\u{e9}", 200, "\u{e9}t\u{e9}".as_bytes()),
        ("HTTP/1.1 200  two\tblanks ", 200, b" two\tblanks "),
        ("HTTP/1.1 599 x", 599, b"x"),
        ("HTTP/1.0 999 x", 999, b"x"),
    ] {
        let head = parse(format!("{line}\r\n\r\n")).unwrap();
        assert_eq!((head.status.as_u16(), head.reason()), (status, reason), "{line}");
    }
    for line in [
        "HTTP/1.1 099 x",
        "HTTP/1.1 000 x",
        "HTTP/1.1 20 x",
        "HTTP/1.1 2000 x",
        "HTTP/1.1 2x0 x",
        "HTTP/1.1  200 x",
        "HTTP/1.1\t200 x",
        "HTTP/1.1 +20 x",
        " HTTP/1.1 200 x",
        "\r\nHTTP/1.1 200 x",
        "\nHTTP/1.1 200 x",
        "http/1.1 200 x",
        "HTTP/1.1x 200 x",
        "ICY 200 OK",
        "200 OK",
        "HTTP/1.1 200 x\x00",
        "HTTP/1.1 200 x\x01",
        "HTTP/1.1 200 x\ry",
        "HTTP/1.1 200 x\x7f",
        "HTTP/1.1 200\tx",
        "GET / HTTP/1.1",
    ] {
        let refused = parse(format!("{line}\r\nContent-Length: 0\r\n\r\n")).map(|_| ()).unwrap_err();
        assert!(matches!(refused, Rejection::BadStatusLine | Rejection::UnsupportedVersion), "{refused:?} of {line:?}");
    }
    for line in ["HTTP/1.2 200 x", "HTTP/2.0 200 x", "HTTP/0.9 200 x"] {
        let refused = parse(format!("{line}\r\n\r\n")).map(|_| ());
        assert_eq!(refused, Err(Rejection::UnsupportedVersion), "{line:?}");
    }
}

#[test]
fn framing_that_two_readers_could_take_differently_is_refused() {
    use Rejection::*;
    for (lines, rejection) in [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", LengthAndCoding),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", DuplicateContentLength),
        ("Content-Length: 5, 5\r\n", DuplicateContentLength),
        ("Content-Length: +5\r\n", BadContentLength),
        ("Content-Length: \r\n", BadContentLength),
        ("Content-Length: 9223372036854775808\r\n", BadContentLength),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", BadTransferEncoding),
        ("Transfer-Encoding: gzip, chunked\r\n", BadTransferEncoding),
        ("Transfer-Encoding: gzip\r\n", UnsupportedTransferEncoding),
        ("A: b\r\n c\r\n", FoldedLine),
        (" A: b\r\n", FoldedLine),
        ("A : b\r\n", SpaceBeforeColon),
        ("A: b\x00\r\n", BadFieldValue),
        ("A: b\rc\r\n", BadFieldValue),
        ("A: b\nC: d\r\n", BareLineFeed),
        (": b\r\n", BadFieldName),
        ("A\r\n", BadFieldName),
        ("A b: c\r\n", BadFieldName),
    ] {
        for (method, start) in [(Method::GET, "200 OK"), (Method::HEAD, "200 OK"), (Method::GET, "304 Not Modified")] {
            let refused = parse_for(&method, format!("HTTP/1.1 {start}\r\n{lines}\r\n")).map(|_| ());
            assert_eq!(refused, Err(rejection), "{method} {start} {lines:?}");
        }
    }
    for bytes in
        ["HTTP/1.1 200 OK\nA: b\r\n\r\n", "HTTP/1.1 200 OK\r\nA: b\n\n", "HTTP/1.1 200 OK\r\n\n", "HTTP/1.1 200 OK\n\n"]
    {
        assert_eq!(parse(bytes).map(|_| ()), Err(BareLineFeed), "{bytes:?}");
    }
    let http10 = parse("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").map(|_| ());
    assert_eq!(http10, Err(TransferEncodingInHttp10));
}

#[test]
fn an_upgrade_is_a_101_that_says_so() {
    for (start, lines, upgrade) in [
        ("101 x", "Connection: upgrade\r\nUpgrade: websocket\r\n", true),
        ("101 x", "Connection: Upgrade, keep-alive\r\nUpgrade: websocket\r\n", true),
        ("101 x", "Upgrade: websocket\r\n", false),
        ("101 x", "Connection: upgrade\r\n", false),
        ("101 x", "Connection: upgrade\r\nUpgrade: h2c\r\n", false),
        ("200 x", "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n", false),
    ] {
        let head = parse(format!("HTTP/1.1 {start}\r\n{lines}\r\n")).unwrap();
        assert_eq!((head.upgrade, head.is_interim()), (upgrade, false), "{start} {lines:?}");
    }
    assert!(parse("HTTP/1.1 100 Continue\r\n\r\n").unwrap().is_interim());
}

#[test]
fn a_backends_connection_options_are_believed_in_part() {
    let head = parse("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-A: 1\r\nSet-Cookie: b\r\nConnection: x-a, set-cookie, Transfer-Encoding\r\n\r\n")
        .unwrap();
    assert_eq!(head.fields.get("x-a"), None);
    assert_eq!(head.fields.get("set-cookie"), Some(&b"b"[..]));
    assert!(head.persistent);
    let nonsense = parse("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: a b, x-a\r\nX-A: 1\r\n\r\n").unwrap();
    assert!(!nonsense.persistent && nonsense.fields.contains("x-a"));
}

#[test]
fn interim_and_final_head_come_one_after_the_other() {
    let mut input =
        BytesMut::from("HTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    let mut head = ResponseHead::new();
    let limits = Limits::default();
    assert_eq!(head.parse(&mut input, &limits, &Method::GET), Ok(Parsed::Complete));
    assert!(head.is_interim() && head.fields.contains("link"));
    head.clear();
    assert_eq!(head.parse(&mut input, &limits, &Method::GET), Ok(Parsed::Complete));
    assert_eq!((head.status.as_u16(), head.framing, head.fields.len()), (200, Framing::Length(2), 1));
    assert_eq!(&input[..], b"hi");
}

#[test]
fn limits_hold() {
    let limits = Limits { head_bytes_max: 60, fields_max: 2, ..Limits::default() };
    let verdict = |bytes: &str| ResponseHead::new().parse(&mut BytesMut::from(bytes), &limits, &Method::GET);
    assert_eq!(verdict("HTTP/1.1 200 OK\r\nA: b\r\nC: d\r\n\r\n"), Ok(Parsed::Complete));
    assert_eq!(verdict("HTTP/1.1 200 OK\r\nA: b\r\nC: d\r\nE: f\r\n\r\n"), Err(Rejection::TooManyFields));
    let long = format!("HTTP/1.1 200 {}\r\n\r\n", "x".repeat(60));
    assert_eq!(verdict(&long), Err(Rejection::HeaderTooLarge));
    assert_eq!(verdict(&long[..60]), Err(Rejection::HeaderTooLarge));
    assert_eq!(verdict(&long[..59]), Ok(Parsed::Partial));
}
