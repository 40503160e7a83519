//! Response templates: what an API says in its own words when an exchange is refused or fails.

use std::collections::HashMap;

use bytes::Bytes;
use http::StatusCode;
use ringway_contract::{EvalError, Exchange, Reply, Template as Text};
use ringway_wire::RequestHead;

use crate::ended::Ended;
use crate::report::accepts;

/// The templates of an API, by error key and then by media type in the order of the definition.
#[derive(Debug, Default)]
pub struct Templates {
    by_key: HashMap<String, Vec<(String, Template)>>,
}

/// One template.
#[derive(Debug)]
pub struct Template {
    /// The status; without one the refusal's own stays.
    pub status: Option<StatusCode>,
    /// Fields of the response.
    pub headers: Vec<(String, Text)>,
    /// The body.
    pub body: Text,
}

/// The key that stands for every other.
const DEFAULT_KEY: &str = "DEFAULT";

impl Templates {
    /// Adds a template.
    pub fn add(&mut self, key: &str, media: &str, template: Template) {
        self.by_key.entry(key.to_owned()).or_default().push((media.to_owned(), template));
    }

    /// The template for `key` that the client accepts; `*/*` serves everyone.
    pub fn find(&self, key: &str, head: Option<&RequestHead>) -> Option<(&str, &Template)> {
        if key.is_empty() || self.by_key.is_empty() {
            return None;
        }
        let templates = self.by_key.get(key).or_else(|| self.by_key.get(DEFAULT_KEY))?;
        let exact = templates.iter().find(|(media, _)| media != "*/*" && accepts(head, media));
        let found = exact.or_else(|| templates.iter().find(|(media, _)| media == "*/*"))?;
        Some((&found.0, &found.1))
    }
}

impl Template {
    /// The answer in this template's words.
    ///
    /// # Errors
    /// An expression cannot be evaluated; the refusal is then to be told in its own words.
    pub fn reply(&self, media: &str, refusal: &Reply, exchange: &Exchange) -> Result<Reply, EvalError> {
        let told = Ended { exchange, refusal: Some(refusal), status: None };
        let said = |text: &Text| {
            let mut out = String::new();
            text.render(&told, &mut out).map(|()| out)
        };
        let mut reply = Reply {
            status: self.status.unwrap_or(refusal.status),
            body: Some(Bytes::from(said(&self.body)?)),
            ..refusal.clone()
        };
        if media != "*/*" {
            reply = reply.header("Content-Type", media.to_owned());
        }
        for (name, value) in &self.headers {
            reply.headers.retain(|(present, _)| !present.eq_ignore_ascii_case(name));
            reply = reply.header(name.clone(), said(value)?);
        }
        Ok(reply)
    }
}
