//! Turns Avro into JSON and back.

use std::rc::Rc;

use bytes::Bytes;
use ringway_contract::kind::{Part, Services, decode, refused};
use ringway_contract::{Kind, Policy, Refusal, ResourceUse, Source};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::avro::{self, Form, Schema};
use crate::conversion::{self, Converter, Failure};
use crate::framing::{Format, Location};
use crate::json::Value;
use crate::registry::{self, Registry};

/// `avro-json`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "avro-json",
    about: "Turns an Avro body or message into JSON, or JSON into Avro.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| {
            refused(configuration, decode(configuration).and_then(|config: Config| config.inline()).err())
        })
        .with_resources(&[ResourceUse { field: "resourceName", kinds: registry::KINDS }])
        .on_messages(),
    shared: None,
    messaging: None,
    build: |source, services| Ok(Rc::new(Converter(AvroJson::new(source, services)?))),
};

/// Configuration of `avro-json`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// Which way.
    pub conversion: Conversion,
    /// Where the schema is.
    pub schema_location: Location,
    /// The Avro schema, as text; of `inline`.
    pub schema_definition: Option<String>,
    /// How the bytes are framed; `confluent` with a registry.
    pub serialization_format: Format,
    /// Name of the resource, of type `confluent-schema-registry`; of `schema-registry`.
    pub resource_name: Option<String>,
    /// The id of the schema in the registry that JSON is written by; of `schema-registry` and `json-to-avro`. A field of this gateway's own.
    pub schema_id: Option<u32>,
    /// How JSON has values of unions.
    pub json_encoding: JsonEncoding,
    /// What becomes of members in JSON that no field has; of `UNWRAPPED` and `json-to-avro`.
    pub unknown_fields: UnknownFields,
    /// What becomes of fields that are null; of `avro-to-json`.
    pub null_fields: NullFields,
}

/// Which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Conversion {
    /// Avro is read, JSON is written.
    #[default]
    AvroToJson,
    /// JSON is read, Avro is written.
    JsonToAvro,
}

/// How JSON has values of unions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum JsonEncoding {
    /// As the specification says: in an object with the name of the branch.
    #[default]
    Wrapped,
    /// As they are; of what is read, the first branch that fits is taken.
    Unwrapped,
}

/// What becomes of members that no field has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum UnknownFields {
    /// The value is refused.
    #[default]
    Strict,
    /// They are left out.
    Lenient,
}

/// What becomes of fields that are null.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum NullFields {
    /// They are written.
    #[default]
    Keep,
    /// They are left out.
    Omit,
}

impl Config {
    /// The schema of the definition; `None`: it is in a registry.
    fn inline(&self) -> Result<Option<Schema>, Refusal> {
        if self.schema_location == Location::SchemaRegistry {
            let named = self.resource_name.as_deref().is_some_and(|name| !name.trim().is_empty());
            return match (named, self.serialization_format, self.conversion, self.schema_id) {
                (false, ..) => Err(Refusal("resourceName: the name of a schema registry is needed".into())),
                (_, Format::Simple, ..) => {
                    Err(Refusal("serializationFormat: with a schema registry it is `confluent`".into()))
                }
                (.., Conversion::JsonToAvro, None) => {
                    Err(Refusal("schemaId: the id of the schema is needed that JSON is written by".into()))
                }
                _ => Ok(None),
            };
        }
        let text = self.schema_definition.as_deref().filter(|text| !text.trim().is_empty());
        let text = text.ok_or_else(|| Refusal("schemaDefinition: a schema is needed".into()))?;
        let schema = Schema::parse(text).map_err(|Refusal(reason)| Refusal(format!("schemaDefinition: {reason}")))?;
        Ok(Some(schema))
    }
}

struct AvroJson {
    schemas: Schemas,
    conversion: Conversion,
    format: Format,
    form: Form,
}

enum Schemas {
    Inline(Schema),
    /// With the id of the schema that is written by.
    Registry(Rc<Registry>, u32),
}

impl AvroJson {
    fn new(source: Source<'_>, services: &Services) -> Result<Self, Refusal> {
        let config: Config = decode(source.configuration)?;
        let schemas = match config.inline()? {
            Some(schema) => Schemas::Inline(schema),
            None => {
                let name = config.resource_name.as_deref().unwrap_or_default();
                Schemas::Registry(Registry::of(source, name, services)?, config.schema_id.unwrap_or_default())
            }
        };
        let unwrapped = config.json_encoding == JsonEncoding::Unwrapped;
        let form = Form {
            unwrapped,
            base64: false,
            omit_nulls: config.null_fields == NullFields::Omit && config.conversion == Conversion::AvroToJson,
            lenient: config.unknown_fields == UnknownFields::Lenient && unwrapped,
        };
        Ok(Self { schemas, conversion: config.conversion, format: config.serialization_format, form })
    }

    fn by<T>(&self, id: u32, with: impl FnOnce(&Schema) -> Result<T, Failure>) -> Result<T, Failure> {
        match &self.schemas {
            Schemas::Inline(schema) => with(schema),
            Schemas::Registry(registry, _) => match &*conversion::found(registry, id)? {
                registry::Schema::Avro(schema) => with(schema),
                _ => Err(Failure::Value(format!("the schema {id} of the registry is not one of Avro"))),
            },
        }
    }
}

impl conversion::Conversion for AvroJson {
    const KEY: &'static str = "INVALID_AVRO_TRANSFORMATION";

    fn schemas(&self, value: &[u8]) -> [Option<(&Rc<Registry>, u32)>; 2] {
        let Schemas::Registry(registry, own) = &self.schemas else { return [None; 2] };
        let id = match self.conversion {
            Conversion::AvroToJson => self.format.unframed(value).ok().map(|(id, _)| id),
            Conversion::JsonToAvro => Some(*own),
        };
        [id.map(|id| (registry, id)), None]
    }

    fn converted(&self, value: &[u8]) -> Result<(Bytes, &'static str), Failure> {
        match self.conversion {
            Conversion::AvroToJson => {
                let (id, rest) = self.format.unframed(value)?;
                let json = self.by(id, |schema| Ok(avro::decode(schema, rest, self.form)?))?;
                Ok((json.into(), "application/json"))
            }
            Conversion::JsonToAvro => {
                let value = Value::parse(value).map_err(|error| format!("not JSON: {error}"))?;
                let id = if let Schemas::Registry(_, id) = self.schemas { id } else { 0 };
                let mut out = self.format.head(id);
                out.append(&mut self.by(id, |schema| Ok(avro::encode(schema, &value, self.form)?))?);
                Ok((out.into(), "avro/binary"))
            }
        }
    }
}
