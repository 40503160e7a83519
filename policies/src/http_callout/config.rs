//! The configuration of a callout.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::scope::ContentScope;
use crate::status::Status;
use crate::verb::Verb;

/// Configuration of `policy-http-callout`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// Where older releases run the step. Has no effect: a step runs in the phase in which it stands.
    #[serde(default)]
    pub scope: Option<ContentScope>,
    /// Method of the call.
    #[serde(default)]
    pub method: Verb,
    /// Has no effect: the service is called directly.
    #[serde(default)]
    pub use_system_proxy: bool,
    /// `http` or `https` URL of the service; may have expressions.
    pub url: String,
    /// Fields of the call.
    #[serde(default)]
    pub headers: Vec<Header>,
    /// Body of the call; may have expressions.
    #[serde(default)]
    pub body: Option<String>,
    /// Whether the exchange goes on at once, whatever becomes of the call. Then `variables` and `exitOnError` mean nothing.
    #[serde(default)]
    pub fire_and_forget: bool,
    /// Attributes that are set from the answer.
    #[serde(default)]
    pub variables: Vec<Variable>,
    /// Whether the exchange ends when the service does not answer, or `errorCondition` holds.
    #[serde(default)]
    pub exit_on_error: bool,
    /// When an answer is an error.
    #[serde(default = "is_error")]
    pub error_condition: String,
    /// Status that the client is answered with then, 200 to 599. A number or its decimal string; default 500.
    #[serde(default)]
    pub error_status_code: Option<Status>,
    /// Body that the client is answered with then; may have expressions.
    #[serde(default)]
    pub error_content: Option<String>,
    /// How the service is called.
    #[serde(default)]
    pub http: Http,
}

fn is_error() -> String {
    "{#calloutResponse.status >= 400 and #calloutResponse.status <= 599}".into()
}

/// A field of the call.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value; may have expressions.
    #[serde(default)]
    pub value: Option<String>,
}

/// An attribute that is set.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value; an expression sees the answer as `#calloutResponse`.
    #[serde(default)]
    pub value: Option<String>,
    /// Whether the value becomes a text; otherwise lists and maps stay what they are.
    #[serde(default = "yes")]
    pub evaluate_as_string: bool,
}

fn yes() -> bool {
    true
}

/// How the service is called.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Http {
    /// Calls of this step that are under way at once, in the whole gateway. Each shard has its part of them, and one at least.
    #[schemars(range(min = 1, max = 65536))]
    pub max_concurrent_connections: usize,
}

impl Default for Http {
    fn default() -> Self {
        Self { max_concurrent_connections: 20 }
    }
}
