//! Requests per seconds or minutes.

use std::rc::Rc;

use ringway_contract::kind::{Part, decode};
use ringway_contract::{Kind, Policy, Refusal};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::limits::{self, ErrorStrategy, Limiter, Names, Period, Settings};

/// `rate-limit`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "rate-limit",
    about: "Refuses requests beyond a limit per seconds or minutes.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| {
            let config = decode::<Config>(configuration);
            let limit = config.as_ref().map_or((1, ""), |config| (config.rate.limit, &config.rate.dynamic_limit));
            let closed = limits::is_closed(limit);
            limits::examine(configuration, "rate", closed, config.and_then(|config| limiter(config, "")).err())
        })
        .on_messages(),
    shared: None,
    messaging: None,
    build: |source, services| Ok(Rc::new(limiter(decode(source.configuration)?, source.place)?.among(services)?)),
};

static NAMES: Names = Names {
    policy: "rate-limit",
    limit: "X-Rate-Limit-Limit",
    remaining: "X-Rate-Limit-Remaining",
    reset: "X-Rate-Limit-Reset",
    refused: "RATE_LIMIT_TOO_MANY_REQUESTS",
    blocked: "RATE_LIMIT_BLOCK_ON_INTERNAL_ERROR",
    failed: "RATE_LIMIT_SERVER_ERROR",
};

/// Configuration of `rate-limit`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// What happens to a request that cannot be counted.
    pub error_strategy: ErrorStrategy,
    /// Whether counts may be late. They never are: every request is counted before it passes.
    pub r#async: bool,
    /// Whether responses tell the client of the limit.
    pub add_headers: bool,
    /// The limit.
    pub rate: Rate,
}

/// A limit.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Rate {
    /// Distinguishes callers, besides their plan and subscription. An expression may stand in it.
    pub key: String,
    /// Whether `key` alone distinguishes callers.
    pub use_key_only: bool,
    /// Requests per period; 0: `dynamicLimit` says it.
    pub limit: u64,
    /// Requests per period, as an expression.
    pub dynamic_limit: String,
    /// How long the period is, in `periodTimeUnit`.
    pub period_time: u64,
    /// Unit of `periodTime`.
    pub period_time_unit: Unit,
    /// Seconds instead of `periodTime` and `periodTimeUnit`, as an expression.
    pub dynamic_period_time: String,
}

impl Default for Rate {
    fn default() -> Self {
        Self {
            key: String::new(),
            use_key_only: false,
            limit: 0,
            dynamic_limit: String::new(),
            period_time: 1,
            period_time_unit: Unit::default(),
            dynamic_period_time: String::new(),
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

fn limiter(config: Config, place: &str) -> Result<Limiter, Refusal> {
    let Rate { key, use_key_only, limit, dynamic_limit, period_time, period_time_unit, dynamic_period_time } =
        config.rate;
    let settings = Settings {
        names: &NAMES,
        add_headers: config.add_headers,
        error_strategy: config.error_strategy,
        key,
        use_key_only,
        limit,
        dynamic_limit,
        period: match period_time_unit {
            Unit::Seconds => Period::Fixed(period_time.saturating_mul(1000)),
            Unit::Minutes => Period::Fixed(period_time.saturating_mul(60_000)),
        },
        dynamic_period: dynamic_period_time,
        period_text: format!(
            "{period_time} {}",
            match period_time_unit {
                Unit::Seconds => "seconds",
                Unit::Minutes => "minutes",
            }
        ),
        attributes: false,
    };
    Limiter::new(settings, place)
}
