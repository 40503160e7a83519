//! How much of everything, and how long for everything.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much of everything. Whoever goes beyond is refused, never waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct Limits {
    /// Bytes of a message's head, from its first line to the empty line, 1,024 to 65,535. More is answered 431.
    #[serde(rename = "headBytes")]
    #[schemars(range(min = 1024, max = 65_535))]
    pub head_bytes_max: usize,
    /// Fields in a head, 8 to 256. More are answered 431.
    #[serde(rename = "headerCount")]
    #[schemars(range(min = 8, max = 256))]
    pub header_count_max: usize,
    /// Bytes of a request's target, 256 to 65,535. More is answered 414.
    #[serde(rename = "uriBytes")]
    #[schemars(range(min = 256, max = 65_535))]
    pub uri_bytes_max: usize,
    /// Bytes per second that a request's body has to come with; 0: only its silence counts. Whoever falls behind by
    /// `timeouts.clientBodyIdle` is answered 408.
    pub body_rate_min: u32,
    /// Bytes per second that a client has to take of what is sent to it; 0: only taking nothing at all counts. Whoever falls behind by
    /// `timeouts.clientWriteIdle` is cut off.
    pub response_rate_min: u32,
    /// Bytes per second that a backend has to send of a body whose length it announced; 0: only its silence counts. Whoever falls behind
    /// by the endpoint's `readTimeout` is cut off. Bodies of unknown length may be events that come when they come. Read at the start
    /// only.
    pub backend_rate_min: u32,
    /// Bytes of a request's body; 0: no limit, because bodies are streamed and never kept. More is answered 413.
    #[serde(rename = "bodyBytes")]
    pub body_bytes_max: u64,
    /// Requests on one client connection before it is closed; 0: no limit.
    #[serde(rename = "requestsPerConnection")]
    pub requests_per_connection_max: u32,
    /// Client connections that a shard serves, 1 to 1,048,576. One more goes to another shard; when all are full, it is closed.
    #[serde(rename = "connectionsPerShard")]
    #[schemars(range(min = 1, max = 1_048_576))]
    pub connections_per_shard_max: usize,
    /// Client connections of one address that a shard serves; 0: no limit, because a load balancer in front is one address.
    #[serde(rename = "connectionsPerAddress")]
    pub connections_per_address_max: usize,
    /// Requests of a shard that are under way, 1 to 1,048,576. More are answered 503 with `Retry-After`, before anything else is done for
    /// them.
    #[serde(rename = "exchangesPerShard")]
    #[schemars(range(min = 1, max = 1_048_576))]
    pub exchanges_per_shard_max: usize,
    /// Whether a shard that has a core's worth of work, and at least 128 requests under way, tries to have only 64 under way at a time and keeps
    /// to that while no less is done. Read at the start only.
    pub adaptive_concurrency: bool,
    /// Bytes of memory of the process, from which on requests are answered 503 as long as more than a few are under way; 0: nine tenths of
    /// what the machine or the control group has.
    #[serde(rename = "memoryBytes")]
    pub memory_bytes_max: u64,
    /// Requests of one endpoint group on a shard that wait for a backend connection, up to 65,536. More are answered 503.
    #[serde(rename = "pendingRequests")]
    #[schemars(range(max = 65_536))]
    pub pending_requests_max: usize,
    /// Bytes of a body that a policy needs as a whole, 1,024 to 1,073,741,824, after decompression. A larger request is answered 413, a
    /// larger response 502.
    #[serde(rename = "contentBytes")]
    #[schemars(range(min = 1_024, max = 1_073_741_824))]
    pub content_bytes_max: usize,
    /// Bytes of a message that a client publishes, 1,024 to 1,073,741,824: it is kept as a whole. More are answered 413.
    #[serde(rename = "messageBytes")]
    #[schemars(range(min = 1_024, max = 1_073_741_824))]
    pub message_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes_max: 32 * 1024,
            header_count_max: 100,
            uri_bytes_max: 8 * 1024,
            body_rate_min: 500,
            response_rate_min: 500,
            backend_rate_min: 500,
            body_bytes_max: 0,
            requests_per_connection_max: 0,
            connections_per_shard_max: 20_000,
            connections_per_address_max: 0,
            exchanges_per_shard_max: 4096,
            adaptive_concurrency: true,
            memory_bytes_max: 0,
            pending_requests_max: 1024,
            content_bytes_max: 1024 * 1024,
            message_bytes_max: 1024 * 1024,
        }
    }
}

/// How long for everything, in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct Timeouts {
    /// From the first byte of a request to the end of its head, in milliseconds, 100 to 3,600,000. Longer is answered 408.
    #[serde(rename = "clientHeader")]
    #[schemars(range(min = 100, max = 3_600_000))]
    pub client_header_ms: u64,
    /// The longest silence within a request's body, and how far it may fall behind `limits.bodyRateMin`, in milliseconds, 100 to
    /// 3,600,000. Longer is answered 408.
    #[serde(rename = "clientBodyIdle")]
    #[schemars(range(min = 100, max = 3_600_000))]
    pub client_body_idle_ms: u64,
    /// The longest that a client may take none of what is sent to it, and how far it may fall behind `limits.responseRateMin`, in
    /// milliseconds, 100 to 3,600,000.
    #[serde(rename = "clientWriteIdle")]
    #[schemars(range(min = 100, max = 3_600_000))]
    pub client_write_idle_ms: u64,
    /// How long a client connection is kept without a request, in milliseconds, 100 to 86,400,000.
    #[serde(rename = "keepAlive")]
    #[schemars(range(min = 100, max = 86_400_000))]
    pub keep_alive_ms: u64,
    /// The longest TLS handshake, in milliseconds, 100 to 3,600,000.
    #[serde(rename = "tlsHandshake")]
    #[schemars(range(min = 100, max = 3_600_000))]
    pub tls_handshake_ms: u64,
    /// From a request's head to the head of its response, retries included, in milliseconds, at most 86,400,000; 0: no limit. Longer is
    /// answered 504.
    #[serde(rename = "request")]
    #[schemars(range(max = 86_400_000))]
    pub request_ms: u64,
    /// The longest wait for a backend connection when all are busy, in milliseconds, at most 3,600,000; 0: no limit. Longer is answered
    /// 503.
    #[serde(rename = "pending")]
    #[schemars(range(max = 3_600_000))]
    pub pending_ms: u64,
    /// How long running requests have to finish when the gateway stops, in milliseconds, at most 86,400,000.
    #[serde(rename = "drain")]
    #[schemars(range(max = 86_400_000))]
    pub drain_ms: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            client_header_ms: 10_000,
            client_body_idle_ms: 30_000,
            client_write_idle_ms: 30_000,
            keep_alive_ms: 60_000,
            tls_handshake_ms: 10_000,
            request_ms: 30_000,
            pending_ms: 5_000,
            drain_ms: 30_000,
        }
    }
}
