//! A service that knows users: `auth-provider-http-resource`.

use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderName, Method};
use ringway_contract::context::Field;
use ringway_contract::kind::{Part, decode};
use ringway_contract::{Exchange, Fetch, FetchRequest, Node, Problem, Refusal, Root, Template, Vocabulary};
use schemars::JsonSchema;
use serde::Deserialize;

use super::Credentials;
use super::provider::{Asking, Provider, User, Verdict};
use crate::asked::Asked;

/// Configuration of a resource of type `auth-provider-http-resource`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    method: String,
    url: String,
    headers: Vec<Header>,
    body: String,
    condition: String,
    use_system_proxy: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Header {
    name: String,
    #[serde(default)]
    value: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            method: "POST".into(),
            url: String::new(),
            headers: Vec::new(),
            body: String::new(),
            condition: "{#authResponse.status == 200}".into(),
            use_system_proxy: false,
        }
    }
}

/// Checks the configuration of such a resource.
pub fn check(node: &Node) -> Vec<Problem> {
    let mut problems = (Part::of::<Config>().check)(node);
    let Ok(config) = decode::<Config>(Some(node)) else { return problems };
    if let Some(said) = node.field("useSystemProxy").filter(|_| config.use_system_proxy) {
        problems.push(Problem::warning(&said.span, "useSystemProxy", "the service is called without a proxy"));
    }
    if let Err((field, message)) = Call::new(config) {
        let place = node.field(field).unwrap_or(node);
        problems.push(Problem::error(&place.span, field, message));
    }
    problems
}

/// What is called, and what its answer means.
struct Call {
    method: Method,
    url: String,
    headers: Vec<(String, Template)>,
    body: Option<Template>,
    condition: Template,
}

impl Call {
    /// The field that is wrong, and what is wrong with it.
    fn new(config: Config) -> Result<Self, (&'static str, String)> {
        let method = match &*config.method {
            "GET" => Method::GET,
            "POST" => Method::POST,
            "PUT" => Method::PUT,
            "DELETE" => Method::DELETE,
            "PATCH" => Method::PATCH,
            "HEAD" => Method::HEAD,
            "OPTIONS" => Method::OPTIONS,
            other => {
                return Err(("method", format!("`{other}` is none of GET, POST, PUT, DELETE, PATCH, HEAD, OPTIONS")));
            }
        };
        let parsed = config.url.parse::<http::Uri>().ok();
        if parsed.is_none_or(|uri| !matches!(uri.scheme_str(), Some("http" | "https"))) {
            return Err(("url", "it is not an http or https URL".into()));
        }
        let asked = Vocabulary::request().with(Root::Username).with(Root::Password);
        let compiled =
            |field, text: &str| Template::compile(text, &asked).map_err(|problem| (field, problem.to_string()));
        let mut headers = Vec::with_capacity(config.headers.len());
        for Header { name, value } in config.headers {
            if HeaderName::from_bytes(name.as_bytes()).is_err() {
                return Err(("headers", format!("`{name}` is no name of a field")));
            }
            headers.push((name, compiled("headers", &value)?));
        }
        let body = Some(config.body).filter(|body| !body.is_empty());
        let body = body.map(|body| compiled("body", &body)).transpose()?;
        let condition = Template::condition(&config.condition, &asked.with(Root::AuthResponse));
        let condition = condition.map_err(|problem| ("condition", problem.to_string()))?;
        Ok(Self { method, url: config.url, headers, body, condition })
    }

    /// The request; `None`: an expression leads to what cannot be sent.
    fn request(&self, asked: &Asked<'_>) -> Option<FetchRequest> {
        let text = |template: &Template| {
            let mut text = String::new();
            template.render(asked, &mut text).ok().map(|()| text)
        };
        let mut request = FetchRequest { method: self.method.clone(), ..FetchRequest::get(&*self.url) };
        for (name, template) in &self.headers {
            // What is no text of one line would be a field of the caller's making.
            let value = text(template).filter(|value| !value.contains(char::is_control))?;
            request.headers.push((name.clone(), value));
        }
        if let Some(body) = &self.body {
            request.body = Bytes::from(text(body)?);
        }
        Some(request)
    }
}

/// A service.
pub struct Service {
    call: Call,
    fetch: Rc<dyn Fetch>,
}

impl Service {
    /// # Errors
    /// A field is wrong, or there is no client to call with.
    pub fn new(configuration: Option<&Node>, fetch: Option<Rc<dyn Fetch>>) -> Result<Self, Refusal> {
        let call =
            Call::new(decode(configuration)?).map_err(|(field, message)| Refusal(format!("{field}: {message}")))?;
        let fetch = fetch.ok_or_else(|| Refusal("there is no client to call the service with".into()))?;
        Ok(Self { call, fetch })
    }
}

impl Provider for Service {
    fn needs_content(&self) -> bool {
        let headers = self.call.headers.iter().map(|(_, value)| value);
        let mut all = headers.chain(&self.call.body).chain([&self.call.condition]);
        all.any(|template| template.needs().request_content)
    }

    fn knows(&self, _: &Exchange, _: &Credentials) -> Option<Verdict> {
        None
    }

    fn ask<'a>(&'a self, exchange: &'a Exchange, credentials: &'a Credentials) -> Asking<'a> {
        Box::pin(async move {
            let texts = &[(Field::Username, &*credentials.name), (Field::Password, &*credentials.password)];
            let Some(request) = self.call.request(&Asked { exchange, texts, response: None }) else {
                return Verdict::Unknown;
            };
            let Ok(response) = self.fetch.fetch(request).await else { return Verdict::Away };
            match self.call.condition.as_bool(&Asked { exchange, texts, response: Some(&response) }) {
                Ok(true) => {
                    Verdict::Known(User { name: credentials.name.clone(), roles: None, attributes: Vec::new() })
                }
                Ok(false) => Verdict::Unknown,
                Err(error) => {
                    tracing::warn!(api = exchange.api.id, %error, "the condition on an authentication cannot be evaluated");
                    Verdict::Away
                }
            }
        })
    }
}
