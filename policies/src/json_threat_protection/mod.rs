//! Bounds what a JSON body may be made of.

use std::borrow::Cow;
use std::rc::Rc;

use http::StatusCode;
use ringway_contract::kind::{Part, decode};
use ringway_contract::{Exchange, Kind, Phases, Policy, Reply, Step};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::json::{Event, Malformed, Scanner};
use crate::media;

/// `json-threat-protection`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "json-threat-protection",
    about: "Bounds depth, sizes and names of JSON bodies of requests.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>().on_messages(),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(JsonThreatProtection { config: decode(source.configuration)? })),
};

/// Configuration of `json-threat-protection`. A negative bound is no bound.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// Members of one object at most.
    pub max_entries: i64,
    /// Items of one array at most.
    pub max_array_size: i64,
    /// Objects and arrays inside of one another at most.
    pub max_depth: i64,
    /// Length of a member's name at most, in UTF-16 code units, without escapes.
    pub max_name_length: i64,
    /// Length of a string at most, in UTF-16 code units, without escapes.
    pub max_value_length: i64,
    /// Whether an object with two members of one name is refused.
    pub prevent_duplicate_key: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_entries: 100,
            max_array_size: 100,
            max_depth: 100,
            max_name_length: 100,
            max_value_length: 500,
            prevent_duplicate_key: true,
        }
    }
}

const DETECTED: &str = "JSON_THREAT_DETECTED";

struct JsonThreatProtection {
    config: Config,
}

/// An object or array that is open.
struct Level {
    entries: i64,
    /// Where its names begin among those of all objects that are open.
    names_from: usize,
}

fn exceeds(count: impl TryInto<i64>, max: i64) -> bool {
    max >= 0 && count.try_into().unwrap_or(i64::MAX) > max
}

fn is_longer(text: &str, max: i64) -> bool {
    // A text has at most as many UTF-16 code units as bytes.
    exceeds(text.len(), max) && exceeds(text.encode_utf16().count(), max)
}

impl JsonThreatProtection {
    /// The error key of what is found.
    fn find(&self, body: &[u8]) -> Result<(), &'static str> {
        let config = &self.config;
        let malformed = |_: Malformed| DETECTED;
        let mut scanner = Scanner::new(body).map_err(malformed)?;
        let mut levels: Vec<Level> = Vec::new();
        let mut names: Vec<Cow<'_, str>> = Vec::new();
        while let Some(event) = scanner.next().map_err(malformed)? {
            let begins = matches!(event, Event::BeginObject | Event::BeginArray);
            let ends = matches!(event, Event::EndObject | Event::EndArray);
            // Members are counted by their names, items as they begin.
            if !ends && let Some(level) = levels.last_mut() {
                if let Event::Name(_) = event {
                    level.entries += 1;
                    if exceeds(level.entries, config.max_entries) {
                        return Err("JSON_THREAT_MAX_ENTRIES");
                    }
                } else if scanner.is_in_array(usize::from(begins)) {
                    level.entries += 1;
                    if exceeds(level.entries, config.max_array_size) {
                        return Err("JSON_MAX_ARRAY_SIZE");
                    }
                }
            }
            match event {
                Event::BeginObject | Event::BeginArray => {
                    if exceeds(scanner.depth(), config.max_depth) {
                        return Err("JSON_THREAT_MAX_DEPTH");
                    }
                    levels.push(Level { entries: 0, names_from: names.len() });
                }
                Event::EndObject | Event::EndArray => {
                    let from = levels.pop().map_or(0, |level| level.names_from);
                    let own = names.get_mut(from..).unwrap_or_default();
                    own.sort_unstable();
                    if own.windows(2).any(|pair| matches!(pair, [one, next] if one == next)) {
                        return Err(DETECTED);
                    }
                    names.truncate(from);
                }
                Event::Name(name) => {
                    if is_longer(&name, config.max_name_length) {
                        return Err("JSON_THREAT_MAX_NAME_LENGTH");
                    }
                    if config.prevent_duplicate_key {
                        names.push(name);
                    }
                }
                Event::String(text) if is_longer(&text, config.max_value_length) => {
                    return Err("JSON_THREAT_MAX_VALUE_LENGTH");
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Policy for JsonThreatProtection {
    fn phases(&self) -> Phases {
        Phases::REQUEST.with_content().with_messages()
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let is_json = exchange.request.as_deref().is_some_and(|request| media::is_json(&request.head.fields));
        let body = exchange.contents.request.as_ref().filter(|body| is_json && !body.is_empty());
        match body.map_or(Ok(()), |body| self.find(body)) {
            Ok(()) => Step::Next,
            Err(key) => Step::Reply(Box::new(Reply::refusal(StatusCode::BAD_REQUEST, key, "Bad Request"))),
        }
    }

    /// Whatever a message says of its type: who reads it will find out.
    fn message<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let content =
            exchange.message.as_deref().map(|parcel| &parcel.message.content).filter(|content| !content.is_empty());
        match content.map_or(Ok(()), |content| self.find(content)) {
            Ok(()) => Step::Next,
            Err(key) => Step::Reply(Box::new(Reply::refusal(StatusCode::BAD_REQUEST, key, "Bad Request"))),
        }
    }
}
