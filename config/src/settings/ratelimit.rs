//! Where counts are kept that several gateways share.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Secret;

/// How limits on requests are counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct RateLimit {
    /// A Redis that several gateways count in. Without, each gateway counts for itself. Read at the start only.
    pub redis: Option<Redis>,
}

/// A Redis, or a server that speaks its protocol and knows Lua scripts. Not a Redis Cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct Redis {
    /// Its name or address.
    #[schemars(length(min = 1, max = 253))]
    pub host: String,
    /// Its port.
    #[schemars(range(min = 1))]
    pub port: u16,
    /// The user to log in as; without one, the default user.
    pub username: Option<String>,
    /// The password; without one, there is no login.
    pub password: Option<Secret>,
    /// The number of the database, 0 to 65,535.
    pub database: u16,
    /// TLS; without, connections are plain.
    pub tls: Option<RedisTls>,
    /// Sentinels that know which server is the master; it takes the place of `host` and `port`.
    pub sentinel: Option<Sentinel>,
    /// What all keys begin with. Gateways that count together have the same.
    #[schemars(length(max = 64))]
    pub key_prefix: String,
    /// How long a connection may take until it can be used, in milliseconds, 10 to 60,000.
    #[serde(rename = "connectTimeout")]
    #[schemars(range(min = 10, max = 60_000))]
    pub connect_timeout_ms: u64,
    /// How long an answer may take, in milliseconds, 1 to 60,000. Longer is away: what waits is counted by this gateway alone.
    #[serde(rename = "timeout")]
    #[schemars(range(min = 1, max = 60_000))]
    pub timeout_ms: u64,
}

impl Default for Redis {
    fn default() -> Self {
        Self {
            host: "localhost".into(),
            port: 6379,
            username: None,
            password: None,
            database: 0,
            tls: None,
            sentinel: None,
            key_prefix: "ringway:".into(),
            connect_timeout_ms: 2000,
            timeout_ms: 250,
        }
    }
}

/// TLS towards Redis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct RedisTls {
    /// PEM file of the authorities that sign its certificate; without, those of the system.
    pub ca: Option<PathBuf>,
    /// Whether its name must be in its certificate.
    pub verify_hostname: bool,
    /// Whether any certificate is taken. For trying out only.
    pub trust_all: bool,
}

impl Default for RedisTls {
    fn default() -> Self {
        Self { ca: None, verify_hostname: true, trust_all: false }
    }
}

/// Redis Sentinel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Sentinel {
    /// The name that the sentinels know the master by.
    #[schemars(length(min = 1, max = 253))]
    pub master: String,
    /// The sentinels, asked in this order until one knows the master.
    #[schemars(length(min = 1, max = 32))]
    pub nodes: Vec<SentinelNode>,
    /// The sentinels' own password, if they have one.
    #[serde(default)]
    pub password: Option<Secret>,
}

/// One sentinel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct SentinelNode {
    /// Its name or address.
    #[schemars(length(min = 1, max = 253))]
    pub host: String,
    /// Its port. Default 26379.
    #[serde(default = "sentinel_port")]
    #[schemars(range(min = 1))]
    pub port: u16,
}

fn sentinel_port() -> u16 {
    26_379
}
