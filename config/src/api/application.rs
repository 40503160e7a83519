//! Who calls APIs: an application, what it shows, and what it is subscribed to.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{ClientCertificate, Subscription};

/// A file of applications, beside the definitions of the APIs that they are subscribed to.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Applications {
    /// The applications.
    pub applications: Vec<Application>,
}

/// An application.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Application {
    /// Identifies it; unique within a gateway.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[a-zA-Z0-9_-]+$"))]
    pub id: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// Whether it may call. Default `ACTIVE`.
    #[serde(default)]
    pub status: ApplicationStatus,
    /// Client id that tokens of JWT and OAuth2 plans name.
    pub client_id: Option<String>,
    /// Certificates that it shows to mTLS plans.
    #[serde(default)]
    pub client_certificates: Vec<ClientCertificate>,
    /// Facts for expressions; a subscription's own come before them.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// What it is subscribed to.
    #[serde(default)]
    pub subscriptions: Vec<Subscription>,
}

/// Whether an application may call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ApplicationStatus {
    /// It may.
    #[default]
    Active,
    /// None of its subscriptions holds.
    Archived,
}
