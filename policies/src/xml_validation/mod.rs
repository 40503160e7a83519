//! Holds an XML body against a schema.

use std::rc::Rc;

use http::StatusCode;
use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::{Exchange, Fields, Kind, Phases, Policy, Refusal, Reply, Step};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::media;
use crate::text::Text;
use crate::xml::tree::{Bounds, Document};

mod instance;
mod lexical;
mod model;
mod pattern;
mod schema;
mod simple;
mod support;
mod types;

use schema::Schema;

/// `xml-validation`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "xml-validation",
    about: "Refuses requests and responses whose XML body does not fit an XML Schema.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| refused(configuration, decode(configuration).and_then(XmlValidation::new).err())),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(XmlValidation::new(decode(source.configuration)?)?)),
};

/// Configuration of `xml-validation`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// The body of a refusal; expressions in it are evaluated. Without it the refusal has the usual form and says what does not fit.
    pub error_message: Option<String>,
    /// The XML Schema, as text. It may be given in `xsdSource` instead.
    pub xsd_schema: Option<String>,
    /// Where the schema is.
    pub xsd_source: Option<XsdSource>,
}

/// Where the schema is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct XsdSource {
    /// `INLINE_XSD`; a schema registry is not read.
    pub source_type: SourceType,
    /// The schema, of `INLINE_XSD`.
    pub xsd_schema: Option<String>,
    /// Name of the resource, of `SCHEMA_REGISTRY_RESOURCE`.
    pub resource_name: Option<String>,
    /// Subject in the registry, of `SCHEMA_REGISTRY_RESOURCE`.
    pub schema_mapping: Option<String>,
    /// The registry, of `CONFLUENT_REST`.
    pub registry_url: Option<String>,
    /// Subject in the registry, of `CONFLUENT_REST`.
    pub schema_subject: Option<String>,
}

/// Kinds of sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SourceType {
    /// In the definition.
    InlineXsd,
    /// In a schema registry that is a resource.
    SchemaRegistryResource,
    /// In a schema registry.
    ConfluentRest,
}

/// What a schema may be.
const SCHEMA_BOUNDS: Bounds = Bounds { depth_max: 64, nodes_max: 100_000 };
/// What a body may be.
const BODY_BOUNDS: Bounds = Bounds { depth_max: 100, nodes_max: 200_000 };

struct XmlValidation {
    schema: Schema,
    message: Option<Text>,
}

impl XmlValidation {
    fn new(config: Config) -> Result<Self, Refusal> {
        let (field, text) = match (config.xsd_source, config.xsd_schema) {
            (Some(source), _) if source.source_type != SourceType::InlineXsd => {
                return Err(Refusal("xsdSource: schemas of a registry are not read; give the schema itself".into()));
            }
            (Some(XsdSource { xsd_schema: Some(text), .. }), _) => ("xsdSource.xsdSchema", text),
            (_, Some(text)) if !text.trim().is_empty() => ("xsdSchema", text),
            _ => return Err(Refusal("xsdSchema: a schema is needed".into())),
        };
        let document = Document::parse(text.trim().as_bytes(), SCHEMA_BOUNDS);
        let document = document.map_err(|error| Refusal(format!("{field}: not XML: {error}")))?;
        let schema = Schema::read(&document).map_err(|Refusal(reason)| Refusal(format!("{field}: {reason}")))?;
        let message = config.error_message.filter(|text| !text.is_empty());
        let message = message.map(|text| Text::on_both("errorMessage", &text)).transpose()?;
        Ok(Self { schema, message })
    }

    /// What is wrong with a body.
    fn find(&self, fields: &Fields, body: &[u8]) -> Result<(), String> {
        if !media::is_utf8(fields) {
            return Err("only UTF-8 is read".into());
        }
        let document = Document::parse(body, BODY_BOUNDS).map_err(|error| format!("not XML: {error}"))?;
        instance::check(&self.schema, &document).map_err(|violation| format!("{}: {}", violation.path, violation.what))
    }

    fn refusal<'a>(&self, exchange: &Exchange, status: StatusCode, report: String) -> Step<'a> {
        let mut reply = Reply::refusal(status, "XML_VALIDATION_FAILED", report);
        if let Some(message) = &self.message {
            let text = match message.render(exchange) {
                Ok(text) => text.into_owned(),
                Err(failed) => return Step::Reply(failed),
            };
            let media = if text.trim_start().starts_with('<') { "application/xml" } else { "text/plain" };
            reply = reply.header("Content-Type", media);
            reply.body = Some(text.into());
        }
        Step::Reply(Box::new(reply))
    }
}

impl Policy for XmlValidation {
    fn phases(&self) -> Phases {
        Phases { request: true, response: true, ..Phases::default() }.with_content()
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let Some(request) = exchange.request.as_deref() else { return Step::Next };
        let body = exchange.contents.request.as_deref().unwrap_or_default();
        match self.find(&request.head.fields, body) {
            Ok(()) => Step::Next,
            Err(report) => self.refusal(exchange, StatusCode::BAD_REQUEST, report),
        }
    }

    fn response<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let Some(response) = exchange.response.as_deref() else { return Step::Next };
        let body = exchange.contents.response.as_deref().unwrap_or_default();
        match self.find(&response.fields, body) {
            Ok(()) => Step::Next,
            Err(report) => self.refusal(exchange, StatusCode::INTERNAL_SERVER_ERROR, report),
        }
    }
}
