//! What goes wrong has a key, and passes when its cause does.

use ringway_tests::{Api, Authority, Gateway, Mosquitto, Port};
use serde_json::{Value, json};

use super::{api, at, post, shared, stream, until};

fn key(body: &[u8]) -> String {
    let problem: Value = serde_json::from_slice(body).unwrap();
    problem["key"].as_str().unwrap().to_owned()
}

fn get(gateway: &Gateway, accept: &str) -> (u16, String) {
    let mut client = gateway.connect();
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\n\r\n"));
    let (head, body) = client.response();
    (head.status(), key(&body))
}

const CONFIGURATION: &str = "FAILURE_ENDPOINT_CONFIGURATION_INVALID";

/// A password file's line of `mosquitto_passwd`: user `u`, password `p`.
fn passwords() -> String {
    let scratch = ringway_tests::Scratch::new("passwords");
    let file = scratch.join("file").display().to_string();
    ringway_tests::tool::run("mosquitto_passwd", ["-b", "-c", &file, "u", "p"]).ok();
    scratch.read("file")
}

#[test]
fn wrong_credentials_are_refused_and_right_ones_are_not() {
    let mosquitto = Mosquitto::with(
        "allow_anonymous false\npassword_file {dir}/passwords\nacl_file {dir}/acl\n",
        &[("passwords", &passwords()), ("acl", "user u\ntopic readwrite t\n")],
    );
    let with = |entrypoint: &str, password: &str| {
        let api = api(json!({ "type": entrypoint }), &mosquitto);
        shared(api, "security", json!({ "auth": { "username": "u", "password": password } }))
    };
    for (entrypoint, accept) in [("sse", "text/event-stream"), ("http-get", "application/json")] {
        let gateway = Gateway::serving(&[with(entrypoint, "wrong")]);
        assert_eq!(get(&gateway, accept), (502, CONFIGURATION.to_owned()), "{entrypoint}");
    }
    let (head, body) = post(&Gateway::serving(&[with("http-post", "wrong")]), "", "x");
    assert_eq!((head.status(), key(&body)), (502, CONFIGURATION.to_owned()));
    assert_eq!(post(&Gateway::serving(&[with("http-post", "p")]), "", "x").0.status(), 202);
    // A topic that the user may not write to.
    let (head, body) =
        post(&Gateway::serving(&[shared(with("http-post", "p"), "producer/topic", json!("other"))]), "", "x");
    assert_eq!((head.status(), key(&body)), (502, CONFIGURATION.to_owned()));
}

#[test]
fn what_is_too_large_for_the_broker_is_said_to_be() {
    // Once the broker says so at the beginning, and once of each message.
    for limit in ["max_packet_size 2000", "message_size_limit 1000"] {
        let mosquitto = Mosquitto::with(&format!("allow_anonymous true\n{limit}\n"), &[]);
        let gateway = Gateway::serving(&[api(json!({ "type": "http-post" }), &mosquitto)]);
        assert_eq!(post(&gateway, "", "small").0.status(), 202, "{limit}");
        let (head, body) = post(&gateway, "", &"x".repeat(3_000));
        assert_eq!((head.status(), key(&body)), (413, "MESSAGE_TOO_LARGE".to_owned()), "{limit}");
        assert_eq!(post(&gateway, "", "small").0.status(), 202, "{limit}");
    }
}

#[test]
fn a_host_that_does_not_exist_is_said_not_to_be_reached() {
    let of = |entrypoint: &str| Gateway::serving(&[at(json!({ "type": entrypoint }), "no-such-host.invalid", 1883)]);
    let wanted = (503, "FAILURE_ENDPOINT_CONNECTION_FAILED".to_owned());
    assert_eq!(get(&of("sse"), "text/event-stream"), wanted);
    let (head, body) = post(&of("http-post"), "", "x");
    assert_eq!((head.status(), key(&body)), wanted);
}

#[test]
fn a_broker_that_is_away_at_the_start_is_waited_for() {
    let mut mosquitto = Mosquitto::prepared("allow_anonymous true\n", &[]);
    let gateway = Gateway::serving(&[api(json!({ "type": "sse" }), &mosquitto)]);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n");
    mosquitto.restart();
    assert_eq!(client.head().status(), 200);
    mosquitto.publish(&["-t", "t", "-q", "1", "-m", "hello"]);
    until(&mut client, "data: hello\n");
}

#[test]
fn a_broker_that_stays_away_is_a_fault_and_what_comes_later_is_published() {
    let port = Port::new();
    let gateway = Gateway::serving(&[at(json!({ "type": "http-post" }), "127.0.0.1", port.number())]);
    let (head, body) = post(&gateway, "", "x");
    assert_eq!((head.status(), key(&body)), (503, "FAILURE_ENDPOINT_CONNECTION_FAILED".to_owned()));
    let counted = at(json!({ "type": "sse" }), "127.0.0.1", port.number());
    let gateway = Gateway::serving(&[shared(counted, "reconnectAttempts", json!(1))]);
    assert_eq!(get(&gateway, "text/event-stream"), (503, "FAILURE_ENDPOINT_CONNECTION_FAILED".to_owned()));
}

#[test]
fn what_is_no_broker_is_said_to_be_none() {
    let mosquitto = Mosquitto::start();
    // A gateway speaks HTTP.
    let other = Gateway::serving(&[api(json!({ "type": "http-post" }), &mosquitto)]);
    let gateway = Gateway::serving(&[at(json!({ "type": "sse" }), "127.0.0.1", other.http().port())]);
    assert_eq!(get(&gateway, "text/event-stream"), (502, CONFIGURATION.to_owned()));
}

#[test]
fn tls_is_spoken_to_brokers_that_are_trusted_only() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    authority.sign("localhost");
    authority.sign("client");
    let files = [
        ("ca.pem", authority.read("ca.pem")),
        ("server.pem", authority.read("localhost.pem")),
        ("server.key", authority.read("localhost.key")),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let lines = "allow_anonymous true\nlistener {tls} 127.0.0.1\ncafile {dir}/ca.pem\ncertfile {dir}/server.pem\n\
                 keyfile {dir}/server.key\nrequire_certificate true\n";
    let mosquitto = Mosquitto::with(lines, &files);
    let with = |ssl: Value| {
        let api = at(json!({ "type": "http-post" }), "127.0.0.1", mosquitto.tls().port());
        Gateway::serving(&[shared(api, "security", json!({ "ssl": ssl }))])
    };
    let pem = |authority: &Authority| json!({ "type": "PEM", "content": authority.read("ca.pem") });
    let client =
        json!({ "type": "PEM", "certPath": authority.path("client.pem"), "keyPath": authority.path("client.key") });
    let right = with(json!({ "trustStore": pem(&authority), "keyStore": client }));
    assert_eq!(post(&right, "", "x").0.status(), 202);
    let wrong = with(json!({ "trustStore": pem(&stranger), "keyStore": client }));
    let (head, body) = post(&wrong, "", "x");
    assert_eq!((head.status(), key(&body)), (502, CONFIGURATION.to_owned()));
}

#[test]
fn what_cannot_be_served_is_found_before_it_runs() {
    let yaml = "shards: 1\nservers: [{ id: http, listen: '{http}' }]\nadmin: { listen: '{admin}' }\napis: [apis]\n";
    let refused = |api: Api| Gateway::try_start(yaml, &[("a.json", &api.json())]).unwrap_err();
    let api = |entrypoint: &str| at(json!({ "type": entrypoint }), "127.0.0.1", 1883);
    for (path, value, wanted) in [
        ("producer/topic", json!("a/#"), "wildcards are for subscriptions"),
        ("consumer/topic", json!("a/#/b"), "`a/#/b` is no topic filter"),
        ("consumer/topics", json!(["a", "b+"]), "`b+` is no topic filter"),
        ("consumer/qos", json!(3), "qos"),
        ("consumer/receiveMaximum", json!(0), "receiveMaximum"),
        ("producer", json!({}), "it needs a `topic`"),
        ("lastWill", json!({ "topic": "+" }), "wildcards are for subscriptions"),
        ("security/ssl", json!({ "trustStore": { "type": "JKS", "path": "x" } }), "cannot read"),
    ] {
        let log = refused(shared(api("sse"), path, value));
        assert!(log.contains(wanted), "{path}: {log}");
    }
    for (entrypoint, qos) in
        [("http-get", "NONE"), ("http-get", "AT_LEAST_ONCE"), ("sse", "AT_LEAST_ONCE"), ("http-post", "AT_LEAST_ONCE")]
    {
        let log = refused(api(entrypoint).with("listeners/0/entrypoints/0/qos", json!(qos)));
        assert!(log.contains(&format!("`{entrypoint}` with `mqtt5` has no {qos}")), "{log}");
    }
}

#[test]
fn a_stream_of_a_broker_that_stays_away_too_long_ends_with_an_error() {
    let mut mosquitto = Mosquitto::start();
    let api = shared(api(json!({ "type": "sse" }), &mosquitto), "reconnectAttempts", json!(0));
    let gateway = Gateway::serving(&[api]);
    let mut client = stream(&gateway);
    mosquitto.kill();
    until(&mut client, "event: error\ndata: The broker cannot be reached.\n\n");
}
