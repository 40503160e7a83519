//! What older definitions say of the phase of a step. It has no effect: a step runs in the phase in which it stands.

use schemars::JsonSchema;
use serde::Deserialize;

/// A phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Scope {
    /// On the way to the endpoint.
    #[default]
    Request,
    /// On the way back.
    Response,
}

/// A phase, and whether the body is held for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ContentScope {
    /// The request's head.
    #[default]
    Request,
    /// The request with its body.
    RequestContent,
    /// The response's head.
    Response,
    /// The response with its body.
    ResponseContent,
}
