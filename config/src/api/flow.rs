//! What happens on the way: flows of policies, and when they run.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};

use super::yes;
use crate::names;
use crate::node::Node;

/// How flows are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct FlowExecution {
    /// Which of those that match run.
    pub mode: FlowMode,
    /// Whether a request that no flow matches is answered 404. Default false.
    pub match_required: bool,
}

/// Which of the flows that match run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FlowMode {
    /// All, in order.
    #[default]
    Default,
    /// The one with the most specific path.
    BestMatch,
}

/// Policies that run under a condition.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Flow {
    /// Identifies it; written by exports.
    pub id: Option<String>,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Whether it runs at all. Default true.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// When it runs: all must match. At most one of a type.
    #[serde(default)]
    pub selectors: Vec<Selector>,
    /// Steps on the way to the endpoint.
    #[serde(default)]
    pub request: Vec<Step>,
    /// Steps on the way back.
    #[serde(default)]
    pub response: Vec<Step>,
    /// Steps for each message to the endpoint. Message APIs.
    #[serde(default)]
    pub publish: Vec<Step>,
    /// Steps for each message from the endpoint. Message APIs.
    #[serde(default)]
    pub subscribe: Vec<Step>,
    /// Steps when a client connects.
    #[serde(default)]
    pub entrypoint_connect: Vec<Step>,
    /// Steps for each command of a client. Native APIs.
    #[serde(default)]
    pub interact: Vec<Step>,
    /// Sharding tags.
    #[serde(default)]
    pub tags: Vec<String>,
}

impl Flow {
    /// Writes the names of policies in the one case that they have.
    pub(crate) fn settle_names(&mut self) {
        let http = self.request.iter_mut().chain(&mut self.response).chain(&mut self.entrypoint_connect);
        let steps = http.chain(&mut self.publish).chain(&mut self.subscribe).chain(&mut self.interact);
        steps.for_each(|step| step.each_mut(&mut |step| step.policy = names::kebab(&step.policy)));
    }

    /// Its condition, if it has one.
    pub fn condition(&self) -> Option<&str> {
        self.selectors.iter().find_map(|selector| match selector {
            Selector::Condition(condition) if !condition.condition.trim().is_empty() => Some(&*condition.condition),
            _ => None,
        })
    }

    /// Its channel selector.
    pub fn channel_selector(&self) -> Option<&ChannelSelector> {
        self.selectors.iter().find_map(|selector| match selector {
            Selector::Channel(channel) => Some(channel),
            _ => None,
        })
    }

    /// Its HTTP selector; a flow without one takes every request.
    pub fn http_selector(&self) -> Option<&HttpSelector> {
        self.selectors.iter().find_map(|selector| match selector {
            Selector::Http(http) => Some(http),
            _ => None,
        })
    }
}

/// When a flow runs. Which kind, `type` tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Selector {
    /// By path and method.
    Http(HttpSelector),
    /// By channel and operation. Message APIs.
    Channel(ChannelSelector),
    /// By an expression.
    Condition(ConditionSelector),
    /// By method of the Model Context Protocol.
    Mcp(McpSelector),
}

impl<'de> Deserialize<'de> for Selector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node = Node::deserialize(deserializer)?;
        crate::decode::tagged(
            &node,
            "type",
            &[
                ("HTTP", |node| HttpSelector::deserialize(node).map(Self::Http)),
                ("CHANNEL", |node| ChannelSelector::deserialize(node).map(Self::Channel)),
                ("CONDITION", |node| ConditionSelector::deserialize(node).map(Self::Condition)),
                ("MCP", |node| McpSelector::deserialize(node).map(Self::Mcp)),
            ],
        )
    }
}

impl JsonSchema for Selector {
    fn schema_name() -> Cow<'static, str> {
        "Selector".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        crate::schema::tagged(
            "type",
            [
                ("HTTP", HttpSelector::json_schema(generator)),
                ("CHANNEL", ChannelSelector::json_schema(generator)),
                ("CONDITION", ConditionSelector::json_schema(generator)),
                ("MCP", McpSelector::json_schema(generator)),
            ],
        )
    }
}

/// By path and method.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct HttpSelector {
    /// Path behind the context path; `:name` takes any one segment. Default `/`.
    #[serde(default = "root")]
    pub path: String,
    /// How it is compared.
    #[serde(default = "starts_with")]
    pub path_operator: PathOperator,
    /// Methods; none for any.
    #[serde(default)]
    pub methods: Vec<Method>,
}

/// By channel and operation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct ChannelSelector {
    /// Channel. Default `/`.
    #[serde(default = "root")]
    pub channel: String,
    /// How it is compared.
    #[serde(default = "starts_with")]
    pub channel_operator: PathOperator,
    /// Operations; none for any.
    #[serde(default)]
    pub operations: Vec<Operation>,
    /// Types of entrypoints; none for any.
    #[serde(default)]
    pub entrypoints: Vec<String>,
}

/// By an expression.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct ConditionSelector {
    /// The expression.
    pub condition: String,
}

/// By method of the Model Context Protocol.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct McpSelector {
    /// Methods; none for any.
    #[serde(default)]
    pub methods: Vec<String>,
}

/// How a path is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PathOperator {
    /// As a whole.
    Equals,
    /// By its first segments.
    StartsWith,
}

/// A method of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "the methods of RFC 9110 section 9")]
pub enum Method {
    Connect,
    Delete,
    Get,
    Head,
    Options,
    Patch,
    Post,
    Put,
    Trace,
    /// Every method that has no name here.
    Other,
}

impl Method {
    /// The method on the wire; `None` for [`Method::Other`].
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Connect => "CONNECT",
            Self::Delete => "DELETE",
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Patch => "PATCH",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Trace => "TRACE",
            Self::Other => return None,
        })
    }
}

/// What a client does with a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Operation {
    /// It sends.
    Publish,
    /// It receives.
    Subscribe,
}

/// One policy of a flow.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Step {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// Whether it runs. Default true.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The policy, such as `transform-headers`.
    pub policy: String,
    /// Configuration of the policy.
    pub configuration: Option<Node>,
    /// Expression: when it runs.
    pub condition: Option<String>,
    /// Expression: for which messages it runs. Message APIs.
    pub message_condition: Option<String>,
    /// The steps of the shared policy group that it stands for, put here when the definition is read.
    #[schemars(skip)]
    pub steps: Option<Vec<Step>>,
}

impl Step {
    /// Changes it, and the steps that it stands for.
    pub(crate) fn each_mut(&mut self, change: &mut dyn FnMut(&mut Step)) {
        change(self);
        self.steps.iter_mut().flatten().for_each(|step| step.each_mut(change));
    }
}

fn root() -> String {
    "/".into()
}

fn starts_with() -> PathOperator {
    PathOperator::StartsWith
}
