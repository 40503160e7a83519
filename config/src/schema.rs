//! JSON Schemas of what may be said, made from the types that read it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::api::Api;
use crate::node::Node;
use crate::settings::Settings;

/// The schema of an API definition.
pub fn schema_of_api() -> Schema {
    titled::<Api>("API definition", "An API in the shape of Gravitee's v4 definitions.")
}

/// The schema of `ringway.yaml`.
pub fn schema_of_ringway() -> Schema {
    titled::<Settings>("ringway.yaml", "Settings of a Ringway gateway.")
}

fn titled<T: JsonSchema>(title: &str, description: &str) -> Schema {
    let mut schema = schemars::schema_for!(T);
    schema.insert("title".into(), title.into());
    schema.insert("description".into(), description.into());
    schema
}

/// The schema of `T`, made once per type: a definition has many nodes of few types.
pub(crate) fn of<T: JsonSchema>() -> Arc<Value> {
    static MADE: Mutex<Option<HashMap<(&'static str, Cow<'static, str>), Arc<Value>>>> = Mutex::new(None);
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
