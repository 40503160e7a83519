//! Message APIs: entrypoints and brokers, coupled.

mod brokers;
mod browser;
mod http_get;
mod http_post;
mod policies;
mod rabbitmq;
mod solace;
mod sse;
mod webhook;
mod websocket;

use ringway_tests::{Api, Gateway};
use serde_json::{Value, json};

/// An API at `/` with these entrypoints in front of a broker that makes messages up.
fn made_up(entrypoints: Value, mock: Value) -> Api {
    Api::messages("/", entrypoints, "mock", mock)
}

/// A gateway with one entrypoint in front of a broker that makes up a message every 10 ms.
fn gateway(kind: &str, qos: &str, configuration: Value) -> Gateway {
    let entrypoint = json!([{ "type": kind, "qos": qos, "configuration": configuration }]);
    Gateway::serving(&[made_up(entrypoint, json!({ "messageInterval": 10, "messageContent": "tick" }))])
}

#[test]
fn the_most_specific_entrypoint_of_a_path_takes_a_request() {
    let entrypoints = json!([{ "type": "http-get", "configuration": { "messagesLimitCount": 1 } }, { "type": "http-post" }, { "type": "sse" }]);
    let gateway = Gateway::serving(&[made_up(entrypoints, json!({ "messageInterval": 10 }))]);
    let ask = |request: &str| {
        let mut client = gateway.connect();
        client.send(request);
        client.head()
    };
    let stream = ask("GET / HTTP/1.1\r\nHost: a\r\nAccept: text/html, text/event-stream\r\n\r\n");
    assert_eq!(stream.field("content-type"), Some("text/event-stream;charset=UTF-8"));
    let collected = ask("GET / HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n");
    assert_eq!(collected.field("content-type"), Some("application/json"));
    assert_eq!(ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx").status(), 202);
    assert_eq!(ask("DELETE / HTTP/1.1\r\nHost: a\r\n\r\n").status(), 404);
}

#[test]
fn a_level_that_a_pair_does_not_have_is_refused_before_it_runs() {
    let api = made_up(json!([{ "type": "http-post", "qos": "AT_LEAST_ONCE" }]), json!({}));
    let log = Gateway::try_start(
        "shards: 1\nservers: [{ id: http, listen: '{http}' }]\nadmin: { listen: '{admin}' }\napis: [apis]\n",
        &[("a.json", &api.json())],
    )
    .unwrap_err();
    assert!(log.contains("`http-post` with `mock` has no AT_LEAST_ONCE"), "{log}");
    assert!(log.contains("allowed: NONE, AUTO"), "{log}");
}

#[test]
fn connectors_of_the_other_type_of_api_are_refused() {
    let api = made_up(json!([{ "type": "http-proxy" }]), json!({}));
    let log = Gateway::try_start(
        "shards: 1\nservers: [{ id: http, listen: '{http}' }]\nadmin: { listen: '{admin}' }\napis: [apis]\n",
        &[("a.json", &api.json())],
    )
    .unwrap_err();
    assert!(log.contains("`http-proxy` belongs to APIs of type PROXY, and this one is of type MESSAGE"), "{log}");
}

#[test]
fn the_place_of_grpc_is_known_and_what_it_comes_with_is_told() {
    let gateway = Gateway::serving(&[made_up(json!([{ "type": "sse" }, { "type": "grpc" }]), json!({}))]);
    assert_eq!(gateway.get("/").0.status(), 404);
    let log = gateway.log();
    assert!(log.contains("the entrypoint `grpc` comes with HTTP/2, in a later release"), "{log}");
}
