//! `solace` over MQTT 5, with Mosquitto in the place of the broker.

use ringway_tests::{Api, Gateway, Mosquitto};
use serde_json::{Value, json};

use super::{collected, numbers, post, stream, until};

fn api(mosquitto: &Mosquitto, entrypoints: Value, shared: Value) -> Api {
    let url = format!("tcp://{}", mosquitto.address());
    Api::messages("/", entrypoints, "solace", json!({ "protocol": "MQTT", "url": url }))
        .with("endpointGroups/0/sharedConfiguration", shared)
        .with("endpointGroups/0/endpoints/0/inheritConfiguration", json!(true))
}

/// Reads all levels below `orders`, in Solace's own words, and writes one.
fn topics() -> Value {
    json!({ "consumer": { "topics": ["orders/*/placed", "stock/>"] }, "producer": { "topics": ["orders/eu/placed"] } })
}

#[test]
fn streams_hear_direct_topics_by_their_wildcards() {
    let mosquitto = Mosquitto::start();
    let gateway = Gateway::serving(&[api(&mosquitto, json!([{ "type": "sse" }, { "type": "http-post" }]), topics())]);
    let mut client = stream(&gateway);
    assert_eq!(post(&gateway, "", "by the gateway").0.status(), 202);
    for (topic, text) in [("orders/us/placed", "a level"), ("orders/us/paid", "another"), ("stock/a/b", "all levels")] {
        mosquitto.publish(&["-t", topic, "-q", "0", "-m", text]);
    }
    let heard = until(&mut client, "data: all levels\n");
    assert!(heard.contains("data: by the gateway\n") && heard.contains("data: a level\n"), "{heard}");
    assert!(!heard.contains("data: another\n"), "{heard}");
}

#[test]
fn a_consumer_finds_what_was_published_while_it_was_away_once() {
    const COUNT: usize = 12;
    let mosquitto = Mosquitto::start();
    let get = json!({ "type": "http-get", "configuration": { "messagesLimitDurationMs": 500 } });
    let gateway = Gateway::serving(&[api(&mosquitto, json!([get, { "type": "http-post" }]), topics())]);
    assert_eq!(collected(&gateway, ""), [""; 0]);
    for number in numbers(0..COUNT) {
        assert_eq!(post(&gateway, "", &number).0.status(), 202);
    }
    let seen = [collected(&gateway, ""), collected(&gateway, "")].concat();
    println!("solace over MQTT, http-get AUTO: {COUNT} sent, {} seen", seen.len());
    assert_eq!(seen, numbers(0..COUNT));
}

#[test]
fn the_delivery_mode_is_the_quality_of_service_and_attributes_name_no_topic() {
    for (mode, qos) in [("PERSISTENT", "1"), ("DIRECT", "0")] {
        let mosquitto = Mosquitto::start();
        mosquitto.register("auditor", "#");
        let mut shared = topics();
        shared["producer"]["deliveryMode"] = json!(mode);
        let other = json!([{ "name": "mqtt5.topic", "value": "elsewhere" }]);
        let step = json!({ "name": "other", "enabled": true, "policy": "policy-assign-attributes", "configuration": { "attributes": other } });
        let flow = json!([{ "name": "all", "enabled": true, "publish": [step], "request": [step] }]);
        let api = api(&mosquitto, json!([{ "type": "http-post" }]), shared).with("flows", flow);
        assert_eq!(post(&Gateway::serving(&[api]), "", "x").0.status(), 202);
        // The log says at which QoS it came: a subscriber would get the lower of two.
        assert_eq!(mosquitto.collect("auditor", "#", 1, "%t %p"), ["orders/eu/placed x"], "{mode}");
        let log = mosquitto.log();
        let line = log.lines().find(|line| line.contains("Received PUBLISH from ringway-publisher")).unwrap();
        assert!(line.contains(&format!("q{qos}")), "{line}");
    }
}
