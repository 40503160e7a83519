//! The command line: what it prints, where, and how it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code outside of test functions")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

struct Said {
    code: i32,
    out: String,
    err: String,
}

fn ringway(arguments: &[&str]) -> Said {
    ringway_in(Path::new("."), arguments)
}

fn ringway_in(folder: &Path, arguments: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
    command.args(arguments).current_dir(folder).env_remove("NO_COLOR").env_remove("RINGWAY_CONFIG");
    let output = command.output().unwrap();
    Said {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A definition whose flow has the given step.
fn definition(step: &str) -> String {
    format!(
        "definitionVersion: V4
type: PROXY
name: Orders
apiVersion: \"1\"
listeners:
  - type: HTTP
    paths: [{{ path: /orders }}]
    entrypoints: [{{ type: http-proxy }}]
endpointGroups:
  - name: default
    type: http-proxy
    endpoints:
      - name: a
        type: http-proxy
        configuration: {{ target: \"http://127.0.0.1:9/\" }}
flows:
  - name: all
    request:
      - {step}
plans:
  - name: Open
    security: {{ type: KEY_LESS }}
"
    )
}

const GOOD: &str = "{ policy: mock, configuration: { status: \"200\" } }";

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

#[test]
fn without_arguments_it_says_where_to_begin() {
    let said = ringway(&[]);
    assert_eq!(said.code, 0);
    for command in ["ringway demo", "ringway check", "ringway run"] {
        assert!(said.out.contains(command), "{}", said.out);
    }
}

#[test]
fn the_help_tells_what_is_not_there_yet() {
    let said = ringway(&["--help"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    for missing in ["message APIs", "HTTP/2", "Console"] {
        assert!(said.out.contains(missing), "{}", said.out);
    }
}

#[test]
fn a_wrong_command_line_ends_with_64_and_a_proposal() {
    for (arguments, proposal) in [
        (&["chek"][..], "check"),
        (&["list", "polices"], "policies"),
        (&["run", "--confg", "x"], "--config"),
        (&["check"], "<PATH>"),
    ] {
        let said = ringway(arguments);
        assert_eq!((said.code, said.out.as_str()), (64, ""), "{arguments:?}");
        assert!(said.err.contains(proposal), "{arguments:?}: {}", said.err);
    }
}

#[test]
fn extensions_are_listed_as_a_table_and_as_json() {
    for (what, name) in
        [("entrypoints", "http-proxy"), ("endpoints", "http-proxy"), ("policies", "mock"), ("plans", "key-less")]
    {
        let table = ringway(&["list", what]);
        assert!(table.out.starts_with("NAME"), "{}", table.out);
        assert!(table.out.lines().any(|line| line.starts_with(name)), "{}", table.out);
        let listed = json(&ringway(&["list", what, "-o", "json"]).out);
        let found = listed.as_array().unwrap().iter().find(|kind| kind["name"] == name).unwrap();
        assert!(!found["about"].as_str().unwrap().is_empty());
    }
}

#[test]
fn schemas_are_printed_by_name() {
    let has = |name: &str, pointer: &str| {
        let said = ringway(&["schema", name]);
        assert_eq!(said.code, 0, "{}", said.err);
        assert!(json(&said.out).pointer(pointer).is_some(), "{name}: no {pointer}");
    };
    has("api", "/properties/endpointGroups");
    has("ringway", "/properties/servers");
    has("mock", "/policy/properties/status");
    has("mock", "/endpoint/properties/messageInterval");
    has("http-proxy", "/endpoint/configuration/properties/target");
    assert_eq!(ringway(&["schema"]).out, ringway(&["schema", "api"]).out);
    let said = ringway(&["schema", "mok"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("did you mean `mock`?"), "{}", said.err);
}

#[test]
fn completions_name_the_subcommands() {
    for shell in ["bash", "zsh", "fish"] {
        let said = ringway(&["completions", shell]);
        assert_eq!(said.code, 0);
        assert!(said.out.contains("check") && said.out.contains("demo"), "{shell}");
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    assert_eq!(ringway(&["version"]).out, format!("ringway {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(json(&ringway(&["version", "-o", "json"]).out)["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn a_good_definition_is_ok() {
    let folder = folder(&[("orders.yaml", &definition(GOOD))]);
    let said = ringway_in(folder.path(), &["check", "orders.yaml", "--strict"]);
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "ok\n", ""));
}

#[test]
fn every_problem_is_told_with_its_place_and_a_hint() {
    let folder = folder(&[
        ("policy.yaml", &definition("{ policy: mok }").replace("/orders", "/a").replace("Orders", "A")),
        (
            "option.yaml",
            &definition("{ policy: mock, configuration: { stats: 1 } }")
                .replace("/orders", "/b")
                .replace("Orders", "B"),
        ),
        ("field.yaml", &definition(GOOD).replace("endpointGroups", "endpointGroup")),
        ("broken.json", "{\"name\": "),
    ]);
    let said = ringway_in(folder.path(), &["check", "."]);
    assert_eq!(said.code, 1);
    for (place, hint) in [
        ("policy.yaml:19:", "`mock`"),
        ("option.yaml:19:", "`status`"),
        ("field.yaml:9:1", "`endpointGroups`"),
        ("broken.json:1:", ""),
    ] {
        let told = said.err.split("\n\n").any(|problem| problem.contains(place) && problem.contains(hint));
        assert!(told, "{place} {hint} is missing in:\n{}", said.err);
    }
    assert!(said.err.contains('^'), "{}", said.err);
    assert!(said.out.ends_with(" errors\n") || said.out.contains("errors,"), "{}", said.out);
}

#[test]
fn warnings_fail_only_when_it_is_strict() {
    let folder = folder(&[("orders.yaml", &definition("{ policy: rate-limit, configuration: {} }"))]);
    let said = ringway_in(folder.path(), &["check", "orders.yaml"]);
    assert_eq!((said.code, said.out.as_str()), (0, "ok, 1 warning\n"), "{}", said.err);
    assert_eq!(ringway_in(folder.path(), &["check", "orders.yaml", "--strict"]).code, 1);
}

#[test]
fn problems_are_data_when_asked_for() {
    let folder = folder(&[("a.yaml", &definition("{ policy: mok }"))]);
    let said = ringway_in(folder.path(), &["check", "a.yaml", "-o", "json"]);
    assert_eq!((said.code, said.err.as_str()), (1, ""));
    let told = json(&said.out);
    assert_eq!(told["errors"], 1);
    let problem = &told["problems"][0];
    assert_eq!(
        (&problem["file"], &problem["line"], &problem["severity"]),
        (&"a.yaml".into(), &19.into(), &"error".into())
    );
}

#[test]
fn settings_are_checked_with_what_they_name() {
    let settings = "servers: [{ id: http, listen: '127.0.0.1:0' }]\napis: [orders.yaml, missing.yaml]\n";
    let folder = folder(&[("ringway.yaml", settings), ("orders.yaml", &definition("{ policy: mok }"))]);
    let said = ringway_in(folder.path(), &["check", "ringway.yaml"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("ringway.yaml:2:"), "{}", said.err);
    assert!(said.err.contains("orders.yaml:19:"), "{}", said.err);
}

#[test]
fn what_a_gateway_would_not_start_with_is_a_problem() {
    let tls = "servers: [{ id: a, listen: '127.0.0.1:0', tls: { certificates: [{ cert: a.pem, key: a.key }] } }]\n";
    let bad = tls.replace("a.key", "a.pem");
    for (settings, wrong) in [
        ("logging: { level: loud }\n", "`loud` is no log level"),
        (tls, "a.key cannot be read"),
        (&*bad, "servers[0].tls: private key: "),
    ] {
        let folder = folder(&[("ringway.yaml", settings), ("a.pem", "")]);
        for path in ["ringway.yaml", "."] {
            let said = ringway_in(folder.path(), &["check", path]);
            assert_eq!(said.code, 1, "{settings}");
            assert!(said.err.contains("ringway.yaml:1:") && said.err.contains(wrong), "{}", said.err);
        }
    }
}

#[test]
fn what_is_wrong_around_a_gateway_is_told_with_all_else() {
    let settings = "shards: many\nlogging: { level: loud }\napis: [a.yaml]\n\
                    servers: [{ id: a, listen: '127.0.0.1:0', tls: { certificates: [{ cert: a.pem, key: a.key }], clientCa: . } }]\n";
    let folder = folder(&[("ringway.yaml", settings), ("a.yaml", &definition("{ policy: mok }"))]);
    let said = ringway_in(folder.path(), &["check", "."]);
    for wanted in [
        "ringway.yaml:1:9: error: shards",
        "ringway.yaml:2:19: error: logging.level: `loud`",
        "error: servers[0].tls.certificates[0].cert: ./a.pem cannot be read",
        "error: servers[0].tls.certificates[0].key: ./a.key cannot be read",
        "error: servers[0].tls.clientCa: . cannot be read",
        "a.yaml:19:",
    ] {
        assert!(said.err.contains(wanted), "{wanted}\n{}", said.err);
    }
}

#[test]
fn what_an_extension_would_refuse_is_a_problem() {
    let fine = definition("{ policy: mock }");
    let target = "http://";
    assert!(fine.contains(target) && ringway_in(folder(&[("a.yaml", &fine)]).path(), &["check", "a.yaml"]).code == 0);
    for (text, wrong) in [
        (fine.replacen(target, "ftp://", 1), "configuration.target: scheme `ftp`"),
        (
            definition("{ policy: mock, configuration: { status: 700 } }"),
            "configuration: status: it is not between 200 and 599",
        ),
        (
            definition("{ policy: transform-headers, configuration: { addHeaders: [{ name: 'a b', value: c }] } }"),
            "configuration: header `a b`",
        ),
    ] {
        let said = ringway_in(folder(&[("a.yaml", &text)]).path(), &["check", "a.yaml"]);
        assert!(said.code == 1 && said.err.contains(wrong), "{text}\n{}", said.err);
    }
}

#[test]
fn what_is_not_there_is_a_problem() {
    let said = ringway(&["check", "nowhere.yaml"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("nowhere.yaml"), "{}", said.err);
}

#[test]
fn colour_appears_only_when_it_is_forced_or_on_a_terminal() {
    let folder = folder(&[("a.yaml", &definition("{ policy: mok }"))]);
    assert!(!ringway_in(folder.path(), &["check", "a.yaml"]).err.contains('\u{1b}'));
    assert!(!ringway_in(folder.path(), &["--color", "never", "check", "a.yaml"]).err.contains('\u{1b}'));
    assert!(ringway_in(folder.path(), &["--color", "always", "check", "a.yaml"]).err.contains('\u{1b}'));
}

#[test]
fn nothing_is_served_with_a_bad_configuration() {
    let settings = "servers: [{ id: http, listen: '127.0.0.1:0' }]\nadmin: { enabled: false }\napis: [a.yaml]\n";
    let folder = folder(&[("ringway.yaml", settings), ("a.yaml", &definition("{ policy: mok }"))]);
    let said = ringway_in(folder.path(), &["run"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("a.yaml:19:") && said.err.contains("nothing was started"), "{}", said.err);
    let said = ringway_in(folder.path(), &["run", "--config", "elsewhere.yaml"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("elsewhere.yaml"), "{}", said.err);
}

/// The generated pages of a folder.
fn pages(folder: &Path) -> BTreeMap<PathBuf, String> {
    let generated = |text: &String| text.starts_with("<!-- Written by `ringway docs");
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let read = entries.filter_map(|path| Some((path.file_name()?.into(), fs::read_to_string(path).ok()?)));
    read.filter(|(_, text)| generated(text)).collect()
}

#[test]
fn the_committed_reference_is_what_the_program_says() {
    let fresh = TempDir::new().unwrap();
    assert_eq!(ringway(&["docs", fresh.path().to_str().unwrap()]).code, 0);
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference");
    let (wanted, found) = (pages(fresh.path()), pages(&committed));
    let stale: Vec<_> =
        wanted.iter().filter(|(name, text)| found.get(*name) != Some(text)).map(|(name, _)| name).collect();
    let left: Vec<_> = found.keys().filter(|name| !wanted.contains_key(*name)).collect();
    assert!(
        stale.is_empty() && left.is_empty(),
        "stale: {stale:?}, no longer written: {left:?}; run `cargo run -- docs docs/reference` and remove what is left over"
    );
}
