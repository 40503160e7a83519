//! Values that Confluent's serializers write, with their schemas in a registry. The registry here answers as Confluent's API does; the real one cannot be
//! installed freely.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use ringway_tests::{Backend, Gateway, Kafka};
use serde_json::{Value, json};

use crate::{Events, api, entrypoints, key, post, topic};

const AVRO: &str = r#"{"type": "record", "name": "Reading", "fields": [
    {"name": "id", "type": "string"}, {"name": "at", "type": "a.Place"}, {"name": "n", "type": ["null", "int"]}]}"#;
const PLACE: &str =
    r#"{"type": "record", "namespace": "a", "name": "Place", "fields": [{"name": "room", "type": "int"}]}"#;
const PROTOBUF: &str = "syntax = 'proto3'; package a; import 'other.proto'; message First { }
    message Reading { string id = 2; Other other = 3; message Inner { int64 n = 1; } }";
const OTHER: &str = "syntax = 'proto3'; package a; message Other { bool on = 4; }";

fn ok(answer: &Value) -> String {
    let body = answer.to_string();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.schemaregistry.v1+json";
    format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// What a registry says at a path.
fn answer(path: &str) -> Option<Value> {
    let refers = |name: &str, subject: &str| json!([{ "name": name, "subject": subject, "version": 1 }]);
    Some(match path {
        "/schemas/ids/1" => json!({ "schema": AVRO, "references": refers("a.Place", "place") }),
        "/schemas/ids/2" => {
            json!({ "schemaType": "PROTOBUF", "schema": PROTOBUF, "references": refers("other.proto", "other.proto") })
        }
        "/schemas/ids/3" => json!({ "schemaType": "JSON", "schema": "{\"type\": \"object\"}" }),
        "/subjects/place/versions/1" => json!({ "subject": "place", "version": 1, "id": 4, "schema": PLACE }),
        "/subjects/other.proto/versions/1" => {
            json!({ "subject": "other.proto", "version": 1, "id": 5, "schemaType": "PROTOBUF", "schema": OTHER })
        }
        _ => return None,
    })
}

/// A registry that is away for the first so many requests.
fn registry(away: usize) -> Backend {
    let left = AtomicUsize::new(away);
    Backend::replies(move |head, _| {
        if left.try_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            return "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".into();
        }
        let none = || "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned();
        answer(head.target()).map_or_else(none, |answer| ok(&answer))
    })
}

fn gateway(kafka: &Kafka, name: &str, registry: &Backend, subscribe: Value, publish: Value) -> Gateway {
    let step = |policy: &str, configuration: Value| json!({ "name": policy, "policy": policy, "configuration": configuration });
    let api = api(&kafka.servers(), entrypoints("AUTO"), topic(name))
        .with(
            "resources",
            json!([{ "name": "registry", "type": "confluent-schema-registry", "configuration": { "url": registry.target() } }]),
        )
        .with(
            "flows",
            json!([{ "name": "all", "enabled": true,
                "subscribe": [step(subscribe["policy"].as_str().unwrap(), subscribe["configuration"].clone())],
                "publish": [step(publish["policy"].as_str().unwrap(), publish["configuration"].clone())] }]),
        );
    Gateway::serving(&[api])
}

fn to_json() -> Value {
    json!({ "policy": "schema-registry-json", "configuration": { "resourceName": "registry" } })
}

fn from_json(id: u32) -> Value {
    let configuration = json!({ "resourceName": "registry", "conversion": "json-to-registry", "schemaId": id });
    json!({ "policy": "schema-registry-json", "configuration": configuration })
}

/// `{"id": "x", "at": {"room": 7}, "n": 5}`, `{"id": "x", "other": {"on": true}}` and its inner message, and JSON.
const FRAMED: [(&str, &str); 4] = [
    ("\0\0\0\0\u{1}\u{2}x\u{e}\u{2}\u{a}", r#"{"id":"x","at":{"room":7},"n":5}"#),
    ("\0\0\0\0\u{2}\u{2}\u{2}\u{12}\u{1}x\u{1a}\u{2}\u{20}\u{1}", r#"{"id":"x","other":{"on":true}}"#),
    ("\0\0\0\0\u{2}\u{4}\u{2}\0\u{8}\u{7}", r#"{"n":"7"}"#),
    ("\0\0\0\0\u{3}{\"id\": 1}", r#"{"id": 1}"#),
];

#[test]
fn values_of_every_kind_of_schema_are_json_to_subscribers_and_each_schema_is_fetched_once() {
    let kafka = Kafka::shared();
    let name = kafka.topic("schemas", 1);
    let registry = registry(0);
    let gateway = gateway(kafka, &name, &registry, to_json(), from_json(1));
    let rounds = 25;
    // A stream at this level hears what comes from now on.
    let mut events = Events::open(gateway.http(), &name, None).unwrap();
    kafka.publish(&name, (0..rounds).flat_map(|_| FRAMED.map(|(bytes, _)| bytes.to_owned())));
    for round in 0..rounds {
        for (_, wanted) in FRAMED {
            assert_eq!(events.next().unwrap().1, wanted, "{round}");
        }
    }
    let mut fetched: HashMap<String, usize> = HashMap::new();
    for (head, _) in registry.seen() {
        *fetched.entry(head.target().to_owned()).or_default() += 1;
    }
    assert_eq!(fetched.len(), 5, "{fetched:?}");
    assert!(fetched.values().all(|count| *count == 1), "{fetched:?}");
}

#[test]
fn json_of_publishers_is_written_by_the_schema_and_what_does_not_fit_is_refused() {
    let kafka = Kafka::shared();
    let name = kafka.topic("schemas-written", 1);
    let registry = registry(0);
    let gateway = gateway(kafka, &name, &registry, to_json(), from_json(1));
    let (bytes, json) = FRAMED[0];
    let mut events = Events::open(gateway.http(), &name, None).unwrap();
    assert_eq!(post(&gateway, "", json), Some((202, String::new())));
    let refused = post(&gateway, "", r#"{"id": 1}"#).unwrap();
    assert_eq!(key(&refused), (400, "INVALID_SCHEMA_REGISTRY_TRANSFORMATION".into()), "{refused:?}");
    let records = kafka.records(&name);
    assert_eq!(Vec::from_iter(records.iter().map(|record| record.content.as_str())), [bytes]);
    assert!(records[0].headers.contains(&("Content-Type".into(), "avro/binary".into())), "{:?}", records[0].headers);
    // And it comes back as it was.
    assert_eq!(events.next().unwrap().1, json);
}

#[test]
fn messages_wait_for_a_registry_that_is_away_and_none_is_lost() {
    let kafka = Kafka::shared();
    let name = kafka.topic("schemas-away", 1);
    let registry = registry(2);
    let side = json!({ "schemaLocation": "schema-registry", "schemaRegistryIn": { "resourceName": "registry" } });
    let read = json!({ "json": { "omittingInsignificantWhitespace": true }, "protobufIn": side });
    let subscribe = json!({ "policy": "protobuf-json", "configuration": read });
    let gateway = gateway(kafka, &name, &registry, subscribe, from_json(3));
    let mut events = Events::open(gateway.http(), &name, None).unwrap();
    kafka.publish(&name, [FRAMED[1].0, FRAMED[0].0, FRAMED[2].0].map(str::to_owned));
    assert_eq!(events.next().unwrap().1, FRAMED[1].1);
    // The one in between is of another kind: it is left out, and those behind it go on.
    assert_eq!(events.next().unwrap().1, FRAMED[2].1);
    let asked = registry.seen().iter().filter(|(head, _)| head.target() == "/schemas/ids/2").count();
    assert_eq!(asked, 3, "it was asked again");
}
