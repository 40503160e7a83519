//! What refusals and failures say in an API's own words.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Templates of one error key by media type, in the order of the definition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MediaTemplates(pub Vec<(String, ResponseTemplate)>);

/// A response.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct ResponseTemplate {
    /// Its status, 200 to 599; without one the refusal's own stays.
    #[schemars(range(min = 200, max = 599))]
    pub status: Option<u16>,
    /// Its fields.
    #[serde(default)]
    pub headers: Fields,
    /// Its body.
    #[serde(default)]
    pub body: String,
    /// Whether the error key is added to the logs. Default false.
    #[serde(default)]
    pub propagate_error_key_to_logs: bool,
}

/// Fields, in the order of the definition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(pub Vec<(String, String)>);

/// A map whose order counts.
struct Ordered<T>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Ordered<T> {
    type Value = Vec<(String, T)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(entries)
    }
}

impl<'de> Deserialize<'de> for MediaTemplates {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Ordered(std::marker::PhantomData)).map(Self)
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Ordered(std::marker::PhantomData)).map(Self)
    }
}

impl JsonSchema for MediaTemplates {
    fn schema_name() -> Cow<'static, str> {
        "MediaTemplates".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let template = generator.subschema_for::<ResponseTemplate>();
        json_schema!({
            "description": "Templates by media type of the client's Accept; */* for any.",
            "type": "object",
            "additionalProperties": template,
        })
    }
}

impl JsonSchema for Fields {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Fields".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "propertyNames": { "format": "token", "minLength": 1 },
            "additionalProperties": { "type": "string", "format": "field-value" },
        })
    }
}
