//! Secrets of a real OpenBao, which speaks as a HashiCorp Vault does.

use std::net::TcpListener;

use ringway_tests::{Api, Backend, Gateway, OpenBao, wait_until};
use serde_json::{Value, json};

const KEY: &str = "{#secrets.get('/bao/secret/orders:key')}";

/// An API that tells its backend a text.
fn api(backend: &Backend, value: &str) -> Api {
    let set = json!({ "addHeaders": [{ "name": "X-Key", "value": value }] });
    let flows = json!([{ "request": [{ "policy": "transform-headers", "configuration": set }] }]);
    Api::proxy("/", &backend.target()).with("flows", flows)
}

/// Settings with a store.
fn settings(url: &str, more: &Value) -> String {
    let mut vault = json!({ "url": url, "token": OpenBao::ROOT });
    if let (Some(all), Some(more)) = (vault.as_object_mut(), more.as_object()) {
        all.extend(more.clone());
    }
    format!("secrets: {}\n", json!([{ "id": "bao", "type": "vault", "vault": vault }]))
}

fn put(store: &OpenBao, path: &str, entries: Value) {
    store.told("POST", &format!("secret/data/{path}"), &json!({ "data": entries }));
}

/// What a backend is told under these settings.
#[track_caller]
fn told(settings: &str, value: &str) -> String {
    let backend = Backend::ok("ok");
    let gateway = Gateway::configured(settings, &[api(&backend, value)]);
    assert_eq!(gateway.get("/").0.status(), 200);
    let told = backend.only().0.field("x-key").unwrap_or_default().to_owned();
    let config = gateway.ask_admin("GET", "/config").1;
    for text in [gateway.log(), config] {
        assert!(!text.contains(&told) && !text.contains(OpenBao::ROOT), "{text}");
    }
    told
}

/// Why a gateway does not start.
#[track_caller]
fn refused(settings: &str, value: &str) -> String {
    let backend = Backend::ok("ok");
    let yaml = format!(
        "servers: [{{ id: http, listen: '{{http}}' }}]\nadmin: {{ listen: '{{admin}}' }}\napis: [apis]\n{settings}"
    );
    let log = Gateway::try_start(&yaml, &[("0.json", &api(&backend, value).json())]).expect_err("no secret");
    assert!(!log.contains(OpenBao::ROOT), "{log}");
    log
}

#[test]
fn engines_of_both_versions_are_read_with_a_token() {
    let store = OpenBao::start();
    put(&store, "orders", json!({ "key": "key-of-version-2", "number": 12345 }));
    put(&store, "orders/deep%20er", json!({ "key": "key-further-down" }));
    store.told("POST", "old/orders", &json!({ "key": "key-of-version-1" }));
    let (two, one) = (settings(&store.url(), &json!({})), settings(&store.url(), &json!({ "kvEngine": "V1" })));
    assert_eq!(told(&two, KEY), "key-of-version-2");
    assert_eq!(told(&two, "{#secrets.get('/bao/secret/orders', 'number')}"), "12345");
    assert_eq!(told(&two, "{#secrets.get('/bao/secret/orders/deep er:key?renewable=true')}"), "key-further-down");
    assert_eq!(told(&one, "{#secrets.get('/bao/old/orders:key')}"), "key-of-version-1");
}

#[test]
fn tls_a_role_and_a_namespace_are_what_it_is_asked_with() {
    let store = OpenBao::start();
    put(&store, "orders", json!({ "key": "key-of-the-root" }));
    let (role, secret) = store.role();
    let login = json!({ "token": null, "ca": store.ca(), "appRole": { "roleId": role, "secretId": secret } });
    assert_eq!(told(&settings(&store.tls_url(), &login), KEY), "key-of-the-root");
    put(&store, "others", json!({ "key": "key-of-others" }));
    let log = refused(&settings(&store.tls_url(), &login), "{#secrets.get('/bao/secret/others:key')}");
    assert!(log.contains("forbids it (403)"), "{log}");
    let log = refused(&settings(&store.tls_url(), &json!({})), KEY);
    assert!(log.contains("cannot be asked: invalid peer certificate"), "{log}");
    let wrong = json!({ "token": null, "appRole": { "roleId": role, "secretId": "none" } });
    let log = refused(&settings(&store.url(), &wrong), KEY);
    assert!(log.contains("refuses the login (400)"), "{log}");

    store.told("POST", "sys/namespaces/team", &json!({}));
    store.told("POST", "team/sys/mounts/secret", &json!({ "type": "kv", "options": { "version": "2" } }));
    wait_until("the engine to be upgraded", || {
        let written = store.ask("POST", "team/secret/data/orders", &json!({ "data": { "key": "key-of-the-team" } }));
        written.0 == 200
    });
    assert_eq!(told(&settings(&store.url(), &json!({ "namespace": "team" })), KEY), "key-of-the-team");
}

#[test]
fn what_is_not_there_is_told_by_its_name() {
    let store = OpenBao::start();
    put(&store, "orders", json!({ "key": "key-of-orders", "list": ["a"] }));
    let yaml = settings(&store.url(), &json!({}));
    for (name, wanted) in [
        ("secret/none:key", "the secret `secret/none:key` of the provider `bao` is not there: the store has nothing"),
        ("secret/orders:kee", "hint: did you mean `key`?"),
        ("secret/orders:list", "the secret `secret/orders:list` of the provider `bao` is no text"),
        ("secret/orders", "has no key, which tells the value that is meant"),
        ("secret:key", "the path begins with the place of an engine"),
        ("secret/../sys/health:key", "a part of the path is none"),
    ] {
        let log = refused(&yaml, &format!("{{#secrets.get('/bao/{name}')}}"));
        assert!(log.contains(wanted) && log.contains("0.json:1:") && !log.contains("key-of-orders"), "{name}: {log}");
    }
    let log = refused(&settings(&store.url(), &json!({ "token": "none" })), KEY);
    assert!(log.contains("forbids it (403)"), "{log}");
    // Connections wait in its backlog, and nobody takes them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let log = refused(&settings(&url, &json!({ "timeout": 50 })), KEY);
    assert!(log.contains("does not answer within 50 ms"), "{log}");
}

#[test]
fn a_store_that_is_away_leaves_the_apis_as_they_are() {
    let mut store = OpenBao::start();
    put(&store, "orders", json!({ "key": "first-of-the-store" }));
    let backend = Backend::ok("ok");
    let gateway = Gateway::configured(&settings(&store.url(), &json!({})), &[api(&backend, KEY)]);
    let last = || {
        gateway.get("/");
        backend.seen().last().and_then(|(head, _)| head.field("x-key").map(str::to_owned))
    };
    assert_eq!(last().as_deref(), Some("first-of-the-store"));
    store.stop();
    let (status, text) = gateway.reload();
    assert!(status == 422 && text.contains("cannot be asked: "), "{status} {text}");
    assert_eq!(last().as_deref(), Some("first-of-the-store"));
    store.restart();
    put(&store, "orders", json!({ "key": "second-of-the-store" }));
    let (status, text) = gateway.reload();
    assert_eq!(status, 200, "{text}");
    assert_eq!(last().as_deref(), Some("second-of-the-store"));
    assert!(!gateway.log().contains("of-the-store"), "{}", gateway.log());
}
