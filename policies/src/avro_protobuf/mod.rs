//! Turns Avro into Protocol Buffers and back.

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
use crate::protobuf::{self, Printing};
use crate::registry::{self, Registry};

/// `avro-protobuf`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "avro-protobuf",
    about: "Turns an Avro body or message into one of Protocol Buffers, or one of those into Avro.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| {
            refused(configuration, decode(configuration).and_then(|config: Config| config.chosen().map(drop)).err())
        })
        .with_resources(&[
            ResourceUse { field: "avro.schemaRegistryConfig.resourceName", kinds: registry::KINDS },
            ResourceUse { field: "protobuf.schemaRegistryConfig.resourceName", kinds: registry::KINDS },
        ])
        .on_messages(),
    shared: None,
    messaging: None,
    build: |source, services| Ok(Rc::new(Converter(AvroProtobuf::new(source, services)?))),
};

/// Configuration of `avro-protobuf`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// Which way.
    pub conversion: Conversion,
    /// The schema of Avro.
    pub avro: Side,
    /// The schema of Protocol Buffers.
    pub protobuf: Side,
}

/// Which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Conversion {
    /// Avro is read, Protocol Buffers are written.
    #[default]
    AvroToProtobuf,
    /// Protocol Buffers are read, Avro is written. Of this gateway's own.
    ProtobufToAvro,
}

/// Where a schema is.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Side {
    /// In the definition.
    pub inline_config: Option<Inline>,
    /// In a registry.
    pub schema_registry_config: Option<InRegistry>,
}

/// A schema in the definition.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Inline {
    /// Its text.
    pub schema_definition: String,
    /// How the bytes are framed.
    pub serialization_format: Format,
}

/// A schema in a registry. Of what is read, ids stand in the frames.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct InRegistry {
    /// Name of the resource, of type `confluent-schema-registry`.
    pub resource_name: String,
    /// The schema that is written by.
    pub schema_id_config: Option<SchemaId>,
}

/// The id of a schema.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SchemaId {
    /// Where it is: `inline`.
    #[serde(default)]
    pub schema_id_location: IdLocation,
    /// The id.
    pub schema_id: u32,
}

/// Where an id is.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum IdLocation {
    /// In the definition.
    #[default]
    Inline,
}

enum Chosen<'a, S> {
    Inline(S, Format),
    /// The name of the resource, and the id of the schema that is written by.
    Registry(&'a str, u32),
}

impl Side {
    fn chosen<S>(
        &self,
        field: &str,
        is_written: bool,
        read: impl FnOnce(&str) -> Result<S, Refusal>,
    ) -> Result<Chosen<'_, S>, Refusal> {
        match (&self.inline_config, &self.schema_registry_config) {
            (Some(inline), None) => {
                let refused = |Refusal(reason)| Refusal(format!("{field}.inlineConfig.schemaDefinition: {reason}"));
                Ok(Chosen::Inline(read(&inline.schema_definition).map_err(refused)?, inline.serialization_format))
            }
            (None, Some(registry)) => {
                let id = registry.schema_id_config.as_ref().map(|id| id.schema_id);
                if is_written && id.is_none() {
                    let field = format!("{field}.schemaRegistryConfig.schemaIdConfig");
                    return Err(Refusal(format!("{field}: the id of the schema is needed that is written by")));
                }
                if registry.resource_name.trim().is_empty() {
                    let field = format!("{field}.schemaRegistryConfig.resourceName");
                    return Err(Refusal(format!("{field}: the name of a schema registry is needed")));
                }
                Ok(Chosen::Registry(&registry.resource_name, id.unwrap_or_default()))
            }
            _ => Err(Refusal(format!("{field}: either `inlineConfig` or `schemaRegistryConfig` is needed"))),
        }
    }
}

type Both<'a> = (Chosen<'a, avro::Schema>, Chosen<'a, protobuf::Schema>);

impl Config {
    fn chosen(&self) -> Result<Both<'_>, Refusal> {
        let to_avro = self.conversion == Conversion::ProtobufToAvro;
        let avro = self.avro.chosen("avro", to_avro, avro::Schema::parse)?;
        let protobuf = self.protobuf.chosen("protobuf", !to_avro, |text| protobuf::compile(text, |_| None))?;
        Ok((avro, protobuf))
    }
}

enum Schemas<S> {
    Inline(S, Format),
    Registry(Rc<Registry>, u32),
}

impl<S> Schemas<S> {
    fn of(chosen: Chosen<'_, S>, source: Source<'_>, services: &Services) -> Result<Self, Refusal> {
        Ok(match chosen {
            Chosen::Inline(schema, format) => Self::Inline(schema, format),
            Chosen::Registry(name, id) => Self::Registry(Registry::of(source, name, services)?, id),
        })
    }

    fn format(&self) -> Format {
        if let Self::Inline(_, format) = self { *format } else { Format::Confluent }
    }

    /// The id that is written by.
    fn id(&self) -> u32 {
        if let Self::Registry(_, id) = self { *id } else { 0 }
    }

    fn by<T>(
        &self,
        id: u32,
        pick: impl FnOnce(&registry::Schema) -> Option<&S>,
        with: impl FnOnce(&S) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        match self {
            Self::Inline(schema, _) => with(schema),
            Self::Registry(registry, _) => {
                let found = conversion::found(registry, id)?;
                let wrong = || Failure::Value(format!("the schema {id} of the registry is of another type"));
                with(pick(&found).ok_or_else(wrong)?)
            }
        }
    }
}

struct AvroProtobuf {
    conversion: Conversion,
    avro: Schemas<avro::Schema>,
    protobuf: Schemas<protobuf::Schema>,
}

impl AvroProtobuf {
    fn new(source: Source<'_>, services: &Services) -> Result<Self, Refusal> {
        let config: Config = decode(source.configuration)?;
        let (avro, protobuf) = config.chosen()?;
        let avro = Schemas::of(avro, source, services)?;
        Ok(Self { conversion: config.conversion, avro, protobuf: Schemas::of(protobuf, source, services)? })
    }

    fn by_avro<T>(&self, id: u32, with: impl FnOnce(&avro::Schema) -> Result<T, Failure>) -> Result<T, Failure> {
        self.avro.by(id, registry::Schema::avro, with)
    }

    fn by_protobuf<T>(
        &self,
        id: u32,
        with: impl FnOnce(&protobuf::Schema) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.protobuf.by(id, registry::Schema::protobuf, with)
    }
}

/// What the two have in common: names as in the schemas, bytes in Base64, no branches of unions. What a field of Avro can be without is null.
const FORM: Form = Form { unwrapped: true, base64: true, omit_nulls: true, lenient: false };
const PRINTING: Printing = Printing { defaults: true, proto_names: true, sorted: false, compact: true };

impl conversion::Conversion for AvroProtobuf {
    const KEY: &'static str = "INVALID_PROTOBUF_TRANSFORMATION";

    fn schemas(&self, value: &[u8]) -> [Option<(&Rc<Registry>, u32)>; 2] {
        let read = Format::Confluent.unframed(value).ok().map(|(id, _)| id);
        let (of_avro, of_protobuf) = match self.conversion {
            Conversion::AvroToProtobuf => (read, Some(self.protobuf.id())),
            Conversion::ProtobufToAvro => (Some(self.avro.id()), read),
        };
        let avro = if let Schemas::Registry(registry, _) = &self.avro { Some(registry) } else { None };
        let protobuf = if let Schemas::Registry(registry, _) = &self.protobuf { Some(registry) } else { None };
        [avro.zip(of_avro), protobuf.zip(of_protobuf)]
    }

    fn converted(&self, value: &[u8]) -> Result<(Bytes, &'static str), Failure> {
        match self.conversion {
            Conversion::AvroToProtobuf => {
                let (id, rest) = self.avro.format().unframed(value)?;
                let json = self.by_avro(id, |schema| Ok(avro::decode(schema, rest, FORM)?))?;
                let value = Value::parse(json.as_bytes()).map_err(|error| error.to_string())?;
                let (id, format) = (self.protobuf.id(), self.protobuf.format());
                let out = self.by_protobuf(id, |schema| conversion::protobuf_of(schema, format, id, &value))?;
                Ok((out.into(), "application/protobuf"))
            }
            Conversion::ProtobufToAvro => {
                let format = self.protobuf.format();
                let (id, rest) = format.unframed(value)?;
                let json = self.by_protobuf(id, |schema| conversion::json_of(schema, format, rest, PRINTING))?;
                let value = Value::parse(json.as_bytes()).map_err(|error| error.to_string())?;
                let id = self.avro.id();
                let mut out = self.avro.format().head(id);
                out.append(&mut self.by_avro(id, |schema| Ok(avro::encode(schema, &value, FORM)?))?);
                Ok((out.into(), "avro/binary"))
            }
        }
    }
}
