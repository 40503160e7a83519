//! The guard of plans whose subscribers show a key.

use std::borrow::Cow;
use std::rc::Rc;

use http::StatusCode;
use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::{
    Admission, Credentials, Exchange, Fields, Guard, Kind, Refusal, Reply, RequestHead, Subscribers,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::credentials;

/// `api-key`.
pub static KIND: Kind<dyn Guard> = Kind {
    name: "api-key",
    about: "Lets subscribers in who show their API key.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| refused(configuration, decode(configuration).and_then(ApiKey::new).err())),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(ApiKey::new(decode(source.configuration)?)?)),
};

/// Configuration of `api-key`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// Whether the backend sees the key.
    pub propagate_api_key: bool,
    /// Name of the header field that has the key; empty: none has.
    pub header: String,
    /// Name of the query parameter that has the key, where the header field is missing or empty; empty: none has.
    pub param: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { propagate_api_key: false, header: "X-Gravitee-Api-Key".into(), param: "api-key".into() }
    }
}

struct ApiKey {
    propagate: bool,
    header: Option<String>,
    parameter: Option<String>,
}

impl ApiKey {
    fn new(config: Config) -> Result<Self, Refusal> {
        let named = |name: String| Some(name).filter(|name| !name.is_empty());
        let (header, parameter) = (named(config.header), named(config.param));
        if header.is_none() && parameter.is_none() {
            return Err(Refusal("`header` and `param` are both empty: nobody could show a key".into()));
        }
        if let Some(name) = &header {
            let probed = Fields::default().append(name, b"key");
            probed.map_err(|error| Refusal(format!("header `{name}`: {error}")))?;
        }
        Ok(Self { propagate: config.propagate_api_key, header, parameter })
    }

    /// The key that a request shows; empty where it shows an empty one.
    fn shown<'a>(&self, head: &'a RequestHead) -> Option<Cow<'a, [u8]>> {
        let header = self.header.as_ref().and_then(|name| head.fields.get(name));
        if let Some(key) = header.filter(|key| !key.is_empty()) {
            return Some(Cow::Borrowed(key));
        }
        let parameter = self.parameter.as_ref().and_then(|name| credentials::parameter(head, name));
        let parameter = parameter.map(|value| match value {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        });
        parameter.or(header.map(Cow::Borrowed))
    }

    fn take_out(&self, head: &mut RequestHead) {
        if let Some(name) = &self.header {
            head.fields.remove(name);
        }
        if let Some(name) = &self.parameter {
            credentials::remove_parameter(head, name);
        }
    }
}

fn refuse<'a>(key: &'static str, message: &'static str) -> Admission<'a> {
    Admission::Refuse(Box::new(Reply::refusal(StatusCode::UNAUTHORIZED, key, message)))
}

impl Guard for ApiKey {
    fn admit<'a>(&'a self, exchange: &'a mut Exchange, subscribers: &'a Subscribers) -> Admission<'a> {
        let Some(key) = credentials::head(exchange).and_then(|head| self.shown(head)) else {
            return Admission::Pass;
        };
        if key.is_empty() {
            return refuse("API_KEY_MISSING", "The API key is empty.");
        }
        let Some(subscriber) = subscribers.by_key(&key) else {
            return refuse("API_KEY_INVALID", "The API key is not valid, has expired or was revoked.");
        };
        // Attributes are seen by expressions and policies, and never written to a log.
        let key = String::from_utf8_lossy(&key).into_owned();
        exchange.attributes.set("api-key", key);
        Admission::Admit(Some(subscriber.clone()))
    }

    fn conceal(&self, exchange: &mut Exchange) {
        if let Some(request) = exchange.request.as_deref_mut().filter(|_| !self.propagate) {
            self.take_out(&mut request.head);
        }
    }

    fn credentials(&self) -> Credentials<'_> {
        Credentials {
            fields: self.header.iter().map(String::as_str).collect(),
            parameters: self.parameter.iter().map(String::as_str).collect(),
        }
    }

    fn rank(&self) -> u8 {
        3
    }
}
