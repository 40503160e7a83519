//! Policies on messages between clients and a real Mosquitto.

use ringway_tests::{Gateway, Mosquitto};
use serde_json::json;

use super::api;
use super::passages::{HELD, elsewhere, pass, through};

#[test]
fn messages_pass_policies_on_both_ways_and_an_attribute_names_another_topic() {
    let mosquitto = Mosquitto::start();
    mosquitto.register("auditor", "#");
    let api = through(api(json!({ "type": "sse" }), &mosquitto), "mqtt5.topic");
    pass(&Gateway::serving(&[api]), "another/topic");
    // Topic, user properties and payload of each.
    let held = mosquitto.collect("auditor", "#", 4, "%t %P %p");
    let wanted = |topic: &str, id: &str, payload: &str| format!("{topic} X-Id:{id} {payload}");
    let mut all = vec![wanted("another/topic", "elsewhere", &elsewhere("another/topic"))];
    all.extend(["plain", "hidden", "marked"].iter().zip(HELD).map(|(id, payload)| wanted("t", id, payload)));
    assert_eq!(held, all);
}
