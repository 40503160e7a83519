//! Removes, sets and appends fields.

use std::borrow::Cow;
use std::rc::Rc;

use bytes::Bytes;
use http::StatusCode;
use ringway_contract::Fields;
use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::{Exchange, Kind, Needs, Phases, Policy, Refusal, Reply, Step};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::scope::Scope;
use crate::text::Text;

/// `transform-headers`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "transform-headers",
    about: "Removes, sets and appends header fields of requests, responses and messages.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| {
            refused(configuration, decode(configuration).and_then(TransformHeaders::new).err())
        })
        .on_messages(),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(TransformHeaders::new(decode(source.configuration)?)?)),
};

/// Configuration of `transform-headers`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// Accepted for older definitions. The phase is the one that the step stands in.
    pub scope: Scope,
    /// Fields to set; a field of the same name is replaced.
    pub add_headers: Vec<Header>,
    /// Fields to add behind those of the same name.
    pub append_headers: Vec<Header>,
    /// Names of fields to remove.
    pub remove_headers: Vec<String>,
    /// When not empty: every field that is not named here is removed.
    pub whitelist_headers: Vec<String>,
}

/// A field.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Name of the field.
    pub name: String,
    /// Its value; may have expressions.
    pub value: String,
}

struct TransformHeaders {
    set: Box<[(String, Text)]>,
    append: Box<[(String, Text)]>,
    remove: Box<[String]>,
    keep: Box<[String]>,
}

impl TransformHeaders {
    fn new(config: Config) -> Result<Self, Refusal> {
        Ok(Self {
            set: compile("addHeaders", config.add_headers)?,
            append: compile("appendHeaders", config.append_headers)?,
            remove: config.remove_headers.into(),
            keep: config.whitelist_headers.into(),
        })
    }

    fn apply(
        &self,
        exchange: &mut Exchange,
        fields: fn(&mut Exchange) -> Option<&mut Fields>,
    ) -> Result<(), Box<Reply>> {
        let Some(own) = fields(exchange) else { return Ok(()) };
        if !self.keep.is_empty() {
            let kept = |name: &str| self.keep.iter().any(|kept| name.eq_ignore_ascii_case(kept));
            let names = own.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned());
            let others: Vec<String> = names.filter(|name| !kept(name)).collect();
            for name in others {
                own.remove(&name);
            }
        }
        for name in &self.remove {
            own.remove(name);
        }
        for (name, text) in &self.set {
            let value = text.render(exchange)?;
            let Some(own) = fields(exchange) else { return Ok(()) };
            own.set(name, clean(&value).as_bytes()).map_err(|_| too_large())?;
        }
        for (name, text) in &self.append {
            let value = text.render(exchange)?;
            let Some(own) = fields(exchange) else { return Ok(()) };
            own.append(name, clean(&value).as_bytes()).map_err(|_| too_large())?;
        }
        Ok(())
    }
}

impl TransformHeaders {
    fn apply_to_message(&self, exchange: &mut Exchange) -> Result<(), Box<Reply>> {
        let Some(parcel) = exchange.message.as_deref_mut() else { return Ok(()) };
        let headers = &mut parcel.message.headers;
        let names = |list: &[String], name: &[u8]| list.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()));
        headers.retain(|(name, _)| (self.keep.is_empty() || names(&self.keep, name)) && !names(&self.remove, name));
        for (added, sets) in [(&self.set, true), (&self.append, false)] {
            for (name, text) in added {
                let value = Bytes::copy_from_slice(clean(&text.render(exchange)?).as_bytes());
                let Some(parcel) = exchange.message.as_deref_mut() else { return Ok(()) };
                match sets {
                    true => parcel.message.set_header(name, value),
                    false => parcel.message.append_header(name, value),
                }
            }
        }
        Ok(())
    }
}

fn compile(list: &str, headers: Vec<Header>) -> Result<Box<[(String, Text)]>, Refusal> {
    // Tried once on an empty head: what a head refuses is refused when the definition is loaded, not on a request.
    let mut probe = Fields::default();
    let compile = |(at, Header { name, value }): (usize, Header)| {
        let text = Text::on_both(&format!("{list}[{at}].value"), &value)?;
        let constant = text.constant().unwrap_or_default();
        probe.append(&name, constant.as_bytes()).map_err(|error| Refusal(format!("header `{name}`: {error}")))?;
        Ok((name, text))
    };
    headers.into_iter().enumerate().map(compile).collect()
}

/// What an expression brings in ends no line: RFC 9110 section 5.5 has such bytes replaced by spaces.
fn clean(value: &str) -> Cow<'_, str> {
    let is_bad = |character: char| character.is_ascii_control() && character != '\t';
    if value.contains(is_bad) { Cow::Owned(value.replace(is_bad, " ")) } else { Cow::Borrowed(value) }
}

#[cold]
fn too_large() -> Box<Reply> {
    let message = "The header fields would grow too much by being transformed.";
    Box::new(Reply::refusal(StatusCode::INTERNAL_SERVER_ERROR, "GATEWAY_POLICY_INTERNAL_ERROR", message))
}

fn of_request(exchange: &mut Exchange) -> Option<&mut Fields> {
    exchange.request.as_deref_mut().map(|request| &mut request.head.fields)
}

fn of_response(exchange: &mut Exchange) -> Option<&mut Fields> {
    exchange.response.as_deref_mut().map(|response| &mut response.fields)
}

impl Policy for TransformHeaders {
    fn phases(&self) -> Phases {
        let needs = |needs: fn(Needs) -> bool| self.set.iter().chain(&self.append).any(|(_, text)| needs(text.needs()));
        Phases {
            request: true,
            response: true,
            request_content: needs(|needs| needs.request_content),
            response_content: needs(|needs| needs.response_content),
            ..Phases::default()
        }
        .with_messages()
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        self.apply(exchange, of_request).map_or_else(Step::Reply, |()| Step::Next)
    }

    fn response<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        self.apply(exchange, of_response).map_or_else(Step::Reply, |()| Step::Next)
    }

    fn message<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        self.apply_to_message(exchange).map_or_else(Step::Reply, |()| Step::Next)
    }
}
