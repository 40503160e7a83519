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
    let Some((head, rest)) = parse_with(bytes.as_ref(), &Limits::default())? else { panic!("a whole head") };
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

#[test]
fn what_two_servers_could_frame_differently_is_refused() {
    use Rejection::*;
    for (lines, rejection) in [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", LengthAndCoding),
        ("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", LengthAndCoding),
        ("Transfer-Encoding: identity\r\nContent-Length: 5\r\n", LengthAndCoding),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", DuplicateContentLength),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", DuplicateContentLength),
        ("Content-Length: 5\r\ncontent-length: 5\r\n", DuplicateContentLength),
        ("Content-Length: 5, 5\r\n", DuplicateContentLength),
        ("Content-Length: 5,6\r\n", DuplicateContentLength),
        ("Content-Length: 5,\r\n", DuplicateContentLength),
        ("Content-Length:\r\n", BadContentLength),
        ("Content-Length:  \r\n", BadContentLength),
        ("Content-Length: +5\r\n", BadContentLength),
        ("Content-Length: -5\r\n", BadContentLength),
        ("Content-Length: 5 5\r\n", BadContentLength),
        ("Content-Length: 0x5\r\n", BadContentLength),
        ("Content-Length: 5.0\r\n", BadContentLength),
        ("Content-Length: 5a\r\n", BadContentLength),
        ("Content-Length: 1_000\r\n", BadContentLength),
        ("Content-Length: \"5\"\r\n", BadContentLength),
        ("Content-Length: 5;\r\n", BadContentLength),
        ("Content-Length: \u{b2}\r\n", BadContentLength),
        ("Content-Length: 9223372036854775808\r\n", BadContentLength),
        ("Content-Length: 18446744073709551616\r\n", BadContentLength),
        ("Content-Length: 00000000000000000005\r\n", BadContentLength),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", BadTransferEncoding),
        ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", BadTransferEncoding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", BadTransferEncoding),
        ("Transfer-Encoding: chunked, chunked\r\n", BadTransferEncoding),
        ("Transfer-Encoding: chunked,\r\n", BadTransferEncoding),
        ("Transfer-Encoding: ,chunked\r\n", BadTransferEncoding),
        ("Transfer-Encoding: chunked, identity\r\n", BadTransferEncoding),
        ("Transfer-Encoding: gzip, chunked\r\n", BadTransferEncoding),
        ("Transfer-Encoding: chunked;q=1\r\n", BadTransferEncoding),
        ("Transfer-Encoding: \"chunked\"\r\n", BadTransferEncoding),
        ("Transfer-Encoding: 'chunked'\r\n", BadTransferEncoding),
        ("Transfer-Encoding: xchunked\r\n", BadTransferEncoding),
        ("Transfer-Encoding: chunkedx\r\n", BadTransferEncoding),
        ("Transfer-Encoding: chunked\u{a0}\r\n", BadTransferEncoding),
        ("Transfer-Encoding: chunked abc\r\n", BadTransferEncoding),
        ("Transfer-Encoding:\r\n", BadTransferEncoding),
        ("Transfer-Encoding: ,\r\n", BadTransferEncoding),
        ("Transfer-Encoding: gzip;\r\n", BadTransferEncoding),
        ("Transfer-Encoding: identity\r\n", UnsupportedTransferEncoding),
        ("Transfer-Encoding: gzip\r\n", UnsupportedTransferEncoding),
        ("Transfer-Encoding: gzip, deflate\r\n", UnsupportedTransferEncoding),
        ("Transfer-Encoding: cow\r\n", UnsupportedTransferEncoding),
        ("Transfer-Encoding : chunked\r\n", SpaceBeforeColon),
        ("Transfer-Encoding\t: chunked\r\n", SpaceBeforeColon),
        ("Content-Length : 5\r\n", SpaceBeforeColon),
        ("Transfer-Encoding: \x0bchunked\r\n", BadFieldValue),
        ("Transfer-Encoding: chunked\x00\r\n", BadFieldValue),
        ("Transfer-Encoding:\r\n chunked\r\n", FoldedLine),
        ("X: y\r\n Transfer-Encoding: chunked\r\n", FoldedLine),
        ("X: y\rTransfer-Encoding: chunked\r\n", BadFieldValue),
        ("X: y\nTransfer-Encoding: chunked\r\n", BareLineFeed),
        ("\x00Transfer-Encoding: chunked\r\n", BadFieldName),
    ] {
        assert_eq!(post(lines).map(|head| head.framing), Err(rejection), "{lines:?}");
    }
    let http10 = parse("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(http10.map(|head| head.framing), Err(TransferEncodingInHttp10));
    let http10 = parse("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n");
    assert_eq!(http10.map(|head| head.framing), Err(LengthAndCoding));
}

#[test]
fn request_lines_follow_the_grammar_to_the_letter() {
    use Rejection::*;
    for (line, rejection) in [
        ("GET  / HTTP/1.1\r\n", BadRequestLine),
        ("GET /  HTTP/1.1\r\n", BadRequestLine),
        ("GET\t/ HTTP/1.1\r\n", BadRequestLine),
        ("GET /\tHTTP/1.1\r\n", BadRequestLine),
        (" GET / HTTP/1.1\r\n", BadRequestLine),
        ("GET / HTTP/1.1 \r\n", BadRequestLine),
        ("GET /\r\n", BadRequestLine),
        ("GET\r\n", BadRequestLine),
        ("G@T / HTTP/1.1\r\n", BadRequestLine),
        ("G\u{e9}T / HTTP/1.1\r\n", BadRequestLine),
        ("(GET / HTTP/1.1\r\n", BadRequestLine),
        ("GET / HTTP/1.1\rX: y\r\n", BadRequestLine),
        ("GET / http/1.1\r\n", BadRequestLine),
        ("GET / HTTP/1\r\n", BadRequestLine),
        ("GET / HTTP/1.10\r\n", BadRequestLine),
        ("GET / HTTP/11\r\n", BadRequestLine),
        ("GET / HTTP 1.1\r\n", BadRequestLine),
        ("GET / HTTP/a.b\r\n", BadRequestLine),
        ("GET / FTP/1.1\r\n", BadRequestLine),
        ("GET / HTTP/1.2\r\n", UnsupportedVersion),
        ("GET / HTTP/2.0\r\n", UnsupportedVersion),
        ("GET / HTTP/0.9\r\n", UnsupportedVersion),
        ("GET / HTTP/3.0\r\n", UnsupportedVersion),
        ("PRI * HTTP/2.0\r\n", UnsupportedVersion),
        ("GET / HTTP/1.1\n", BareLineFeed),
        ("\nGET / HTTP/1.1\r\n", BadRequestLine),
        ("\r\n\r\nGET / HTTP/1.1\r\n", BadRequestLine),
        ("\n\nGET / HTTP/1.1\r\n", BadRequestLine),
        ("\r\n\nGET / HTTP/1.1\r\n", BadRequestLine),
        ("\rGET / HTTP/1.1\r\n", BadRequestLine),
        ("ABCDEFGHIJKLMNOPQRSTUVWXYZ-ABCDEF / HTTP/1.1\r\n", MethodTooLong),
    ] {
        let bytes = format!("{line}Host: a\r\n\r\n");
        assert_eq!(parse(bytes).map(|head| head.method), Err(rejection), "{line:?}");
    }
}

#[test]
fn methods_are_tokens_and_case_matters() {
    for method in ["GET", "POST", "get", "PROPFIND", "M-SEARCH", "X!#$%&'*+.^_`|~9", "ABCDEFGHIJKLMNOPQRSTUVWXYZ-ABCDE"]
    {
        let head = parse(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(head.unwrap().method.as_str(), method);
    }
}

#[test]
fn one_empty_line_before_a_request_is_overlooked() {
    let head = parse("\r\nGET /a HTTP/1.1\r\nHost: b\r\n\r\n").unwrap();
    assert_eq!((head.path(), head.host(), head.raw_target()), ("/a", "b", "/a"));
}

#[test]
fn lines_end_in_crlf_and_nothing_else() {
    use Rejection::*;
    for (bytes, rejection) in [
        ("GET / HTTP/1.1\nHost: a\n\n", BareLineFeed),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", BareLineFeed),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", BareLineFeed),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: b\nC: d\r\n\r\n", BareLineFeed),
        ("GET / HTTP/1.1\nHost: a\r\n\r\n", BareLineFeed),
        ("GET / HTTP/1.0\n\n", BareLineFeed),
        ("GET / HTTP/1.0\r\n\n", BareLineFeed),
        ("GET / HTTP/1.0\n\r\n", BareLineFeed),
        ("GET / HTTP/1.1\r\nHost: a\r\nA:\n\r\n", BareLineFeed),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: \t\n\r\n", BareLineFeed),
        ("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", BadFieldValue),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: b\rc\r\n\r\n", BadFieldValue),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\r\n\r\n", BadFieldValue),
    ] {
        assert_eq!(parse(bytes).map(|_| ()), Err(rejection), "{bytes:?}");
    }
}

#[test]
fn field_lines_that_readers_take_differently_are_refused() {
    use Rejection::*;
    for (line, rejection) in [
        (" A: b\r\n", FoldedLine),
        ("\tA: b\r\n", FoldedLine),
        ("A: b\r\n c\r\n", FoldedLine),
        ("A: b\r\n\tc\r\n", FoldedLine),
        ("A: b\r\n \r\n", FoldedLine),
        ("A : b\r\n", SpaceBeforeColon),
        ("A\t: b\r\n", SpaceBeforeColon),
        (": b\r\n", BadFieldName),
        ("A\r\n", BadFieldName),
        ("A b: c\r\n", BadFieldName),
        ("A(: b\r\n", BadFieldName),
        ("A[b]: c\r\n", BadFieldName),
        ("A\\: b\r\n", BadFieldName),
        ("A/: b\r\n", BadFieldName),
        ("\"A\": b\r\n", BadFieldName),
        ("\u{e9}: b\r\n", BadFieldName),
        ("A\x00: b\r\n", BadFieldName),
        ("A\x7f: b\r\n", BadFieldName),
        ("@: b\r\n", BadFieldName),
        ("A: \x00\r\n", BadFieldValue),
        ("A: b\x00c\r\n", BadFieldValue),
        ("A: b\x01\r\n", BadFieldValue),
        ("A: b\x08\r\n", BadFieldValue),
        ("A: b\x0b\r\n", BadFieldValue),
        ("A: b\x0c\r\n", BadFieldValue),
        ("A: b\x1b\r\n", BadFieldValue),
        ("A: b\x7f\r\n", BadFieldValue),
    ] {
        assert_eq!(get(&format!("Host: a\r\n{line}")).map(|_| ()), Err(rejection), "{line:?}");
        let first = get(&format!("{line}Host: a\r\n")).map(|_| ());
        assert_eq!(first, Err(rejection), "first: {line:?}");
        // A control byte may stand anywhere in a long value: the vectorised scan of httparse must not overlook it.
        let long = line.replace("b", &"b".repeat(70));
        assert!(get(&format!("Host: a\r\n{long}")).is_err(), "long: {line:?}");
    }
}

#[test]
fn what_a_field_may_hold_is_kept() {
    let head =
        get("Host: a\r\nA:b\r\nA_b: \t c d \t\r\nEmpty:\r\nBlank:   \r\nObs: \u{e9}\r\n!#$%&'*+-.^_`|~9: x:y\r\n")
            .unwrap();
    let lines: Vec<_> = head.fields.iter().collect();
    let wanted: [(&[u8], &[u8]); 7] = [
        (b"Host", b"a"),
        (b"A", b"b"),
        (b"A_b", b"c d"),
        (b"Empty", b""),
        (b"Blank", b""),
        (b"Obs", "\u{e9}".as_bytes()),
        (b"!#$%&'*+-.^_`|~9", b"x:y"),
    ];
    assert_eq!(lines, wanted);
    let limits = Limits { refuse_underscores: true, ..Limits::default() };
    let refused = parse_with(b"GET / HTTP/1.1\r\nHost: a\r\nA_b: c\r\n\r\n", &limits);
    assert_eq!(refused.map(|_| ()), Err(Rejection::UnderscoreInName));
}

#[test]
fn host_is_exactly_one_and_valid() {
    use Rejection::*;
    for (lines, rejection) in [
        ("", MissingHost),
        ("X-Host: a\r\n", MissingHost),
        ("Host: a\r\nHost: a\r\n", DuplicateHost),
        ("Host: a\r\nhOST: b\r\n", DuplicateHost),
        ("Host:\r\n", BadHost),
        ("Host:  \r\n", BadHost),
        ("Host: user@a\r\n", BadHost),
        ("Host: user:pass@a\r\n", BadHost),
        ("Host: a/b\r\n", BadHost),
        ("Host: a b\r\n", BadHost),
        ("Host: a,b\r\n", BadHost),
        ("Host: http://a\r\n", BadHost),
        ("Host: a:b\r\n", BadHost),
        ("Host: a:65536\r\n", BadHost),
        ("Host: a?b\r\n", BadHost),
        ("Host: a#b\r\n", BadHost),
        ("Host: [::1\r\n", BadHost),
        ("Host: \u{e9}\r\n", BadHost),
        ("Host : a\r\n", SpaceBeforeColon),
        (" Host: a\r\n", FoldedLine),
        ("Host: a\r\n b\r\n", FoldedLine),
    ] {
        assert_eq!(get(lines).map(|_| ()), Err(rejection), "{lines:?}");
    }
    let none = parse("GET / HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!((none.host(), none.port(), none.persistent), ("", None, false));
    assert_eq!(parse("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n").map(|_| ()), Err(DuplicateHost));
}

#[test]
fn targets_have_one_of_four_forms() {
    for (line, form, path, query, host, port) in [
        ("GET / HTTP/1.1", TargetForm::Origin, "/", None, "a", None),
        ("GET /? HTTP/1.1", TargetForm::Origin, "/", Some(""), "a", None),
        ("GET /a?b?c HTTP/1.1", TargetForm::Origin, "/a", Some("b?c"), "a", None),
        ("GET /a?b=/../c HTTP/1.1", TargetForm::Origin, "/a", Some("b=/../c"), "a", None),
        ("GET /a?%zz%00 HTTP/1.1", TargetForm::Origin, "/a", Some("%zz%00"), "a", None),
        ("GET //b/c HTTP/1.1", TargetForm::Origin, "/b/c", None, "a", None),
        ("GET /http://b/ HTTP/1.1", TargetForm::Origin, "/http:/b/", None, "a", None),
        ("GET http://b/c?d HTTP/1.1", TargetForm::Absolute, "/c", Some("d"), "b", None),
        ("GET HTTPS://B.example:8443/c HTTP/1.1", TargetForm::Absolute, "/c", None, "b.example", Some(8443)),
        ("GET http://b HTTP/1.1", TargetForm::Absolute, "/", None, "b", None),
        ("GET http://b?c HTTP/1.1", TargetForm::Absolute, "/", Some("c"), "b", None),
        ("GET http://[::1]:80/x HTTP/1.1", TargetForm::Absolute, "/x", None, "[::1]", Some(80)),
        ("GET http://b/c/../d HTTP/1.1", TargetForm::Absolute, "/d", None, "b", None),
        ("OPTIONS * HTTP/1.1", TargetForm::Asterisk, "*", None, "a", None),
        ("OPTIONS / HTTP/1.1", TargetForm::Origin, "/", None, "a", None),
        ("OPTIONS http://b HTTP/1.1", TargetForm::Asterisk, "*", None, "b", None),
        ("OPTIONS http://b/ HTTP/1.1", TargetForm::Absolute, "/", None, "b", None),
        ("CONNECT b:443 HTTP/1.1", TargetForm::Authority, "", None, "b", Some(443)),
        ("CONNECT [::1]:443 HTTP/1.1", TargetForm::Authority, "", None, "[::1]", Some(443)),
    ] {
        let head = parse(format!("{line}\r\nHost: a\r\n\r\n")).unwrap();
        assert_eq!((head.form(), head.path(), head.query()), (form, path, query), "{line}");
        assert_eq!((head.host(), head.port()), (host, port), "{line}");
        assert_eq!(head.raw_target(), line.split(' ').nth(1).unwrap());
        if form == TargetForm::Absolute || host == "b" {
            let line = head.fields.known(Known::Host).map(|value| value.to_ascii_lowercase());
            let wanted = port.map_or(host.to_owned(), |port| format!("{host}:{port}"));
            assert_eq!(line, Some(wanted.into_bytes()), "the Host line follows the target");
        }
    }
}

#[test]
fn targets_of_no_form_are_refused() {
    use Rejection::*;
    for (target_text, rejection) in [
        ("*", BadTarget),
        ("a", BadTarget),
        ("a/b", BadTarget),
        ("a:80", BadTarget),
        ("?a", BadTarget),
        ("ftp://a/", BadTarget),
        ("http:/a/", BadTarget),
        ("http:a", BadTarget),
        ("javascript:x", BadTarget),
        ("/a#b", BadTarget),
        ("/a?b#c", BadTarget),
        ("#", BadTarget),
        ("http://a/#b", BadTarget),
        ("http://", BadHost),
        ("http:///a", BadHost),
        ("http://u@a/", BadHost),
        ("http://u:p@a/", BadHost),
        ("http://a:x/", BadHost),
        ("http://a#b", BadHost),
        ("http://a\\b/", BadHost),
        ("http://a%2eb/", BadHost),
        ("/../a", PathAboveRoot),
        ("http://a/..", PathAboveRoot),
    ] {
        assert_eq!(target(target_text).map(|_| ()), Err(rejection), "{target_text:?}");
    }
    for bytes in [
        &b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /?\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a\rb HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http://\xc3\xa9/ HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let refused = parse(bytes).map(|_| ()).unwrap_err();
        assert!(matches!(refused, BadTarget | BadRequestLine | BadHost), "{refused:?} of {bytes:?}");
    }
    for line in [
        "CONNECT / HTTP/1.1",
        "CONNECT b HTTP/1.1",
        "CONNECT b: HTTP/1.1",
        "CONNECT * HTTP/1.1",
        "CONNECT http://b/ HTTP/1.1",
    ] {
        let refused = parse(format!("{line}\r\nHost: a\r\n\r\n")).map(|_| ()).unwrap_err();
        assert!(matches!(refused, BadTarget | BadHost), "{refused:?} of {line}");
    }
}

#[test]
fn the_connection_persists_by_version_and_option() {
    for (version, lines, persistent) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: CLOSE\r\n", false),
        ("1.1", "Connection: keep-alive\r\n", true),
        ("1.1", "Connection: keep-alive, close\r\n", false),
        ("1.1", "Connection: x\r\nConnection: close\r\n", false),
        ("1.1", "Connection: , ,close\r\n", false),
        ("1.1", "Connection:\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: keep-alive\r\n", true),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
        ("1.0", "Connection: te, keep-alive\r\n", true),
        ("1.0", "Proxy-Connection: keep-alive\r\n", false),
    ] {
        let head = parse(format!("GET / HTTP/{version}\r\nHost: a\r\n{lines}\r\n")).unwrap();
        assert_eq!(head.persistent, persistent, "{version} {lines:?}");
    }
}

#[test]
fn what_connection_names_goes_unless_it_is_everybodys() {
    let head = get("Host: a\r\nX-A: 1\r\nx-b: 2\r\nConnection: x-a, X-B, x-c\r\nx-a: 3\r\nX-D: 4\r\n").unwrap();
    let names: Vec<_> = head.fields.iter().map(|(name, _)| name).collect();
    assert_eq!(names, [&b"Host"[..], b"Connection", b"X-D"]);

    for name in [
        "Host",
        "content-length",
        "Transfer-Encoding",
        "Authorization",
        "cookie",
        "X-Forwarded-For",
        "Forwarded",
        "Via",
        "Origin",
        "Content-Type",
        "Expect",
        "X-Real-IP",
        "x-api-key",
        "cache-control",
        "Sec-WebSocket-Key",
    ] {
        for line in [format!("Connection: {name}\r\n"), format!("Connection: close\r\nConnection: x, {name}\r\n")] {
            let refused = get(&format!("Host: a\r\n{line}")).map(|_| ());
            assert_eq!(refused, Err(Rejection::ProtectedFieldNominated), "{line}");
        }
    }
    let many = vec!["x"; 33].join(",");
    for value in ["a b", "close; x", "\"close\"", "a/b", "\u{e9}", many.as_str()] {
        let refused = get(&format!("Host: a\r\nConnection: {value}\r\n")).map(|_| ());
        assert_eq!(refused, Err(Rejection::BadConnection), "{value}");
    }
}

#[test]
fn an_upgrade_is_asked_for_in_both_fields_and_never_to_h2c() {
    for (lines, upgrade) in [
        ("Connection: upgrade\r\nUpgrade: websocket\r\n", true),
        ("Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n", true),
        ("Connection: Upgrade\r\nUpgrade: IRC/6.9, websocket\r\n", true),
        ("Upgrade: websocket\r\n", false),
        ("Connection: upgrade\r\n", false),
        ("Connection: upgrade\r\nUpgrade:\r\n", false),
        ("Connection: close\r\nUpgrade: websocket\r\n", false),
        ("Connection: upgrade\r\nUpgrade: web socket\r\n", false),
        ("Connection: upgrade\r\nUpgrade: a/\r\n", false),
        ("Connection: upgrade\r\nUpgrade: h2c\r\n", false),
        ("Connection: upgrade\r\nUpgrade: H2C\r\n", false),
        ("Connection: upgrade\r\nUpgrade: h2\r\n", false),
        ("Connection: upgrade\r\nUpgrade: websocket, h2c\r\n", false),
        ("Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n", false),
    ] {
        let head = get(&format!("Host: a\r\n{lines}")).unwrap();
        assert_eq!(head.upgrade, upgrade, "{lines:?}");
        let mut out = BytesMut::new();
        head.fields.encode(&mut out);
        assert_eq!(&out[..], b"Host: a\r\n", "{lines:?}");
    }
    let http10 = parse("GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n").unwrap();
    assert!(!http10.upgrade);
}

#[test]
fn expectations_are_100_continue_or_refused() {
    for (version, lines, waits) in [
        ("1.1", "Content-Length: 5\r\nExpect: 100-continue\r\n", true),
        ("1.1", "Transfer-Encoding: chunked\r\nExpect: 100-Continue\r\n", true),
        ("1.1", "Content-Length: 0\r\nExpect: 100-continue\r\n", false),
        ("1.1", "Expect: 100-continue\r\n", false),
        ("1.1", "Content-Length: 5\r\n", false),
        ("1.0", "Content-Length: 5\r\nExpect: 100-continue\r\n", false),
    ] {
        let head = parse(format!("POST / HTTP/{version}\r\nHost: a\r\n{lines}\r\n")).unwrap();
        assert_eq!(head.expect_continue, waits, "{version} {lines:?}");
        assert_eq!(
            head.fields.contains("expect"),
            waits,
            "what cannot be waited for goes no further: {version} {lines:?}"
        );
    }
    for value in ["", "200-ok", "100-continue, x", "100-continue x", "100"] {
        let refused = post(&format!("Content-Length: 1\r\nExpect: {value}\r\n")).map(|_| ());
        assert_eq!(refused, Err(Rejection::BadExpectation), "{value:?}");
    }
    let twice = post("Expect: 100-continue\r\nExpect: x\r\n").map(|_| ());
    assert_eq!(twice, Err(Rejection::BadExpectation));
    assert_eq!(Rejection::BadExpectation.status(), 417);
}

#[test]
fn te_tells_whether_trailers_are_taken() {
    for (lines, trailers) in [
        ("", false),
        ("TE: trailers\r\n", true),
        ("TE: gzip, Trailers\r\n", true),
        ("TE: gzip;q=1\r\n", false),
        ("TE:\r\n", false),
    ] {
        assert_eq!(get(&format!("Host: a\r\n{lines}")).unwrap().te_trailers, trailers, "{lines:?}");
    }
}

#[test]
fn paths_and_queries_are_replaced_by_valid_ones_only() {
    let mut head = target("/a?b").unwrap();
    let options = Limits::default().uri;
    head.set_path("/x/../y/%7e", &options).unwrap();
    head.set_query(Some("c=d")).unwrap();
    assert_eq!((head.path(), head.query(), head.host()), ("/y/~", Some("c=d"), "a"));
    for path in ["", "a", "/a b", "/a?b", "/a#b", "/..", "/a\r\nX: y", "/%2f", "/\u{e9}"] {
        assert!(head.set_path(path, &options).is_err(), "{path:?}");
    }
    for query in ["a b", "a#b", "a\r\nX: y", "\u{e9}"] {
        assert!(head.set_query(Some(query)).is_err(), "{query:?}");
    }
    assert_eq!((head.path(), head.query()), ("/y/~", Some("c=d")));
    head.set_query(None).unwrap();
    assert_eq!(head.query(), None);
}
