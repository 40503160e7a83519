//! Lets only the messages through that a condition holds for.

use std::rc::Rc;

use http::StatusCode;
use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::{Exchange, Kind, Phases, Policy, Refusal, Reply, Step, Template, Vocabulary};
use schemars::JsonSchema;
use serde::Deserialize;

/// `message-filtering`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "message-filtering",
    about: "Lets only the messages through that a condition holds for.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| {
            refused(configuration, decode(configuration).and_then(MessageFiltering::new).err())
        })
        .on_messages(),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(MessageFiltering::new(decode(source.configuration)?)?)),
};

/// Configuration of `message-filtering`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// The condition, an expression. A message for which it is false, or something in it is missing, goes no further.
    pub filter: String,
}

struct MessageFiltering {
    filter: Template,
}

impl MessageFiltering {
    fn new(config: Config) -> Result<Self, Refusal> {
        let filter = Template::condition(&config.filter, &Vocabulary::message());
        Ok(Self { filter: filter.map_err(|problem| Refusal(format!("filter: {problem}")))? })
    }
}

impl Policy for MessageFiltering {
    fn phases(&self) -> Phases {
        Phases::default().with_messages()
    }

    fn message<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        match self.filter.as_bool(exchange) {
            Ok(true) => Step::Next,
            Ok(false) => Step::Drop,
            Err(error) => {
                tracing::warn!(api = exchange.api.id, %error, "a filter of messages cannot be evaluated");
                let (key, message) = ("MESSAGE_FILTERING_INVALID", "The filter of messages cannot be evaluated.");
                Step::Reply(Box::new(Reply::refusal(StatusCode::INTERNAL_SERVER_ERROR, key, message)))
            }
        }
    }
}
