//! Turns an XML body into JSON.

use std::rc::Rc;

use bytes::Bytes;
use http::StatusCode;
use indexmap::map::Entry;
use ringway_contract::kind::{Part, decode};
use ringway_contract::{Exchange, Fields, Kind, Phases, Policy, Reply, Step};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::json::{Object, Value, number_length};
use crate::media;
use crate::message;
use crate::scope::Scope;
use crate::xml::{Event, Malformed, Scanner};

/// `xml-json`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "xml-json",
    about: "Turns an XML body of a request or a response into JSON.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>().on_messages(),
    shared: None,
    messaging: None,
    build: |source, _| decode(source.configuration).map(|Config { .. }| Rc::new(XmlJson) as Rc<dyn Policy>),
};

/// Configuration of `xml-json`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// Read, and of no effect: the phase in which the step stands decides.
    pub scope: Scope,
}

/// Elements inside of one another at most.
const DEPTH_MAX: usize = 100;

struct XmlJson;

/// Puts a value beside those of the same name: the second makes an array of them.
fn accumulate(object: &mut Object, name: &str, value: Value) {
    match object.entry(name.to_owned()) {
        Entry::Vacant(place) => {
            place.insert(value);
        }
        Entry::Occupied(mut place) => match place.get_mut() {
            Value::Array(values) => values.push(value),
            first => {
                let values = vec![std::mem::replace(first, Value::Null), value];
                *first = Value::Array(values);
            }
        },
    }
}

/// What a text means: a boolean, `null`, a number that JSON can write, or itself.
fn meaning(text: &str) -> Value {
    if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") {
        return Value::Bool(text.eq_ignore_ascii_case("true"));
    }
    if text.eq_ignore_ascii_case("null") {
        return Value::Null;
    }
    let is_number = number_length(text.as_bytes()) == Some(text.len());
    let fits = if text.contains(['.', 'e', 'E']) {
        is_number && text.parse().is_ok_and(f64::is_finite)
    } else {
        is_number && text.parse::<i64>().is_ok() && text != "-0"
    };
    if fits { Value::Number(text.into()) } else { Value::String(text.to_owned()) }
}

/// An element without attributes and children is its text.
fn settled(mut object: Object) -> Value {
    match object.len() {
        0 => Value::String(String::new()),
        1 => object.swap_remove("content").unwrap_or(Value::Object(object)),
        _ => Value::Object(object),
    }
}

fn transform(body: &[u8]) -> Result<Value, Malformed> {
    let mut scanner = Scanner::new(body)?;
    let mut open: Vec<(&str, Object)> = Vec::new();
    let mut whole = Object::new();
    while let Some(event) = scanner.next()? {
        match (event, open.last_mut()) {
            (Event::Begin(name), _) => {
                if open.len() >= DEPTH_MAX {
                    return Err(Malformed { offset: 0, what: "more levels than are allowed" });
                }
                open.push((name, Object::new()));
            }
            (Event::Attribute(name, value), Some((_, object))) => accumulate(object, name, meaning(&value)),
            (Event::Inside, _) if scanner.has_twins() => {
                return Err(Malformed { offset: 0, what: "two attributes of one name" });
            }
            (Event::Text { text, section: true }, Some((_, object))) if !text.is_empty() => {
                accumulate(object, "content", Value::String(text.into_owned()));
            }
            (Event::Text { text, section: false }, Some((_, object))) if !text.trim_ascii().is_empty() => {
                accumulate(object, "content", meaning(text.trim_ascii()));
            }
            (Event::End(_), _) => {
                if let Some((name, object)) = open.pop() {
                    let around = open.last_mut().map_or(&mut whole, |(_, around)| around);
                    accumulate(around, name, settled(object));
                }
            }
            _ => {}
        }
    }
    Ok(Value::Object(whole))
}

fn run<'a>(content: &mut Option<Bytes>, fields: &mut Fields, status: StatusCode) -> Step<'a> {
    let Some(body) = content.as_ref().filter(|body| !body.is_empty()) else { return Step::Next };
    match transform(body).ok().filter(|_| media::is_utf8(fields)) {
        Some(value) => {
            *content = Some(value.to_string().into());
            // A constant is a value that every head takes.
            let _ = fields.set("Content-Type", "application/json");
            Step::Next
        }
        None => {
            let message = "Unable to transform invalid XML to JSON";
            Step::Reply(Box::new(Reply::refusal(status, "XML_INVALID_PAYLOAD", message)))
        }
    }
}

impl Policy for XmlJson {
    fn phases(&self) -> Phases {
        Phases { request: true, response: true, ..Phases::default() }.with_content().with_messages()
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let Some(request) = exchange.request.as_deref_mut() else { return Step::Next };
        run(&mut exchange.contents.request, &mut request.head.fields, StatusCode::BAD_REQUEST)
    }

    fn response<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let Some(response) = exchange.response.as_deref_mut() else { return Step::Next };
        run(&mut exchange.contents.response, &mut response.fields, StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn message<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        message::content(exchange, "application/xml", run)
    }
}
