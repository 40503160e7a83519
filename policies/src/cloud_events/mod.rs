//! Makes an event of a body (CloudEvents 1.0.2).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::StatusCode;
use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::{Exchange, Fields, Kind, Phases, Policy, Refusal, Reply, Step};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::json::{Scanner, write_string};
use crate::media;
use crate::text::Text;

/// `cloud-events`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "cloud-events",
    about: "Makes a CloudEvents event of the body of a request or a response.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| refused(configuration, decode(configuration).and_then(CloudEvents::new).err())),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(CloudEvents::new(decode(source.configuration)?)?)),
};

/// Configuration of `cloud-events`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// The event's `id`; an expression may stand in it. Without it, the header `ce-id`, and without that a random one.
    pub id: Option<String>,
    /// The event's `type`; an expression may stand in it. Without it, the header `ce-type`.
    pub r#type: Option<String>,
    /// The event's `source`; an expression may stand in it. Without it, the header `ce-source`.
    pub source: Option<String>,
    /// The event's `subject`; an expression may stand in it. Without it, the header `ce-subject`, and without that the event has none.
    pub subject: Option<String>,
    /// Further attributes: names of lower-case letters and digits; expressions may stand in the values.
    pub extensions: BTreeMap<String, String>,
    /// What becomes of the body. The reference product knows `STRUCTURED` only.
    pub content_mode: Mode,
}

/// How an event is carried (HTTP Protocol Binding, section 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Mode {
    /// The body becomes a JSON document that holds the attributes and what the body was.
    #[default]
    Structured,
    /// The body stays, and the attributes become headers `ce-...`.
    Binary,
}

/// Characters of the name of an extension.
const NAME_CHARACTERS_MAX: usize = 20;
/// Extensions of an event.
const EXTENSIONS_MAX: usize = 32;
/// Names that extensions may not have.
const RESERVED: &[&str] =
    &["specversion", "id", "type", "source", "subject", "time", "data", "datacontenttype", "dataschema"];

struct CloudEvents {
    /// Name, whether an event needs it, and its value, if one is configured.
    attributes: Vec<(&'static str, bool, Option<Text>)>,
    extensions: Vec<(String, Text)>,
    mode: Mode,
}

impl CloudEvents {
    fn new(config: Config) -> Result<Self, Refusal> {
        let text = |name: &str, value: Option<String>| {
            let value = value.filter(|value| !value.is_empty());
            value.map(|value| Text::on_both(name, &value)).transpose()
        };
        let attributes = vec![
            ("id", true, text("id", config.id)?),
            ("source", true, text("source", config.source)?),
            ("type", true, text("type", config.r#type)?),
            ("subject", false, text("subject", config.subject)?),
        ];
        if config.extensions.len() > EXTENSIONS_MAX {
            return Err(Refusal(format!("extensions: more than {EXTENSIONS_MAX}")));
        }
        let mut extensions = Vec::new();
        for (name, value) in config.extensions {
            let is_name = (1..=NAME_CHARACTERS_MAX).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
            if !is_name || RESERVED.contains(&name.as_str()) {
                let wanted =
                    format!("1 to {NAME_CHARACTERS_MAX} lower-case letters and digits, and none of CloudEvents' own");
                return Err(Refusal(format!("extensions: `{name}` is no name of an extension: {wanted}")));
            }
            let text = Text::on_both(&format!("extensions.{name}"), &value)?;
            extensions.push((name, text));
        }
        Ok(Self { attributes, extensions, mode: config.content_mode })
    }

    /// The attributes of the event, besides those that are about the data.
    fn attributes<'a>(&'a self, exchange: &Exchange, fields: &Fields) -> Result<Vec<(&'a str, String)>, Box<Reply>> {
        let mut found = vec![("specversion", "1.0".to_owned())];
        for (name, required, text) in &self.attributes {
            let given = match text {
                Some(text) => text.value(exchange)?.map(Cow::into_owned),
                None => header(fields, name),
            };
            match given.filter(|value| !value.is_empty()) {
                Some(value) => found.push((name, value)),
                None if *name == "id" => found.push((name, random())),
                None if *required => return Err(failure(exchange, format!("The event has no `{name}`."))),
                None => {}
            }
        }
        for (name, text) in &self.extensions {
            found.extend(text.value(exchange)?.map(|value| (name.as_str(), value.into_owned())));
        }
        Ok(found)
    }

    fn event(&self, exchange: &Exchange, fields: &Fields, body: &[u8]) -> Result<Event, Box<Reply>> {
        let attributes = self.attributes(exchange, fields)?;
        if self.mode == Mode::Binary {
            let encoded = attributes.iter().map(|(name, value)| (format!("ce-{name}"), encoded(value)));
            return Ok(Event::Binary(encoded.collect()));
        }
        let mut out = String::with_capacity(body.len() * 4 / 3 + 256);
        for (name, value) in attributes {
            out.push(if out.is_empty() { '{' } else { ',' });
            write_string(name, &mut out);
            out.push(':');
            write_string(&value, &mut out);
        }
        let media = fields.get("content-type").and_then(|value| std::str::from_utf8(value).ok());
        if let Some(media) = media {
            out.push_str(",\"datacontenttype\":");
            write_string(media, &mut out);
        }
        if !body.is_empty() {
            data(fields, media, body, &mut out).map_err(|message| failure(exchange, message.into()))?;
        }
        out.push('}');
        Ok(Event::Structured(out.into()))
    }
}

enum Event {
    Structured(Bytes),
    Binary(Vec<(String, String)>),
}

impl Event {
    fn put(self, fields: &mut Fields, content: &mut Option<Bytes>) -> Result<(), String> {
        match self {
            Self::Structured(body) => {
                *content = Some(body);
                // A constant is a value that every head takes.
                let _ = fields.set("Content-Type", "application/cloudevents+json");
                Ok(())
            }
            Self::Binary(headers) => headers.into_iter().try_for_each(|(name, value)| {
                fields.set(&name, value).map_err(|_| format!("The event's `{name}` is no header."))
            }),
        }
    }
}

/// Appends the data (JSON Event Format, section 3.1): JSON and text as they are, anything else as base64.
fn data(fields: &Fields, media: Option<&str>, body: &[u8], out: &mut String) -> Result<(), &'static str> {
    let json = std::str::from_utf8(body).ok().filter(|_| (media.is_none() || media::is_json(fields)) && is_json(body));
    if let Some(json) = json {
        out.push_str(",\"data\":");
        out.push_str(json.trim_ascii());
        return Ok(());
    }
    if media::is_json(fields) {
        return Err("The body is not the JSON that it says to be.");
    }
    let is_text =
        media.is_some_and(|media| media.trim_start().get(..5).is_some_and(|start| start.eq_ignore_ascii_case("text/")));
    match std::str::from_utf8(body).ok().filter(|_| (is_text || media::is_xml(fields)) && media::is_utf8(fields)) {
        Some(text) => {
            out.push_str(",\"data\":");
            write_string(text, out);
        }
        None => {
            out.push_str(",\"data_base64\":\"");
            STANDARD.encode_string(body, out);
            out.push('"');
        }
    }
    Ok(())
}

fn is_json(body: &[u8]) -> bool {
    let Ok(mut scanner) = Scanner::new(body) else { return false };
    loop {
        match scanner.next() {
            Ok(Some(_)) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// An attribute that the message has already; `ce_` is how the reference product looks for it.
fn header(fields: &Fields, name: &str) -> Option<String> {
    let value = fields.get(&format!("ce-{name}")).or_else(|| fields.get(&format!("ce_{name}")))?;
    Some(String::from_utf8_lossy(value).into_owned())
}

/// A value in a header (HTTP Protocol Binding, section 3.1.3.2).
fn encoded(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if (b'!'..=b'~').contains(&byte) && !matches!(byte, b'"' | b'%') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// A random UUID (RFC 9562, version 4).
fn random() -> String {
    let mut bytes = [0; 16];
    // Without the system's source of random numbers no connection would have come this far.
    let _ = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes);
    let number = u128::from_be_bytes(bytes) & !(0xf << 76 | 0b11 << 62) | 4 << 76 | 0b10 << 62;
    let digits = format!("{number:032x}");
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| digits.get(part).unwrap_or_default().to_owned());
    parts.join("-")
}

#[cold]
fn failure(exchange: &Exchange, message: String) -> Box<Reply> {
    let status = if exchange.response.is_some() { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::BAD_REQUEST };
    Box::new(Reply::refusal(status, "CLOUD_EVENTS_TRANSFORMATION_ERROR", message))
}

impl Policy for CloudEvents {
    fn phases(&self) -> Phases {
        Phases { request: true, response: true, ..Phases::default() }.with_content()
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let Some(request) = exchange.request.as_deref() else { return Step::Next };
        let body = exchange.contents.request.clone().unwrap_or_default();
        let event = match self.event(exchange, &request.head.fields, &body) {
            Ok(event) => event,
            Err(reply) => return Step::Reply(reply),
        };
        let Some(request) = exchange.request.as_deref_mut() else { return Step::Next };
        match event.put(&mut request.head.fields, &mut exchange.contents.request) {
            Ok(()) => Step::Next,
            Err(message) => Step::Reply(failure(exchange, message)),
        }
    }

    fn response<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let Some(response) = exchange.response.as_deref() else { return Step::Next };
        let body = exchange.contents.response.clone().unwrap_or_default();
        let event = match self.event(exchange, &response.fields, &body) {
            Ok(event) => event,
            Err(reply) => return Step::Reply(reply),
        };
        let Some(response) = exchange.response.as_deref_mut() else { return Step::Next };
        match event.put(&mut response.fields, &mut exchange.contents.response) {
            Ok(()) => Step::Next,
            Err(message) => Step::Reply(failure(exchange, message)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_id_is_a_uuid_of_version_4() {
        let (one, other) = (random(), random());
        assert_ne!(one, other);
        assert_eq!(one.len(), 36);
        assert_eq!(one.as_bytes()[14], b'4');
        assert!(matches!(one.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
    }
}
