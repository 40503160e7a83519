//! `ringway schema`: JSON Schemas.

use ringway_contract::Kind;
use serde_json::{Map, Value, json};

use super::Outcome;
use crate::cli::SchemaOptions;
use crate::output::Output;
use crate::registry::registry;

/// The definition of an API.
const API: &str = "api";
/// What APIs have in common.
const COMMON: &str = "common";
/// The settings.
const SETTINGS: &str = "ringway";

/// Prints the schema that is named. A name that several families share (an entrypoint and an endpoint of one protocol) prints an
/// object with a schema each.
pub fn schema(options: &SchemaOptions, output: &Output) -> Outcome {
    let registry = registry();
    let name = options.name.as_str();
    let found: Vec<(&str, Value)> = match name {
        API => vec![(API, ringway_config::schema_of_api().into())],
        COMMON => vec![(COMMON, ringway_config::schema_of_common().into())],
        SETTINGS => vec![(SETTINGS, ringway_config::schema_of_ringway().into())],
        _ => [
            ("entrypoint", of(registry.entrypoints, name).or_else(|| of(registry.pushes, name))),
            ("endpoint", of(registry.endpoints, name).or_else(|| of(registry.brokers, name))),
            ("policy", of(registry.policies, name)),
            ("plan", of(registry.guards, name)),
        ]
        .into_iter()
        .filter_map(|(family, schema)| Some((family, schema?)))
        .collect(),
    };
    match found.as_slice() {
        [] => anyhow::bail!("there is no schema `{name}`{}", nearest(name)),
        [(_, schema)] => output.json(schema)?,
        several => {
            let several: Map<String, Value> =
                several.iter().map(|(family, schema)| ((*family).to_owned(), schema.clone())).collect();
            output.json(&several)?;
        }
    }
    Ok(true)
}

/// The schema of a kind: of its configuration, or of both of its parts.
fn of<T: ?Sized>(table: &'static [&'static Kind<T>], name: &str) -> Option<Value> {
    let kind = ringway_contract::kind::find(table, name)?;
    let configuration: Value = (kind.configuration.schema)().into();
    Some(match kind.shared {
        None => configuration,
        Some(shared) => {
            let shared: Value = (shared.schema)().into();
            json!({ "configuration": configuration, "sharedConfiguration": shared })
        }
    })
}

fn nearest(name: &str) -> String {
    let registry = registry();
    let mut names = vec![API, COMMON, SETTINGS];
    names.extend(registry.entrypoints.iter().map(|kind| kind.name));
    names.extend(registry.pushes.iter().map(|kind| kind.name));
    names.extend(registry.endpoints.iter().map(|kind| kind.name));
    names.extend(registry.brokers.iter().map(|kind| kind.name));
    names.extend(registry.policies.iter().map(|kind| kind.name));
    names.extend(registry.guards.iter().map(|kind| kind.name));
    names.sort_unstable();
    names.dedup();
    match ringway_config::names::nearest(name, names.iter().copied()) {
        Some(near) => format!("; did you mean `{near}`?"),
        None => format!("; there are {}", names.join(", ")),
    }
}
