//! Finds the places of a tree that a pattern such as `flows[*].request[*].condition` names.

use crate::groups;
use crate::node::{Node, Span, Value};

/// A place that a pattern named.
pub(crate) struct Place<'n> {
    /// Its pointer.
    pub(crate) pointer: String,
    /// Where it begins: at its key, if it has one.
    pub(crate) span: &'n Span,
    /// The value.
    pub(crate) node: &'n Node,
}

/// The places that `pattern` names: fields by name or `*`, items by `[*]`. Null is the same as absent. What is disabled (`enabled: false`) is
/// not looked into: it has no effect that could be missed. A step that stands for a shared policy group is not named itself; the steps that
/// it stands for are.
pub(crate) fn places<'n>(root: &'n Node, pattern: &str) -> Vec<Place<'n>> {
    let mut found = Vec::new();
    descend(root, &root.span, &steps(pattern), &mut String::new(), &mut found);
    found
}

/// The steps of a pattern: `a[*].b` is `a`, `[*]`, `b`.
pub(crate) fn steps(pattern: &str) -> Vec<&str> {
    pattern
        .split('.')
        .flat_map(|part| match part.split_once("[*]") {
            Some((name, _)) => [Some(name).filter(|name| !name.is_empty()), Some("[*]")],
            None => [Some(part), None],
        })
        .flatten()
        .collect()
}

fn descend<'n>(node: &'n Node, span: &'n Span, steps: &[&str], pointer: &mut String, found: &mut Vec<Place<'n>>) {
    let Some((step, rest)) = steps.split_first() else {
        found.push(Place { pointer: pointer.clone(), span, node });
        return;
    };
    if is_disabled(node) {
        return;
    }
    let length = pointer.len();
    if *step == "[*]" {
        for (at, item) in node.items().iter().enumerate() {
            pointer.push_str(&format!("[{at}]"));
            match groups::steps_of(item) {
                Some(_) if is_disabled(item) => {}
                Some(inner) => {
                    pointer.push_str(".steps");
                    descend(inner, &inner.span, steps, pointer, found);
                }
                None => descend(item, &item.span, rest, pointer, found),
            }
            pointer.truncate(length);
        }
        return;
    }
    for entry in node.entries() {
        if (*step == "*" || entry.key == *step) && !entry.value.is_null() {
            if length > 0 {
                pointer.push('.');
            }
            pointer.push_str(&entry.key);
            descend(&entry.value, &entry.span, rest, pointer, found);
            pointer.truncate(length);
        }
    }
}

/// Calls `each` with every text of a tree and its pointer, which begins with `pointer`.
pub(crate) fn texts(node: &mut Node, pointer: &mut String, each: &mut dyn FnMut(&mut Node, &str)) {
    let length = pointer.len();
    match &mut node.value {
        Value::Map(entries) => {
            for entry in entries {
                if length > 0 {
                    pointer.push('.');
                }
                pointer.push_str(&entry.key);
                texts(&mut entry.value, pointer, each);
                pointer.truncate(length);
            }
        }
        Value::Seq(items) => {
            for (at, item) in items.iter_mut().enumerate() {
                pointer.push_str(&format!("[{at}]"));
                texts(item, pointer, each);
                pointer.truncate(length);
            }
        }
        Value::String(_) => each(node, pointer),
        _ => {}
    }
}

fn is_disabled(node: &Node) -> bool {
    node.field("enabled").and_then(Node::as_bool) == Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Source;

    #[test]
    fn patterns_name_places() {
        let text = r#"{"a": [{"b": 1}, {"b": 2, "enabled": false}, {"b": null}], "c": {"x": {"d": 3}, "y": {"d": 4}}, "e": 5}"#;
        let root = crate::json::parse(&Source::new("a.json", text)).unwrap();
        let table = [("a[*].b", "a[0].b=1"), ("c.*.d", "c.x.d=3 c.y.d=4"), ("e", "e=5"), ("e.f", ""), ("a.b", "")];
        for (pattern, wanted) in table {
            let found: Vec<String> =
                places(&root, pattern).iter().map(|place| format!("{}={:?}", place.pointer, place.node)).collect();
            assert_eq!(found.join(" "), wanted, "{pattern}");
        }
        let key = u32::try_from(text.find("\"e\"").unwrap()).unwrap() + 1;
        assert_eq!(places(&root, "e")[0].span.column, key, "the key counts");
    }
}
