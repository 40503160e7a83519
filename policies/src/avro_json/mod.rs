//! Turns Avro into JSON and back.

use std::rc::Rc;

use bytes::Bytes;
use http::StatusCode;
use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::{Exchange, Fields, Kind, Phases, Policy, Refusal, Reply, Step};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::avro::{self, Schema};
use crate::framing::{Format, Location};
use crate::json::Value;

/// `avro-json`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "avro-json",
    about: "Turns an Avro body of a request or a response into JSON, or JSON into Avro.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| refused(configuration, decode(configuration).and_then(AvroJson::new).err())),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(AvroJson::new(decode(source.configuration)?)?)),
};

/// Configuration of `avro-json`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// Which way.
    pub conversion: Conversion,
    /// Where the schema is: `inline`; a schema registry is not read.
    pub schema_location: Location,
    /// The Avro schema, as text.
    pub schema_definition: Option<String>,
    /// How the bytes are framed.
    pub serialization_format: Format,
    /// Name of the resource, of `schema-registry`.
    pub resource_name: Option<String>,
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

struct AvroJson {
    schema: Schema,
    conversion: Conversion,
    format: Format,
}

impl AvroJson {
    fn new(config: Config) -> Result<Self, Refusal> {
        if config.schema_location == Location::SchemaRegistry {
            return Err(Refusal("schemaLocation: schemas of a registry are not read; give the schema itself".into()));
        }
        let text = config.schema_definition.filter(|text| !text.trim().is_empty());
        let text = text.ok_or_else(|| Refusal("schemaDefinition: a schema is needed".into()))?;
        let schema = Schema::parse(&text).map_err(|Refusal(reason)| Refusal(format!("schemaDefinition: {reason}")))?;
        Ok(Self { schema, conversion: config.conversion, format: config.serialization_format })
    }

    fn converted(&self, body: &[u8]) -> Result<(Bytes, &'static str), String> {
        match self.conversion {
            Conversion::AvroToJson => {
                let json = avro::decode(&self.schema, self.format.unframed(body)?)?;
                Ok((json.into(), "application/json"))
            }
            Conversion::JsonToAvro => {
                let value = Value::parse(body).map_err(|error| format!("not JSON: {error}"))?;
                let mut out = self.format.head();
                out.append(&mut avro::encode(&self.schema, &value)?);
                Ok((out.into(), "avro/binary"))
            }
        }
    }

    fn run<'a>(&self, content: &mut Option<Bytes>, fields: &mut Fields, status: StatusCode) -> Step<'a> {
        let Some(body) = content.as_ref().filter(|body| !body.is_empty()) else { return Step::Next };
        match self.converted(body) {
            Ok((body, media)) => {
                *content = Some(body);
                // A constant is a value that every head takes.
                let _ = fields.set("Content-Type", media);
                Step::Next
            }
            Err(reason) => Step::Reply(Box::new(Reply::refusal(status, "INVALID_AVRO_TRANSFORMATION", reason))),
        }
    }
}

impl Policy for AvroJson {
    fn phases(&self) -> Phases {
        Phases { request: true, response: true, ..Phases::default() }.with_content()
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let Some(request) = exchange.request.as_deref_mut() else { return Step::Next };
        self.run(&mut exchange.contents.request, &mut request.head.fields, StatusCode::BAD_REQUEST)
    }

    fn response<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let Some(response) = exchange.response.as_deref_mut() else { return Step::Next };
        self.run(&mut exchange.contents.response, &mut response.fields, StatusCode::INTERNAL_SERVER_ERROR)
    }
}
