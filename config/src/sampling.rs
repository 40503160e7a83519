//! Which messages are written down: the rules of `analytics.sampling`.

use crate::api::{Api, Sampling, SamplingType};
use crate::node::Node;
use crate::problem::Problem;

/// One of so many messages that are written down where nothing is said.
const COUNT: u64 = 100;
/// The share of messages that may be written down by chance.
const PROBABILITY: (f64, f64) = (0.01, 0.5);
/// The shortest period, in milliseconds.
const PERIOD_MS_MIN: u64 = 1000;
/// The longest, in milliseconds: a year.
const PERIOD_MS_MAX: u64 = 366 * 24 * 60 * 60 * 1000;

/// A rule by which messages are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SamplingRule {
    /// By chance; from 0.01 to 0.5.
    Probability(f64),
    /// One per period, in milliseconds, of one second at least.
    Temporal(u64),
    /// One of so many; 2 at least.
    Count(u64),
    /// So many per period, in milliseconds; one a second at most.
    WindowedCount(u64, u64),
}

impl Default for SamplingRule {
    fn default() -> Self {
        Self::Count(COUNT)
    }
}

impl Sampling {
    /// What is said, in numbers.
    ///
    /// # Errors
    /// The value is none of its type, or out of its bounds: a sentence about it.
    pub fn rule(&self) -> Result<SamplingRule, &'static str> {
        let value = self.value.trim();
        let count = |text: &str| text.trim().parse::<u64>().ok();
        match self.kind {
            SamplingType::Probability => {
                let share = value.parse::<f64>().ok().filter(|share| (PROBABILITY.0..=PROBABILITY.1).contains(share));
                share.map(SamplingRule::Probability).ok_or("a probability is a number from 0.01 to 0.5")
            }
            SamplingType::Temporal => period_ms(value)
                .map(SamplingRule::Temporal)
                .ok_or("a period is a duration of ISO 8601 from one second to a year, such as `PT10S`"),
            SamplingType::Count => count(value)
                .filter(|count| *count > 1)
                .map(SamplingRule::Count)
                .ok_or("a count is a whole number above 1: one of so many messages is written down"),
            SamplingType::WindowedCount => {
                let parts = value.split_once('/').and_then(|(most, period)| Some((count(most)?, period_ms(period)?)));
                let parts = parts.filter(|(most, period)| *most > 0 && most.saturating_mul(1000) <= *period);
                parts.map(|(most, period)| SamplingRule::WindowedCount(most, period)).ok_or(
                    "a windowed count is a count, a stroke and a duration, one a second at most, such as `10/PT1M`",
                )
            }
        }
    }
}

/// What is wrong with the rule of a definition.
pub(crate) fn check(api: &Api, definition: &Node) -> Option<Problem> {
    let message = api.analytics.sampling.as_ref()?.rule().err()?;
    let node = definition.field("analytics")?.field("sampling")?.field("value")?;
    Some(Problem::error(&node.span, "analytics.sampling.value", message))
}

/// A duration of ISO 8601 of days, hours, minutes and seconds, in milliseconds; `None`: it is none, or out of bounds.
fn period_ms(text: &str) -> Option<u64> {
    let whole = text.trim().strip_prefix('P')?;
    let (days, times) = whole.split_once('T').unwrap_or((whole, ""));
    if whole.ends_with('T') {
        return None;
    }
    let days = parts(days, &[('D', 86_400_000.0)])?;
    let times = parts(times, &[('H', 3_600_000.0), ('M', 60_000.0), ('S', 1000.0)])?;
    let period = (days + times).round();
    (period >= PERIOD_MS_MIN as f64 && period <= PERIOD_MS_MAX as f64).then_some(period as u64)
}

/// The sum of numbers with these units behind them, each once at most and in this order.
fn parts(mut text: &str, units: &[(char, f64)]) -> Option<f64> {
    let mut sum = 0.0;
    for (unit, weight) in units {
        let Some((number, rest)) = text.split_once(*unit) else { continue };
        let is_number = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        sum += number.parse::<f64>().ok().filter(|_| is_number)? * weight;
        text = rest;
    }
    text.is_empty().then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_within_their_bounds() {
        use SamplingRule::{Count, Probability, Temporal, WindowedCount};
        use SamplingType as Kind;
        for (kind, value, wanted) in [
            (Kind::Probability, "0.01", Some(Probability(0.01))),
            (Kind::Probability, " 0.5 ", Some(Probability(0.5))),
            (Kind::Probability, "0.51", None),
            (Kind::Probability, "0", None),
            (Kind::Probability, "NaN", None),
            (Kind::Count, "2", Some(Count(2))),
            (Kind::Count, "1", None),
            (Kind::Count, "-5", None),
            (Kind::Temporal, "PT1S", Some(Temporal(1000))),
            (Kind::Temporal, "PT1.5S", Some(Temporal(1500))),
            (Kind::Temporal, "P1DT2H3M4S", Some(Temporal(93_784_000))),
            (Kind::Temporal, "P1D", Some(Temporal(86_400_000))),
            (Kind::Temporal, "PT0.5S", None),
            (Kind::Temporal, "PT", None),
            (Kind::Temporal, "P", None),
            (Kind::Temporal, "PT1S2M", None),
            (Kind::Temporal, "PT1S1S", None),
            (Kind::Temporal, "P1M", None),
            (Kind::Temporal, "PT1e3S", None),
            (Kind::Temporal, "P9999D", None),
            (Kind::Temporal, "10", None),
            (Kind::WindowedCount, "1/PT1S", Some(WindowedCount(1, 1000))),
            (Kind::WindowedCount, "10/PT1M", Some(WindowedCount(10, 60_000))),
            (Kind::WindowedCount, "61/PT1M", None),
            (Kind::WindowedCount, "0/PT1M", None),
            (Kind::WindowedCount, "10", None),
        ] {
            let rule = Sampling { kind, value: value.into() }.rule();
            assert_eq!(rule.ok(), wanted, "{kind:?} {value}");
        }
    }
}
