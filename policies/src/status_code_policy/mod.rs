//! Replaces the status of the response.

use std::rc::Rc;

use bytes::Bytes;
use http::StatusCode;
use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::{Exchange, Kind, Phases, Policy, Refusal, Step};
use schemars::JsonSchema;
use serde::Deserialize;

/// `status-code-policy`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "status-code-policy",
    about: "Replaces status codes of the response by others.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| refused(configuration, decode(configuration).and_then(StatusCodes::new).err())),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(StatusCodes::new(decode(source.configuration)?)?)),
};

/// Configuration of `status-code-policy`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// Which statuses become which; the first that fits counts.
    pub status_mappings: Vec<Mapping>,
}

/// One status and what it becomes.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mapping {
    /// The status of the response, 100 to 599.
    pub input_status_code: u16,
    /// The one that the client sees, 200 to 599.
    pub output_status_code: u16,
}

struct StatusCodes {
    mappings: Box<[(StatusCode, StatusCode)]>,
}

impl StatusCodes {
    fn new(config: Config) -> Result<Self, Refusal> {
        let status = |at: usize, field: &str, code: u16, least: u16| {
            let known = StatusCode::from_u16(code).ok().filter(|_| (least..600).contains(&code));
            known.ok_or_else(|| Refusal(format!("statusMappings[{at}].{field}: {code} is not between {least} and 599")))
        };
        let mappings = config.status_mappings.into_iter().enumerate().map(|(at, mapping)| {
            Ok((
                status(at, "inputStatusCode", mapping.input_status_code, 100)?,
                status(at, "outputStatusCode", mapping.output_status_code, 200)?,
            ))
        });
        Ok(Self { mappings: mappings.collect::<Result<_, _>>()? })
    }
}

/// RFC 9110 sections 15.3.5, 15.3.6 and 15.4.5: a response with this status has no content.
fn is_bare(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED)
}

impl Policy for StatusCodes {
    fn phases(&self) -> Phases {
        // To be dropped, a body must be held.
        if self.mappings.iter().any(|(_, output)| is_bare(*output)) {
            Phases::RESPONSE.with_content()
        } else {
            Phases::RESPONSE
        }
    }

    fn response<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        if let Some(response) = exchange.response.as_deref_mut()
            && let Some((_, output)) = self.mappings.iter().find(|(input, _)| *input == response.status)
        {
            response.status = *output;
            if is_bare(*output) {
                exchange.contents.response = exchange.contents.response.take().map(|_| Bytes::new());
            }
        }
        Step::Next
    }
}
