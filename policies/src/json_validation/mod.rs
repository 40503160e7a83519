//! Holds a JSON body against a schema.

use std::rc::Rc;

use http::StatusCode;
use jsonschema::{Draft, Validator};
use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::{Exchange, Kind, Node, Phases, Policy, Problem, Refusal, Reply, Step, Template, Vocabulary};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{json, schema};

/// `json-validation`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "json-validation",
    about: "Refuses requests and responses whose JSON body does not fit a JSON Schema.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| {
            let mut problems = refused(configuration, decode(configuration).and_then(JsonValidation::new).err());
            problems.extend(configuration.into_iter().flat_map(ignored));
            problems
        })
        .on_messages(),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(JsonValidation::new(decode(source.configuration)?)?)),
};

/// Configuration of `json-validation`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// Read, and of no effect: the phase in which the step stands decides.
    pub scope: Scope,
    /// The body of a refusal, JSON; expressions in it are evaluated. Without it the refusal has the usual form.
    pub error_message: Option<String>,
    /// The JSON Schema, as text. It may be given in `schemaSource` instead.
    pub schema: Option<String>,
    /// Where the schema is.
    pub schema_source: Option<SchemaSource>,
    /// What becomes of records of Kafka's own protocol; read, and of no effect on requests and responses.
    pub native_error_handling: Option<serde_json::Value>,
    /// Read, and of no effect: a schema that cannot be used is refused when the definition is loaded.
    pub validate_unchecked: bool,
    /// Read, and of no effect: whether children of an invalid object are looked at changes nothing of the verdict.
    pub deep_check: bool,
    /// Whether a response that does not fit is passed on all the same.
    pub straight_respond_mode: bool,
    /// Whether a refusal says what does not fit, up to ten places. It tells the client about the schema.
    pub return_detailed_error_report: bool,
}

/// The phase, as older definitions give it.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
pub enum Scope {
    /// On the way to the endpoint.
    #[default]
    #[serde(rename = "REQUEST_CONTENT", alias = "REQUEST")]
    Request,
    /// On the way back.
    #[serde(rename = "RESPONSE_CONTENT", alias = "RESPONSE")]
    Response,
}

/// Where the schema is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SchemaSource {
    /// `STATIC_SCHEMA`; a schema registry is not read.
    pub source_type: SourceType,
    /// The schema, of `STATIC_SCHEMA`.
    pub static_schema: Option<String>,
    /// Name of the resource, of `SCHEMA_REGISTRY_RESOURCE`.
    pub resource_name: Option<String>,
    /// Subject in the registry, of `SCHEMA_REGISTRY_RESOURCE`.
    pub schema_mapping: Option<String>,
}

/// Kinds of sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SourceType {
    /// In the definition.
    StaticSchema,
    /// In a schema registry.
    SchemaRegistryResource,
}

/// Warnings about fields that are not acted on.
fn ignored(configuration: &Node) -> Vec<Problem> {
    let fields = [
        ("validateUnchecked", "a schema that cannot be used is refused when the definition is loaded"),
        ("nativeErrorHandling", "it is about records of Kafka's own protocol"),
    ];
    let set = |node: &&Node| !node.is_null() && node.as_bool() != Some(false);
    let found = fields.iter().filter_map(|(name, why)| {
        let node = configuration.field(name).filter(set)?;
        Some(Problem::warning(&node.span, format!("configuration.{name}"), format!("has no effect: {why}")))
    });
    found.collect()
}

struct JsonValidation {
    validator: Validator,
    error_message: Option<Template>,
    straight: bool,
    detailed: bool,
}

impl JsonValidation {
    fn new(config: Config) -> Result<Self, Refusal> {
        let (field, text) = match (config.schema_source, config.schema) {
            (Some(source), _) if source.source_type == SourceType::SchemaRegistryResource => {
                return Err(Refusal("schemaSource: schemas of a registry are not read; give the schema itself".into()));
            }
            (Some(SchemaSource { static_schema: Some(text), .. }), _) => ("schemaSource.staticSchema", text),
            (_, Some(text)) => ("schema", text),
            _ => return Err(Refusal("schema: a schema is needed".into())),
        };
        let schema = serde_json::from_str(&text).map_err(|error| Refusal(format!("{field}: not JSON: {error}")))?;
        let validator =
            schema::compile(&schema, Draft::Draft4).map_err(|Refusal(reason)| Refusal(format!("{field}: {reason}")))?;
        let message = config.error_message.filter(|text| !text.is_empty());
        let message = message.map(|text| Template::compile(&text, &Vocabulary::response())).transpose();
        let error_message = message.map_err(|problem| Refusal(format!("errorMessage: {problem}")))?;
        Ok(Self {
            validator,
            error_message,
            straight: config.straight_respond_mode,
            detailed: config.return_detailed_error_report,
        })
    }

    /// What is wrong with a body: whether it is JSON at all, and a report if one is wanted.
    fn find(&self, body: &[u8]) -> Result<(), (bool, String)> {
        let instance = json::instance(body).map_err(|error| (false, error.to_string()))?;
        if self.validator.is_valid(&instance) {
            return Ok(());
        }
        Err((true, if self.detailed { schema::report(&self.validator, &instance) } else { String::new() }))
    }

    fn refusal<'a>(&self, exchange: &Exchange, status: StatusCode, key: &'static str, report: String) -> Step<'a> {
        let plain = if status == StatusCode::BAD_REQUEST { "Bad Request" } else { "Internal Error" };
        let mut reply = if self.detailed && !report.is_empty() {
            Reply::refusal(status, key, report)
        } else {
            Reply::refusal(status, key, plain)
        };
        if let Some(template) = &self.error_message {
            reply = reply.header("Content-Type", "application/json");
            let mut text = String::new();
            // What cannot be evaluated is left out; the request is refused all the same.
            let _ = template.render(exchange, &mut text);
            reply.body = Some(text.into());
        }
        Step::Reply(Box::new(reply))
    }
}

impl Policy for JsonValidation {
    fn phases(&self) -> Phases {
        Phases { request: true, response: true, ..Phases::default() }.with_content().with_messages()
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        match self.find(exchange.contents.request.as_deref().unwrap_or_default()) {
            Ok(()) => Step::Next,
            Err((is_json, report)) => {
                let key = if is_json { "JSON_INVALID_PAYLOAD" } else { "JSON_INVALID_FORMAT" };
                self.refusal(exchange, StatusCode::BAD_REQUEST, key, report)
            }
        }
    }

    fn message<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let content = exchange.message.as_deref().map(|parcel| &*parcel.message.content);
        match self.find(content.unwrap_or_default()) {
            Ok(()) => Step::Next,
            Err((is_json, report)) => {
                let key = if is_json { "JSON_INVALID_PAYLOAD" } else { "JSON_INVALID_FORMAT" };
                self.refusal(exchange, StatusCode::BAD_REQUEST, key, report)
            }
        }
    }

    fn response<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        if self.straight {
            return Step::Next;
        }
        match self.find(exchange.contents.response.as_deref().unwrap_or_default()) {
            Ok(()) => Step::Next,
            Err((is_json, report)) => {
                let key = if is_json { "JSON_INVALID_RESPONSE_PAYLOAD" } else { "JSON_INVALID_RESPONSE_FORMAT" };
                self.refusal(exchange, StatusCode::INTERNAL_SERVER_ERROR, key, report)
            }
        }
    }
}
