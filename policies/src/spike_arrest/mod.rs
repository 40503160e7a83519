//! Requests per seconds or minutes, spread evenly over them.

use std::rc::Rc;

use ringway_contract::kind::{Part, decode};
use ringway_contract::{Kind, Policy, Refusal};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::limits::{self, ErrorStrategy, Limiter, Names, Period, Settings};

/// `spike-arrest`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "spike-arrest",
    about: "Spreads requests evenly over seconds or minutes: refuses those beyond the limit of a slice.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| {
            let config = decode::<Config>(configuration);
            let limit = config.as_ref().map_or((1, ""), |config| (config.spike.limit, &config.spike.dynamic_limit));
            let closed = limits::is_closed(limit);
            limits::examine(configuration, "spike", closed, config.and_then(|config| limiter(config, "")).err())
        })
        .on_messages(),
    shared: None,
    messaging: None,
    build: |source, services| Ok(Rc::new(limiter(decode(source.configuration)?, source.place)?.among(services)?)),
};

static NAMES: Names = Names {
    policy: "spike-arrest",
    limit: "X-Spike-Arrest-Limit",
    remaining: "X-Spike-Arrest-Remaining",
    reset: "X-Spike-Arrest-Reset",
    refused: "SPIKE_ARREST_TOO_MANY_REQUESTS",
    blocked: "SPIKE_ARREST_BLOCK_ON_INTERNAL_ERROR",
    failed: "SPIKE_ARREST_SERVER_ERROR",
};

/// Configuration of `spike-arrest`.
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
    pub spike: Spike,
}

/// A limit.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Spike {
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
}

impl Default for Spike {
    fn default() -> Self {
        Self {
            key: String::new(),
            use_key_only: false,
            limit: 0,
            dynamic_limit: String::new(),
            period_time: 1,
            period_time_unit: Unit::default(),
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
    let Spike { key, use_key_only, limit, dynamic_limit, period_time, period_time_unit } = config.spike;
    let settings = Settings {
        names: &NAMES,
        add_headers: config.add_headers,
        error_strategy: config.error_strategy,
        key,
        use_key_only,
        limit,
        dynamic_limit,
        period: match period_time_unit {
            Unit::Seconds => Period::Sliced(period_time.saturating_mul(1000)),
            Unit::Minutes => Period::Sliced(period_time.saturating_mul(60_000)),
        },
        dynamic_period: String::new(),
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
