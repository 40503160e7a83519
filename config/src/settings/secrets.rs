//! Where secrets come from.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
}

/// A kind of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SecretProviderType {
    /// The variables of the gateway's environment.
    Environment,
    /// A folder of files, such as a mounted secret of Kubernetes or Docker, or the credentials of a systemd unit.
    Directory,
}
