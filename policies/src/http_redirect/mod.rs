//! Sends clients elsewhere.

use std::rc::Rc;

use bytes::Bytes;
use http::StatusCode;
use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::{Exchange, Kind, Phases, Policy, Refusal, Reply, Step};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::route::Route;

/// `http-redirect`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "http-redirect",
    about: "Sends clients elsewhere, by the path that they ask for.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| refused(configuration, decode(configuration).and_then(HttpRedirect::new).err())),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(HttpRedirect::new(decode(source.configuration)?)?)),
};

/// Configuration of `http-redirect`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// The rules; the first whose path fits counts.
    pub rules: Vec<Rule>,
    /// Accepted for exports: expressions are compiled once.
    pub cache: Cache,
}

/// Where a path leads.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// A regular expression for the whole path behind the context path; may have expressions of the language.
    pub path: String,
    /// The value of `Location`; may have expressions, and `{#group[0]}` and `{#groupName['name']}` of the path.
    pub location: String,
    /// The status, 300 to 308. Default 301.
    #[serde(default = "moved_permanently")]
    pub status: u16,
}

fn moved_permanently() -> u16 {
    301
}

/// How the reference product keeps compiled expressions.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Cache {
    /// Without effect.
    pub max_items: u64,
    /// Without effect.
    pub time_to_live: u64,
}

struct HttpRedirect {
    rules: Box<[(Route, StatusCode)]>,
}

impl HttpRedirect {
    fn new(config: Config) -> Result<Self, Refusal> {
        let rules = config.rules.iter().enumerate().map(|(at, rule)| {
            let field = |name: &str| format!("rules[{at}].{name}");
            let status = StatusCode::from_u16(rule.status).ok().filter(|_| (300..309).contains(&rule.status));
            let status = status
                .ok_or_else(|| Refusal(format!("{}: {} is not between 300 and 308", field("status"), rule.status)))?;
            Ok((Route::new(&field("path"), &rule.path, &field("location"), &rule.location)?, status))
        });
        Ok(Self { rules: rules.collect::<Result<_, _>>()? })
    }

    fn redirect(&self, exchange: &Exchange) -> Result<Option<Reply>, Box<Reply>> {
        let path = exchange.request.as_deref().map_or("", |request| request.rest());
        let path = if path.is_empty() { "/" } else { path };
        for (route, status) in &self.rules {
            if let Some(location) = route.apply(path, exchange)? {
                return Ok(Some(Reply::answer(*status, Bytes::new()).header("Location", encoded(&location))));
            }
        }
        Ok(None)
    }
}

/// What no URI holds is percent-encoded: nothing that a request brings in may end the field.
fn encoded(location: &str) -> String {
    let mut out = String::with_capacity(location.len());
    for byte in location.trim().bytes() {
        match byte {
            b'!'..=b'~' if !b"\"<>\\^`{|}".contains(&byte) => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

impl Policy for HttpRedirect {
    fn phases(&self) -> Phases {
        let content = self.rules.iter().any(|(route, _)| route.needs_content());
        if content { Phases::REQUEST.with_content() } else { Phases::REQUEST }
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        match self.redirect(exchange) {
            Ok(None) => Step::Next,
            Ok(Some(reply)) => Step::Reply(Box::new(reply)),
            Err(reply) => Step::Reply(reply),
        }
    }
}
