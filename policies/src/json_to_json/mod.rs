//! Makes another JSON document of a JSON body, by a JOLT specification.

mod functions;
mod modify;
mod path;
mod shift;
mod simple;

use std::rc::Rc;

use bytes::Bytes;
use http::StatusCode;
use ringway_contract::kind::{Part, Reshaping, decode, refused};
use ringway_contract::{Exchange, Fields, Kind, Phases, Policy, Refusal, Reply, Step};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::json::Value;
use crate::media;
use crate::message;
use crate::scope::Scope;
use modify::{Modify, When};
use shift::Shift;
use simple::{Cardinality, Defaults, Removal};

/// `json-to-json`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "json-to-json",
    about: "Makes another JSON document of a JSON body, by a JOLT specification.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| refused(configuration, decode(configuration).and_then(JsonToJson::new).err()))
        .on_messages(),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(JsonToJson::new(decode(source.configuration)?)?)),
};

/// Configuration of `json-to-json`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// Read, and of no effect: the phase in which the step stands decides.
    #[serde(default)]
    pub scope: Scope,
    /// The JOLT specification, as text: a list of operations, or one.
    pub specification: String,
    /// Whether `Content-Type` becomes `application/json`.
    #[serde(default = "yes")]
    pub override_content_type: bool,
}

fn yes() -> bool {
    true
}

enum Operation {
    Shift(Shift),
    Default(Defaults),
    Remove(Removal),
    Cardinality(Cardinality),
    Modify(Modify),
    Sort,
}

impl Operation {
    fn parse(spec: &Value) -> Result<Self, Refusal> {
        let name = spec.as_object().and_then(|object| object.get("operation")).and_then(Value::as_str);
        let name = name.ok_or_else(|| Refusal("an `operation` is needed".into()))?;
        let needed = || {
            let spec = spec.as_object().and_then(|object| object.get("spec"));
            spec.ok_or_else(|| Refusal(format!("{name}: a `spec` is needed")))
        };
        let parsed = match name {
            "shift" => needed().and_then(Shift::new).map(Self::Shift),
            "default" => needed().and_then(Defaults::parse).map(Self::Default),
            "remove" => needed().and_then(Removal::parse).map(Self::Remove),
            "cardinality" => needed().and_then(Cardinality::parse).map(Self::Cardinality),
            "sort" => return Ok(Self::Sort),
            "modify-overwrite-beta" => needed().and_then(|spec| Modify::new(When::Overwrite, spec)).map(Self::Modify),
            "modify-default-beta" => needed().and_then(|spec| Modify::new(When::Default, spec)).map(Self::Modify),
            "modify-define-beta" => needed().and_then(|spec| Modify::new(When::Define, spec)).map(Self::Modify),
            _ => {
                let known = "shift, default, remove, sort, cardinality, modify-overwrite-beta, modify-default-beta, \
                             modify-define-beta";
                return Err(Refusal(format!("there is no operation `{name}`; there are {known}")));
            }
        };
        parsed.map_err(|Refusal(reason)| Refusal(format!("{name}: {reason}")))
    }

    fn apply(&self, mut value: Value) -> Result<Value, shift::TooLarge> {
        match self {
            Self::Shift(shift) => return shift.apply(&value),
            Self::Default(defaults) => defaults.apply(&mut value),
            Self::Remove(removal) => removal.apply(&mut value),
            Self::Cardinality(cardinality) => cardinality.apply(&mut value),
            Self::Modify(modify) => modify.apply(&mut value),
            Self::Sort => simple::sort(&mut value),
        }
        Ok(value)
    }
}

/// The operations of a specification.
fn operations(specification: &str) -> Result<Vec<Operation>, Refusal> {
    if specification.contains("{#") {
        return Err(Refusal("expressions in it are not evaluated yet".into()));
    }
    let spec = Value::parse(specification.as_bytes()).map_err(|error| Refusal(error.to_string()))?;
    match &spec {
        Value::Array(operations) => operations.iter().map(Operation::parse).collect(),
        single => Operation::parse(single).map(|operation| vec![operation]),
    }
}

fn transform(operations: &[Operation], body: &[u8]) -> Option<String> {
    let mut value = Value::parse(body).ok()?;
    for operation in operations {
        value = operation.apply(value).ok()?;
    }
    Some(value.to_string())
}

/// The same for JSON that is no body.
pub const RESHAPING: Reshaping = Reshaping {
    check: |specification| operations(specification).err().map(|Refusal(reason)| reason),
    build: |specification| {
        let operations = operations(specification)?;
        Ok(Box::new(move |json| transform(&operations, json)))
    },
};

struct JsonToJson {
    operations: Vec<Operation>,
    override_content_type: bool,
}

impl JsonToJson {
    fn new(config: Config) -> Result<Self, Refusal> {
        let operations = operations(&config.specification);
        let operations = operations.map_err(|Refusal(reason)| Refusal(format!("specification: {reason}")))?;
        Ok(Self { operations, override_content_type: config.override_content_type })
    }

    fn run<'a>(&self, content: &mut Option<Bytes>, fields: &mut Fields, status: StatusCode) -> Step<'a> {
        let is_json = media::is_json(fields);
        let Some(body) = content.as_ref().filter(|body| is_json && !body.is_empty()) else { return Step::Next };
        let Some(json) = transform(&self.operations, body) else {
            let message = "Unable to apply the JOLT transformation to the payload";
            return Step::Reply(Box::new(Reply::refusal(status, "INVALID_JSON_TRANSFORMATION", message)));
        };
        *content = Some(json.into());
        if self.override_content_type {
            // A constant is a value that every head takes.
            let _ = fields.set("Content-Type", "application/json");
        }
        Step::Next
    }
}

impl Policy for JsonToJson {
    fn phases(&self) -> Phases {
        Phases { request: true, response: true, ..Phases::default() }.with_content().with_messages()
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let Some(request) = exchange.request.as_deref_mut() else { return Step::Next };
        self.run(&mut exchange.contents.request, &mut request.head.fields, StatusCode::BAD_REQUEST)
    }

    fn response<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let Some(response) = exchange.response.as_deref_mut() else { return Step::Next };
        self.run(&mut exchange.contents.response, &mut response.fields, StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn message<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        message::content(exchange, "application/json", |content, fields, status| self.run(content, fields, status))
    }
}
