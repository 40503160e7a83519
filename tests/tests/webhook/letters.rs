//! Dead letters in a real broker.

use ringway_tests::{Backend, Gateway, Kafka, wait_until};
use serde_json::json;

use super::{count, kafka, numbers};

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
