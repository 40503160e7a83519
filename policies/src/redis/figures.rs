//! What is counted of each Redis, over all shards.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The figures of one server.
#[derive(Debug, Default)]
pub struct Figures {
    /// Connections that can be used.
    pub up: AtomicU64,
    /// Shards that have none and count or fetch without it.
    pub away: AtomicU64,
    /// Commands that were sent.
    pub commands: AtomicU64,
    /// Commands without an answer, and such that were refused.
    pub failures: AtomicU64,
    /// Uses of limits that were counted without it.
    pub alone: AtomicU64,
}

static KNOWN: Mutex<Vec<(String, Weak<Figures>)>> = Mutex::new(Vec::new());

/// Those of a server, which all shards share.
pub fn of(server: &str) -> Arc<Figures> {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let own = known.iter().find(|(name, _)| name == server).and_then(|(_, figures)| figures.upgrade());
    if let Some(figures) = own {
        return figures;
    }
    known.retain(|(_, figures)| figures.strong_count() > 0);
    let figures = Arc::new(Figures::default());
    known.push((server.to_owned(), Arc::downgrade(&figures)));
    figures
}

type Metric = (&'static str, &'static str, &'static str, fn(&Figures) -> &AtomicU64);

const METRICS: [Metric; 5] = [
    ("ringway_redis_connections", "gauge", "Connections to a Redis that can be used.", |figures| &figures.up),
    ("ringway_redis_away", "gauge", "Shards for which a Redis is away.", |figures| &figures.away),
    ("ringway_redis_commands_total", "counter", "Commands sent to a Redis.", |figures| &figures.commands),
    ("ringway_redis_failures_total", "counter", "Commands that a Redis did not answer, or refused.", |figures| {
        &figures.failures
    }),
    (
        "ringway_limits_alone_total",
        "counter",
        "Uses of limits that this gateway counted for itself, because the Redis was away.",
        |figures| &figures.alone,
    ),
];

/// Appends the metrics of all servers that are in use, in the Prometheus text format 0.0.4.
pub fn expose(out: &mut String) {
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let known: Vec<_> = known.iter().filter_map(|(name, figures)| Some((name.as_str(), figures.upgrade()?))).collect();
    if known.is_empty() {
        return;
    }
    for (name, kind, help, pick) in METRICS {
        // Writing to a `String` cannot fail.
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (server, figures) in &known {
            let server = server.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = writeln!(out, "{name}{{server=\"{server}\"}} {}", pick(figures).load(Relaxed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_there_as_long_as_somebody_uses_it() {
        let figures = of("figures.test:1");
        of("figures.test:1").commands.fetch_add(2, Relaxed);
        assert_eq!(figures.commands.load(Relaxed), 2);
        let mut text = String::new();
        expose(&mut text);
        assert!(text.contains("ringway_redis_commands_total{server=\"figures.test:1\"} 2"), "{text}");
        drop(figures);
        text.clear();
        expose(&mut text);
        assert!(!text.contains("figures.test"), "{text}");
    }
}
