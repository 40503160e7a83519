//! What all shards share of an API: its definition, its verdicts of health, and the counters that each of them writes for itself.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ringway_config::Snapshot;
use ringway_config::api::{Api, Subscription};

use crate::telemetry::{ApiCounters, EndpointCounters};

/// An API of the snapshot in force. One that a reload leaves as it is stays the same value, so that shards keep what they built of it.
pub struct ApiShared {
    /// The definition.
    pub api: Arc<Api>,
    /// One per shard.
    pub counters: Vec<Arc<ApiCounters>>,
    /// The endpoints of all groups, in order.
    pub endpoints: Vec<EndpointShared>,
    /// Which of its messages was written down last: see [`Scribe`](crate::messages::scribe::Scribe).
    pub sampled: Arc<AtomicU64>,
    /// Subscriptions to messages, in order.
    pub subscriptions: Vec<Arc<SubscriptionShared>>,
}

/// A subscription whose messages the gateway sends. One shard serves it.
pub struct SubscriptionShared {
    /// Its id.
    pub id: String,
    /// Its plan.
    pub plan: String,
    /// The application that is subscribed.
    pub application: String,
    standing: Mutex<(Status, String)>,
}

/// How a subscription stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is served.
    Started,
    /// It is not, and nothing is wrong.
    Stopped,
    /// It is not, because its consumer failed.
    Failure,
}

impl Status {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Started, Self::Stopped, Self::Failure];

    /// The name in definitions.
    pub fn name(self) -> &'static str {
        match self {
            Self::Started => "STARTED",
            Self::Stopped => "STOPPED",
            Self::Failure => "FAILURE",
        }
    }
}

impl SubscriptionShared {
    fn new(subscription: &Subscription, idle: Option<&String>) -> Self {
        let standing = match idle.or(subscription.withheld.as_ref()) {
            Some(reason) => (Status::Stopped, reason.clone()),
            None => (Status::Started, "it is being started".to_owned()),
        };
        Self {
            id: subscription.id.clone(),
            plan: subscription.plan.clone(),
            application: subscription.application.clone(),
            standing: Mutex::new(standing),
        }
    }

    fn standing(&self) -> MutexGuard<'_, (Status, String)> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says how it stands, and why. Not for every message: a lock is taken.
    pub fn stand(&self, status: Status, cause: impl Into<String>) {
        *self.standing() = (status, cause.into());
    }

    /// How it stands, and why.
    pub fn stands(&self) -> (Status, Option<String>) {
        let standing = self.standing();
        (standing.0, Some(standing.1.clone()).filter(|cause| !cause.is_empty()))
    }
}

/// An endpoint.
pub struct EndpointShared {
    /// `group/endpoint`.
    pub name: String,
    /// Whether health checks let it take requests.
    pub healthy: Arc<AtomicBool>,
    /// One per shard.
    pub counters: Vec<Arc<EndpointCounters>>,
}

impl ApiShared {
    /// The definition's id.
    pub fn id(&self) -> &str {
        &self.api.id
    }

    /// The definition's name.
    pub fn name(&self) -> &str {
        &self.api.name
    }

    /// Context paths, with their host where they have one.
    pub fn paths(&self) -> Vec<String> {
        let paths = self.api.http_listeners().flat_map(|listener| &listener.paths);
        paths.map(|path| format!("{}{}", path.host.as_deref().unwrap_or(""), path.path)).collect()
    }
}

/// The APIs of `snapshot`; those of `before` that are unchanged are taken over.
pub fn share(snapshot: &Snapshot, before: &[Arc<ApiShared>], shards: usize) -> Vec<Arc<ApiShared>> {
    let known = crate::plane::by_id(before);
    snapshot
        .apis
        .iter()
        .map(|api| match known.get(api.id.as_str()) {
            Some(same) if same.api.fingerprint == api.fingerprint => (*same).clone(),
            // What it has counted goes on: a counter that falls back with every change of a definition adds up to nothing.
            Some(older) if older.counters.len() == shards => Arc::new(fresh(api, older.counters.clone(), shards)),
            _ => Arc::new(fresh(api, (0..shards).map(|_| Arc::default()).collect(), shards)),
        })
        .collect()
}

fn fresh(api: &Arc<Api>, counters: Vec<Arc<ApiCounters>>, shards: usize) -> ApiShared {
    let endpoints = api
        .endpoint_groups
        .iter()
        .flat_map(|group| group.endpoints.iter().map(move |endpoint| format!("{}/{}", group.name, endpoint.name)))
        .map(|name| EndpointShared {
            name,
            healthy: Arc::new(AtomicBool::new(true)),
            counters: (0..shards).map(|_| Arc::default()).collect(),
        })
        .collect();
    let subscriptions = api.subscriptions.iter();
    let subscriptions =
        subscriptions.map(|known| Arc::new(SubscriptionShared::new(known, api.idle.as_ref()))).collect();
    ApiShared { api: api.clone(), counters, endpoints, sampled: Arc::default(), subscriptions }
}
