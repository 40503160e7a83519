//! The tables of all extensions, joined, and what settings are tried out by.

use ringway_config::Premises;
use ringway_contract::Registry;
use ringway_management::source::level;

/// What this binary would start with.
pub const PREMISES: Premises = Premises { level, servers: ringway_engine::refusals, store: ringway_connectors::store };

/// Everything that this binary can speak and do.
pub fn registry() -> Registry {
    Registry {
        entrypoints: ringway_connectors::ENTRYPOINTS,
        pushes: ringway_connectors::PUSHES,
        endpoints: ringway_connectors::ENDPOINTS,
        brokers: ringway_connectors::BROKERS,
        fetch: ringway_connectors::fetch,
        dial: ringway_connectors::dial,
        metrics: ringway_policies::metrics,
        guards: ringway_policies::GUARDS,
        policies: ringway_policies::POLICIES,
        reshape: Some(ringway_policies::RESHAPING),
    }
}
