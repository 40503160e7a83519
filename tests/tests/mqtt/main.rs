//! The `mqtt5` endpoint before a real Mosquitto.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code outside of test functions")]

mod audits;
mod clients;
mod faults;
mod feeds;
mod groups;
mod pairs;
#[path = "../passages/mod.rs"]
mod passages;
mod policies;
mod solace;

use ringway_tests::{Api, Gateway, Head, Mosquitto, Peer};
use serde_json::{Value, json};

/// An API at `/` with one entrypoint before a broker's topic `t`.
fn api(entrypoint: Value, mosquitto: &Mosquitto) -> Api {
    at(entrypoint, "127.0.0.1", mosquitto.address().port())
}

fn at(entrypoint: Value, host: &str, port: u16) -> Api {
    Api::messages("/", json!([entrypoint]), "mqtt5", json!({ "serverHost": host, "serverPort": port }))
        .with("endpointGroups/0/endpoints/0/inheritConfiguration", json!(true))
        .with(
            "endpointGroups/0/sharedConfiguration",
            json!({ "consumer": { "topic": "t" }, "producer": { "topic": "t" } }),
        )
}

fn shared(api: Api, path: &str, value: Value) -> Api {
    api.with(&format!("endpointGroups/0/sharedConfiguration/{path}"), value)
}

fn post(gateway: &Gateway, headers: &str, body: &str) -> (Head, Vec<u8>) {
    let mut client = gateway.connect();
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()));
    client.response()
}

/// What a `GET` collects: the messages' contents.
fn collected(gateway: &Gateway, headers: &str) -> Vec<String> {
    let mut client = gateway.connect();
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n{headers}\r\n"));
    let (head, body) = client.response();
    assert_eq!(head.status(), 200, "{}", String::from_utf8_lossy(&body));
    let answer: Value = serde_json::from_slice(&body).unwrap();
    answer["items"].as_array().unwrap().iter().map(|item| item["content"].as_str().unwrap().to_owned()).collect()
}

/// A stream that has begun.
fn stream(gateway: &Gateway) -> Peer {
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n");
    assert_eq!(client.head().status(), 200);
    client
}

/// Reads until a mark has come; as text.
fn until(client: &mut Peer, mark: &str) -> String {
    String::from_utf8_lossy(&client.until(mark.as_bytes())).into_owned()
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}
