//! Bounds the body of the request.

use std::rc::Rc;

use http::StatusCode;
use ringway_contract::kind::{Part, decode};
use ringway_contract::{Exchange, Framing, Kind, Known, Phases, Policy, Reply, Step};
use schemars::JsonSchema;
use serde::Deserialize;

/// `request-content-limit`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "request-content-limit",
    about: "Refuses requests whose body is too long, or of unknown length.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>(),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(ContentLimit { limit: decode::<Config>(source.configuration)?.limit })),
};

/// Configuration of `request-content-limit`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// Bytes that the body may have.
    pub limit: u64,
}

struct ContentLimit {
    limit: u64,
}

fn refuse<'a>(status: StatusCode, key: &'static str, message: &'static str) -> Step<'a> {
    Step::Reply(Box::new(Reply::refusal(status, key, message)))
}

impl Policy for ContentLimit {
    fn phases(&self) -> Phases {
        Phases::REQUEST
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let Some(request) = exchange.request.as_deref() else { return Step::Next };
        let framing = request.head.framing;
        // What an earlier step holds has its length, however it came.
        let held = exchange.contents.request.as_ref().map(|content| content.len() as u64);
        let bytes = match framing {
            Framing::Length(declared) => declared.max(held.unwrap_or_default()),
            _ => held.unwrap_or_default(),
        };
        if bytes > self.limit {
            let message = "The body of the request is larger than this API takes.";
            return refuse(StatusCode::PAYLOAD_TOO_LARGE, "REQUEST_CONTENT_LIMIT_TOO_LARGE", message);
        }
        // A body of unknown length is counted on its way: to hold it for that would cost more than what is guarded here.
        let before = exchange.request_bytes_max.unwrap_or(u64::MAX);
        exchange.request_bytes_max = Some(before.min(self.limit));
        let declared = request.head.fields.known(Known::ContentLength).is_some();
        if framing == Framing::None && !declared && held.is_none_or(|bytes| bytes == 0) {
            let message = "The request does not say how long its body is.";
            return refuse(StatusCode::LENGTH_REQUIRED, "REQUEST_CONTENT_LIMIT_LENGTH_REQUIRED", message);
        }
        Step::Next
    }
}
