//! Health checks of endpoints.
//!
//! Each endpoint is probed by one shard of the process; its verdict is an atomic flag that the others read. The flag changes rarely, so
//! reading it costs nothing.

use std::rc::{Rc, Weak};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use chrono::DateTime;
use croner::Cron;
use http::StatusCode;
use ringway_config::api::HealthCheck;
use ringway_contract::HealthRequest;
use ringway_net::{Shard, pause, until_closing};

use super::member::Member;

/// A check, ready to run.
pub struct Check {
    schedule: Cron,
    request: Rc<HealthRequest>,
    assertion: Assertion,
    successes: u32,
    failures: u32,
}

/// Checks are not made more often than this, whatever the schedule says.
const PAUSE_MIN: Duration = Duration::from_secs(1);

impl Check {
    /// Reads a check.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(check: &HealthCheck) -> Result<Self, String> {
        let schedule: Cron =
            check.schedule.parse().map_err(|error| format!("schedule `{}`: {error}", check.schedule))?;
        let method = check.method.parse().map_err(|_| format!("method `{}` is not one", check.method))?;
        let assertion = Assertion::parse(&check.assertion).unwrap_or_else(|| {
            tracing::warn!(
                assertion = check.assertion,
                "only comparisons of #response.status are evaluated yet; any 2xx counts as healthy"
            );
            Assertion::success()
        });
        let request = HealthRequest {
            method,
            target: check.target.clone(),
            override_path: check.override_endpoint_path,
            headers: check.headers.iter().map(|header| (header.name.clone(), header.value.clone())).collect(),
        };
        Ok(Self {
            schedule,
            request: Rc::new(request),
            assertion,
            successes: check.success_threshold.max(1),
            failures: check.failure_threshold.max(1),
        })
    }

    fn pause(&self) -> Duration {
        let unix_ms = i64::try_from(Shard::current().unix_ms()).unwrap_or(i64::MAX);
        let now = DateTime::from_timestamp_millis(unix_ms).unwrap_or_default();
        let next = self.schedule.find_next_occurrence(&now, false).ok();
        next.and_then(|next| (next - now).to_std().ok()).unwrap_or(Duration::from_secs(60)).max(PAUSE_MIN)
    }
}

/// Probes a member for as long as its site holds it.
pub async fn watch(member: Weak<Member>, check: Check) {
    let (mut good, mut bad) = (0, 0);
    while pause(check.pause()).await {
        let Some(alive) = member.upgrade() else { return };
        let probe = alive.endpoint().clone().probe(check.request.clone());
        // The member is not held while the backend thinks: a reload must be able to drop it.
        drop(alive);
        let Some(outcome) = until_closing(probe).await else { return };
        let Some(alive) = member.upgrade() else { return };
        let holds = outcome.as_ref().is_ok_and(|status| check.assertion.holds(*status));
        (good, bad) = if holds { (good + 1, 0) } else { (0, bad + 1) };
        let healthy = alive.is_healthy();
        if healthy && bad >= check.failures {
            alive.healthy.store(false, Relaxed);
            let reason = outcome.map_or_else(|fault| fault.to_string(), |status| format!("status {status}"));
            tracing::warn!(endpoint = &*alive.name, reason, "endpoint is unhealthy");
        } else if !healthy && good >= check.successes {
            alive.healthy.store(true, Relaxed);
            tracing::info!(endpoint = &*alive.name, "endpoint is healthy again");
        }
    }
}

/// Comparisons of the status, joined by `&&` (which binds tighter) and `||`.
#[derive(Debug, PartialEq, Eq)]
struct Assertion {
    any_of: Vec<Vec<(Comparison, u16)>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Assertion {
    fn success() -> Self {
        Self { any_of: vec![vec![(Comparison::GreaterOrEqual, 200), (Comparison::Less, 300)]] }
    }

    /// Reads `{#response.status == 200}` and its like. `None` for what needs the whole expression language.
    fn parse(text: &str) -> Option<Self> {
        let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
        let any_of = inner
            .split("||")
            .flat_map(|part| part.split(" or "))
            .map(|all| all.split("&&").flat_map(|part| part.split(" and ")).map(comparison).collect())
            .collect::<Option<_>>()?;
        Some(Self { any_of })
    }

    fn holds(&self, status: StatusCode) -> bool {
        let status = status.as_u16();
        self.any_of.iter().any(|all| {
            all.iter().all(|(comparison, wanted)| match comparison {
                Comparison::Equal => status == *wanted,
                Comparison::NotEqual => status != *wanted,
                Comparison::Less => status < *wanted,
                Comparison::LessOrEqual => status <= *wanted,
                Comparison::Greater => status > *wanted,
                Comparison::GreaterOrEqual => status >= *wanted,
            })
        })
    }
}

fn comparison(text: &str) -> Option<(Comparison, u16)> {
    let rest = text.trim().strip_prefix("#response.status")?.trim_start();
    let operators = [
        ("==", Comparison::Equal),
        ("!=", Comparison::NotEqual),
        ("<=", Comparison::LessOrEqual),
        (">=", Comparison::GreaterOrEqual),
        ("<", Comparison::Less),
        (">", Comparison::Greater),
    ];
    let (operator, number) =
        operators.iter().find_map(|(sign, operator)| rest.strip_prefix(sign).map(|number| (*operator, number)))?;
    Some((operator, number.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assertions_compare_the_status() {
        for (text, status, expected) in [
            ("{#response.status == 200}", 200, Some(true)),
            ("{#response.status == 200}", 204, Some(false)),
            ("{ #response.status >= 200 && #response.status < 300 }", 204, Some(true)),
            ("{#response.status < 400 and #response.status != 302}", 302, Some(false)),
            ("{#response.status == 200 || #response.status == 404}", 404, Some(true)),
            ("{#response.content.contains('ok')}", 200, None),
            ("true", 200, None),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(Assertion::parse(text).map(|assertion| assertion.holds(status)), expected, "{text}");
        }
    }

    #[test]
    fn bad_checks_say_what_is_wrong() {
        let check = |schedule: &str, method: &str| {
            let check = HealthCheck { schedule: schedule.into(), method: method.into(), ..HealthCheck::default() };
            Check::new(&check).map(drop).unwrap_err()
        };
        assert!(check("every day", "GET").starts_with("schedule `every day`"));
        assert!(check("*/10 * * * * *", "G T").starts_with("method `G T`"));
    }
}
