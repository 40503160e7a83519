//! Counts requests of GraphQL by what they cost.

use std::rc::Rc;

use http::StatusCode;
use ringway_contract::kind::{Part, decode};
use ringway_contract::{Exchange, Kind, Phases, Policy, Refusal, Reply, Step};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::graphql;
use crate::limits::{self, ErrorStrategy, Limiter, Names, Period, Settings};

/// `graphql-rate-limit`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "graphql-rate-limit",
    about: "Refuses requests of GraphQL beyond a cost per seconds or minutes.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>().examined(|configuration, _| {
        let config = decode::<Config>(configuration);
        let closed = config.as_ref().is_ok_and(|config| limits::is_closed((config.limit, &config.dynamic_limit)));
        let mut problems = limits::examine(
            configuration,
            "limit",
            false,
            config.and_then(|config| GraphqlRateLimit::new(config, "")).err(),
        );
        if let Some(node) = configuration.filter(|_| closed) {
            let message = "neither `limit` nor `dynamicLimit` is given: every request is refused";
            problems.push(ringway_contract::Problem::warning(&node.span, "configuration.limit", message));
        }
        problems
    }),
    shared: None,
    messaging: None,
    build: |source, services| {
        let mut policy = GraphqlRateLimit::new(decode(source.configuration)?, source.place)?;
        policy.limiter = policy.limiter.among(services)?;
        Ok(Rc::new(policy))
    },
};

static NAMES: Names = Names {
    policy: "graphql-rate-limit",
    limit: "X-Rate-Limit-Limit",
    remaining: "X-Rate-Limit-Remaining",
    reset: "X-Rate-Limit-Reset",
    refused: "GRAPHQL_RATE_LIMIT_TOO_MANY_REQUESTS",
    blocked: "GRAPHQL_RATE_LIMIT_BLOCK_ON_INTERNAL_ERROR",
    failed: "GRAPHQL_RATE_LIMIT_SERVER_ERROR",
};

/// Configuration of `graphql-rate-limit`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// Cost per period; 0: `dynamicLimit` says it.
    pub limit: u64,
    /// How long the period is, in `periodTimeUnit`.
    pub period_time: u64,
    /// Unit of `periodTime`.
    pub period_time_unit: Unit,
    /// The cost of one request at most; 0: any.
    pub max_cost: u64,
    /// Cost per period, as an expression.
    pub dynamic_limit: String,
    /// Distinguishes callers, besides their plan and subscription. An expression may stand in it.
    pub key: String,
    /// Whether `key` alone distinguishes callers.
    pub use_key_only: bool,
    /// Whether responses tell the client of the limit.
    pub add_headers: bool,
    /// Whether counts may be late. They never are: every request is counted before it passes.
    pub r#async: bool,
    /// What happens to a request that cannot be counted.
    pub error_strategy: ErrorStrategy,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limit: 0,
            period_time: 1,
            period_time_unit: Unit::default(),
            max_cost: 0,
            dynamic_limit: String::new(),
            key: String::new(),
            use_key_only: false,
            add_headers: false,
            r#async: false,
            error_strategy: ErrorStrategy::default(),
        }
    }
}

/// A unit of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Unit {
    /// Seconds.
    #[default]
    Seconds,
    /// Minutes.
    Minutes,
}

struct GraphqlRateLimit {
    limiter: Limiter,
    max_cost: u64,
}

impl GraphqlRateLimit {
    fn new(config: Config, place: &str) -> Result<Self, Refusal> {
        let (unit_ms, unit) = match config.period_time_unit {
            Unit::Seconds => (1000, "seconds"),
            Unit::Minutes => (60_000, "minutes"),
        };
        let settings = Settings {
            names: &NAMES,
            add_headers: config.add_headers,
            error_strategy: config.error_strategy,
            key: config.key,
            use_key_only: config.use_key_only,
            limit: config.limit,
            dynamic_limit: config.dynamic_limit,
            period: Period::Fixed(config.period_time.saturating_mul(unit_ms)),
            dynamic_period: String::new(),
            period_text: format!("{} {unit}", config.period_time),
            attributes: false,
        };
        Ok(Self { limiter: Limiter::new(settings, place)?, max_cost: config.max_cost })
    }
}

impl Policy for GraphqlRateLimit {
    fn phases(&self) -> Phases {
        Phases::REQUEST.with_content()
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let refusal = |key, reason| Step::Reply(Box::new(Reply::refusal(StatusCode::BAD_REQUEST, key, reason)));
        let asked = match graphql::asked(exchange) {
            Ok(Some(asked)) => asked,
            Ok(None) => return Step::Next,
            Err(reason) => return refusal("GRAPHQL_INVALID_REQUEST", reason),
        };
        let cost = asked.requests.iter().fold(0_u64, |sum, request| sum.saturating_add(request.cost));
        if self.max_cost > 0 && cost > self.max_cost {
            let reason = format!("The request costs {cost}, where {} is allowed.", self.max_cost);
            return refusal("GRAPHQL_RATE_LIMIT_REACH_MAX_COST", reason);
        }
        self.limiter.charge(exchange, cost)
    }
}
