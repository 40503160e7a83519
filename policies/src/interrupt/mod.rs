//! Ends an exchange with an answer of the API's own.

use std::rc::Rc;

use http::StatusCode;
use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::{Exchange, Kind, Phases, Policy, Refusal, Reply, Step};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::scope::ContentScope;
use crate::text::Text;

/// Variables of one step.
const VARIABLES_MAX: usize = 64;

/// `policy-interrupt`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "policy-interrupt",
    about: "Ends the exchange with a status, an error key and a message.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| refused(configuration, decode(configuration).and_then(Interrupt::new).err())),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(Interrupt::new(decode(source.configuration)?)?)),
};

/// Configuration of `policy-interrupt`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// Where older releases run the step. Has no effect: a step runs in the phase in which it stands.
    #[serde(default)]
    pub scope: Option<ContentScope>,
    /// Status of the answer, 300 to 599.
    #[serde(default = "internal_error")]
    #[schemars(range(min = 300, max = 599))]
    pub status_code: u16,
    /// The key by which a response template is found.
    pub error_key: String,
    /// What the answer says without a response template; may have expressions.
    pub message: String,
    /// What response templates may tell besides: `{#parameters['name']}`.
    #[serde(default)]
    pub variables: Vec<Variable>,
}

fn internal_error() -> u16 {
    500
}

/// A variable.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value; may have expressions.
    pub value: String,
}

struct Interrupt {
    status: StatusCode,
    key: String,
    message: Text,
    variables: Vec<(String, Text)>,
}

impl Interrupt {
    fn new(config: Config) -> Result<Self, Refusal> {
        let code = config.status_code;
        let status = StatusCode::from_u16(code).ok().filter(|_| (300..600).contains(&code));
        let status = status.ok_or_else(|| Refusal(format!("statusCode: {code} is not between 300 and 599")))?;
        // It stands in answers, logs and metrics.
        let is_key =
            |text: &str| !text.is_empty() && text.len() <= 128 && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_key(&config.error_key) {
            return Err(Refusal("errorKey: 1 to 128 visible ASCII characters, such as `MY_KEY`".into()));
        }
        if config.variables.len() > VARIABLES_MAX {
            return Err(Refusal(format!("variables: at most {VARIABLES_MAX}")));
        }
        let variables = config.variables.into_iter().enumerate().map(|(at, Variable { name, value })| {
            Ok((name, Text::on_both(&format!("variables[{at}].value"), &value)?))
        });
        Ok(Self {
            status,
            key: config.error_key,
            message: Text::on_both("message", &config.message)?,
            variables: variables.collect::<Result<_, Refusal>>()?,
        })
    }

    fn reply(&self, exchange: &Exchange) -> Result<Box<Reply>, Box<Reply>> {
        let mut reply = Reply::refusal(self.status, self.key.clone(), self.message.render(exchange)?.into_owned());
        for (name, value) in &self.variables {
            reply = reply.parameter(name.clone(), value.render(exchange)?);
        }
        Ok(Box::new(reply))
    }

    fn stop<'a>(&self, exchange: &Exchange) -> Step<'a> {
        // What cannot be evaluated ends the exchange as well, with another answer.
        Step::Reply(self.reply(exchange).unwrap_or_else(|failed| failed))
    }
}

impl Policy for Interrupt {
    fn phases(&self) -> Phases {
        let texts = self.variables.iter().map(|(_, text)| text).chain([&self.message]);
        let mut phases = Phases { request: true, response: true, ..Phases::default() };
        for needs in texts.map(Text::needs) {
            phases.request_content |= needs.request_content;
            phases.response_content |= needs.response_content;
        }
        phases
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        self.stop(exchange)
    }

    fn response<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        self.stop(exchange)
    }
}
