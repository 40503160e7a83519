//! Groups of brokers: who gets what, and who takes over when one is killed.

use ringway_tests::{Api, Gateway, Mosquitto, Peer, wait_until};
use serde_json::{Value, json};

use super::{numbers, post, stream, until};

/// The topic of all brokers.
fn topic() -> Value {
    json!({ "consumer": { "topic": "t" }, "producer": { "topic": "t" } })
}

fn group(name: &str, brokers: &[&Mosquitto]) -> Value {
    let endpoints: Vec<Value> = brokers
        .iter()
        .enumerate()
        .map(|(at, broker)| {
            let place = json!({ "serverHost": "127.0.0.1", "serverPort": broker.address().port() });
            json!({ "name": format!("{name}-{at}"), "type": "mqtt5", "inheritConfiguration": true, "configuration": place })
        })
        .collect();
    json!({ "name": name, "type": "mqtt5", "sharedConfiguration": topic(), "endpoints": endpoints })
}

/// An API at `/` in front of groups of brokers.
fn api(entrypoints: Value, groups: Value) -> Api {
    Api::messages("/", entrypoints, "mqtt5", json!({})).with("endpointGroups", groups)
}

/// Two brokers with an auditor each, which keeps what is published.
fn pair() -> (Mosquitto, Mosquitto) {
    let pair = (Mosquitto::start(), Mosquitto::start());
    pair.0.register("auditor", "t");
    pair.1.register("auditor", "t");
    pair
}

fn kept(broker: &Mosquitto, count: usize) -> Vec<String> {
    let all = broker.drain("auditor", "t");
    assert_eq!(all.len(), count, "{all:?}");
    all
}

/// What the gateway says of an endpoint: 1 or 0.
fn health(gateway: &Gateway, endpoint: &str) -> f64 {
    gateway.metric("ringway_endpoint_healthy", &[&format!("\"{endpoint}\"")])
}

#[test]
fn posts_go_round_and_all_go_to_the_other_when_one_is_killed() {
    let (mut first, second) = pair();
    let gateway = Gateway::serving(&[api(json!([{ "type": "http-post" }]), json!([group("g", &[&first, &second])]))]);
    for number in numbers(0..10) {
        assert_eq!(post(&gateway, "", &number).0.status(), 202);
    }
    let of_first = kept(&first, 5);
    first.kill();
    for number in numbers(10..40) {
        assert_eq!(post(&gateway, "", &number).0.status(), 202, "{number}");
    }
    let of_second = kept(&second, 35);
    let (mut all, wanted) = ([of_first, of_second].concat(), numbers(0..40));
    println!("40 posts, 30 of them after the death of one of two brokers: {} published", all.len());
    all.sort_by_key(|number| number.parse::<usize>().unwrap());
    assert_eq!(all, wanted);
    assert_eq!((health(&gateway, "g/g-0"), health(&gateway, "g/g-1")), (0.0, 1.0));
    assert_eq!(gateway.metric("ringway_api_messages_published_total", &[]), 40.0);
}

#[test]
fn streams_go_on_at_the_other_broker_when_theirs_is_killed() {
    const STREAMS: usize = 20;
    let (mut first, second) = (Mosquitto::start(), Mosquitto::start());
    let gateway = Gateway::serving(&[api(json!([{ "type": "sse" }]), json!([group("g", &[&first, &second])]))]);
    let mut streams: Vec<Peer> = (0..STREAMS).map(|_| stream(&gateway)).collect();
    // They go round: half of them share a subscription of each broker.
    first.publish(&["-t", "t", "-q", "1", "-m", "at the first"]);
    second.publish(&["-t", "t", "-q", "1", "-m", "at the second"]);
    for (at, client) in streams.iter_mut().enumerate() {
        until(client, if at % 2 == 0 { "data: at the first\n" } else { "data: at the second\n" });
    }
    first.kill();
    wait_until("the gateway to find it away", || health(&gateway, "g/g-0") == 0.0);
    // What joined before hears it, and so does what has moved: there is one subscription for all.
    let mut moved = 0;
    let mut round = 0;
    while moved < STREAMS / 2 {
        round += 1;
        second.publish(&["-t", "t", "-q", "1", "-m", &format!("round {round}")]);
        until(&mut streams[1], &format!("data: round {round}\n"));
        moved = gateway.log().matches("a stream goes on at another broker").count();
    }
    second.publish(&["-t", "t", "-q", "1", "-m", "to all"]);
    for client in &mut streams {
        until(client, "data: to all\n");
    }
    assert_eq!(second.log().matches("Sending SUBACK to ringway-live").count(), 1);
    assert_eq!(gateway.metric("ringway_streams", &[]) as usize, STREAMS);
}

/// The opening handshake of a client that publishes, and a text frame of it (RFC 6455 section 5.2).
fn socket(gateway: &Gateway) -> Peer {
    let mut client = gateway.connect();
    client.send(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    assert_eq!(client.head().status(), 101);
    client
}

fn frame(text: &str) -> Vec<u8> {
    let mut bytes = vec![0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0];
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

#[test]
fn what_one_client_publishes_keeps_its_order_over_the_death_of_a_broker() {
    let (mut first, second) = pair();
    let entrypoint = json!([{ "type": "websocket", "configuration": { "subscriber": { "enabled": false } } }]);
    let gateway = Gateway::serving(&[api(entrypoint, json!([group("g", &[&first, &second])]))]);
    let published = || gateway.metric("ringway_api_messages_published_total", &[]) as usize;
    let mut client = socket(&gateway);
    for number in numbers(0..10) {
        client.send(frame(&number));
    }
    wait_until("the first ones to be published", || published() == 10);
    first.kill();
    for number in numbers(10..60) {
        client.send(frame(&number));
    }
    wait_until("the others to be published", || published() == 60);
    assert_eq!(kept(&second, 50), numbers(10..60));
}

#[test]
fn a_policy_of_the_request_names_the_group_or_the_endpoint() {
    let (first, second) = pair();
    let names = json!({ "name": "choose", "enabled": true, "policy": "policy-assign-attributes", "condition": "{#request.headers['x-to'] != null}",
        "configuration": { "attributes": [{ "name": "request.endpoint", "value": "{#request.headers['x-to'][0]}" }] } });
    let flow = json!([{ "name": "all", "enabled": true, "request": [names] }]);
    let entrypoints = json!([{ "type": "http-post" }, { "type": "sse" }]);
    let groups = json!([group("default", &[&first]), group("others", &[&second])]);
    let gateway = Gateway::serving(&[api(entrypoints, groups).with("flows", flow)]);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\nX-To: others\r\n\r\n");
    assert_eq!(client.head().status(), 200);
    for (to, status) in [("", 202), ("X-To: others\r\n", 202), ("X-To: others-0:\r\n", 202), ("X-To: nobody\r\n", 503)]
    {
        assert_eq!(post(&gateway, to, &format!("m{}", to.trim_end())).0.status(), status, "{to}");
    }
    until(&mut client, "data: mX-To: others-0:\n");
    assert_eq!(kept(&first, 1), ["m"]);
    assert_eq!(kept(&second, 2), ["mX-To: others", "mX-To: others-0:"]);
}

#[test]
fn a_secondary_endpoint_serves_when_no_other_does() {
    let (mut first, second) = pair();
    let mut group = group("g", &[&first, &second]);
    group["endpoints"][1]["secondary"] = json!(true);
    let gateway = Gateway::serving(&[api(json!([{ "type": "http-post" }]), json!([group]))]);
    for number in numbers(0..4) {
        assert_eq!(post(&gateway, "", &number).0.status(), 202);
    }
    kept(&first, 4);
    first.kill();
    assert_eq!(post(&gateway, "", "4").0.status(), 202);
    kept(&second, 1);
}

#[test]
fn a_level_that_another_group_does_not_have_is_refused_before_it_runs() {
    let entrypoints = json!([{ "type": "sse", "qos": "AT_LEAST_ONCE" }]);
    let step = json!({ "name": "any", "enabled": true, "policy": "policy-assign-attributes",
        "configuration": { "attributes": [{ "name": "request.endpoint", "value": "others" }] } });
    let made_up = json!({ "name": "default", "type": "mock", "endpoints": [{ "name": "m", "type": "mock", "configuration": {} }] });
    let broker = Mosquitto::prepared("", &[]);
    let api = api(entrypoints, json!([made_up, group("others", &[&broker])]))
        .with("flows", json!([{ "name": "all", "enabled": true, "request": [step] }]));
    let yaml = "shards: 1\nservers: [{ id: http, listen: '{http}' }]\nadmin: { listen: '{admin}' }\napis: [apis]\n";
    let log = Gateway::try_start(yaml, &[("a.json", &api.json())]).unwrap_err();
    assert!(log.contains("`sse` with `mqtt5` has no AT_LEAST_ONCE"), "{log}");
}
