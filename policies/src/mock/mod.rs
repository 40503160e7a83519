//! Answers with a fixed response.

use std::rc::Rc;

use bytes::Bytes;
use http::StatusCode;
use ringway_contract::Fields;
use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::{Exchange, Kind, Phases, Policy, Refusal, Reply, Step};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::status::Status;

/// `mock`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "mock",
    about: "Answers with a fixed response instead of calling the endpoint.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| refused(configuration, decode(configuration).and_then(reply).err())),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(Mock { reply: reply(decode(source.configuration)?)? })),
};

/// Configuration of `mock`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Status of the response, 200 to 599. Default 200.
    pub status: Option<Status>,
    /// Fields of the response.
    pub headers: Vec<Header>,
    /// Body of the response.
    pub content: Option<String>,
}

/// A field.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Name of the field.
    pub name: String,
    /// Its value.
    pub value: String,
}

struct Mock {
    reply: Reply,
}

fn reply(config: Config) -> Result<Reply, Refusal> {
    let status = Status::read("status", config.status.as_ref(), StatusCode::OK)?;
    let mut probe = Fields::default();
    let mut reply = Reply::answer(status, Bytes::from(config.content.unwrap_or_default()));
    for Header { name, value } in config.headers {
        probe.append(&name, value.as_bytes()).map_err(|error| Refusal(format!("header `{name}`: {error}")))?;
        reply = reply.header(name, value);
    }
    Ok(reply)
}

impl Policy for Mock {
    fn phases(&self) -> Phases {
        Phases::REQUEST
    }

    fn request<'a>(&'a self, _exchange: &'a mut Exchange) -> Step<'a> {
        Step::Reply(Box::new(self.reply.clone()))
    }
}
