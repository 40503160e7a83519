//! Replaces the method of the request.

use std::rc::Rc;

use http::Method;
use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::{Exchange, Kind, Phases, Policy, Refusal, Step};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::verb::Verb;

/// `policy-override-request-method`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "policy-override-request-method",
    about: "Sends the request with another method.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| refused(configuration, decode(configuration).and_then(method).err())),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(OverrideRequestMethod { method: method(decode(source.configuration)?)? })),
};

/// Configuration of `policy-override-request-method`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The method. Not `CONNECT`, which has no path.
    pub method: Verb,
}

struct OverrideRequestMethod {
    method: Method,
}

fn method(config: Config) -> Result<Method, Refusal> {
    if config.method == Verb::Connect {
        return Err(Refusal(
            "method: a request cannot become a CONNECT, which has no path (RFC 9110 section 9.3.6)".into(),
        ));
    }
    Ok(config.method.method())
}

impl Policy for OverrideRequestMethod {
    fn phases(&self) -> Phases {
        Phases::REQUEST
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        if let Some(request) = exchange.request.as_deref_mut() {
            request.head.method.clone_from(&self.method);
        }
        Step::Next
    }
}
