//! What all shards share of an API: its definition, its verdicts of health, and the counters that each of them writes for itself.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ringway_config::Snapshot;
use ringway_config::api::Api;

use crate::telemetry::{ApiCounters, EndpointCounters};

/// An API of the snapshot in force. One that a reload leaves as it is stays the same value, so that shards keep what they built of it.
pub struct ApiShared {
    /// The definition.
    pub api: Arc<Api>,
    /// One per shard.
    pub counters: Vec<Arc<ApiCounters>>,
    /// The endpoints of all groups, in order.
    pub endpoints: Vec<EndpointShared>,
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
    ApiShared { api: api.clone(), counters, endpoints }
}
