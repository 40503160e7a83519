//! Turns what Confluent's serializers have written into JSON, and JSON into that: the registry says of what type each value is.

use std::rc::Rc;

use bytes::Bytes;
use ringway_contract::kind::{Part, Services, decode, refused};
use ringway_contract::{Kind, Policy, Refusal, ResourceUse, Source};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::avro::{self, Form};
use crate::conversion::{self, Converter, Failure};
use crate::framing::Format;
use crate::json::Value;
use crate::protobuf::Printing;
use crate::registry::{self, Registry, Schema};

/// `schema-registry-json`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "schema-registry-json",
    about: "Turns what Confluent's serializers write (Avro, Protocol Buffers, JSON Schema) into JSON, or JSON into that.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| {
            refused(configuration, decode(configuration).and_then(|config: Config| config.checked()).err())
        })
        .with_resources(&[ResourceUse { field: "resourceName", kinds: registry::KINDS }])
        .on_messages(),
    shared: None,
    messaging: None,
    build: |source, services| Ok(Rc::new(Converter(Decoder::new(source, services)?))),
};

/// Configuration of `schema-registry-json`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// Which way.
    pub conversion: Conversion,
    /// Name of the resource, of type `confluent-schema-registry`.
    pub resource_name: String,
    /// The id of the schema that is written by; of `json-to-registry`.
    pub schema_id: Option<u32>,
    /// Whether a value without a frame is passed on as it is, and not refused; of `registry-to-json`.
    pub pass_unframed: bool,
}

/// Which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Conversion {
    /// Serialized values are read, JSON is written.
    #[default]
    RegistryToJson,
    /// JSON is read, serialized values are written.
    JsonToRegistry,
}

impl Config {
    fn checked(&self) -> Result<(), Refusal> {
        if self.resource_name.trim().is_empty() {
            return Err(Refusal("resourceName: the name of a schema registry is needed".into()));
        }
        if self.conversion == Conversion::JsonToRegistry && self.schema_id.is_none() {
            return Err(Refusal("schemaId: the id of the schema is needed that is written by".into()));
        }
        Ok(())
    }
}

/// JSON as consumers like it: without the names of branches, in one line.
const FORM: Form = Form { unwrapped: true, base64: false, omit_nulls: false, lenient: false };
const PRINTING: Printing = Printing { defaults: false, proto_names: false, sorted: false, compact: true };

struct Decoder {
    conversion: Conversion,
    registry: Rc<Registry>,
    schema_id: u32,
    pass_unframed: bool,
}

impl Decoder {
    fn new(source: Source<'_>, services: &Services) -> Result<Self, Refusal> {
        let config: Config = decode(source.configuration)?;
        config.checked()?;
        let registry = Registry::of(source, &config.resource_name, services)?;
        let schema_id = config.schema_id.unwrap_or_default();
        Ok(Self { conversion: config.conversion, registry, schema_id, pass_unframed: config.pass_unframed })
    }

    fn json(&self, value: &[u8]) -> Result<(Bytes, &'static str), Failure> {
        let (id, rest) = match Format::Confluent.unframed(value) {
            Ok(framed) => framed,
            Err(_) if self.pass_unframed => return Ok((Bytes::copy_from_slice(value), "")),
            Err(reason) => return Err(reason.into()),
        };
        let json = match &*conversion::found(&self.registry, id)? {
            Schema::Avro(schema) => avro::decode(schema, rest, FORM)?.into(),
            Schema::Protobuf(schema) => conversion::json_of(schema, Format::Confluent, rest, PRINTING)?.into(),
            Schema::Json => {
                Value::parse(rest).map_err(|error| format!("not JSON: {error}"))?;
                Bytes::copy_from_slice(rest)
            }
        };
        Ok((json, "application/json"))
    }

    fn serialized(&self, json: &[u8]) -> Result<(Bytes, &'static str), Failure> {
        let value = Value::parse(json).map_err(|error| format!("not JSON: {error}"))?;
        let (id, mut out) = (self.schema_id, Format::Confluent.head(self.schema_id));
        Ok(match &*conversion::found(&self.registry, id)? {
            Schema::Avro(schema) => {
                out.append(&mut avro::encode(schema, &value, FORM)?);
                (out.into(), "avro/binary")
            }
            Schema::Protobuf(schema) => {
                let out = conversion::protobuf_of(schema, Format::Confluent, id, &value)?;
                (out.into(), "application/protobuf")
            }
            Schema::Json => {
                out.extend_from_slice(json);
                (out.into(), "application/json")
            }
        })
    }
}

impl conversion::Conversion for Decoder {
    const KEY: &'static str = "INVALID_SCHEMA_REGISTRY_TRANSFORMATION";

    fn schemas(&self, value: &[u8]) -> [Option<(&Rc<Registry>, u32)>; 2] {
        let id = match self.conversion {
            Conversion::RegistryToJson => Format::Confluent.unframed(value).ok().map(|(id, _)| id),
            Conversion::JsonToRegistry => Some(self.schema_id),
        };
        [id.map(|id| (&self.registry, id)), None]
    }

    fn converted(&self, value: &[u8]) -> Result<(Bytes, &'static str), Failure> {
        match self.conversion {
            Conversion::RegistryToJson => self.json(value),
            Conversion::JsonToRegistry => self.serialized(value),
        }
    }
}
