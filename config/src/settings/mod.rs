//! `ringway.yaml`: what an operator says about the gateway itself.

mod http;
mod limits;
mod logging;
mod network;
mod ratelimit;
mod secret;
mod secrets;
mod server;

use std::fmt;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use http::*;
pub use limits::*;
pub use logging::*;
pub use network::*;
pub use ratelimit::*;
pub use secret::*;
pub use secrets::*;
pub use server::*;

use crate::node::Node;

/// The most shards: one per core of the largest machines.
pub const SHARDS_MAX: usize = 1024;

/// Settings of a gateway. Serialized for the admin port, with secrets hidden.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct Settings {
    /// Threads that carry traffic: `auto` for one per core, or a number from 1 to 1,024. Read at the start only.
    pub shards: Shards,
    /// How shards talk to the kernel. Read at the start only.
    pub driver: Driver,
    /// Where clients connect. At least one. Read at the start only, but for certificates.
    #[schemars(length(min = 1, max = 256))]
    pub servers: Vec<Server>,
    /// Files and folders of API definitions, YAML or JSON, several in a file allowed. Relative to this file. Folders are read with all
    /// below them.
    #[schemars(length(max = 1024))]
    pub apis: Vec<PathBuf>,
    /// Flows around those of every API. They may stand in a file that `apis` names instead, where the other two may stand as well.
    #[serde(skip_serializing)]
    pub platform: Option<Node>,
    /// Steps that flows of several APIs have in common.
    #[serde(skip_serializing)]
    pub shared_policy_groups: Vec<Node>,
    /// Tables of texts for expressions.
    #[serde(skip_serializing)]
    pub dictionaries: Vec<Node>,
    /// Where secrets come from. `secret://id/path:key` as a text of this file is the secret of that name.
    #[schemars(length(max = 64))]
    pub secrets: Vec<SecretProvider>,
    /// Whether a change of these files is loaded by itself. `SIGHUP` and `POST /reload` on the admin port always load.
    pub watch: bool,
    /// Where operators connect. Read at the start only.
    pub admin: Admin,
    /// Sharding tags. With any, only APIs that have one of them are served; `!tag` excludes. Without, all are.
    #[schemars(inner(length(min = 1, max = 64)))]
    pub tags: Vec<String>,
    /// Tenant. With one, only endpoints that name it are used; without, all are.
    pub tenant: Option<String>,
    /// How much of everything.
    pub limits: Limits,
    /// How long for everything, in milliseconds.
    pub timeouts: Timeouts,
    /// How limits on requests are counted.
    pub ratelimit: RateLimit,
    /// What HTTP messages may look like, and what the gateway adds to them.
    pub http: Http,
    /// Logs.
    pub logging: Logging,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            shards: Shards::Auto,
            driver: Driver::Auto,
            servers: vec![Server::default()],
            apis: Vec::new(),
            platform: None,
            shared_policy_groups: Vec::new(),
            dictionaries: Vec::new(),
            secrets: Vec::new(),
            watch: true,
            admin: Admin::default(),
            tags: Vec::new(),
            tenant: None,
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            ratelimit: RateLimit::default(),
            http: Http::default(),
            logging: Logging::default(),
        }
    }
}

impl Settings {
    /// The core that shard `id` is pinned to. Shards are pinned when each core has one; fewer are left to the scheduler, because other work of
    /// the machine would else push them off the core that they cannot leave.
    pub fn pins(&self, id: usize, shards: usize, cores: usize) -> Option<usize> {
        (shards > 1 && shards == cores).then_some(id)
    }
}

/// How many shards carry traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shards {
    /// One per core.
    #[default]
    Auto,
    /// So many.
    Count(u16),
}

impl Shards {
    /// The number on a machine with `cores` cores; at least 1.
    pub fn count(self, cores: usize) -> usize {
        match self {
            Self::Auto => cores.clamp(1, SHARDS_MAX),
            Self::Count(count) => usize::from(count).clamp(1, SHARDS_MAX),
        }
    }
}

impl Serialize for Shards {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Count(count) => serializer.serialize_u16(*count),
        }
    }
}

impl<'de> Deserialize<'de> for Shards {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AutoOrCount;
        impl Visitor<'_> for AutoOrCount {
            type Value = Shards;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "`auto` or a number from 1 to {SHARDS_MAX}")
            }

            fn visit_u64<E: Error>(self, count: u64) -> Result<Shards, E> {
                let fits = u16::try_from(count).ok().filter(|count| (1..=SHARDS_MAX).contains(&usize::from(*count)));
                fits.map(Shards::Count).ok_or_else(|| E::custom(format!("not a number from 1 to {SHARDS_MAX}")))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Shards, E> {
                match text.trim().parse() {
                    Ok(count) => self.visit_u64(count),
                    Err(_) if text.eq_ignore_ascii_case("auto") => Ok(Shards::Auto),
                    Err(_) => Err(E::custom(format!("`{text}` is neither `auto` nor a number"))),
                }
            }
        }
        deserializer.deserialize_any(AutoOrCount)
    }
}

impl JsonSchema for Shards {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Shards".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "string", "enum": ["auto"] },
                { "type": "integer", "minimum": 1, "maximum": SHARDS_MAX },
            ]
        })
    }
}

/// How shards talk to the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// io_uring in the best way that the kernel has, else epoll.
    #[default]
    Auto,
    /// io_uring; the gateway does not start without.
    Uring,
    /// epoll.
    Epoll,
}

/// Where operators connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct Admin {
    /// Whether there is an admin port.
    pub enabled: bool,
    /// Its address. It knows no passwords: keep it on the loopback, or behind something that does.
    pub listen: Listen,
}

impl Default for Admin {
    fn default() -> Self {
        Self { enabled: true, listen: Listen::Tcp(([127, 0, 0, 1], 18082).into()) }
    }
}
