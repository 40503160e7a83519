//! Turns a JSON body into XML.

use std::rc::Rc;

use bytes::Bytes;
use http::StatusCode;
use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::{Exchange, Fields, Kind, Phases, Policy, Refusal, Reply, Step};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::json::Value;
use crate::message;
use crate::scope::Scope;
use crate::xml::{escape, is_element_name};

/// `json-xml`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "json-xml",
    about: "Turns a JSON body of a request or a response into XML.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| refused(configuration, decode(configuration).and_then(JsonXml::new).err()))
        .on_messages(),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(JsonXml::new(decode(source.configuration)?)?)),
};

/// Configuration of `json-xml`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// Read, and of no effect: the phase in which the step stands decides.
    pub scope: Scope,
    /// Name of the element around it all.
    pub root_element: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { scope: Scope::Request, root_element: "root".into() }
    }
}

struct JsonXml {
    root: String,
}

/// A name that no element can have.
struct NoName;

/// A value as the content of an element.
fn text(value: &Value, out: &mut String) {
    match value {
        Value::String(text) => escape(text, out),
        other => escape(&other.to_string(), out),
    }
}

/// A value as an element; an array is one element for each item.
fn element(name: &str, value: &Value, out: &mut String) -> Result<(), NoName> {
    match value {
        Value::Array(items) => {
            for item in items {
                if let Value::Array(_) = item {
                    begin(name, out)?;
                    element("array", item, out)?;
                    end(name, out);
                } else {
                    element(name, item, out)?;
                }
            }
            Ok(())
        }
        Value::Object(object) => {
            begin(name, out)?;
            for (name, value) in object {
                match value {
                    Value::Array(items) if name == "content" => {
                        for (index, item) in items.iter().enumerate() {
                            out.push_str(if index > 0 { "\n" } else { "" });
                            text(item, out);
                        }
                    }
                    _ if name == "content" => text(value, out),
                    _ => element(name, value, out)?,
                }
            }
            end(name, out);
            Ok(())
        }
        Value::String(text) if text.is_empty() => {
            begin(name, out)?;
            out.insert(out.len() - 1, '/');
            Ok(())
        }
        _ => {
            begin(name, out)?;
            text(value, out);
            end(name, out);
            Ok(())
        }
    }
}

fn begin(name: &str, out: &mut String) -> Result<(), NoName> {
    if !is_element_name(name) {
        return Err(NoName);
    }
    out.push('<');
    out.push_str(name);
    out.push('>');
    Ok(())
}

fn end(name: &str, out: &mut String) {
    out.push_str("</");
    out.push_str(name);
    out.push('>');
}

impl JsonXml {
    fn new(config: Config) -> Result<Self, Refusal> {
        if !is_element_name(&config.root_element) {
            return Err(Refusal(format!("rootElement: `{}` is no name of an element", config.root_element)));
        }
        Ok(Self { root: config.root_element })
    }

    fn transform(&self, body: &[u8]) -> Option<String> {
        let value = Value::parse(body).ok().filter(|value| value.as_object().is_some())?;
        let mut out = String::with_capacity(body.len() * 2);
        element(&self.root, &value, &mut out).ok()?;
        Some(out)
    }

    fn run<'a>(&self, content: &mut Option<Bytes>, fields: &mut Fields, status: StatusCode) -> Step<'a> {
        let Some(body) = content.as_ref().filter(|body| !body.is_empty()) else { return Step::Next };
        if let Some(xml) = self.transform(body) {
            *content = Some(xml.into());
            // A constant is a value that every head takes.
            let _ = fields.set("Content-Type", "application/xml;charset=UTF-8");
            return Step::Next;
        }
        let message = "Unable to transform invalid JSON to XML";
        Step::Reply(Box::new(Reply::refusal(status, "JSON_INVALID_PAYLOAD", message)))
    }
}

impl Policy for JsonXml {
    fn phases(&self) -> Phases {
        Phases { request: true, response: true, ..Phases::default() }.with_content().with_messages()
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let Some(request) = exchange.request.as_deref_mut() else { return Step::Next };
        self.run(&mut exchange.contents.request, &mut request.head.fields, StatusCode::BAD_REQUEST)
    }

    fn response<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let Some(response) = exchange.response.as_deref_mut() else { return Step::Next };
        self.run(&mut exchange.contents.response, &mut response.fields, StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn message<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        message::content(exchange, "application/json", |content, fields, status| self.run(content, fields, status))
    }
}
