//! Refuses requests whose values are not what they must be.

use std::rc::Rc;

use bytes::Bytes;
use http::StatusCode;
use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::{Exchange, Kind, Phases, Policy, Refusal, Reply, Step};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::status::Status;
use crate::text::Text;

mod constraint;
mod date;

use constraint::{Constraint, Type};

/// `policy-request-validation`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "policy-request-validation",
    about: "Refuses requests whose parameters, fields or body are not what they must be.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>().examined(|configuration, _| {
        refused(configuration, decode(configuration).and_then(RequestValidation::new).err())
    }),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(RequestValidation::new(decode(source.configuration)?)?)),
};

/// Configuration of `policy-request-validation`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// Accepted for older definitions: the body is held if a rule looks at it.
    pub scope: Scope,
    /// Status of the answer to a request that is not valid, 200 to 599. Default 400.
    pub status: Option<Status>,
    /// The rules; all of them are asked.
    pub rules: Vec<Rule>,
}

/// What an older definition says of the phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Scope {
    /// Without the body.
    #[default]
    Request,
    /// With the body.
    RequestContent,
}

/// What is looked at, and what it must be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// The value, such as `{#request.params['id'][0]}`.
    pub input: String,
    /// Whether there must be a value; without one, the constraint is not asked.
    #[serde(default = "yes")]
    pub is_required: bool,
    /// What it must be.
    pub constraint: Constrained,
}

/// A constraint.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Constrained {
    /// Its kind.
    #[serde(rename = "type", default)]
    pub kind: Type,
    /// What it compares with; may have expressions.
    #[serde(default)]
    pub parameters: Vec<String>,
    /// The message of a violation; each `%s` is replaced by the value, then by the parameters.
    #[serde(default)]
    pub message: Option<String>,
}

fn yes() -> bool {
    true
}

struct RequestValidation {
    status: StatusCode,
    rules: Box<[Compiled]>,
}

struct Compiled {
    input: Text,
    is_required: bool,
    constraint: Constraint,
}

impl RequestValidation {
    fn new(config: Config) -> Result<Self, Refusal> {
        let status = Status::read("status", config.status.as_ref(), StatusCode::BAD_REQUEST)?;
        let rules = config.rules.into_iter().enumerate().map(|(at, rule)| {
            let field = format!("rules[{at}].constraint");
            let Constrained { kind, parameters, message } = rule.constraint;
            Ok(Compiled {
                input: Text::on_request(&format!("rules[{at}].input"), &rule.input)?,
                is_required: rule.is_required,
                constraint: Constraint::new(&field, kind, &parameters, message)?,
            })
        });
        Ok(Self { status, rules: rules.collect::<Result<_, _>>()? })
    }

    fn check(&self, exchange: &Exchange) -> Result<(), Box<Reply>> {
        let mut violations: Vec<String> = Vec::new();
        for rule in &self.rules {
            let value = rule.input.value(exchange)?;
            if value.is_none() && !rule.is_required {
                continue;
            }
            let violation = rule.constraint.violation(value.as_deref(), exchange)?;
            violations.extend(violation.filter(|violation| !violations.contains(violation)));
        }
        if violations.is_empty() { Ok(()) } else { Err(self.refusal(&violations)) }
    }

    #[cold]
    fn refusal(&self, violations: &[String]) -> Box<Reply> {
        let message = "The request is not valid.";
        let body = serde_json::json!({ "message": message, "constraints": violations });
        let mut reply = Reply::refusal(self.status, "REQUEST_VALIDATION_INVALID", message);
        reply.body = Some(Bytes::from(body.to_string()));
        Box::new(reply.header("Content-Type", "application/json"))
    }
}

impl Policy for RequestValidation {
    fn phases(&self) -> Phases {
        let needs =
            |rule: &Compiled| rule.constraint.needs().chain([rule.input.needs()]).any(|needs| needs.request_content);
        if self.rules.iter().any(needs) { Phases::REQUEST.with_content() } else { Phases::REQUEST }
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        self.check(exchange).map_or_else(Step::Reply, |()| Step::Next)
    }
}
