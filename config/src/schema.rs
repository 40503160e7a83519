//! JSON Schemas of what may be said, made from the types that read it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::api::{Api, Common};
use crate::node::Node;
use crate::settings::Settings;
use crate::{legacy, names, walk};

/// The schema of an API definition, for editors: every spelling that is read is in it.
pub fn schema_of_api() -> Schema {
    let mut schema = titled::<Api>("API definition", "An API in the shape of Gravitee's v4 definitions.").to_value();
    for (map, name) in legacy::other_names() {
        let Some(place) = place(&schema, map) else { continue };
        if let Some(Value::Object(properties)) = schema.pointer_mut(&format!("{place}/properties")) {
            let also = json!({ "description": "Another name of older releases, or written by the Management API." });
            properties.entry(name).or_insert(also);
        }
    }
    // A field that has another name cannot be required by one of them.
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        required.retain(|name| !legacy::is_renamed(name.as_str().unwrap_or_default()));
    }
    widen(&mut schema);
    Schema::try_from(schema).unwrap_or_default()
}

/// The schema of a document of what APIs have in common, for editors.
pub fn schema_of_common() -> Schema {
    let about = "Platform flows, shared policy groups and dictionaries: what the APIs of a gateway have in common.";
    let mut schema = titled::<Common>("What APIs have in common", about).to_value();
    widen(&mut schema);
    Schema::try_from(schema).unwrap_or_default()
}

/// The schema of `ringway.yaml`, for editors.
pub fn schema_of_ringway() -> Schema {
    titled::<Settings>("ringway.yaml", "Settings of a Ringway gateway.")
}

/// The JSON pointer of the schema that describes what a pattern such as `plans[*]` names.
fn place(schema: &Value, pattern: &str) -> Option<String> {
    let mut place = String::new();
    let steps = if pattern.is_empty() { Vec::new() } else { walk::steps(pattern) };
    for step in steps {
        place += &if step == "[*]" { "/items".to_owned() } else { format!("/properties/{step}") };
        if let Some(reference) = schema.pointer(&place)?.get("$ref").and_then(Value::as_str) {
            place = reference.strip_prefix('#')?.to_owned();
        }
    }
    Some(place)
}

/// Adds the kebab case of every name in upper case: both are read, and editors compare exactly.
fn widen(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(widen),
        Value::Object(object) => {
            let other =
                |name: &Value| name.as_str().map(names::kebab).filter(|kebab| Some(kebab.as_str()) != name.as_str());
            if let Some(kebab) = object.get("const").and_then(other) {
                let name = object.remove("const").unwrap_or_default();
                object.insert("enum".into(), json!([name, kebab]));
            } else if let Some(Value::Array(values)) = object.get_mut("enum") {
                let more: Vec<Value> = values.iter().filter_map(other).map(Value::String).collect();
                values.extend(more);
            }
            object.values_mut().for_each(widen);
        }
        _ => {}
    }
}

fn titled<T: JsonSchema>(title: &str, description: &str) -> Schema {
    let mut schema = schemars::schema_for!(T);
    schema.insert("title".into(), title.into());
    schema.insert("description".into(), description.into());
    schema
}

/// The schema of `T`, made once per type: a definition has many nodes of few types.
pub(crate) fn of<T: JsonSchema>() -> Arc<Value> {
    type Made = HashMap<(&'static str, Cow<'static, str>), Arc<Value>>;
    static MADE: Mutex<Option<Made>> = Mutex::new(None);
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (std::any::type_name::<T>(), T::schema_id());
    let schema = || Arc::new(schemars::schema_for!(T).to_value());
    made.get_or_insert_default().entry(key).or_insert_with(schema).clone()
}

/// A schema of several objects that the field `tag` tells apart.
pub(crate) fn tagged<const N: usize>(tag: &str, variants: [(&str, Schema); N]) -> Schema {
    let branches: Vec<Value> = variants
        .into_iter()
        .map(|(name, mut schema)| {
            let object = schema.ensure_object();
            if let Some(Value::Object(properties)) = object.get_mut("properties") {
                properties.insert(tag.into(), json!({ "type": "string", "const": name }));
            }
            match object.get_mut("required") {
                Some(Value::Array(required)) => required.push(tag.into()),
                _ => {
                    object.insert("required".into(), json!([tag]));
                }
            }
            schema.to_value()
        })
        .collect();
    json_schema!({ "oneOf": branches })
}

/// What belongs to an extension: any map here; the schema of the extension says more.
impl JsonSchema for Node {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Node".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object" })
    }
}
