//! The handlers.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{Router, get, post};
use ringway_config::Problem;
use ringway_contract::control::{ApiState, DataPlane, State as PlaneState};
use serde::{Deserialize, Serialize};

use super::problem::ProblemDetails;
use super::{Admin, metrics};
use crate::reload::{ReloadError, Trigger};

type Shared = State<Arc<Admin>>;
type Answer<T> = Result<T, ProblemDetails>;

pub(super) fn routes() -> Router<Arc<Admin>> {
    Router::new()
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/apis", get(apis))
        .route("/apis/{id}", get(api))
        .route("/shards", get(shards))
        .route("/config", get(config))
        .route("/reload", post(reload))
        .route("/log-level", get(level).put(change_level))
}

async fn live() -> Json<Health> {
    Json(Health::of(Vec::new(), 0))
}

async fn ready(State(admin): Shared) -> Response {
    // While a snapshot is published the data plane may not answer, and serves all the same: the last answer still holds.
    let (reasons, revision) = match admin.ask_soon(DataPlane::state).await {
        Some(state) => admin.ready.keep(&state),
        None => admin.ready.again(),
    };
    let health = match admin.draining() {
        true => Health::of(vec!["the gateway is draining".to_owned()], revision),
        false => Health::of(reasons, revision),
    };
    let status = if health.reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    if status.is_success() { Json(health).into_response() } else { health.into_problem().into_response() }
}

/// What `/health/ready` answered last: the reasons against, and the revision.
#[derive(Default)]
pub(super) struct LastAnswer(Mutex<Option<(Vec<String>, u64)>>);

impl LastAnswer {
    fn keep(&self, state: &PlaneState) -> (Vec<String>, u64) {
        let answer = (reasons(state), state.revision);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer.clone());
        answer
    }

    fn again(&self) -> (Vec<String>, u64) {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        last.unwrap_or_else(|| (vec!["the data plane does not answer".to_owned()], 0))
    }
}

/// Why the gateway should not be sent requests. Empty when it should.
fn reasons(state: &PlaneState) -> Vec<String> {
    let mut reasons = Vec::new();
    if state.revision == 0 {
        reasons.push("no snapshot is published yet".to_owned());
    }
    if state.shards.is_empty() {
        reasons.push("no shard runs".to_owned());
    }
    let behind = state.shards.iter().filter(|shard| shard.revision == 0);
    reasons.extend(behind.map(|shard| format!("shard {} serves no snapshot yet", shard.id)));
    reasons
}

/// The answer of a health endpoint.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Health {
    status: &'static str,
    /// Tells the old process from the new one while both serve (upgrade).
    pid: u32,
    #[serde(skip_serializing_if = "is_zero")]
    revision: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
}

impl Health {
    fn of(reasons: Vec<String>, revision: u64) -> Self {
        let status = if reasons.is_empty() { "up" } else { "down" };
        Self { status, pid: std::process::id(), revision, reasons }
    }

    fn into_problem(self) -> ProblemDetails {
        ProblemDetails::new(StatusCode::SERVICE_UNAVAILABLE, self.reasons.join("; "))
            .problems(self.reasons.into_iter().map(serde_json::Value::String))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

async fn metrics(State(admin): Shared) -> Answer<Response> {
    let asked = admin.ask(|plane| {
        let mut text = String::new();
        plane.metrics(&mut text);
        text
    });
    let mut text = asked.await.ok_or_else(failed)?;
    metrics::append(&mut text, admin.reloader.figures());
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

async fn apis(State(admin): Shared) -> Answer<Json<Vec<ApiState>>> {
    let state = admin.ask(DataPlane::state).await.ok_or_else(failed)?;
    Ok(Json(state.apis))
}

async fn api(State(admin): Shared, Path(id): Path<String>) -> Answer<Json<ApiState>> {
    let state = admin.ask(DataPlane::state).await.ok_or_else(failed)?;
    let found = state.apis.into_iter().find(|api| api.id == id);
    found.map(Json).ok_or_else(|| ProblemDetails::new(StatusCode::NOT_FOUND, "no API with this id is deployed"))
}

async fn shards(State(admin): Shared) -> Answer<Response> {
    let state = admin.ask(DataPlane::state).await.ok_or_else(failed)?;
    Ok(Json(state.shards).into_response())
}

/// The data plane's answer is missing because the call panicked: a defect.
fn failed() -> ProblemDetails {
    ProblemDetails::new(StatusCode::INTERNAL_SERVER_ERROR, "the data plane could not answer")
}

async fn config(State(admin): Shared) -> Answer<Response> {
    let snapshot = admin.reloader.current();
    let mut settings = serde_json::to_string(&snapshot.settings)
        .map_err(|error| ProblemDetails::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    // Any text of the settings may be a secret.
    snapshot.hidden.hide_in_json(&mut settings);
    Ok(([(header::CONTENT_TYPE, "application/json")], settings).into_response())
}

async fn reload(State(admin): Shared) -> Answer<Response> {
    match admin.reloader.reload(Trigger::Admin).await {
        Ok(published) => Ok(Json(Reloaded {
            revision: published.revision,
            warnings: published.warnings.iter().map(value).collect(),
        })
        .into_response()),
        Err(ReloadError::Invalid(problems)) => Err(ProblemDetails::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "the configuration has problems; the running one serves on",
        )
        .problems(problems.iter().map(value))),
        Err(error @ ReloadError::Refused(_)) => {
            Err(ProblemDetails::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))
        }
        Err(error @ (ReloadError::Busy | ReloadError::Stopped)) => {
            Err(ProblemDetails::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))
        }
    }
}

#[derive(Serialize)]
struct Reloaded {
    revision: u64,
    warnings: Vec<serde_json::Value>,
}

fn value(problem: &Problem) -> serde_json::Value {
    serde_json::to_value(problem).unwrap_or_else(|_| serde_json::Value::String(problem.to_string()))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Level {
    level: String,
}

async fn level(State(admin): Shared) -> Answer<Json<Level>> {
    let level = admin.level.as_ref().ok_or_else(no_level)?.current();
    Ok(Json(Level { level }))
}

async fn change_level(State(admin): Shared, body: Bytes) -> Answer<Json<Level>> {
    let wanted: Level = serde_json::from_slice(&body).map_err(|error| {
        ProblemDetails::new(StatusCode::BAD_REQUEST, format!("not {{\"level\": \"...\"}}: {error}"))
    })?;
    let level = admin.level.as_ref().ok_or_else(no_level)?;
    level
        .change(&wanted.level)
        .map_err(|error| ProblemDetails::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))?;
    let level = level.current();
    tracing::info!(level, "log level changed over the admin port");
    Ok(Json(Level { level }))
}

fn no_level() -> ProblemDetails {
    ProblemDetails::new(StatusCode::NOT_FOUND, "this process has a log of its own")
}
