//! The three ways in which an answer is written.

use bytes::{Bytes, BytesMut};

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// `application/json`.
    Json,
    /// `application/xml`.
    Xml,
    /// `text/plain`.
    Text,
}

/// One message.
pub struct Item<'a> {
    /// Its id.
    pub id: &'a [u8],
    /// Its content.
    pub content: &'a [u8],
    /// Its headers, if they are wanted.
    pub headers: Option<&'a Vec<(Bytes, Bytes)>>,
    /// Its metadata, if they are wanted.
    pub metadata: Option<&'a Vec<(String, Bytes)>>,
}

impl Media {
    /// By the fields `Accept` (RFC 9110 section 12.5.1): the one of the highest quality, the first of equals; `text/plain` where there is no
    /// preference. `None`: none of them is acceptable.
    pub fn accepted(accept: &[&[u8]]) -> Option<Self> {
        let ranges = accept.iter().flat_map(|field| field.split(|byte| *byte == b','));
        let mut best: Option<(u16, Self)> = None;
        let mut any = false;
        for range in ranges {
            let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let name = parts.next().unwrap_or_default();
            if name.is_empty() {
                continue;
            }
            any = true;
            let quality = parts.find_map(|part| part.strip_prefix(b"q=").map(quality)).unwrap_or(1_000);
            let Some(media) = Self::of(name).filter(|_| quality > 0) else { continue };
            if best.is_none_or(|(known, _)| quality > known) {
                best = Some((quality, media));
            }
        }
        match best {
            Some((_, media)) => Some(media),
            None if any => None,
            None => Some(Self::Text),
        }
    }

    fn of(name: &[u8]) -> Option<Self> {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match () {
            () if is("application/json") || is("application/*") => Some(Self::Json),
            () if is("application/xml") => Some(Self::Xml),
            () if is("text/plain") || is("text/*") || is("*/*") => Some(Self::Text),
            () => None,
        }
    }

    /// The value of `Content-Type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Xml => "application/xml",
            Self::Text => "text/plain;charset=UTF-8",
        }
    }

    /// Begins an answer.
    pub fn open(self, out: &mut BytesMut) {
        out.extend_from_slice(match self {
            Self::Json => b"{\"items\":[",
            Self::Xml => b"<?xml version=\"1.0\" encoding=\"UTF-8\"?><response><items>",
            Self::Text => b"items\n",
        });
    }

    /// Adds a message.
    pub fn item(self, item: &Item<'_>, first: bool, out: &mut BytesMut) {
        match self {
            Self::Json => json_item(item, first, out),
            Self::Xml => xml_item(item, out),
            Self::Text => text_item(item, out),
        }
    }

    /// Ends an answer.
    pub fn close(self, cursor: Option<&[u8]>, next: Option<&[u8]>, limit: u32, out: &mut BytesMut) {
        let cursors = [("cursor", cursor), ("nextCursor", next)];
        let cursors = cursors.into_iter().filter_map(|(name, value)| value.map(|value| (name, value)));
        match self {
            Self::Json => {
                out.extend_from_slice(b"],\"pagination\":{");
                for (name, value) in cursors {
                    json_text(name.as_bytes(), out);
                    out.extend_from_slice(b":");
                    json_text(value, out);
                    out.extend_from_slice(b",");
                }
                out.extend_from_slice(format!("\"limit\":{limit}}}}}").as_bytes());
            }
            Self::Xml => {
                out.extend_from_slice(b"</items><pagination>");
                for (name, value) in cursors {
                    xml_element(name, value, out);
                }
                out.extend_from_slice(format!("<limit>{limit}</limit></pagination></response>").as_bytes());
            }
            Self::Text => {
                out.extend_from_slice(b"pagination\n");
                for (name, value) in cursors {
                    text_line(name, value, out);
                }
                out.extend_from_slice(format!("  limit: {limit}\n").as_bytes());
            }
        }
    }
}

/// A quality in thousandths (RFC 9110 section 12.4.2); what is none counts as 0.
fn quality(text: &[u8]) -> u16 {
    let text = std::str::from_utf8(text).unwrap_or_default();
    let quality: f32 = text.parse().unwrap_or(0.0);
    // In range by the clamp.
    (quality.clamp(0.0, 1.0) * 1_000.0) as u16
}

fn json_item(item: &Item<'_>, first: bool, out: &mut BytesMut) {
    out.extend_from_slice(if first { b"{\"id\":" } else { b",{\"id\":" });
    json_text(item.id, out);
    out.extend_from_slice(b",\"content\":");
    match std::str::from_utf8(item.content) {
        Ok(_) => json_text(item.content, out),
        Err(_) => {
            json_text(base64(item.content).as_bytes(), out);
            out.extend_from_slice(b",\"encoding\":\"base64\"");
        }
    }
    if let Some(headers) = item.headers {
        out.extend_from_slice(b",\"headers\":{");
        // A name that repeats is one member with all its values.
        let mut seen: Vec<&[u8]> = Vec::new();
        for (name, _) in headers {
            if seen.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                continue;
            }
            if !seen.is_empty() {
                out.extend_from_slice(b",");
            }
            seen.push(name);
            json_text(name, out);
            out.extend_from_slice(b":[");
            let values = headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
            for (at, (_, value)) in values.enumerate() {
                if at > 0 {
                    out.extend_from_slice(b",");
                }
                json_text(value, out);
            }
            out.extend_from_slice(b"]");
        }
        out.extend_from_slice(b"}");
    }
    if let Some(metadata) = item.metadata {
        out.extend_from_slice(b",\"metadata\":{");
        for (at, (name, value)) in metadata.iter().enumerate() {
            if at > 0 {
                out.extend_from_slice(b",");
            }
            json_text(name.as_bytes(), out);
            out.extend_from_slice(b":");
            json_text(value, out);
        }
        out.extend_from_slice(b"}");
    }
    out.extend_from_slice(b"}");
}

/// A JSON string (RFC 8259 section 7) of bytes; what is not UTF-8 is replaced.
fn json_text(text: &[u8], out: &mut BytesMut) {
    let text = String::from_utf8_lossy(text);
    out.extend_from_slice(b"\"");
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)) {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        let byte = special.first().copied().unwrap_or_default();
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            byte => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        }
        rest = special.get(1..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out.extend_from_slice(b"\"");
}

fn xml_item(item: &Item<'_>, out: &mut BytesMut) {
    out.extend_from_slice(b"<item>");
    xml_element("id", item.id, out);
    match std::str::from_utf8(item.content) {
        Ok(text) if text.chars().all(is_xml) => {
            out.extend_from_slice(b"<content><![CDATA[");
            // The one thing that a CDATA section cannot hold is its own end (XML 1.0 section 2.7).
            out.extend_from_slice(text.replace("]]>", "]]]]><![CDATA[>").as_bytes());
            out.extend_from_slice(b"]]></content>");
        }
        _ => {
            out.extend_from_slice(format!("<content encoding=\"base64\">{}</content>", base64(item.content)).as_bytes())
        }
    }
    if let Some(headers) = item.headers {
        out.extend_from_slice(b"<headers>");
        headers.iter().for_each(|(name, value)| xml_named("header", name, value, out));
        out.extend_from_slice(b"</headers>");
    }
    if let Some(metadata) = item.metadata {
        out.extend_from_slice(b"<metadata>");
        metadata.iter().for_each(|(name, value)| xml_named("entry", name.as_bytes(), value, out));
        out.extend_from_slice(b"</metadata>");
    }
    out.extend_from_slice(b"</item>");
}

fn xml_element(name: &str, value: &[u8], out: &mut BytesMut) {
    out.extend_from_slice(format!("<{name}>{}</{name}>", xml_text(value)).as_bytes());
}

fn xml_named(element: &str, name: &[u8], value: &[u8], out: &mut BytesMut) {
    let text = format!("<{element} name=\"{}\">{}</{element}>", xml_text(name), xml_text(value));
    out.extend_from_slice(text.as_bytes());
}

/// Characters that XML 1.0 can hold (section 2.2).
fn is_xml(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Text, with what means something else escaped, and what XML cannot hold replaced.
fn xml_text(text: &[u8]) -> String {
    let mut out = String::new();
    for character in String::from_utf8_lossy(text).chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            character if is_xml(character) => out.push(character),
            _ => out.push('\u{fffd}'),
        }
    }
    out
}

fn text_item(item: &Item<'_>, out: &mut BytesMut) {
    out.extend_from_slice(b"item\n");
    text_line("id", item.id, out);
    match std::str::from_utf8(item.content) {
        Ok(_) => text_line("content", item.content, out),
        Err(_) => text_line("content (base64)", base64(item.content).as_bytes(), out),
    }
    for (name, value) in item.headers.into_iter().flatten() {
        text_line(&format!("header {}", String::from_utf8_lossy(name)), value, out);
    }
    for (name, value) in item.metadata.into_iter().flatten() {
        text_line(&format!("metadata {name}"), value, out);
    }
}

/// `  name: value`; further lines of the value are indented by four.
fn text_line(name: &str, value: &[u8], out: &mut BytesMut) {
    let value = String::from_utf8_lossy(value).replace("\r\n", "\n").replace('\n', "\n    ");
    out.extend_from_slice(format!("  {name}: {value}\n").as_bytes());
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(media: Media, content: &[u8]) -> String {
        let headers = vec![(Bytes::from("X-A"), Bytes::from("1")), ("x-a".into(), "<2>".into())];
        let metadata = vec![("topic".to_owned(), Bytes::from("t\"1"))];
        let mut out = BytesMut::new();
        media.open(&mut out);
        for first in [true, false] {
            let item = Item { id: b"7", content, headers: Some(&headers), metadata: Some(&metadata) };
            media.item(&item, first, &mut out);
        }
        media.close(None, Some(b"7"), 2, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn json_is_json_whatever_a_message_says() {
        let said = "quote \" back \\ line\r\n tab\t bell\u{7} \u{1f600}";
        let value: serde_json::Value = serde_json::from_str(&answer(Media::Json, said.as_bytes())).unwrap();
        assert_eq!(value["items"][1]["content"], said);
        assert_eq!(value["items"][0]["headers"]["X-A"], serde_json::json!(["1", "<2>"]));
        assert_eq!(value["items"][0]["metadata"]["topic"], "t\"1");
        assert_eq!(value["pagination"], serde_json::json!({ "nextCursor": "7", "limit": 2 }));
    }

    #[test]
    fn what_is_no_text_is_base64() {
        let value: serde_json::Value = serde_json::from_str(&answer(Media::Json, &[0xff, 0])).unwrap();
        assert_eq!((&value["items"][0]["content"], &value["items"][0]["encoding"]), (&"/wA=".into(), &"base64".into()));
        assert!(answer(Media::Xml, &[0xff, 0]).contains("<content encoding=\"base64\">/wA=</content>"));
        assert!(answer(Media::Xml, b"bell\x07").contains("encoding=\"base64\""));
    }

    #[test]
    fn a_cdata_section_cannot_be_left() {
        let text = answer(Media::Xml, b"a]]><item>b");
        assert!(text.contains("<content><![CDATA[a]]]]><![CDATA[><item>b]]></content>"), "{text}");
        assert!(text.contains("<header name=\"x-a\">&lt;2&gt;</header>"), "{text}");
    }

    #[test]
    fn lines_of_a_message_are_indented_in_text() {
        let text = answer(Media::Text, b"one\r\n  id: 8");
        assert!(text.contains("  content: one\n      id: 8\n"), "{text}");
    }

    #[test]
    fn accept_is_negotiated_by_quality() {
        let of = |accept: &str| Media::accepted(&[accept.as_bytes()]);
        assert_eq!(Media::accepted(&[]), Some(Media::Text));
        assert_eq!(of("*/*"), Some(Media::Text));
        assert_eq!(of("application/json"), Some(Media::Json));
        assert_eq!(of("text/plain;q=0.5, application/xml;q=0.9"), Some(Media::Xml));
        assert_eq!(of("application/json;q=0"), None);
        assert_eq!(of("image/png"), None);
        assert_eq!(Media::accepted(&[b"image/png", b"application/*"]), Some(Media::Json));
    }
}
