//! Requests per hours, days, weeks or months.

use std::rc::Rc;

use ringway_contract::kind::{Part, decode};
use ringway_contract::{Kind, Policy, Refusal};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::limits::{self, ErrorStrategy, Limiter, Names, Period, Settings};

/// `quota`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "quota",
    about: "Refuses requests beyond a limit per hours, days, weeks or months.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| {
            let config = decode::<Config>(configuration);
            let limit = config.as_ref().map_or((1, ""), |config| (config.quota.limit, &config.quota.dynamic_limit));
            let closed = limits::is_closed(limit);
            limits::examine(configuration, "quota", closed, config.and_then(|config| limiter(config, "")).err())
        })
        .on_messages(),
    shared: None,
    messaging: None,
    build: |source, services| Ok(Rc::new(limiter(decode(source.configuration)?, source.place)?.among(services)?)),
};

static NAMES: Names = Names {
    policy: "quota",
    limit: "X-Quota-Limit",
    remaining: "X-Quota-Remaining",
    reset: "X-Quota-Reset",
    refused: "QUOTA_TOO_MANY_REQUESTS",
    blocked: "QUOTA_BLOCK_ON_INTERNAL_ERROR",
    failed: "QUOTA_SERVER_ERROR",
};

/// Configuration of `quota`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// What happens to a request that cannot be counted.
    pub error_strategy: ErrorStrategy,
    /// Whether counts may be late. They never are: every request is counted before it passes.
    pub r#async: bool,
    /// Whether responses tell the client of the limit.
    pub add_headers: bool,
    /// The limit.
    pub quota: Quota,
}

impl Default for Config {
    fn default() -> Self {
        Self { error_strategy: ErrorStrategy::default(), r#async: false, add_headers: true, quota: Quota::default() }
    }
}

/// A limit.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Quota {
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

impl Default for Quota {
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
    /// Hours.
    Hours,
    /// Days of 24 hours.
    Days,
    /// Weeks of seven such days.
    Weeks,
    /// Months of the calendar, in UTC.
    #[default]
    Months,
}

fn limiter(config: Config, place: &str) -> Result<Limiter, Refusal> {
    let Quota { key, use_key_only, limit, dynamic_limit, period_time, period_time_unit } = config.quota;
    let settings = Settings {
        names: &NAMES,
        add_headers: config.add_headers,
        error_strategy: config.error_strategy,
        key,
        use_key_only,
        limit,
        dynamic_limit,
        period: match period_time_unit {
            Unit::Hours => Period::Fixed(period_time.saturating_mul(3_600_000)),
            Unit::Days => Period::Fixed(period_time.saturating_mul(crate::limits::DAY_MS)),
            Unit::Weeks => Period::Fixed(period_time.saturating_mul(7 * crate::limits::DAY_MS)),
            Unit::Months => Period::Months(period_time),
        },
        dynamic_period: String::new(),
        period_text: format!(
            "{period_time} {}",
            match period_time_unit {
                Unit::Hours => "hours",
                Unit::Days => "days",
                Unit::Weeks => "weeks",
                Unit::Months => "months",
            }
        ),
        attributes: true,
    };
    Limiter::new(settings, place)
}
