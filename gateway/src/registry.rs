//! The tables of all extensions, joined.

use ringway_contract::Registry;

/// Everything that this binary can speak and do.
pub fn registry() -> Registry {
    Registry {
        entrypoints: ringway_connectors::ENTRYPOINTS,
        pushes: ringway_connectors::PUSHES,
        endpoints: ringway_connectors::ENDPOINTS,
        brokers: ringway_connectors::BROKERS,
        fetch: ringway_connectors::fetch,
        guards: ringway_policies::GUARDS,
        policies: ringway_policies::POLICIES,
    }
}
