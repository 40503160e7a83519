//! What goes wrong with a broker, and what its clients are told.

use ringway_tests::{Gateway, Kafka, Port};
use serde_json::json;

use crate::{Events, api, entrypoints, key, poll, post, topic};

fn told(status: u16, key: &str) -> (u16, String) {
    (status, key.to_owned())
}

#[test]
fn a_topic_that_is_not_there_is_told() {
    let kafka = Kafka::shared();
    let name = "never-made".to_owned();
    let mut shared = topic(&name);
    shared["producer"]["deliveryTimeoutMs"] = json!(2_000);
    for qos in ["AUTO", "AT_LEAST_ONCE"] {
        let gateway = Gateway::serving(&[api(&kafka.servers(), entrypoints(qos), shared.clone())]);
        let stream = Events::open(gateway.http(), &name, None).err().unwrap();
        assert_eq!(stream.0, 500, "{stream:?}");
        let page = poll(gateway.http(), &name, None, 1).err().unwrap();
        assert_eq!(key(&page), told(500, "FAILURE_ENDPOINT_SUBSCRIBE_FAILED"));
        let posted = post(&gateway, "", "x").unwrap();
        assert_eq!(key(&posted), told(500, "FAILURE_ENDPOINT_PUBLISH_FAILED"));
        assert!(gateway.log().contains("no such topic"), "{}", gateway.log());
    }
}

#[test]
fn what_is_too_large_for_the_broker_or_its_client_is_told() {
    let kafka = Kafka::shared();
    let name = kafka.topic_with("small", 1, &[("max.message.bytes", "2000")]);
    let gateway = Gateway::serving(&[api(&kafka.servers(), entrypoints("AUTO"), topic(&name))]);
    for bytes in [10_000, 1_100_000] {
        let posted = post(&gateway, "", &"x".repeat(bytes)).unwrap();
        assert_eq!(key(&posted), told(413, "MESSAGE_TOO_LARGE"), "{bytes}");
    }
    assert_eq!(post(&gateway, "", "fits").map(|(status, _)| status), Some(202));
    assert_eq!(kafka.records(&name).len(), 1);
}

#[test]
fn a_cursor_that_is_none_is_told() {
    let kafka = Kafka::shared();
    let name = kafka.topic("cursors", 1);
    let gateway = Gateway::serving(&[api(&kafka.servers(), entrypoints("AT_LEAST_ONCE"), topic(&name))]);
    for cursor in ["nonsense", "b3RoZXJAMCMx", "%00", "====", &"A".repeat(4_000)] {
        let page = poll(gateway.http(), &name, Some(cursor), 1).err().unwrap();
        assert_eq!(key(&page), told(400, "GATEWAY_INVALID_CURSOR"), "{cursor}");
        let stream = Events::open(gateway.http(), &name, Some(cursor)).err().unwrap();
        assert_eq!(stream.0, 400, "{stream:?}");
    }
}

#[test]
fn a_broker_that_is_away_at_the_start_is_told_and_found_when_it_comes() {
    // Nobody listens there.
    let nobody = Port::new();
    let name = "anything".to_owned();
    let mut shared = topic(&name);
    shared["producer"]["deliveryTimeoutMs"] = json!(1_000);
    let gateway = Gateway::serving(&[api(&nobody.address().to_string(), entrypoints("AUTO"), shared)]);
    let posted = post(&gateway, "", "x").unwrap();
    assert!([503, 504].contains(&posted.0), "{posted:?}");
    let page = poll(gateway.http(), &name, None, 1).err().unwrap();
    assert_eq!(key(&page), told(504, "FAILURE_ENDPOINT_TIMEOUT"));
    assert_eq!(gateway.ask_admin("GET", "/health/ready").0, 200, "the gateway itself is well");
}
