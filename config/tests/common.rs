//! What APIs have in common stands beside their definitions, or in `ringway.yaml`: platform flows, shared policy groups, dictionaries.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, reason = "tests")]

use std::fs;

use ringway_config::api::{Api, Step};
use ringway_config::{Catalogue, Extension, Loaded, Loader, Node, Problem, Settings, load};

const API: &str = "
name: Orders
id: orders
type: PROXY
listeners:
  - type: HTTP
    paths: [{ path: /orders }]
    entrypoints: [{ type: http-proxy }]
endpointGroups:
  - name: main
    type: http-proxy
    endpoints: [{ name: a, type: http-proxy, configuration: { target: 'http://localhost:1' } }]
plans:
  - { name: Open, security: { type: KEY_LESS }, status: PUBLISHED }
flows:
  - request:
      - { policy: shared-policy-group-policy, configuration: { sharedPolicyGroupId: checks } }
      - { policy: mock, configuration: { status: '200' } }
    response:
      - { policy: shared-policy-group-policy, condition: '{#response.status == 200}', configuration: { hrid: marks } }
";

const GROUPS: &str = "
sharedPolicyGroups:
  - id: checks
    name: Checks
    apiType: PROXY
    phase: REQUEST
    steps:
      - { policy: SSL_ENFORCEMENT, condition: '{#dictionaries.countries.FR == null}' }
      - { policy: shared-policy-group-policy, configuration: { sharedPolicyGroupId: inner } }
  - { id: inner, name: Inner, apiType: proxy, phase: request, steps: [{ policy: latency }] }
  - { hrid: marks, name: Marks, apiType: PROXY, phase: RESPONSE, steps: [{ policy: transform-headers }] }
dictionaries:
  - { id: countries, properties: { FR: France } }
";

fn loaded(files: &[(&str, &str)]) -> Loaded {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let mut loaded = Loader::default().load_with(Settings::default(), &[folder.path().to_owned()]);
    let root = format!("{}/", folder.path().display());
    loaded.problems.iter_mut().for_each(|problem| problem.file = problem.file.replace(&root, ""));
    loaded
}

fn with(common: &str) -> Loaded {
    loaded(&[("common.yaml", common), ("orders.yaml", API)])
}

fn told(loaded: &Loaded) -> Vec<String> {
    loaded.problems.iter().map(ToString::to_string).collect()
}

/// The same without columns.
fn lines(loaded: &Loaded) -> Vec<String> {
    let line = |problem: &Problem| {
        problem.to_string().replacen(
            &format!(":{}:{}:", problem.line, problem.column),
            &format!(":{}:", problem.line),
            1,
        )
    };
    loaded.problems.iter().map(line).collect()
}

fn api(loaded: &Loaded) -> Api {
    let snapshot = loaded.snapshot.as_ref().unwrap_or_else(|| panic!("{:#?}", told(loaded)));
    (*snapshot.apis[0]).clone()
}

fn policies(steps: &[Step]) -> String {
    let one = |step: &Step| match &step.steps {
        Some(inner) => format!("({})", policies(inner)),
        None => step.policy.clone(),
    };
    steps.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[test]
fn steps_of_groups_are_put_in_place() {
    let loaded = with(GROUPS);
    assert_eq!(told(&loaded), [""; 0]);
    let flow = &api(&loaded).flows[0];
    assert_eq!(policies(&flow.request), "(ssl-enforcement (latency)) mock");
    assert_eq!(policies(&flow.response), "(transform-headers)");
    assert_eq!(flow.response[0].condition.as_deref(), Some("{#response.status == 200}"));
    // One document may be one group, as an export has it.
    let inner = r#"{"id": "x-1", "crossId": "checks", "name": "Exported", "apiType": "PROXY", "phase": "REQUEST", "version": 3,
                    "steps": [{"policy": "latency"}], "createdAt": "2026-01-01T00:00:00Z", "lifecycleState": "DEPLOYED"}"#;
    let rest = "sharedPolicyGroups: [{ id: marks, name: Marks, apiType: PROXY, phase: RESPONSE }]";
    let loaded = self::loaded(&[("a.json", inner), ("b.yaml", rest), ("orders.yaml", API)]);
    assert_eq!(told(&loaded), [""; 0]);
    assert_eq!(policies(&api(&loaded).flows[0].request), "(latency) mock");
    assert_eq!(policies(&api(&loaded).flows[0].response), "()");
}

#[test]
fn what_is_wrong_with_a_group_is_said_where_it_stands() {
    for (from, to, problem) in [
        (
            "- id: checks",
            "- id: cheks",
            "orders.yaml:17: error: flows[0].request[0].configuration.sharedPolicyGroupId: there is no shared policy group `checks` (did you mean `cheks`?)",
        ),
        (
            "phase: REQUEST",
            "phase: RESPONSE",
            "orders.yaml:17: error: flows[0].request[0].configuration.sharedPolicyGroupId: the shared policy group `Checks` is for the phase RESPONSE, and this is REQUEST",
        ),
        (
            "apiType: PROXY\n    phase: REQUEST",
            "apiType: MESSAGE\n    phase: REQUEST",
            "orders.yaml:17: error: flows[0].request[0].configuration.sharedPolicyGroupId: the shared policy group `Checks` is for APIs of type MESSAGE, and this is of type PROXY",
        ),
        (
            "apiType: PROXY\n    phase: REQUEST",
            "apiType: NATIVE\n    phase: REQUEST",
            "common.yaml:5: error: sharedPolicyGroups[0].apiType: APIs of type NATIVE have no flows here (allowed: `PROXY`, `MESSAGE`)",
        ),
        (
            "steps: [{ policy: latency }]",
            "steps: [{ policy: shared-policy-group-policy, configuration: { hrid: checks } }]",
            "common.yaml:10: error: sharedPolicyGroups[1].steps[0]: the group `inner` contains `checks`, which contains it",
        ),
        (
            "id: inner, name",
            "id: checks, name",
            "common.yaml:10: error: sharedPolicyGroups[1]: another shared policy group is called `checks`, too",
        ),
        (
            "sharedPolicyGroupId: inner",
            "sharedPolicyGroupld: inner",
            "common.yaml:9: error: sharedPolicyGroups[0].steps[1].configuration.sharedPolicyGroupld: unknown field",
        ),
        (
            "configuration: { sharedPolicyGroupId: inner }",
            "configuration: {}",
            "common.yaml:9: error: sharedPolicyGroups[0].steps[1].configuration: `sharedPolicyGroupId` is missing",
        ),
        (
            "policy: latency",
            "polcy: latency",
            "common.yaml:10: error: sharedPolicyGroups[1].steps[0].polcy: unknown field",
        ),
        ("FR == null", "FR.x(", "common.yaml:8: "),
        (
            "dictionaries.countries",
            "dictionaries.countires",
            "common.yaml:8: warning: sharedPolicyGroups[0].steps[0].condition: there is no dictionary `countires`: what it gives is nothing (did you mean `countries`?)",
        ),
    ] {
        let loaded = with(&GROUPS.replace(from, to));
        let told = lines(&loaded);
        assert!(told.iter().any(|known| known.starts_with(problem)), "{to}: {told:#?}");
        let places: Vec<(&String, u32, u32)> =
            loaded.problems.iter().map(|known| (&known.file, known.line, known.column)).collect();
        let mut once = places.clone();
        once.dedup();
        assert_eq!(places, once, "nothing is told twice: {told:#?}");
    }
    let flow = "flows:\n  - request:\n      - policy: shared-policy-group-policy\n        steps: []\n";
    let told = told(&loaded(&[("a.yaml", &format!("{}{flow}", API.split_once("flows:").unwrap().0))]));
    assert!(told.iter().any(|known| known.contains("steps: unknown field")), "{told:?}");
}

#[test]
fn groups_do_not_grow_without_bound() {
    let mut groups = String::from("sharedPolicyGroups:\n");
    let refer = |id: usize| {
        format!("{{ policy: shared-policy-group-policy, configuration: {{ sharedPolicyGroupId: g{id} }} }}")
    };
    for id in 0..40 {
        let steps = if id == 39 { "{ policy: latency }".to_owned() } else { [refer(id + 1), refer(id + 1)].join(", ") };
        groups += &format!("  - {{ id: g{id}, name: g, apiType: PROXY, phase: REQUEST, steps: [{steps}] }}\n");
    }
    let told = told(&loaded(&[("groups.yaml", &groups)]));
    assert!(told.iter().any(|known| known.contains("nested more than 16 deep")), "{told:#?}");
    let doubled: String =
        groups.lines().rev().take(14).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n");
    let told = self::told(&loaded(&[("groups.yaml", &format!("sharedPolicyGroups:\n{doubled}\n"))]));
    assert!(told.iter().any(|known| known.contains("and 1000 are the most")), "{told:#?}");
}

#[test]
fn a_change_of_what_is_common_is_a_change_of_its_apis_only() {
    let fingerprint = |common: &str| api(&with(common)).fingerprint;
    let base = fingerprint(GROUPS);
    assert_eq!(base, fingerprint(&GROUPS.replace("name: Inner", "name: Other")), "a name changes nothing");
    assert_eq!(base, fingerprint(&format!("{GROUPS}  - {{ id: cities }}\n")), "dictionaries change by themselves");
    assert_ne!(base, fingerprint(&GROUPS.replace("policy: latency", "policy: quota")));
    assert_ne!(
        base,
        fingerprint(&format!("{GROUPS}platform: {{ flows: [{{ request: [{{ policy: latency }}] }}] }}\n"))
    );
    let dictionary = |common: &str| with(common).snapshot.unwrap().dictionaries[0].fingerprint;
    assert_eq!(dictionary(GROUPS), dictionary(&GROUPS.replace("policy: latency", "policy: quota")));
    assert_ne!(dictionary(GROUPS), dictionary(&GROUPS.replace("France", "Frankreich")));
}

#[test]
fn ringway_yaml_takes_the_same() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("orders.yaml"), API).unwrap();
    let yaml = |more: &str| format!("apis: [orders.yaml]\n{}{more}", GROUPS.trim_start());
    let load = |text: &str| {
        let path = folder.path().join("ringway.yaml");
        fs::write(&path, text).unwrap();
        load(Some(&path))
    };
    let loaded =
        load(&yaml("platform: { flows: [{ request: [{ policy: LATENCY }] }], flowExecution: { mode: best-match } }\n"));
    assert_eq!(told(&loaded), [""; 0]);
    let api = api(&loaded);
    assert_eq!(policies(&api.flows[0].request), "(ssl-enforcement (latency)) mock");
    assert_eq!(policies(&api.platform.flows[0].request), "latency");
    let told = told(&load(&yaml("platform: { flow: [] }\n")));
    assert!(
        told.iter().any(|known| known.contains(": error: platform.flow: unknown field (did you mean `flows`?)")),
        "{told:#?}"
    );
}

fn problems(problem: fn(&Node) -> Vec<Problem>) -> Catalogue {
    let extension = |name, on_messages| Extension {
        name,
        configuration: problem,
        shared: None,
        examine: None,
        files: None,
        messaging: None,
        resources: &[],
        evaluated: &[],
        on_messages,
    };
    Catalogue {
        policies: vec![extension("latency", false), extension("transform-headers", true)],
        reshape: Some(|text| (text != "[]").then(|| "no specification".to_owned())),
        ..Catalogue::default()
    }
}

#[test]
fn the_platform_has_no_flow_that_cannot_be_run() {
    let catalogue = problems(|_| Vec::new());
    for (flow, problem) in [
        ("request: [{ policy: latency }], response: [{ policy: transform-headers }]", None),
        ("subscribe: [{ policy: transform-headers, messageCondition: '{#message.content == null}' }]", None),
        ("selectors: [{ type: CHANNEL, channel: / }, { type: HTTP, path: /a/:b }]", None),
        (
            "request: [{ policy: transform-header }]",
            Some(
                "common.yaml:1: error: platform.flows[0].request[0].policy: there is no policy `transform-header` (did you mean `transform-headers`?)",
            ),
        ),
        (
            "request: [{ policy: data-cache }]",
            Some(
                "common.yaml:1: error: platform.flows[0].request[0].policy: the policy `data-cache` comes with a later release",
            ),
        ),
        (
            "publish: [{ policy: latency }]",
            Some("common.yaml:1: error: platform.flows[0].publish[0]: `latency` does not act on messages"),
        ),
        (
            "connect: [{ policy: latency }]",
            Some("common.yaml:1: error: platform.flows[0].entrypointConnect: `entrypointConnect` are not run"),
        ),
        (
            "selectors: [{ type: HTTP, path: a }]",
            Some("common.yaml:1: error: platform.flows[0].selectors[0].path: `a` "),
        ),
        ("request: [{ policy: latency, condition: '{#message.id}' }]", Some("common.yaml:1: ")),
        ("reqest: []", Some("common.yaml:1: error: platform.flows[0].reqest: unknown field (did you mean `request`?)")),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("common.yaml"), format!("platform: {{ flows: [{{ {flow} }}] }}\n")).unwrap();
        let loaded =
            Loader::default().catalogue(&catalogue).load_with(Settings::default(), &[folder.path().to_owned()]);
        let root = format!("{}/", folder.path().display());
        let told: Vec<String> = lines(&loaded).iter().map(|known| known.replace(&root, "")).collect();
        match problem {
            None => assert_eq!(told, [""; 0], "{flow}"),
            Some(problem) => assert!(told.iter().any(|known| known.starts_with(problem)), "{flow}: {told:#?}"),
        }
        assert_eq!(loaded.snapshot.is_some(), problem.is_none(), "{flow}");
    }
    let told = told(&loaded(&[("a.yaml", "platform: {}"), ("b.yaml", "platform: {}")]));
    assert!(told[0].contains("platform: the platform has its flows elsewhere"), "{told:?}");
}

#[test]
fn dictionaries_are_checked() {
    let catalogue = problems(|_| Vec::new());
    let dynamic = "id: d, type: DYNAMIC, trigger: { rate: 5, unit: SECONDS }, provider: { type: HTTP, configuration: { url: 'http://a' } }";
    for (text, problem) in [
        ("id: d, properties: { a: b, c: 1 }".to_owned(), None),
        ("name: Some Words".to_owned(), None),
        (dynamic.to_owned(), None),
        (dynamic.replace("url: 'http://a'", "url: 'http://a', specification: '[]'"), None),
        (
            dynamic.replace("url: 'http://a'", "url: 'http://a', specification: 'x'"),
            Some("provider.configuration.specification: no specification"),
        ),
        (dynamic.replace("http://a", "ftp://a"), Some("provider.configuration.url: begins neither")),
        (dynamic.replace("rate: 5", "rate: 0"), Some("trigger.rate: ")),
        (dynamic.replace("SECONDS", "SECOND"), Some("trigger.unit: ")),
        (dynamic.replace("trigger: { rate: 5, unit: SECONDS }, ", ""), Some("trigger: `trigger` is missing")),
        (dynamic.replace("DYNAMIC", "MANUAL"), Some("provider: a dictionary of type MANUAL has no `provider`")),
        ("properties: {}".to_owned(), Some("`id` is missing")),
        ("id: d, propertis: {}".to_owned(), Some("propertis: unknown field (did you mean `properties`?)")),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.yaml"), format!("dictionaries: [{{ {text} }}]\n")).unwrap();
        let loaded =
            Loader::default().catalogue(&catalogue).load_with(Settings::default(), &[folder.path().to_owned()]);
        let told = told(&loaded);
        match problem {
            None => assert_eq!(told, [""; 0], "{text}"),
            Some(problem) => assert!(told.iter().any(|known| known.contains(problem)), "{text}: {told:#?}"),
        }
    }
    let twice = told(&loaded(&[("a.yaml", "dictionaries: [{ id: d }, { key: d, id: x }]")]));
    assert!(twice[0].contains("dictionaries[1]: another dictionary is called `d`, too"), "{twice:?}");
    let one = r#"{"id": "x-7", "key": "countries", "name": "Countries", "type": "MANUAL", "properties": {"FR": "France"}, "state": "STARTED", "createdAt": 1}"#;
    let loaded = loaded(&[("d.json", one)]);
    assert_eq!(told(&loaded), [""; 0]);
    assert_eq!(loaded.snapshot.unwrap().dictionaries[0].id, "countries");
}

#[test]
fn one_file_is_checked_with_what_stands_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("orders.yaml"), API).unwrap();
    let check = || -> Vec<String> {
        let problems = Loader::default().check(&[path("orders.yaml")]);
        problems.iter().map(|problem| format!("{}: {}", problem.pointer, problem.message)).collect()
    };
    assert!(check().iter().any(|told| told.contains("there is no shared policy group `checks`")), "{:?}", check());
    fs::write(path("common.yaml"), GROUPS).unwrap();
    // Other definitions beside it, and what is wrong with them, are not asked for.
    fs::write(path("other.yaml"), API.replace("type: PROXY", "type: PROXIES")).unwrap();
    fs::write(path("broken.json"), "{").unwrap();
    fs::write(path("groups.yaml"), "sharedPolicyGroups: [{ name: Nameless }]").unwrap();
    assert_eq!(check(), [""; 0]);
    // What is said of both files is said when both are.
    let both = Loader::default().check(&[path("orders.yaml"), path("groups.yaml")]);
    assert!(both.iter().all(|problem| problem.file.ends_with("groups.yaml")) && !both.is_empty(), "{both:?}");
}

#[test]
fn a_document_that_says_two_things_is_told_of() {
    let people = "applications: [{ id: shop }]\n";
    let beside = format!("{people}platform: {{ flows: [] }}\n");
    let told = lines(&loaded(&[("people.yaml", &beside)]));
    let wanted = "people.yaml:2: error: platform: `platform` does not stand beside `applications` of line 1: ";
    assert!(
        matches!(&*told, [only] if only.starts_with(wanted) && only.contains("a document or a file of its own")),
        "{told:#?}"
    );
    let definition = format!("{API}dictionaries: []\n");
    let told = lines(&loaded(&[("orders.yaml", &definition)]));
    assert!(
        matches!(&*told, [only] if only.contains("`dictionaries` does not stand beside `listeners` of line 5")),
        "{told:#?}"
    );
    // In documents of their own they are read, be it in one file.
    let apart = loaded(&[("all.yaml", &format!("{people}---\nplatform: {{ flows: [] }}\n---\n{GROUPS}---\n{API}"))]);
    assert_eq!((told_of_errors(&apart), apart.snapshot.map(|snapshot| snapshot.apis.len())), (0, Some(1)));
}

fn told_of_errors(loaded: &Loaded) -> usize {
    loaded.problems.iter().filter(|problem| problem.is_error()).count()
}
