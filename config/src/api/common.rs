//! What the APIs of a gateway have in common: flows of the platform, shared policy groups and dictionaries.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{ApiType, Flow, FlowExecution, Header, State, Step};

/// A document of what APIs have in common, beside their definitions. `ringway.yaml` takes the same fields.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct Common {
    /// Flows around those of every API.
    pub platform: Option<Platform>,
    /// Steps that flows of several APIs have in common.
    #[schemars(length(max = 10000))]
    pub shared_policy_groups: Vec<SharedPolicyGroup>,
    /// Tables of texts for expressions.
    #[schemars(length(max = 1024))]
    pub dictionaries: Vec<Dictionary>,
}

/// Flows around those of every API: on the way to the endpoint they come before the flows of the plan, on the way back after all others.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct Platform {
    /// The flows.
    pub flows: Vec<Flow>,
    /// How they are chosen; how the flows of plans and APIs are chosen, each API says.
    pub flow_execution: FlowExecution,
}

/// Steps that flows of several APIs have in common. A step with the policy `shared-policy-group-policy` stands for them.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct SharedPolicyGroup {
    /// Identifies it within a gateway. Without one, `hrid` is taken, and without that one is made from the name.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub id: String,
    /// Identifies it across environments; steps may name it by this, too.
    pub cross_id: Option<String>,
    /// Human-readable id of the Automation API; steps may name it by this, too.
    #[schemars(length(max = 256))]
    pub hrid: Option<String>,
    /// Its name.
    #[schemars(length(min = 1, max = 512))]
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// What an API must have for it, in words.
    #[serde(default)]
    pub prerequisite_message: String,
    /// The type of the APIs that may use it: `PROXY` or `MESSAGE`.
    pub api_type: ApiType,
    /// The phase of a flow that it may stand in.
    pub phase: Phase,
    /// The steps, in order.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    pub steps: Vec<Step>,
}

/// A phase of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Phase {
    /// On the way to the endpoint.
    Request,
    /// On the way back.
    Response,
    /// Each message to the endpoint.
    Publish,
    /// Each message from the endpoint.
    Subscribe,
}

impl Phase {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::Request, Self::Response, Self::Publish, Self::Subscribe];

    /// The field of a flow that has its steps.
    pub fn field(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Response => "response",
            Self::Publish => "publish",
            Self::Subscribe => "subscribe",
        }
    }

    /// As definitions write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Request => "REQUEST",
            Self::Response => "RESPONSE",
            Self::Publish => "PUBLISH",
            Self::Subscribe => "SUBSCRIBE",
        }
    }
}

/// Configuration of a step that stands for a shared policy group.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct GroupReference {
    /// The group, by its `id`, `crossId` or `hrid`.
    pub shared_policy_group_id: Option<String>,
    /// The same, as the Automation API writes it.
    pub hrid: Option<String>,
}

/// A table of texts for expressions: `{#dictionaries['countries']['FR']}`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Dictionary {
    /// Its name in expressions, unless `key` gives another. Without either, `hrid` is taken, and without that one is made from the name.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub id: String,
    /// Its name in expressions, where the id is made by a machine.
    #[schemars(length(max = 256))]
    pub key: Option<String>,
    /// Human-readable id of the Automation API.
    #[schemars(length(max = 256))]
    pub hrid: Option<String>,
    /// Its name for people.
    #[serde(default)]
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// Where its entries come from.
    #[serde(default, rename = "type")]
    pub kind: DictionaryType,
    /// Its entries, if it is `MANUAL`; what stands there until the first answer, if it is `DYNAMIC`.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
    /// Who gives the entries of one that is `DYNAMIC`.
    pub provider: Option<Provider>,
    /// How often the provider is asked.
    pub trigger: Option<DictionaryTrigger>,
    /// Whether the provider is asked at all.
    #[serde(default)]
    pub state: State,

    /// Changes when anything of it changes: one that keeps it keeps what its provider said.
    #[serde(skip)]
    pub fingerprint: u64,
}

/// Where the entries of a dictionary come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DictionaryType {
    /// From its definition.
    #[default]
    Manual,
    /// From a provider, again and again.
    Dynamic,
}

/// Who gives the entries of a dictionary.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Provider {
    /// What it is.
    #[serde(default, rename = "type")]
    pub kind: ProviderType,
    /// How it is asked.
    pub configuration: HttpProvider,
}

/// What gives the entries of a dictionary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ProviderType {
    /// A service that answers with JSON.
    #[default]
    Http,
}

/// A service that answers with JSON: an object of texts, or a list of objects with `key` and `value`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct HttpProvider {
    /// Its address, `http` or `https`.
    #[schemars(length(min = 1, max = 8192))]
    pub url: String,
    /// The method. Default `GET`.
    #[serde(default = "get")]
    #[schemars(extend("format" = "token"), length(min = 1, max = 32))]
    pub method: String,
    /// Fields of the request.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub headers: Vec<Header>,
    /// Body of the request.
    #[serde(default)]
    pub body: String,
    /// JOLT specification, as text, that makes the entries of the answer; none where it is made of them already.
    #[serde(default)]
    pub specification: String,
    /// Read, and of no effect: the gateway knows no proxy of the system.
    #[serde(default)]
    pub use_system_proxy: bool,
}

/// How often a provider is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct DictionaryTrigger {
    /// So many units lie between two requests.
    #[schemars(range(min = 1, max = 86400))]
    pub rate: u32,
    /// The unit.
    pub unit: TriggerUnit,
}

impl DictionaryTrigger {
    /// Seconds between two requests.
    pub fn seconds(self) -> u64 {
        let unit = match self.unit {
            TriggerUnit::Seconds => 1,
            TriggerUnit::Minutes => 60,
            TriggerUnit::Hours => 3600,
            TriggerUnit::Days => 86400,
        };
        u64::from(self.rate) * unit
    }
}

/// A unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "units of time")]
pub enum TriggerUnit {
    Seconds,
    Minutes,
    Hours,
    Days,
}

fn get() -> String {
    "GET".into()
}
