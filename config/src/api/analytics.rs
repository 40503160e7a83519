//! What is recorded of an API's traffic.

use schemars::JsonSchema;
use serde::Deserialize;

/// What is recorded.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct Analytics {
    /// Whether the access log has a line for each request. Default true.
    pub enabled: bool,
    /// Which messages are recorded. Message APIs.
    pub sampling: Option<Sampling>,
    /// What of the requests and responses themselves is recorded.
    pub logging: Option<Logging>,
    /// Traces.
    pub tracing: Tracing,
    /// Log records of OpenTelemetry.
    pub otel_logs: OtelLogs,
    /// Whether metrics are reported. Native APIs. Default true.
    pub reporter_metrics_enabled: bool,
}

impl Default for Analytics {
    fn default() -> Self {
        Self {
            enabled: true,
            sampling: None,
            logging: None,
            tracing: Tracing::default(),
            otel_logs: OtelLogs::default(),
            reporter_metrics_enabled: true,
        }
    }
}

/// Which messages are recorded.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Sampling {
    /// The rule.
    #[serde(rename = "type")]
    pub kind: SamplingType,
    /// Its measure: a probability, a duration of ISO 8601, a count, or a count per duration (`n/PT1S`).
    pub value: String,
}

/// How messages to record are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SamplingType {
    /// By chance.
    Probability,
    /// One per duration.
    Temporal,
    /// One of so many.
    Count,
    /// So many per duration.
    WindowedCount,
}

/// What of the requests and responses themselves is recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct Logging {
    /// Expression: which requests.
    pub condition: Option<String>,
    /// Expression: which messages.
    pub message_condition: Option<String>,
    /// Which parts.
    pub content: LoggingContent,
    /// Which direction.
    pub phase: LoggingPhase,
    /// Which side.
    pub mode: LoggingMode,
}

/// Which parts are recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct LoggingContent {
    /// Fields.
    pub headers: bool,
    /// Body.
    pub payload: bool,
    /// Headers of messages.
    pub message_headers: bool,
    /// Content of messages.
    pub message_payload: bool,
    /// Metadata of messages.
    pub message_metadata: bool,
}

/// Which direction is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct LoggingPhase {
    /// To the endpoint.
    pub request: bool,
    /// Back.
    pub response: bool,
}

/// Which side is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct LoggingMode {
    /// What the client sees.
    pub entrypoint: bool,
    /// What the endpoint sees.
    pub endpoint: bool,
}

/// Traces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct Tracing {
    /// Whether they are made. Default false.
    pub enabled: bool,
    /// Whether each policy has a span. Default false.
    pub verbose: bool,
}

/// Log records of OpenTelemetry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct OtelLogs {
    /// Whether they are sent. Default false.
    pub enabled: bool,
}
