//! Request heads: what is accepted and what it means, what is refused and under which key.

use bytes::BytesMut;
use ringway_wire::{Framing, Known, Limits, Parsed, Rejection, RequestHead, TargetForm, Version};

/// Parses `bytes` in one piece. `None` when more are wanted.
fn parse_with(bytes: &[u8], limits: &Limits) -> Result<Option<(RequestHead, Vec<u8>)>, Rejection> {
    let mut head = RequestHead::new();
    let mut input = BytesMut::from(bytes);
    Ok(match head.parse(&mut input, limits)? {
        Parsed::Complete => Some((head, input.to_vec())),
        Parsed::Partial => None,
    })
}

fn parse(bytes: impl AsRef<[u8]>) -> Result<RequestHead, Rejection> {
    let (head, rest) = parse_with(bytes.as_ref(), &Limits::default())?.expect("a whole head");
    assert!(rest.is_empty());
    Ok(head)
}

/// A head with these lines between the request line and the empty line.
fn get(lines: &str) -> Result<RequestHead, Rejection> {
    parse(format!("GET / HTTP/1.1\r\n{lines}\r\n"))
}

fn post(lines: &str) -> Result<RequestHead, Rejection> {
    parse(format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"))
}

fn target(target: &str) -> Result<RequestHead, Rejection> {
    parse(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"))
}

#[test]
fn an_ordinary_request_means_what_it_says() {
    let bytes =
        b"GET /a/b?c=d&e HTTP/1.1\r\nHost: Example.com:8080\r\nAccept: */*\r\nX-Own: 1\r\nx-own:  2 \r\n\r\nrest";
    let (head, rest) = parse_with(bytes, &Limits::default()).unwrap().unwrap();
    assert_eq!(rest, b"rest");
    assert_eq!(head.method, http::Method::GET);
    assert_eq!(head.version, Version::Http11);
    assert_eq!(head.form(), TargetForm::Origin);
    assert_eq!((head.path(), head.query()), ("/a/b", Some("c=d&e")));
    assert_eq!(head.raw_target(), "/a/b?c=d&e");
    assert_eq!((head.host(), head.port()), ("example.com", Some(8080)));
    assert_eq!(head.framing, Framing::None);
    assert!(head.persistent && !head.expect_continue && !head.upgrade && !head.is_asterisk());
    assert_eq!(head.fields.known(Known::Accept), Some(&b"*/*"[..]));
    assert_eq!(head.fields.get("HOST"), Some(&b"Example.com:8080"[..]));
    assert_eq!(head.fields.get_all("X-OWN").collect::<Vec<_>>(), [b"1", b"2"]);
    assert_eq!(head.fields.len(), 4);
}

#[test]
fn framing_follows_length_or_coding() {
    for (lines, framing) in [
        ("", Framing::None),
        ("Content-Length: 0\r\n", Framing::Length(0)),
        ("Content-Length: 5\r\n", Framing::Length(5)),
        ("content-length:5\r\n", Framing::Length(5)),
        ("CONTENT-LENGTH: \t 5 \t\r\n", Framing::Length(5)),
        ("Content-Length: 0000000000000000005\r\n", Framing::Length(5)),
        ("Content-Length: 9223372036854775807\r\n", Framing::Length(i64::MAX as u64)),
        ("Transfer-Encoding: chunked\r\n", Framing::Chunked),
        ("Transfer-Encoding: Chunked\r\n", Framing::Chunked),
        ("transfer-encoding:chunked \r\n", Framing::Chunked),
    ] {
        assert_eq!(post(lines).map(|head| head.framing), Ok(framing), "{lines:?}");
    }
}
