//! Settings and definitions in the terms of the engine.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use ringway_config::api::Api;
use ringway_config::settings::{self, OverrideMode, Suspicious};
use ringway_config::{Settings, Snapshot};
use ringway_net::Pace;
use ringway_wire::{Limits, UriOptions};

use crate::annotate::{Annotations, Forwarding, IdField};
use crate::cors::{Cors, Origin, Rules};
use crate::memory;
use crate::router::{HostPattern, Route, RouteTable};
use crate::shared::ApiShared;
use crate::site::{Failover, Timeouts};
use crate::upstream::Breaker;

/// Stands for a limit that is not set.
const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Bounds of heads.
pub fn limits(settings: &Settings) -> Limits {
    let limits = &settings.limits;
    Limits {
        head_bytes_max: limits.head_bytes_max,
        fields_max: limits.header_count_max,
        target_bytes_max: limits.uri_bytes_max,
        refuse_underscores: settings.http.underscore_headers == Suspicious::Reject,
        uri: UriOptions {
            merge_slashes: settings.http.merge_slashes,
            keep_encoded_slash: settings.http.encoded_slash == Suspicious::Keep,
            keep_backslash: settings.http.backslash == Suspicious::Keep,
            keep_parameters: settings.http.path_parameters == Suspicious::Keep,
            keep_double_encoding: settings.http.double_encoding == Suspicious::Keep,
        },
    }
}

/// Most bytes of a request's body.
pub fn body_bytes_max(settings: &Settings) -> u64 {
    match settings.limits.body_bytes_max {
        0 => u64::MAX,
        max => max,
    }
}

/// Most requests of one connection.
pub fn requests_max(settings: &Settings) -> u32 {
    match settings.limits.requests_per_connection_max {
        0 => u32::MAX,
        max => max,
    }
}

/// Times that bound an exchange.
pub fn timeouts(settings: &Settings) -> Timeouts {
    let timeouts = &settings.timeouts;
    let bounded = |ms| if ms == 0 { NEVER } else { Duration::from_millis(ms) };
    Timeouts {
        client_header: Duration::from_millis(timeouts.client_header_ms),
        keep_alive: Duration::from_millis(timeouts.keep_alive_ms),
        tls_handshake: Duration::from_millis(timeouts.tls_handshake_ms),
        request: bounded(timeouts.request_ms),
        pending: bounded(timeouts.pending_ms),
    }
}

/// Bytes of memory of the process from which on requests are shed.
pub fn memory_max(settings: &Settings) -> u64 {
    match settings.limits.memory_bytes_max {
        0 => memory::allowance_bytes(),
        max => max,
    }
}

/// How fast a request's body has to come.
pub fn body_pace(settings: &Settings) -> Pace {
    Pace::new(settings.limits.body_rate_min, Duration::from_millis(settings.timeouts.client_body_idle_ms))
}

/// How fast a client has to take what is sent to it.
pub fn write_pace(settings: &Settings) -> Pace {
    Pace::new(settings.limits.response_rate_min, Duration::from_millis(settings.timeouts.client_write_idle_ms))
}

/// What is added to heads.
pub fn annotations(settings: &Settings) -> Annotations {
    let http = &settings.http;
    let forwarding = |forwarding| match forwarding {
        settings::Forwarding::Replace => Forwarding::Replace,
        settings::Forwarding::Append => Forwarding::Append,
        settings::Forwarding::Off => Forwarding::Off,
    };
    let id = |header: &str, mode| IdField::new(header, mode == OverrideMode::Keep, mode == OverrideMode::Merge);
    Annotations {
        x_forwarded: forwarding(http.x_forwarded),
        forwarded: forwarding(http.forwarded),
        via: http.via.clone(),
        server: http.server_header.clone(),
        trusted: http
            .trusted_proxies
            .iter()
            .map(|network| crate::annotate::Network { address: network.address, prefix: network.prefix })
            .collect(),
        request_id: id(&http.request_id.header, http.request_id.override_mode),
        transaction_id: id(&http.transaction_id.header, http.transaction_id.override_mode),
    }
}

/// Per server the routes of the APIs that are served there.
///
/// # Errors
/// Two APIs claim the same path, or a path cannot be one; names both.
pub fn routes(snapshot: &Snapshot, apis: &[Arc<ApiShared>]) -> Result<Vec<RouteTable>, String> {
    // Whoever chooses hosts and paths must not be able to choose collisions.
    let seed = RandomState::new().build_hasher().finish();
    snapshot
        .settings
        .servers
        .iter()
        .map(|server| {
            let served = apis.iter().enumerate().filter(|(_, shared)| shared.api.is_served());
            let routes = served.flat_map(|(index, shared)| {
                let listeners = shared.api.http_listeners();
                let here =
                    listeners.filter(|listener| listener.servers.is_empty() || listener.servers.contains(&server.id));
                here.flat_map(|listener| &listener.paths).map(move |path| Route {
                    host: HostPattern::parse(host(path.host.as_deref().unwrap_or_default())),
                    path: &path.path,
                    id: index as u32,
                })
            });
            RouteTable::build(routes, seed).map_err(|conflicts| {
                let name = |id: u32| apis.get(id as usize).map_or("?", |shared| shared.name());
                let lines = conflicts.iter().take(10).map(|conflict| {
                    format!("APIs `{}` and `{}`: {}", name(conflict.first), name(conflict.second), conflict.why)
                });
                format!("server `{}`: {}", server.id, lines.collect::<Vec<_>>().join("; "))
            })
        })
        .collect()
}

/// The host without a port: a definition may name one, requests are told apart by the server that they come to.
fn host(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.contains(':') => name,
        _ => host,
    }
}

/// Failover, if it is enabled.
pub fn failover(api: &Api) -> Option<Failover> {
    let failover = &api.failover;
    failover.enabled.then(|| Failover {
        retries_max: failover.max_retries,
        force_next: failover.force_next_endpoint_on_failure,
        breaker: Breaker::new(
            failover.max_failures,
            Duration::from_millis(failover.open_state_duration),
            Duration::from_millis(failover.slow_call_duration),
        ),
    })
}

/// Cross-origin rules of the API's listeners: the first that has some.
///
/// # Errors
/// An origin is no valid expression.
pub fn cors(api: &Api) -> Result<Cors, String> {
    let Some(cors) = api.http_listeners().map(|listener| &listener.cors).find(|cors| cors.enabled) else {
        return Ok(Cors::default());
    };
    let origins = cors
        .allow_origin
        .iter()
        .map(|origin| Origin::parse(origin).map_err(|error| format!("cors.allowOrigin `{origin}`: {error}")));
    Ok(Cors::new(Rules {
        origins: origins.collect::<Result<_, _>>()?,
        methods: cors.allow_methods.join(", "),
        headers: cors.allow_headers.join(", "),
        expose: cors.expose_headers.join(", "),
        credentials: cors.allow_credentials,
        max_age_s: u64::try_from(cors.max_age).ok(),
    }))
}
