//! Formats of text that JSON Schemas name (`"format": "listen"`), and patterns.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use croner::Cron;
use regex::Regex;

use crate::settings::{Listen, Network};

/// What is wrong with `text` as a `format`, as the rest of a sentence: "`x` is ...". Formats that are not known let everything pass.
pub(crate) fn check(format: &str, text: &str) -> Result<(), String> {
    match format {
        "listen" => text.parse::<Listen>().map(drop),
        "network" => text.parse::<Network>().map(drop),
        "token" if !text.bytes().all(is_token) => {
            Err("not a token: letters, digits and !#$%&'*+-.^_`|~ are allowed (RFC 9110 section 5.6.2)".into())
        }
        // Line breaks in a field would let its value begin another (RFC 9110 section 5.5).
        "field-value" if text.chars().any(|c| c.is_control() && c != '\t') => {
            Err("not the value of a field: it has a line break or another control character".into())
        }
        "cron" => {
            let parsed: Result<Cron, _> = text.parse();
            parsed.map(drop).map_err(|error| format!("not a cron expression such as `*/10 * * * * *`: {error}"))
        }
        _ => Ok(()),
    }
}

/// The largest value of a Rust integer type by the name that `schemars` gives as its format.
pub(crate) fn integer_max(format: &str) -> Option<f64> {
    match format {
        "uint8" => Some(f64::from(u8::MAX)),
        "uint16" => Some(f64::from(u16::MAX)),
        "uint32" => Some(f64::from(u32::MAX)),
        "int8" => Some(f64::from(i8::MAX)),
        "int16" => Some(f64::from(i16::MAX)),
        "int32" => Some(f64::from(i32::MAX)),
        _ => None,
    }
}

/// Whether `text` matches a pattern somewhere; `None` when the pattern itself is wrong.
///
/// Patterns come from our own types: few, and each is compiled once.
pub(crate) fn matches(pattern: &str, text: &str) -> Option<bool> {
    static COMPILED: Mutex<Option<HashMap<String, Option<Regex>>>> = Mutex::new(None);
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    let regex =
        compiled.get_or_insert_default().entry(pattern.to_owned()).or_insert_with(|| Regex::new(pattern).ok()).clone();
    drop(compiled);
    Some(regex?.is_match(text))
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
