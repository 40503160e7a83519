//! Chooses the endpoint by the path.

use std::rc::Rc;

use http::StatusCode;
use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::{Exchange, Kind, Node, Phases, Policy, Problem, Refusal, Reply, Step};
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
    configuration: Part::of::<Config>().examined(|configuration, _| {
        let mut problems = refused(configuration, decode(configuration).and_then(DynamicRouting::new).err());
        problems.extend(configuration.into_iter().flat_map(absolute));
        problems
    }),
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
    /// The name of an endpoint or a group, such as `{#endpoints['name']}`, and a path behind it; may have expressions, and `{#group[0]}` and
    /// `{#groupName['name']}` of the pattern.
    pub url: String,
}

struct DynamicRouting {
    rules: Box<[Route]>,
}

/// Warnings of targets that are no endpoints of the API.
fn absolute(configuration: &Node) -> Vec<Problem> {
    let rules = configuration.field("rules").map(Node::items).unwrap_or_default();
    let urls = rules.iter().enumerate().filter_map(|(at, rule)| rule.field("url").map(|url| (at, url)));
    let absolute = urls.filter(|(_, url)| {
        let text = url.as_str().unwrap_or_default();
        text.starts_with("http://") || text.starts_with("https://")
    });
    let warning = |(at, url): (usize, &Node)| {
        let message = "requests are sent to endpoints of the API only: this rule will answer 503";
        let hint = "add an endpoint with this target, and write `{#endpoints['its name']}/path`";
        Problem::warning(&url.span, format!("configuration.rules[{at}].url"), message).hint(hint)
    };
    absolute.map(warning).collect()
}

impl DynamicRouting {
    fn new(config: Config) -> Result<Self, Refusal> {
        let rules = config.rules.iter().enumerate().map(|(at, rule)| {
            let field = |name: &str| format!("rules[{at}].{name}");
            Route::new(&field("pattern"), &rule.pattern, &field("url"), &rule.url)
        });
        Ok(Self { rules: rules.collect::<Result<_, _>>()? })
    }

    /// What the attribute is set to; `None` if no rule fits.
    fn target(&self, exchange: &Exchange) -> Result<Option<String>, Box<Reply>> {
        let Some(request) = exchange.request.as_deref() else { return Ok(None) };
        let path = if request.rest().is_empty() { "/" } else { request.rest() };
        for rule in &self.rules {
            if let Some(mut target) = rule.apply(path, exchange)? {
                // A path takes the place of the request's with its query, so that has to come along.
                if let Some(query) = request.head.query().filter(|query| !query.is_empty())
                    && target.contains('/')
                {
                    target.push(if target.contains('?') { '&' } else { '?' });
                    target.push_str(query);
                }
                return Ok(Some(target));
            }
        }
        Ok(None)
    }
}

impl Policy for DynamicRouting {
    fn phases(&self) -> Phases {
        let content = self.rules.iter().any(Route::needs_content);
        if content { Phases::REQUEST.with_content() } else { Phases::REQUEST }
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        if self.rules.is_empty() {
            return Step::Next;
        }
        match self.target(exchange) {
            Ok(Some(target)) => {
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
