//! Holds requests and responses against an OpenAPI document.

mod document;
mod values;

use std::rc::Rc;

use bytes::Bytes;
use http::StatusCode;
use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::{Exchange, Fields, Kind, Node, Phases, Policy, Problem, Refusal, Reply, Request, Source, Step};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{json, media, query, schema};
use document::{Body, Document, In, Operation, Parameter};

/// `oas-validation`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "oas-validation",
    about: "Refuses requests and responses that an OpenAPI document does not describe.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>().examined(|configuration, _| {
        let config = decode::<Config>(configuration);
        // A resource is looked for when the API is built.
        let inline = config.and_then(|config| config.inline().map_or(Ok(()), |text| Document::parse(text?).map(drop)));
        let mut problems = refused(configuration, inline.err());
        problems.extend(configuration.into_iter().flat_map(ignored));
        problems
    }),
    shared: None,
    messaging: None,
    build: |source, _| {
        let config: Config = decode(source.configuration)?;
        let document = match config.inline() {
            Some(text) => Document::parse(text?)?,
            None => Document::parse(&resource(&config, &source)?)?,
        };
        Ok(Rc::new(OasValidation { document, base_path: config.base_path, options: config.validation_options }))
    },
};

/// Configuration of `oas-validation`. One of the four sources is needed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// The document, JSON.
    pub source_json: Option<String>,
    /// The document, YAML.
    pub source_yaml: Option<String>,
    /// Where the document would be fetched; it is not, and such a step is refused.
    pub source_url: Option<String>,
    /// Name of a resource of the API that has the document as its `content`.
    pub resource_name: Option<String>,
    /// Path that is taken away from the front of requests before they are looked up.
    pub base_path: Option<String>,
    /// What is looked at.
    pub validation_options: Options,
}

/// What is looked at.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Options {
    /// Whether what does not fit passes all the same; then nothing is looked at.
    pub log_instead_of_throw_error: bool,
    /// Whether a refused client is told what does not fit.
    pub return_detailed_error_report: bool,
    /// Whether a slash at the end makes another path.
    pub strict_operation_path_matching: bool,
    /// Whether a path and method that the document does not have are refused.
    pub validate_request_path_and_method: bool,
    /// Whether a type of content that the operation does not have is refused.
    pub validate_request_content_type: bool,
    /// Whether bodies of requests are held against their schema.
    pub validate_request_body: bool,
    /// Whether parameters are held against their schemas.
    pub validate_request_parameters: bool,
    /// Which of them, besides those of the path.
    pub validate_request_parameters_options: Vec<Parameters>,
    /// Whether parameters of the query that the document does not have are refused.
    pub validate_request_query_params_unexpected: bool,
    /// Read, and of no effect: plans say who may call.
    pub validate_request_security: bool,
    /// Whether a status that the operation does not have is refused.
    pub validate_response_status_code: bool,
    /// Whether a type of content that the response does not have is refused.
    pub validate_response_content_type: bool,
    /// Whether bodies and fields of responses are held against their schemas.
    pub validate_response_body: bool,
}

/// Places of parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Parameters {
    /// The query.
    QueryParams,
    /// Header fields.
    Headers,
    /// Cookies.
    Cookies,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            log_instead_of_throw_error: false,
            return_detailed_error_report: true,
            strict_operation_path_matching: true,
            validate_request_path_and_method: true,
            validate_request_content_type: true,
            validate_request_body: true,
            validate_request_parameters: true,
            validate_request_parameters_options: vec![
                Parameters::QueryParams,
                Parameters::Headers,
                Parameters::Cookies,
            ],
            validate_request_query_params_unexpected: false,
            validate_request_security: false,
            validate_response_status_code: true,
            validate_response_content_type: true,
            validate_response_body: true,
        }
    }
}

impl Config {
    /// The document, where it is not in a resource.
    fn inline(&self) -> Option<Result<&str, Refusal>> {
        let inline = self.source_json.as_deref().or(self.source_yaml.as_deref()).map(Ok);
        inline.or_else(|| match (&self.source_url, &self.resource_name) {
            (_, Some(_)) => None,
            (Some(_), None) => Some(Err(Refusal("sourceUrl: nothing is fetched; give the document itself".into()))),
            (None, None) => Some(Err(Refusal("a document is needed: sourceJson, sourceYaml or resourceName".into()))),
        })
    }
}

/// The document in the resource that is named.
fn resource(config: &Config, source: &Source<'_>) -> Result<String, Refusal> {
    let name = config.resource_name.as_deref().unwrap_or_default();
    let (_, configuration) = source.resource(name)?;
    let content = configuration.and_then(|node| node.field("content")).and_then(Node::as_str);
    content.map(str::to_owned).ok_or_else(|| Refusal(format!("the resource `{name}` has no `content`")))
}

/// Warnings about options that are not acted on.
fn ignored(configuration: &Node) -> Vec<Problem> {
    let options = configuration.field("validationOptions");
    let fields = [
        ("validateRequestSecurity", "has no effect: plans say who may call"),
        ("logInsteadOfThrowError", "nothing is looked at, and nothing logged"),
    ];
    let found = fields.iter().filter_map(|(name, what)| {
        let node = options?.field(name).filter(|node| node.as_bool() == Some(true))?;
        Some(Problem::warning(&node.span, format!("configuration.validationOptions.{name}"), *what))
    });
    found.collect()
}

struct OasValidation {
    document: Document,
    base_path: Option<String>,
    options: Options,
}

/// Pairs of a query or a form, decoded.
fn pairs(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    let split = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    split
        .map(|(name, value)| (query::decoded(name, true).into_owned(), query::decoded(value, true).into_owned()))
        .collect()
}

fn cookies(fields: &Fields) -> Vec<(String, String)> {
    let lines = fields.get_all("cookie").filter_map(|line| std::str::from_utf8(line).ok());
    let crumbs = lines.flat_map(|line| line.split(';'));
    let split = crumbs.filter_map(|crumb| crumb.trim().split_once('='));
    split.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

impl OasValidation {
    fn operation<'d>(&'d self, request: &Request) -> Result<Option<(&'d Operation, Vec<String>)>, String> {
        let rest = request.rest();
        let path = match &self.base_path {
            Some(base) => rest.strip_prefix(base.trim_end_matches('/')).unwrap_or(rest),
            None => rest,
        };
        let found = self.document.find(
            request.head.method.as_str(),
            if path.is_empty() { "/" } else { path },
            self.options.strict_operation_path_matching,
        );
        found.map_or_else(
            |what| if self.options.validate_request_path_and_method { Err(what) } else { Ok(None) },
            |found| Ok(Some(found)),
        )
    }

    fn check_request(&self, request: &Request, body: &[u8]) -> Result<(), String> {
        let options = &self.options;
        let Some((operation, caught)) = self.operation(request)? else { return Ok(()) };
        let fields = &request.head.fields;
        let of_query = pairs(request.head.query().unwrap_or_default());
        let of_cookies = cookies(fields);
        for parameter in operation.parameters.iter().filter(|_| options.validate_request_parameters) {
            let looked_at = |place| options.validate_request_parameters_options.contains(&place);
            let named = |pairs: &[(String, String)]| -> Vec<String> {
                pairs.iter().filter(|(name, _)| *name == parameter.name).map(|(_, value)| value.clone()).collect()
            };
            let given = match parameter.place {
                In::Path => parameter
                    .segment
                    .and_then(|at| caught.get(at))
                    .map(|value| vec![query::decoded(value, false).into_owned()]),
                In::Query if looked_at(Parameters::QueryParams) => Some(named(&of_query)),
                In::Cookie if looked_at(Parameters::Cookies) => Some(named(&of_cookies)),
                In::Header if looked_at(Parameters::Headers) => Some(of_fields(fields, &parameter.name)),
                _ => None,
            };
            if let Some(given) = given {
                check_parameter(parameter, &given)?;
            }
        }
        if options.validate_request_query_params_unexpected {
            let known =
                |name: &str| operation.parameters.iter().any(|known| known.place == In::Query && known.name == name);
            if let Some((name, _)) = of_query.iter().find(|(name, _)| !known(name)) {
                return Err(format!("the query's parameter `{name}` is not described"));
            }
        }
        let Some(described) = &operation.body else { return Ok(()) };
        if body.is_empty() {
            let refused = described.required && options.validate_request_body;
            return if refused { Err("a body is required".into()) } else { Ok(()) };
        }
        check_body(described, fields, body, options.validate_request_content_type, options.validate_request_body)
    }

    fn check_response(&self, exchange: &Exchange, body: &[u8]) -> Result<(), String> {
        let (Some(request), Some(response)) = (exchange.request.as_deref(), exchange.response.as_deref()) else {
            return Ok(());
        };
        // What the document does not describe was the request's matter.
        let Ok(Some((operation, _))) = self.operation(request) else { return Ok(()) };
        let status = response.status.as_u16();
        let Some(described) = operation.response(status) else {
            let refused = self.options.validate_response_status_code && !operation.responses.is_empty();
            return if refused { Err(format!("the status {status} is not described")) } else { Ok(()) };
        };
        for header in described.headers.iter().filter(|_| self.options.validate_response_body) {
            check_parameter(header, &of_fields(&response.fields, &header.name))?;
        }
        if body.is_empty() {
            return Ok(());
        }
        let (of_type, of_body) = (self.options.validate_response_content_type, self.options.validate_response_body);
        check_body(&described.body, &response.fields, body, of_type, of_body)
    }

    fn refusal<'a>(&self, status: StatusCode, report: String) -> Step<'a> {
        let is_told = self.options.return_detailed_error_report && status == StatusCode::BAD_REQUEST;
        let message = if is_told { report } else { status.canonical_reason().unwrap_or_default().to_owned() };
        Step::Reply(Box::new(Reply::refusal(status, "OAS_VALIDATION_ERROR", message)))
    }
}

fn of_fields(fields: &Fields, name: &str) -> Vec<String> {
    fields.get_all(name).map(|value| String::from_utf8_lossy(value).into_owned()).collect()
}

fn check_parameter(parameter: &Parameter, given: &[String]) -> Result<(), String> {
    if given.is_empty() {
        let missing = format!("the {} `{}` is required", parameter.place.noun(), parameter.name);
        return if parameter.required { Err(missing) } else { Ok(()) };
    }
    let Some((shape, validator)) = &parameter.schema else { return Ok(()) };
    let value = shape.read(given);
    let report = if validator.is_valid(&value) { return Ok(()) } else { schema::report(validator, &value) };
    Err(format!("the {} `{}`: {report}", parameter.place.noun(), parameter.name))
}

fn check_body(described: &Body, fields: &Fields, body: &[u8], of_type: bool, of_body: bool) -> Result<(), String> {
    let essence = media::essence(fields.get("content-type").unwrap_or_default()).to_ascii_lowercase();
    let Some(content) = described.content(&essence) else {
        let refused = of_type && !described.contents.is_empty();
        let shown = String::from_utf8_lossy(&essence);
        return if refused { Err(format!("the type `{shown}` of the body is not described")) } else { Ok(()) };
    };
    let Some((shape, validator)) = content.schema.as_ref().filter(|_| of_body) else { return Ok(()) };
    let value = if essence == b"application/json" || essence.ends_with(b"+json") {
        json::instance(body).map_err(|error| format!("the body is not JSON: {error}"))?
    } else if essence == b"application/x-www-form-urlencoded" {
        shape.read_form(&pairs(&String::from_utf8_lossy(body)))
    } else {
        return Ok(());
    };
    if validator.is_valid(&value) { Ok(()) } else { Err(schema::report(validator, &value)) }
}

impl Policy for OasValidation {
    fn phases(&self) -> Phases {
        if self.options.log_instead_of_throw_error {
            return Phases::default();
        }
        Phases { request: true, response: true, ..Phases::default() }.with_content()
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let Some(request) = exchange.request.as_deref() else { return Step::Next };
        let body: Option<&Bytes> = exchange.contents.request.as_ref();
        match self.check_request(request, body.map_or(&[], |body| body)) {
            Ok(()) => Step::Next,
            Err(report) => self.refusal(StatusCode::BAD_REQUEST, report),
        }
    }

    fn response<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let body: Option<&Bytes> = exchange.contents.response.as_ref();
        match self.check_response(exchange, body.map_or(&[], |body| body)) {
            Ok(()) => Step::Next,
            Err(report) => self.refusal(StatusCode::INTERNAL_SERVER_ERROR, report),
        }
    }
}
