//! What stands around a case: keys, and the resources of the API.

use std::path::Path;

use ringway_contract::kind::Part;
use ringway_contract::{Node, Problem, Resource};

/// The text of a file of `tests/keys`.
pub fn key_file(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keys").join(name))
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The same, within a JSON text; of `path name`, the path of that file of `tests/data`.
pub fn json_text(name: &str) -> String {
    if let Some(name) = name.strip_prefix("path ") {
        return Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name).display().to_string();
    }
    key_file(name).replace('\n', "\\n")
}

/// What the PEM of such a file has.
pub fn der(name: &str) -> Vec<u8> {
    x509_parser::pem::parse_x509_pem(key_file(name).as_bytes()).expect("a PEM file").1.contents
}

/// The text with its `<file>` and `<now+seconds>` replaced.
pub fn filled(text: &str, file: impl Fn(&str) -> String) -> String {
    filled_at(text, 0, file)
}

/// The same, `skew` seconds later.
pub fn filled_at(text: &str, skew: i64, file: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        let (name, behind) = after.split_once('>').expect("`<name>`");
        out += before;
        let now = ringway_contract::subscriber::now_ms() as i64 / 1000 + skew;
        match name.strip_prefix("now") {
            Some("") => out += &now.to_string(),
            Some(seconds) => out += &(now + seconds.parse::<i64>().expect("seconds")).to_string(),
            None => out += &file(name),
        }
        rest = behind;
    }
    out + rest
}

/// Errors and warnings of the resources that a configuration names.
pub fn resource_problems(part: &Part, configuration: &Node, resources: &[Resource]) -> (String, String) {
    let mut problems: Vec<Problem> = Vec::new();
    for used in part.resources {
        let Some(said) = used.field.split('.').try_fold(configuration, |node, name| node.field(name)) else { continue };
        let names = if said.items().is_empty() { std::slice::from_ref(said) } else { said.items() };
        for name in names.iter().filter_map(Node::as_text) {
            let Some(resource) = resources.iter().find(|resource| resource.name == name) else { continue };
            let Some((_, check)) = used.kinds.iter().find(|(kind, _)| *kind == resource.kind) else { continue };
            problems.extend(resource.configuration.as_ref().into_iter().flat_map(check));
        }
    }
    super::told(problems)
}
