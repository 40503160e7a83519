//! Field lines: looking up, editing, and what is written in the end.

use bytes::BytesMut;
use ringway_wire::{FieldError, Fields, Known, Limits, Parsed, RequestHead};

fn fields(lines: &str) -> Fields {
    let (mut head, mut input) = (RequestHead::new(), BytesMut::from(format!("GET / HTTP/1.0\r\n{lines}\r\n").as_str()));
    assert_eq!(head.parse(&mut input, &Limits::default()), Ok(Parsed::Complete));
    head.fields
}

fn encoded(fields: &Fields) -> String {
    let mut out = BytesMut::new();
    fields.encode(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}

#[test]
fn untouched_lines_are_written_as_they_came() {
    let lines = "Host: a\r\naCCept:   b \t\r\nX:\r\nCookie: c\r\n";
    assert_eq!(encoded(&fields(lines)), lines);
    assert_eq!(encoded(&fields("")), "");
    assert_eq!(encoded(&Fields::new()), "");
}

#[test]
fn framing_and_hop_by_hop_lines_are_never_written() {
    let hop = "Connection: close, te\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nTE: trailers\r\nTrailer: x\r\nUpgrade: y\r\nHTTP2-Settings: z\r\n";
    let got = encoded(&fields(&format!("A: 1\r\n{hop}Content-Length: 0\r\nB: 2\r\n{hop}C: 3\r\nD: 4\r\n{hop}")));
    assert_eq!(got, "A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n");
    let mut added = fields("A: 1\r\n");
    for name in ["content-length", "Transfer-Encoding", "connection", "upgrade", "te", "keep-alive"] {
        added.set(name, "x").unwrap();
        assert_eq!(added.get(name), Some(&b"x"[..]));
    }
    added.append("B", "2").unwrap();
    assert_eq!(encoded(&added), "A: 1\r\nB: 2\r\n");
}

#[test]
fn edits_show_everywhere() {
    let mut fields = fields("Host: a\r\nX-A: 1\r\nAccept: b\r\nx-a: 2\r\nCookie: c\r\n");
    assert_eq!(fields.remove("X-a"), 2);
    assert_eq!(fields.remove("x-a"), 0);
    assert_eq!((fields.get("x-a"), fields.contains("X-A"), fields.len()), (None, false, 3));
    fields.set("ACCEPT", "d").unwrap();
    fields.append("x-a", " 3\t").unwrap();
    fields.append("X-A", "4").unwrap();
    assert_eq!(fields.known(Known::Accept), Some(&b"d"[..]));
    assert_eq!(fields.get_all("x-a").collect::<Vec<_>>(), [b"3", b"4"]);
    assert_eq!(encoded(&fields), "Host: a\r\nCookie: c\r\nACCEPT: d\r\nx-a: 3\r\nX-A: 4\r\n");
    assert_eq!(fields.remove_known(Known::Host), 1);
    assert_eq!(fields.remove("X-A"), 2);
    assert_eq!(encoded(&fields), "Cookie: c\r\nACCEPT: d\r\n");
    assert_eq!(fields.iter().count(), fields.len());
    fields.clear();
    assert!(fields.is_empty() && fields.get("cookie").is_none() && encoded(&fields).is_empty());
    fields.append("Cookie", "e").unwrap();
    assert_eq!(encoded(&fields), "Cookie: e\r\n");
}

#[test]
fn a_removed_line_is_not_written_whatever_its_name() {
    for name in ["Cookie", "X-Own"] {
        let mut fields = fields("A: 1\r\nCookie: 2\r\nX-Own: 3\r\nB: 4\r\n");
        assert_eq!(fields.remove(name), 1);
        let left = if name == "Cookie" { "A: 1\r\nX-Own: 3\r\nB: 4\r\n" } else { "A: 1\r\nCookie: 2\r\nB: 4\r\n" };
        assert_eq!(encoded(&fields), left);
    }
}

#[test]
fn known_names_are_found_among_repeated_ones() {
    let mut fields = fields("Cookie: a\r\nVia: b\r\ncookie: c\r\nCOOKIE: d\r\n");
    assert!(fields.is_repeated(Known::Cookie) && !fields.is_repeated(Known::Via));
    assert_eq!(fields.known_all(Known::Cookie).collect::<Vec<_>>(), [b"a", b"c", b"d"]);
    assert_eq!(fields.known_all(Known::Origin).count(), 0);
    fields.set("cookie", "e").unwrap();
    assert!(!fields.is_repeated(Known::Cookie));
    assert_eq!(fields.get_all("Cookie").collect::<Vec<_>>(), [b"e"]);
}

#[test]
fn no_edit_forges_a_line() {
    let mut fields = fields("A: 1\r\n");
    for value in ["x\r\nB: 2", "x\n", "\r", "x\0", "\u{1}", "\u{7f}", "a\u{b}b"] {
        assert_eq!(fields.set("A", value), Err(FieldError::BadValue), "{value:?}");
        assert_eq!(fields.append("A", value), Err(FieldError::BadValue), "{value:?}");
    }
    for name in ["", "A B", "A:", "A\r\n", "A\0", "\u{e9}", "A:b", "(A)", " A", "A "] {
        assert_eq!(fields.set(name, "x"), Err(FieldError::BadName), "{name:?}");
        assert_eq!(fields.append(name, "x"), Err(FieldError::BadName), "{name:?}");
    }
    assert_eq!(encoded(&fields), "A: 1\r\n");
    assert_eq!(fields.set("A", "\u{e9} \t b"), Ok(()));
}

#[test]
fn added_lines_are_bounded() {
    let mut fields = fields("A: 1\r\n");
    assert_eq!(fields.set("A", "x".repeat(65_535)), Err(FieldError::TooLarge));
    assert_eq!(fields.get("A"), Some(&b"1"[..]));
    assert_eq!(fields.append("B", "x".repeat(65_535 - 5)), Ok(()));
    assert_eq!(fields.append("C", ""), Err(FieldError::TooLarge));
    assert_eq!(encoded(&fields).len(), 6 + 65_535);
    fields.clear();
    let fit = (0..2000).filter(|_| fields.append("a", "b").is_ok()).count();
    assert_eq!((fit, fields.len()), (1024, 1024));
}
