//! Copies requests to another service.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ringway_contract::kind::{Part, Services, decode, refused};
use ringway_contract::{
    Around, EndpointGroup, Exchange, Fetch, FetchRequest, Kind, Phases, Policy, Refusal, Request, Step, Tap,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::copy::copied;
use crate::gate::{Gate, Pass};
use crate::text::Text;

/// `traffic-shadowing`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "traffic-shadowing",
    about: "Copies requests to another endpoint or URL, whatever becomes of them there.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>().examined(|configuration, _| {
        let built = decode(configuration).and_then(|config| Shadowing::new(config, &[], &Services::default()));
        refused(configuration, built.err())
    }),
    shared: None,
    messaging: None,
    build: |source, services| Ok(Rc::new(Shadowing::new(decode(source.configuration)?, source.groups, services)?)),
};

/// Copies of one step that are under way in the gateway; further requests are not copied.
const SHADOWS_MAX: usize = 64;
/// Bytes of a body that is copied; a request with a longer one is not.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// How long a copy may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Fields that a copy has besides.
const HEADERS_MAX: usize = 64;

/// Configuration of `traffic-shadowing`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// Where copies go: an endpoint of the API, `{#endpoints['name']}`, or a URL; may have expressions.
    pub target: String,
    /// Fields that copies have besides those of the request; of the same name, these count.
    #[serde(default)]
    pub headers: Vec<Header>,
}

/// A field.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value; may have expressions.
    #[serde(default)]
    pub value: Option<String>,
}

struct Rules {
    target: Text,
    headers: Vec<(String, Text)>,
    /// URLs of the API's endpoints, by their names and those of their groups.
    urls: HashMap<String, String>,
    gate: Rc<Gate>,
    fetch: Option<Rc<dyn Fetch>>,
    spawn: fn(Pin<Box<dyn Future<Output = ()>>>),
}

struct Shadowing {
    rules: Rc<Rules>,
}

/// The URLs of endpoints; a group stands for its first one.
fn urls(groups: &[EndpointGroup]) -> HashMap<String, String> {
    let mut urls = HashMap::new();
    for group in groups {
        for endpoint in &group.endpoints {
            let target = endpoint.configuration.as_ref().and_then(|own| own.field("target"));
            let Some(target) = target.and_then(ringway_contract::Node::as_text) else { continue };
            for name in [&endpoint.name, &group.name] {
                urls.entry(name.clone()).or_insert_with(|| target.to_owned());
            }
        }
    }
    urls
}

fn is_url(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

impl Shadowing {
    fn new(config: Config, groups: &[EndpointGroup], services: &Services) -> Result<Self, Refusal> {
        let target = Text::on_request("target", config.target.trim())?;
        if let Some(fixed) = target.constant()
            && !is_url(fixed)
            && !fixed.ends_with(':')
        {
            return Err(Refusal("target: a URL, or an endpoint as `{#endpoints['name']}`".into()));
        }
        if config.headers.len() > HEADERS_MAX {
            return Err(Refusal(format!("headers: at most {HEADERS_MAX}")));
        }
        let mut probe = ringway_contract::Fields::default();
        let headers = config.headers.into_iter().enumerate().map(|(at, header)| {
            let name = header.name.trim().to_owned();
            probe.append(&name, "").map_err(|error| Refusal(format!("headers[{at}].name: {error}")))?;
            Ok((name, Text::on_request(&format!("headers[{at}].value"), &header.value.unwrap_or_default())?))
        });
        let headers = headers.collect::<Result<_, Refusal>>()?;
        let gate = Gate::new(SHADOWS_MAX, services.shards);
        let (fetch, spawn) = (services.fetch.clone(), services.spawn);
        Ok(Self { rules: Rc::new(Rules { target, headers, urls: urls(groups), gate, fetch, spawn }) })
    }
}

impl Rules {
    /// The copy without its body. `None`: there is none, which the request never sees.
    fn copy(&self, exchange: &Exchange, request: &Request) -> Option<FetchRequest> {
        let target = self.target.render(exchange).ok()?;
        let url = match target.split_once(':') {
            _ if is_url(&target) => target.into_owned(),
            // What `#endpoints` gives: the name, and what stands behind it takes the place of the request's path.
            Some((name, rest)) => {
                let Some(base) = self.urls.get(name) else {
                    tracing::debug!(api = exchange.api.id, name, "no endpoint to copy requests to");
                    return None;
                };
                let path = if rest.is_empty() { request.rest() } else { rest };
                let query = request.head.query().filter(|_| rest.is_empty());
                let query = query.map(|query| format!("?{query}")).unwrap_or_default();
                format!("{}{path}{query}", base.trim_end_matches('/'))
            }
            None => return None,
        };
        let mut copy = copied(&request.head, url, Bytes::new(), TIMEOUT);
        for (name, value) in &self.headers {
            let value = value.render(exchange).ok()?.into_owned();
            copy.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
            copy.headers.push((name.clone(), value));
        }
        Some(copy)
    }

    fn send(&self, copy: FetchRequest, pass: Pass) {
        let Some(fetch) = &self.fetch else { return };
        let call = fetch.fetch(copy);
        (self.spawn)(Box::pin(async move {
            if let Err(fault) = call.await {
                tracing::debug!(%fault, "a copy of a request failed");
            }
            drop(pass);
        }));
    }
}

impl Policy for Shadowing {
    fn phases(&self) -> Phases {
        Phases::REQUEST
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        exchange.arounds.push(Rc::new(Shadow { rules: self.rules.clone() }));
        Step::Next
    }
}

/// The copy of one request: made when all policies of the request are through.
struct Shadow {
    rules: Rc<Rules>,
}

impl Around for Shadow {
    fn before<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let Some(request) = exchange.request.as_deref() else { return Step::Next };
        if request.head.upgrade {
            return Step::Next;
        }
        let Some(pass) = self.rules.gate.try_enter() else {
            tracing::debug!(api = exchange.api.id, "a request is not copied: too many copies are under way");
            return Step::Next;
        };
        let Some(mut copy) = self.rules.copy(exchange, request) else { return Step::Next };
        if let Some(held) = &exchange.contents.request {
            copy.body = held.clone();
            if held.len() <= BODY_BYTES_MAX {
                self.rules.send(copy, pass);
            }
        } else if request.head.framing.has_content() {
            // The body is copied while it passes: nothing waits for it.
            let under_way = Some((copy, pass, BytesMut::new()));
            exchange.request_tapped.set(Box::new(Collector { rules: self.rules.clone(), under_way }));
        } else {
            self.rules.send(copy, pass);
        }
        Step::Next
    }
}

/// Collects the body of a copy.
struct Collector {
    rules: Rc<Rules>,
    /// `None` as soon as it is too long.
    under_way: Option<(FetchRequest, Pass, BytesMut)>,
}

impl Tap for Collector {
    fn data(&mut self, piece: &[u8]) {
        let Some((_, _, body)) = &mut self.under_way else { return };
        if body.len() + piece.len() > BODY_BYTES_MAX {
            self.under_way = None;
        } else {
            body.extend_from_slice(piece);
        }
    }

    fn end(mut self: Box<Self>) {
        if let Some((mut copy, pass, body)) = self.under_way.take() {
            copy.body = body.freeze();
            self.rules.send(copy, pass);
        }
    }
}
