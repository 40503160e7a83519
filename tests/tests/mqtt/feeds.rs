//! The endpoint without an entrypoint: the levels that acknowledge, and what a slow client does to its broker.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use ringway_connectors::mqtt5::BROKER;
use ringway_contract::{Attributes, Broker, Delivery, Feed, Message, Node, Qos, Receipt, Services, Source, Subscribe};
use ringway_net::{Shard, ShardOptions, run_shard, sleep};
use ringway_tests::{DEADLINE, Mosquitto};
use serde_json::{Value, json};

use super::numbers;

/// Runs `main` on a shard.
pub fn on_a_shard<Fut: Future<Output = ()> + 'static>(main: impl FnOnce() -> Fut + Send + 'static) {
    if let Err(panic) = run_shard(ShardOptions::new(0), |_: Rc<Shard>| main()).unwrap().join() {
        std::panic::resume_unwind(panic);
    }
}

pub fn broker(mosquitto: &Mosquitto, shared: Value) -> Rc<dyn Broker> {
    let own = json!({ "serverHost": "127.0.0.1", "serverPort": mosquitto.address().port() });
    let node = |value: &Value| Node::parse_json("test", &value.to_string()).unwrap();
    let (own, shared) = (node(&own), node(&shared));
    match (BROKER.build)(
        Source { configuration: Some(&own), shared: Some(&shared), place: "test", resources: &[], groups: &[] },
        &Services::default(),
    ) {
        Ok(broker) => broker,
        Err(refusal) => panic!("{refusal}"),
    }
}

pub fn wish(qos: Qos) -> Subscribe {
    let live = qos == Qos::None;
    Subscribe { qos, live, cursor: None, client: "consumer".into(), receipts: matches!(qos, Qos::AtLeastOnce) }
}

pub async fn within<T>(future: impl Future<Output = T>) -> T {
    let (mut future, mut late) = (pin!(future), pin!(sleep(DEADLINE)));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(out) => Poll::Ready(out),
        Poll::Pending => {
            assert!(late.as_mut().poll(cx).is_pending(), "nothing came");
            Poll::Pending
        }
    })
    .await
}

pub async fn subscribed(broker: &Rc<dyn Broker>, qos: Qos) -> Feed {
    let mut feed = broker.subscribe(&wish(qos), &Attributes::default()).unwrap();
    match within(feed.next()).await {
        Some(Delivery::Ready) => feed,
        other => panic!("{other:?}"),
    }
}

/// The next message, whose credit goes back at once. A broker that is away meanwhile is waited for.
pub async fn next(feed: &mut Feed) -> Message {
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

/// The next message, if it comes before one would look at something else again.
pub async fn soon(feed: &mut Feed) -> Option<Message> {
    let mut late = pin!(sleep(Duration::from_millis(10)));
    let delivery = poll_fn(|cx| match feed.poll_next(cx) {
        Poll::Ready(delivery) => Poll::Ready(delivery),
        Poll::Pending => late.as_mut().poll(cx).map(|()| None),
    });
    match delivery.await? {
        Delivery::Message(message) => {
            feed.grant(message.weight());
            Some(message)
        }
        Delivery::Away(_) => None,
        other => panic!("{other:?}"),
    }
}

pub fn text(message: &Message) -> String {
    String::from_utf8(message.content.to_vec()).unwrap()
}

fn acknowledge(feed: &mut Feed, message: &Message) {
    feed.receipt(Receipt::Ack(message.position));
    feed.ring();
}

/// Looks at a condition again and again; the shard goes on meanwhile.
pub async fn eventually(condition: impl Fn() -> bool) {
    within(async {
        while !condition() {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[test]
fn what_was_acknowledged_is_gone_and_what_was_not_comes_again() {
    for qos in [1, 2] {
        on_a_shard(move || async move {
            let mosquitto = Mosquitto::start();
            let broker = broker(&mosquitto, json!({ "consumer": { "topic": "t", "qos": qos } }));
            let mut feed = subscribed(&broker, Qos::AtLeastOnce).await;
            mosquitto.publish_lines("t", 2, numbers(0..10));
            for number in 0..10 {
                let message = next(&mut feed).await;
                assert_eq!(text(&message), number.to_string());
                // Also behind one that stays: acknowledgements keep their order, so 8 and 9 come again, too.
                if number != 7 {
                    acknowledge(&mut feed, &message);
                }
            }
            within(feed.settled()).await;
            drop(feed);
            eventually(|| mosquitto.log().contains("Received DISCONNECT from ringway-")).await;
            let mut feed = subscribed(&broker, Qos::AtLeastOnce).await;
            for number in 7..10 {
                let message = next(&mut feed).await;
                assert_eq!(text(&message), number.to_string());
                acknowledge(&mut feed, &message);
            }
            mosquitto.publish_lines("t", 2, ["last".to_owned()]);
            assert_eq!(text(&next(&mut feed).await), "last");
        });
    }
}

#[test]
fn a_message_with_too_many_properties_is_left_out_and_does_not_come_again() {
    for (level, qos) in [(Qos::None, 0), (Qos::AtMostOnce, 1), (Qos::AtLeastOnce, 1), (Qos::AtLeastOnce, 2)] {
        on_a_shard(move || async move {
            let mosquitto = Mosquitto::start();
            let broker = broker(&mosquitto, json!({ "consumer": { "topic": "t", "qos": qos } }));
            let mut feed = subscribed(&broker, level).await;
            let level_of_mqtt = qos.to_string();
            let publish = |content: &str, properties: usize| {
                let property = ["-D", "publish", "user-property", "a", "b"];
                let message = ["-t", "t", "-q", &level_of_mqtt, "-m", content];
                mosquitto.publish(&[&message[..], &property.repeat(properties)].concat());
            };
            publish("before", 1_024);
            publish("left out", 1_025);
            publish("behind", 0);
            for content in ["before", "behind"] {
                let message = next(&mut feed).await;
                assert_eq!(text(&message), content);
                if level == Qos::AtLeastOnce {
                    acknowledge(&mut feed, &message);
                }
            }
            let answer = ["PUBCOMP", "PUBACK", "PUBCOMP"][qos];
            let answers = if qos == 0 { 0 } else { 3 };
            let answer = format!("Received {answer} from ringway-");
            eventually(|| mosquitto.log().matches(&answer).count() == answers).await;
            drop(feed);
            eventually(|| mosquitto.log().contains("Received DISCONNECT from ringway-")).await;
            let mut feed = subscribed(&broker, level).await;
            publish("last", 0);
            assert_eq!(text(&next(&mut feed).await), "last");
        });
    }
}

#[test]
fn at_most_once_is_acknowledged_before_it_is_delivered() {
    on_a_shard(|| async {
        let mosquitto = Mosquitto::start();
        let broker = broker(&mosquitto, json!({ "consumer": { "topic": "t" } }));
        let feed = subscribed(&broker, Qos::AtMostOnce).await;
        mosquitto.publish_lines("t", 1, numbers(0..5));
        // Nobody takes anything.
        eventually(|| mosquitto.log().matches("Received PUBACK from ringway-").count() == 5).await;
        drop(feed);
        eventually(|| mosquitto.log().contains("Received DISCONNECT from ringway-")).await;
        let mut feed = subscribed(&broker, Qos::AtMostOnce).await;
        mosquitto.publish_lines("t", 1, ["new".to_owned()]);
        assert_eq!(text(&next(&mut feed).await), "new");
    });
}

#[test]
fn what_could_not_be_delivered_is_asked_for_again() {
    on_a_shard(|| async {
        let mosquitto = Mosquitto::start();
        let broker = broker(&mosquitto, json!({ "consumer": { "topic": "t" } }));
        let mut feed = subscribed(&broker, Qos::AtLeastOnce).await;
        mosquitto.publish_lines("t", 1, numbers(0..2));
        let (first, second) = (next(&mut feed).await, next(&mut feed).await);
        feed.receipt(Receipt::Nack(first.position));
        feed.receipt(Receipt::Ack(second.position));
        feed.ring();
        let again = next(&mut feed).await;
        assert_eq!((text(&again), again.position), (text(&first), first.position));
    });
}

#[test]
fn two_subscriptions_of_one_consumer_share_its_messages() {
    on_a_shard(|| async {
        let mosquitto = Mosquitto::start();
        let broker = broker(&mosquitto, json!({ "consumer": { "topic": "t" } }));
        let mut feeds = [subscribed(&broker, Qos::AtLeastOnce).await, subscribed(&broker, Qos::AtLeastOnce).await];
        mosquitto.publish_lines("t", 1, numbers(0..100));
        let mut counts = [0; 2];
        let mut seen = Vec::new();
        while seen.len() < 100 {
            let (at, message) = within(poll_fn(|cx| {
                for (at, feed) in feeds.iter_mut().enumerate() {
                    if let Poll::Ready(Some(Delivery::Message(message))) = feed.poll_next(cx) {
                        return Poll::Ready((at, message));
                    }
                }
                Poll::Pending
            }))
            .await;
            feeds[at].grant(message.weight());
            acknowledge(&mut feeds[at], &message);
            counts[at] += 1;
            seen.push(text(&message));
        }
        seen.sort_by_key(|number| number.parse::<usize>().unwrap());
        assert_eq!(seen, numbers(0..100));
        assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
        println!("a shared subscription was split {counts:?}");
        // The second leaves nothing behind: the first gets everything from now on.
        let [mut first, second] = feeds;
        drop(second);
        eventually(|| mosquitto.log().contains("Received UNSUBSCRIBE from ringway-")).await;
        eventually(|| mosquitto.log().contains("Received DISCONNECT from ringway-")).await;
        mosquitto.publish_lines("t", 1, numbers(0..20));
        for number in 0..20 {
            assert_eq!(text(&next(&mut first).await), number.to_string());
        }
    });
}

#[test]
fn a_client_that_takes_nothing_slows_its_broker_and_keeps_its_connection() {
    for (qos, topic) in [(0, "fast"), (1, "sure")] {
        on_a_shard(move || async move {
            let mosquitto = Mosquitto::start();
            let shared =
                json!({ "consumer": { "topic": topic, "qos": qos, "receiveMaximum": 50 }, "keepAliveInterval": 2 });
            let broker = broker(&mosquitto, shared);
            let mut feed = subscribed(&broker, Qos::AtLeastOnce).await;
            let large = "x".repeat(100_000);
            mosquitto.publish_lines(topic, qos, (0..60).map(|_| large.clone()));
            // Nothing is taken, and life goes on for longer than the broker would bear silence.
            eventually(|| mosquitto.log().matches("Received PINGREQ from ringway-").count() >= 3).await;
            let first = next(&mut feed).await;
            assert_eq!(first.content.len(), large.len());
            acknowledge(&mut feed, &first);
            let taken = std::iter::from_fn(|| feed.take()).count();
            assert!(taken <= 11, "{taken} messages of 100 kB, although there is credit for ten");
            assert_eq!(mosquitto.log().matches(" as ringway-").count(), 1, "it had to connect again");
        });
    }
}
