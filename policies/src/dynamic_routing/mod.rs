//! Chooses the endpoint by the path.

use std::rc::Rc;

use http::StatusCode;
use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::{Elsewhere, Exchange, Kind, Phases, Policy, Refusal, Reply, Step};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::route::Route;

/// The attribute by which the engine is told.
const ATTRIBUTE: &str = "request.endpoint";

/// `dynamic-routing`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "dynamic-routing",
    about: "Chooses the endpoint, and the path that it is asked for, by the path of the request.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| refused(configuration, decode(configuration).and_then(DynamicRouting::new).err())),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(DynamicRouting::new(decode(source.configuration)?)?)),
};

/// Configuration of `dynamic-routing`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The rules; the first whose pattern fits counts. Without any, every request goes on as it is.
    pub rules: Vec<Rule>,
}

/// Where a path leads.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// A regular expression for the whole path behind the context path; may have expressions of the language.
    pub pattern: String,
    /// The name of an endpoint or a group, such as `{#endpoints['name']}`, and a path behind it, or an `http` or `https` URL; may have
    /// expressions, and `{#group[0]}` and `{#groupName['name']}` of the pattern.
    pub url: String,
}

struct DynamicRouting {
    rules: Box<[Leading]>,
}

struct Leading {
    route: Route,
    /// The origin of a URL that stands in the rule as it is. Of others the address must be public.
    origin: Option<Rc<Elsewhere>>,
}

/// Where a request goes.
struct Target {
    /// What the attribute is set to.
    target: String,
    origin: Option<Rc<Elsewhere>>,
}

/// The origin that a text begins with, where no expression has part in it.
fn origin(field: &str, url: &str) -> Result<Option<Rc<Elsewhere>>, Refusal> {
    if !Elsewhere::is_url(url) {
        return Ok(None);
    }
    let authority = url.split_once("://").map_or("", |(_, rest)| rest);
    let authority = authority.find(['/', '?']).map_or(authority, |end| authority.get(..end).unwrap_or_default());
    if authority.contains('{') {
        return Ok(None);
    }
    // Not with its words: a user's password may be among them.
    let broken =
        || Refusal(format!("{field}: the URL needs a host, and a port between 1 and 65535 if any, and no user"));
    Elsewhere::of(url).map(|(origin, _)| Some(Rc::new(origin))).ok_or_else(broken)
}

impl DynamicRouting {
    fn new(config: Config) -> Result<Self, Refusal> {
        let rules = config.rules.iter().enumerate().map(|(at, rule)| {
            let field = |name: &str| format!("rules[{at}].{name}");
            let origin = origin(&field("url"), &rule.url)?;
            Ok(Leading { route: Route::new(&field("pattern"), &rule.pattern, &field("url"), &rule.url)?, origin })
        });
        Ok(Self { rules: rules.collect::<Result<_, _>>()? })
    }

    /// `None` if no rule fits.
    fn target(&self, exchange: &Exchange) -> Result<Option<Target>, Box<Reply>> {
        let Some(request) = exchange.request.as_deref() else { return Ok(None) };
        let path = if request.rest().is_empty() { "/" } else { request.rest() };
        for rule in &self.rules {
            if let Some(mut target) = rule.route.apply(path, exchange)? {
                // A path takes the place of the request's with its query, so that has to come along.
                if let Some(query) = request.head.query().filter(|query| !query.is_empty())
                    && target.contains('/')
                {
                    target.push(if target.contains('?') { '&' } else { '?' });
                    target.push_str(query);
                }
                return Ok(Some(Target { target, origin: rule.origin.clone() }));
            }
        }
        Ok(None)
    }
}

impl Policy for DynamicRouting {
    fn phases(&self) -> Phases {
        let content = self.rules.iter().any(|rule| rule.route.needs_content());
        if content { Phases::REQUEST.with_content() } else { Phases::REQUEST }
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        if self.rules.is_empty() {
            return Step::Next;
        }
        match self.target(exchange) {
            Ok(Some(Target { target, origin })) => {
                exchange.named_origin = origin;
                exchange.attributes.set(ATTRIBUTE, target);
                Step::Next
            }
            Ok(None) => Step::Reply(Box::new(Reply::refusal(
                StatusCode::BAD_REQUEST,
                "DYNAMIC_ROUTING_NO_RULE",
                "No rule of this API leads from this path to an endpoint.",
            ))),
            Err(reply) => Step::Reply(reply),
        }
    }
}
