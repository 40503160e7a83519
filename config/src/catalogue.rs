//! The extensions that exist, as plain data: this crate knows none of them, and checks what definitions say to each by what it is given.

use std::path::PathBuf;

use crate::api::{ApiType, Qos};
use crate::groups;
use crate::names;
use crate::node::Node;
use crate::problem::{Problem, Severity};
use crate::reference;
use crate::resources::{self, ResourceUse};
use crate::walk;

/// Checks the configuration of an extension; every problem has its position, pointers being relative to the node.
pub type Check = fn(&Node) -> Vec<Problem>;

/// Looks at what schemas let pass: values that an extension refuses, and such that it does not act on. It is given the `configuration`
/// and, of endpoints, the shared configuration that holds for it; both fit their schemas. Pointers begin with `configuration` or
/// `sharedConfiguration`.
pub type Examine = fn(Option<&Node>, Option<&Node>) -> Vec<Problem>;

/// The files that an extension is built from, such as stores of certificates: they are watched, and a change of what they hold is a change
/// of the API. It is given what [`Examine`] is given.
pub type Files = fn(Option<&Node>, Option<&Node>) -> Vec<PathBuf>;

/// What an entrypoint asks of messages, or what an endpoint can do with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Messaging {
    /// Levels at which it publishes; none: it does not.
    pub publish: &'static [Qos],
    /// Levels at which it subscribes; none: it does not.
    pub subscribe: &'static [Qos],
    /// Of an endpoint: whether it can go on from an id that it gave out. Of an entrypoint: whether `AT_LEAST_ONCE` needs that, because its
    /// clients cannot acknowledge.
    pub recover: bool,
}

/// An extension.
#[derive(Clone, Copy, Debug)]
pub struct Extension {
    /// Its name, in kebab case.
    pub name: &'static str,
    /// Checks its `configuration`.
    pub configuration: Check,
    /// Checks its `sharedConfiguration`, if it has such: of endpoints. Of an entrypoint that pushes: what subscriptions tell it
    /// (`entrypointConfiguration`).
    pub shared: Option<Check>,
    /// Looks at what these let pass.
    pub examine: Option<Examine>,
    /// Names the files that it is built from, if it is built from any.
    pub files: Option<Files>,
    /// What it can do with messages. `None`: it belongs to APIs of type PROXY.
    pub messaging: Option<Messaging>,
    /// Fields of its configuration that name resources of the API.
    pub resources: &'static [ResourceUse],
    /// Of an endpoint: where it evaluates expressions itself, as pointers such as `sharedConfiguration.headers`.
    pub evaluated: &'static [&'static str],
    /// Of a policy: whether it acts on messages.
    pub on_messages: bool,
}

/// The extensions that exist.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// How consumers reach an API.
    pub entrypoints: Vec<Extension>,
    /// How messages are sent to subscribers: entrypoints of listeners of type SUBSCRIPTION.
    pub pushes: Vec<Extension>,
    /// What an API of type PROXY reaches.
    pub endpoints: Vec<Extension>,
    /// What an API of type MESSAGE reaches.
    pub brokers: Vec<Extension>,
    /// Who may call a plan. A plan whose security is not among them is not offered.
    pub guards: Vec<Extension>,
    /// Steps of flows.
    pub policies: Vec<Extension>,
    /// What is wrong with the specification by which a dictionary makes its entries, if something is.
    pub reshape: Option<fn(&str) -> Option<String>>,
}

/// What the catalogue says of a definition.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Problems, with positions.
    pub(crate) problems: Vec<Problem>,
    /// Why the API cannot be served, if it cannot.
    pub(crate) idle: Option<String>,
    /// Indices of plans whose security does not exist here.
    pub(crate) unguarded: Vec<usize>,
}

/// A place where definitions name extensions.
pub(crate) struct Use {
    pub(crate) pattern: &'static str,
    /// The field with the name.
    pub(crate) name: &'static str,
    /// The field with the configuration.
    pub(crate) configuration: &'static str,
    pub(crate) what: What,
}

/// Whose flows, plans and connectors are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// An API.
    Api,
    /// The platform: it has no resources.
    Platform,
    /// A shared policy group: the resources are those of the APIs that use it.
    Group,
}

/// What becomes of an API that names what is not here.
pub(crate) const NOT_SERVED: &str = "the API is loaded but not served";

/// What an API carries, as far as extensions are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carries {
    /// Requests and responses.
    Requests,
    /// Messages.
    Messages,
}

impl Carries {
    /// Of an API of this type; `None` where no API of the type is served.
    pub(crate) fn of(kind: ApiType) -> Option<Self> {
        match kind {
            ApiType::Proxy => Some(Self::Requests),
            ApiType::Message => Some(Self::Messages),
            _ => None,
        }
    }

    /// That an extension belongs to APIs of the other type.
    fn refuses(self, extension: &Extension, name: &Node, pointer: String) -> Problem {
        let (other, own) = match self {
            Self::Requests => ("MESSAGE", "PROXY"),
            Self::Messages => ("PROXY", "MESSAGE"),
        };
        let message = format!("`{}` belongs to APIs of type {other}, and this one is of type {own}", extension.name);
        Problem::error(&name.span, pointer, message)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Entrypoint,
    /// An entrypoint, as a subscription names it.
    Consumer,
    Group,
    Endpoint,
    Override,
    Policy,
    Guard,
}

pub(crate) const USES: [Use; 16] = [
    at("listeners[*].entrypoints[*]", "type", "configuration", What::Entrypoint),
    at("subscriptions[*].consumerConfiguration", "entrypointId", "entrypointConfiguration", What::Consumer),
    at("endpointGroups[*]", "type", "sharedConfiguration", What::Group),
    at("endpointGroups[*].endpoints[*]", "type", "configuration", What::Endpoint),
    at("endpointGroups[*].endpoints[*]", "type", "sharedConfigurationOverride", What::Override),
    at("flows[*].request[*]", "policy", "configuration", What::Policy),
    at("flows[*].response[*]", "policy", "configuration", What::Policy),
    at("flows[*].publish[*]", "policy", "configuration", What::Policy),
    at("flows[*].subscribe[*]", "policy", "configuration", What::Policy),
    at("flows[*].entrypointConnect[*]", "policy", "configuration", What::Policy),
    at("plans[*].flows[*].request[*]", "policy", "configuration", What::Policy),
    at("plans[*].flows[*].response[*]", "policy", "configuration", What::Policy),
    at("plans[*].flows[*].publish[*]", "policy", "configuration", What::Policy),
    at("plans[*].flows[*].subscribe[*]", "policy", "configuration", What::Policy),
    at("plans[*].flows[*].entrypointConnect[*]", "policy", "configuration", What::Policy),
    at("plans[*].security", "type", "configuration", What::Guard),
];

const fn at(pattern: &'static str, name: &'static str, configuration: &'static str, what: What) -> Use {
    Use { pattern, name, configuration, what }
}

impl Catalogue {
    /// Looks at every extension that the definition of an API of this type names, or that its owner has in flows.
    pub(crate) fn inspect(&self, definition: &Node, carries: Carries, owner: Owner) -> Verdict {
        let mut verdict = Verdict::default();
        let mut shared = Vec::new();
        for used in &USES {
            for place in walk::places(definition, used.pattern) {
                let disabled = place.node.field("enabled").and_then(Node::as_bool) == Some(false);
                let Some(name) = place.node.field(used.name).filter(|_| !disabled) else { continue };
                // One whose steps are not in place: why, was said where they were looked for.
                if used.what == What::Policy && name.as_text().is_some_and(groups::is_policy) {
                    continue;
                }
                let table = match used.what {
                    What::Entrypoint if pushes(definition, &place.pointer) => &self.pushes,
                    what => self.table(what, carries),
                };
                let known = name.as_text().and_then(|name| table.iter().find(|known| names::same(known.name, name)));
                let Some(known) = known else {
                    self.unknown(used, &place.pointer, name, carries, &mut verdict);
                    continue;
                };
                if used.what == What::Entrypoint && known.messaging.is_some() != (carries == Carries::Messages) {
                    verdict.problems.push(carries.refuses(known, name, format!("{}.{}", place.pointer, used.name)));
                    continue;
                }
                let check = match used.what {
                    What::Group | What::Override | What::Consumer => known.shared,
                    _ => Some(known.configuration),
                };
                let pointer = format!("{}.{}", place.pointer, used.configuration);
                if let Some(node) = place.node.field(used.configuration).filter(|_| owner != Owner::Group) {
                    let of = (definition, owner);
                    verdict.problems.extend(resources::check(of, known, node, &pointer, &mut shared));
                }
                match (place.node.field(used.configuration), check) {
                    (Some(node), Some(check)) => {
                        verdict.problems.extend(check(node).into_iter().map(|problem| problem.below(&pointer)));
                    }
                    (Some(node), None) if !node.is_empty() => {
                        let message = format!("`{}` takes no `{}`", known.name, used.configuration);
                        verdict.problems.push(Problem::error(&node.span, pointer, message));
                    }
                    // What is not given is checked as if it were empty: something may be required.
                    (None, Some(check)) if !matches!(used.what, What::Group | What::Override) => {
                        let empty = Node::new(crate::node::Value::Map(Vec::new()), place.node.span.clone());
                        verdict.problems.extend(check(&empty).into_iter().map(|problem| problem.below(&pointer)));
                    }
                    _ => {}
                }
            }
        }
        verdict.problems.extend(resources::unused(definition, &shared));
        verdict
    }

    pub(crate) fn table(&self, what: What, carries: Carries) -> &[Extension] {
        match what {
            What::Entrypoint => &self.entrypoints,
            What::Consumer => &self.pushes,
            What::Group | What::Endpoint | What::Override if carries == Carries::Messages => &self.brokers,
            What::Group | What::Endpoint | What::Override => &self.endpoints,
            What::Policy => &self.policies,
            What::Guard => &self.guards,
        }
    }

    /// An extension that does not exist here: still to come, or a spelling mistake.
    fn unknown(&self, used: &Use, pointer: &str, name: &Node, carries: Carries, verdict: &mut Verdict) {
        let (kind, reference): (_, &[&str]) = match used.what {
            What::Entrypoint => ("entrypoint", &reference::ENTRYPOINTS),
            // Named by its endpoints already, and an empty group does nothing.
            What::Group | What::Override => return,
            // A listener of type SUBSCRIPTION has none of this name: that is said where subscriptions are judged.
            What::Consumer => return,
            What::Endpoint => ("endpoint", &reference::ENDPOINTS),
            What::Policy => ("policy", &reference::POLICIES),
            What::Guard => ("plan security", &reference::GUARDS),
        };
        let pointer = format!("{pointer}.{}", used.name);
        let text = name.as_text().unwrap_or_default();
        let other = if carries == Carries::Messages { &self.endpoints } else { &self.brokers };
        if let Some(other) = other.iter().find(|other| used.what == What::Endpoint && names::same(other.name, text)) {
            verdict.problems.push(carries.refuses(other, name, pointer));
            return;
        }
        let mismatched = used.what == What::Entrypoint
            && self.entrypoints.iter().chain(&self.pushes).any(|known| names::same(known.name, text));
        if mismatched {
            let message = format!("`{text}` does not belong to a listener of this type");
            let hint =
                "entrypoints that clients call are of listeners of type HTTP, such that send of type SUBSCRIPTION";
            verdict.problems.push(Problem::error(&name.span, pointer, message).hint(hint));
            return;
        }
        let coming = reference::COMING.iter().filter(|_| used.what == What::Entrypoint);
        let known = self.table(used.what, carries).iter().map(|known| known.name).chain(reference.iter().copied());
        let known = known.chain(coming.clone().map(|(known, _)| *known));
        if let Some(near) = names::misspelt(text, known) {
            let problem = Problem::error(&name.span, pointer, format!("there is no {kind} {}", name.shown()));
            verdict.problems.push(problem.hint(format!("did you mean `{near}`?")));
            return;
        }
        let instead =
            reference::INSTEAD.iter().find(|(known, _)| used.what == What::Policy && names::same(known, text));
        if let Some((_, way)) = instead {
            let message = format!("the {kind} `{text}` is not carried");
            verdict.problems.push(Problem::error(&name.span, pointer, message).hint(*way));
            return;
        }
        let with = coming.clone().find(|(known, _)| names::same(known, text)).map(|(_, with)| *with);
        let with = with.or_else(|| reference.iter().any(|known| names::same(known, text)).then_some("a later release"));
        let reason = match with {
            Some(with) => format!("the {kind} `{text}` comes with {with}"),
            None => format!("there is no {kind} `{text}`"),
        };
        let (severity, hint) = match used.what {
            What::Guard => (Severity::Warning, "the plan is not offered: nobody can use it"),
            _ => (Severity::Warning, NOT_SERVED),
        };
        verdict.problems.push(Problem::new(severity, &name.span, pointer.clone(), reason.clone()).hint(hint));
        match used.what {
            What::Guard => verdict.unguarded.extend(plan_of(&pointer)),
            _ => verdict.idle = verdict.idle.take().or_else(|| Some(format!("{pointer}: {reason}"))),
        }
    }
}

/// Whether an entrypoint belongs to a listener of type SUBSCRIPTION: `listeners[0].entrypoints[1]`.
fn pushes(definition: &Node, pointer: &str) -> bool {
    let at = pointer.strip_prefix("listeners[").and_then(|rest| rest.split_once(']')?.0.parse::<usize>().ok());
    let listener = at.zip(definition.field("listeners")).and_then(|(at, listeners)| listeners.items().get(at));
    listener
        .and_then(|listener| listener.field("type")?.as_text())
        .is_some_and(|kind| names::same(kind, "SUBSCRIPTION"))
}

/// The index in `plans[3].security.type`.
fn plan_of(pointer: &str) -> Option<usize> {
    pointer.strip_prefix("plans[")?.split_once(']')?.0.parse().ok()
}
