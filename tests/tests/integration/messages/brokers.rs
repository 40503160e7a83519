//! What holds for RabbitMQ and Solace alike: policies on messages, and groups of which one broker is away.

use ringway_tests::{Api, Gateway, Port, RabbitMq};
use serde_json::{Value, json};

use crate::passages::{HELD, elsewhere, pass, through};

const QUEUES: &str = "channel.exchange_declare(arguments[0], 'topic', durable=True)
for name, key in (('passed', 'a.b'), ('passed-other', 'c.d')):
    channel.queue_declare(name, durable=True)
    channel.queue_bind(name, arguments[0], key)";

/// All that a queue holds: headers and bodies.
const HELD_IN: &str = "out = []
while True:
    method, properties, body = channel.basic_get(arguments[0], auto_ack=True)
    if method is None: break
    out.append([properties.headers.get('X-Id'), body.decode()])
print(json.dumps(out))";

fn rabbitmq(exchange: &str) -> Value {
    let exchange = json!({ "name": exchange, "type": "topic" });
    json!({
        "consumer": { "exchange": exchange, "routingKey": "a.#" },
        "producer": { "exchange": exchange, "routingKey": "a.b" },
    })
}

#[test]
fn messages_pass_policies_on_both_ways_and_an_attribute_names_another_routing_key() {
    let node = RabbitMq::shared();
    node.pika(QUEUES, &["passages"]);
    let broker = json!({ "serverHost": "127.0.0.1", "serverPort": node.address().port() });
    let api = Api::messages("/", json!([]), "rabbitmq", broker)
        .with("endpointGroups/0/sharedConfiguration", rabbitmq("passages"))
        .with("endpointGroups/0/endpoints/0/inheritConfiguration", json!(true));
    pass(&Gateway::serving(&[through(api, "rabbitmq.routingKey")]), "c.d");
    let held = |queue: &str| serde_json::from_str::<Value>(&node.pika(HELD_IN, &[queue])).unwrap();
    let ids = ["plain", "hidden", "marked"];
    assert_eq!(held("passed"), json!(ids.iter().zip(HELD).collect::<Vec<_>>()));
    assert_eq!(held("passed-other"), json!([["elsewhere", elsewhere("c.d")]]));
}

#[test]
fn a_broker_that_is_away_is_passed_over_for_another_of_the_group() {
    let node = RabbitMq::shared();
    let away = Port::new();
    let solace = json!({ "security": { "auth": { "username": "guest", "password": "guest" } },
        "consumer": { "topics": ["/topic/group"] }, "producer": { "topics": ["/topic/group"] } });
    let rabbit = |port: u16| json!({ "serverHost": "127.0.0.1", "serverPort": port });
    let amqp = |port: u16| json!({ "protocol": "AMQP", "url": format!("tcp://127.0.0.1:{port}") });
    let ports = [away.number(), node.address().port()];
    for (kind, shared, places) in
        [("rabbitmq", rabbitmq("group"), ports.map(rabbit)), ("solace", solace, ports.map(amqp))]
    {
        let endpoints: Vec<Value> = (0..)
            .zip(places)
            .map(|(at, place): (u32, _)| {
                json!({ "name": format!("e{at}"), "type": kind, "inheritConfiguration": true, "configuration": place })
            })
            .collect();
        let api = Api::messages("/", json!([{ "type": "http-post" }, { "type": "sse" }]), kind, json!({}))
            .with("endpointGroups/0/sharedConfiguration", shared)
            .with("endpointGroups/0/endpoints", json!(endpoints));
        let gateway = Gateway::serving(&[api]);
        let mut stream = gateway.connect();
        stream.send("GET / HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n");
        assert_eq!(stream.head().status(), 200, "{kind}");
        for number in 0..6 {
            let mut client = gateway.connect();
            client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nm{number}"));
            assert_eq!(client.response().0.status(), 202, "{kind} {number}");
        }
        for number in 0..6 {
            stream.until(format!("data: m{number}\n").as_bytes());
        }
        let health = |endpoint: &str| gateway.metric("ringway_endpoint_healthy", &[&format!("/{endpoint}\"")]);
        assert_eq!((health("e0"), health("e1")), (0.0, 1.0), "{kind}");
    }
}
