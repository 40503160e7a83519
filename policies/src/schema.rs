//! JSON Schema, compiled once. Nothing outside of the schema is fetched, and patterns are matched in linear time.

use std::fmt::Write;

use jsonschema::{Draft, PatternOptions, Validator};
use ringway_contract::Refusal;
use serde_json::Value;

/// Violations that a report names at most.
const REPORTED_MAX: usize = 10;

/// The validator of a schema; `draft` is that of a schema which does not name its own by `$schema`.
///
/// # Errors
/// The schema does not fit its draft, refers to something outside, or has a pattern that is not regular (look-around,
/// back-references).
pub fn compile(schema: &Value, draft: Draft) -> Result<Validator, Refusal> {
    let options = jsonschema::options().with_pattern_options(PatternOptions::regex());
    let options = if schema.get("$schema").is_some() { options } else { options.with_draft(draft) };
    options.build(schema).map_err(|error| {
        let place = error.instance_path().to_string();
        Refusal(if place.is_empty() { error.to_string() } else { format!("{place}: {error}") })
    })
}

/// What of `instance` violates the schema, one line each; empty when nothing does.
pub fn report(validator: &Validator, instance: &Value) -> String {
    let mut text = String::new();
    for error in validator.iter_errors(instance).take(REPORTED_MAX) {
        let place = error.instance_path().to_string();
        let separator = if text.is_empty() { "" } else { "\n" };
        let place = if place.is_empty() { "/" } else { &place };
        let _ = write!(text, "{separator}{place}: {error}");
    }
    text
}
