//! The Kafka endpoint against librdkafka's simulated cluster, which speaks the real protocol.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

#[path = "support/said.rs"]
mod said;

use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::types::RDKafkaRespErr;
use ringway_connectors::kafka::BROKER;
use ringway_contract::{
    Attributes, Broker, Cause, Delivery, Fault, Feed, Message, Node, Qos, Receipt, Services, Source, Subscribe,
};
use ringway_net::{ShardOptions, run_shard, sleep};
use serde_json::{Value, json};

use crate::support::PATIENCE;

/// Runs `main` on a shard.
fn on_a_shard<Fut: Future<Output = ()> + 'static>(main: impl FnOnce() -> Fut + Send + 'static) {
    if let Err(panic) = run_shard(ShardOptions::new(0), |_| main()).unwrap().join() {
        std::panic::resume_unwind(panic);
    }
}

struct Cluster {
    cluster: MockCluster<'static, DefaultProducerContext>,
    producer: BaseProducer,
}

impl Cluster {
    fn new(topics: &[(&str, i32)]) -> Self {
        let cluster = MockCluster::new(1).unwrap();
        for (topic, partitions) in topics {
            cluster.create_topic(topic, *partitions, 1).unwrap();
        }
        let producer = ClientConfig::new()
            .set("bootstrap.servers", cluster.bootstrap_servers())
            .set("linger.ms", "0")
            .create()
            .unwrap();
        Self { cluster, producer }
    }

    fn publish(&self, topic: &str, partition: i32, contents: impl IntoIterator<Item = String>) {
        for content in contents {
            let record = BaseRecord::<(), _>::to(topic).partition(partition).payload(&content);
            self.producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        self.producer.flush(PATIENCE).unwrap();
    }

    fn broker(&self, shared: Value) -> Rc<dyn Broker> {
        broker(&self.cluster.bootstrap_servers(), shared)
    }

    /// One that reads and writes `topic`.
    fn of(&self, topic: &str, reset: &str) -> Rc<dyn Broker> {
        self.broker(json!({
            "consumer": { "topics": [topic], "autoOffsetReset": reset, "encodeMessageId": false, "properties": FAST },
            "producer": { "topics": [topic] },
        }))
    }
}

/// The simulated broker answers an idle fetch only when its time is over.
const FAST: Fast = Fast;
struct Fast;
impl serde::Serialize for Fast {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        BTreeMap::from([("fetch.wait.max.ms", 10)]).serialize(to)
    }
}

fn node(value: &Value) -> Node {
    Node::parse_json("test", &value.to_string()).unwrap()
}

fn broker(servers: &str, shared: Value) -> Rc<dyn Broker> {
    let (own, shared) = (node(&json!({ "bootstrapServers": servers })), node(&shared));
    let source =
        Source { configuration: Some(&own), shared: Some(&shared), place: "test", resources: &[], groups: &[] };
    match (BROKER.build)(source, &Services::default()) {
        Ok(broker) => broker,
        Err(refusal) => panic!("{refusal}"),
    }
}

fn wish(client: &str, qos: Qos) -> Subscribe {
    let live = qos == Qos::None;
    Subscribe { qos, live, cursor: None, client: client.into(), receipts: matches!(qos, Qos::Auto | Qos::AtLeastOnce) }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    let (mut future, mut late) = (pin!(future), pin!(sleep(PATIENCE)));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(out) => Poll::Ready(out),
        Poll::Pending => {
            assert!(late.as_mut().poll(cx).is_pending(), "nothing came");
            Poll::Pending
        }
    })
    .await
}

/// Whatever future ends first; `None`: the time was over.
async fn for_a_while<T>(time: Duration, future: impl Future<Output = T>) -> Option<T> {
    let (mut future, mut late) = (pin!(future), pin!(sleep(time)));
    poll_fn(|cx| match (future.as_mut().poll(cx), late.as_mut().poll(cx)) {
        (Poll::Ready(out), _) => Poll::Ready(Some(out)),
        (_, Poll::Ready(())) => Poll::Ready(None),
        _ => Poll::Pending,
    })
    .await
}

async fn subscribed(broker: &Rc<dyn Broker>, wish: &Subscribe) -> Feed {
    let mut feed = broker.subscribe(wish, &Attributes::default()).unwrap();
    match within(feed.next()).await {
        Some(Delivery::Ready) => feed,
        other => panic!("{other:?}"),
    }
}

async fn refused(broker: &Rc<dyn Broker>, wish: &Subscribe) -> Fault {
    let mut feed = broker.subscribe(wish, &Attributes::default()).unwrap();
    match within(feed.next()).await {
        Some(Delivery::Fault(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

/// The next message, whose credit goes back at once. A broker that is away meanwhile is waited for.
async fn next(feed: &mut Feed) -> Message {
    loop {
        match within(feed.next()).await {
            Some(Delivery::Message(message)) => {
                feed.grant(message.weight());
                return message;
            }
            Some(Delivery::Away(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Nothing comes but news of the broker.
async fn stays_silent(feed: &mut Feed) {
    loop {
        match for_a_while(Duration::from_millis(300), feed.next()).await {
            None => return,
            Some(Some(Delivery::Away(_))) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn text(message: &Message) -> String {
    String::from_utf8(message.content.to_vec()).unwrap()
}

fn id(feed: &Feed, message: &Message) -> String {
    let mut out = BytesMut::new();
    feed.origin.id(message, &mut out);
    String::from_utf8(out.to_vec()).unwrap()
}

fn numbers(range: std::ops::Range<usize>) -> impl Iterator<Item = String> {
    range.map(|number| number.to_string())
}

#[test]
fn a_live_subscription_gets_everything_from_its_acceptance_on_and_nothing_before() {
    on_a_shard(|| async {
        let cluster = Cluster::new(&[("events", 1)]);
        cluster.publish("events", 0, numbers(0..5));
        // Also where a consumer without a place would begin at the beginning: a live one has none to look for.
        let broker = cluster.of("events", "earliest");
        let mut feed = subscribed(&broker, &wish("a", Qos::None)).await;
        cluster.publish("events", 0, numbers(5..1_000));
        for number in 5..1_000 {
            let message = next(&mut feed).await;
            assert_eq!(text(&message), number.to_string());
            assert_eq!(message.position.offset, number as i64);
        }
    });
}

#[test]
fn key_headers_and_metadata_come_and_go_as_they_are() {
    on_a_shard(|| async {
        let cluster = Cluster::new(&[("events", 3)]);
        let broker = cluster.of("events", "latest");
        let mut feed = subscribed(&broker, &wish("a", Qos::None)).await;
        let headers = OwnedHeaders::new()
            .insert(Header { key: "x", value: Some("1") })
            .insert(Header { key: "X", value: Some("") })
            .insert(Header { key: "none", value: None::<&str> });
        let record = BaseRecord::to("events")
            .partition(2)
            .key("k")
            .payload("theirs")
            .headers(headers)
            .timestamp(1_700_000_000_123);
        cluster.producer.send(record).map_err(|(error, _)| error).unwrap();
        let message = next(&mut feed).await;
        assert_eq!((text(&message).as_str(), message.key.as_deref()), ("theirs", Some(&b"k"[..])));
        let pair = |name: &'static str, value: &'static str| (Bytes::from(name), Bytes::from(value));
        assert_eq!(message.headers, [pair("x", "1"), pair("X", ""), pair("none", "")]);
        let mut metadata = BTreeMap::new();
        feed.origin.metadata(&message, &mut |name, value| {
            metadata.insert(name.to_owned(), String::from_utf8(value.to_vec()).unwrap());
        });
        let shown: Vec<_> = metadata.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(
            shown,
            [("key", "k"), ("offset", "0"), ("partition", "2"), ("timestamp", "1700000000123"), ("topic", "events")]
        );
        assert_eq!(id(&feed, &message), "events@2#0");

        let mut attributes = Attributes::default();
        attributes.set("gravitee.attribute.kafka.partition", "1");
        attributes.set("kafka.recordKey", "of the request");
        let mut own = Attributes::default();
        own.set("gravitee.attribute.kafka.recordKey", "of the message");
        let ours = Message {
            headers: vec![pair("a", "b"), pair("a", "c")],
            attributes: Some(Box::new(own)),
            ..Message::new("ours")
        };
        within(broker.publish(ours, Qos::Auto, &attributes)).await.unwrap();
        let message = next(&mut feed).await;
        assert_eq!(id(&feed, &message), "events@1#0,2#0");
        assert_eq!((text(&message).as_str(), message.key.as_deref()), ("ours", Some(&b"of the message"[..])));
        assert_eq!(message.headers, [pair("a", "b"), pair("a", "c")]);
    });
}

#[test]
fn messages_of_one_key_keep_their_order_and_their_partition() {
    on_a_shard(|| async {
        let cluster = Cluster::new(&[("events", 4)]);
        let broker = cluster.of("events", "latest");
        let mut feed = subscribed(&broker, &wish("a", Qos::None)).await;
        let mut verdicts = Vec::new();
        for number in 0..2_000 {
            let key = Bytes::from(format!("key {}", number % 7));
            let message = Message { key: Some(key), ..Message::new(number.to_string()) };
            verdicts.push(broker.publish(message, Qos::Auto, &Attributes::default()));
        }
        for verdict in verdicts {
            within(verdict).await.unwrap();
        }
        let mut last: BTreeMap<Bytes, (u32, usize)> = BTreeMap::new();
        for _ in 0..2_000 {
            let message = next(&mut feed).await;
            let number: usize = text(&message).parse().unwrap();
            let before = last.insert(message.key.clone().unwrap(), (message.position.part, number));
            assert!(before.is_none_or(|(part, before)| part == message.position.part && before < number));
        }
        let parts: BTreeSet<u32> = last.values().map(|(part, _)| *part).collect();
        assert!(parts.len() > 1, "seven keys in one partition of four");
    });
}

#[test]
fn at_least_once_goes_on_behind_what_was_acknowledged_without_a_gap() {
    on_a_shard(|| async {
        let cluster = Cluster::new(&[("events", 1)]);
        cluster.publish("events", 0, numbers(0..10));
        let broker = cluster.of("events", "earliest");
        let wish = wish("one consumer", Qos::AtLeastOnce);
        let mut feed = subscribed(&broker, &wish).await;
        for number in 0..10 {
            let message = next(&mut feed).await;
            assert_eq!(text(&message), number.to_string());
            match number {
                0..4 | 7 => feed.receipt(Receipt::Ack(message.position)),
                _ => feed.receipt(Receipt::Nack(message.position)),
            }
        }
        feed.ring();
        feed.settled().await;
        drop(feed);
        let mut feed = subscribed(&broker, &wish).await;
        for number in 4..10 {
            assert_eq!(text(&next(&mut feed).await), number.to_string());
        }
    });
}

#[test]
fn at_most_once_never_comes_again() {
    on_a_shard(|| async {
        let cluster = Cluster::new(&[("events", 1)]);
        cluster.publish("events", 0, numbers(0..10));
        let broker = cluster.of("events", "earliest");
        let wish = wish("one consumer", Qos::AtMostOnce);
        let mut feed = subscribed(&broker, &wish).await;
        for number in 0..3 {
            assert_eq!(text(&next(&mut feed).await), number.to_string());
        }
        // What was committed and never taken is for the next one.
        drop(feed);
        let mut feed = subscribed(&broker, &wish).await;
        for number in 3..10 {
            assert_eq!(text(&next(&mut feed).await), number.to_string());
        }
    });
}

#[test]
fn a_group_that_began_at_the_end_misses_nothing_that_comes_while_it_is_away() {
    on_a_shard(|| async {
        let cluster = Cluster::new(&[("events", 2)]);
        cluster.publish("events", 0, numbers(0..5));
        let broker = cluster.of("events", "latest");
        let wish = wish("polls now and then", Qos::Auto);
        drop(subscribed(&broker, &wish).await);
        cluster.publish("events", 0, ["in between".to_owned()]);
        let mut feed = subscribed(&broker, &wish).await;
        assert_eq!(text(&next(&mut feed).await), "in between");
    });
}

#[test]
fn a_subscription_goes_on_behind_its_cursor() {
    on_a_shard(|| async {
        let cluster = Cluster::new(&[("events", 2), ("others", 1)]);
        let broker = cluster.of("events", "earliest");
        cluster.publish("events", 0, numbers(0..10));
        cluster.publish("events", 1, numbers(100..110));
        for (qos, cursor, wanted) in [
            (Qos::AtLeastOnce, "events@0#6,1#8", ["109", "7", "8", "9"]),
            (Qos::AtMostOnce, "events@0#7,1#7", ["108", "109", "8", "9"]),
            (Qos::None, "events@0#8,1#6", ["107", "108", "109", "9"]),
        ] {
            let wish = Subscribe { cursor: Some(Bytes::from(cursor)), ..wish(&format!("{qos:?}"), qos) };
            let mut feed = subscribed(&broker, &wish).await;
            let mut seen = BTreeSet::new();
            let mut last = String::new();
            for _ in 0..4 {
                let message = next(&mut feed).await;
                last = id(&feed, &message);
                seen.insert(text(&message));
            }
            assert_eq!(Vec::from_iter(seen), wanted, "{qos:?}");
            assert_eq!(last, "events@0#9,1#9", "{qos:?}");
        }
        for cursor in ["others@0#1", "nonsense", ""] {
            let wish = Subscribe { cursor: Some(Bytes::from(cursor)), ..wish("a", Qos::AtLeastOnce) };
            let outcome = broker.subscribe(&wish, &Attributes::default());
            assert_eq!(outcome.err().map(|fault| fault.cause), Some(Cause::CursorInvalid), "{cursor:?}");
        }
    });
}

#[test]
fn a_topic_that_is_not_there_or_not_ours_ends_the_subscription() {
    on_a_shard(|| async {
        let cluster = Cluster::new(&[("closed", 1)]);
        for (qos, check) in [(Qos::None, false), (Qos::Auto, true), (Qos::Auto, false)] {
            let consumer = json!({ "topics": ["missing"], "checkTopicExistence": check, "properties": FAST });
            let broker = cluster.broker(json!({ "consumer": consumer }));
            let fault = refused(&broker, &wish("a", qos)).await;
            assert_eq!(fault, Fault::new(Cause::SubscribeFailed).detail("no such topic"), "{qos:?}, {check}");
        }
        cluster.cluster.topic_error("closed", RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED).unwrap();
        let fault = refused(&cluster.of("closed", "latest"), &wish("a", Qos::None)).await;
        assert_eq!(fault.cause, Cause::BrokerRefused);
        let publishing = cluster.of("closed", "latest").publish(Message::new("x"), Qos::Auto, &Attributes::default());
        assert_eq!(within(publishing).await.map_err(|fault| fault.cause), Err(Cause::BrokerRefused));
    });
}

#[test]
fn a_feed_that_takes_nothing_pauses_its_partitions_and_loses_nothing() {
    on_a_shard(|| async {
        const MESSAGES: usize = 5_000;
        said::listen();
        let cluster = Cluster::new(&[("paused", 1)]);
        let broker = cluster.of("paused", "latest");
        let mut feed = subscribed(&broker, &wish("a", Qos::None)).await;
        let long = |number: usize| format!("{number} {}", "x".repeat(1_000));
        cluster.publish("paused", 0, (0..MESSAGES).map(long));
        within(async {
            while !said::of("\"paused\"", "partitions are paused") {
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        let mut owed = 0;
        let mut held = 0;
        while let Some(Some(Delivery::Message(message))) = for_a_while(Duration::from_millis(300), feed.next()).await {
            owed += message.weight();
            held += 1;
        }
        assert!(owed <= ringway_contract::FEED_WINDOW_BYTES, "{held} messages of {owed} bytes");
        assert!(held > 100, "{held}");
        feed.grant(owed);
        for number in held..MESSAGES {
            assert_eq!(text(&next(&mut feed).await).split(' ').next().unwrap(), number.to_string());
        }
    });
}

#[test]
fn large_messages_are_handed_over_where_they_lie_and_outlive_their_client() {
    on_a_shard(|| async {
        let cluster = Cluster::new(&[("events", 1)]);
        let shared = json!({
            "consumer": { "topics": ["events"], "removeConfluentHeader": true, "properties": FAST },
            "producer": { "topics": ["events"], "compressionType": "zstd" },
        });
        let broker = cluster.broker(shared);
        let mut feed = subscribed(&broker, &wish("a", Qos::None)).await;
        let body = "abcdefgh".repeat(50_000);
        for head in [&b"\0\0\0\0\x07"[..], b""] {
            let content = [head, body.as_bytes()].concat();
            within(broker.publish(Message::new(content), Qos::Auto, &Attributes::default())).await.unwrap();
        }
        let held = [next(&mut feed).await, next(&mut feed).await];
        drop(feed);
        for message in held {
            assert_eq!(message.content, body.as_bytes());
        }
    });
}

#[test]
fn what_the_broker_does_not_take_is_told_apart() {
    on_a_shard(|| async {
        let cluster = Cluster::new(&[("events", 1)]);
        let producer = json!({ "topics": ["events"], "deliveryTimeoutMs": 1_500, "checkTopicExistence": true });
        let broker = cluster.broker(json!({ "producer": producer }));
        let publish = |content: usize, attributes: &[(&'static str, &'static str)]| {
            let mut all = Attributes::default();
            attributes.iter().for_each(|(name, value)| all.set(*name, *value));
            broker.publish(Message::new(vec![b'x'; content]), Qos::Auto, &all)
        };
        assert_eq!(within(publish(10, &[])).await, Ok(()));
        let cause = |outcome: Result<(), Fault>| outcome.map_err(|fault| (fault.cause, fault.detail));
        assert_eq!(cause(within(publish(2_000_000, &[])).await), Err((Cause::MessageTooLarge, "")));
        let missing = within(publish(10, &[("kafka.producer.topics", "missing")])).await;
        assert_eq!(cause(missing), Err((Cause::PublishFailed, "no such topic")));
        let nowhere = within(publish(10, &[("kafka.partition", "7")])).await;
        assert_eq!(cause(nowhere), Err((Cause::PublishFailed, "no such partition")));
        let nonsense = within(publish(10, &[("kafka.topics", "a b")])).await;
        assert_eq!(cause(nonsense), Err((Cause::PublishFailed, "an attribute names no topic")));

        cluster.cluster.broker_down(-1).unwrap();
        let away = within(publish(10, &[])).await.unwrap_err();
        assert!(matches!(away.cause, Cause::BrokerUnreachable | Cause::BrokerTimeout), "{away}");
        cluster.cluster.broker_up(-1).unwrap();
        // It comes back by itself, whenever the client finds out.
        let mut again = within(publish(10, &[])).await;
        for _ in 0..10 {
            if again.is_err() {
                again = within(publish(10, &[])).await;
            }
        }
        assert_eq!(again, Ok(()));
    });
}

#[test]
fn a_message_goes_to_every_topic_and_at_the_level_none_nobody_waits_for_it() {
    on_a_shard(|| async {
        let cluster = Cluster::new(&[("a", 1), ("b", 1)]);
        let shared = json!({
            "consumer": { "topics": { "pattern": "[ab]" }, "properties": FAST },
            "producer": { "topics": ["a", "b"] },
        });
        let broker = cluster.broker(shared);
        let mut feed = subscribed(&broker, &wish("x", Qos::None)).await;
        let message = || Message { headers: vec![(Bytes::from("h"), Bytes::from("v"))], ..Message::new("both") };
        within(broker.publish(message(), Qos::Auto, &Attributes::default())).await.unwrap();
        drop(broker.publish(message(), Qos::None, &Attributes::default()));
        let mut topics = Vec::new();
        for _ in 0..4 {
            let message = next(&mut feed).await;
            assert_eq!((text(&message).as_str(), message.headers.len()), ("both", 1));
            feed.origin.metadata(&message, &mut |name, value| {
                if name == "topic" {
                    topics.push(String::from_utf8(value.to_vec()).unwrap());
                }
            });
        }
        topics.sort();
        assert_eq!(topics, ["a", "a", "b", "b"]);
        let subject = broker.subject(&wish("x", Qos::None), &Attributes::default());
        assert_eq!(subject.as_deref(), Some("^^(?:[ab])$"));
        let mut other = Attributes::default();
        other.set("kafka.consumer.topics", "a, b");
        assert_eq!(broker.subject(&wish("y", Qos::None), &other).as_deref(), Some("a,b"));
        assert_eq!(broker.subject(&wish("y", Qos::Auto), &other), None);
    });
}

#[test]
fn two_consumers_of_a_group_share_its_partitions_and_lose_nothing_when_one_goes() {
    on_a_shard(|| async {
        const MESSAGES: usize = 400;
        let cluster = Cluster::new(&[("events", 4)]);
        let broker = cluster.of("events", "earliest");
        let wish = wish("shared", Qos::AtLeastOnce);
        let mut first = subscribed(&broker, &wish).await;
        let mut second = subscribed(&broker, &wish).await;
        let publish = |from: usize, to: usize| {
            for partition in 0..4 {
                cluster.publish(
                    "events",
                    partition,
                    (from..to).filter(|at| at % 4 == partition as usize).map(|at| at.to_string()),
                );
            }
        };
        publish(0, MESSAGES / 2);
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let (mut of_first, mut of_second) = (0, 0);
        // The first gives half of its partitions up when it hears of the second.
        while seen.len() < MESSAGES / 2 {
            for (feed, count) in [(&mut first, &mut of_first), (&mut second, &mut of_second)] {
                while let Some(Some(Delivery::Message(message))) =
                    for_a_while(Duration::from_millis(20), feed.next()).await
                {
                    feed.grant(message.weight());
                    feed.receipt(Receipt::Ack(message.position));
                    feed.ring();
                    *seen.entry(text(&message)).or_default() += 1;
                    *count += 1;
                }
            }
        }
        assert!(of_first > 0 && of_second > 0, "{of_first} and {of_second}");
        second.settled().await;
        drop(second);
        publish(MESSAGES / 2, MESSAGES);
        while seen.len() < MESSAGES {
            let message = next(&mut first).await;
            first.receipt(Receipt::Ack(message.position));
            first.ring();
            *seen.entry(text(&message)).or_default() += 1;
        }
        let again = seen.values().filter(|count| **count > 1).count();
        println!("{MESSAGES} messages, all delivered, {again} of them more than once");
    });
}

#[test]
fn a_subscription_waits_for_a_broker_that_is_away_and_recovers() {
    on_a_shard(|| async {
        let cluster = Cluster::new(&[("events", 1)]);
        cluster.cluster.broker_down(-1).unwrap();
        let broker = cluster.of("events", "latest");
        let mut feed = broker.subscribe(&wish("a", Qos::None), &Attributes::default()).unwrap();
        stays_silent(&mut feed).await;
        cluster.cluster.broker_up(-1).unwrap();
        while !matches!(within(feed.next()).await, Some(Delivery::Ready)) {}
        cluster.publish("events", 0, ["one".to_owned()]);
        assert_eq!(text(&next(&mut feed).await), "one");
        cluster.cluster.broker_down(-1).unwrap();
        stays_silent(&mut feed).await;
        cluster.cluster.broker_up(-1).unwrap();
        cluster.publish("events", 0, ["two".to_owned()]);
        assert_eq!(text(&next(&mut feed).await), "two");
    });
}

#[test]
fn what_cannot_be_is_refused_with_its_place() {
    let table = [
        (json!({}), "sharedConfiguration", "neither a consumer nor a producer"),
        (json!({ "consumer": { "topics": [] } }), "sharedConfiguration.consumer.topics", "names no topic"),
        (
            json!({ "consumer": { "topics": ["a", "b c"] } }),
            "sharedConfiguration.consumer.topics[1]",
            "no name of a topic",
        ),
        (
            json!({ "consumer": { "topics": { "pattern": "(" } } }),
            "sharedConfiguration.consumer.topics.pattern",
            "regex",
        ),
        (
            json!({ "producer": { "topics": ["a"], "acks": "none" } }),
            "sharedConfiguration.producer.acks",
            "idempotence",
        ),
        (
            json!({ "producer": { "topics": ["a"], "properties": { "bootstrap.servers": "b" } } }),
            "sharedConfiguration.producer.properties.bootstrap.servers",
            "none of the settings",
        ),
        (
            json!({ "consumer": { "topics": ["a"], "properties": { "session.timeout.ms": "soon" } } }),
            "sharedConfiguration",
            "session.timeout.ms",
        ),
        (
            json!({ "security": { "protocol": "SASL_SSL", "sasl": { "saslMechanism": "GSSAPI" } }, "producer": { "topics": ["a"] } }),
            "sharedConfiguration.security.sasl.saslMechanism",
            "is not spoken",
        ),
        (
            json!({ "security": { "protocol": "SASL_SSL", "sasl": { "saslJaasConfig": "x required username=\"a\";" } }, "producer": { "topics": ["a"] } }),
            "sharedConfiguration.security.sasl.saslJaasConfig",
            "lacks a `password`",
        ),
        (
            json!({ "security": { "protocol": "SSL", "ssl": { "trustStore": { "type": "JKS", "location": "/none/a.jks" } } }, "producer": { "topics": ["a"] } }),
            "sharedConfiguration.security.ssl.trustStore.location",
            "cannot read /none/a.jks",
        ),
        (
            json!({ "security": { "protocol": "SSL", "ssl": { "trustStore": { "type": "PEM", "certificates": "none" } } }, "producer": { "topics": ["a"] } }),
            "sharedConfiguration",
            "ssl.ca.pem",
        ),
    ];
    let own = node(&json!({ "bootstrapServers": "localhost:1" }));
    for (shared, at, message) in table {
        let problems = BROKER.configuration.examine.unwrap()(Some(&own), Some(&node(&shared)));
        let [problem] = problems.as_slice() else { panic!("{shared}: {problems:?}") };
        let shown = problem.to_string();
        assert!(shown.contains(at) && shown.contains(message), "{shared}: {shown}");
    }
    let good = json!({
        "security": { "protocol": "SASL_SSL", "sasl": { "saslMechanism": "OAUTHBEARER", "saslJaasConfig": "x required access_token=\"a\";" } },
        "consumer": { "topics": ["a"], "properties": { "session.timeout.ms": 10_000 } },
        "producer": { "topics": ["a"], "acks": "leader", "idempotence": false, "compressionType": "lz4" },
    });
    assert_eq!(BROKER.configuration.examine.unwrap()(Some(&own), Some(&node(&good))).len(), 0);
    let nobody = node(&json!({ "bootstrapServers": "a:1,,b:2" }));
    assert_eq!(BROKER.configuration.examine.unwrap()(Some(&nobody), Some(&node(&good))).len(), 1);
}

#[test]
fn the_simulated_cluster_has_what_these_tests_lean_on() {
    let cluster = Cluster::new(&[("events", 1)]);
    let outcome = cluster.cluster.create_topic("events", 1, 1);
    assert_eq!(outcome.err().and_then(|error| error.rdkafka_error_code()), Some(RDKafkaErrorCode::TopicAlreadyExists));
}
