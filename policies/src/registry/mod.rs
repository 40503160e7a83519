//! A schema registry that speaks Confluent's API: the resource of type `confluent-schema-registry`.
//!
//! ```text
//!   a value ─▶ its schema's id ─┬─ kept ──────────────────────────▶ the schema
//!                               └─ not kept ─▶ one fetch for all ─▶ compiled, kept
//!                                                  └─ what it refers to, too
//! ```
//!
//! The schema of an id never changes (Confluent, "Schema Registry API"), so one is kept per shard until others need its room. That there is none is kept
//! for [`MISSING`], and that the registry is away for [`PAUSE`].

mod load;

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt;
use futures_util::future::{Shared, WeakShared};
use indexmap::IndexMap;
use ringway_contract::kind::{Part, Services, decode};
use ringway_contract::{Fetch, Node, Problem, Refusal, Source};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{avro, protobuf};

/// The type of the resource.
const RESOURCE: &str = "confluent-schema-registry";
/// A type of resource, and the check of its configuration.
type Checked = (&'static str, fn(&Node) -> Vec<Problem>);
/// What a field that names a registry may name.
pub const KINDS: &[Checked] = &[(RESOURCE, check)];

/// Schemas that are kept.
const KEPT_MAX: usize = 1024;
/// Bytes of their texts.
const KEPT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Schemas that are fetched at once.
const FLIGHTS_MAX: usize = 64;
/// How long it holds that there is no such schema, or that it is none.
const MISSING: Duration = Duration::from_secs(30);
/// How long a registry is not asked again that is away.
const PAUSE: Duration = Duration::from_secs(1);
/// How often a registry that is away is asked for a message, a pause between each two: messages wait at the broker meanwhile.
pub const TRIES: usize = 30;

/// Configuration of a resource of type `confluent-schema-registry`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    /// URL of the registry.
    url: String,
    /// How the gateway shows who it is.
    auth: Auth,
}

/// How the gateway shows who it is.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
struct Auth {
    /// `none`, `basic` or `token`. Without it, what is given decides.
    r#type: Option<AuthKind>,
    /// A name and a password.
    basic: Option<Basic>,
    /// A token.
    token: Option<Token>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum AuthKind {
    None,
    Basic,
    Token,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Basic {
    username: String,
    password: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Token {
    value: String,
}

impl Config {
    fn base(&self) -> Result<String, Refusal> {
        let url = self.url.trim().trim_end_matches('/');
        let parsed = url.parse::<http::Uri>().ok().filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
        match parsed.filter(|uri| uri.query().is_none()) {
            Some(_) => Ok(url.to_owned()),
            None => Err(Refusal("url: an http or https URL without a query is needed".into())),
        }
    }

    fn authorization(&self) -> Result<Option<String>, Refusal> {
        let Auth { r#type, basic, token } = &self.auth;
        let value = match (r#type, basic, token) {
            (Some(AuthKind::None), ..) | (None, None, None) => return Ok(None),
            (None | Some(AuthKind::Basic), Some(Basic { username, password }), _) => {
                format!("Basic {}", STANDARD.encode(format!("{username}:{password}")))
            }
            (None | Some(AuthKind::Token), _, Some(Token { value })) => format!("Bearer {value}"),
            (Some(AuthKind::Basic), None, _) => {
                return Err(Refusal("auth: `basic` with `username` and `password` is needed".into()));
            }
            (Some(AuthKind::Token), _, None) => return Err(Refusal("auth: `token` with `value` is needed".into())),
        };
        if value.bytes().any(|byte| !matches!(byte, b' '..=b'~')) {
            return Err(Refusal("auth: the token may have visible characters of ASCII only".into()));
        }
        Ok(Some(value))
    }
}

/// Checks the configuration of such a resource.
fn check(node: &Node) -> Vec<Problem> {
    let problems = (Part::of::<Config>().check)(node);
    if !problems.is_empty() {
        return problems;
    }
    let refused = decode::<Config>(Some(node)).and_then(|config| config.base().and(config.authorization()));
    refused.err().map(|refusal| Problem::error(&node.span, "", refusal.0)).into_iter().collect()
}

/// A schema that can be used.
#[derive(Debug)]
pub enum Schema {
    /// `AVRO`
    Avro(avro::Schema),
    /// `PROTOBUF`
    Protobuf(protobuf::Schema),
    /// `JSON`: values are JSON already.
    Json,
}

impl Schema {
    /// It, if it is one of Avro.
    pub fn avro(&self) -> Option<&avro::Schema> {
        if let Self::Avro(schema) = self { Some(schema) } else { None }
    }

    /// It, if it is one of Protocol Buffers.
    pub fn protobuf(&self) -> Option<&protobuf::Schema> {
        if let Self::Protobuf(schema) = self { Some(schema) } else { None }
    }
}

/// Why there is no schema.
#[derive(Clone, Debug)]
pub enum Failed {
    /// The registry has none of this id, or one that cannot be used.
    Missing(Rc<str>),
    /// It does not answer, or not as a registry does.
    Away,
}

type Found = Result<Rc<Schema>, Failed>;
type Flight = Pin<Box<dyn Future<Output = Found>>>;

struct Kept {
    found: Found,
    bytes: usize,
    until: Option<Instant>,
}

/// A registry, as a shard knows it.
pub struct Registry {
    base: String,
    authorization: Option<String>,
    fetch: Option<Rc<dyn Fetch>>,
    sleep: fn(Duration) -> Pin<Box<dyn Future<Output = ()>>>,
    /// The oldest first.
    kept: RefCell<IndexMap<u32, Kept>>,
    /// Weak: when all who wait for one are gone, it is broken off.
    flights: RefCell<HashMap<u32, WeakShared<Flight>>>,
}

impl Registry {
    /// The one that the resource `name` describes: all steps of the shard that name the same registry have the same.
    ///
    /// # Errors
    /// There is no such resource, or it is of another type.
    pub fn of(source: Source<'_>, name: &str, services: &Services) -> Result<Rc<Self>, Refusal> {
        type Name = (String, Option<String>);
        thread_local! { static ALL: RefCell<HashMap<Name, Weak<Registry>>> = RefCell::default() }
        let (kind, configuration) = source.resource(name)?;
        if !kind.eq_ignore_ascii_case(RESOURCE) {
            return Err(Refusal(format!("the resource `{name}` is of type `{kind}`, and a schema registry is needed")));
        }
        let config: Config = decode(configuration)?;
        let (base, authorization) = (config.base()?, config.authorization()?);
        let (fetch, sleep) = (services.fetch.clone(), services.sleep);
        let made = |base, authorization| {
            let (kept, flights) = (RefCell::default(), RefCell::default());
            Rc::new(Self { base, authorization, fetch, sleep, kept, flights })
        };
        ALL.with_borrow_mut(|all| {
            all.retain(|_, known| known.strong_count() > 0);
            let key = (base.clone(), authorization.clone());
            Ok(all.get(&key).and_then(Weak::upgrade).unwrap_or_else(|| {
                let registry = made(base, authorization);
                all.insert(key, Rc::downgrade(&registry));
                registry
            }))
        })
    }

    /// What is known of an id. `None`: it has to be fetched.
    pub fn known(&self, id: u32) -> Option<Found> {
        let kept = self.kept.borrow();
        let kept = kept.get(&id).filter(|kept| kept.until.is_none_or(|until| Instant::now() < until))?;
        Some(kept.found.clone())
    }

    /// Fetches what is not known, and asks a registry that is away so many times.
    pub async fn find(self: &Rc<Self>, id: u32, tries: usize) {
        for again in (0..tries).rev() {
            let found = match self.known(id) {
                Some(found) => found,
                None => match self.flight(id) {
                    Some(flight) => flight.await,
                    None => Err(Failed::Away),
                },
            };
            if again == 0 || !matches!(found, Err(Failed::Away)) {
                return;
            }
            (self.sleep)(PAUSE).await;
        }
    }

    /// The fetch that is under way, or a new one. `None`: there are too many.
    fn flight(self: &Rc<Self>, id: u32) -> Option<Shared<Flight>> {
        let mut flights = self.flights.borrow_mut();
        if let Some(flight) = flights.get(&id).and_then(WeakShared::upgrade) {
            return Some(flight);
        }
        flights.retain(|_, flight| flight.upgrade().is_some());
        if flights.len() >= FLIGHTS_MAX {
            return None;
        }
        let registry = self.clone();
        let flight: Flight = Box::pin(async move {
            let (found, bytes) = load::schema(&registry, id).await;
            registry.flights.borrow_mut().remove(&id);
            registry.keep(id, found.clone(), bytes);
            found
        });
        let flight = flight.shared();
        if let Some(weak) = flight.downgrade() {
            flights.insert(id, weak);
        }
        Some(flight)
    }

    fn keep(&self, id: u32, found: Found, bytes: usize) {
        let until = match &found {
            Ok(_) => None,
            Err(Failed::Missing(_)) => Some(Instant::now() + MISSING),
            Err(Failed::Away) => Some(Instant::now() + PAUSE),
        };
        let mut kept = self.kept.borrow_mut();
        kept.shift_remove(&id);
        let mut whole: usize = kept.values().map(|kept| kept.bytes).sum::<usize>() + bytes;
        while kept.len() >= KEPT_MAX || whole > KEPT_BYTES_MAX {
            let Some((_, gone)) = kept.shift_remove_index(0) else { break };
            whole -= gone.bytes;
        }
        kept.insert(id, Kept { found, bytes, until });
    }
}
