//! Every entrypoint with the endpoint, at every level that the pair has.

use std::collections::BTreeSet;

use ringway_tests::{Gateway, Kafka, wait_until};
use serde_json::json;

use crate::{Events, api, entrypoints, numbers, poll, post, topic};

fn gateway(kafka: &Kafka, topic_name: &str, qos: &str) -> Gateway {
    Gateway::serving(&[api(&kafka.servers(), entrypoints(qos), topic(topic_name))])
}

#[test]
fn http_post_publishes_at_none_and_auto() {
    let kafka = Kafka::shared();
    for qos in ["NONE", "AUTO"] {
        let name = kafka.topic("post", 1);
        let gateway = gateway(kafka, &name, qos);
        for number in 0..20 {
            assert_eq!(post(&gateway, "X-Unit: C\r\n", &format!("{number}")), Some((202, String::new())), "{qos}");
        }
        if qos == "NONE" {
            wait_until("everything is stored", || kafka.records(&name).len() == 20);
        }
        // At AUTO it is there as soon as the client is answered.
        let records = kafka.records(&name);
        let contents: Vec<_> = records.iter().map(|record| record.content.clone()).collect();
        assert_eq!(contents, Vec::from_iter(numbers(0..20)), "{qos}");
        assert!(records[0].headers.contains(&("X-Unit".to_owned(), "C".to_owned())), "{:?}", records[0]);
        assert_eq!(records[0].key, None);
    }
}

#[test]
fn http_get_at_auto_goes_on_where_its_group_is() {
    let kafka = Kafka::shared();
    let name = kafka.topic("get-auto", 1);
    let gateway = gateway(kafka, &name, "AUTO");
    kafka.publish(&name, numbers(0..30));
    let mut seen = Vec::new();
    while seen.len() < 30 {
        let page = poll(gateway.http(), &name, None, 12).unwrap();
        assert!(page.items.len() <= 12);
        seen.extend(page.contents());
    }
    assert_eq!(seen, Vec::from_iter(numbers(0..30)));
    // Another consumer has a place of its own.
    let other = poll(gateway.http(), &format!("{name}-other"), None, 1).unwrap();
    assert_eq!(other.contents(), ["0"]);
    let metadata = &other.items[0]["metadata"];
    assert_eq!(
        (&metadata["topic"], &metadata["partition"], &metadata["offset"]),
        (&json!(name), &json!("0"), &json!("0"))
    );
}

#[test]
fn http_get_at_least_once_repeats_until_its_cursor_comes_back() {
    let kafka = Kafka::shared();
    let name = kafka.topic("get-least", 1);
    let gateway = gateway(kafka, &name, "AT_LEAST_ONCE");
    kafka.publish(&name, numbers(0..20));
    let first = poll(gateway.http(), &name, None, 8).unwrap();
    assert_eq!(first.contents(), Vec::from_iter(numbers(0..8)));
    // Whoever did not say that it has them gets them again.
    let again = poll(gateway.http(), &name, None, 8).unwrap();
    assert_eq!(again.contents(), first.contents());
    let second = poll(gateway.http(), &name, again.next.as_deref(), 8).unwrap();
    assert_eq!(second.contents(), Vec::from_iter(numbers(8..16)));
    // The cursor was the acknowledgement of the first eight.
    let after = poll(gateway.http(), &name, None, 8).unwrap();
    assert_eq!(after.contents(), second.contents());
}

#[test]
fn http_get_at_most_once_never_repeats_and_loses_nothing_without_a_crash() {
    let kafka = Kafka::shared();
    let name = kafka.topic("get-most", 2);
    let gateway = gateway(kafka, &name, "AT_MOST_ONCE");
    kafka.publish(&name, numbers(0..60));
    let mut seen = Vec::new();
    // The first page has messages; a page without any comes only when there are no more.
    loop {
        let page = poll(gateway.http(), &name, None, 25).unwrap();
        if page.items.is_empty() {
            break;
        }
        seen.extend(page.contents());
        assert_eq!(BTreeSet::from_iter(&seen).len(), seen.len(), "repeated");
    }
    assert_eq!(seen.len(), 60);
}

#[test]
fn sse_at_none_and_auto_hears_what_comes_from_now_on() {
    let kafka = Kafka::shared();
    for qos in ["NONE", "AUTO"] {
        let name = kafka.topic("sse-live", 1);
        let gateway = gateway(kafka, &name, qos);
        kafka.publish(&name, numbers(0..5));
        let mut streams = [(); 3].map(|()| Events::open(gateway.http(), &name, None).unwrap());
        kafka.publish(&name, numbers(5..25));
        for stream in &mut streams {
            for number in numbers(5..25) {
                assert_eq!(stream.next().map(|(_, data)| data), Some(number), "{qos}");
            }
        }
        assert_eq!(post(&gateway, "", "through the gateway").map(|(status, _)| status), Some(202));
        for stream in &mut streams {
            assert_eq!(stream.next().map(|(_, data)| data).as_deref(), Some("through the gateway"), "{qos}");
        }
    }
}

#[test]
fn sse_with_a_place_goes_on_behind_its_last_event() {
    let kafka = Kafka::shared();
    for qos in ["AT_MOST_ONCE", "AT_LEAST_ONCE"] {
        let name = kafka.topic("sse-place", 1);
        let gateway = gateway(kafka, &name, qos);
        kafka.publish(&name, numbers(0..10));
        let mut stream = Events::open(gateway.http(), &name, None).unwrap();
        let mut last = None;
        for number in numbers(0..6) {
            let (id, data) = stream.next().unwrap();
            assert_eq!(data, number, "{qos}");
            last = Some(id);
        }
        drop(stream);
        let mut stream = Events::open(gateway.http(), &name, last.as_deref()).unwrap();
        for number in numbers(6..10) {
            assert_eq!(stream.next().map(|(_, data)| data), Some(number), "{qos}");
        }
    }
}

#[test]
fn a_slow_stream_does_not_fill_the_gateways_memory() {
    let kafka = Kafka::shared();
    let name = kafka.topic("slow", 1);
    let gateway = gateway(kafka, &name, "AT_LEAST_ONCE");
    let mut stream = Events::open(gateway.http(), &name, None).unwrap();
    let long = "x".repeat(10_000);
    kafka.publish(&name, (0..8_000).map(|number| format!("{number} {long}")));
    let mut highest = 0;
    // 80 MB wait behind a client that reads 400 of 8,000 messages, and then all.
    for number in 0..400 {
        let (_, data) = stream.next().unwrap();
        assert_eq!(data.split(' ').next(), Some(number.to_string().as_str()));
        highest = highest.max(gateway.process().memory_kib("VmRSS"));
    }
    for number in 400..8_000 {
        let (_, data) = stream.next().unwrap();
        assert_eq!(data.split(' ').next(), Some(number.to_string().as_str()));
    }
    println!("resident memory with a stalled stream before 80 MB: {highest} KiB");
    assert!(highest < 120_000, "{highest} KiB");
}
