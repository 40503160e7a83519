//! What an operator sees: health, metrics, APIs, configuration, logs.

use ringway_tests::{Api, Authority, Backend, Client, Gateway, Port, tool, wait_until};
use serde_json::Value;

#[test]
fn health_config_and_apis_are_told() {
    let backend = Backend::ok("ok");
    let gateway = Gateway::serving(&[Api::proxy("/orders", &backend.target())]);
    for target in ["/health/live", "/health/ready"] {
        assert_eq!(gateway.ask_admin("GET", target).0, 200, "{target}");
    }
    let (status, text) = gateway.ask_admin("GET", "/apis");
    assert!(status == 200 && text.contains("test-orders"), "{status} {text}");
    let (status, text) = gateway.ask_admin("GET", "/config");
    assert!(status == 200 && text.contains(&gateway.http().to_string()), "{status} {text}");
    assert_eq!(gateway.ask_admin("GET", "/nothing").0, 404);
}

#[test]
fn metrics_count_what_happened() {
    let backend = Backend::ok("ok");
    let nobody = Port::new();
    let broken = format!("http://{}", nobody.address());
    let gateway = Gateway::serving(&[Api::proxy("/good", &backend.target()), Api::proxy("/bad", &broken)]);
    for _ in 0..5 {
        assert_eq!(gateway.get("/good").0.status(), 200);
    }
    for _ in 0..3 {
        assert_eq!(gateway.get("/bad").0.status(), 502);
    }
    gateway.get("/elsewhere");
    Client::ask(gateway.http(), "BAD\r\n\r\n");
    let responses = |api: &str, class: &str| {
        gateway.metric("ringway_api_responses_total", &[&format!("name=\"{api}\""), &format!("class=\"{class}\"")])
    };
    wait_until("the figures", || responses("test-good", "2xx") == 5.0 && responses("test-bad", "5xx") == 3.0);
    assert_eq!(gateway.metric("ringway_requests_total", &[]), 10.0);
    assert_eq!(gateway.metric("ringway_requests_rejected_total", &[]), 2.0);
    wait_until("closed connections to be counted out", || gateway.metric("ringway_connections", &[]) == 0.0);
    assert_eq!(gateway.metric("ringway_api_duration_seconds_count", &["name=\"test-good\""]), 5.0);
}

#[test]
fn metrics_are_what_prometheus_reads() {
    let backend = Backend::ok("ok");
    let gateway = Gateway::before(&backend.target());
    gateway.get("/");
    let (status, text) = gateway.ask_admin("GET", "/metrics");
    assert_eq!(status, 200);
    let mut families = std::collections::BTreeSet::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert!(families.insert(rest.split(' ').next().unwrap().to_owned()), "a family comes once: {line}");
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let name = series.split('{').next().unwrap();
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
            assert!(
                families.contains(name) || family.is_some_and(|name| families.contains(name)),
                "{line} has no TYPE before it"
            );
        }
    }
    assert!(families.len() > 10, "{families:?}");
}

#[test]
fn the_access_log_has_a_line_for_each_request() {
    let backend = Backend::ok("hello");
    for format in ["json", "common"] {
        let yaml = format!("logging: {{ access: {{ format: {format}, path: '{{dir}}/access.log' }} }}\n");
        let gateway = Gateway::configured(&yaml, &[Api::proxy("/", &backend.target())]);
        gateway.get("/a?b=c");
        // What a client makes up must not break out of its place in the line.
        gateway.get("/evil\"x");
        let log = || std::fs::read_to_string(gateway.folder().join("access.log")).unwrap_or_default();
        wait_until("the lines", || log().lines().count() == 2);
        let first = log().lines().next().unwrap().to_owned();
        if format == "json" {
            let line: Value = serde_json::from_str(&first).expect("a line is JSON");
            assert_eq!(line["status"], 200, "{line}");
            assert!(first.contains("\"GET\"") && first.contains("/a"), "{first}");
        } else {
            assert!(
                first.starts_with("127.0.0.1 ") && first.contains("\"GET /a") && first.contains("\" 200 "),
                "{first}"
            );
        }
    }
}

#[test]
fn the_log_level_can_be_changed_while_it_runs() {
    let backend = Backend::ok("ok");
    let gateway = Gateway::before(&backend.target());
    let (status, text) = gateway.ask_admin("GET", "/log-level");
    assert!(status == 200 && text.contains("info"), "{status} {text}");
    assert!((200..300).contains(&gateway.tell_admin("PUT", "/log-level", r#"{"level":"debug"}"#).0));
    assert!(gateway.ask_admin("GET", "/log-level").1.contains("debug"));
    let (status, _) = gateway.tell_admin("PUT", "/log-level", r#"{"level":"=,="}"#);
    assert!((400..500).contains(&status));
}

#[test]
fn no_secret_is_told_by_the_admin_port_or_the_log() {
    let authority = Authority::new();
    authority.sign("one.test");
    authority.openssl("pkcs12 -export -in one.test.pem -inkey one.test.key -out one.p12 -passout pass:hunter2-store");
    authority.openssl("pkcs12 -export -in one.test.pem -inkey one.test.key -out own.p12 -passout pass:hunter2-own");
    let yaml = format!(
        "logging: {{ level: debug }}\nservers:\n  - {{ id: http, listen: '{{http}}' }}\n  - id: https\n    listen: '{{tls}}'\n    \
         tls: {{ certificates: [{{ pkcs12: '{}', password: hunter2-store }}] }}\n",
        authority.path("one.p12")
    );
    let store = serde_json::json!({ "keyStore": { "type": "PKCS12", "path": authority.path("own.p12"), "password": "hunter2-own" } });
    let api = Api::proxy("/", "https://127.0.0.1:1").with("endpointGroups/0/sharedConfiguration/ssl", store);
    let gateway = Gateway::configured(&yaml, &[api]);
    assert_eq!(gateway.get("/").0.status(), 502);
    let config = gateway.ask_admin("GET", "/config").1;
    assert!(config.contains("one.p12") && config.contains("***"), "the setting is there, its secret is not: {config}");
    let mut told = vec![config, gateway.log()];
    told.extend(["/apis", "/shards", "/metrics", "/health/ready"].map(|target| gateway.ask_admin("GET", target).1));
    for text in told {
        assert!(!text.contains("hunter2-store") && !text.contains("hunter2-own"), "a secret in: {text}");
    }
}

#[test]
fn a_page_in_a_browser_cannot_use_the_admin_port() {
    let gateway = Gateway::before("http://127.0.0.1:1");
    let (admin, before) = (gateway.admin(), gateway.metric("ringway_reloads_total", &[]));
    for (request, status) in [
        // DNS rebinding: the page's own name in Host.
        (format!("GET /config HTTP/1.1\r\nHost: evil.test:{}\r\n", admin.port()), 421),
        ("POST /reload HTTP/1.1\r\nHost: evil.test\r\nX-Ringway-Admin: 1\r\nContent-Length: 0\r\n".to_owned(), 421),
        // A form that is posted across sites, and the preflight of a script.
        (format!("POST /reload HTTP/1.1\r\nHost: {admin}\r\nOrigin: https://evil.test\r\nContent-Length: 0\r\n"), 403),
        (
            format!(
                "OPTIONS /reload HTTP/1.1\r\nHost: {admin}\r\nOrigin: https://evil.test\r\n\
                 Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: x-ringway-admin\r\n"
            ),
            405,
        ),
    ] {
        let (head, _) = Client::ask(admin, &format!("{request}Connection: close\r\n\r\n"));
        assert_eq!(head.status(), status, "{request}");
        assert_eq!(head.field("access-control-allow-origin"), None, "{request}");
    }
    assert_eq!(gateway.metric("ringway_reloads_total", &[]), before, "nothing was reloaded");
}

#[test]
fn the_driver_that_won_is_told() {
    let backend = Backend::ok("ok");
    for (driver, wanted) in [("epoll", "epoll"), ("auto", "")] {
        let gateway = Gateway::configured(&format!("driver: {driver}\n"), &[Api::proxy("/", &backend.target())]);
        assert_eq!(gateway.get("/").1, b"ok", "driver {driver}");
        let (_, text) = gateway.ask_admin("GET", "/metrics");
        let line = text.lines().find(|line| line.starts_with("ringway_shard_info{")).expect("the driver of a shard");
        assert!(line.contains(wanted), "{line}");
    }
}

#[test]
fn check_tells_every_problem_with_its_place() {
    let folder = ringway_tests::Scratch::new("check");
    folder.write("good.json", &Api::proxy("/", "http://127.0.0.1:1").json());
    let bad = Api::proxy("/", "http://127.0.0.1:1").with("visibilty", serde_json::json!("PUBLIC")).json();
    let bad = bad.replace("\"endpoints\"", "\"endpointz\"").replace("KEY_LESS", "KEYLESS");
    let bad = folder.write("bad.json", &bad).display().to_string();
    let binary = ringway_tests::binary().display().to_string();
    let good = folder.join("good.json").display().to_string();
    assert_eq!(tool::run(&binary, ["check", &good]).code, 0);
    let said = tool::run(&binary, ["check", &good, &bad]);
    let text = format!("{}{}", said.out, said.err);
    assert_eq!(said.code, 1, "{text}");
    for part in ["bad.json:1:", "endpointz", "`endpoints`", "visibilty", "`visibility`", "KEYLESS"] {
        assert!(text.contains(part), "{part} is missing in: {text}");
    }
    assert!(!text.contains('\u{1b}'), "colours belong on a terminal only");
}
