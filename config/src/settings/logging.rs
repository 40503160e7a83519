//! Logs.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct Logging {
    /// What is logged: `off`, `error`, `warn`, `info`, `debug` or `trace`, or a list of filters such as `info,ringway_engine=debug`. Can be
    /// changed while the gateway runs, on the admin port.
    #[schemars(length(min = 1, max = 1024))]
    pub level: String,
    /// How lines look, on standard error.
    pub format: LogFormat,
    /// A line for each request.
    pub access: AccessLog,
}

impl Default for Logging {
    fn default() -> Self {
        Self { level: "info".into(), format: LogFormat::Text, access: AccessLog::default() }
    }
}

/// How lines of the log look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Words for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// A line for each request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct AccessLog {
    /// Whether it is written.
    pub enabled: bool,
    /// How lines look.
    pub format: AccessFormat,
    /// Where it is written: `stdout`, or a file that is appended to.
    #[schemars(length(min = 1))]
    pub path: String,
}

impl Default for AccessLog {
    fn default() -> Self {
        Self { enabled: true, format: AccessFormat::Json, path: "stdout".into() }
    }
}

impl AccessLog {
    /// The file that it is written to; `None` for standard output.
    pub fn file(&self) -> Option<&Path> {
        (self.path != "stdout").then(|| Path::new(&self.path))
    }
}

/// How lines of the access log look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AccessFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// The common log format of web servers, with the duration at the end.
    Common,
}
