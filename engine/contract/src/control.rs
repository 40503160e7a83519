//! What the control plane may ask of the data plane. The binary joins the two.

use std::sync::Arc;
use std::time::Duration;

use ringway_config::Snapshot;
use serde::Serialize;

/// The data plane, as seen from the control plane's threads. No call comes near the path of an exchange.
pub trait DataPlane: Send + Sync + 'static {
    /// Compiles the snapshot and swaps it in on every shard; returns when each one runs it.
    ///
    /// # Errors
    /// The snapshot cannot be built (a policy or connector refuses its configuration). Then nothing has changed anywhere.
    fn publish(&self, snapshot: Arc<Snapshot>) -> Result<(), PublishError>;

    /// How the shards and APIs stand.
    fn state(&self) -> State;

    /// Appends all metrics in the Prometheus text format (version 0.0.4).
    fn metrics(&self, out: &mut String);

    /// Stops accepting, lets running exchanges finish, and returns when all are done or `limit` is over.
    /// Answers how many connections had to be cut.
    fn drain(&self, limit: Duration) -> usize;
}

/// Why a snapshot was not published.
#[derive(Debug, thiserror::Error)]
#[error("the snapshot was not published: {reason}")]
pub struct PublishError {
    /// What is wrong and where.
    pub reason: String,
}

/// How the data plane stands.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Revision of the snapshot that every shard runs; 0 before the first.
    pub revision: u64,
    /// The shards.
    pub shards: Vec<ShardState>,
    /// The deployed APIs.
    pub apis: Vec<ApiState>,
}

/// How one shard stands.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardState {
    /// Number of the shard, from 0.
    pub id: usize,
    /// The core it is pinned to, if it is.
    pub core: Option<usize>,
    /// The I/O driver that the kernel allowed, such as `io_uring/defer`.
    pub driver: String,
    /// Client connections that are open now.
    pub connections: u64,
    /// Revision of the snapshot that it runs.
    pub revision: u64,
}

/// How one API stands.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiState {
    /// The definition's id.
    pub id: String,
    /// The definition's name.
    pub name: String,
    /// The API's own version.
    pub version: String,
    /// Context paths, with their host where they have one.
    pub paths: Vec<String>,
    /// Why it is loaded but does not serve; `None` when it serves.
    pub idle: Option<String>,
    /// Health of its endpoints.
    pub endpoints: Vec<EndpointState>,
    /// How its subscriptions stand.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subscriptions: Vec<SubscriptionState>,
}

/// How one subscription to messages stands.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionState {
    /// Its id.
    pub id: String,
    /// Its plan.
    pub plan: String,
    /// The application that is subscribed.
    pub application: String,
    /// `STARTED`, `STOPPED` or `FAILURE`.
    pub status: &'static str,
    /// Why it is not started, or what keeps it from getting on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

/// How one endpoint stands.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointState {
    /// Group and endpoint name.
    pub name: String,
    /// Whether health checks and breaker let it take requests, on every shard.
    pub healthy: bool,
}
