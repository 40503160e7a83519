//! Request heads as they arrive: in pieces, in rows, too large, and into buffers that are used again.

use bytes::BytesMut;
use ringway_wire::{Framing, Limits, Parsed, Rejection, RequestHead};

/// Parses `bytes` in one piece. `None` when more are wanted.
fn parse_with(bytes: &[u8], limits: &Limits) -> Result<Option<RequestHead>, Rejection> {
    let mut head = RequestHead::new();
    let parsed = head.parse(&mut BytesMut::from(bytes), limits)?;
    Ok(if parsed == Parsed::Complete { Some(head) } else { None })
}

#[test]
fn limits_are_exact() {
    let head = |fields: usize, padding: usize| {
        let lines: String = (1..fields).map(|i| format!("X{i}: y\r\n")).collect();
        format!("GET / HTTP/1.1\r\nHost: {}\r\n{lines}\r\n", "a".repeat(padding)).into_bytes()
    };
    let limits = Limits { head_bytes_max: 200, fields_max: 4, target_bytes_max: 40, ..Limits::default() };
    let base = head(4, 1).len();
    let verdict = |bytes: &[u8]| parse_with(bytes, &limits).map(|found| found.is_some());
    assert_eq!(verdict(&head(4, 1)), Ok(true));
    assert_eq!(verdict(&head(5, 1)), Err(Rejection::TooManyFields));
    assert_eq!(verdict(&head(4, 201 - base)), Ok(true));
    assert_eq!(verdict(&head(4, 202 - base)), Err(Rejection::HeaderTooLarge));
    // A head that can't end within the limit is refused before it ends.
    assert_eq!(verdict(&head(4, 300)[..200]), Err(Rejection::HeaderTooLarge));
    assert_eq!(verdict(&head(4, 300)[..199]), Ok(false));

    let line =
        |target_bytes: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(target_bytes - 1)).into_bytes();
    assert_eq!(verdict(&line(40)), Ok(true));
    assert_eq!(verdict(&line(41)), Err(Rejection::TargetTooLong));
    assert_eq!(verdict(&line(120)[..100]), Err(Rejection::TargetTooLong));
    assert_eq!((Rejection::TargetTooLong.status().as_u16(), Rejection::HeaderTooLarge.status().as_u16()), (414, 431));

    // No setting lifts the bounds of the spans.
    let limits = Limits {
        head_bytes_max: usize::MAX,
        fields_max: usize::MAX,
        target_bytes_max: usize::MAX,
        ..Limits::default()
    };
    assert!(parse_with(&head(256, 1), &limits).unwrap().is_some());
    assert_eq!(parse_with(&head(257, 1), &limits).map(|_| ()), Err(Rejection::TooManyFields));
    let huge = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(65_535));
    assert_eq!(parse_with(huge.as_bytes(), &limits).map(|_| ()), Err(Rejection::HeaderTooLarge));
    let most = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(65_535 - 32));
    assert_eq!(most.len(), 65_535);
    let head = parse_with(most.as_bytes(), &limits).unwrap().unwrap();
    assert_eq!(head.fields.get("x").map(<[u8]>::len), Some(65_535 - 32));
}

#[test]
fn requests_of_a_pipeline_are_taken_one_by_one() {
    let limits = Limits::default();
    let mut input = BytesMut::new();
    for i in 0..20 {
        input.extend_from_slice(format!("GET /{i} HTTP/1.1\r\nHost: h{i}\r\nX-{i}: {i}\r\n\r\n").as_bytes());
    }
    input.extend_from_slice(b"GET /partial HT");
    let mut head = RequestHead::new();
    for i in 0..20 {
        assert_eq!(head.parse(&mut input, &limits), Ok(Parsed::Complete));
        assert_eq!((head.path(), head.host()), (format!("/{i}").as_str(), format!("h{i}").as_str()));
        assert_eq!(head.fields.get(&format!("x-{i}")), Some(i.to_string().as_bytes()));
        head.clear();
    }
    assert_eq!(head.parse(&mut input, &limits), Ok(Parsed::Partial));
    assert_eq!(&input[..], b"GET /partial HT");
    input.extend_from_slice(b"TP/1.1\r\nHost: last\r\n\r\n");
    assert_eq!(head.parse(&mut input, &limits), Ok(Parsed::Complete));
    assert_eq!((head.path(), head.host(), input.len()), ("/partial", "last", 0));
}

#[test]
fn a_large_head_that_comes_byte_by_byte_is_read_to_the_same() {
    let lines: String = (0..90).map(|i| format!("X-Line-{i}: {}\r\n", "v".repeat(i))).collect();
    let bytes = format!("\r\nPOST /a/./b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n{lines}\r\n");
    let (mut head, mut input) = (RequestHead::new(), BytesMut::new());
    for (at, byte) in bytes.bytes().enumerate() {
        input.extend_from_slice(&[byte]);
        let wanted = if at + 1 == bytes.len() { Parsed::Complete } else { Parsed::Partial };
        assert_eq!(head.parse(&mut input, &Limits::default()), Ok(wanted));
    }
    assert_eq!((head.path(), head.framing, head.fields.len()), ("/a/b", Framing::Length(3), 92));
    assert_eq!(head.fields.get("x-line-89").map(<[u8]>::len), Some(89));
}

#[test]
fn what_is_wrong_with_line_ends_shows_at_once() {
    for bytes in ["\r\n\r\n", "\n", "GET /\n", "GET / HTTP/1.1\r\nA: b\n", "\r\n\n"] {
        let (mut head, mut input) = (RequestHead::new(), BytesMut::new());
        let fed = bytes.bytes().map(|byte| {
            input.extend_from_slice(&[byte]);
            head.parse(&mut input, &Limits::default())
        });
        let verdicts: Vec<_> = fed.collect();
        let (last, before) = verdicts.split_last().unwrap();
        assert!(last.is_err(), "{bytes:?}: {last:?}");
        assert!(before.iter().all(|verdict| *verdict == Ok(Parsed::Partial)), "{bytes:?}");
    }
}

#[test]
fn buffers_are_used_again() {
    let bytes = b"GET /some/path HTTP/1.1\r\nHost: example.com\r\nAccept: */*\r\n\r\n";
    let (mut head, mut input) = (RequestHead::new(), BytesMut::with_capacity(4096));
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..100 {
        input.reserve(4096);
        input.extend_from_slice(bytes);
        seen.insert(input.as_ptr() as usize);
        assert_eq!(head.parse(&mut input, &Limits::default()), Ok(Parsed::Complete));
        head.clear();
    }
    assert_eq!(seen.len(), 2, "two buffers take turns");
}
