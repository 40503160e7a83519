//! One spelling for what definitions write in several: wrappings of exports, names of older releases, and fields that the Management API adds.
//!
//! It runs before the check, on the tree, so that the check and the types know only one spelling.

use crate::check::PROBLEMS_MAX;
use crate::names;
use crate::node::{Entry, Node, Value};
use crate::problem::Problem;
use crate::walk;

/// Another name for a field, or another spelling of its value.
struct Alias {
    /// The map that has the field; empty for the definition itself.
    map: &'static str,
    alias: &'static str,
    name: &'static str,
}

const ALIASES: [Alias; 6] = [
    Alias { map: "", alias: "version", name: "apiVersion" },
    Alias { map: "", alias: "gravitee", name: "definitionVersion" },
    Alias { map: "flows[*]", alias: "connect", name: "entrypointConnect" },
    Alias { map: "plans[*].flows[*]", alias: "connect", name: "entrypointConnect" },
    Alias { map: "subscriptions[*]", alias: "planId", name: "plan" },
    Alias { map: "subscriptions[*]", alias: "applicationId", name: "application" },
];

/// Fields that the Management API writes for itself: they tell a gateway nothing, and are left out.
const BOOKKEEPING: [(&str, &[&str]); 9] = [
    (
        "",
        &[
            "_links",
            "accessMode",
            "apiFeatures",
            "apiMedia",
            "apiPicture",
            "apiBackground",
            "background",
            "backgroundUrl",
            "createdAt",
            "created_at",
            "deployedAt",
            "deployed_at",
            "deploymentState",
            "disableMembershipNotifications",
            "environmentId",
            "environment_id",
            "executionMode",
            "export",
            "integrationId",
            "isReadOnly",
            "lastDeployedAt",
            "links",
            "organizationId",
            "organization_id",
            "originContext",
            "picture",
            "pictureUrl",
            "responseTemplatesEnabled",
            "updatedAt",
            "updated_at",
            "workflowState",
        ],
    ),
    (
        "plans[*]",
        &[
            "_links",
            "api",
            "apiId",
            "api_id",
            "closedAt",
            "closed_at",
            "createdAt",
            "created_at",
            "environmentId",
            "links",
            "needRedeployAt",
            "need_redeploy_at",
            "publishedAt",
            "published_at",
            "referenceId",
            "referenceType",
            "updatedAt",
            "updated_at",
        ],
    ),
    ("flows[*]", &["createdAt", "updatedAt"]),
    ("plans[*].flows[*]", &["createdAt", "updatedAt"]),
    ("flows[*].request[*]", &["id"]),
    ("flows[*].response[*]", &["id"]),
    ("metadata[*]", &["apiId", "createdAt", "hidden", "updatedAt"]),
    ("resources[*]", &["id"]),
    ("properties[*]", &["dynamicallyEncrypted"]),
];

/// Keys that stand beside `api` in an export.
const WRAPPING: [&str; 12] = [
    "apiBackground",
    "apiMedia",
    "apiPicture",
    "export",
    "flows",
    "groups",
    "members",
    "metadata",
    "pages",
    "plans",
    "primaryOwner",
    "resources",
];

/// Moves what stands beside `api` in an export into the API.
pub(crate) fn unwrap(document: Node, problems: &mut Vec<Problem>) -> Node {
    let is_export = document.field("api").is_some_and(|api| matches!(api.value, Value::Map(_)));
    let Value::Map(entries) = document.value else { return document };
    if !is_export {
        return Node { value: Value::Map(entries), ..document };
    }
    let (mut api, mut beside) = (None, Vec::new());
    for entry in entries {
        if entry.key == "api" {
            api = Some(entry.value);
        } else if WRAPPING.contains(&entry.key.as_str()) {
            beside.push(entry);
        } else if problems.len() < PROBLEMS_MAX {
            let hint = names::nearest(&entry.key, WRAPPING).map(|near| format!("did you mean `{near}`?"));
            problems
                .push(Problem::error(&entry.span, entry.key.as_str(), "unknown field beside `api`").maybe_hint(hint));
        }
    }
    let mut api = api.unwrap_or_else(|| Node::new(Value::Null, document.span.clone()));
    if let Value::Map(fields) = &mut api.value {
        for entry in beside {
            match fields.iter_mut().find(|field| field.key == entry.key) {
                Some(field) if field.value.is_empty() => *field = entry,
                Some(_) if entry.value.is_empty() => {}
                Some(field) => {
                    let message = format!("`{}` stands in `api` too, in line {}", entry.key, field.span.line);
                    problems.push(Problem::error(&entry.span, entry.key.as_str(), message));
                }
                None => fields.push(entry),
            }
        }
    }
    api
}

/// Brings a definition into the one spelling. What could mean something else is named in a warning.
pub(crate) fn settle(definition: &mut Node, problems: &mut Vec<Problem>) {
    for (map, fields) in BOOKKEEPING {
        each_map(definition, map, &mut |entries| entries.retain(|entry| !fields.contains(&entry.key.as_str())));
    }
    for Alias { map, alias, name } in &ALIASES {
        each_map(definition, map, &mut |entries| rename(entries, alias, name, problems));
    }
    each_map(definition, "", &mut |entries| {
        respell(entries, "definitionVersion", "4.0.0", "V4");
        problems.extend(respell(entries, "type", "sync", "PROXY"));
        problems.extend(respell(entries, "type", "async", "MESSAGE"));
    });
    each_map(definition, "listeners[*].entrypoints[*]", &mut |entries| {
        problems.extend(respell(entries, "qos", "balanced", "AUTO"));
        problems.extend(respell(entries, "qos", "at-best", "AUTO"));
    });
    each_map(definition, "plans[*]", &mut |entries| {
        respell(entries, "definitionVersion", "4.0.0", "V4");
    });
}

/// Fields that the Management API writes for itself into what APIs have in common; in documents, and in exports of one thing.
const COMMON_BOOKKEEPING: [&str; 8] = [
    "createdAt",
    "deployedAt",
    "environmentId",
    "lifecycleState",
    "organizationId",
    "originContext",
    "updatedAt",
    "version",
];

/// Brings what APIs have in common into the one spelling: the fields of a document or of settings, or a document that `is_one` of it.
pub(crate) fn settle_common(document: &mut Node, is_one: bool, problems: &mut Vec<Problem>) {
    let maps: &[&str] = if is_one { &[""] } else { &["sharedPolicyGroups[*]", "dictionaries[*]"] };
    for map in maps {
        each_map(document, map, &mut |entries| {
            entries.retain(|entry| !COMMON_BOOKKEEPING.contains(&entry.key.as_str()));
        });
    }
    for steps in
        ["steps[*]", "sharedPolicyGroups[*].steps[*]", "platform.flows[*].request[*]", "platform.flows[*].response[*]"]
    {
        each_map(document, steps, &mut |entries| entries.retain(|entry| entry.key != "id"));
    }
    each_map(document, "platform.flows[*]", &mut |entries| {
        entries.retain(|entry| !["createdAt", "updatedAt"].contains(&entry.key.as_str()));
        rename(entries, "connect", "entrypointConnect", problems);
    });
}

/// Whether a definition is of the format before v4, and where it says so.
pub(crate) fn is_v2(definition: &Node) -> Option<Problem> {
    let version = ["definitionVersion", "gravitee"].iter().find_map(|name| definition.field(name));
    let says = version.filter(|version| {
        version
            .as_text()
            .is_some_and(|text| names::same(text, "V2") || text.starts_with("2.") || text.starts_with("1."))
    });
    let looks = definition.field("proxy").filter(|_| version.is_none() && definition.field("listeners").is_none());
    let node = says.or(looks)?;
    let pointer = if says.is_some() { "definitionVersion" } else { "proxy" };
    let problem = Problem::error(&node.span, pointer, "this is a definition of version 2, and version 4 is read");
    Some(problem.hint("migrate the API to v4 in the Console that it comes from, and export it again"))
}

fn rename(entries: &mut Vec<Entry>, alias: &str, name: &str, problems: &mut Vec<Problem>) {
    let Some(at) = entries.iter().position(|entry| entry.key == alias) else { return };
    let known = entries.iter().find(|entry| entry.key == name).filter(|entry| !entry.value.is_null());
    match known {
        None => {
            entries.retain(|entry| entry.key != name);
            if let Some(entry) = entries.iter_mut().find(|entry| entry.key == alias) {
                entry.key = name.to_owned();
            }
        }
        Some(known) => {
            let same = entries.get(at).is_some_and(|entry| entry.value == known.value || entry.value.is_null());
            if let Some(entry) = entries.get(at).filter(|_| !same) {
                let message = format!("`{alias}` and `{name}` are the same, and differ");
                problems.push(Problem::error(&entry.span, alias, message));
            }
            entries.remove(at);
        }
    }
}

/// Writes another value for an older spelling; answers a warning for what has changed its name.
fn respell(entries: &mut [Entry], key: &str, old: &str, new: &str) -> Option<Problem> {
    let entry = entries.iter_mut().find(|entry| entry.key == key)?;
    let text = entry.value.as_text().filter(|text| names::same(text, old))?;
    let message = format!("`{text}` is the name of an older release: read as `{new}`");
    let problem = Problem::warning(&entry.value.span, key, message);
    entry.value.value = Value::String(new.to_owned());
    Some(problem)
}

/// Changes each map that `pattern` names; empty for the definition itself.
fn each_map(node: &mut Node, pattern: &str, change: &mut dyn FnMut(&mut Vec<Entry>)) {
    fn descend(node: &mut Node, steps: &[&str], change: &mut dyn FnMut(&mut Vec<Entry>)) {
        match (steps.split_first(), &mut node.value) {
            (None, Value::Map(entries)) => change(entries),
            (Some((&"[*]", rest)), Value::Seq(items)) => items.iter_mut().for_each(|item| descend(item, rest, change)),
            (Some((step, rest)), Value::Map(entries)) => {
                if let Some(entry) = entries.iter_mut().find(|entry| entry.key == *step) {
                    descend(&mut entry.value, rest, change);
                }
            }
            _ => {}
        }
    }
    let steps = if pattern.is_empty() { Vec::new() } else { walk::steps(pattern) };
    descend(node, &steps, change);
}

/// Whether a field of the definition itself has another name too.
pub(crate) fn is_renamed(name: &str) -> bool {
    ALIASES.iter().any(|alias| alias.map.is_empty() && alias.name == name)
}

/// The names that the schema has beside those of the types, so that editors take them too: map and names.
pub(crate) fn other_names() -> impl Iterator<Item = (&'static str, &'static str)> {
    let aliases = ALIASES.iter().map(|alias| (alias.map, alias.alias));
    aliases.chain(BOOKKEEPING.iter().flat_map(|(map, fields)| fields.iter().map(|field| (*map, *field))))
}
