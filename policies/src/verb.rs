//! The methods that a configuration may name.

use http::Method;
use schemars::JsonSchema;
use serde::Deserialize;

/// A method of HTTP (RFC 9110 section 9, RFC 5789).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Verb {
    #[default]
    Get,
    Post,
    Put,
    Delete,
    Patch,
    Head,
    Connect,
    Options,
    Trace,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Get,
        Self::Head,
        Self::Post,
        Self::Put,
        Self::Patch,
        Self::Delete,
        Self::Options,
        Self::Connect,
        Self::Trace,
    ];

    /// As requests carry it.
    pub fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Post => Method::POST,
            Self::Put => Method::PUT,
            Self::Delete => Method::DELETE,
            Self::Patch => Method::PATCH,
            Self::Head => Method::HEAD,
            Self::Connect => Method::CONNECT,
            Self::Options => Method::OPTIONS,
            Self::Trace => Method::TRACE,
        }
    }
}
