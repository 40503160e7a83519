//! Dead letters in real brokers, and groups of these.

use ringway_tests::{Backend, Gateway, Kafka, Mosquitto, Port, wait_until};
use serde_json::{Value, json};

use super::{Broker, count, kafka, mqtt5, numbers};

#[test]
fn what_a_consumer_refuses_is_in_the_topic_of_dead_letters_before_it_is_acknowledged() {
    const COUNT: usize = 20;
    let broker = kafka("refused");
    let letters = Kafka::shared().topic("letters", 1);
    let consumer = Backend::replies(|_, body| {
        let number: usize = String::from_utf8_lossy(body).parse().unwrap();
        let status = if number % 2 == 1 { "422 Unprocessable Content" } else { "200 OK" };
        format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")
    });
    let group = json!({ "name": "letters", "type": "kafka",
        "sharedConfiguration": { "producer": { "topics": [letters] } },
        "endpoints": [{ "name": "letter-box", "type": "kafka", "inheritConfiguration": true, "configuration": broker.configuration }] });
    let mut groups = json!([{ "name": "brokers", "type": "kafka", "sharedConfiguration": broker.shared,
        "endpoints": [{ "name": "broker", "type": "kafka", "inheritConfiguration": true, "configuration": broker.configuration }] }]);
    groups.as_array_mut().unwrap().push(group);
    let api = broker
        .api("AT_LEAST_ONCE", &consumer.target())
        .with("endpointGroups", groups)
        .with("listeners/0/entrypoints/0/dlq", json!({ "endpoint": "letters" }));
    let mut gateway = Gateway::serving(&[api]);
    (broker.publish)(numbers(0..COUNT));
    wait_until("all to be dealt with", || {
        (count(&gateway, "delivered"), count(&gateway, "dead_lettered")) == (COUNT / 2, COUNT / 2)
    });
    assert_eq!((count(&gateway, "refused"), count(&gateway, "retried")), (COUNT / 2, 0));
    let refused: Vec<String> = (0..COUNT).filter(|number| number % 2 == 1).map(|number| number.to_string()).collect();
    let published = || Kafka::shared().records(&letters).into_iter().map(|record| record.content).collect::<Vec<_>>();
    assert_eq!(published(), refused);
    // They are acknowledged: after a stop in order, another process goes on behind them.
    gateway.restart();
    (broker.publish)(vec![COUNT.to_string()]);
    wait_until("the next message", || consumer.seen().len() > COUNT);
    assert_eq!((consumer.seen().len(), published()), (COUNT + 1, refused));
}

/// A group of MQTT brokers, of which the first is away.
fn half_away(name: &str, broker: &Mosquitto) -> Value {
    let away = Port::new();
    let endpoints: Vec<Value> = [away.number(), broker.address().port()]
        .iter()
        .enumerate()
        .map(|(at, port)| {
            json!({ "name": format!("{name}-{at}"), "type": "mqtt5", "inheritConfiguration": true,
                "configuration": { "serverHost": "127.0.0.1", "serverPort": port } })
        })
        .collect();
    json!({ "name": name, "type": "mqtt5", "endpoints": endpoints,
        "sharedConfiguration": { "producer": { "topic": "letters" }, "consumer": { "topic": "in" } } })
}

#[test]
fn dead_letters_go_to_a_broker_of_their_group_that_is_there_or_to_the_endpoint_that_is_named() {
    const COUNT: usize = 10;
    for (dlq, first) in [("letters", "away"), ("letters-1", "there")] {
        let mosquitto = Mosquitto::start();
        mosquitto.register("auditor", "letters");
        let consumer = Backend::replies(|_, _| "HTTP/1.1 422 No\r\nContent-Length: 0\r\n\r\n".to_owned());
        let broker = Broker {
            kind: "mock",
            id: format!("letters-{first}"),
            configuration: json!({ "messageInterval": 0, "messageContent": "m", "messageCount": COUNT }),
            shared: json!({}),
            publish: Box::new(|_| {}),
        };
        let made_up = json!({ "name": "brokers", "type": "mock",
            "endpoints": [{ "name": "broker", "type": "mock", "configuration": broker.configuration }] });
        let api = broker
            .api("AT_LEAST_ONCE", &consumer.target())
            .with("endpointGroups", json!([made_up, half_away("letters", &mosquitto)]))
            .with("listeners/0/entrypoints/0/dlq", json!({ "endpoint": dlq }));
        let gateway = Gateway::serving(&[api]);
        wait_until("all to be put away", || count(&gateway, "dead_lettered") == COUNT);
        let kept = mosquitto.drain("auditor", "letters");
        println!("dead letters of {dlq}: {COUNT} refused, {} kept", kept.len());
        let wanted: Vec<String> = (0..COUNT).map(|number| format!("m {number}")).collect();
        assert_eq!(kept, wanted, "{dlq}");
    }
}

#[test]
fn a_subscription_goes_on_at_the_other_broker_when_its_own_is_killed() {
    let (mut first, second) = (Mosquitto::start(), Mosquitto::start());
    let consumer = Backend::ok("ok");
    let broker = mqtt5(&first, "moved");
    let endpoint = |name: &str, mosquitto: &Mosquitto| {
        let place = json!({ "serverHost": "127.0.0.1", "serverPort": mosquitto.address().port() });
        json!({ "name": name, "type": "mqtt5", "inheritConfiguration": true, "configuration": place })
    };
    let endpoints = json!([endpoint("one", &first), endpoint("two", &second)]);
    let api = broker.api("AT_LEAST_ONCE", &consumer.target()).with("endpointGroups/0/endpoints", endpoints);
    let gateway = Gateway::serving(&[api]);
    wait_until("a subscription", || first.log().contains("Sending SUBACK to ringway-"));
    (broker.publish)(numbers(0..5));
    wait_until("what the first one has", || consumer.seen().len() == 5);
    drop(broker);
    first.kill();
    wait_until("a subscription of the other", || second.log().contains("Sending SUBACK to ringway-"));
    second.publish_lines("hooks/moved", 1, numbers(5..10));
    wait_until("what the second one has", || consumer.seen().len() == 10);
    let bodies: Vec<_> = consumer.seen().iter().map(|(_, body)| String::from_utf8_lossy(body).into_owned()).collect();
    assert_eq!(bodies, numbers(0..10));
    assert_eq!(count(&gateway, "delivered"), 10);
}
