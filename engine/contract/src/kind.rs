//! How an extension is described: once per process, with everything that validation, help, schema and documentation need.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use ringway_config::api::{EndpointGroup, Resource};
use ringway_config::settings::Redis;
use ringway_config::{Examine, Files, Messaging, Node, Problem, ResourceUse};
use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;

use crate::{Broker, Dial, Dictionaries, Endpoint, Entrypoint, Fetch, Guard, Policy, Pool, Push};

/// What a look-up of a name becomes; `None`: nobody could tell. A name that there is not has no address.
pub type Resolving = Pin<Box<dyn Future<Output = Option<Vec<IpAddr>>>>>;

/// What a shard lends to the extensions that it builds.
#[derive(Clone)]
pub struct Services {
    /// Heads of responses, used again and again.
    pub responses: Pool<ringway_wire::ResponseHead>,
    /// What is asked of a head that a backend sends.
    pub response_limits: ringway_wire::Limits,
    /// Bytes per second at least of a response's body whose length is known; 0: any.
    pub response_rate_min: u32,
    /// Shards of the process: bounds that an operator gives for the whole are divided by it.
    pub shards: usize,
    /// Tables of texts for expressions.
    pub dictionaries: Dictionaries,
    /// Calls HTTP services beside the traffic; `None` where there is no shard, as in tests.
    pub fetch: Option<Rc<dyn Fetch>>,
    /// Looks up the addresses of a name, beside the traffic and with a memory of its own.
    pub resolve: Rc<dyn Fn(String) -> Resolving>,
    /// Connects to other servers beside the traffic; `None` where there is no shard, as in tests.
    pub dial: Option<Rc<dyn Dial>>,
    /// Where gateways count together (`ratelimit.redis`), if they do.
    pub counts: Option<Rc<Redis>>,
    /// Ends after this long.
    pub sleep: fn(Duration) -> Pin<Box<dyn Future<Output = ()>>>,
    /// Runs what nobody waits for, until the shard ends. Whoever gives it bounds how much of it there is.
    pub spawn: fn(Pin<Box<dyn Future<Output = ()>>>),
}

impl Default for Services {
    /// Those of no shard: nothing is fetched, nothing is waited for, and what is spawned is dropped.
    fn default() -> Self {
        Self {
            responses: Pool::default(),
            response_limits: ringway_wire::Limits::default(),
            response_rate_min: 0,
            shards: 0,
            dictionaries: Dictionaries::default(),
            fetch: None,
            resolve: Rc::new(|_| Box::pin(std::future::ready(None))),
            dial: None,
            counts: None,
            sleep: |_| Box::pin(std::future::ready(())),
            spawn: drop,
        }
    }
}

/// The configuration that a definition gives to one extension.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// Its own configuration (`configuration`).
    pub configuration: Option<&'a Node>,
    /// What it inherits from its group (`sharedConfiguration`, with overrides laid over it). Endpoints only.
    pub shared: Option<&'a Node>,
    /// Where the definition names it: the same in every shard and after a reload, different for every use. What shards share of an
    /// extension, such as a counter of calls, they share by this name.
    pub place: &'a str,
    /// The API's resources.
    pub resources: &'a [Resource],
    /// The API's endpoint groups.
    pub groups: &'a [EndpointGroup],
}

impl Source<'_> {
    /// Whether this is an endpoint of a group that has others: what it cannot do for the moment, one of them may.
    pub fn has_siblings(&self) -> bool {
        let is_here = |group: &EndpointGroup, endpoint: &str| {
            let names = self.place.strip_suffix(endpoint).and_then(|rest| rest.strip_suffix('/'));
            names.is_some_and(|rest| rest.ends_with(&group.name))
        };
        self.groups.iter().any(|group| {
            group.endpoints.len() > 1 && group.endpoints.iter().any(|endpoint| is_here(group, &endpoint.name))
        })
    }

    /// The configuration of the resource of this name, and its type.
    ///
    /// # Errors
    /// There is none.
    pub fn resource(&self, name: &str) -> Result<(&str, Option<&Node>), Refusal> {
        let found = self.resources.iter().find(|resource| resource.enabled && resource.name == name);
        let found = found.ok_or_else(|| Refusal(format!("the API has no resource `{name}`")))?;
        Ok((&found.kind, found.configuration.as_ref()))
    }
}

/// An extension will not be built from this configuration.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

impl Refusal {
    fn of(problems: &[Problem]) -> Self {
        Self(problems.iter().map(|problem| problem.to_string()).collect::<Vec<_>>().join("; "))
    }
}

/// One part of a configuration: its schema, and its check with positions.
#[derive(Clone, Copy)]
pub struct Part {
    /// The JSON Schema.
    pub schema: fn() -> Schema,
    /// All problems of a node by its schema, with positions.
    pub check: fn(&Node) -> Vec<Problem>,
    /// What the schema cannot say of the whole extension; of `configuration` only.
    pub examine: Option<Examine>,
    /// Fields that name resources of the API; of `configuration` only.
    pub resources: &'static [ResourceUse],
    /// The files that the whole extension is built from; of `configuration` only.
    pub files: Option<Files>,
    /// Where the extension evaluates expressions itself, as pointers such as `sharedConfiguration.headers`; of `configuration` only.
    pub evaluated: &'static [&'static str],
    /// Whether the policy acts on messages; of `configuration` only.
    pub on_messages: bool,
}

impl Part {
    /// The part that deserializes to `C`.
    pub const fn of<C: JsonSchema + DeserializeOwned>() -> Self {
        Self {
            schema: || schemars::schema_for!(C),
            check: |node| ringway_config::check::<C>(node),
            examine: None,
            resources: &[],
            files: None,
            evaluated: &[],
            on_messages: false,
        }
    }

    /// With a look at what the schema lets pass: whatever [`Kind::build`] would refuse is to be found before a gateway starts with
    /// it, and a value that is not acted on is to be named in a warning.
    #[must_use]
    pub const fn examined(self, examine: Examine) -> Self {
        Self { examine: Some(examine), ..self }
    }

    /// With fields that name resources of the API.
    #[must_use]
    pub const fn with_resources(self, resources: &'static [ResourceUse]) -> Self {
        Self { resources, ..self }
    }

    /// With the places where the extension evaluates expressions itself: elsewhere an endpoint has none that need a request.
    #[must_use]
    pub const fn evaluating(self, evaluated: &'static [&'static str]) -> Self {
        Self { evaluated, ..self }
    }

    /// Of a policy that acts on messages, too: see [`Phases::with_messages`](crate::Phases::with_messages). A definition that has another one
    /// there is not served.
    #[must_use]
    pub const fn on_messages(self) -> Self {
        Self { on_messages: true, ..self }
    }

    /// With the files that [`Kind::build`] reads: a change of what they hold builds the API anew.
    #[must_use]
    pub const fn reading(self, files: Files) -> Self {
        Self { files: Some(files), ..self }
    }
}

/// The refusal of `configuration` as a problem, for a [`Part::examined`].
pub fn refused(configuration: Option<&Node>, refusal: Option<Refusal>) -> Vec<Problem> {
    let problem =
        configuration.zip(refusal).map(|(node, refusal)| Problem::error(&node.span, "configuration", refusal.0));
    problem.into_iter().collect()
}

/// Reads a part; an absent one is read as an empty map, so that every default applies.
///
/// # Errors
/// The configuration does not fit `C`; all problems are named with their positions.
pub fn decode<C: JsonSchema + DeserializeOwned>(node: Option<&Node>) -> Result<C, Refusal> {
    match node {
        Some(node) => ringway_config::decode::<C>(node).map_err(|problems| Refusal::of(&problems)),
        None => serde_json::from_str("{}").map_err(|error| Refusal(error.to_string())),
    }
}

/// An extension of one of the six traits.
pub struct Kind<T: ?Sized> {
    /// The name that definitions use, in kebab case.
    pub name: &'static str,
    /// One sentence for lists.
    pub about: &'static str,
    /// The reference page's text, Markdown.
    pub docs: &'static str,
    /// `configuration`.
    pub configuration: Part,
    /// `sharedConfiguration` of an endpoint. Of a [`Push`]: `entrypointConfiguration` of its subscriptions.
    pub shared: Option<Part>,
    /// What it can do with messages; of entrypoints and brokers. `None`: it belongs to APIs of type PROXY.
    pub messaging: Option<Messaging>,
    /// Builds one for a shard.
    pub build: fn(Source<'_>, &Services) -> Result<Rc<T>, Refusal>,
}

/// Makes another JSON document of one. `None`: it is none, or what would be made of it is too large.
pub type Reshape = Box<dyn Fn(&[u8]) -> Option<String>>;

/// What specifications can be read by which JSON documents are reshaped.
#[derive(Clone, Copy)]
pub struct Reshaping {
    /// What is wrong with a specification, if something is.
    pub check: fn(&str) -> Option<String>,
    /// Reads a specification.
    pub build: fn(&str) -> Result<Reshape, Refusal>,
}

/// The tables of all kinds, joined by the binary.
#[derive(Clone, Copy)]
pub struct Registry {
    /// How consumers reach an API.
    pub entrypoints: &'static [&'static Kind<dyn Entrypoint>],
    /// How messages are sent to subscribers.
    pub pushes: &'static [&'static Kind<dyn Push>],
    /// What an API of type PROXY reaches.
    pub endpoints: &'static [&'static Kind<dyn Endpoint>],
    /// What an API of type MESSAGE reaches.
    pub brokers: &'static [&'static Kind<dyn Broker>],
    /// Who may call a plan.
    pub guards: &'static [&'static Kind<dyn Guard>],
    /// Makes the client that a shard lends to extensions.
    pub fetch: fn(&Services) -> Option<Rc<dyn Fetch>>,
    /// Makes the shard's way to other servers.
    pub dial: fn(&Services) -> Option<Rc<dyn Dial>>,
    /// Appends what extensions count beside the engine, in the Prometheus text format (version 0.0.4).
    pub metrics: fn(&mut String),
    /// Steps of flows.
    pub policies: &'static [&'static Kind<dyn Policy>],
    /// How dictionaries make their entries of what providers say.
    pub reshape: Option<Reshaping>,
}

/// The kind called `name`, in a table.
pub fn find<T: ?Sized>(table: &'static [&'static Kind<T>], name: &str) -> Option<&'static Kind<T>> {
    table.iter().find(|kind| kind.name == name).copied()
}
