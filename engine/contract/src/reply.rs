//! A refusal or an answer of the gateway's own.

use std::borrow::Cow;

use bytes::Bytes;
use http::StatusCode;

/// A response that a guard or policy makes instead of calling the endpoint.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// Stable key, upper snake case, by which response templates find it; empty for an answer that is not a refusal. Scripts of a
    /// definition name keys of their own.
    pub key: Cow<'static, str>,
    /// One sentence for the client. Becomes the `detail` of a problem document (RFC 9457) when there is no body.
    pub message: Cow<'static, str>,
    /// Fields of the response, besides framing.
    pub headers: Vec<(Cow<'static, str>, Bytes)>,
    /// The body, when the answer has one of its own.
    pub body: Option<Bytes>,
    /// What response templates may tell besides key and message: names and values.
    pub parameters: Vec<(Cow<'static, str>, String)>,
}

impl Reply {
    /// A refusal.
    pub fn refusal(
        status: StatusCode,
        key: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        let (key, message) = (key.into(), message.into());
        Self { status, key, message, headers: Vec::new(), body: None, parameters: Vec::new() }
    }

    /// An answer with a body.
    pub fn answer(status: StatusCode, body: Bytes) -> Self {
        Self { body: Some(body), ..Self::refusal(status, "", "") }
    }

    /// The same with one more parameter for response templates.
    pub fn parameter(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.parameters.push((name.into(), value.into()));
        self
    }

    /// The same with one more field.
    pub fn header(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Bytes>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}
