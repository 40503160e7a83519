//! Applies a stylesheet to an XML body.

use std::rc::Rc;

use bytes::Bytes;
use http::StatusCode;
use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::{Exchange, Fields, Kind, Phases, Policy, Problem, Refusal, Reply, Step};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::media;
use crate::text::Text;
use crate::xml::tree::{Bounds, Document};

mod evaluate;
mod expression;
mod output;
mod stylesheet;
mod transform;

use stylesheet::Stylesheet;

/// `xslt`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "xslt",
    about: "Applies an XSLT stylesheet to the XML body of a request or a response.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>().examined(|configuration, _| {
        let built = decode(configuration).and_then(Xslt::new);
        let other = built.as_ref().ok().and_then(|xslt| xslt.sheet.other_version.clone());
        let mut problems = refused(configuration, built.err());
        if let Some((node, version)) = configuration.zip(other) {
            let message = format!("the stylesheet is of version {version}, and is read as one of 1.0");
            problems.push(Problem::warning(&node.span, "configuration.stylesheet", message));
        }
        problems
    }),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(Xslt::new(decode(source.configuration)?)?)),
};

/// Configuration of `xslt`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// Read, and of no effect: the phase in which the step stands decides.
    #[serde(default)]
    pub scope: Scope,
    /// The stylesheet, as text.
    pub stylesheet: String,
    /// Values of the stylesheet's global parameters.
    #[serde(default)]
    pub parameters: Vec<Parameter>,
}

/// The phase, as older definitions give it.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Scope {
    /// On the way to the endpoint.
    Request,
    /// On the way back.
    #[default]
    Response,
}

/// A value of a parameter.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its value; an expression may stand in it.
    #[serde(default)]
    pub value: String,
}

/// What a stylesheet may be.
const SHEET_BOUNDS: Bounds = Bounds { depth_max: 32, nodes_max: 20_000 };
/// What a body may be.
const BODY_BOUNDS: Bounds = Bounds { depth_max: 64, nodes_max: 200_000 };

struct Xslt {
    sheet: Stylesheet,
    parameters: Vec<(String, Text)>,
}

impl Xslt {
    fn new(config: Config) -> Result<Self, Refusal> {
        let document = Document::parse(config.stylesheet.trim().as_bytes(), SHEET_BOUNDS);
        let document = document.map_err(|error| Refusal(format!("stylesheet: not XML: {error}")))?;
        let sheet = Stylesheet::compile(&document);
        let sheet = sheet.map_err(|Refusal(reason)| Refusal(format!("stylesheet: {reason}")))?;
        let parameters = config.parameters.into_iter().map(|parameter| {
            let text = Text::on_both(&format!("parameters.{}", parameter.name), &parameter.value)?;
            Ok((parameter.name, text))
        });
        Ok(Self { sheet, parameters: parameters.collect::<Result<_, Refusal>>()? })
    }

    fn parameters(&self, exchange: &Exchange) -> Result<Vec<(String, String)>, Box<Reply>> {
        let rendered =
            self.parameters.iter().map(|(name, text)| Ok((name.clone(), text.render(exchange)?.into_owned())));
        rendered.collect()
    }

    fn run<'a>(
        &self,
        content: &mut Option<Bytes>,
        fields: &mut Fields,
        parameters: &[(String, String)],
        status: StatusCode,
    ) -> Step<'a> {
        let Some(body) = content.as_ref().filter(|body| !body.is_empty()) else { return Step::Next };
        let transformed = match media::is_utf8(fields) {
            true => Document::parse(body, BODY_BOUNDS).map_err(|error| format!("not XML: {error}")),
            false => Err("only UTF-8 is read".to_owned()),
        };
        let transformed = transformed
            .and_then(|document| transform::transform(&self.sheet, &document, parameters).map_err(str::to_owned));
        match transformed {
            Ok(text) => {
                *content = Some(text.into());
                let media =
                    if self.sheet.is_text { "text/plain;charset=UTF-8" } else { "application/xml;charset=UTF-8" };
                // A constant is a value that every head takes.
                let _ = fields.set("Content-Type", media);
                Step::Next
            }
            Err(reason) => Step::Reply(Box::new(Reply::refusal(status, "XSLT_TRANSFORMATION_ERROR", reason))),
        }
    }
}

impl Policy for Xslt {
    fn phases(&self) -> Phases {
        Phases { request: true, response: true, ..Phases::default() }.with_content()
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let parameters = match self.parameters(exchange) {
            Ok(parameters) => parameters,
            Err(reply) => return Step::Reply(reply),
        };
        let Some(request) = exchange.request.as_deref_mut() else { return Step::Next };
        self.run(&mut exchange.contents.request, &mut request.head.fields, &parameters, StatusCode::BAD_REQUEST)
    }

    fn response<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let parameters = match self.parameters(exchange) {
            Ok(parameters) => parameters,
            Err(reply) => return Step::Reply(reply),
        };
        let Some(response) = exchange.response.as_deref_mut() else { return Step::Next };
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        self.run(&mut exchange.contents.response, &mut response.fields, &parameters, status)
    }
}
