//! Conflicts between APIs: two that want the same requests on the same server, and two with one id.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::definition::Definition;
use crate::names;
use crate::node::{Node, Span};
use crate::path;
use crate::problem::Problem;
use crate::tags;

/// A context path of an API.
struct Route<'a> {
    /// Servers that it is restricted to; none for all.
    servers: Vec<&'a str>,
    span: &'a Span,
    pointer: String,
    api: &'a str,
}

impl Route<'_> {
    fn shares_server(&self, other: &Self) -> bool {
        self.servers.is_empty() || other.servers.is_empty() || self.servers.iter().any(|id| other.servers.contains(id))
    }
}

/// Every context path that two want. APIs of other gateways want nothing here; stopped ones keep their paths.
pub(crate) fn conflicts(definitions: &[Definition]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut taken: HashMap<(String, String), Vec<Route<'_>>> = HashMap::new();
    for definition in
        definitions.iter().filter(|definition| definition.api.idle.as_deref() != Some(tags::OTHER_GATEWAY))
    {
        for (host, path, route) in routes(definition) {
            let others = taken.entry((path::normal_host(host), path::normal_path(path))).or_default();
            if let Some(other) = others.iter().find(|other| other.shares_server(&route)) {
                problems.push(conflict(host, path, &route, other));
            }
            others.push(route);
        }
    }
    problems
}

fn conflict(host: Option<&str>, path: &str, route: &Route<'_>, other: &Route<'_>) -> Problem {
    let host = host.map_or_else(String::new, |host| format!(" on host `{host}`"));
    let message = format!("the context path `{path}`{host} is taken by the API `{}`", other.api);
    let place = format!("{}:{}:{}", other.span.source.name, other.span.line, other.span.column);
    let hint = format!("it is given in {place}; choose another path or host, or other `servers`");
    Problem::error(route.span, route.pointer.clone(), message).hint(hint)
}

/// The context paths of an API: host, path and where they stand.
fn routes(definition: &Definition) -> Vec<(Option<&str>, &str, Route<'_>)> {
    let mut found = Vec::new();
    let listeners = definition.node.field("listeners").map_or(&[][..], Node::items);
    for (at, listener) in listeners.iter().enumerate() {
        if !listener.field("type").and_then(Node::as_text).is_some_and(|kind| names::same(kind, "HTTP")) {
            continue;
        }
        let servers: Vec<&str> =
            listener.field("servers").map_or(&[][..], Node::items).iter().filter_map(Node::as_text).collect();
        for (index, item) in listener.field("paths").map_or(&[][..], Node::items).iter().enumerate() {
            let path = item.field("path");
            let route = Route {
                servers: servers.clone(),
                span: &path.unwrap_or(item).span,
                pointer: format!("listeners[{at}].paths[{index}].path"),
                api: &definition.api.name,
            };
            found.push((
                item.field("host").and_then(Node::as_text),
                path.and_then(Node::as_text).unwrap_or("/"),
                route,
            ));
        }
    }
    found
}

/// Gives an id to each API that has none, made of its name, and finds ids that occur twice.
pub(crate) fn identify(definitions: &mut [Definition]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut taken: HashMap<String, Span> = HashMap::new();
    for Definition { api, node, .. } in definitions.iter().filter(|definition| !definition.api.id.is_empty()) {
        let span = node.field("id").or(node.field("hrid")).map_or(&node.span, |id| &id.span);
        match taken.entry(api.id.clone()) {
            Entry::Vacant(free) => {
                free.insert(span.clone());
            }
            Entry::Occupied(other) => {
                let other = other.get();
                let place = format!("{}:{}:{}", other.source.name, other.line, other.column);
                let message = format!("the id `{}` is taken by another API", api.id);
                problems.push(Problem::error(span, "id", message).hint(format!("it is given in {place}")));
            }
        }
    }
    for Definition { api, node, .. } in definitions.iter_mut().filter(|definition| definition.api.id.is_empty()) {
        let slug = names::slug(&api.name);
        let mut id = slug.clone();
        // Names need not be unique: the order of the files tells such APIs apart.
        for number in 2.. {
            if !taken.contains_key(&id) {
                break;
            }
            id = format!("{slug}-{number}");
        }
        taken.insert(id.clone(), node.span.clone());
        api.id = id;
    }
    problems
}
