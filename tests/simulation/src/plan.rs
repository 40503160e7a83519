//! What a seed decides before anything happens.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ringway_net::sim::{Manners, World};
use serde_json::{Value, json};

use crate::source::Source;

/// The gateway's address.
pub fn front() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 80))
}

/// A backend's.
pub fn behind(number: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 1, number as u8], 80))
}

/// See the module.
#[derive(Debug)]
pub struct Plan {
    /// Every peer and every wire is good: then every request has to be answered.
    pub is_calm: bool,
    pub clients: usize,
    pub backends: usize,
    pub requests_per_connection: u64,
    pub keeps_alive: bool,
    pub connections_max: u64,
    pub retries: Option<u64>,
    /// The gateway drains in the middle of it.
    pub drains_at: Option<Duration>,
    /// A definition is replaced in the middle of it.
    pub reloads_at: Option<Duration>,
    /// The gateway stops in the middle of it: what it holds is cut.
    pub stops_at: Option<Duration>,
    /// A share of the clients asks for tunnels.
    pub has_tunnels: bool,
    /// A share of the clients subscribes to one of these.
    pub sources: Vec<Source>,
}

/// The gateway's times, in milliseconds.
pub const REQUEST_MS: u64 = 8_000;
pub const IDLE_MS: u64 = 4_000;
pub const READ_MS: u64 = 3_000;
pub const HEADER_MS: u64 = 5_000;
pub const PENDING_MS: u64 = 2_000;

/// The longest that a client may hear nothing from the gateway, whatever its backends do: the longest of its times, with what ticks and
/// wires add.
pub const PATIENCE: Duration = Duration::from_secs(14);

impl Plan {
    pub fn new(world: &World) -> Self {
        let is_calm = world.once_in(4);
        let some = |times, at| (!is_calm && world.once_in(times)).then(|| Duration::from_millis(world.below(at)));
        Self {
            is_calm,
            clients: 1 + world.below(8) as usize,
            backends: 1 + world.below(3) as usize,
            requests_per_connection: if world.once_in(3) { 1 + world.below(4) } else { 1_000 },
            keeps_alive: !world.once_in(5),
            // One slow client would hold all others up.
            connections_max: if world.once_in(3) && !is_calm { 1 + world.below(3) } else { 100 },
            retries: (!world.once_in(3)).then(|| 1 + world.below(3)),
            drains_at: some(6, 5_000),
            reloads_at: some(4, 3_000),
            stops_at: some(10, 6_000),
            has_tunnels: world.once_in(2),
            sources: match world.once_in(2) {
                true => vec![Source::counted(world, is_calm), Source::endless(world, is_calm)],
                false => Vec::new(),
            },
        }
    }

    /// `ringway.yaml`, as JSON.
    pub fn settings(&self) -> Value {
        json!({
            "shards": 1,
            "servers": [{ "id": "http", "listen": front().to_string() }],
            "logging": { "access": { "enabled": false } },
            "limits": {
                "requestsPerConnection": self.requests_per_connection, "memoryBytes": 1u64 << 40, "pendingRequests": 20,
                "responseRateMin": 0, "bodyRateMin": 0, "backendRateMin": 0,
            },
            "timeouts": {
                "request": REQUEST_MS, "clientHeader": HEADER_MS, "clientBodyIdle": IDLE_MS, "clientWriteIdle": IDLE_MS,
                "keepAlive": if self.is_calm { 30_000 } else { 6_000 }, "pending": if self.is_calm { 0 } else { PENDING_MS },
            },
        })
    }

    /// The definitions; `version` tells two of one API apart.
    pub fn apis(&self, version: u64) -> Vec<Value> {
        let mut apis = vec![self.proxy(version)];
        apis.extend(self.sources.iter().map(|source| source.api(version)));
        apis
    }

    fn proxy(&self, version: u64) -> Value {
        let endpoints: Vec<Value> = (0..self.backends)
            .map(|number| {
                json!({
                    "name": format!("e{number}"), "type": "http-proxy", "inheritConfiguration": true,
                    "configuration": { "target": format!("http://{}", behind(number)) },
                })
            })
            .collect();
        let mut api = json!({
            "id": "a", "name": "a", "apiVersion": version.to_string(), "definitionVersion": "V4", "type": "PROXY",
            "listeners": [{ "type": "HTTP", "paths": [{ "path": "/" }], "entrypoints": [{ "type": "http-proxy" }] }],
            "endpointGroups": [{
                "name": "g", "type": "http-proxy", "endpoints": endpoints,
                "sharedConfiguration": { "http": {
                    "keepAlive": self.keeps_alive, "connectTimeout": 1_000, "readTimeout": READ_MS, "idleTimeout": IDLE_MS,
                    "keepAliveTimeout": 5_000, "maxConcurrentConnections": self.connections_max,
                } },
            }],
            "plans": [{ "name": "open", "security": { "type": "KEY_LESS" } }],
        });
        if let Some(retries) = self.retries {
            api["failover"] = json!({
                "enabled": true, "maxRetries": retries, "slowCallDuration": 60_000, "maxFailures": 1_000_000,
            });
        }
        api
    }

    /// The wire of one connection.
    pub fn manners(&self, world: &World) -> Manners {
        let mut manners = Manners {
            latency: Duration::from_micros(10 + world.below(2_000)),
            jitter: Duration::from_micros(world.below(1_000)),
            is_harsh: true,
            ..Manners::default()
        };
        if world.once_in(4) {
            manners.room = 200 + world.below(8_000) as usize;
        }
        if world.once_in(4) {
            manners.piece = 20 + world.below(1_000) as usize;
        }
        if self.is_calm {
            return manners;
        }
        if world.once_in(6) {
            manners.latency = Duration::from_millis(world.below(200));
        }
        manners.is_harsh = world.once_in(2);
        if world.once_in(25) {
            manners.tears_after = Some(Duration::from_millis(world.below(4_000)));
        }
        manners.is_dead = world.once_in(60);
        manners
    }

    /// The wires of the gateway's own connections.
    pub fn dials(self: &Rc<Self>, world: &Rc<World>) {
        let (plan, weak) = (Rc::clone(self), Rc::downgrade(world));
        world.dials_with(move || weak.upgrade().map_or_else(Manners::default, |world| plan.manners(&world)));
    }
}
