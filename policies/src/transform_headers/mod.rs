//! Removes, sets and appends fields.

use std::rc::Rc;

use ringway_contract::Fields;
use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::{Exchange, Kind, Phases, Policy, Refusal, Step};
use schemars::JsonSchema;
use serde::Deserialize;

/// `transform-headers`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "transform-headers",
    about: "Removes, sets and appends header fields of the request or the response.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>().examined(|configuration, _| {
        refused(configuration, decode(configuration).and_then(TransformHeaders::new).err())
    }),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(TransformHeaders::new(decode(source.configuration)?)?)),
};

/// Configuration of `transform-headers`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// The phase: `REQUEST` or `RESPONSE`.
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

/// The phase that the policy works in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Scope {
    /// On the way to the endpoint.
    #[default]
    Request,
    /// On the way back.
    Response,
}

/// A field.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Name of the field.
    pub name: String,
    /// Its value.
    pub value: String,
}

struct TransformHeaders {
    scope: Scope,
    set: Box<[(String, String)]>,
    append: Box<[(String, String)]>,
    remove: Box<[String]>,
    keep: Box<[String]>,
}

impl TransformHeaders {
    fn new(config: Config) -> Result<Self, Refusal> {
        // Tried once on an empty head: what a head refuses is refused when the definition is loaded, not on a request.
        let mut probe = Fields::default();
        for Header { name, value } in config.add_headers.iter().chain(&config.append_headers) {
            probe.append(name, value.as_bytes()).map_err(|error| Refusal(format!("header `{name}`: {error}")))?;
        }
        let pairs = |headers: Vec<Header>| headers.into_iter().map(|header| (header.name, header.value)).collect();
        Ok(Self {
            scope: config.scope,
            set: pairs(config.add_headers),
            append: pairs(config.append_headers),
            remove: config.remove_headers.into(),
            keep: config.whitelist_headers.into(),
        })
    }

    fn apply(&self, fields: &mut Fields) {
        if !self.keep.is_empty() {
            let kept = |name: &str| self.keep.iter().any(|kept| name.eq_ignore_ascii_case(kept));
            let names = fields.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned());
            let others: Vec<String> = names.filter(|name| !kept(name)).collect();
            for name in others {
                fields.remove(&name);
            }
        }
        for name in &self.remove {
            fields.remove(name);
        }
        // Refused names and values were refused when the policy was built.
        for (name, value) in &self.set {
            let _ = fields.set(name, value.as_bytes());
        }
        for (name, value) in &self.append {
            let _ = fields.append(name, value.as_bytes());
        }
    }
}

impl Policy for TransformHeaders {
    fn phases(&self) -> Phases {
        match self.scope {
            Scope::Request => Phases::REQUEST,
            Scope::Response => Phases::RESPONSE,
        }
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        if let Some(request) = exchange.request.as_deref_mut() {
            self.apply(&mut request.head.fields);
        }
        Step::Next
    }

    fn response<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        if let Some(response) = exchange.response.as_deref_mut() {
            self.apply(&mut response.fields);
        }
        Step::Next
    }
}
