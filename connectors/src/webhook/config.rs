//! What a definition may say of webhooks. Names and defaults are the reference product's.

use std::collections::BTreeMap;
use std::time::Duration;

use ringway_contract::{Growth, Patience};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::http_proxy::config::{Header, ProxyConfig};
use crate::tls::SslConfig;

/// `configuration` of the entrypoint.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// Whether a subscription stops when its consumer still answers with a 5xx after all attempts. If not, the message is dead-lettered, or
    /// dropped where there is no dead-letter queue, and the next one follows.
    pub interrupt_consumption_on_server_error: bool,
    /// The same when the consumer cannot be reached or does not answer.
    pub interrupt_consumption_on_exception: bool,
    /// Whether `callbackUrl` and the token endpoint of `oauth2` may lead to loopback, private and link-local addresses. Ringway's own option:
    /// subscribers choose these URLs, and by them could reach what only the gateway can.
    pub allow_private_addresses: bool,
    /// Timeouts and connections.
    pub http: HttpConfig,
    /// A proxy between the gateway and consumers. What a name means is then the proxy's to say: only URLs with an address are checked for
    /// `allowPrivateAddresses`.
    pub proxy: ProxyConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            interrupt_consumption_on_server_error: true,
            interrupt_consumption_on_exception: true,
            allow_private_addresses: false,
            http: HttpConfig::default(),
            proxy: ProxyConfig::default(),
        }
    }
}

/// Timeouts and connections.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct HttpConfig {
    /// The longest that connecting may take, in milliseconds, name resolution and TLS included. 0: two minutes.
    pub connect_timeout: u64,
    /// The longest that a consumer may stay silent after a request, in milliseconds. 0: for ever.
    pub read_timeout: u64,
    /// How long an idle connection is kept, in milliseconds.
    pub idle_timeout: u64,
    /// Most messages of a subscription that are under way at once, each over a connection of its own. With `AT_LEAST_ONCE` and `AT_MOST_ONCE`
    /// it is 1.
    #[schemars(range(min = 1, max = 20))]
    pub max_concurrent_connections: usize,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self { connect_timeout: 3_000, read_timeout: 10_000, idle_timeout: 60_000, max_concurrent_connections: 5 }
    }
}

/// `entrypointConfiguration` of a subscription.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SubscriptionConfig {
    /// Where messages are sent to: an `http` or `https` URL.
    pub callback_url: String,
    /// Fields of every request, instead of those of the message and of `auth` that have the same names.
    #[serde(default)]
    pub headers: Vec<Header>,
    /// How the gateway shows who it is.
    #[serde(default)]
    pub auth: Auth,
    /// TLS towards the consumer.
    #[serde(default)]
    pub ssl: SslConfig,
    /// How often a delivery is tried again.
    #[serde(default)]
    pub retry: Retry,
}

/// How the gateway shows who it is.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Auth {
    /// Which of these is used.
    #[serde(rename = "type")]
    pub kind: AuthKind,
    /// User name and password.
    pub basic: Option<Basic>,
    /// A bearer token.
    pub token: Option<Token>,
    /// A token of an authorization server.
    pub oauth2: Option<Oauth2>,
    /// A signature of each message.
    pub signature: Option<Signature>,
    /// A token that the gateway signs.
    pub jwt: Option<Jwt>,
}

/// Kinds of authentication.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuthKind {
    /// None.
    #[default]
    None,
    /// `Authorization: Basic` (RFC 7617).
    Basic,
    /// `Authorization: Bearer` with a given token.
    Token,
    /// `Authorization: Bearer` with a token by client credentials (RFC 6749 section 4.4).
    Oauth2,
    /// `webhook-signature`: HMAC with SHA-256 over id, time and body (Standard Webhooks).
    Signature,
    /// `Authorization: Bearer` with a JWT that the gateway signs (RFC 7519).
    Jwt,
}

/// User name and password.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Basic {
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
}

/// A bearer token.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Token {
    /// The token.
    pub value: String,
}

/// Client credentials.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Oauth2 {
    /// URL of the token endpoint. It is reached with the subscription's `ssl`.
    pub endpoint: String,
    /// Client id.
    pub client_id: String,
    /// Client secret.
    pub client_secret: String,
    /// Scopes to ask for.
    #[serde(default)]
    pub scopes: Vec<String>,
}

/// A secret that both sides know.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Signature {
    /// The secret: `whsec_` and base64, or any other text, which is taken as it is.
    #[schemars(length(min = 1))]
    pub secret: String,
}

/// A token that the gateway signs.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Jwt {
    /// How it is signed.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// HS256: the secret. RS256: the private key, PEM (PKCS#8, or `RSA PRIVATE KEY`).
    #[schemars(length(min = 1))]
    pub key: String,
    /// `kid` of the header.
    pub key_id: Option<String>,
    /// Claims besides `iat` and `exp`, such as `iss`, `sub` and `aud`.
    #[serde(default)]
    pub claims: BTreeMap<String, String>,
    /// How long a token is valid, in seconds. It is used for half of that.
    #[serde(default = "five_minutes")]
    #[schemars(range(min = 10, max = 86400))]
    pub lifetime_seconds: u64,
}

fn five_minutes() -> u64 {
    300
}

/// How a token is signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    #[default]
    HS256,
    /// RSA with SHA-256.
    RS256,
}

/// How often a delivery is tried again.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Retry {
    /// Whether it is tried again.
    pub retry_option: RetryOption,
    /// The same as `retryOption`, as some exports say it beside.
    pub retry_on_fail: Option<bool>,
    /// How the time between two attempts grows.
    pub retry_strategy: RetryStrategy,
    /// Attempts after the first.
    #[schemars(range(min = 0, max = 100))]
    pub max_attempts: u32,
    /// Time before the second attempt, in seconds.
    #[schemars(range(max = 86400))]
    pub initial_delay_seconds: u64,
    /// The longest time between two attempts, in seconds.
    #[schemars(range(max = 86400))]
    pub max_delay_seconds: u64,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            retry_option: RetryOption::NoRetry,
            retry_on_fail: None,
            retry_strategy: RetryStrategy::Linear,
            max_attempts: 3,
            initial_delay_seconds: 10,
            max_delay_seconds: 30,
        }
    }
}

impl Retry {
    /// As the engine takes it; `None`: it is not tried again.
    pub fn patience(&self) -> Option<Patience> {
        let wanted = self.retry_option == RetryOption::RetryOnFail || self.retry_on_fail == Some(true);
        wanted.then(|| Patience {
            retries_max: self.max_attempts,
            initial: Duration::from_secs(self.initial_delay_seconds),
            max: Duration::from_secs(self.max_delay_seconds.max(self.initial_delay_seconds)),
            growth: match self.retry_strategy {
                RetryStrategy::Linear => Growth::Linear,
                RetryStrategy::Exponential => Growth::Exponential,
            },
        })
    }
}

/// Whether it is tried again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum RetryOption {
    /// It is not.
    #[default]
    #[serde(rename = "No Retry")]
    NoRetry,
    /// It is.
    #[serde(rename = "Retry On Fail")]
    RetryOnFail,
}

/// How the time between two attempts grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RetryStrategy {
    /// By the first one each time.
    #[default]
    Linear,
    /// It doubles.
    Exponential,
}
