//! `kcat` on the broker's other side: what others write and read with the same library's own tool.

use ringway_tests::{Gateway, Kafka, tool};
use serde_json::{Value, json};

use crate::{api, entrypoints, poll, post, topic};

#[test]
fn what_kcat_writes_is_collected_with_key_and_headers() {
    let kafka = Kafka::shared();
    let name = kafka.topic("kcat-out", 1);
    let script = "printf 'k1|one\\nk2|two\\nk1|three\\n' | kcat -P -b \"$0\" -t \"$1\" -K '|' -H x-kind=test";
    tool::run("sh", ["-c", script, &kafka.servers(), &name]).ok();
    let gateway = Gateway::serving(&[api(&kafka.servers(), entrypoints("AT_LEAST_ONCE"), topic(&name))]);
    let page = poll(gateway.http(), "kcat", None, 3).unwrap();
    let seen: Vec<(&Value, &Value, &Value)> = page
        .items
        .iter()
        .map(|item| (&item["content"], &item["metadata"]["key"], &item["headers"]["x-kind"]))
        .collect();
    let kind = json!(["test"]);
    let (one, two, three) = (json!("one"), json!("two"), json!("three"));
    let (first, second) = (json!("k1"), json!("k2"));
    assert_eq!(seen, [(&one, &first, &kind), (&two, &second, &kind), (&three, &first, &kind)]);
}

#[test]
fn what_is_posted_kcat_reads_with_its_headers() {
    let kafka = Kafka::shared();
    let name = kafka.topic("kcat-in", 1);
    let gateway = Gateway::serving(&[api(&kafka.servers(), entrypoints("AUTO"), topic(&name))]);
    for number in 0..3 {
        let posted = post(&gateway, &format!("X-Number: {number}\r\n"), &format!("m{number}"));
        assert_eq!(posted.map(|(status, _)| status), Some(202));
    }
    let said =
        tool::run("kcat", ["-C", "-b", &kafka.servers(), "-t", &name, "-o", "beginning", "-e", "-q", "-f", "%s;%h\\n"])
            .ok();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 3, "{said}");
    for (number, line) in lines.iter().enumerate() {
        let (content, headers) = line.split_once(';').unwrap();
        assert_eq!(content, format!("m{number}"));
        assert!(headers.to_lowercase().split(',').any(|header| header == format!("x-number={number}")), "{line}");
    }
}
