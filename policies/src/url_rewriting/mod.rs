//! Rewrites the URLs of a backend in its responses.

use std::borrow::Cow;
use std::rc::Rc;

use bytes::Bytes;
use http::StatusCode;
use regex::Regex;
use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::{Exchange, Fields, Kind, Phases, Policy, Refusal, Reply, Step};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::captures::Replacement;
use crate::pattern;
use crate::text::Text;

/// Bytes by which a value or body may grow. Each match may be replaced by something longer.
const GROWTH_BYTES_MAX: usize = 16 * 1024 * 1024;

/// `url-rewriting`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "url-rewriting",
    about: "Rewrites URLs in the fields and the body of the response.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| refused(configuration, decode(configuration).and_then(UrlRewriting::new).err())),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(UrlRewriting::new(decode(source.configuration)?)?)),
};

/// Configuration of `url-rewriting`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// Whether the values of fields are rewritten.
    #[serde(default = "yes")]
    pub rewrite_response_headers: bool,
    /// Whether the body is rewritten; it is held in memory for it.
    #[serde(default = "yes")]
    pub rewrite_response_body: bool,
    /// A regular expression for what is replaced.
    pub from_regex: String,
    /// What stands there instead; may have expressions, and `{#group[0]}` and `{#groupName['name']}` of `fromRegex`.
    pub to_replacement: String,
}

fn yes() -> bool {
    true
}

struct UrlRewriting {
    headers: bool,
    body: bool,
    from: Regex,
    to: Replacement,
}

impl UrlRewriting {
    fn new(config: Config) -> Result<Self, Refusal> {
        let from = pattern::anywhere("fromRegex", &config.from_regex)?;
        let to = Replacement::new("toReplacement", &config.to_replacement, Some(&from), Text::on_both)?;
        Ok(Self { headers: config.rewrite_response_headers, body: config.rewrite_response_body, from, to })
    }

    /// The text with every match replaced; borrowed if there is none.
    fn rewrite<'t>(&self, text: &'t str, exchange: &Exchange) -> Result<Cow<'t, str>, Box<Reply>> {
        let mut found = self.from.captures_iter(text).peekable();
        if found.peek().is_none() {
            return Ok(Cow::Borrowed(text));
        }
        let (mut out, mut from) = (String::with_capacity(text.len()), 0);
        for found in found {
            let Some(whole) = found.get(0) else { continue };
            out.push_str(text.get(from..whole.start()).unwrap_or_default());
            self.to.expand(&found, exchange, &mut out)?;
            from = whole.end();
            if out.len() > text.len() + GROWTH_BYTES_MAX {
                return Err(failed("The response of the backend would grow too much by being rewritten."));
            }
        }
        out.push_str(text.get(from..).unwrap_or_default());
        Ok(Cow::Owned(out))
    }

    /// What becomes of the fields: the new values of each name of which one changes.
    fn rewritten(&self, fields: &Fields, exchange: &Exchange) -> Result<Vec<(String, Vec<String>)>, Box<Reply>> {
        let mut changed: Vec<(String, Vec<String>)> = Vec::new();
        for (name, value) in fields.iter() {
            let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value)) else { continue };
            let is_known = changed.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
            if is_known || !self.from.is_match(value) {
                continue;
            }
            let values = fields.get_all(name).map(|value| {
                let value = String::from_utf8_lossy(value);
                self.rewrite(&value, exchange).map(Cow::into_owned)
            });
            changed.push((name.to_owned(), values.collect::<Result<_, _>>()?));
        }
        Ok(changed)
    }

    fn apply(&self, exchange: &mut Exchange) -> Result<(), Box<Reply>> {
        if self.headers {
            let fields = exchange.response.as_deref().map(|response| &response.fields);
            let changed = fields.map_or(Ok(Vec::new()), |fields| self.rewritten(fields, exchange))?;
            let Some(response) = exchange.response.as_deref_mut() else { return Ok(()) };
            for (name, values) in changed {
                response.fields.remove(&name);
                for value in values {
                    let appended = response.fields.append(&name, value);
                    appended.map_err(|_| failed("A field of the response cannot be rewritten."))?;
                }
            }
        }
        if self.body
            && let Some(body) = exchange.contents.response.clone()
            && let Ok(text) = std::str::from_utf8(&body)
            && let Cow::Owned(text) = self.rewrite(text, exchange)?
        {
            exchange.contents.response = Some(Bytes::from(text));
        }
        Ok(())
    }
}

#[cold]
fn failed(message: &'static str) -> Box<Reply> {
    Box::new(Reply::refusal(StatusCode::INTERNAL_SERVER_ERROR, "GATEWAY_POLICY_INTERNAL_ERROR", message))
}

impl Policy for UrlRewriting {
    fn phases(&self) -> Phases {
        let needs = |content: fn(ringway_contract::Needs) -> bool| self.to.texts().any(|text| content(text.needs()));
        Phases {
            response: true,
            request_content: needs(|needs| needs.request_content),
            response_content: self.body || needs(|needs| needs.response_content),
            ..Phases::default()
        }
    }

    fn response<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        self.apply(exchange).map_or_else(Step::Reply, |()| Step::Next)
    }
}
