//! What a schema cannot say of a definition: names that must be unique or exist, paths, hosts and patterns that must be valid.

use std::collections::HashMap;

use regex::Regex;

use crate::api::HealthCheck;
use crate::names;
use crate::node::Node;
use crate::path;
use crate::problem::Problem;
use crate::settings::Settings;
use crate::walk::{Place, places};

/// Looks for what a schema cannot say.
pub(crate) fn examine(node: &Node, settings: &Settings, problems: &mut Vec<Problem>) {
    for (pattern, what) in [
        ("endpointGroups[*].name", "endpoint groups of an API"),
        ("endpointGroups[*].endpoints[*].name", "endpoints of an API"),
        ("resources[*].name", "resources of an API"),
        ("properties[*].key", "properties of an API"),
        ("subscriptions[*].id", "subscriptions of an API"),
    ] {
        unique(node, pattern, what, problems);
    }
    servers(node, settings, problems);
    flows(node, problems);
    cors(node, problems);
    health_checks(node, problems);
    if places(node, "endpointGroups[*].endpoints[*]").is_empty() {
        let place = node.field("endpointGroups").unwrap_or(node);
        problems.push(Problem::warning(
            &place.span,
            "endpointGroups",
            "there is no endpoint: every call is answered 503",
        ));
    }
}

/// The same of flows, and of what else has paths.
pub(crate) fn flows(node: &Node, problems: &mut Vec<Problem>) {
    paths(node, problems);
    selectors(node, problems);
    parameters(node, problems);
}

fn unique(node: &Node, pattern: &str, what: &str, problems: &mut Vec<Problem>) {
    let mut seen: HashMap<String, u32> = HashMap::new();
    for Place { pointer, node, .. } in places(node, pattern) {
        let Some(name) = node.as_text() else { continue };
        if let Some(line) = seen.insert(name.to_owned(), node.span.line) {
            let message = format!("the name {} is taken in line {line}: names of {what} are unique", node.shown());
            problems.push(Problem::error(&node.span, pointer, message));
        }
    }
}

/// Servers are known when the settings are: a check of definitions alone has none.
fn servers(node: &Node, settings: &Settings, problems: &mut Vec<Problem>) {
    if settings.servers.is_empty() {
        return;
    }
    for Place { pointer, node, .. } in places(node, "listeners[*].servers[*]") {
        let Some(id) = node.as_text() else { continue };
        let known = || settings.servers.iter().map(|server| server.id.as_str());
        if !known().any(|known| known == id) {
            let hint = match names::nearest(id, known()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known: {}", names::list(known())),
            };
            let message = format!("the gateway has no server {}", node.shown());
            problems.push(Problem::error(&node.span, pointer, message).hint(hint));
        }
    }
}

fn paths(node: &Node, problems: &mut Vec<Problem>) {
    let checks: [(&str, path::Check); 4] = [
        ("listeners[*].paths[*].path", path::check_context_path),
        ("listeners[*].paths[*].host", path::check_host),
        ("flows[*].selectors[*].path", path::check_flow_path),
        ("plans[*].flows[*].selectors[*].path", path::check_flow_path),
    ];
    for (pattern, check) in checks {
        for Place { pointer, node, .. } in places(node, pattern) {
            let Some(Err((message, hint))) = node.as_text().map(check) else { continue };
            problems.push(Problem::error(&node.span, pointer, format!("{} {message}", node.shown())).maybe_hint(hint));
        }
    }
}

/// Selectors of a flow must all match: two of a type contradict or repeat each other.
fn selectors(node: &Node, problems: &mut Vec<Problem>) {
    for pattern in ["flows[*].selectors", "plans[*].flows[*].selectors"] {
        for Place { pointer, node, .. } in places(node, pattern) {
            let kinds: Vec<&str> = node
                .items()
                .iter()
                .map(|item| item.field("type").and_then(Node::as_text).unwrap_or_default())
                .collect();
            for (at, item) in node.items().iter().enumerate() {
                let kind = kinds.get(at).copied().unwrap_or_default();
                if kinds.iter().take(at).any(|before| names::same(before, kind)) {
                    let message = format!("the flow has another selector of type {kind}: one of each is allowed");
                    let problem = Problem::error(&item.span, format!("{pointer}[{at}]"), message);
                    problems.push(problem.hint("write a second flow"));
                }
            }
        }
    }
}

/// One position of a path has one parameter in all flows: parameters are extracted once for all.
fn parameters(node: &Node, problems: &mut Vec<Problem>) {
    let mut seen: HashMap<String, (String, u32)> = HashMap::new();
    for pattern in ["flows[*].selectors[*].path", "plans[*].flows[*].selectors[*].path"] {
        for Place { pointer, node, .. } in places(node, pattern) {
            let mut before = String::new();
            for segment in node.as_text().unwrap_or_default().split('/').filter(|segment| !segment.is_empty()) {
                if let Some(name) = segment.strip_prefix(':') {
                    let (first, line) =
                        seen.entry(before.clone()).or_insert_with(|| (name.to_owned(), node.span.line)).clone();
                    if first != name {
                        let message =
                            format!("the parameter `:{name}` is `:{first}` in line {line}: one position has one name");
                        problems.push(Problem::error(&node.span, pointer.clone(), message));
                    }
                }
                before.push('/');
                before.push_str(if segment.starts_with(':') { ":" } else { segment });
            }
        }
    }
}

fn cors(node: &Node, problems: &mut Vec<Problem>) {
    for Place { pointer, node, .. } in places(node, "listeners[*].cors.allowOrigin[*]") {
        let Some(origin) = node.as_text().filter(|origin| *origin != "*") else { continue };
        if let Err(error) = Regex::new(&format!("^(?:{origin})$")) {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
            let message = format!("{} is neither an origin nor a regular expression: {reason}", node.shown());
            problems.push(Problem::error(&node.span, pointer, message));
        }
    }
}

fn health_checks(node: &Node, problems: &mut Vec<Problem>) {
    for pattern in ["endpointGroups[*].services.healthCheck", "endpointGroups[*].endpoints[*].services.healthCheck"] {
        for Place { pointer, node, .. } in places(node, pattern) {
            if node.field("enabled").and_then(Node::as_bool) == Some(false) {
                continue;
            }
            if let Some(kind) = node
                .field("type")
                .filter(|kind| kind.as_text().is_some_and(|kind| !names::same(kind, "http-health-check")))
            {
                let message = format!("{} is not a health check", kind.shown());
                let hint = "allowed: `http-health-check`";
                problems.push(Problem::error(&kind.span, format!("{pointer}.type"), message).hint(hint));
            }
            let Some(configuration) = node.field("configuration") else { continue };
            let pointer = format!("{pointer}.configuration");
            let found = crate::check::check::<HealthCheck>(configuration);
            problems.extend(found.into_iter().map(|problem| problem.below(&pointer)));
        }
    }
}
