//! Refuses requests of GraphQL that ask for too much.

use std::rc::Rc;

use http::StatusCode;
use ringway_contract::kind::{Part, decode};
use ringway_contract::{Exchange, Kind, Phases, Policy, Reply, Step};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::graphql;

/// `graphql-limits`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "graphql-limits",
    about: "Refuses requests of GraphQL that are too deep, too costly or ask for the schema.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>(),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(GraphqlLimits { config: decode(source.configuration)? })),
};

/// Configuration of `graphql-limits`. 0: no limit.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// Fields inside of one another.
    pub max_depth: u64,
    /// The cost of a request: every field is 1, and those in a field count as often as it is asked for (`first`, `last`, `limit`).
    pub max_cost: u64,
    /// Fields that go by another name.
    pub max_aliases: u64,
    /// Directives.
    pub max_directives: u64,
    /// Requests in one body.
    pub max_batch: u64,
    /// Whether the schema may be asked for (`__schema`, `__type`).
    pub allow_introspection: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_depth: 15,
            max_cost: 0,
            max_aliases: 30,
            max_directives: 50,
            max_batch: 1,
            allow_introspection: false,
        }
    }
}

struct GraphqlLimits {
    config: Config,
}

fn exceeds(number: u64, max: u64) -> bool {
    max > 0 && number > max
}

impl GraphqlLimits {
    /// Key and reason of a refusal.
    fn find(&self, exchange: &Exchange) -> Result<(), (&'static str, String)> {
        let config = &self.config;
        let asked = graphql::asked(exchange).map_err(|reason| ("GRAPHQL_INVALID_REQUEST", reason))?;
        let Some(asked) = asked else { return Ok(()) };
        if exceeds(asked.requests.len() as u64, config.max_batch) {
            return Err(("GRAPHQL_LIMITS_MAX_BATCH", format!("more than {} requests in one body", config.max_batch)));
        }
        // A batch costs what its requests cost together; the other limits are those of each.
        let cost = asked.requests.iter().fold(0_u64, |sum, request| sum.saturating_add(request.cost));
        if exceeds(cost, config.max_cost) {
            return Err(("GRAPHQL_LIMITS_MAX_COST", format!("a cost of {cost}, where {} is allowed", config.max_cost)));
        }
        for request in asked.requests {
            let over = |key, noun, number, max| {
                if exceeds(number, max) {
                    Err((key, format!("{number} {noun}, where {max} are allowed")))
                } else {
                    Ok(())
                }
            };
            over("GRAPHQL_LIMITS_MAX_DEPTH", "levels", request.depth, config.max_depth)?;
            over("GRAPHQL_LIMITS_MAX_ALIASES", "aliases", request.aliases, config.max_aliases)?;
            over("GRAPHQL_LIMITS_MAX_DIRECTIVES", "directives", request.directives, config.max_directives)?;
            if request.introspection && !config.allow_introspection {
                return Err(("GRAPHQL_LIMITS_INTROSPECTION", "the schema may not be asked for".into()));
            }
        }
        Ok(())
    }
}

impl Policy for GraphqlLimits {
    fn phases(&self) -> Phases {
        Phases::REQUEST.with_content()
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        match self.find(exchange) {
            Ok(()) => Step::Next,
            Err((key, reason)) => Step::Reply(Box::new(Reply::refusal(StatusCode::BAD_REQUEST, key, reason))),
        }
    }
}
