//! What the prelude's objects call: the exchange, as far as scripts may see and change it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::StatusCode;
use ringway_contract::subscriber::now_ms;
use ringway_contract::{Exchange, Fields, Value, Version};
use rquickjs::{Ctx, Exception, Function, Object, Result};

use super::Script;
use crate::{lend, query};

/// Which message a script is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    /// On the way to the endpoint.
    #[default]
    Request,
    /// On the way back.
    Response,
}

impl Side {
    fn named(name: &str) -> Self {
        if name == "response" { Self::Response } else { Self::Request }
    }

    /// Replaces the body.
    pub fn set_content(self, exchange: &mut Exchange, content: String) {
        let slot = match self {
            Self::Request => &mut exchange.contents.request,
            Self::Response => &mut exchange.contents.response,
        };
        *slot = Some(Bytes::from(content));
    }
}

/// Where an exchange sits while a script runs on it: its functions outlive the exchange, so they find it here.
#[derive(Default)]
pub struct Seat {
    taken: RefCell<Taken>,
}

#[derive(Default)]
struct Taken {
    exchange: Option<Exchange>,
    side: Side,
    reads_content: bool,
    sets_content: bool,
}

impl Seat {
    /// Takes the exchange for a run.
    pub fn take(&self, exchange: &mut Exchange, script: &Script, side: Side) {
        self.taken.replace(Taken {
            exchange: Some(lend::take(exchange)),
            side,
            reads_content: script.reads_content,
            sets_content: script.overrides_content && !script.by_value,
        });
    }

    /// Gives it back.
    pub fn give(&self, exchange: &mut Exchange) {
        if let Some(taken) = self.taken.take().exchange {
            *exchange = taken;
        }
    }

    fn read<T>(&self, of: impl FnOnce(&Exchange) -> Option<T>) -> Option<T> {
        of(self.taken.borrow().exchange.as_ref()?)
    }

    fn edit<T>(&self, of: impl FnOnce(&mut Exchange) -> Option<T>) -> Option<T> {
        of(self.taken.borrow_mut().exchange.as_mut()?)
    }

    fn fields<T>(&self, side: &str, of: impl FnOnce(&Fields) -> T) -> Option<T> {
        self.read(|exchange| match Side::named(side) {
            Side::Request => exchange.request.as_deref().map(|request| of(&request.head.fields)),
            Side::Response => exchange.response.as_deref().map(|response| of(&response.fields)),
        })
    }

    fn edit_fields<T>(&self, side: &str, of: impl FnOnce(&mut Fields) -> T) -> Option<T> {
        self.edit(|exchange| match Side::named(side) {
            Side::Request => exchange.request.as_deref_mut().map(|request| of(&mut request.head.fields)),
            Side::Response => exchange.response.as_deref_mut().map(|response| of(&mut response.fields)),
        })
    }

    fn content(&self, side: &str) -> Option<Bytes> {
        let taken = self.taken.borrow();
        let exchange = taken.exchange.as_ref().filter(|_| taken.reads_content && Side::named(side) == taken.side)?;
        let body = match taken.side {
            Side::Request => exchange.contents.request.clone(),
            Side::Response => exchange.contents.response.clone(),
        };
        Some(body.unwrap_or_default())
    }

    fn set_content(&self, side: &str, content: String) {
        let mut taken = self.taken.borrow_mut();
        let (side, sets) = (Side::named(side), taken.sets_content && Side::named(side) == taken.side);
        if let Some(exchange) = taken.exchange.as_mut().filter(|_| sets) {
            side.set_content(exchange, content);
        }
    }

    /// The functions, as an object of the engine.
    ///
    /// # Errors
    /// The memory does not suffice.
    pub fn functions<'js>(self: &Rc<Self>, ctx: &Ctx<'js>) -> Result<Object<'js>> {
        let host = Object::new(ctx.clone())?;
        self.of_fields(ctx, &host)?;
        self.of_messages(ctx, &host)?;
        self.of_attributes(ctx, &host)?;
        let log = |level: String, text: String| match level.as_str() {
            "warn" => tracing::warn!(target: "ringway::script", "{text}"),
            _ => tracing::info!(target: "ringway::script", "{text}"),
        };
        host.set("log", Function::new(ctx.clone(), log)?)?;
        host.set("encode", Function::new(ctx.clone(), |text: String| STANDARD.encode(text))?)?;
        let decode = |ctx: Ctx<'_>, text: String| match STANDARD.decode(text) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) => Err(Exception::throw_type(&ctx, &format!("not Base64: {error}"))),
        };
        host.set("decode", Function::new(ctx.clone(), decode)?)?;
        Ok(host)
    }

    fn of_fields<'js>(self: &Rc<Self>, ctx: &Ctx<'js>, host: &Object<'js>) -> Result<()> {
        let seat = self.clone();
        let field = move |side: String, name: String| {
            seat.fields(&side, |fields| fields.get(&name).map(|value| String::from_utf8_lossy(value).into_owned()))
                .flatten()
        };
        host.set("field", Function::new(ctx.clone(), field)?)?;
        let seat = self.clone();
        let all = move |side: String, name: String| {
            seat.fields(&side, |fields| {
                fields.get_all(&name).map(|value| String::from_utf8_lossy(value).into_owned()).collect::<Vec<_>>()
            })
            .unwrap_or_default()
        };
        host.set("fields", Function::new(ctx.clone(), all)?)?;
        let seat = self.clone();
        let names = move |side: String| {
            let mut names: Vec<String> = Vec::new();
            seat.fields(&side, |fields| {
                for (name, _) in fields.iter() {
                    let name = String::from_utf8_lossy(name);
                    if !names.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
                        names.push(name.into_owned());
                    }
                }
            });
            names
        };
        host.set("names", Function::new(ctx.clone(), names)?)?;
        let seat = self.clone();
        let set = move |ctx: Ctx<'_>, side: String, name: String, value: String| {
            let done = seat.edit_fields(&side, |fields| fields.set(&name, value));
            done.unwrap_or(Ok(())).map_err(|error| Exception::throw_type(&ctx, &format!("header `{name}`: {error}")))
        };
        host.set("setField", Function::new(ctx.clone(), set)?)?;
        let seat = self.clone();
        let add = move |ctx: Ctx<'_>, side: String, name: String, value: String| {
            let done = seat.edit_fields(&side, |fields| fields.append(&name, value));
            done.unwrap_or(Ok(())).map_err(|error| Exception::throw_type(&ctx, &format!("header `{name}`: {error}")))
        };
        host.set("addField", Function::new(ctx.clone(), add)?)?;
        let seat = self.clone();
        let remove = move |side: String, name: String| {
            seat.edit_fields(&side, |fields| fields.remove(&name));
        };
        host.set("removeField", Function::new(ctx.clone(), remove)?)
    }

    fn of_messages<'js>(self: &Rc<Self>, ctx: &Ctx<'js>, host: &Object<'js>) -> Result<()> {
        let seat = self.clone();
        let fact = move |name: String| seat.read(|exchange| fact(exchange, &name));
        host.set("fact", Function::new(ctx.clone(), fact)?)?;
        let seat = self.clone();
        let parameters = move || {
            let query = seat.read(|exchange| exchange.request.as_deref()?.head.query().map(str::to_owned));
            let query = query.unwrap_or_default();
            let pairs = query::pairs(&query).map(query::parameter);
            pairs.flat_map(|(name, value)| [name.into_owned(), value.into_owned()]).collect::<Vec<_>>()
        };
        host.set("parameters", Function::new(ctx.clone(), parameters)?)?;
        let seat = self.clone();
        let set_parameters = move |ctx: Ctx<'_>, pairs: Vec<String>| {
            let mut query = String::new();
            for (at, text) in pairs.iter().enumerate() {
                match at {
                    0 => {}
                    at if at % 2 == 0 => query.push('&'),
                    _ => query.push('='),
                }
                encode(text, &mut query);
            }
            let query = Some(query).filter(|query| !query.is_empty());
            let done = seat.edit(|exchange| Some(exchange.request.as_deref_mut()?.head.set_query(query.as_deref())));
            done.unwrap_or(Ok(())).map_err(|error| Exception::throw_type(&ctx, &format!("parameters: {error:?}")))
        };
        host.set("setParameters", Function::new(ctx.clone(), set_parameters)?)?;
        let seat = self.clone();
        let path_parameters = move || {
            let pairs = seat.read(|exchange| {
                let all = exchange.path_params.iter();
                Some(
                    all.flat_map(|(name, value)| [name.to_string(), query::decoded(value, false).into_owned()])
                        .collect::<Vec<_>>(),
                )
            });
            pairs.unwrap_or_default()
        };
        host.set("pathParameters", Function::new(ctx.clone(), path_parameters)?)?;
        let seat = self.clone();
        let status =
            move || seat.read(|exchange| exchange.response.as_deref().map(|response| response.status.as_u16()));
        host.set("status", Function::new(ctx.clone(), status)?)?;
        let seat = self.clone();
        let set_status = move |ctx: Ctx<'_>, code: f64| {
            let status = StatusCode::from_u16(code as u16).ok().filter(|status| (200..600).contains(&status.as_u16()));
            let status = status.ok_or_else(|| Exception::throw_range(&ctx, "a status is between 200 and 599"))?;
            seat.edit(|exchange| exchange.response.as_deref_mut().map(|response| response.set_status(status)));
            Ok::<_, rquickjs::Error>(())
        };
        host.set("setStatus", Function::new(ctx.clone(), set_status)?)?;
        let seat = self.clone();
        let reason = move || {
            seat.read(|exchange| {
                exchange.response.as_deref().map(|response| String::from_utf8_lossy(response.reason()).into_owned())
            })
        };
        host.set("reason", Function::new(ctx.clone(), reason)?)?;
        let seat = self.clone();
        let content = move |side: String| seat.content(&side).map(|body| String::from_utf8_lossy(&body).into_owned());
        host.set("content", Function::new(ctx.clone(), content)?)?;
        let seat = self.clone();
        let content = move |side: String| seat.content(&side).map(|body| STANDARD.encode(body));
        host.set("contentBase64", Function::new(ctx.clone(), content)?)?;
        let seat = self.clone();
        let set = move |side: String, content: String| seat.set_content(&side, content);
        host.set("setContent", Function::new(ctx.clone(), set)?)
    }

    fn of_attributes<'js>(self: &Rc<Self>, ctx: &Ctx<'js>, host: &Object<'js>) -> Result<()> {
        let seat = self.clone();
        let attribute = move |name: String| seat.read(|exchange| attribute(exchange, &name));
        host.set("attribute", Function::new(ctx.clone(), attribute)?)?;
        let seat = self.clone();
        let json = move |name: String| {
            seat.read(|exchange| {
                exchange.attributes.value(&name).and_then(|value| serde_json::to_string(&json_of(&value)).ok())
            })
        };
        host.set("attributeJson", Function::new(ctx.clone(), json)?)?;
        let seat = self.clone();
        let set = move |name: String, value: String| {
            seat.edit(|exchange| {
                exchange.attributes.set(name, value);
                Some(())
            });
        };
        host.set("setAttribute", Function::new(ctx.clone(), set)?)?;
        let seat = self.clone();
        let set = move |name: String, json: String| {
            let value = serde_json::from_str(&json).map(value_of).unwrap_or_default();
            seat.edit(|exchange| {
                exchange.attributes.set_json(name, value);
                Some(())
            });
        };
        host.set("setAttributeJson", Function::new(ctx.clone(), set)?)?;
        let seat = self.clone();
        let remove = move |name: String| {
            seat.edit(|exchange| {
                exchange.attributes.remove(&name);
                Some(())
            });
        };
        host.set("removeAttribute", Function::new(ctx.clone(), remove)?)?;
        let seat = self.clone();
        let names = move || {
            let names = seat.read(|exchange| Some(exchange.attributes.names().map(str::to_owned).collect::<Vec<_>>()));
            names.unwrap_or_default()
        };
        host.set("attributeNames", Function::new(ctx.clone(), names)?)?;
        let seat = self.clone();
        let properties = move || {
            let found = seat.read(|exchange| {
                let all = exchange.api.properties.iter();
                Some(all.map(|(name, value)| (name.clone(), value.clone())).collect::<HashMap<_, _>>())
            });
            found.unwrap_or_default()
        };
        host.set("properties", Function::new(ctx.clone(), properties)?)?;
        let seat = self.clone();
        let entry = move |id: String, key: String| seat.read(|exchange| exchange.api.dictionaries.text(&id, &key));
        host.set("dictionary", Function::new(ctx.clone(), entry)?)?;
        let seat = self.clone();
        let keys = move |id: String| seat.read(|exchange| exchange.api.dictionaries.keys(&id));
        host.set("dictionaryKeys", Function::new(ctx.clone(), keys)?)?;
        let seat = self.clone();
        let ids = move || seat.read(|exchange| Some(exchange.api.dictionaries.ids())).unwrap_or_default();
        host.set("dictionaries", Function::new(ctx.clone(), ids)?)
    }
}

/// One of the facts of a request that the prelude names.
fn fact(exchange: &Exchange, name: &str) -> Option<String> {
    let request = exchange.request.as_deref()?;
    let head = &request.head;
    Some(match name {
        "uri" => match head.query() {
            Some(query) => format!("{}?{query}", head.path()),
            None => head.path().to_owned(),
        },
        "path" => head.path().to_owned(),
        "pathInfo" => request.rest().to_owned(),
        "contextPath" => head.path().get(..request.context_path_len)?.to_owned(),
        "method" => head.method.as_str().to_owned(),
        "scheme" => (if exchange.client.tls { "https" } else { "http" }).to_owned(),
        "host" | "originalHost" => head.host().to_owned(),
        "version" => (if head.version == Version::Http10 { "HTTP_1_0" } else { "HTTP_1_1" }).to_owned(),
        "timestamp" => now_ms().to_string(),
        "remoteAddress" => exchange.client.address?.ip().to_string(),
        "clientIdentifier" => exchange.subscriber.as_deref()?.id.clone(),
        _ => return None,
    })
}

/// An attribute that is a text: one that was set, or one that every exchange has.
fn attribute(exchange: &Exchange, name: &str) -> Option<String> {
    if exchange.attributes.value(name).is_some() {
        return exchange.attributes.get(name).map(str::to_owned);
    }
    let subscriber = exchange.subscriber.as_deref();
    match name.strip_prefix(ringway_contract::attributes::PREFIX).unwrap_or(name) {
        "api" => Some(exchange.api.id.clone()),
        "api.name" => Some(exchange.api.name.clone()),
        "plan" => Some(exchange.plan.id.clone()),
        "application" => subscriber.map(|known| known.application.clone()),
        "user-id" | "subscription-id" => subscriber.map(|known| known.id.clone()),
        "context-path" => fact(exchange, "contextPath"),
        "request.method" => fact(exchange, "method"),
        _ => None,
    }
}

/// Appends a name or a value of the query such that it is read as it is, whatever it holds.
fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
}

fn json_of(value: &Value<'_>) -> serde_json::Value {
    match value {
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Float(value) => (*value).into(),
        Value::Text(text) => serde_json::Value::String(text.as_ref().to_owned()),
        Value::List(items) => items.iter().map(json_of).collect(),
        Value::Map(entries) => serde_json::Value::Object(
            entries.iter().map(|(key, value)| (key.as_ref().to_owned(), json_of(value))).collect(),
        ),
        _ => serde_json::Value::Null,
    }
}

fn value_of(value: serde_json::Value) -> Value<'static> {
    match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(value),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(number) => Value::Int(number),
            None => Value::Float(number.as_f64().unwrap_or_default()),
        },
        serde_json::Value::String(text) => Value::Text(text.into()),
        serde_json::Value::Array(items) => Value::List(items.into_iter().map(value_of).collect()),
        serde_json::Value::Object(entries) => {
            Value::Map(entries.into_iter().map(|(key, value)| (key.into(), value_of(value))).collect())
        }
    }
}
