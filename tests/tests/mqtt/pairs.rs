//! Every pair of entrypoint and level.

use ringway_config::api::Qos;
use ringway_connectors::{ENTRYPOINTS, mqtt5};
use ringway_tests::{Gateway, Mosquitto, wait_until};
use serde_json::json;

use super::{api, collected, numbers, post, shared, stream, until};

#[test]
fn the_levels_of_a_pair_are_those_of_the_reference() {
    let can = mqtt5::BROKER.messaging.unwrap();
    let levels = |name: &str| {
        let entrypoint = ENTRYPOINTS.iter().find(|kind| kind.name == name).unwrap().messaging.unwrap();
        let all = [Qos::None, Qos::Auto, Qos::AtMostOnce, Qos::AtLeastOnce];
        all.into_iter().filter(|qos| entrypoint.with(&can, *qos).is_ok()).collect::<Vec<_>>()
    };
    assert_eq!(levels("http-post"), [Qos::None, Qos::Auto]);
    assert_eq!(levels("websocket"), [Qos::None, Qos::Auto]);
    // And at most once, which needs nothing of the client.
    assert_eq!(levels("http-get"), [Qos::Auto, Qos::AtMostOnce]);
    assert_eq!(levels("sse"), [Qos::None, Qos::Auto, Qos::AtMostOnce]);
}

#[test]
fn a_post_is_published_with_all_that_it_says() {
    let mosquitto = Mosquitto::start();
    mosquitto.register("other", "#");
    for (qos, wanted) in [("NONE", "0"), ("AUTO", "1")] {
        let entrypoint =
            json!({ "type": "http-post", "qos": qos, "configuration": { "requestHeadersToMessage": true } });
        let api = shared(api(entrypoint, &mosquitto), "producer/topic", json!(format!("out/{qos}")));
        let gateway = Gateway::serving(&[shared(api, "producer/messageExpiryInterval", json!(600))]);
        let headers = "Content-Type: text/x-test\r\nX-One: 1\r\nResponse-Topic: answers\r\nCorrelation-Data: c7\r\n";
        assert_eq!(post(&gateway, headers, "hello").0.status(), 202);
        let lines = mosquitto.collect("other", "#", 1, "%t|%q|%r|%C|%R|%D|%p|%P");
        let start = format!("out/{qos}|{wanted}|0|text/x-test|answers|c7|hello|X-One:1");
        assert!(lines.len() == 1 && lines[0].starts_with(&start), "{lines:?}");
    }
}

#[test]
fn a_producer_publishes_at_its_qos_and_retains_what_it_is_told_to() {
    let mosquitto = Mosquitto::start();
    mosquitto.register("other", "t");
    let api = api(json!({ "type": "http-post" }), &mosquitto);
    let api = shared(shared(api, "producer/qos", json!(2)), "producer/retained", json!(true));
    let gateway = Gateway::serving(&[api]);
    for number in 0..20 {
        assert_eq!(post(&gateway, "", &number.to_string()).0.status(), 202);
    }
    assert_eq!(mosquitto.collect("other", "t", 20, "%p"), numbers(0..20));
    assert_eq!(mosquitto.collect("later", "t", 1, "%r %p"), ["1 19"]);
    let log = mosquitto.log();
    let received = log.lines().filter(|line| line.contains("Received PUBLISH from ringway-publisher-"));
    assert_eq!(received.filter(|line| line.contains("(d0, q2, r1,")).count(), 20);
}

#[test]
fn a_consumer_that_asks_again_gets_what_has_come_meanwhile_and_nothing_twice() {
    let mosquitto = Mosquitto::start();
    let configuration = json!({ "messagesLimitCount": 40, "messagesLimitDurationMs": 1_500 });
    let entrypoint = json!({ "type": "http-get", "qos": "AUTO", "configuration": configuration });
    let definition = api(entrypoint, &mosquitto);
    let mut gateway = Gateway::serving(std::slice::from_ref(&definition));
    assert_eq!(collected(&gateway, ""), [] as [&str; 0]);
    mosquitto.publish_lines("t", 1, numbers(0..60));
    assert_eq!(collected(&gateway, ""), numbers(0..40));
    // Also over the death of the gateway, once it has acknowledged what it has answered with.
    wait_until("the second subscription to end", || {
        mosquitto.log().matches("Received DISCONNECT from ringway-").count() == 2
    });
    gateway.process().signal(rustix::process::Signal::KILL);
    gateway.wait();
    mosquitto.publish_lines("t", 1, numbers(60..80));
    let gateway = Gateway::serving(&[definition]);
    assert_eq!(collected(&gateway, ""), numbers(40..80));
}

#[test]
fn consumers_of_other_names_get_all_messages_each() {
    let mosquitto = Mosquitto::start();
    let configuration = json!({ "messagesLimitCount": 20, "messagesLimitDurationMs": 1_500 });
    let entrypoint = json!({ "type": "http-get", "configuration": configuration });
    let gateway = Gateway::serving(&[api(entrypoint, &mosquitto)]);
    let ask = |name: &str| collected(&gateway, &format!("X-Gravitee-Client-Identifier: {name}\r\n"));
    assert_eq!((ask("a").len(), ask("b").len()), (0, 0));
    mosquitto.publish_lines("t", 1, numbers(0..20));
    assert_eq!(ask("a"), numbers(0..20));
    assert_eq!(ask("b"), numbers(0..20));
}

#[test]
fn streams_hear_what_was_retained_and_what_comes() {
    let mosquitto = Mosquitto::start();
    mosquitto.publish(&["-t", "t", "-r", "-q", "1", "-m", "kept"]);
    for qos in ["NONE", "AUTO"] {
        let comments = json!({ "headersAsComment": true, "metadataAsComment": true });
        let entrypoint = json!({ "type": "sse", "qos": qos, "configuration": comments });
        let gateway = Gateway::serving(&[api(entrypoint, &mosquitto)]);
        let (mut first, mut second) = (stream(&gateway), stream(&gateway));
        let kept = until(&mut first, "\ndata: kept\n");
        assert_eq!(kept.matches("event:").count(), 1, "{kept}");
        until(&mut first, ":topic=t\n");
        until(&mut first, ":retain=true\n");
        let properties = ["-D", "PUBLISH", "user-property", "X-One", "1", "-D", "PUBLISH", "content-type", "a/b"];
        let all: Vec<&str> = ["-t", "t", "-q", "1", "-m", "now"].into_iter().chain(properties).collect();
        mosquitto.publish(&all);
        for client in [&mut first, &mut second] {
            until(client, "\ndata: now\n");
            until(client, ":X-One=1\n");
            until(client, ":Content-Type=a/b\n");
            until(client, if qos == "NONE" { ":qos=0\n" } else { ":qos=1\n" });
        }
        // Both streams share one connection.
        let connections = mosquitto.log().matches(" as ringway-live-").count();
        assert_eq!(connections, if qos == "NONE" { 1 } else { 2 });
    }
}

#[test]
fn at_most_once_is_remembered_too_and_nothing_comes_twice() {
    let mosquitto = Mosquitto::start();
    let configuration = json!({ "messagesLimitCount": 20, "messagesLimitDurationMs": 1_500 });
    let entrypoint = json!({ "type": "http-get", "qos": "AT_MOST_ONCE", "configuration": configuration });
    let gateway = Gateway::serving(&[api(entrypoint, &mosquitto)]);
    assert_eq!(collected(&gateway, ""), [] as [&str; 0]);
    mosquitto.publish_lines("t", 1, numbers(0..20));
    assert_eq!(collected(&gateway, ""), numbers(0..20));
    assert_eq!(collected(&gateway, ""), [] as [&str; 0]);
    let gateway = Gateway::serving(&[api(json!({ "type": "sse", "qos": "AT_MOST_ONCE" }), &mosquitto)]);
    let mut client = stream(&gateway);
    mosquitto.publish_lines("t", 1, numbers(0..3));
    until(&mut client, "data: 0\n");
    until(&mut client, "data: 1\n");
    until(&mut client, "data: 2\n");
}

#[test]
fn web_sockets_publish_and_hear() {
    for qos in ["NONE", "AUTO"] {
        let mosquitto = Mosquitto::start();
        mosquitto.register("other", "out");
        let api = api(json!({ "type": "websocket", "qos": qos }), &mosquitto);
        let gateway = Gateway::serving(&[shared(api, "producer/topic", json!("out"))]);
        let mut client = gateway.connect();
        client.send(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        );
        assert_eq!(client.head().status(), 101);
        mosquitto.publish(&["-t", "t", "-q", "1", "-m", "hello"]);
        // RFC 6455 section 5.2: whole frames; a client's are masked, here with zeros.
        until(&mut client, "\u{5}hello");
        client.send(b"\x82\x83\0\0\0\0out");
        assert_eq!(mosquitto.collect("other", "out", 1, "%q %p"), [if qos == "NONE" { "0 out" } else { "1 out" }]);
    }
}

#[test]
fn several_filters_are_one_subscription() {
    let mosquitto = Mosquitto::start();
    let api =
        shared(api(json!({ "type": "sse" }), &mosquitto), "consumer", json!({ "topics": ["a/+", "b/#"], "qos": 2 }));
    let gateway = Gateway::serving(&[api]);
    let mut client = stream(&gateway);
    for topic in ["a/1", "c", "b/2/3"] {
        mosquitto.publish(&["-t", topic, "-q", "2", "-m", topic]);
    }
    until(&mut client, "data: a/1\n");
    let rest = until(&mut client, "data: b/2/3\n");
    assert!(!rest.contains("data: c"), "{rest}");
}

#[test]
fn a_last_will_is_published_when_a_gateway_is_killed() {
    let mosquitto = Mosquitto::start();
    mosquitto.register("other", "wills");
    let api = api(json!({ "type": "http-post" }), &mosquitto);
    let mut gateway =
        Gateway::serving(&[shared(api, "lastWill", json!({ "topic": "wills", "payload": "gone", "qos": 1 }))]);
    assert_eq!(post(&gateway, "", "x").0.status(), 202);
    gateway.process().signal(rustix::process::Signal::KILL);
    gateway.wait();
    assert_eq!(mosquitto.collect("other", "wills", 1, "%p"), ["gone"]);
}

#[test]
fn a_stream_goes_on_when_its_broker_comes_back() {
    let mut mosquitto = Mosquitto::start();
    let gateway = Gateway::serving(&[api(json!({ "type": "sse" }), &mosquitto)]);
    let mut client = stream(&gateway);
    mosquitto.kill();
    mosquitto.restart();
    wait_until("the gateway to subscribe again", || mosquitto.log().matches("Received SUBSCRIBE from").count() == 2);
    mosquitto.publish(&["-t", "t", "-q", "1", "-m", "after"]);
    until(&mut client, "data: after\n");
}
