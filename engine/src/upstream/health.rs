//! Health checks of endpoints.
//!
//! Each endpoint is probed by one shard of the process; its verdict is an atomic flag that the others read. The flag changes rarely, so
//! reading it costs nothing.

use std::rc::{Rc, Weak};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use chrono::DateTime;
use croner::Cron;
use ringway_config::api::HealthCheck;
use ringway_contract::{FetchResponse, HealthRequest, Root, Template, Vocabulary};
use ringway_net::{Shard, pause, until_closing};

use super::member::Member;

/// A check, ready to run.
pub struct Check {
    schedule: Cron,
    request: Rc<HealthRequest>,
    assertion: Template,
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
        let vocabulary = Vocabulary::deployment().with(Root::Response);
        let assertion = Template::condition(&check.assertion, &vocabulary)
            .map_err(|problem| format!("assertion `{}`: {problem}", check.assertion))?;
        let request = HealthRequest {
            method,
            target: check.target.clone(),
            override_path: check.override_endpoint_path,
            headers: check.headers.iter().map(|header| (header.name.clone(), header.value.clone())).collect(),
            content: assertion.needs().response_content,
        };
        Ok(Self {
            schedule,
            request: Rc::new(request),
            assertion,
            successes: check.success_threshold.max(1),
            failures: check.failure_threshold.max(1),
        })
    }

    /// Whether this is the answer of a healthy backend. What cannot be evaluated is not.
    fn holds(&self, answer: &FetchResponse) -> bool {
        self.assertion.as_bool(answer).unwrap_or(false)
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
        let holds = outcome.as_ref().is_ok_and(|answer| check.holds(answer));
        (good, bad) = if holds { (good + 1, 0) } else { (0, bad + 1) };
        let healthy = alive.is_healthy();
        if healthy && bad >= check.failures {
            alive.healthy.store(false, Relaxed);
            let reason = outcome.map_or_else(|fault| fault.to_string(), |answer| format!("status {}", answer.status));
            tracing::warn!(endpoint = &*alive.name, reason, "endpoint is unhealthy");
        } else if !healthy && good >= check.successes {
            alive.healthy.store(true, Relaxed);
            tracing::info!(endpoint = &*alive.name, "endpoint is healthy again");
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::StatusCode;

    use super::*;

    #[test]
    fn assertions_see_the_whole_answer() {
        let answer = FetchResponse {
            status: StatusCode::ACCEPTED,
            headers: vec![("X-State".into(), Bytes::from_static(b"up"))],
            body: Bytes::from_static(b"{\"db\": {\"ok\": true}, \"queue\": 3}"),
        };
        for (assertion, holds, content) in [
            ("{#response.status == 202}", true, false),
            ("{#response.status == 200}", false, false),
            ("{#response.status >= 200 && #response.status < 300}", true, false),
            ("{#response.status < 400 and #response.status != 202}", false, false),
            ("{#response.status == 200 || #response.headers['x-state'][0] == 'up'}", true, false),
            ("{#response.content.contains('queue')}", true, true),
            ("{#response.jsonContent.db.ok}", true, true),
            ("{#jsonPath(#response.content, '$.queue') > 3}", false, true),
            ("{#response.headers['x-none'][0].length() > 0}", false, false),
            (" true ", true, false),
        ] {
            let check = HealthCheck { assertion: assertion.into(), ..HealthCheck::default() };
            let check = Check::new(&check).unwrap();
            assert_eq!((check.holds(&answer), check.request.content), (holds, content), "{assertion}");
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
        let check = HealthCheck { assertion: "{#request.path == '/'}".into(), ..HealthCheck::default() };
        assert!(Check::new(&check).map(drop).unwrap_err().starts_with("assertion `{#request.path"));
    }
}
