//! Replaces a body by what a template makes.

mod expression;
mod render;
mod template;

use std::rc::Rc;

use bytes::Bytes;
use http::StatusCode;
use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::{Exchange, Kind, Phases, Policy, Refusal, Reply, Step};
use schemars::JsonSchema;
use serde::Deserialize;

use render::{Failure, Render};
use template::Node;

use crate::scope::Scope;

/// `policy-assign-content`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "policy-assign-content",
    about: "Replaces the body of a request, a response or a message by what a template makes.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| refused(configuration, decode(configuration).and_then(AssignContent::new).err()))
        .on_messages(),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(AssignContent::new(decode(source.configuration)?)?)),
};

/// Configuration of `policy-assign-content`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// Read, and of no effect: the phase in which the step stands decides.
    #[serde(default)]
    pub scope: Scope,
    /// The template.
    pub body: String,
}

struct AssignContent {
    template: Vec<Node>,
}

impl AssignContent {
    fn new(config: Config) -> Result<Self, Refusal> {
        let template = template::parse(&config.body).map_err(|Refusal(reason)| Refusal(format!("body: {reason}")))?;
        Ok(Self { template })
    }

    fn render(&self, exchange: &Exchange) -> Result<Bytes, Box<Reply>> {
        let mut render = Render::new(exchange);
        match render.nodes(&self.template) {
            Ok(()) => Ok(render.out.into()),
            Err(Failure(reason)) => {
                let message = format!("Unable to assign body content: {reason}");
                Err(Box::new(Reply::refusal(StatusCode::INTERNAL_SERVER_ERROR, "", message)))
            }
        }
    }
}

impl Policy for AssignContent {
    fn phases(&self) -> Phases {
        Phases { request: true, response: true, ..Phases::default() }.with_content().with_messages()
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        match self.render(exchange) {
            Ok(body) => exchange.contents.request = Some(body),
            Err(reply) => return Step::Reply(reply),
        }
        Step::Next
    }

    fn message<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        match self.render(exchange) {
            Ok(content) => {
                if let Some(parcel) = exchange.message.as_deref_mut() {
                    parcel.message.content = content;
                }
            }
            Err(reply) => return Step::Reply(reply),
        }
        Step::Next
    }

    fn response<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        match self.render(exchange) {
            Ok(body) => exchange.contents.response = Some(body),
            Err(reply) => return Step::Reply(reply),
        }
        Step::Next
    }
}
