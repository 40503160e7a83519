//! Heads back to bytes. Framing and connection lines are always written here and never copied, so that one message has one
//! framing.

use bytes::{BufMut, BytesMut};
use http::StatusCode;

use crate::known::{self, Known};
use crate::syntax::{self, TARGET, VALUE};
use crate::{Framing, RequestHead, ResponseHead, TargetForm};

/// Room for the lines that an encoder writes beside the copied ones.
const OWN_LINES_BYTES: usize = 192;

/// What is said of the connection on the next hop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Connection<'a> {
    /// Nothing: HTTP/1.1 stays open.
    #[default]
    Keep,
    /// `Connection: keep-alive`, for a client that speaks HTTP/1.0.
    KeepAlive,
    /// `Connection: close`.
    Close,
    /// `Connection: upgrade` and `Upgrade` with this value, which comes from a field line.
    Upgrade(&'a [u8]),
}

/// The target on the next hop, in origin-form: `prefix`, then `path`, then `?query`.
///
/// The parts must be what a target can hold: they come from [`RequestHead::path`], [`RequestHead::query`] and a checked
/// configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TargetParts<'a> {
    /// Path of the backend, put before `path`; empty for none. A slash at its end and one at the begin of `path` become one.
    pub prefix: &'a str,
    /// The path.
    pub path: &'a str,
    /// The query without question mark.
    pub query: Option<&'a str>,
}

impl TargetParts<'_> {
    fn write(self, out: &mut BytesMut) {
        debug_assert!(
            [self.prefix, self.path, self.query.unwrap_or_default()].iter().all(|p| syntax::all(p.as_bytes(), TARGET))
        );
        if self.path.starts_with('/') {
            out.extend_from_slice(self.prefix.strip_suffix('/').unwrap_or(self.prefix).as_bytes());
        } else {
            out.extend_from_slice(self.prefix.as_bytes());
        }
        out.extend_from_slice(self.path.as_bytes());
        if self.prefix.is_empty() && self.path.is_empty() {
            out.put_u8(b'/');
        }
        if let Some(query) = self.query {
            out.put_u8(b'?');
            out.extend_from_slice(query.as_bytes());
        }
    }
}

impl RequestHead {
    /// Writes the head for a backend: start line, `Host`, all end-to-end lines, then framing, connection and the empty line.
    ///
    /// The version is always HTTP/1.1. `TE: trailers` is passed on while [`te_trailers`](Self::te_trailers) is set.
    pub fn encode(
        &self,
        target: &TargetParts<'_>,
        host: &str,
        framing: Framing,
        connection: Connection<'_>,
        out: &mut BytesMut,
    ) {
        debug_assert!(syntax::all(host.as_bytes(), VALUE));
        out.reserve(self.fields.raw().len() + target.prefix.len() + host.len() + OWN_LINES_BYTES);
        out.extend_from_slice(self.method.as_str().as_bytes());
        out.put_u8(b' ');
        if self.form() == TargetForm::Asterisk && target.path == "*" {
            out.put_u8(b'*');
        } else {
            target.write(out);
        }
        out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
        out.extend_from_slice(host.as_bytes());
        out.extend_from_slice(b"\r\n");
        self.fields.encode_without(known::MANAGED | Known::Host.bit(), out);
        write_framing(framing, out);
        write_connection(connection, self.te_trailers, out);
        out.extend_from_slice(b"\r\n");
    }
}

impl ResponseHead {
    /// Writes the head for a client: status line, all end-to-end lines, then framing, connection and the empty line.
    ///
    /// The version is always HTTP/1.1 (RFC 9110 section 6.2), the reason phrase the backend's, or the canonical one when there is
    /// none. With [`Framing::None`] a declared length is passed on, as it is wanted of HEAD and 304.
    pub fn encode(&self, framing: Framing, connection: Connection<'_>, out: &mut BytesMut) {
        out.reserve(self.fields.raw().len() + OWN_LINES_BYTES);
        status_line(self.status, self.reason(), out);
        self.fields.encode(out);
        match (framing, self.declared_bytes) {
            (Framing::None, Some(bytes)) => content_length(bytes, out),
            _ => write_framing(framing, out),
        }
        write_connection(connection, false, out);
        out.extend_from_slice(b"\r\n");
    }
}

/// Writes a status line. An empty reason is replaced by the canonical one.
pub fn status_line(status: StatusCode, reason: &[u8], out: &mut BytesMut) {
    if status == StatusCode::OK && (reason.is_empty() || reason == b"OK") {
        return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    debug_assert!(syntax::all(reason, VALUE));
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.put_u8(b' ');
    out.extend_from_slice(if reason.is_empty() { reason_phrase(status).as_bytes() } else { reason });
    out.extend_from_slice(b"\r\n");
}

/// The interim answer to `Expect: 100-continue`.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The canonical reason phrase (RFC 9110 section 15); empty when the status has none.
#[must_use]
pub fn reason_phrase(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or_default()
}

/// Writes `Content-Length`.
pub fn content_length(bytes: u64, out: &mut BytesMut) {
    out.extend_from_slice(b"Content-Length: ");
    decimal(bytes, out);
    out.extend_from_slice(b"\r\n");
}

/// Writes a number in decimal.
pub fn decimal(mut number: u64, out: &mut BytesMut) {
    // 2^64 has 20 digits.
    let mut digits = [b'0'; 20];
    let mut used = 1;
    for (at, digit) in digits.iter_mut().rev().enumerate() {
        *digit = b'0' + (number % 10) as u8;
        used = at + 1;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - used..).unwrap_or_default());
}

fn write_framing(framing: Framing, out: &mut BytesMut) {
    match framing {
        Framing::None | Framing::UntilClose => {}
        Framing::Length(bytes) => content_length(bytes, out),
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
}

fn write_connection(connection: Connection<'_>, te_trailers: bool, out: &mut BytesMut) {
    let options: &[u8] = match (connection, te_trailers) {
        (Connection::Keep, false) => return,
        (Connection::Keep, true) => b"Connection: te\r\n",
        (Connection::KeepAlive, false) => b"Connection: keep-alive\r\n",
        (Connection::KeepAlive, true) => b"Connection: keep-alive, te\r\n",
        (Connection::Close, false) => b"Connection: close\r\n",
        (Connection::Close, true) => b"Connection: close, te\r\n",
        (Connection::Upgrade(_), false) => b"Connection: upgrade\r\n",
        (Connection::Upgrade(_), true) => b"Connection: upgrade, te\r\n",
    };
    out.extend_from_slice(options);
    if te_trailers {
        out.extend_from_slice(b"TE: trailers\r\n");
    }
    if let Connection::Upgrade(protocols) = connection {
        debug_assert!(syntax::all(protocols, VALUE));
        out.extend_from_slice(b"Upgrade: ");
        out.extend_from_slice(protocols);
        out.extend_from_slice(b"\r\n");
    }
}
