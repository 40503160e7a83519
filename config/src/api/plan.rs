//! Who may call.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Flow;
use crate::node::Node;

/// A plan: how callers show who they are, and what happens to their calls.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Plan {
    /// Identifies it. Without one, `hrid` is taken, and without that one is made from the name.
    #[serde(default)]
    pub id: String,
    /// Identifies it across environments; written by exports.
    pub cross_id: Option<String>,
    /// Human-readable id of the Automation API.
    pub hrid: Option<String>,
    /// Its name.
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// Version of the definition's format.
    #[serde(default)]
    pub definition_version: super::DefinitionVersion,
    /// What callers must show. Standard plans need it, push plans have none.
    pub security: Option<PlanSecurity>,
    /// Whether callers ask, or are sent to.
    #[serde(default)]
    pub mode: PlanMode,
    /// What it belongs to.
    #[serde(default, rename = "type")]
    pub kind: PlanType,
    /// Whether subscriptions are accepted by themselves.
    #[serde(default)]
    pub validation: PlanValidation,
    /// How far it has come. Only published and deprecated plans are served.
    #[serde(default)]
    pub status: PlanStatus,
    /// Expression: for which requests it may be chosen.
    pub selection_rule: Option<String>,
    /// Sharding tags; some of the API's.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Policies of this plan only.
    #[serde(default)]
    pub flows: Vec<Flow>,
    /// What the portal says about it.
    #[serde(default)]
    pub characteristics: Vec<String>,
    /// Groups whose members may not subscribe.
    #[serde(default)]
    pub excluded_groups: Vec<String>,
    /// Page with the terms that subscribers accept.
    pub general_conditions: Option<String>,
    /// The same by human-readable id.
    pub general_conditions_hrid: Option<String>,
    /// Place among the plans in the portal.
    #[serde(default)]
    pub order: i64,
    /// Whether subscribers must leave a message. Default false.
    #[serde(default)]
    pub comment_required: bool,
    /// What they are asked for.
    pub comment_message: Option<String>,

    /// Why callers can't use it on this gateway; `None` when they can. A plan that this gateway cannot check is never left open.
    #[serde(skip)]
    pub withheld: Option<String>,
}

impl Plan {
    /// The type of its security, such as `key-less`; `None` for a push plan.
    pub fn guard(&self) -> Option<&str> {
        self.security.as_ref().map(|security| security.kind.as_str())
    }
}

/// What callers must show.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct PlanSecurity {
    /// `KEY_LESS`, `API_KEY`, `JWT`, `OAUTH2`, `MTLS`; in kebab case once it is read.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its configuration.
    pub configuration: Option<Node>,
}

/// Whether callers ask, or are sent to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PlanMode {
    /// They ask.
    #[default]
    Standard,
    /// They are sent to: webhooks.
    Push,
}

/// What a plan belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PlanType {
    /// An API.
    #[default]
    Api,
    /// A catalogue.
    Catalog,
}

/// Whether subscriptions are accepted by themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PlanValidation {
    /// They are.
    #[default]
    Auto,
    /// The publisher decides.
    Manual,
}

/// How far a plan has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PlanStatus {
    /// In preparation: not served.
    Staging,
    /// Served.
    #[default]
    Published,
    /// Served, but takes no new subscriptions.
    Deprecated,
    /// Not served any more.
    Closed,
}
