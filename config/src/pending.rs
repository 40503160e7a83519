//! What a definition may say that this version of Ringway does not act on: the one list, from which work removes lines.
//!
//! Nothing is dropped in silence: each of these is named in a warning where it is written. What would change who may call, or what is done to a
//! call, is never left out either: then the API is loaded but not served.

use crate::catalogue::{Carries, NOT_SERVED};
use crate::names;
use crate::node::{Node, Value};
use crate::problem::Problem;
use crate::walk::{self, Place};

/// What becomes of an API that says something of this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// It is served without.
    Served,
    /// It is not served: without, it would do other than it says.
    Idle,
    /// It is acted on after all; where it may stand is checked elsewhere.
    Acted,
}

use Effect::{Acted, Idle, Served};

/// Which values are meant.
#[derive(Clone, Copy, Debug)]
enum Meant {
    /// Any that asks for something.
    Any,
    /// This one.
    Only(&'static str),
    /// Any but this one, which is the default.
    AllBut(&'static str),
}

/// A line of the list.
struct Line {
    /// Where it may be said.
    pattern: &'static str,
    effect: Effect,
    /// The rest of the sentence "`field` ...".
    reason: &'static str,
    value: Meant,
}

const fn line(pattern: &'static str, effect: Effect, reason: &'static str) -> Line {
    Line { pattern, effect, reason, value: Meant::Any }
}

const fn value(pattern: &'static str, value: &'static str, reason: &'static str) -> Line {
    Line { pattern, effect: Idle, reason, value: Meant::Only(value) }
}

const MESSAGES: &str = "belongs to APIs of type MESSAGE";
const ANALYTICS: &str = "is not recorded: analytics come with a later release";

/// What becomes of a line that says [`MESSAGES`] in an API of type MESSAGE.
const OF_MESSAGES: [(&str, Effect, &str); 10] = [
    ("dlq", Acted, ""),
    ("sampling", Acted, ""),
    ("messageHeaders", Acted, ""),
    ("messagePayload", Acted, ""),
    ("messageMetadata", Acted, ""),
    ("analytics.logging.messageCondition", Acted, ""),
    ("messageCondition", Served, "has no effect on a request or response: only messages have it"),
    ("publish", Acted, ""),
    ("subscribe", Acted, ""),
    ("CHANNEL", Acted, ""),
];

/// Of APIs of type PROXY; see [`OF_MESSAGES`].
const LINES: [Line; 34] = [
    line("listeners[*].pathMappings", Served, ANALYTICS),
    line("listeners[*].paths[*].overrideAccess", Served, "has no effect: there are no host restrictions to override"),
    line("listeners[*].entrypoints[*].dlq", Served, MESSAGES),
    line("endpointGroups[*].services.discovery", Served, "has no effect: service discovery comes with a later release"),
    line(
        "endpointGroups[*].endpoints[*].services.discovery",
        Served,
        "has no effect: service discovery belongs to groups",
    ),
    line("failover.failureCondition", Served, "is not evaluated: an error of the backend counts as a failure"),
    line("analytics.sampling", Served, MESSAGES),
    line("analytics.logging.messageCondition", Served, MESSAGES),
    line("analytics.logging.content.messageHeaders", Served, MESSAGES),
    line("analytics.logging.content.messagePayload", Served, MESSAGES),
    line("analytics.logging.content.messageMetadata", Served, MESSAGES),
    line(
        "analytics.tracing.enabled",
        Served,
        "has no effect: trace context is passed on, traces of its own come with a later release",
    ),
    line("analytics.otelLogs.enabled", Served, "has no effect: log records of OpenTelemetry come with a later release"),
    line("properties[*].encrypted", Served, "is not decrypted: encrypted properties come with a later release"),
    line("services.dynamicProperty", Served, "has no effect: dynamic properties come with a later release"),
    line(
        "responseTemplates.*.*.propagateErrorKeyToLogs",
        Served,
        "has no effect: the access log always has the error key",
    ),
    line("flows[*].request[*].messageCondition", Served, MESSAGES),
    line("flows[*].response[*].messageCondition", Served, MESSAGES),
    value("flows[*].selectors[*].type", "CHANNEL", MESSAGES),
    value("flows[*].selectors[*].type", "MCP", "belongs to MCP APIs, which come with a later release"),
    line("flows[*].publish", Served, MESSAGES),
    line("flows[*].subscribe", Served, MESSAGES),
    line("flows[*].entrypointConnect", Idle, "are not run: steps at the connection come with a later release"),
    line("flows[*].interact", Idle, "are not run: the Kafka protocol comes with a later release"),
    line("plans[*].flows[*].request[*].messageCondition", Served, MESSAGES),
    line("plans[*].flows[*].response[*].messageCondition", Served, MESSAGES),
    value("plans[*].flows[*].selectors[*].type", "CHANNEL", MESSAGES),
    value("plans[*].flows[*].selectors[*].type", "MCP", "belongs to MCP APIs, which come with a later release"),
    line("plans[*].flows[*].publish", Served, MESSAGES),
    line("plans[*].flows[*].subscribe", Served, MESSAGES),
    line("plans[*].flows[*].entrypointConnect", Idle, "are not run: steps at the connection come with a later release"),
    line("plans[*].flows[*].interact", Idle, "are not run: the Kafka protocol comes with a later release"),
    line("plans[*].commentRequired", Served, "has no effect: subscriptions come with a later release"),
    line("plans[*].generalConditions", Served, "has no effect: subscriptions come with a later release"),
];

/// What APIs of type MESSAGE act on and those of type PROXY do not.
const OF_REQUESTS: [Line; 1] = [Line {
    pattern: "listeners[*].entrypoints[*].qos",
    effect: Served,
    reason: MESSAGES,
    value: Meant::AllBut("AUTO"),
}];

/// What the Console and the portal will act on; named together, because exports carry all of it.
const PORTAL: [&str; 10] = [
    "pages",
    "members",
    "groups",
    "categories",
    "metadata",
    "consoleNotification",
    "notifyMembers",
    "allowedInApiProducts",
    "allowMultiJwtOauth2Subscriptions",
    "plans[*].excludedGroups",
];

impl Meant {
    fn takes(self, node: &Node) -> bool {
        let is = |value| node.as_text().is_some_and(|text| names::same(text, value));
        match self {
            Self::Any => true,
            Self::Only(value) => is(value),
            Self::AllBut(value) => !is(value),
        }
    }
}

/// What the list says of a definition.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// Warnings where each thing is first said.
    pub(crate) problems: Vec<Problem>,
    /// Why the API cannot be served, if it cannot.
    pub(crate) idle: Option<String>,
}

/// Looks for what is not acted on in the definition of an API of this type.
pub(crate) fn find(definition: &Node, carries: Carries) -> Pending {
    let mut pending = Pending::default();
    let of_requests = OF_REQUESTS.iter().filter(|_| carries == Carries::Requests);
    for Line { pattern, effect, reason, value } in LINES.iter().chain(of_requests) {
        let mut said = said(definition, pattern);
        said.retain(|place| value.takes(place.node));
        let Some(first) = said.first() else { continue };
        let name = match value {
            Meant::Only(value) => value,
            _ => pattern.rsplit('.').next().unwrap_or(pattern),
        };
        let (effect, reason) = match OF_MESSAGES.iter().find(|(known, ..)| *known == name || known == pattern) {
            Some((_, effect, reason)) if carries == Carries::Messages => (effect, reason),
            _ => (effect, reason),
        };
        if *effect == Acted {
            continue;
        }
        let more = match said.len() {
            1 => String::new(),
            count => format!(" (and in {} more places)", count - 1),
        };
        let (message, hint) = match effect {
            Served | Acted => (format!("`{name}` {reason}{more}"), None),
            Idle => (format!("`{name}` {reason}{more}"), Some(NOT_SERVED)),
        };
        let problem = Problem::warning(first.span, first.pointer.clone(), message);
        pending.problems.push(problem.maybe_hint(hint.map(str::to_owned)));
        if *effect == Idle && pending.idle.is_none() {
            pending.idle = Some(format!("{}: `{name}` {reason}", first.pointer));
        }
    }
    pending.problems.extend(portal(definition));
    pending
}

fn portal(definition: &Node) -> Option<Problem> {
    let mut said: Vec<Place<'_>> =
        PORTAL.iter().filter_map(|pattern| self::said(definition, pattern).into_iter().next()).collect();
    said.sort_by_key(|place| (place.span.line, place.span.column));
    let names = said.iter().map(|place| format!("`{}`", place.pointer)).collect::<Vec<_>>().join(", ");
    let first = said.first()?;
    let message = format!("kept for the Console and the portal, which come with a later release: {names}");
    Some(Problem::warning(first.span, first.pointer.clone(), message))
}

/// Where a pattern is said with an effect.
fn said<'n>(definition: &'n Node, pattern: &str) -> Vec<Place<'n>> {
    walk::places(definition, pattern).into_iter().filter(|place| asks(place.node)).collect()
}

/// Whether a value asks for something: `false`, an empty text, list or map does not, nor does what is disabled.
fn asks(node: &Node) -> bool {
    match &node.value {
        Value::Map(entries) => {
            node.field("enabled").and_then(Node::as_bool) != Some(false)
                && entries.iter().any(|entry| asks(&entry.value))
        }
        Value::Seq(items) => items.iter().any(asks),
        Value::String(text) => !text.is_empty() && node.as_bool() != Some(false),
        Value::Bool(value) => *value,
        Value::Null => false,
        Value::Number(_) => true,
    }
}
