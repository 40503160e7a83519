//! `solace` over AMQP 1.0, with RabbitMQ's plug-in in the place of the broker: addresses are that one's.

use ringway_tests::{Api, Gateway, RabbitMq, wait_for, wait_until};
use serde_json::{Value, json};

fn api(path: &str, port: u16, entrypoints: Value, shared: Value) -> Api {
    let url = format!("tcp://127.0.0.1:{port}");
    let mut shared = shared;
    if shared["security"].is_null() {
        shared["security"] = json!({ "auth": { "username": "guest", "password": "guest" } });
    }
    Api::messages(path, entrypoints, "solace", json!({ "protocol": "AMQP", "url": url }))
        .with("endpointGroups/0/sharedConfiguration", shared)
        .with("endpointGroups/0/endpoints/0/inheritConfiguration", json!(true))
}

fn entrypoints(kinds: &[(&str, &str)]) -> Value {
    kinds
        .iter()
        .map(|(kind, qos)| {
            let limited = json!({ "messagesLimitDurationMs": 1_000 });
            let configuration = if *kind == "http-get" { limited } else { json!({}) };
            json!({ "type": kind, "qos": qos, "configuration": configuration })
        })
        .collect()
}

fn queue(name: &str) -> Value {
    let queue = format!("/amq/queue/{name}");
    json!({ "consumer": { "queue": queue }, "producer": { "queue": queue } })
}

fn ask(gateway: &Gateway, request: &str) -> (u16, Value) {
    let mut client = gateway.connect();
    client.send(request);
    let (head, body) = client.response();
    (head.status(), serde_json::from_slice(&body).unwrap_or_default())
}

/// What there is, however long the broker takes to give the queue out: others are started beside it.
fn get(gateway: &Gateway, target: &str) -> (u16, Value) {
    let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n");
    wait_for("the broker to answer in time", || Some(ask(gateway, &request)).filter(|(status, _)| *status != 504))
}

fn post(gateway: &Gateway, target: &str, fields: &str, body: &str) -> (u16, Value) {
    let length = body.len();
    ask(gateway, &format!("POST {target} HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: {length}\r\n\r\n{body}"))
}

fn contents(answer: &Value) -> Vec<&str> {
    let items = answer["items"].as_array().unwrap_or_else(|| panic!("no items: {answer}"));
    items.iter().map(|item| item["content"].as_str().unwrap()).collect()
}

fn declare(node: &RabbitMq, queue: &str) {
    node.pika("channel.queue_declare(arguments[0], durable=True)", &[queue]);
}

#[test]
fn a_queue_is_written_and_read_at_each_level() {
    let node = RabbitMq::shared();
    let mut apis = Vec::new();
    for qos in ["AUTO", "AT_MOST_ONCE"] {
        declare(node, &format!("solace-{qos}"));
        let kinds = entrypoints(&[("http-get", qos), ("http-post", "AUTO")]);
        apis.push(api(&format!("/{qos}"), node.address().port(), kinds, queue(&format!("solace-{qos}"))));
    }
    let gateway = Gateway::serving(&apis);
    for qos in ["AUTO", "AT_MOST_ONCE"] {
        let target = format!("/{qos}");
        for number in 0..5 {
            assert_eq!(post(&gateway, &target, "X-Kind: test\r\n", &format!("m{number}")).0, 202);
        }
        let (status, answer) = get(&gateway, &target);
        assert_eq!((status, contents(&answer)), (200, vec!["m0", "m1", "m2", "m3", "m4"]), "{qos}");
        assert_eq!(contents(&get(&gateway, &target).1).len(), 0, "{qos}");
    }
}

#[test]
fn a_message_that_lies_too_deep_in_itself_ends_nothing_and_comes_once() {
    let node = RabbitMq::shared();
    declare(node, "solace-deep");
    let kinds = entrypoints(&[("http-get", "AUTO")]);
    let gateway = Gateway::serving(&[api("/", node.address().port(), kinds, queue("solace-deep"))]);
    // A message of AMQP 1.0 as it is, of lists in lists, and one that is read.
    let script = "def message(levels):
    lists = b''.join(b'\\xd0' + (9 * level + 5).to_bytes(4, 'big') + bytes([0, 0, 0, 1]) for level in reversed(range(levels)))
    return bytes([0, 0x53, 0x77]) + lists + bytes([0x40])
raw = pika.BasicProperties(type='amqp-1.0')
channel.basic_publish('', arguments[0], message(20000), raw)
channel.basic_publish('', arguments[0], bytes([0, 0x53, 0x77, 0xa1, 2]) + b'm1', raw)";
    node.pika(script, &["solace-deep"]);
    assert_eq!(contents(&get(&gateway, "/?limit=1").1), ["m1"]);
    assert_eq!(contents(&get(&gateway, "/").1).len(), 0);
    assert!(gateway.log().contains("a message that is none is rejected"));
}

#[test]
fn what_an_answer_had_no_room_for_stays_in_the_queue() {
    let node = RabbitMq::shared();
    declare(node, "solace-rest");
    let kinds = entrypoints(&[("http-get", "AUTO"), ("http-post", "NONE")]);
    let gateway = Gateway::serving(&[api("/", node.address().port(), kinds, queue("solace-rest"))]);
    for number in 0..4 {
        assert_eq!(post(&gateway, "/", "", &format!("m{number}")).0, 202);
    }
    assert_eq!(contents(&get(&gateway, "/?limit=3").1), ["m0", "m1", "m2"]);
    assert_eq!(contents(&get(&gateway, "/?limit=1").1), ["m3"]);
}

#[test]
fn streams_hear_a_topic_from_now_on() {
    let node = RabbitMq::shared();
    let shared =
        json!({ "consumer": { "topics": ["/topic/solace.live"] }, "producer": { "topics": ["/topic/solace.live"] } });
    let kinds = ["NONE", "AUTO"].map(|qos| entrypoints(&[("sse", qos), ("http-post", "AUTO")]));
    let [none, auto] = kinds;
    let port = node.address().port();
    let gateway = Gateway::serving(&[api("/none", port, none, shared.clone()), api("/auto", port, auto, shared)]);
    let mut clients = ["/none", "/auto"].map(|target| {
        let mut client = gateway.connect();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n"));
        assert_eq!(client.head().status(), 200);
        client
    });
    for number in 0..3 {
        assert_eq!(post(&gateway, "/auto", "", &format!("m{number}")).0, 202);
    }
    for client in &mut clients {
        for number in 0..3 {
            client.until(format!("data: m{number}\n").as_bytes());
        }
    }
}

#[test]
fn what_the_broker_refuses_is_a_fault_with_a_key() {
    let node = RabbitMq::shared();
    let kinds = || entrypoints(&[("http-get", "AUTO"), ("http-post", "AUTO")]);
    let mut wrong = queue("solace-none");
    wrong["security"] = json!({ "auth": { "username": "guest", "password": "wrong" } });
    let port = node.address().port();
    let gateway = Gateway::serving(&[
        api("/credentials", port, kinds(), wrong),
        api("/queue", port, kinds(), queue("solace-none")),
    ]);
    // Publishing to a queue that is not there is not asked: the plug-in accepts it, and throws it away.
    for (target, (status, problem)) in [
        ("/credentials", get(&gateway, "/credentials")),
        ("/credentials", post(&gateway, "/credentials", "", "x")),
        ("/queue", get(&gateway, "/queue")),
    ] {
        assert_eq!((status, &problem["key"]), (502, &json!("FAILURE_ENDPOINT_CONFIGURATION_INVALID")), "{target}");
    }
}

#[test]
fn a_broker_that_comes_back_is_found_again_and_nothing_is_lost() {
    let mut node = RabbitMq::start();
    declare(&node, "solace-kept");
    let kinds = entrypoints(&[("http-get", "AUTO"), ("http-post", "AUTO")]);
    let gateway = Gateway::serving(&[api("/", node.address().port(), kinds, queue("solace-kept"))]);
    assert_eq!(post(&gateway, "/", "", "before").0, 202);
    node.kill();
    let (status, problem) = post(&gateway, "/", "", "x");
    assert!(status == 502 || status == 503, "{problem}");
    node.run();
    wait_until("the broker is found", || post(&gateway, "/", "", "after").0 == 202);
    let (_, answer) = get(&gateway, "/");
    let seen = contents(&answer);
    assert!(seen.contains(&"before") && seen.contains(&"after"), "{seen:?}");
}

#[test]
fn what_a_configuration_says_wrongly_is_found_before_it_runs() {
    for (configuration, shared, reason) in [
        (json!({ "protocol": "MQTT", "url": "tcp://a" }), queue("q"), "queues are reached over `AMQP`"),
        (
            json!({ "protocol": "MQTT", "url": "tcp://a" }),
            json!({ "consumer": { "topics": ["a/b*"] } }),
            "MQTT has wildcards for whole levels only",
        ),
        (
            json!({ "protocol": "MQTT", "url": "tcp://a" }),
            json!({ "producer": { "topics": ["a/+"] } }),
            "wildcards are for subscriptions",
        ),
        (json!({ "protocol": "AMQP", "url": "http://a" }), queue("q"), "no scheme is called `http`"),
        (json!({ "protocol": "AMQP", "url": "tcp://a" }), json!({}), "neither a consumer nor a producer"),
        (
            json!({ "protocol": "AMQP", "url": "tcp://a" }),
            json!({ "consumer": { "topics": ["a", "b"] } }),
            "needs exactly one topic",
        ),
    ] {
        let api = Api::messages("/", entrypoints(&[("http-get", "AUTO")]), "solace", configuration)
            .with("endpointGroups/0/sharedConfiguration", shared)
            .with("endpointGroups/0/endpoints/0/inheritConfiguration", json!(true));
        let log = Gateway::try_start(
            "shards: 1\nservers: [{ id: http, listen: '{http}' }]\nadmin: { listen: '{admin}' }\napis: [apis]\n",
            &[("a.json", &api.json())],
        )
        .unwrap_err();
        assert!(log.contains(reason), "{reason}: {log}");
    }
}
