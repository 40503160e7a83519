//! Where secrets come from.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Secret;

/// A store of secrets. Definitions read one with `{#secrets.get('/id/path:key')}`, settings with `secret://id/path:key`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct SecretProvider {
    /// Its id, unique: what the names of its secrets begin with.
    #[schemars(length(min = 1, max = 64))]
    pub id: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: SecretProviderType,
    /// Of type `environment`: what the names of its variables begin with.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub prefix: String,
    /// Of type `directory`: the folder, relative to this file.
    pub path: Option<PathBuf>,
    /// Of type `vault`: what it is, and how it is asked.
    pub vault: Option<Vault>,
}

/// A kind of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SecretProviderType {
    /// The variables of the gateway's environment.
    Environment,
    /// A folder of files, such as a mounted secret of Kubernetes or Docker, or the credentials of a systemd unit.
    Directory,
    /// The key/value engines of HashiCorp Vault or OpenBao.
    Vault,
}

/// A Vault or an OpenBao, and how it is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Vault {
    /// Its address, `http` or `https`.
    #[schemars(length(min = 1, max = 8192))]
    pub url: String,
    /// The namespace of all that is asked.
    pub namespace: Option<String>,
    /// The version of its key/value engines. Default `V2`.
    #[serde(default)]
    pub kv_engine: KvEngine,
    /// The token that it is asked with.
    pub token: Option<Secret>,
    /// In the place of a token: the role that one is got for.
    pub app_role: Option<AppRole>,
    /// PEM file of the authorities that sign its certificate; without, those of the system.
    pub ca: Option<PathBuf>,
    /// How long an answer may take, in milliseconds, 10 to 60,000. Default 5,000.
    #[serde(rename = "timeout", default = "timeout_ms")]
    #[schemars(range(min = 10, max = 60_000))]
    pub timeout_ms: u64,
}

fn timeout_ms() -> u64 {
    5000
}

/// A version of the key/value engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum KvEngine {
    /// Secrets have one version.
    V1,
    /// Secrets have versions; the newest is read.
    #[default]
    V2,
}

/// Who logs in by AppRole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct AppRole {
    /// The id of the role.
    pub role_id: Secret,
    /// The secret id, where the role asks for one.
    pub secret_id: Option<Secret>,
    /// Where the method is mounted. Default `approle`.
    #[serde(default = "approle")]
    #[schemars(length(min = 1, max = 256))]
    pub path: String,
}

fn approle() -> String {
    "approle".into()
}
