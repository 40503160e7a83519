//! The body of a refusal: a problem document (RFC 9457) with the stable key, or its sentence for clients that want no JSON.

use bytes::{BufMut, BytesMut};
use ringway_contract::Reply;
use ringway_wire::{Known, RequestHead};

/// A body and its media type.
pub struct Problem {
    /// The body.
    pub body: BytesMut,
    /// Its type.
    pub media: &'static str,
}

/// Types in the order of preference, each with the ranges that take it in (RFC 9110 section 12.5.1).
const MEDIA: [(&str, &[&str]); 3] = [
    ("application/problem+json", &["application/problem+json", "application/*", "*/*"]),
    ("application/json", &["application/json"]),
    ("text/plain", &["text/plain", "text/*"]),
];

impl Problem {
    /// The body for the client that sent `head`. A client that takes none of the types is told in the first all the same
    /// (RFC 9110 section 15.5.7): a refusal that is not read is still one.
    pub fn of(reply: &Reply, head: Option<&RequestHead>) -> Self {
        let media = head.and_then(|head| negotiate(|| head.fields.known_all(Known::Accept))).unwrap_or(MEDIA[0].0);
        let body = if media == "text/plain" { sentence(reply) } else { document(reply) };
        Self { body, media }
    }
}

/// The first type that is accepted; `None` when none is.
fn negotiate<'a, I: Iterator<Item = &'a [u8]>>(accept: impl Fn() -> I) -> Option<&'static str> {
    let is_taken_in = |range: &[u8], by: &[&str]| by.iter().any(|by| range.eq_ignore_ascii_case(by.as_bytes()));
    let is_accepted = |by: &[&str]| {
        let mut ranges = accept().flat_map(|line| line.split(|byte| *byte == b',')).filter_map(range);
        ranges.any(|range| is_taken_in(range, by))
    };
    MEDIA.iter().find(|(_, by)| is_accepted(by)).map(|(media, _)| *media)
}

/// A media range without its parameters; `None` when its weight is nought: not acceptable (section 12.4.2).
fn range(item: &[u8]) -> Option<&[u8]> {
    let mut parts = item.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let range = parts.next()?;
    let refused = parts.any(|parameter| {
        let weight = parameter.strip_prefix(b"q=").or_else(|| parameter.strip_prefix(b"Q="));
        weight.is_some_and(|weight| weight.iter().all(|byte| matches!(byte, b'0' | b'.')))
    });
    (!refused).then_some(range)
}

/// `type` is left out: RFC 9457 then takes `about:blank`, and the title is the status's own.
fn document(reply: &Reply) -> BytesMut {
    let mut out = BytesMut::with_capacity(256);
    out.put_slice(b"{\"title\":\"");
    escape(reply.status.canonical_reason().unwrap_or("Error"), &mut out);
    out.put_slice(b"\",\"status\":");
    out.put_slice(reply.status.as_str().as_bytes());
    out.put_slice(b",\"detail\":\"");
    escape(&reply.message, &mut out);
    out.put_slice(b"\",\"key\":\"");
    escape(&reply.key, &mut out);
    out.put_slice(b"\"}");
    out
}

fn sentence(reply: &Reply) -> BytesMut {
    let mut out = BytesMut::with_capacity(128);
    out.put_slice(reply.message.as_bytes());
    if !reply.key.is_empty() {
        out.put_slice(b" (");
        out.put_slice(reply.key.as_bytes());
        out.put_slice(b")");
    }
    out.put_slice(b"\n");
    out
}

fn escape(text: &str, out: &mut BytesMut) {
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.put_slice(&[b'\\', byte]),
            0..0x20 => out.put_slice(b" "),
            _ => out.put_u8(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn a_client_gets_json_unless_it_takes_plain_text_only() {
        for (accept, media) in [
            ("*/*", Some("application/problem+json")),
            ("application/*", Some("application/problem+json")),
            ("text/html, application/xhtml+xml, */*;q=0.8", Some("application/problem+json")),
            ("Application/JSON", Some("application/json")),
            ("application/json; charset=utf-8, text/plain", Some("application/json")),
            ("text/plain", Some("text/plain")),
            ("text/*;q=0.5", Some("text/plain")),
            ("application/json;q=0, text/plain", Some("text/plain")),
            ("application/json; q=0.000", None),
            ("image/png", None),
            ("", None),
        ] {
            assert_eq!(negotiate(|| [accept.as_bytes()].into_iter()), media, "{accept}");
        }
        let lines: [&[u8]; 2] = [b"image/png", b"text/plain"];
        assert_eq!(negotiate(|| lines.into_iter()), Some("text/plain"), "of several lines");
    }

    #[test]
    fn what_a_policy_says_cannot_break_the_document() {
        let reply = Reply::refusal(StatusCode::FORBIDDEN, "KEY", "a \"quoted\"\n\\ word");
        let document = document(&reply);
        let wanted = r#"{"title":"Forbidden","status":403,"detail":"a \"quoted\" \\ word","key":"KEY"}"#;
        assert_eq!(std::str::from_utf8(&document), Ok(wanted));
        assert_eq!(sentence(&reply).as_ref(), b"a \"quoted\"\n\\ word (KEY)\n");
    }
}
