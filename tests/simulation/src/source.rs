//! Message APIs: their endpoint makes its messages up.

use ringway_net::sim::World;
use serde_json::{Value, json};

/// An API with the entrypoints `sse`, `http-get` and `websocket`.
#[derive(Debug)]
pub struct Source {
    /// Its id, and its path without slashes.
    pub name: &'static str,
    /// Messages of a subscription; `None`: it has no end.
    pub count: Option<u64>,
    /// Messages of an answer to `http-get` at most.
    pub limit: u64,
    /// How long they are collected.
    pub collects_ms: u64,
    /// So much comes of it that who is slow falls out of what is kept.
    pub is_heavy: bool,
    interval_ms: u64,
    /// What every message says, and how much it is blown up.
    words: &'static str,
    filler: usize,
    sse: &'static str,
    get: &'static str,
    heartbeat_ms: u64,
}

/// The longest that the subscriptions with an end take, if their clients take what there is.
const COUNTED_MS_MAX: u64 = 8_000;

impl Source {
    /// One whose subscriptions end after some messages, each with one of its own.
    pub fn counted(world: &World, is_calm: bool) -> Self {
        let interval_ms = if world.once_in(3) { 0 } else { 1 + world.below(300) };
        let count = match interval_ms {
            // As fast as they are taken.
            0 => 1 + world.below(600),
            interval => 1 + world.below((COUNTED_MS_MAX / interval).min(200)),
        };
        Self { count: Some(count), interval_ms, ..Self::any("counted", world, is_calm) }
    }

    /// One that does not end.
    pub fn endless(world: &World, is_calm: bool) -> Self {
        let source = Self { interval_ms: 5 + world.below(400), ..Self::any("endless", world, is_calm) };
        if is_calm || !world.once_in(10) {
            return source;
        }
        Self { is_heavy: true, interval_ms: 10, filler: 20_000, limit: 1 + world.below(30), ..source }
    }

    fn any(name: &'static str, world: &World, is_calm: bool) -> Self {
        let words = ["tick", "", "two\nlines", "\u{fc}ber \"alles\""][world.below(4) as usize];
        let filler = match world.below(3) {
            0 => 0,
            1 => world.below(200),
            _ => world.below(2_000),
        };
        let one_of = |levels: &[&'static str]| levels[world.below(levels.len() as u64) as usize];
        Self {
            name,
            count: None,
            limit: 1 + world.below(40),
            collects_ms: 1 + world.below(if is_calm { 1_000 } else { 3_000 }),
            is_heavy: false,
            interval_ms: 1_000,
            words,
            filler: filler as usize,
            sse: one_of(&["NONE", "AUTO", "AT_MOST_ONCE", "AT_LEAST_ONCE"]),
            get: one_of(&["AUTO", "AT_MOST_ONCE", "AT_LEAST_ONCE"]),
            heartbeat_ms: 2_000 + world.below(1_500),
        }
    }

    /// Bytes of messages a second, without what is around them.
    pub fn bytes_per_second(&self) -> f64 {
        match self.interval_ms {
            // As fast as they are taken: nobody falls behind.
            0 => 0.0,
            interval => self.text().len() as f64 * 1_000.0 / interval as f64,
        }
    }

    /// What the message of this number says.
    pub fn content(&self, number: u64) -> String {
        format!("{} {number}", self.text())
    }

    fn text(&self) -> String {
        format!("{}{}", self.words, "x".repeat(self.filler))
    }

    /// Whether a stream of events goes on from an id.
    pub fn resumes(&self) -> bool {
        matches!(self.sse, "AT_MOST_ONCE" | "AT_LEAST_ONCE")
    }

    /// The definition; `version` tells two of them apart.
    pub fn api(&self, version: u64) -> Value {
        let mut mock = json!({ "messageInterval": self.interval_ms, "messageContent": self.text() });
        if let Some(count) = self.count {
            mock["messageCount"] = json!(count);
        }
        json!({
            "id": self.name, "name": self.name, "apiVersion": version.to_string(), "definitionVersion": "V4", "type": "MESSAGE",
            "listeners": [{ "type": "HTTP", "paths": [{ "path": format!("/{}/", self.name) }], "entrypoints": [
                { "type": "sse", "qos": self.sse, "configuration": { "heartbeatIntervalInMs": self.heartbeat_ms } },
                { "type": "http-get", "qos": self.get, "configuration": {
                    "messagesLimitCount": self.limit, "messagesLimitDurationMs": self.collects_ms,
                } },
                { "type": "websocket", "configuration": { "heartbeatIntervalInMs": self.heartbeat_ms } },
            ] }],
            "endpointGroups": [{ "name": "g", "type": "mock", "endpoints": [
                { "name": "m", "type": "mock", "configuration": mock },
            ] }],
            "plans": [{ "name": "open", "security": { "type": "KEY_LESS" } }],
        })
    }
}
