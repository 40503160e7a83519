//! What HTTP messages may look like, and what the gateway adds to them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Network;

/// What HTTP messages may look like, and what the gateway adds to them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct Http {
    /// `X-Forwarded-For`, `-Proto`, `-Host` and `-Port` of requests.
    pub x_forwarded: Forwarding,
    /// `Forwarded` of requests (RFC 7239).
    pub forwarded: Forwarding,
    /// Whose own forwarding fields are believed and added to, by address or range (`10.0.0.0/8`). With `replace`, those of anybody else are
    /// dropped.
    #[schemars(length(max = 1024))]
    pub trusted_proxies: Vec<Network>,
    /// Pseudonym of the gateway in `Via` (RFC 9110 section 7.6.3); empty for no `Via`.
    #[schemars(extend("format" = "token"))]
    pub via: String,
    /// `Server` of responses that have none; empty for none.
    #[schemars(extend("format" = "field-value"))]
    pub server_header: String,
    /// The id of each request.
    pub request_id: RequestId,
    /// The id of everything that belongs to one call of a client, across gateways.
    pub transaction_id: TransactionId,
    /// `%2F` in a path: many backends decode it before they split the path, so that what was checked is not what is served.
    pub encoded_slash: Suspicious,
    /// `\` and `%5C` in a path: some backends take them for a slash.
    pub backslash: Suspicious,
    /// `;` and `%3B` in a path: some backends cut a segment there, so that `/admin;x` is `/admin` to them and to nobody before them.
    pub path_parameters: Suspicious,
    /// `%25` before two hexadecimal digits in a path, as in `%252e`: some backends decode twice.
    pub double_encoding: Suspicious,
    /// Fields whose names have an underscore: CGI-like backends cannot tell it from a hyphen. Where that would make one of framing, of
    /// identity or of forwarding (`Content_Length`, `X_Forwarded_For`) it is refused even so.
    pub underscore_headers: Suspicious,
    /// Whether `//` in a path is `/`.
    pub merge_slashes: bool,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            x_forwarded: Forwarding::Replace,
            forwarded: Forwarding::Off,
            trusted_proxies: Vec::new(),
            via: "ringway".into(),
            server_header: String::new(),
            request_id: RequestId::default(),
            transaction_id: TransactionId::default(),
            encoded_slash: Suspicious::Reject,
            backslash: Suspicious::Reject,
            path_parameters: Suspicious::Reject,
            double_encoding: Suspicious::Reject,
            underscore_headers: Suspicious::Keep,
            merge_slashes: true,
        }
    }
}

/// What becomes of forwarding fields that a client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Forwarding {
    /// They are replaced; those of a trusted proxy are added to.
    Replace,
    /// They are added to, whoever sent them.
    Append,
    /// They pass as they are, and nothing is added.
    Off,
}

/// The id of each request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct RequestId {
    /// Its field; empty for no such id.
    #[schemars(extend("format" = "token"))]
    pub header: String,
    /// What becomes of one that the client sent.
    pub override_mode: OverrideMode,
}

impl Default for RequestId {
    fn default() -> Self {
        Self { header: "X-Gravitee-Request-Id".into(), override_mode: OverrideMode::Override }
    }
}

/// The id of everything that belongs to one call of a client, across gateways.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct TransactionId {
    /// Its field; empty for no such id.
    #[schemars(extend("format" = "token"))]
    pub header: String,
    /// What becomes of one that the client sent.
    pub override_mode: OverrideMode,
}

impl Default for TransactionId {
    fn default() -> Self {
        Self { header: "X-Gravitee-Transaction-Id".into(), override_mode: OverrideMode::Keep }
    }
}

/// What becomes of an id that a client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OverrideMode {
    /// It is replaced.
    Override,
    /// The gateway's own is put behind it, with a hyphen between; of the client's no more than 200 bytes stay.
    Merge,
    /// It stays.
    Keep,
}

/// What becomes of a request with something that backends may understand otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Suspicious {
    /// It is refused with 400.
    Reject,
    /// It passes.
    Keep,
}
