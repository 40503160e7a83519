//! What an API reaches.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Service;
use crate::node::Node;

/// Endpoints that are chosen among.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct EndpointGroup {
    /// Its name; unique in the API.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Type of its endpoints, such as `http-proxy`.
    #[serde(rename = "type")]
    pub kind: String,
    /// How one is chosen.
    #[serde(default)]
    pub load_balancer: LoadBalancer,
    /// What its endpoints may inherit.
    pub shared_configuration: Option<Node>,
    /// The endpoints, at most 64. Without one, every call is answered 503.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub endpoints: Vec<Endpoint>,
    /// Services beside the traffic.
    #[serde(default)]
    pub services: EndpointServices,
}

/// How an endpoint of a group is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct LoadBalancer {
    /// The rule.
    #[serde(rename = "type")]
    pub kind: LoadBalancerType,
}

/// The rule by which an endpoint is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LoadBalancerType {
    /// One after another.
    #[default]
    RoundRobin,
    /// By chance.
    Random,
    /// One after another, each as often as its weight.
    WeightedRoundRobin,
    /// By chance, each as often as its weight.
    WeightedRandom,
    /// The one that is busy with the fewest requests, in proportion to its weight. Ringway's own.
    LeastRequest,
}

/// One backend or broker.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Endpoint {
    /// Its name; unique in the API.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Its type, such as `http-proxy`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its share under a weighted rule, 1 to 10,000. Default 1.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 10_000))]
    pub weight: u32,
    /// Whether it has the group's `sharedConfiguration`. Default false.
    #[serde(default)]
    pub inherit_configuration: bool,
    /// Its own configuration.
    pub configuration: Option<Node>,
    /// Laid over the group's `sharedConfiguration`, field by field; stands alone when that is not inherited.
    pub shared_configuration_override: Option<Node>,
    /// Services beside the traffic.
    #[serde(default)]
    pub services: EndpointServices,
    /// Whether it is used only when no other endpoint is up. Default false.
    #[serde(default)]
    pub secondary: bool,
    /// Tenants of the gateways that use it. A gateway without a tenant uses every endpoint.
    #[serde(default)]
    pub tenants: Vec<String>,
}

impl Endpoint {
    /// The shared configuration that holds for it: that of its group if inherited, its own override laid over it.
    pub fn shared_configuration(&self, group: &EndpointGroup) -> Option<Node> {
        let inherited = group.shared_configuration.as_ref().filter(|_| self.inherit_configuration);
        match (inherited, &self.shared_configuration_override) {
            (Some(below), Some(above)) => Some(below.overlaid(above)),
            (Some(only), None) | (None, Some(only)) => Some(only.clone()),
            (None, None) => None,
        }
    }

    /// The health check that holds for it: its own if it overrides the group's, else the group's. A disabled one is none.
    pub fn health_check<'a>(&'a self, group: &'a EndpointGroup) -> Option<&'a Service> {
        let own = self.services.health_check.as_ref();
        let chosen = match group.services.health_check.as_ref() {
            Some(shared) if !own.is_some_and(|own| own.override_configuration) => Some(shared),
            _ => own,
        };
        chosen.filter(|check| check.enabled)
    }
}

fn one() -> u32 {
    1
}

/// Services of endpoints beside the traffic.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct EndpointServices {
    /// Finds endpoints. Groups only.
    pub discovery: Option<Service>,
    /// Takes endpoints out that do not answer.
    pub health_check: Option<Service>,
}

/// Configuration of an `http-health-check`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct HealthCheck {
    /// When: a cron expression of six fields, seconds first. Default `*/10 * * * * *`.
    #[schemars(extend("format" = "cron"))]
    pub schedule: String,
    /// Method of the request. Default `GET`.
    #[schemars(extend("format" = "token"), length(min = 1))]
    pub method: String,
    /// Path or URL that is asked for. Default `/`.
    pub target: String,
    /// Whether a path replaces that of the endpoint's target instead of being appended to it. Default false.
    pub override_endpoint_path: bool,
    /// Fields of the request.
    pub headers: Vec<Header>,
    /// Expression that holds for a healthy answer. Default `{#response.status == 200}`.
    pub assertion: String,
    /// Healthy answers in a row that take an endpoint back in. Default 2.
    #[schemars(range(min = 1, max = 1000))]
    pub success_threshold: u32,
    /// Unhealthy answers in a row that take it out. Default 2.
    #[schemars(range(min = 1, max = 1000))]
    pub failure_threshold: u32,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            schedule: "*/10 * * * * *".into(),
            method: "GET".into(),
            target: "/".into(),
            override_endpoint_path: false,
            headers: Vec::new(),
            assertion: "{#response.status == 200}".into(),
            success_threshold: 2,
            failure_threshold: 2,
        }
    }
}

/// A field of a request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Header {
    /// Its name.
    #[schemars(extend("format" = "token"), length(min = 1))]
    pub name: String,
    /// Its value.
    #[serde(default)]
    #[schemars(extend("format" = "field-value"))]
    pub value: String,
}
