//! Definitions in every shape that they come in: both spellings, both formats, bare and as exports.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code outside of test functions")]

use std::path::{Path, PathBuf};

use ringway_config::api::{
    Api, ApiType, FlowMode, Listener, LoadBalancerType, PathOperator, PlanStatus, Qos, Selector,
};
use ringway_config::{Loader, Problem, Settings};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

#[track_caller]
fn read(name: &str) -> (Vec<Api>, Vec<Problem>) {
    let text = std::fs::read_to_string(fixture(name)).unwrap();
    Loader::default().definition(name, &text, &Settings::default())
}

/// The APIs of a text, and the problems as lines without positions.
#[track_caller]
fn parse(text: &str) -> (Vec<Api>, Vec<String>) {
    let (apis, problems) = Loader::default().definition("a", text, &Settings::default());
    (apis, problems.iter().map(|problem| format!("{}: {}", problem.pointer, problem.message)).collect())
}

#[track_caller]
fn no_errors(problems: &[Problem]) {
    let errors: Vec<String> =
        problems.iter().filter(|problem| problem.is_error()).map(|problem| format!("{problem:#}")).collect();
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}

#[test]
fn a_proxy_api_loads() {
    let (apis, problems) = read("orders.json");
    no_errors(&problems);
    let [api] = apis.as_slice() else { panic!("{apis:?}") };
    assert_eq!(
        (api.id.as_str(), api.name.as_str(), api.api_version.as_str(), api.kind),
        ("orders", "Orders", "1.0.0", ApiType::Proxy)
    );
    let [Listener::Http(http)] = api.listeners.as_slice() else { panic!("{:?}", api.listeners) };
    assert_eq!((http.paths[0].host.as_deref(), http.paths[0].path.as_str()), (Some("api.example.test"), "/orders/"));
    assert_eq!((http.cors.enabled, http.cors.max_age), (true, 600));
    assert_eq!((http.entrypoints[0].kind.as_str(), http.entrypoints[0].qos), ("http-proxy", Qos::Auto));
    let group = &api.endpoint_groups[0];
    assert_eq!(group.load_balancer.kind, LoadBalancerType::RoundRobin);
    assert_eq!(
        group
            .shared_configuration
            .as_ref()
            .unwrap()
            .field("http")
            .unwrap()
            .field("readTimeout")
            .unwrap()
            .as_number()
            .unwrap()
            .as_u64(),
        Some(10_000)
    );
    assert!(!group.endpoints[0].secondary && group.endpoints[1].secondary);
    assert!(group.endpoints[1].health_check(group).is_some(), "inherited");
    assert_eq!((api.failover.enabled, api.failover.max_retries, api.flow_execution.mode), (true, 2, FlowMode::Default));
    let Selector::Http(selector) = &api.flows[0].selectors[0] else { panic!() };
    assert_eq!((selector.path.as_str(), selector.path_operator), ("/", PathOperator::StartsWith));
    assert_eq!(api.flows[0].request[0].policy, "rate-limit");
    assert_eq!(api.response_templates["API_KEY_MISSING"].0[0].1.status, Some(401));
    assert_eq!((api.plans[0].status, api.plans[0].guard()), (PlanStatus::Published, Some("api-key")));
    assert_eq!(api.offered_plans().count(), 0, "an API key cannot be checked here: the plan is closed, not open");
    let warned: Vec<&str> = problems.iter().map(|problem| problem.pointer.as_str()).collect();
    assert_eq!(warned, ["plans", "plans[0]"]);
}

#[test]
fn both_spellings_and_both_formats_are_the_same_api() {
    let (mut json, _) = read("orders.json");
    let (mut yaml, problems) = read("orders-gateway.yaml");
    no_errors(&problems);
    for api in json.iter_mut().chain(&mut yaml) {
        (api.source, api.fingerprint) = (None, 0);
    }
    assert!(json == yaml, "{json:?}\n{yaml:?}");
}

#[test]
fn a_message_api_with_policies_on_messages_loads() {
    let (apis, problems) = read("telemetry.json");
    no_errors(&problems);
    assert_eq!(apis[0].idle, None);
    assert_eq!(apis[0].listeners.iter().map(Listener::name).collect::<Vec<_>>(), ["HTTP", "SUBSCRIPTION"]);
    assert_eq!(apis[0].listeners[1].entrypoints()[0].dlq.as_ref().unwrap().endpoint, "dead-letters");
    let pointers: Vec<&str> = problems.iter().map(|problem| problem.pointer.as_str()).collect();
    assert!(!pointers.iter().any(|pointer| pointer.starts_with("analytics")), "{pointers:?}");
    assert!(!pointers.iter().any(|pointer| pointer.starts_with("flows")), "{pointers:?}");
}

#[test]
fn an_export_loads_unchanged() {
    let (apis, problems) = read("export.json");
    no_errors(&problems);
    let api = &apis[0];
    assert_eq!(api.id, "6c530064-0b2c-4f26-9300-640b2cbf2601");
    assert_eq!((api.plans.len(), api.pages.len(), api.members.len(), api.metadata.len()), (1, 1, 1, 1));
    assert_eq!(api.plans[0].id, "a1");
    let kept = problems.iter().find(|problem| problem.message.starts_with("kept for the Console")).unwrap();
    assert!(kept.message.ends_with(": `members`, `metadata`, `pages`"), "{kept}");
}

const MINIMAL: &str = "
name: A
type: proxy
listeners: [{ type: http, paths: [{ path: /a }], entrypoints: [{ type: http-proxy }] }]
endpointGroups: [{ name: g, type: http-proxy, endpoints: [{ name: e, type: http-proxy, configuration: { target: http://b } }] }]
plans: [{ name: open, security: { type: key-less } }]
";

#[test]
fn the_least_that_can_be_said_is_served() {
    let (apis, problems) = parse(MINIMAL);
    assert_eq!(problems, [""; 0]);
    assert!(apis[0].is_served());
    assert_eq!(apis[0].offered_plans().map(|plan| plan.name.as_str()).collect::<Vec<_>>(), ["open"]);
    assert_eq!(apis[0].endpoint_groups[0].endpoints[0].weight, 1);
}

#[test]
fn several_definitions_stand_in_one_file() {
    let json = r#"[{"name": "A", "type": "PROXY", "listeners": [{"type": "HTTP", "paths": [{"path": "/a"}], "entrypoints": [{"type": "http-proxy"}]}], "endpointGroups": [{"name": "g", "type": "http-proxy"}]},
        {"api": {"name": "B", "type": "PROXY", "listeners": [{"type": "HTTP", "paths": [{"path": "/b"}], "entrypoints": [{"type": "http-proxy"}]}], "endpointGroups": [{"name": "g", "type": "http-proxy"}]}}]"#;
    let yaml = format!("{MINIMAL}---\n{}", MINIMAL.replace("/a", "/b").replace("name: A", "name: B"));
    for text in [json, &yaml] {
        let (apis, problems) = parse(text);
        assert_eq!(apis.iter().map(|api| api.id.as_str()).collect::<Vec<_>>(), ["a", "b"], "{problems:?}");
    }
}

#[test]
fn what_cannot_be_checked_is_never_open() {
    let plan = "security: { type: key-less }";
    let table = [
        ("security: { type: API_KEY }", "its security api-key comes with a later release"),
        ("security: { type: made-up }", "its security made-up comes with a later release"),
        ("status: STAGING, security: { type: KEY_LESS }", "it is in preparation"),
        ("status: closed, security: { type: KEY_LESS }", "it is closed"),
        ("mode: push", "push plans belong to APIs of type MESSAGE"),
        ("description: none", "it has no security: a standard plan needs one"),
    ];
    for (other, reason) in table {
        let (apis, problems) = parse(&MINIMAL.replace(plan, other));
        assert_eq!(apis[0].plans[0].withheld.as_deref(), Some(reason), "{other}: {problems:?}");
        assert!(apis[0].is_served() && apis[0].offered_plans().next().is_none());
        assert!(problems.iter().any(|problem| problem.contains("nobody may call this API")), "{other}: {problems:?}");
    }
    let deprecated = MINIMAL.replace(plan, "status: DEPRECATED, security: { type: KEY_LESS }");
    assert_eq!(parse(&deprecated).0[0].offered_plans().count(), 1);
}

#[test]
fn what_would_do_other_than_it_says_is_not_served() {
    let table = [
        ("state: STOPPED", "it is stopped"),
        (
            "flows: [{ connect: [{ policy: mock }] }]",
            "flows[0].entrypointConnect: `entrypointConnect` are not run: steps at the connection come with a later release",
        ),
    ];
    for (more, reason) in table {
        let (apis, problems) = parse(&format!("{MINIMAL}{more}"));
        assert_eq!(apis[0].idle.as_deref(), Some(reason), "{more}: {problems:?}");
    }
    for harmless in [
        "flows: [{ enabled: false, request: [{ policy: mock, condition: '{#x}' }] }]",
        "flows: [{ request: [{ enabled: false, policy: mock, condition: '{#x}' }] }]",
        "flows: [{ request: [{ policy: mock, condition: '' }] }]",
    ] {
        let (apis, problems) = parse(&format!("{MINIMAL}{harmless}"));
        assert!(apis[0].is_served() && problems.is_empty(), "{harmless}: {problems:?}");
    }
}

#[test]
fn conditions_are_compiled_with_the_definition() {
    for (more, wanted) in [
        ("flows: [{ selectors: [{ type: CONDITION, condition: '{#x}' }] }]", "flows[0].selectors[0].condition: "),
        (
            "flows: [{ request: [{ policy: mock, condition: '{#response.status == 1}' }] }]",
            "flows[0].request[0].condition: ",
        ),
        (
            "flows: [{ response: [{ policy: mock, condition: '{#request.mehtod}' }] }]",
            "flows[0].response[0].condition: ",
        ),
    ] {
        let (apis, problems) = parse(&format!("{MINIMAL}{more}"));
        assert!(apis.is_empty() && problems[0].contains(wanted), "{more}: {problems:?}");
    }
    let (_, problems) =
        parse(&format!("{MINIMAL}flows: [{{ request: [{{ policy: mock, condition: '{{#request.mehtod}}' }}] }}]"));
    assert!(problems[0].contains("`#request` has no `mehtod`"), "{problems:?}");
    let (apis, problems) = parse(&format!(
        "{MINIMAL}flows: [{{ response: [{{ policy: mock, condition: '{{#response.status == 1}}' }}] }}]"
    ));
    assert!(apis[0].is_served() && problems.is_empty(), "{problems:?}");
}

#[test]
fn older_names_are_read() {
    let (apis, problems) = parse(&MINIMAL.replace("type: proxy", "type: sync\nversion: 1.10\ngravitee: 4.0.0"));
    assert_eq!(problems, ["type: `sync` is the name of an older release: read as `PROXY`"]);
    assert_eq!(apis[0].api_version, "1.10");
    let (apis, _) = parse(&MINIMAL.replace("type: proxy", "type: async"));
    assert_eq!(apis[0].kind, ApiType::Message);
    let (_, problems) = parse(r#"{"gravitee": "2.0.0", "name": "A", "proxy": {}}"#);
    assert_eq!(problems, ["definitionVersion: this is a definition of version 2, and version 4 is read"]);
}

#[test]
fn overrides_are_laid_over_what_is_inherited() {
    let text = MINIMAL.replace("type: http-proxy, endpoints: [{ name: e,", "type: http-proxy, sharedConfiguration: { http: { readTimeout: 1, connectTimeout: 2 }, headers: [{ name: a }] }, endpoints: [{ name: e, inheritConfiguration: true, sharedConfigurationOverride: { http: { readTimeout: 3 } },");
    let (apis, _) = parse(&text);
    let group = &apis[0].endpoint_groups[0];
    let shared = group.endpoints[0].shared_configuration(group).unwrap();
    assert_eq!(
        format!("{shared:?}"),
        r#"{"http": {"readTimeout": 3, "connectTimeout": 2}, "headers": [{"name": "a"}]}"#
    );
    let mut alone = group.endpoints[0].clone();
    alone.inherit_configuration = false;
    assert_eq!(format!("{:?}", alone.shared_configuration(group).unwrap()), r#"{"http": {"readTimeout": 3}}"#);
}

#[test]
fn the_fingerprint_tells_what_has_changed() {
    let print = |text: &str| parse(text).0[0].fingerprint;
    let base = print(MINIMAL);
    assert_eq!(base, print(&format!("# moved\n\n{MINIMAL}")), "positions do not count");
    assert_ne!(base, print(&MINIMAL.replace("http://b", "http://c")));
}
