//! Groups of clusters: another takes over when one is away or killed.

use ringway_tests::{Gateway, Kafka};
use serde_json::json;

use crate::{Events, api, post, topic};

#[test]
fn posts_and_streams_go_to_the_other_cluster_when_one_is_killed() {
    let (mut first, second) = (Kafka::start(), Kafka::shared());
    let (own, other) = (first.topic("group", 1), second.topic("group", 1));
    let entrypoints = json!([{ "type": "http-post" }, { "type": "sse" }]);
    let mut shared = topic(&own);
    shared["producer"]["deliveryTimeoutMs"] = json!(2_000);
    let mut there = topic(&other);
    there["producer"]["deliveryTimeoutMs"] = json!(2_000);
    let endpoint = |name: &str, servers: String, over: serde_json::Value| {
        json!({ "name": name, "type": "kafka", "inheritConfiguration": true, "configuration": { "bootstrapServers": servers },
            "sharedConfigurationOverride": over })
    };
    let endpoints = json!([endpoint("one", first.servers(), json!({})), endpoint("two", second.servers(), there)]);
    let api = api(&first.servers(), entrypoints, shared).with("endpointGroups/0/endpoints", endpoints);
    let gateway = Gateway::serving(&[api]);
    // They go round: the stream is the first's, and so is every second post from the next on.
    let mut stream = Events::open(gateway.http(), "group", None).unwrap_or_else(|refusal| panic!("{refusal:?}"));
    for number in 0..4 {
        assert_eq!(post(&gateway, "", &format!("before {number}")).map(|(status, _)| status), Some(202));
    }
    let heard = stream.next().map(|(_, data)| data);
    assert_eq!(heard.as_deref(), Some("before 1"));
    let count = (first.records(&own).len(), second.records(&other).len());
    assert_eq!(count, (2, 2));
    first.kill();
    for number in 0..10 {
        let posted = post(&gateway, "", &format!("after {number}"));
        assert_eq!(posted.as_ref().map(|(status, _)| *status), Some(202), "{posted:?}");
    }
    ringway_tests::wait_until("the stream to move", || gateway.log().contains("a stream goes on at another broker"));
    assert_eq!(post(&gateway, "", "moved").map(|(status, _)| status), Some(202));
    let last = std::iter::from_fn(|| stream.next()).map(|(_, data)| data).find(|data| data == "moved");
    assert!(last.is_some(), "the stream has ended");
    let after = second.records(&other).into_iter().filter(|record| record.content.starts_with("after")).count();
    println!("10 posts after the death of one of two clusters: {after} in the other");
    assert_eq!(after, 10);
}
