//! Calls another service beside the traffic.

mod answer;
mod config;

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use http::{Method, StatusCode};
use ringway_contract::kind::{Part, Services, decode, refused};
use ringway_contract::{
    Exchange, Fault, Fetch, FetchRequest, FetchResponse, Kind, Needs, Node, Phases, Policy, Problem, Refusal, Reply,
    Root, Step, Template, Vocabulary,
};

use self::answer::Answered;
pub use self::config::Config;
use crate::gate::Gate;
use crate::status::Status;
use crate::text::Text;

/// `policy-http-callout`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "policy-http-callout",
    about: "Calls an HTTP service, and puts what it answers into attributes.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>().examined(|configuration, _| examine(configuration)).on_messages(),
    shared: None,
    messaging: None,
    build: |source, services| Ok(Rc::new(Callout::new(decode(source.configuration)?, services)?)),
};

/// How long the service may take, from the connection to the last byte of its answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Fields of a call, and variables of a step.
const ITEMS_MAX: usize = 64;

const FAILED: &str = "CALLOUT_HTTP_ERROR";
const EXIT: &str = "CALLOUT_EXIT_ON_ERROR";

fn examine(configuration: Option<&Node>) -> Vec<Problem> {
    let decoded = decode::<Config>(configuration);
    let by_proxy = decoded.as_ref().is_ok_and(|config| config.use_system_proxy);
    let built = decoded.and_then(|config| Callout::new(config, &Services::default()));
    let mut problems = refused(configuration, built.err());
    if let Some(node) = configuration.filter(|_| by_proxy) {
        let span = &node.field("useSystemProxy").unwrap_or(node).span;
        let message = "there is no system proxy: the service is called directly";
        problems.push(Problem::warning(span, "configuration.useSystemProxy", message));
    }
    problems
}

struct Variable {
    name: String,
    value: Text,
    as_text: bool,
}

/// What ends the exchange.
struct Exit {
    condition: Template,
    status: StatusCode,
    content: Option<Text>,
}

struct Callout {
    method: Method,
    url: Text,
    headers: Vec<(String, Text)>,
    body: Option<Text>,
    variables: Vec<Variable>,
    exit: Option<Exit>,
    forget: bool,
    gate: Rc<Gate>,
    fetch: Option<Rc<dyn Fetch>>,
    spawn: fn(Pin<Box<dyn Future<Output = ()>>>),
    needs: Needs,
}

impl Callout {
    fn new(config: Config, services: &Services) -> Result<Self, Refusal> {
        if config.headers.len() > ITEMS_MAX || config.variables.len() > ITEMS_MAX {
            return Err(Refusal(format!("headers, variables: at most {ITEMS_MAX} of each")));
        }
        let method = config.method.method();
        if method == Method::CONNECT || method == Method::TRACE {
            return Err(Refusal(format!("method: {method} asks no service for anything")));
        }
        let url = Text::on_both("url", config.url.trim())?;
        if let Some(fixed) = url.constant()
            && !(fixed.starts_with("http://") || fixed.starts_with("https://"))
        {
            return Err(Refusal("url: it begins with `http://` or `https://`, or is an expression".into()));
        }
        let mut probe = ringway_contract::Fields::default();
        let headers = config.headers.into_iter().enumerate().map(|(at, header)| {
            let name = header.name.trim().to_owned();
            probe.append(&name, "").map_err(|error| Refusal(format!("headers[{at}].name: {error}")))?;
            Ok((name, Text::on_both(&format!("headers[{at}].value"), &header.value.unwrap_or_default())?))
        });
        let headers = headers.collect::<Result<Vec<_>, Refusal>>()?;
        let body = config.body.filter(|body| !body.is_empty());
        let body = body.map(|body| Text::on_both("body", &body)).transpose()?;
        // The answer has a name behind the call only.
        let behind = Vocabulary::any().with(Root::CalloutResponse);
        let variables = config.variables.into_iter().enumerate().filter(|(_, variable)| !variable.name.is_empty());
        let variables = variables.map(|(at, variable)| {
            let field = format!("variables[{at}].value");
            let value = Text::new(&field, &variable.value.unwrap_or_default(), &behind)?;
            Ok(Variable { name: variable.name, value, as_text: variable.evaluate_as_string })
        });
        let variables = variables.collect::<Result<Vec<_>, Refusal>>()?;
        let exit = config.exit_on_error.then(|| -> Result<Exit, Refusal> {
            let condition = Template::condition(&config.error_condition, &behind);
            let content = config.error_content.filter(|content| !content.is_empty());
            Ok(Exit {
                condition: condition.map_err(|problem| Refusal(format!("errorCondition: {problem}")))?,
                status: Status::read(
                    "errorStatusCode",
                    config.error_status_code.as_ref(),
                    StatusCode::INTERNAL_SERVER_ERROR,
                )?,
                content: content.map(|text| Text::new("errorContent", &text, &behind)).transpose()?,
            })
        });
        let exit = exit.transpose()?;

        let mut needs = Needs::default();
        let texts = headers.iter().map(|(_, value)| value).chain(body.as_ref()).chain([&url]);
        let texts = texts.chain(variables.iter().map(|variable| &variable.value));
        let texts = texts.chain(exit.as_ref().and_then(|exit| exit.content.as_ref())).map(Text::needs);
        for own in texts.chain(exit.as_ref().map(|exit| exit.condition.needs())) {
            needs.request_content |= own.request_content;
            needs.response_content |= own.response_content;
        }
        Ok(Self {
            method,
            url,
            headers,
            body,
            variables,
            exit,
            forget: config.fire_and_forget,
            gate: Gate::new(config.http.max_concurrent_connections, services.shards),
            fetch: services.fetch.clone(),
            spawn: services.spawn,
            needs,
        })
    }

    fn asked(&self, exchange: &Exchange) -> Result<FetchRequest, Box<Reply>> {
        let headers = self.headers.iter();
        let headers = headers.map(|(name, value)| Ok((name.clone(), value.render(exchange)?.into_owned())));
        let body = self.body.as_ref().map(|body| body.render(exchange)).transpose()?.unwrap_or_default();
        Ok(FetchRequest {
            method: self.method.clone(),
            url: self.url.render(exchange)?.into_owned(),
            headers: headers.collect::<Result<_, Box<Reply>>>()?,
            body: body.into_owned().into(),
            timeout: TIMEOUT,
        })
    }

    fn call<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let asked = match self.asked(exchange) {
            Ok(asked) => asked,
            Err(reply) => return Step::Reply(reply),
        };
        let Some(fetch) = &self.fetch else { return Step::Next };
        if self.forget {
            // Nobody waits for it: one too many is left out rather than kept.
            match self.gate.try_enter() {
                Some(pass) => {
                    let (call, api) = (fetch.fetch(asked), exchange.api.clone());
                    (self.spawn)(Box::pin(async move {
                        if let Err(fault) = call.await {
                            tracing::debug!(api = api.id, %fault, "a callout failed");
                        }
                        drop(pass);
                    }));
                }
                None => tracing::debug!(api = exchange.api.id, "a callout is left out: too many are under way"),
            }
            return Step::Next;
        }
        Step::Wait(Box::pin(async move {
            let pass = self.gate.enter().await;
            let answer = fetch.fetch(asked).await;
            drop(pass);
            match self.settle(exchange, answer) {
                Ok(()) => Step::Next,
                Err(reply) => Step::Reply(reply),
            }
        }))
    }

    /// What the answer means for the exchange.
    fn settle(&self, exchange: &mut Exchange, answer: Result<FetchResponse, Fault>) -> Result<(), Box<Reply>> {
        let response = match answer {
            Ok(response) => response,
            Err(fault) => {
                tracing::debug!(api = exchange.api.id, %fault, "a callout failed");
                let message = "A service that this API asks does not answer.";
                return match self.exit {
                    None => Ok(()),
                    Some(_) => Err(Box::new(Reply::refusal(StatusCode::INTERNAL_SERVER_ERROR, FAILED, message))),
                };
            }
        };
        let mut set = Vec::new();
        {
            let answered = Answered { exchange, response: &response };
            if let Some(exit) = &self.exit
                && exit.is_due(&answered)?
            {
                return Err(exit.reply(&answered)?);
            }
            for variable in &self.variables {
                let value = variable.value.evaluate_in(&answered, exchange)?;
                // What is missing sets nothing.
                if !value.is_null() {
                    let text = variable.as_text.then(|| variable.value.render_in(&answered, exchange)).transpose()?;
                    set.push((&variable.name, text.ok_or_else(|| value.into_static())));
                }
            }
        }
        for (name, value) in set {
            match value {
                Ok(text) => exchange.attributes.set(name.clone(), text),
                Err(value) => exchange.attributes.set_json(name.clone(), value),
            }
        }
        Ok(())
    }
}

impl Exit {
    fn is_due(&self, answered: &Answered<'_>) -> Result<bool, Box<Reply>> {
        self.condition.as_bool(answered).map_err(|error| {
            tracing::warn!(api = answered.exchange.api.id, %error, "`errorCondition` of a callout cannot be evaluated");
            let message = "A condition of this API cannot be evaluated.";
            Box::new(Reply::refusal(StatusCode::INTERNAL_SERVER_ERROR, "GATEWAY_POLICY_INTERNAL_ERROR", message))
        })
    }

    fn reply(&self, answered: &Answered<'_>) -> Result<Box<Reply>, Box<Reply>> {
        let message = Cow::Borrowed("A service that this API asks does not let the request pass.");
        let mut reply = Reply::refusal(self.status, EXIT, message);
        if let Some(content) = &self.content {
            let body = content.render_in(answered, answered.exchange)?;
            let is_json = body.trim_start().starts_with(['{', '[']);
            let media: &[u8] = if is_json { b"application/json" } else { b"text/plain; charset=utf-8" };
            reply = reply.header("Content-Type", media);
            reply.body = Some(body.into());
        }
        Ok(Box::new(reply))
    }
}

impl Policy for Callout {
    fn phases(&self) -> Phases {
        Phases {
            request: true,
            response: true,
            request_content: self.needs.request_content,
            response_content: self.needs.response_content,
            ..Phases::default()
        }
        .with_messages()
    }

    fn message<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        self.call(exchange)
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        self.call(exchange)
    }

    fn response<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        self.call(exchange)
    }
}
