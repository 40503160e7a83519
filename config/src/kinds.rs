//! What a document says, by its fields: one thing. What stood beside it would be read as a part of the other, or not at all.

use crate::node::{Node, Value};
use crate::problem::Problem;
use crate::{common, groups};

/// Kinds of documents in files that definitions are read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It lists applications.
    Applications,
    /// It says what APIs have in common.
    Common,
    /// It defines an API, alone or as an export wraps it.
    Definition,
}

/// Fields that definitions alone have.
const DEFINES: [&str; 2] = ["listeners", "endpointGroups"];

impl Kind {
    /// The kind of document that a field belongs to, where it belongs to one only.
    fn of_field(document: &Node, field: &str) -> Option<Self> {
        let has_parts = || DEFINES.iter().any(|field| document.field(field).is_some());
        match field {
            "applications" => Some(Self::Applications),
            _ if DEFINES.contains(&field) => Some(Self::Definition),
            "api" => document.field(field).filter(|api| matches!(api.value, Value::Map(_))).map(|_| Self::Definition),
            // One group, or one dictionary.
            "phase" => (groups::is_one(document) && !has_parts()).then_some(Self::Common),
            "type" => (common::is_dictionary(document) && !has_parts()).then_some(Self::Common),
            _ => common::FIELDS.contains(&field).then_some(Self::Common),
        }
    }
}

/// The kind of a document; without a field that tells it is a definition.
///
/// # Errors
/// It is two at once.
pub(crate) fn of(document: &Node) -> Result<Kind, Problem> {
    let Value::Map(entries) = &document.value else { return Ok(Kind::Definition) };
    let mut told = entries.iter().filter_map(|entry| Some((entry, Kind::of_field(document, &entry.key)?)));
    let Some((first, kind)) = told.next() else { return Ok(Kind::Definition) };
    match told.find(|(_, other)| *other != kind) {
        None => Ok(kind),
        Some((second, _)) => {
            let message = format!(
                "`{}` does not stand beside `{}` of line {}: a document lists applications, says what APIs have in common, or defines an API",
                second.key, first.key, first.span.line
            );
            let problem = Problem::error(&second.span, second.key.as_str(), message);
            Err(problem.hint("give it a document or a file of its own"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Source;

    fn kind(text: &str) -> Result<Kind, String> {
        let documents = crate::yaml::parse(&Source::new("a.yaml", text)).unwrap();
        of(&documents[0]).map_err(|problem| problem.to_string())
    }

    #[test]
    fn a_document_says_one_thing() {
        for (text, wanted) in [
            ("applications: []", Kind::Applications),
            ("platform: {}\ndictionaries: []", Kind::Common),
            ("{ apiType: PROXY, phase: REQUEST, steps: [] }", Kind::Common),
            ("{ id: d, type: MANUAL, properties: {} }", Kind::Common),
            ("{ type: PROXY, listeners: [], endpointGroups: [] }", Kind::Definition),
            ("{ type: MANUAL, listeners: [] }", Kind::Definition),
            ("{ export: {}, api: { name: a }, plans: [] }", Kind::Definition),
            ("{ name: a, api: b }", Kind::Definition),
            ("7", Kind::Definition),
        ] {
            assert_eq!(kind(text), Ok(wanted), "{text}");
        }
        for (text, place, beside) in [
            ("applications: []\nplatform: {}", "2:1", "`platform` does not stand beside `applications` of line 1"),
            ("dictionaries: []\napplications: []", "2:1", "`applications` does not stand beside `dictionaries`"),
            ("listeners: []\nname: a\nsharedPolicyGroups: []", "3:1", "`sharedPolicyGroups` does not stand beside"),
            ("api: { name: a }\napplications: []", "2:1", "`applications` does not stand beside `api`"),
            ("type: MANUAL\napplications: []", "2:1", "`applications` does not stand beside `type`"),
        ] {
            let told = kind(text).unwrap_err();
            assert!(told.starts_with(&format!("a.yaml:{place}: error: ")) && told.contains(beside), "{told}");
        }
    }
}
