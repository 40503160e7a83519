//! The resource of type `cache`: what a cache may hold, and for how long.

use std::sync::Arc;

use ringway_contract::kind::{Part, decode};
use ringway_contract::{Node, Problem, Refusal, Source};
use schemars::JsonSchema;
use serde::Deserialize;

use super::store::{Bounds, ENTRIES_MAX, Store};

/// Configuration of a resource of type `cache`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// A name for people.
    name: String,
    /// Seconds after which an entry goes that nobody asks for; 0: it does not.
    time_to_idle_seconds: u64,
    /// Seconds after which every entry goes; 0: when it is not fresh any more.
    time_to_live_seconds: u64,
    /// Entries at most; 0: as many as there is room for.
    max_entries_local_heap: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { name: String::new(), time_to_idle_seconds: 0, time_to_live_seconds: 0, max_entries_local_heap: 1000 }
    }
}

/// Checks the configuration of such a resource.
pub fn check(node: &Node) -> Vec<Problem> {
    (Part::of::<Config>().check)(node)
}

/// The store of the resource that a step names.
///
/// # Errors
/// There is no such resource, or it is of another type.
pub fn store(source: Source<'_>, name: &str) -> Result<Arc<Store>, Refusal> {
    let (kind, configuration) = source.resource(name)?;
    if !kind.eq_ignore_ascii_case("cache") {
        return Err(Refusal(format!("the resource `{name}` is of type `{kind}`, and a cache is needed")));
    }
    let config: Config = decode(configuration)?;
    let bounds = Bounds {
        entries_max: match config.max_entries_local_heap {
            0 => ENTRIES_MAX,
            entries => entries.min(ENTRIES_MAX),
        },
        live_ms: config.time_to_live_seconds.saturating_mul(1000),
        idle_ms: config.time_to_idle_seconds.saturating_mul(1000),
    };
    // A place begins with the API's id; keys have it besides.
    let api = source.place.split('/').next().unwrap_or_default();
    Ok(Store::shared(api, name, bounds))
}
