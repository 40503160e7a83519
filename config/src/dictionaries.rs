//! Dictionaries: what is wrong with them, and which of them expressions name.

use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, LazyLock};

use regex::Regex;

use crate::api::{Dictionary, DictionaryType};
use crate::catalogue::Catalogue;
use crate::load;
use crate::node::{Node, Value};
use crate::problem::Problem;
use crate::{decode, names};

/// Adds a dictionary, whose node fits its schema, to those that are known.
pub(crate) fn add(
    node: &Node,
    pointer: &str,
    known: &mut Vec<Arc<Dictionary>>,
    catalogue: Option<&Catalogue>,
    problems: &mut Vec<Problem>,
) {
    let mut dictionary: Dictionary = match decode::read(node) {
        Ok(dictionary) => dictionary,
        Err(problem) => return problems.push(problem.below(pointer)),
    };
    let given = [dictionary.key.as_ref(), Some(&dictionary.id), dictionary.hrid.as_ref()];
    let name = given.into_iter().flatten().find(|name| !name.is_empty()).cloned();
    let Some(name) = name.or_else(|| Some(names::slug(&dictionary.name)).filter(|_| !dictionary.name.is_empty()))
    else {
        let message = "`id` is missing: expressions name the dictionary by it";
        return problems.push(Problem::error(&node.span, pointer, message));
    };
    dictionary.id = name;
    if known.iter().any(|other| other.id == dictionary.id) {
        let message = format!("another dictionary is called `{}`, too", dictionary.id);
        return problems.push(Problem::error(&node.span, pointer, message));
    }
    let mut found = Vec::new();
    sources(node, &dictionary, catalogue, &mut found);
    problems.extend(found.into_iter().map(|problem| problem.below(pointer)));
    let mut hasher = DefaultHasher::new();
    load::hash(node, &mut hasher);
    dictionary.fingerprint = hasher.finish();
    known.push(Arc::new(dictionary));
}

/// Looks at where the entries come from.
fn sources(node: &Node, dictionary: &Dictionary, catalogue: Option<&Catalogue>, problems: &mut Vec<Problem>) {
    if dictionary.kind == DictionaryType::Manual {
        for field in ["provider", "trigger"] {
            if let Some(given) = node.field(field) {
                let message = format!("a dictionary of type MANUAL has no `{field}`");
                problems.push(Problem::error(&given.span, field, message).hint("`type: DYNAMIC` has one"));
            }
        }
        return;
    }
    for field in ["provider", "trigger"] {
        if node.field(field).is_none() {
            let message = format!("`{field}` is missing: a dictionary of type DYNAMIC needs it");
            problems.push(Problem::error(&node.span, field, message));
        }
    }
    let Some(given) = node.field("provider").and_then(|provider| provider.field("configuration")) else { return };
    let Some(provider) = &dictionary.provider else { return };
    let at = |field: &str| (&given.field(field).unwrap_or(given).span, format!("provider.configuration.{field}"));
    let told = &provider.configuration;
    if !["http://", "https://"].iter().any(|scheme| told.url.starts_with(scheme)) {
        let (span, pointer) = at("url");
        problems.push(Problem::error(span, pointer, "begins neither with `http://` nor with `https://`"));
    }
    if told.use_system_proxy {
        let (span, pointer) = at("useSystemProxy");
        problems.push(Problem::warning(
            span,
            pointer,
            "`useSystemProxy` has no effect: no proxy of the system is known",
        ));
    }
    let refused = catalogue.and_then(|catalogue| catalogue.reshape).and_then(|reshape| reshape(&told.specification));
    if let Some(reason) = refused.filter(|_| !told.specification.trim().is_empty()) {
        let (span, pointer) = at("specification");
        problems.push(Problem::error(span, pointer, reason));
    }
}

/// Where a text names a dictionary: `#dictionaries['id']`, `#dictionaries.id` or `#dictionaries.get('id')`.
static NAMED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let quoted = r#"(?:'([^']*)'|"([^"]*)")"#;
    Regex::new(&format!(r"#dictionaries\s*(?:\[\s*{quoted}\s*\]|\.get\(\s*{quoted}\s*\)|\.([A-Za-z_][A-Za-z0-9_]*))"))
        .ok()
});

/// Warnings for dictionaries that expressions of a definition name and that are not there: what they give is nothing.
pub(crate) fn mentioned(definition: &Node, known: &[Arc<Dictionary>]) -> Vec<Problem> {
    let mut problems = Vec::new();
    look(definition, &mut String::new(), known, &mut problems);
    problems
}

fn look(node: &Node, pointer: &mut String, known: &[Arc<Dictionary>], problems: &mut Vec<Problem>) {
    let length = pointer.len();
    match &node.value {
        Value::Map(entries) => {
            for entry in entries {
                if length > 0 {
                    pointer.push('.');
                }
                pointer.push_str(&entry.key);
                look(&entry.value, pointer, known, problems);
                pointer.truncate(length);
            }
        }
        Value::Seq(items) => {
            for (at, item) in items.iter().enumerate() {
                pointer.push_str(&format!("[{at}]"));
                look(item, pointer, known, problems);
                pointer.truncate(length);
            }
        }
        Value::String(text) if text.contains("#dictionaries") => {
            let Some(named) = NAMED.as_ref() else { return };
            for id in named.captures_iter(text).filter_map(|found| found.iter().skip(1).flatten().next()) {
                let id = id.as_str();
                if known.iter().any(|dictionary| dictionary.id == id) {
                    continue;
                }
                let near = names::nearest(id, known.iter().map(|dictionary| dictionary.id.as_str()));
                let message = format!("there is no dictionary `{id}`: what it gives is nothing");
                let problem = Problem::warning(&node.span, pointer.clone(), message);
                problems.push(problem.maybe_hint(near.map(|near| format!("did you mean `{near}`?"))));
            }
        }
        _ => {}
    }
}
