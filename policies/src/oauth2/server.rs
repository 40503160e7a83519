//! The authorization server that a resource describes, asked by token introspection (RFC 7662).

use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, StatusCode};
use ringway_contract::kind::{Part, decode};
use ringway_contract::{Fetch, FetchRequest, Node, Problem, Refusal, Source, Value};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::jose;
use crate::query::unreserved;

/// How long the server may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Configuration of a resource of type `oauth2`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    authorization_server_url: String,
    introspection_endpoint: String,
    introspection_endpoint_method: String,
    scope_separator: String,
    client_id: String,
    client_secret: String,
    use_client_authorization_header: bool,
    client_authorization_header_name: String,
    client_authorization_header_scheme: String,
    token_is_supplied_by_query_param: bool,
    token_query_param_name: String,
    token_is_supplied_by_http_header: bool,
    token_header_name: String,
    token_is_supplied_by_form_url_encoded: bool,
    token_form_url_encoded_name: String,
    user_claim: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            authorization_server_url: String::new(),
            introspection_endpoint: "/oauth/check_token".into(),
            introspection_endpoint_method: "GET".into(),
            scope_separator: " ".into(),
            client_id: String::new(),
            client_secret: String::new(),
            use_client_authorization_header: true,
            client_authorization_header_name: "Authorization".into(),
            client_authorization_header_scheme: "Basic".into(),
            token_is_supplied_by_query_param: true,
            token_query_param_name: "token".into(),
            token_is_supplied_by_http_header: false,
            token_header_name: String::new(),
            token_is_supplied_by_form_url_encoded: false,
            token_form_url_encoded_name: "token".into(),
            user_claim: "sub".into(),
        }
    }
}

/// Checks the configuration of such a resource.
pub fn check(node: &Node) -> Vec<Problem> {
    (Part::of::<Config>().check)(node)
}

/// A server.
pub struct Server {
    config: Config,
    url: String,
    method: Method,
    fetch: Rc<dyn Fetch>,
    /// The claim that names the user.
    pub user_claim: String,
}

/// What it said of a token that is active.
pub struct Answer {
    /// As JSON.
    pub claims: Value<'static>,
    /// As it came.
    pub text: String,
}

/// Why a token is not known to be active.
pub enum Failed {
    /// The server says that it is not.
    Inactive,
    /// What it says is not JSON.
    Malformed,
    /// It does not answer, or not with 200.
    Away,
}

impl Server {
    /// The one that the resource `name` describes.
    pub fn new(source: Source<'_>, name: &str, fetch: Option<Rc<dyn Fetch>>) -> Result<Self, Refusal> {
        let (_, configuration) = source.resource(name)?;
        let config: Config = decode(configuration)?;
        let method = match &*config.introspection_endpoint_method {
            "GET" => Method::GET,
            "POST" => Method::POST,
            other => {
                return Err(Refusal(format!(
                    "resource `{name}`: `introspectionEndpointMethod` is `{other}`, not GET or POST"
                )));
            }
        };
        let base = config.authorization_server_url.trim_end_matches('/');
        let path = config.introspection_endpoint.trim_start_matches('/');
        let url = if base.is_empty() { config.introspection_endpoint.clone() } else { format!("{base}/{path}") };
        let parsed = url.parse::<http::Uri>().ok().filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
        if parsed.is_none() {
            return Err(Refusal(format!("resource `{name}`: the introspection endpoint is not an http or https URL")));
        }
        let fetch = fetch.ok_or_else(|| Refusal("there is no client to call the authorization server with".into()))?;
        let user_claim = config.user_claim.clone();
        Ok(Self { config, url, method, fetch, user_claim })
    }

    /// Asks for a token, which is a word of visible ASCII.
    pub fn ask(&self, token: &str) -> impl Future<Output = Result<Answer, Failed>> + use<> {
        let config = &self.config;
        let mut request =
            FetchRequest { timeout: TIMEOUT, method: self.method.clone(), ..FetchRequest::get(&*self.url) };
        if config.token_is_supplied_by_query_param {
            let mark = if request.url.contains('?') { '&' } else { '?' };
            request.url += &format!("{mark}{}={}", config.token_query_param_name, unreserved(token));
        }
        request.headers.push(("Accept".into(), "application/json".into()));
        if config.use_client_authorization_header {
            let credentials = STANDARD.encode(format!("{}:{}", config.client_id, config.client_secret));
            let value = format!("{} {credentials}", config.client_authorization_header_scheme);
            request.headers.push((config.client_authorization_header_name.clone(), value));
        }
        if config.token_is_supplied_by_http_header {
            request.headers.push((config.token_header_name.clone(), token.to_owned()));
        }
        if config.token_is_supplied_by_form_url_encoded && self.method == Method::POST {
            request.headers.push(("Content-Type".into(), "application/x-www-form-urlencoded".into()));
            request.body = Bytes::from(format!("{}={}", config.token_form_url_encoded_name, unreserved(token)));
        }
        let fetching = self.fetch.fetch(request);
        async move {
            let response = fetching.await.map_err(|_| Failed::Away)?;
            if response.status != StatusCode::OK {
                return Err(Failed::Away);
            }
            let claims = jose::parse(&response.body).ok_or(Failed::Malformed)?;
            match jose::member(&claims, "active") {
                None | Some(Value::Bool(true)) => {}
                Some(_) => return Err(Failed::Inactive),
            }
            Ok(Answer { claims, text: String::from_utf8_lossy(&response.body).into_owned() })
        }
    }

    /// The scopes of a token: a list, or a text with separators.
    pub fn scopes<'a>(&self, claims: &'a Value<'static>) -> Vec<&'a str> {
        let said = jose::member(claims, "scope").or_else(|| jose::member(claims, "scp"));
        match said {
            Some(Value::Text(text)) if !self.config.scope_separator.is_empty() => {
                text.split(&*self.config.scope_separator).filter(|scope| !scope.is_empty()).collect()
            }
            other => jose::texts(other).collect(),
        }
    }
}
