//! The guard of plans whose subscribers show a token that an authorization server knows.

mod server;

use std::rc::Rc;

use http::StatusCode;
use ringway_contract::kind::{Part, decode};
use ringway_contract::subscriber::now_ms;
use ringway_contract::{Admission, Exchange, Guard, Kind, Reply, ResourceUse, Subscribers, Value};
use schemars::JsonSchema;
use serde::Deserialize;

use self::server::{Answer, Server};
use crate::tokens::Cache;
use crate::{credentials, jose};

/// `oauth2`.
pub static KIND: Kind<dyn Guard> = Kind {
    name: "oauth2",
    about: "Lets subscribers in whose token an authorization server finds active.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .with_resources(&[ResourceUse { field: "oauthResource", kinds: &[("oauth2", server::check)] }]),
    shared: None,
    messaging: None,
    build: |source, services| {
        let config: Config = decode(source.configuration)?;
        let server = Server::new(source, &config.oauth_resource, services.fetch.clone())?;
        Ok(Rc::new(OAuth2 { config, server, cache: Cache::default() }))
    },
};

/// How long an answer is kept at most.
const KEPT_MS: u64 = 300_000;

/// Configuration of `oauth2`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// Name of the resource, of type `oauth2`, that tokens are shown to.
    pub oauth_resource: String,
    /// When it is there, answers are kept per shard, until the token expires and for five minutes at most. The resource itself is not used.
    pub oauth_cache_resource: Option<String>,
    /// Whether the attribute `oauth.payload` has the server's answer.
    pub extract_payload: bool,
    /// Whether the scopes of the token are looked at.
    pub check_required_scopes: bool,
    /// Scopes that a token must have.
    pub required_scopes: Vec<String>,
    /// Whether a token needs every one of `requiredScopes`; otherwise one is enough.
    pub mode_strict: bool,
    /// Whether the backend sees the token.
    pub propagate_auth_header: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            oauth_resource: String::new(),
            oauth_cache_resource: None,
            extract_payload: false,
            check_required_scopes: false,
            required_scopes: Vec::new(),
            mode_strict: true,
            propagate_auth_header: true,
        }
    }
}

struct OAuth2 {
    config: Config,
    server: Server,
    cache: Cache<Known>,
}

/// What the server said, and until when it holds.
struct Known {
    answer: Answer,
    until_ms: u64,
}

fn refuse<'a>(status: StatusCode, key: &'static str, message: &'static str) -> Admission<'a> {
    let reply = Reply::refusal(status, key, message);
    Admission::Refuse(Box::new(reply.header("WWW-Authenticate", &b"Bearer realm=\"gravitee.io\""[..])))
}

fn invalid<'a>() -> Admission<'a> {
    refuse(StatusCode::UNAUTHORIZED, "OAUTH2_INVALID_ACCESS_TOKEN", "The access token is not valid.")
}

impl OAuth2 {
    fn decide<'a>(
        &self,
        exchange: &mut Exchange,
        subscribers: &Subscribers,
        token: String,
        known: &Known,
    ) -> Admission<'a> {
        if now_ms() >= known.until_ms {
            return invalid();
        }
        let claims = &known.answer.claims;
        let scopes = self.server.scopes(claims);
        if self.config.check_required_scopes {
            let has = |scope: &String| scopes.contains(&scope.as_str());
            let mut required = self.config.required_scopes.iter();
            if !(if self.config.mode_strict { required.all(has) } else { required.any(has) }) {
                let message = "The access token lacks a scope.";
                return refuse(StatusCode::UNAUTHORIZED, "OAUTH2_INSUFFICIENT_SCOPE", message);
            }
        }
        let client = ["client_id", "aud"].iter().find_map(|name| jose::member(claims, name).and_then(jose::first_text));
        let Some(subscriber) = client.and_then(|client| subscribers.by_client(client)) else {
            let message = "The token's client is not subscribed to this plan.";
            return refuse(StatusCode::UNAUTHORIZED, "GATEWAY_PLAN_UNRESOLVABLE", message);
        };
        let attributes = &mut exchange.attributes;
        attributes.set("oauth.access_token", token);
        if let Some(client) = client {
            attributes.set("oauth.client_id", client.to_owned());
        }
        if let Some(user) = jose::at_path(claims, &self.server.user_claim).and_then(jose::first_text) {
            attributes.set("user", user.to_owned());
        }
        let roles = scopes.iter().map(|scope| Value::Text((*scope).to_owned().into()));
        attributes.set_json("user.roles", Value::List(roles.collect()));
        if self.config.extract_payload {
            attributes.set("oauth.payload", known.answer.text.clone());
        }
        Admission::Admit(Some(subscriber.clone()))
    }
}

impl Guard for OAuth2 {
    fn admit<'a>(&'a self, exchange: &'a mut Exchange, subscribers: &'a Subscribers) -> Admission<'a> {
        let Some(token) = credentials::head(exchange).and_then(credentials::bearer) else { return Admission::Pass };
        if token.is_empty() {
            let message = "The access token is empty.";
            return refuse(StatusCode::UNAUTHORIZED, "OAUTH2_MISSING_ACCESS_TOKEN", message);
        }
        // A token is a word (RFC 6750 section 2.1): nothing in it can end a header field or a line.
        if token.len() > jose::TOKEN_BYTES_MAX || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return invalid();
        }
        let token = token.into_owned();
        let digest = jose::digest(token.as_bytes());
        if let Some(known) = self.cache.get(&digest).filter(|known| now_ms() < known.until_ms) {
            return self.decide(exchange, subscribers, token, &known);
        }
        let asking = self.server.ask(&token);
        Admission::Wait(Box::pin(async move {
            let answer = match asking.await {
                Ok(answer) => answer,
                Err(server::Failed::Inactive) => return invalid(),
                Err(server::Failed::Malformed) => {
                    let message = "The authorization server's answer is not valid.";
                    return refuse(StatusCode::UNAUTHORIZED, "OAUTH2_INVALID_SERVER_RESPONSE", message);
                }
                Err(server::Failed::Away) => {
                    let message = "The authorization server does not answer.";
                    return refuse(StatusCode::SERVICE_UNAVAILABLE, "OAUTH2_SERVER_UNAVAILABLE", message);
                }
            };
            let expires = match jose::member(&answer.claims, "exp") {
                Some(Value::Int(seconds)) => u64::try_from(*seconds).unwrap_or(0).saturating_mul(1000),
                _ => u64::MAX,
            };
            let known = Rc::new(Known { answer, until_ms: expires.min(now_ms() + KEPT_MS) });
            if self.config.oauth_cache_resource.is_some() {
                self.cache.put(digest, known.clone());
            }
            self.decide(exchange, subscribers, token, &known)
        }))
    }

    fn conceal(&self, exchange: &mut Exchange) {
        if let Some(request) = exchange.request.as_deref_mut().filter(|_| !self.config.propagate_auth_header) {
            credentials::remove_bearer(&mut request.head);
        }
    }

    fn rank(&self) -> u8 {
        2
    }
}
