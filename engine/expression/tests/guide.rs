//! The guide says what is so: its examples give what it says, and its bounds are those of the program.
#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

mod support;

use ringway_expression::{Root, Template, Vocabulary, limits};
use support::Sample;

const GUIDE: &str = include_str!("../../../docs/guide/expressions.md");

fn section(title: &str) -> &'static str {
    let start = GUIDE.find(title).unwrap_or_else(|| panic!("no section {title}"));
    let rest = &GUIDE[start + title.len()..];
    &rest[..rest.find("\n## ").unwrap_or(rest.len())]
}

/// What stands between backquotes.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn examples_give_what_is_said() {
    let rows: Vec<(&str, &str)> = GUIDE
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.strip_suffix("` |")?.split_once("` | `"))
        .filter(|(text, _)| text.contains('{'))
        .collect();
    assert!(rows.len() >= 9, "{rows:?}");
    for (text, wanted) in rows {
        let template = Template::compile(text, &Vocabulary::request()).unwrap();
        let mut out = String::new();
        template.render(&Sample, &mut out).unwrap();
        assert_eq!(out, wanted, "{text}");
    }
}

#[test]
fn roots_and_properties_are_there() {
    let everything = [Root::Message, Root::CalloutResponse, Root::UpstreamResponse, Root::AuthResponse]
        .into_iter()
        .fold(Vocabulary::error(), Vocabulary::with);
    let mut checked = 0;
    for row in section("## Roots").lines().filter(|line| line.starts_with("| `#")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let root = quoted(cells[0])[0];
        for property in quoted(cells[1]).into_iter().filter(|name| !cells[1].contains("those of") && *name != "plan") {
            if property.starts_with("gravitee.") {
                continue;
            }
            let text = format!("{{{root}.{property}}}");
            assert!(Template::compile(&text, &everything).is_ok(), "{text}");
            checked += 1;
        }
    }
    assert!(checked > 40, "{checked}");
}

#[test]
fn methods_are_there() {
    let mut checked = 0;
    let section = section("## Methods and functions");
    for name in quoted(&section[..section.find("* `#jsonPath").unwrap()]) {
        let compiles = |arguments: &str| {
            let text = format!("{{#request.jsonContent.x.{name}({arguments})}}");
            Template::compile(&text, &Vocabulary::request()).is_ok()
        };
        assert!(["", "'x'", "'x', 'y'"].into_iter().any(compiles), "{name}");
        checked += 1;
    }
    assert!(checked > 40, "{checked}");
}

#[test]
fn bounds_are_those_of_the_program() {
    let bounds = section("## Bounds").replace(',', "");
    let mib = |bytes: usize| format!("{} MiB", bytes >> 20);
    for bound in [
        mib(limits::TEMPLATE_BYTES_MAX),
        format!("{} expressions", limits::PIECES_MAX),
        format!("{} parts", limits::NODES_MAX),
        format!("included | {}", limits::DEPTH_MAX),
        format!("expression | {}", mib(limits::PATTERN_BYTES_MAX)),
        format!("path | {}", limits::PATH_STEPS_MAX),
        format!("evaluation | {}", limits::STEPS_MAX),
        format!("makes | {}", mib(limits::BYTES_MAX)),
        format!("reads | {}", limits::JSON_VALUES_MAX),
    ] {
        assert!(bounds.contains(&bound), "{bound}");
    }
}
