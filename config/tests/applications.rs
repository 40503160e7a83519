//! Applications stand in files of their own, beside the definitions of the APIs that they are subscribed to.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, reason = "tests")]

use std::fs;

use ringway_config::Loader;
use ringway_config::Settings;

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
  - { name: Gold, security: { type: API_KEY }, status: PUBLISHED }
  - { name: Open, security: { type: KEY_LESS }, status: PUBLISHED }
";

/// What became of the APIs with these applications, and all problems but those about plans.
fn load(applications: &str) -> (Vec<ringway_config::api::Api>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("orders.yaml"), API).unwrap();
    fs::write(folder.path().join("people.yaml"), applications).unwrap();
    let loaded = Loader::default().load_with(Settings::default(), &[folder.path().to_owned()]);
    let problems = loaded.problems.iter().filter(|problem| !problem.pointer.starts_with("plans"));
    let problems =
        problems.map(|problem| format!("{}:{}: {}", problem.line, problem.pointer, problem.message)).collect();
    let apis = loaded.snapshot.map(|snapshot| snapshot.apis.iter().map(|api| (**api).clone()).collect());
    (apis.unwrap_or_default(), problems)
}

const SHOP: &str = "
applications:
  - id: shop
    metadata: { tier: gold, region: eu }
    subscriptions:
      - api: Orders
        plan: Gold
        metadata: { region: us }
        apiKeys:
          - key: correct-horse
          - { sha256: 67f8df04e77bfac6a27d3e12cbcf0b8cde27a7a2f66a8a5d9e8a5d9aa4ea9b80, expireAt: '2026-12-01T00:00:00Z' }
";

#[test]
fn an_application_is_a_subscriber_of_its_apis() {
    let (apis, problems) = load(SHOP);
    assert_eq!(problems, [""; 0]);
    let subscription = &apis[0].subscriptions[0];
    assert_eq!((subscription.id.as_str(), subscription.application.as_str()), ("shop-gold", "shop"));
    assert_eq!(subscription.keys.len(), 2);
    assert_eq!((&*subscription.metadata["tier"], &*subscription.metadata["region"]), ("gold", "us"));
    assert!(!format!("{apis:?}").contains("correct-horse"), "a key is not kept in clear");
}

#[test]
fn a_change_of_an_application_is_a_change_of_its_apis_only() {
    let fingerprint = |text: &str| load(text).0[0].fingerprint;
    let elsewhere = format!("{SHOP}  - id: other\n");
    assert_eq!(fingerprint(SHOP), fingerprint(&elsewhere));
    assert_ne!(fingerprint(SHOP), fingerprint(&SHOP.replace("correct-horse", "battery-staple")));
}

#[test]
fn what_is_wrong_is_said_where_it_stands() {
    for (from, to, problem) in [
        (
            "api: Orders",
            "api: Ordres",
            "6:applications[0].subscriptions[0].api: there is no API `Ordres` here: the subscription has no effect",
        ),
        ("plan: Gold", "plan: Godl", "7:applications[0].subscriptions[0].plan: the API has no plan `Godl`"),
        (
            "plan: Gold",
            "plan: Open",
            "6:applications[0].subscriptions[0]: has no effect: nobody needs a subscription to an open plan",
        ),
        ("key: correct-horse", "key: short", "10:applications[0].subscriptions[0].apiKeys[0].key"),
        (
            "  - id: shop",
            "  - id: shop\n  - id: shop",
            "4:applications[1].id: another application has the id `shop`, too",
        ),
        ("metadata: { tier", "metadta: { tier", "4:applications[0].metadta"),
    ] {
        let (_, problems) = load(&SHOP.replace(from, to));
        assert!(problems.iter().any(|known| known.starts_with(problem)), "{to}: {problems:#?}");
    }
    // One that shows nothing is never recognised.
    let (keys, _) = SHOP.split_once("        apiKeys").unwrap();
    let (_, problems) = load(keys);
    assert!(problems[0].contains("`apiKeys` is missing"), "{problems:?}");
}

#[test]
fn what_is_archived_is_not_served() {
    let (apis, _) = load(&SHOP.replace("- id: shop", "- id: shop\n    status: ARCHIVED"));
    assert_eq!(apis[0].subscriptions[0].withheld.as_deref(), Some("its application is archived"));
}
