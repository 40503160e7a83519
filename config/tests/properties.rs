//! What holds for any text: positions are where things stand, and nothing that is read makes a panic.
#![allow(clippy::expect_used, reason = "test code outside of test functions")]

use proptest::prelude::*;
use ringway_config::{Entry, Loader, Node, Settings, Value, schema_of_api, schema_of_ringway};

/// Any JSON value, not too large.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<u64>().prop_map(serde_json::Value::from),
        "[a-z$\\{\\}\"\\\\\u{e9}\u{1f600}\n\t ]{0,12}".prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(4, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
            prop::collection::btree_map("[a-z\u{e9}]{0,4}", inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Whether every node stands where its text begins.
fn stands_right(node: &Node, text: &str) {
    let line = text.lines().nth(node.span.line as usize - 1).expect("a line of the text");
    let from: String = line.chars().skip(node.span.column as usize - 1).collect();
    let begins = match &node.value {
        Value::Null => "null",
        Value::Bool(true) => "true",
        Value::Bool(false) => "false",
        Value::Number(number) => number.text(),
        Value::String(_) => "\"",
        Value::Seq(_) => "[",
        Value::Map(_) => "{",
    };
    assert!(from.starts_with(begins), "{begins} does not begin at {:?}: {from:?}", node.span);
    node.items().iter().for_each(|item| stands_right(item, text));
    for Entry { span, value, .. } in node.entries() {
        let line = text.lines().nth(span.line as usize - 1).expect("a line of the text");
        assert_eq!(line.chars().nth(span.column as usize - 1), Some('"'));
        stands_right(value, text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn json_comes_back_as_it_was_and_every_node_stands_where_it_says(value in json(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.expect("JSON");
        let node = Node::parse_json("a.json", &text).expect("what serde_json writes is JSON");
        prop_assert_eq!(node.to_json(), value);
        stands_right(&node, &text);
    }

    #[test]
    fn yaml_reads_json_alike(value in json()) {
        // Surrogate pairs are the one thing that YAML does not know; serde_json writes none.
        let text = serde_json::to_string(&value).expect("JSON");
        let documents = Node::parse_yaml("a.yaml", &text).expect("JSON is YAML");
        if value.is_null() {
            prop_assert!(documents.is_empty());
        } else {
            prop_assert_eq!(documents.first().map(Node::to_json), Some(value));
        }
    }

    #[test]
    fn nothing_makes_a_panic(text in "[-a-z0-9:{}\\[\\]\",'&*!|>#%@`$?\\\\ \n\t\u{e9}]{0,200}") {
        ringway_config::fuzz::definition(text.as_bytes());
    }

    #[test]
    fn no_damage_makes_a_panic(
        yaml in any::<bool>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), "[-a-z0-9:{}\\[\\]\",'&*$ \n]{0,3}"), 1..4),
    ) {
        let whole = if yaml { include_str!("fixtures/orders-gateway.yaml") } else { include_str!("fixtures/export.json") };
        let mut text = whole.to_owned();
        for (place, with) in damage {
            let at = place.index(text.len());
            if text.is_char_boundary(at) && text.is_char_boundary(at + 1) {
                text.replace_range(at..=at, &with);
            }
        }
        ringway_config::fuzz::definition(text.as_bytes());
    }

    #[test]
    fn no_definition_makes_a_panic(field in "(name|type|listeners|endpointGroups|flows|plans|api|state|tags|failover)", value in json()) {
        let mut definition: serde_json::Value = serde_json::from_str(include_str!("fixtures/orders.json")).expect("JSON");
        definition[&field] = value;
        ringway_config::fuzz::definition(definition.to_string().as_bytes());
    }
}

#[test]
fn the_schemas_stand_by_themselves() {
    for (schema, name) in [(schema_of_api(), "listeners"), (schema_of_ringway(), "servers")] {
        let schema = schema.to_value();
        assert!(schema["properties"][name].is_object(), "{schema}");
        let mut dangling = Vec::new();
        references(&schema, &schema, &mut dangling);
        assert_eq!(dangling, [""; 0]);
    }
    let api = schema_of_api().to_value();
    assert!(api["properties"]["version"].is_object() && api["properties"]["createdAt"].is_object());
    assert!(api["$defs"]["Plan"]["properties"]["publishedAt"].is_object());
    let rules = api["$defs"]["LoadBalancerType"].to_string();
    assert!(rules.contains("ROUND_ROBIN") && rules.contains("round-robin"), "{rules}");
    let none = Loader::default().definition("a", "", &Settings::default());
    assert!(none.0.is_empty() && none.1.is_empty());
}

fn references(schema: &serde_json::Value, root: &serde_json::Value, dangling: &mut Vec<String>) {
    match schema {
        serde_json::Value::Array(items) => items.iter().for_each(|item| references(item, root, dangling)),
        serde_json::Value::Object(object) => {
            if let Some(reference) = object.get("$ref").and_then(serde_json::Value::as_str) {
                let found = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
                dangling.extend(found.is_none().then(|| reference.to_owned()));
            }
            object.values().for_each(|value| references(value, root, dangling));
        }
        _ => {}
    }
}
