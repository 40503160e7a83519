//! The tables of extensions as the checks of definitions take them: names and checks, as plain data.

use ringway_config::{Catalogue, Extension};
use ringway_contract::{Kind, Registry};

/// The catalogue of a registry.
pub fn catalogue(registry: &Registry) -> Catalogue {
    Catalogue {
        entrypoints: extensions(registry.entrypoints),
        pushes: extensions(registry.pushes),
        endpoints: extensions(registry.endpoints),
        brokers: extensions(registry.brokers),
        guards: extensions(registry.guards),
        policies: extensions(registry.policies),
        reshape: registry.reshape.map(|known| known.check),
    }
}

fn extensions<T: ?Sized>(table: &'static [&'static Kind<T>]) -> Vec<Extension> {
    let extension = |kind: &&Kind<T>| Extension {
        name: kind.name,
        configuration: kind.configuration.check,
        shared: kind.shared.map(|part| part.check),
        examine: kind.configuration.examine,
        files: kind.configuration.files,
        messaging: kind.messaging,
        resources: kind.configuration.resources,
        evaluated: kind.configuration.evaluated,
        on_messages: kind.configuration.on_messages,
    };
    table.iter().map(extension).collect()
}
