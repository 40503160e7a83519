//! Policies on messages between clients and a real Kafka.

use ringway_tests::{Gateway, Kafka, Record};
use serde_json::json;

use crate::passages::{HELD, elsewhere, pass, through};
use crate::{api, topic};

fn contents(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| record.content.as_str()).collect()
}

#[test]
fn messages_pass_policies_on_both_ways_and_an_attribute_names_another_topic() {
    let kafka = Kafka::shared();
    let (name, other) = (kafka.topic("passed", 1), kafka.topic("passed-other", 1));
    let api = through(api(&kafka.servers(), json!([]), topic(&name)), "kafka.producer.topics");
    pass(&Gateway::serving(&[api]), &other);
    let held = kafka.records(&name);
    assert_eq!(contents(&held), HELD);
    assert!(held.iter().all(|record| record.headers.iter().any(|(name, _)| name == "X-Id")), "{held:?}");
    assert_eq!(contents(&kafka.records(&other)), [elsewhere(&other)]);
}

#[test]
fn an_attribute_of_the_message_is_the_key_of_its_record() {
    let kafka = Kafka::shared();
    let name = kafka.topic("keyed", 3);
    let mut plain = api(&kafka.servers(), json!([]), topic(&name));
    plain = through(plain, "kafka.recordKey").with("flows/0/subscribe", json!([]));
    let gateway = Gateway::serving(&[plain]);
    for key in ["a", "b", "a", "c", "a"] {
        assert_eq!(crate::post(&gateway, "", &elsewhere(key)).map(|(status, _)| status), Some(202));
    }
    let records = kafka.records(&name);
    let of_key = |key: &str| records.iter().filter(|record| record.key.as_deref() == Some(key)).collect::<Vec<_>>();
    assert_eq!((of_key("a").len(), of_key("b").len(), of_key("c").len()), (3, 1, 1), "{records:?}");
    assert!(of_key("a").iter().all(|record| record.partition == of_key("a")[0].partition), "{records:?}");
}
