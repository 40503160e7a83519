//! A status code as definitions give it.

use http::StatusCode;
use ringway_contract::Refusal;
use schemars::JsonSchema;
use serde::Deserialize;

/// A status code.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Status {
    /// As a number.
    Number(u16),
    /// As a decimal string.
    Text(String),
}

impl Status {
    /// The status of an answer.
    ///
    /// # Errors
    /// It is none that ends an exchange.
    pub fn read(field: &str, given: Option<&Self>, default: StatusCode) -> Result<StatusCode, Refusal> {
        let code = match given {
            None => return Ok(default),
            Some(Self::Number(code)) => Some(*code),
            Some(Self::Text(text)) => text.trim().parse().ok(),
        };
        let status = code.filter(|code| (200..600).contains(code)).and_then(|code| StatusCode::from_u16(code).ok());
        status.ok_or_else(|| Refusal(format!("{field}: it is not between 200 and 599")))
    }
}
