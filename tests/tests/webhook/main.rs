//! `webhook` in front of real brokers.
//!
//! A binary of its own, as it needs them all.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code outside of test functions")]

mod audits;
mod letters;
mod pairs;

use ringway_tests::{Api, Gateway, Kafka, Mosquitto, RabbitMq};
use serde_json::{Value, json};

/// A broker with a place of the test's own.
struct Broker<'a> {
    kind: &'static str,
    /// Of the API: brokers remember by it how far a subscription has come.
    id: String,
    configuration: Value,
    shared: Value,
    publish: Box<dyn Fn(Vec<String>) + 'a>,
}

impl Broker<'_> {
    /// An API whose messages are sent to one subscriber.
    fn api(&self, qos: &str, url: &str) -> Api {
        // Whoever fails is asked again at once, and the next message follows if that was in vain.
        let retry = json!({ "retryOption": "Retry On Fail", "maxAttempts": 100, "initialDelaySeconds": 0, "maxDelaySeconds": 0 });
        let entrypoint = json!({ "type": "webhook", "qos": qos,
            "configuration": { "allowPrivateAddresses": true, "interruptConsumptionOnServerError": false } });
        Api::messages("/", json!([]), self.kind, self.configuration.clone())
            .with("endpointGroups/0/sharedConfiguration", self.shared.clone())
            .with("endpointGroups/0/endpoints/0/inheritConfiguration", json!(true))
            .with("id", json!(self.id))
            .with("listeners/0", json!({ "type": "SUBSCRIPTION", "entrypoints": [entrypoint] }))
            .with("plans", json!([{ "id": "push", "name": "Hooks", "mode": "PUSH", "status": "PUBLISHED" }]))
            .with(
                "subscriptions",
                json!([{ "id": format!("sub-{qos}"), "plan": "push", "application": "app", "consumerConfiguration": {
                "entrypointId": "webhook", "entrypointConfiguration": { "callbackUrl": url, "retry": retry } } }]),
            )
    }
}

/// A topic with one partition, so that there is an order.
fn kafka(purpose: &str) -> Broker<'static> {
    let kafka = Kafka::shared();
    let topic = kafka.topic(purpose, 1);
    Broker {
        kind: "kafka",
        id: format!("kafka-{purpose}"),
        configuration: json!({ "bootstrapServers": kafka.servers() }),
        shared: json!({ "consumer": { "topics": [topic], "autoOffsetReset": "earliest" } }),
        publish: Box::new(move |contents| kafka.publish(&topic, contents)),
    }
}

/// Publishes to an exchange, with confirms.
const PUBLISHED: &str = "channel.confirm_delivery()
for content in arguments[2].split(','):
    channel.basic_publish(arguments[0], arguments[1], content.encode(), pika.BasicProperties(delivery_mode=2))";

/// An exchange, to which the gateway binds a queue.
fn rabbitmq(purpose: &str) -> Broker<'static> {
    let node = RabbitMq::shared();
    let exchange = format!("hooks-{purpose}");
    node.pika("channel.exchange_declare(arguments[0], 'topic', durable=True)", &[&exchange]);
    Broker {
        kind: "rabbitmq",
        id: format!("rabbitmq-{purpose}"),
        configuration: json!({ "serverHost": "127.0.0.1", "serverPort": node.address().port() }),
        shared: json!({ "consumer": { "exchange": { "name": exchange, "type": "topic" }, "routingKey": "a.#" } }),
        publish: Box::new(move |contents| {
            node.pika(PUBLISHED, &[&exchange, "a.b", &contents.join(",")]);
        }),
    }
}

/// A queue, by AMQP 1.0.
fn solace(purpose: &str) -> Broker<'static> {
    let node = RabbitMq::shared();
    let queue = format!("hooks-solace-{purpose}");
    node.pika("channel.queue_declare(arguments[0], durable=True)", &[&queue]);
    Broker {
        kind: "solace",
        id: format!("solace-{purpose}"),
        configuration: json!({ "protocol": "AMQP", "url": format!("tcp://{}", node.address()) }),
        shared: json!({
            "consumer": { "queue": format!("/amq/queue/{queue}") },
            "security": { "auth": { "username": "guest", "password": "guest" } },
        }),
        publish: Box::new(move |contents| {
            node.pika(PUBLISHED, &["", &queue, &contents.join(",")]);
        }),
    }
}

fn mqtt5<'a>(mosquitto: &'a Mosquitto, purpose: &str) -> Broker<'a> {
    let topic = format!("hooks/{purpose}");
    Broker {
        kind: "mqtt5",
        id: format!("mqtt5-{purpose}"),
        configuration: json!({ "serverHost": "127.0.0.1", "serverPort": mosquitto.address().port() }),
        shared: json!({ "consumer": { "topic": topic, "qos": 1 } }),
        publish: Box::new(move |contents| mosquitto.publish_lines(&topic, 1, contents)),
    }
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

fn count(gateway: &Gateway, what: &str) -> usize {
    gateway.metric(&format!("ringway_api_messages_{what}_total"), &[]) as usize
}
