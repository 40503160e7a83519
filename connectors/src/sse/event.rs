//! Messages as events.

use bytes::BytesMut;
use memchr::memchr2;
use ringway_contract::{Message, Origin, Render};

use super::Config;

/// Renders messages as events.
pub struct Events {
    metadata: bool,
    headers: bool,
}

impl Events {
    /// As the configuration has it.
    pub fn new(config: &Config) -> Self {
        Self { metadata: config.metadata_as_comment, headers: config.headers_as_comment }
    }
}

impl Render for Events {
    fn format(&self) -> Option<u64> {
        // The first two bytes tell the entrypoint, so that no other's format is the same.
        Some(0x5345_0000 | u64::from(self.metadata) << 1 | u64::from(self.headers))
    }

    fn render(&self, message: &Message, origin: &dyn Origin, out: &mut BytesMut) {
        out.extend_from_slice(b"id: ");
        origin.id(message, out);
        out.extend_from_slice(if message.is_error { b"\nevent: error\n" } else { b"\nevent: message\n" });
        lines(b"data: ", &message.content, out);
        if self.headers {
            for (name, value) in &message.headers {
                comment(name, value, out);
            }
        }
        if self.metadata {
            for (name, value) in &message.metadata {
                comment(name.as_bytes(), value, out);
            }
            origin.metadata(message, &mut |name, value| comment(name.as_bytes(), value, out));
        }
        out.extend_from_slice(b"\n");
    }
}

/// Each line of `text` behind `prefix`. CR, LF and CRLF end a line: what a message says can never become a field of its own.
fn lines(prefix: &[u8], text: &[u8], out: &mut BytesMut) {
    let mut rest = text;
    loop {
        out.extend_from_slice(prefix);
        let Some(end) = memchr2(b'\r', b'\n', rest) else {
            out.extend_from_slice(rest);
            out.extend_from_slice(b"\n");
            return;
        };
        let (line, tail) = rest.split_at(end);
        out.extend_from_slice(line);
        out.extend_from_slice(b"\n");
        rest = tail.strip_prefix(b"\r\n").or_else(|| tail.get(1..)).unwrap_or_default();
    }
}

fn comment(name: &[u8], value: &[u8], out: &mut BytesMut) {
    out.extend_from_slice(b":");
    let clean = |byte: &u8| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte };
    out.extend(name.iter().map(clean));
    out.extend_from_slice(b"=");
    out.extend(value.iter().map(clean));
    out.extend_from_slice(b"\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Seven;

    impl Origin for Seven {
        fn passed(&mut self, _message: &Message) {}
        fn id(&self, _message: &Message, out: &mut BytesMut) {
            out.extend_from_slice(b"7");
        }
        fn metadata(&self, _message: &Message, each: &mut dyn FnMut(&str, &[u8])) {
            each("topic", b"a\nb");
        }
    }

    fn rendered(message: &Message, metadata: bool, headers: bool) -> String {
        let mut out = BytesMut::new();
        Events { metadata, headers }.render(message, &Seven, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn a_message_is_an_event_with_its_id() {
        assert_eq!(rendered(&Message::new("hello"), false, false), "id: 7\nevent: message\ndata: hello\n\n");
        assert_eq!(rendered(&Message::new(""), false, false), "id: 7\nevent: message\ndata: \n\n");
    }

    #[test]
    fn no_line_of_a_message_becomes_a_field() {
        let text = rendered(&Message::new("one\r\nid: 8\revent: x\n\ndata: y\n"), false, false);
        assert_eq!(
            text,
            "id: 7\nevent: message\ndata: one\ndata: id: 8\ndata: event: x\ndata: \ndata: data: y\ndata: \n\n"
        );
    }

    #[test]
    fn headers_and_metadata_are_comments_of_one_line() {
        let mut message = Message::new("x");
        message.headers.push(("X-A".into(), "1\r2".into()));
        assert_eq!(rendered(&message, true, true), "id: 7\nevent: message\ndata: x\n:X-A=1 2\n:topic=a b\n\n");
    }
}
