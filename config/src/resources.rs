//! Resources of an API: what policies and guards share, named by their configurations.

use crate::catalogue::{Check, Extension, Owner};
use crate::names;
use crate::node::{Node, Value};
use crate::problem::Problem;

/// A field of a configuration that names a resource, or a list of such.
#[derive(Clone, Copy, Debug)]
pub struct ResourceUse {
    /// The field; with dots where it stands deeper.
    pub field: &'static str,
    /// Types of resources that may stand there, each with the check of its configuration.
    pub kinds: &'static [(&'static str, Check)],
}

/// What is wrong with the resources that the configuration of an extension names; `pointer` is the configuration's. Names of those that
/// are used are added to `used`.
pub(crate) fn check(
    (definition, owner): (&Node, Owner),
    extension: &Extension,
    configuration: &Node,
    pointer: &str,
    used: &mut Vec<String>,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let resources = definition.field("resources").map(Node::items).unwrap_or_default();
    let name = |resource: &Node| resource.field("name").and_then(Node::as_text).map(str::to_owned);
    for ResourceUse { field, kinds } in extension.resources {
        let Some(said) = field.split('.').try_fold(configuration, |node, name| node.field(name)) else { continue };
        let named: Vec<&Node> = if let Value::Seq(items) = &said.value { items.iter().collect() } else { vec![said] };
        for node in named {
            let Some(wanted) = node.as_text().filter(|text| !text.is_empty()) else { continue };
            let pointer = format!("{pointer}.{field}");
            let found = resources.iter().enumerate().find(|(_, resource)| name(resource).as_deref() == Some(wanted));
            let Some((at, resource)) = found else {
                let names: Vec<String> = resources.iter().filter_map(name).collect();
                let near = names::nearest(wanted, names.iter().map(String::as_str));
                let hint = near.map(|near| format!("did you mean `{near}`?"));
                let has_none =
                    if owner == Owner::Platform { "the platform has no resources:" } else { "the API has no resource" };
                let message = format!("{has_none} {}", node.shown());
                problems.push(Problem::error(&node.span, pointer, message).maybe_hint(hint));
                continue;
            };
            used.push(wanted.to_owned());
            let kind = resource.field("type").and_then(Node::as_text).unwrap_or_default();
            let Some((_, check)) = kinds.iter().find(|(known, _)| names::same(known, kind)) else {
                let known: Vec<&str> = kinds.iter().map(|(known, _)| *known).collect();
                let message = format!(
                    "the resource `{wanted}` is of type `{kind}`, and `{}` takes {}",
                    extension.name,
                    known.join(", ")
                );
                problems.push(Problem::error(&node.span, pointer, message));
                continue;
            };
            let below = format!("resources[{at}].configuration");
            let empty = Node::new(Value::Map(Vec::new()), resource.span.clone());
            let found = check(resource.field("configuration").unwrap_or(&empty));
            problems.extend(found.into_iter().map(|problem| problem.below(&below)));
        }
    }
    problems
}

/// Resources that nothing uses: they are not built.
pub(crate) fn unused(definition: &Node, used: &[String]) -> Vec<Problem> {
    let resources = definition.field("resources").map(Node::items).unwrap_or_default();
    let mut problems = Vec::new();
    for (at, resource) in resources.iter().enumerate() {
        let name = resource.field("name").and_then(Node::as_text).unwrap_or_default();
        let disabled = resource.field("enabled").and_then(Node::as_bool) == Some(false);
        if !disabled && !used.iter().any(|used| used == name) {
            let message = format!("the resource `{name}` has no effect: nothing here uses it");
            problems.push(Problem::warning(&resource.span, format!("resources[{at}]"), message));
        }
    }
    problems
}
