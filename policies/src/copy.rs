//! A request once more, for a service beside the traffic.

use std::time::Duration;

use bytes::Bytes;
use ringway_contract::{FetchRequest, RequestHead};

/// Fields of a connection, of framing, and of what is asked for again by whoever calls.
const LEFT_OUT: [&str; 13] = [
    "host",
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "content-length",
    "expect",
    "max-forwards",
];

/// Whether a field goes on with the message that it is of.
pub fn is_kept(name: &[u8]) -> bool {
    !LEFT_OUT.iter().any(|left| name.eq_ignore_ascii_case(left.as_bytes()))
}

/// The same request to another URL, with this body.
pub fn copied(head: &RequestHead, url: String, body: Bytes, timeout: Duration) -> FetchRequest {
    let fields = head.fields.iter().filter(|(name, _)| is_kept(name));
    // What is no text cannot be said again.
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
    let headers = fields.filter_map(|(name, value)| Some((text(name)?, text(value)?)));
    FetchRequest { method: head.method.clone(), url, headers: headers.collect(), body, timeout }
}
