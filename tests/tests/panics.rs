//! A bug that panics on one connection: everybody else is served on, and nothing of it is left behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code outside of test functions")]

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringway_config::{Hidden, Loader, Settings, Snapshot};
use ringway_contract::control::DataPlane;
use ringway_contract::kind::{Part, Registry};
use ringway_contract::{Exchange, Kind, Phases, Policy, Step};
use ringway_engine::StartOptions;
use ringway_tests::{Api, Backend, Client, wait_until};
use serde_json::json;

/// The bug.
struct Bug;

impl Policy for Bug {
    fn phases(&self) -> Phases {
        Phases { request: true, response: true, ..Phases::default() }
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        assert!(exchange.request.as_deref().is_none_or(|request| request.rest() != "/request"), "the bug of a request");
        Step::Next
    }

    fn response<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        assert!(exchange.response.as_deref().is_some_and(|head| head.status != 418), "the bug of a response");
        Step::Next
    }
}

static BUG: Kind<dyn Policy> = Kind {
    name: "bug",
    about: "Panics.",
    docs: "",
    configuration: Part::of::<serde_json::Value>(),
    shared: None,
    messaging: None,
    build: |_, _| Ok(Rc::new(Bug)),
};

static POLICIES: &[&Kind<dyn Policy>] = &[&BUG];

const REGISTRY: Registry = Registry {
    entrypoints: ringway_connectors::ENTRYPOINTS,
    pushes: ringway_connectors::PUSHES,
    endpoints: ringway_connectors::ENDPOINTS,
    brokers: ringway_connectors::BROKERS,
    fetch: ringway_connectors::fetch,
    dial: ringway_connectors::dial,
    metrics: |_| {},
    guards: ringway_policies::GUARDS,
    policies: POLICIES,
    reshape: None,
};

#[test]
fn a_panic_on_one_connection_takes_nothing_else_with_it() {
    let backend = Backend::replies(|head, _| {
        let status = if head.target() == "/response" { "418 Teapot" } else { "200 OK" };
        format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok")
    });
    let api = Api::proxy("/", &backend.target()).with(
        "flows",
        json!([{ "name": "all", "enabled": true, "request": [{ "policy": "bug", "enabled": true }],
                 "response": [{ "policy": "bug", "enabled": true }] }]),
    );
    let settings = "{\"shards\": 1, \"servers\": [{\"id\": \"http\", \"listen\": \"127.0.0.1:0\"}]}";
    let settings: Settings = serde_json::from_str(settings).unwrap();
    let catalogue = ringway_management::kinds::catalogue(&REGISTRY);
    let (apis, problems) = Loader::default().catalogue(&catalogue).definition("a.json", &api.json(), &settings);
    assert!(problems.is_empty(), "{problems:?}");
    let snapshot = Snapshot {
        settings,
        apis: apis.into_iter().map(Arc::new).collect(),
        dictionaries: Vec::new(),
        hidden: Hidden::default(),
        revision: 1,
    };
    let engine = ringway_engine::start(StartOptions { snapshot: Arc::new(snapshot), registry: REGISTRY }).unwrap();
    let address = engine.addresses()[0].1.parse().unwrap();

    let request = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut calm = Client::connect(address);
    calm.send(request("/before"));
    assert_eq!(calm.response().0.status(), 200);
    for target in ["/request", "/response", "/request", "/response"] {
        let mut other = Client::connect(address);
        other.send(request(target));
        assert_eq!(other.rest(), b"", "{target}: nobody can go on with what panicked");
    }
    calm.send(request("/after"));
    assert_eq!(calm.response().0.status(), 200, "who was connected before is served on");
    assert_eq!(Client::ask(address, &request("/new")).0.status(), 200, "and so are new ones");
    drop(calm);

    let figure = |name: &str| {
        let mut text = String::new();
        engine.metrics(&mut text);
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} in {text}"));
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    wait_until("each to be counted", || figure("ringway_panics_total") == 4.0);
    for gone in ["ringway_connections{", "ringway_exchanges{", "ringway_endpoint_connections_busy{"] {
        wait_until(gone, || figure(gone) == 0.0);
    }
    engine.drain(Duration::from_secs(10));
}
