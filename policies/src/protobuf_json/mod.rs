//! Turns Protocol Buffers into JSON and back.

use std::rc::Rc;

use bytes::Bytes;
use ringway_contract::kind::{Part, Services, decode, refused};
use ringway_contract::{Kind, Policy, Refusal, ResourceUse, Source};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::conversion::{self, Converter, Failure};
use crate::framing::{Format, Location};
use crate::json::Value;
use crate::protobuf::{self, Printing, Schema};
use crate::registry::{self, Registry};

/// `protobuf-json`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "protobuf-json",
    about: "Turns a body or message of Protocol Buffers into JSON, or JSON into one.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| {
            refused(configuration, decode(configuration).and_then(|config: Config| config.chosen().map(drop)).err())
        })
        .with_resources(&[
            ResourceUse { field: "protobufIn.schemaRegistryIn.resourceName", kinds: registry::KINDS },
            ResourceUse { field: "protobufOut.schemaRegistryOut.resourceName", kinds: registry::KINDS },
        ])
        .on_messages(),
    shared: None,
    messaging: None,
    build: |source, services| Ok(Rc::new(Converter(ProtobufJson::new(source, services)?))),
};

/// Configuration of `protobuf-json`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// Which way.
    pub conversion: Conversion,
    /// How JSON is written.
    pub json: Json,
    /// The schema of what is read; of `protobuf-to-json`.
    pub protobuf_in: Option<ProtobufIn>,
    /// The schema of what is written; of `json-to-protobuf`.
    pub protobuf_out: Option<ProtobufOut>,
}

/// Which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Conversion {
    /// Protocol Buffers are read, JSON is written.
    #[default]
    ProtobufToJson,
    /// JSON is read, Protocol Buffers are written.
    JsonToProtobuf,
}

/// How JSON is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Json {
    /// Whether fields are written that are not there, with their defaults.
    pub including_default_value_fields: bool,
    /// Whether fields are called as in the schema, and not in `lowerCamelCase`.
    pub preserving_proto_field_names: bool,
    /// Whether maps are written in the order of their keys.
    pub sorting_map_keys: bool,
    /// Whether spaces and line breaks are left out.
    pub omitting_insignificant_whitespace: bool,
}

/// The schema of what is read.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ProtobufIn {
    /// Where it is.
    pub schema_location: Location,
    /// It itself; of `inline`.
    pub inline_in: Option<Inline>,
    /// The registry; of `schema-registry`.
    pub schema_registry_in: Option<RegistryIn>,
}

/// The schema of what is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ProtobufOut {
    /// Where it is.
    pub schema_location: Location,
    /// It itself; of `inline`.
    pub inline_out: Option<Inline>,
    /// The registry; of `schema-registry`.
    pub schema_registry_out: Option<RegistryOut>,
}

/// A schema in the definition.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Inline {
    /// Read, and of no effect.
    pub normalize_schema: bool,
    /// How the bytes are framed.
    pub serialization_format: Format,
    /// The text of a `.proto` file.
    pub schema_definition: String,
}

/// A registry that has the schemas of what is read: ids stand in the frames.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RegistryIn {
    /// Name of the resource, of type `confluent-schema-registry`.
    pub resource_name: String,
    /// `confluent`.
    pub serialization_format: Format,
}

/// A registry that has the schema of what is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RegistryOut {
    /// Which schema.
    pub id: Option<Id>,
    /// Name of the resource, of type `confluent-schema-registry`.
    pub resource_name: String,
    /// `confluent`.
    pub serialization_format: Format,
}

/// The id of a schema.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Id {
    /// Where it is: `inline`.
    #[serde(default)]
    pub origin: Origin,
    /// The id.
    pub value: u32,
}

/// Where an id is.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// In the definition.
    #[default]
    Inline,
}

/// Where the schema is of a configuration that is sound.
enum Chosen<'a> {
    Inline(Schema, Format),
    /// The name of the resource, and the id of the schema that is written by.
    Registry(&'a str, u32),
}

fn inline<'a>(field: &str, inline: Option<&Inline>) -> Result<Chosen<'a>, Refusal> {
    let inline = inline.filter(|inline| !inline.schema_definition.trim().is_empty());
    let inline = inline.ok_or_else(|| Refusal(format!("{field}.schemaDefinition: a schema is needed")))?;
    let schema = protobuf::compile(&inline.schema_definition, |_| None);
    let schema = schema.map_err(|Refusal(reason)| Refusal(format!("{field}.schemaDefinition: {reason}")))?;
    Ok(Chosen::Inline(schema, inline.serialization_format))
}

fn from_registry<'a>(field: &str, name: &'a str, format: Format, id: u32) -> Result<Chosen<'a>, Refusal> {
    if name.trim().is_empty() {
        return Err(Refusal(format!("{field}.resourceName: the name of a schema registry is needed")));
    }
    if format == Format::Simple {
        return Err(Refusal(format!("{field}.serializationFormat: with a schema registry it is `confluent`")));
    }
    Ok(Chosen::Registry(name, id))
}

impl Config {
    fn chosen(&self) -> Result<Chosen<'_>, Refusal> {
        match (self.conversion, &self.protobuf_in, &self.protobuf_out) {
            (Conversion::ProtobufToJson, Some(side), _) => match (side.schema_location, &side.schema_registry_in) {
                (Location::Inline, _) => inline("protobufIn.inlineIn", side.inline_in.as_ref()),
                (Location::SchemaRegistry, Some(registry)) => {
                    let (name, format) = (&registry.resource_name, registry.serialization_format);
                    from_registry("protobufIn.schemaRegistryIn", name, format, 0)
                }
                (Location::SchemaRegistry, None) => Err(Refusal("protobufIn.schemaRegistryIn: it is needed".into())),
            },
            (Conversion::JsonToProtobuf, _, Some(side)) => match (side.schema_location, &side.schema_registry_out) {
                (Location::Inline, _) => inline("protobufOut.inlineOut", side.inline_out.as_ref()),
                (Location::SchemaRegistry, Some(registry)) => {
                    let id = registry.id.as_ref().map(|id| id.value);
                    let id = id.ok_or_else(|| {
                        let message =
                            "protobufOut.schemaRegistryOut.id: the id of the schema is needed that is written by";
                        Refusal(message.into())
                    })?;
                    let (name, format) = (&registry.resource_name, registry.serialization_format);
                    from_registry("protobufOut.schemaRegistryOut", name, format, id)
                }
                (Location::SchemaRegistry, None) => Err(Refusal("protobufOut.schemaRegistryOut: it is needed".into())),
            },
            (Conversion::ProtobufToJson, None, _) => Err(Refusal("protobufIn: a schema is needed".into())),
            (Conversion::JsonToProtobuf, _, None) => Err(Refusal("protobufOut: a schema is needed".into())),
        }
    }
}

struct ProtobufJson {
    conversion: Conversion,
    schemas: Schemas,
    format: Format,
    printing: Printing,
}

enum Schemas {
    Inline(Schema),
    /// With the id of the schema that is written by.
    Registry(Rc<Registry>, u32),
}

impl ProtobufJson {
    fn new(source: Source<'_>, services: &Services) -> Result<Self, Refusal> {
        let config: Config = decode(source.configuration)?;
        let (schemas, format) = match config.chosen()? {
            Chosen::Inline(schema, format) => (Schemas::Inline(schema), format),
            Chosen::Registry(name, id) => {
                (Schemas::Registry(Registry::of(source, name, services)?, id), Format::Confluent)
            }
        };
        let printing = Printing {
            defaults: config.json.including_default_value_fields,
            proto_names: config.json.preserving_proto_field_names,
            sorted: config.json.sorting_map_keys,
            compact: config.json.omitting_insignificant_whitespace,
        };
        Ok(Self { conversion: config.conversion, schemas, format, printing })
    }

    fn by<T>(&self, id: u32, with: impl FnOnce(&Schema) -> Result<T, Failure>) -> Result<T, Failure> {
        match &self.schemas {
            Schemas::Inline(schema) => with(schema),
            Schemas::Registry(registry, _) => match &*conversion::found(registry, id)? {
                registry::Schema::Protobuf(schema) => with(schema),
                _ => Err(Failure::Value(format!("the schema {id} of the registry is not one of Protocol Buffers"))),
            },
        }
    }
}

impl conversion::Conversion for ProtobufJson {
    const KEY: &'static str = "INVALID_PROTOBUF_TRANSFORMATION";

    fn schemas(&self, value: &[u8]) -> [Option<(&Rc<Registry>, u32)>; 2] {
        let Schemas::Registry(registry, own) = &self.schemas else { return [None; 2] };
        let id = match self.conversion {
            Conversion::ProtobufToJson => self.format.unframed(value).ok().map(|(id, _)| id),
            Conversion::JsonToProtobuf => Some(*own),
        };
        [id.map(|id| (registry, id)), None]
    }

    fn converted(&self, value: &[u8]) -> Result<(Bytes, &'static str), Failure> {
        match self.conversion {
            Conversion::ProtobufToJson => {
                let (id, rest) = self.format.unframed(value)?;
                let json = self.by(id, |schema| conversion::json_of(schema, self.format, rest, self.printing))?;
                Ok((json.into(), "application/json"))
            }
            Conversion::JsonToProtobuf => {
                let value = Value::parse(value).map_err(|error| format!("not JSON: {error}"))?;
                let id = if let Schemas::Registry(_, id) = self.schemas { id } else { 0 };
                let out = self.by(id, |schema| conversion::protobuf_of(schema, self.format, id, &value))?;
                Ok((out.into(), "application/protobuf"))
            }
        }
    }
}
