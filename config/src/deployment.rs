//! Expressions that mean the same for as long as a definition does: in what it says of its backends and resources, those of `#api` and
//! `#properties` are evaluated once, when it is read. Whatever needs a request is left as it is.

use std::borrow::Cow;

use ringway_expression::{Context, Field, Map, Root, Template, Value as Evaluated, Vocabulary};

use crate::node::{Node, Value};
use crate::problem::Problem;
use crate::walk;

/// What is known then. Endpoints and the node are asked for by requests, dictionaries change while an API is served; secrets have
/// been read already.
const KNOWN: Vocabulary = Vocabulary::deployment()
    .without(Root::Endpoints)
    .without(Root::Node)
    .without(Root::Dictionaries)
    .without(Root::Secrets);

/// The parts of a definition that are built when it is deployed.
const BUILT: [&str; 2] = ["endpointGroups", "resources"];

/// The API, as its definition has it.
struct Deployed {
    id: String,
    name: String,
    version: String,
    properties: Vec<(String, String)>,
}

impl Deployed {
    fn of(definition: &Node) -> Self {
        let text = |node: &Node, field: &str| {
            node.field(field).and_then(|value| value.as_text().map(str::to_owned)).unwrap_or_default()
        };
        let properties = definition.field("properties").map(Node::items).unwrap_or_default();
        let id = ["id", "hrid"].into_iter().map(|field| text(definition, field)).find(|id| !id.is_empty());
        Self {
            id: id.unwrap_or_default(),
            name: text(definition, "name"),
            version: text(definition, "apiVersion"),
            properties: properties.iter().map(|item| (text(item, "key"), text(item, "value"))).collect(),
        }
    }

    fn evaluate(&self, node: &mut Node, pointer: &str, problems: &mut Vec<Problem>) {
        let Value::String(text) = &mut node.value else { return };
        if !text.contains("{#") {
            return;
        }
        // What is no such expression, or none at all, is for whoever is built from it.
        let Ok(template) = Template::compile(text, &KNOWN) else { return };
        if template.as_text().is_some() {
            return;
        }
        let mut out = String::new();
        let evaluated = match template.evaluate(self) {
            Ok(Evaluated::Null) => Err("is nothing: the API has no such property".to_owned()),
            Ok(_) => template.render(self, &mut out).map_err(|error| error.to_string()),
            Err(error) => Err(format!("cannot be evaluated: {error}")),
        };
        match evaluated {
            Ok(()) => {
                *text = out;
                node.substituted = true;
            }
            Err(message) => problems.push(Problem::error(&node.span, pointer, message)),
        }
    }
}

impl Context for Deployed {
    fn field(&self, field: Field) -> Evaluated<'_> {
        match field {
            Field::ApiId => Evaluated::text(&self.id),
            Field::ApiName => Evaluated::text(&self.name),
            Field::ApiVersion => Evaluated::text(&self.version),
            _ => Evaluated::Null,
        }
    }

    fn entry(&self, map: Map, name: &str, index: usize) -> Evaluated<'_> {
        let known = self.properties.iter().find(|(known, _)| map == Map::Properties && index == 0 && known == name);
        known.map_or(Evaluated::Null, |(_, value)| Evaluated::Text(Cow::Borrowed(value)))
    }

    fn names(&self, map: Map, each: &mut dyn FnMut(&str)) {
        if map == Map::Properties {
            self.properties.iter().for_each(|(name, _)| each(name));
        }
    }
}

/// Evaluates what can be in a definition.
pub(crate) fn evaluate(definition: &mut Node, problems: &mut Vec<Problem>) {
    let deployed = Deployed::of(definition);
    let Value::Map(entries) = &mut definition.value else { return };
    for entry in entries.iter_mut().filter(|entry| BUILT.contains(&entry.key.as_str())) {
        let mut evaluate = |node: &mut Node, pointer: &str| deployed.evaluate(node, pointer, problems);
        walk::texts(&mut entry.value, &mut entry.key.clone(), &mut evaluate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Source;

    #[test]
    fn what_is_known_when_a_definition_is_read_is_evaluated_then() {
        let text = r##"{"id": "orders", "apiVersion": "2", "properties": [{"key": "host", "value": "b.test"}], "endpointGroups": [{"endpoints": [
            {"a": "http://{#api.properties['host']}:80/v{#api.version}", "b": ["{#properties.host.toUpperCase()}"],
             "c": "{#request.headers['x'][0]}", "d": "{#properties['host']} {#response.status == 200}", "e": "{#secrets.get('/a')}",
             "f": "{# no expression", "g": "[{#properties['none']}]", "h": "{#properties['none']}"}]}], "name": "{#api.id}"}"##;
        let mut root = crate::json::parse(&Source::new("a.json", text)).unwrap();
        let mut problems = Vec::new();
        evaluate(&mut root, &mut problems);
        let told: Vec<String> =
            problems.iter().map(|problem| format!("{}: {}", problem.pointer, problem.message)).collect();
        assert_eq!(told, ["endpointGroups[0].endpoints[0].h: is nothing: the API has no such property"]);
        let found = |pattern: &str| {
            let places = crate::walk::places(&root, &format!("endpointGroups[*].endpoints[*].{pattern}"));
            places.first().and_then(|place| place.node.as_text().map(|text| (text.to_owned(), place.node.substituted)))
        };
        for (pattern, wanted, evaluated) in [
            ("a", "http://b.test:80/v2", true),
            ("b[*]", "B.TEST", true),
            ("c", "{#request.headers['x'][0]}", false),
            ("d", "{#properties['host']} {#response.status == 200}", false),
            ("e", "{#secrets.get('/a')}", false),
            ("f", "{# no expression", false),
            ("g", "[]", true),
            ("h", "{#properties['none']}", false),
        ] {
            assert_eq!(found(pattern), Some((wanted.to_owned(), evaluated)), "{pattern}");
        }
        assert_eq!(root.field("name").and_then(Node::as_text), Some("{#api.id}"), "nothing else is touched");
    }
}
