//! Policies on messages, on both ways and with every kind of entrypoint.

use ringway_tests::{Api, Backend, Client, Gateway, wait_until};
use serde_json::{Value, json};

use super::made_up;
use crate::web_socket::frames::{CLOSE, Frame, TEXT, read};
use crate::web_socket::open;

/// An API at `/` whose broker says `n 0`, `n 1`, ... with a flow of these selectors and steps.
fn with_flow(entrypoints: Value, selectors: Value, publish: Value, subscribe: Value) -> Api {
    let mock = json!({ "messageInterval": 5, "messageContent": "n", "messageHeaders": [{ "name": "X-Source", "value": "mock" }] });
    let flow =
        json!([{ "name": "all", "enabled": true, "selectors": selectors, "publish": publish, "subscribe": subscribe }]);
    made_up(entrypoints, mock).with("flows", flow)
}

fn step(policy: &str, configuration: Value) -> Value {
    json!({ "name": policy, "enabled": true, "policy": policy, "configuration": configuration })
}

/// Lets `n 2`, `n 5`, `n 8` through, and those like them.
fn filter() -> Value {
    step(
        "message-filtering",
        json!({ "filter": "{#message.content.endsWith('2') || #message.content.endsWith('5') || #message.content.endsWith('8')}" }),
    )
}

fn collected(gateway: &Gateway, target: &str) -> Value {
    let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\nX-Tenant: t1\r\n\r\n");
    let (head, body) = Client::ask(gateway.http(), &request);
    assert_eq!(head.status(), 200, "{}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).unwrap()
}

#[test]
fn a_collected_answer_has_what_passes_and_as_it_was_changed() {
    let entrypoint =
        json!([{ "type": "http-get", "configuration": { "messagesLimitCount": 2, "headersInPayload": true } }]);
    let subscribe = json!([
        filter(),
        step(
            "transform-headers",
            json!({ "addHeaders": [{ "name": "X-Tenant", "value": "{#request.headers['x-tenant'][0]}" }], "removeHeaders": ["X-Source"] })
        ),
        step("policy-assign-content", json!({ "body": "<${message.content}>" })),
    ]);
    let gateway = Gateway::serving(&[with_flow(entrypoint, json!([]), json!([]), subscribe)]);
    let answer = collected(&gateway, "/");
    let contents: Vec<&Value> = answer["items"].as_array().unwrap().iter().map(|item| &item["content"]).collect();
    assert_eq!(contents, [&json!("<n 2>"), &json!("<n 5>")]);
    assert_eq!(answer["items"][0]["headers"], json!({ "X-Tenant": ["t1"] }));
    assert_eq!(answer["pagination"]["nextCursor"], "5", "what was left out is passed, too");
}

#[test]
fn conditions_say_for_which_requests_and_messages_a_step_runs() {
    let entrypoint = json!([{ "type": "http-get", "configuration": { "messagesLimitCount": 3 } }]);
    let mut marks = step("policy-assign-content", json!({ "body": "marked" }));
    marks["condition"] = json!("{#request.params['mark'][0] == 'yes'}");
    marks["messageCondition"] = json!("{#message.content.endsWith('1')}");
    let gateway = Gateway::serving(&[with_flow(entrypoint, json!([]), json!([]), json!([marks]))]);
    let contents = |target: &str| {
        let answer = collected(&gateway, target);
        answer["items"].as_array().unwrap().iter().map(|item| item["content"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(contents("/?mark=yes"), ["n 0", "marked", "n 2"]);
    assert_eq!(contents("/?mark=no"), ["n 0", "n 1", "n 2"]);
}

#[test]
fn flows_are_chosen_by_channel_operation_and_entrypoint() {
    let entrypoints = json!([{ "type": "http-get", "configuration": { "messagesLimitCount": 1 } }, { "type": "sse" }]);
    let flow = |mark: &str, selector: Value| {
        json!({ "name": mark, "enabled": true, "selectors": [selector],
                "subscribe": [step("policy-assign-content", json!({ "body": format!("${{message.content}} {mark}") }))] })
    };
    let channel = |more: Value| {
        let mut selector = json!({ "type": "CHANNEL", "channel": "/", "channelOperator": "STARTS_WITH", "operations": [], "entrypoints": [] });
        more.as_object().unwrap().iter().for_each(|(key, value)| selector[key] = value.clone());
        selector
    };
    let api = made_up(entrypoints, json!({ "messageInterval": 5, "messageContent": "n" })).with(
        "flows",
        json!([
            flow("all", channel(json!({}))),
            flow("deep", channel(json!({ "channel": "/a/:b" }))),
            flow("exact", channel(json!({ "channel": "/a", "channelOperator": "EQUALS" }))),
            flow("publish", channel(json!({ "operations": ["PUBLISH"] }))),
            flow("subscribe", channel(json!({ "operations": ["SUBSCRIBE"] }))),
            flow("get", channel(json!({ "entrypoints": ["http-get"] }))),
            flow("sse", channel(json!({ "entrypoints": ["sse"] }))),
        ]),
    );
    let gateway = Gateway::serving(&[api]);
    let content = |target: &str| collected(&gateway, target)["items"][0]["content"].clone();
    assert_eq!(content("/"), "n 0 all subscribe get");
    assert_eq!(content("/a"), "n 0 all exact subscribe get");
    assert_eq!(content("/a/x"), "n 0 all deep subscribe get");
}

#[test]
fn a_stream_has_a_subscription_of_its_own_and_sees_the_request_that_began_it() {
    let subscribe = json!([
        filter(),
        step("policy-assign-content", json!({ "body": "${request.headers['x-tenant']}: ${message.content}" })),
    ]);
    let gateway = Gateway::serving(&[with_flow(json!([{ "type": "sse" }]), json!([]), json!([]), subscribe)]);
    let mut streams: Vec<_> = ["t1", "t2"]
        .map(|tenant| {
            let mut peer = gateway.connect();
            peer.send(format!("GET / HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\nX-Tenant: {tenant}\r\n\r\n"));
            assert_eq!(peer.head().status(), 200);
            (tenant, peer)
        })
        .into();
    for (tenant, peer) in &mut streams {
        let seen = String::from_utf8(peer.until(format!("data: {tenant}: n 8\n").as_bytes())).unwrap();
        assert!(seen.contains(&format!("data: {tenant}: n 2\n")), "{seen}");
        assert!(!seen.contains("n 3"), "{seen}");
    }
}

#[test]
fn what_a_policy_refuses_is_not_published_and_its_client_is_told() {
    let entrypoints = json!([{ "type": "http-post" }]);
    let schema = json!({ "schema": "{\"type\": \"object\", \"required\": [\"id\"]}" });
    let dropped = step("message-filtering", json!({ "filter": "{#jsonPath(#message.content, '$.id') != 'none'}" }));
    let publish = json!([step("json-validation", schema), dropped]);
    let gateway = Gateway::serving(&[with_flow(entrypoints, json!([]), publish, json!([]))]);
    let post = |body: &str| {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        Client::ask(gateway.http(), &request)
    };
    let published = || gateway.metric("ringway_api_messages_published_total", &[]);
    assert_eq!(post(r#"{"id": "a"}"#).0.status(), 202);
    let (head, body) = post(r#"{"name": "a"}"#);
    assert_eq!(head.status(), 400);
    assert!(String::from_utf8_lossy(&body).contains("JSON_INVALID_PAYLOAD"), "{}", String::from_utf8_lossy(&body));
    assert_eq!(post(r#"{"id": "none"}"#).0.status(), 202, "what is held back is nobody's error");
    assert_eq!(published(), 1.0);
}

#[test]
fn frames_pass_policies_on_both_ways() {
    let subscribe = json!([step("policy-assign-content", json!({ "body": "in ${message.content}" }))]);
    let publish = json!([
        step("message-filtering", json!({ "filter": "{#message.content != 'drop'}" })),
        step("json-threat-protection", json!({ "maxDepth": 2 })),
    ]);
    let gateway = Gateway::serving(&[with_flow(json!([{ "type": "websocket" }]), json!([]), publish, subscribe)]);
    let mut peer = open(gateway.http());
    let (frame, _) = read(&mut peer).unwrap();
    assert_eq!(frame.opcode, TEXT);
    assert!(frame.payload.starts_with(b"in n "), "{frame:?}");
    peer.send(Frame::text("drop").masked());
    peer.send(Frame::text(r#"{"a": 1}"#).masked());
    wait_until("one to be published", || gateway.metric("ringway_api_messages_published_total", &[]) >= 1.0);
    peer.send(Frame::text(r#"{"a": {"b": {"c": {}}}}"#).masked());
    let closed = loop {
        let (frame, _) = read(&mut peer).expect("a close frame");
        if frame.opcode == CLOSE {
            break frame;
        }
    };
    assert_eq!(&closed.payload[..2], &1011_u16.to_be_bytes(), "{closed:?}");
    assert_eq!(gateway.metric("ringway_api_messages_published_total", &[]), 1.0);
}

#[test]
fn what_is_sent_to_subscribers_passes_the_flows_of_their_plan() {
    let sink = Backend::ok("ok");
    let api = json!({
        "definitionVersion": "V4", "type": "MESSAGE", "name": "hooks", "id": "hooks", "apiVersion": "1.0",
        "listeners": [{ "type": "SUBSCRIPTION", "entrypoints": [
            { "type": "webhook", "qos": "AT_LEAST_ONCE", "configuration": { "allowPrivateAddresses": true } }] }],
        "endpointGroups": [{ "name": "brokers", "type": "mock", "endpoints": [{ "name": "broker", "type": "mock",
            "configuration": { "messageInterval": 0, "messageContent": "n", "messageCount": 9 } }] }],
        "plans": [{ "id": "push", "name": "Hooks", "mode": "PUSH", "status": "PUBLISHED", "flows": [
            { "name": "mine", "enabled": true, "selectors": [{ "type": "CHANNEL", "channel": "/in", "channelOperator": "EQUALS", "entrypoints": ["webhook"] }],
              "subscribe": [filter()] }] }],
        "flows": [{ "name": "all", "enabled": true, "subscribe": [
            step("transform-headers", json!({ "addHeaders": [{ "name": "X-Unit", "value": "{#subscription.metadata.unit}" }] }))] }],
        "subscriptions": [{ "id": "sub-1", "plan": "push", "application": "app", "metadata": { "unit": "C" },
            "consumerConfiguration": { "entrypointId": "webhook", "channel": "/in", "entrypointConfiguration": { "callbackUrl": format!("{}/sink", sink.target()) } } }],
    });
    let gateway = Gateway::start(
        "shards: 1\nservers: [{ id: http, listen: '{http}' }]\nadmin: { listen: '{admin}' }\napis: ['{dir}/apis']\n",
        &[("hooks.json", &api.to_string())],
    );
    wait_until("all that pass", || sink.seen().len() == 3);
    let seen = sink.seen();
    let bodies: Vec<_> = seen.iter().map(|(_, body)| String::from_utf8_lossy(body).into_owned()).collect();
    assert_eq!(bodies, ["n 2", "n 5", "n 8"]);
    assert!(seen.iter().all(|(head, _)| head.field("x-unit") == Some("C")), "{seen:?}");
    wait_until("the end of the subscription", || {
        gateway.ask_admin("GET", "/apis/hooks").1.contains("no more messages")
    });
}

#[test]
fn a_policy_that_knows_nothing_of_messages_is_told_of_before_the_api_is_served() {
    let api = with_flow(
        json!([{ "type": "sse" }]),
        json!([]),
        json!([]),
        json!([step("http-redirect", json!({ "rules": [] }))]),
    );
    let gateway = Gateway::serving(&[api]);
    assert_eq!(gateway.get("/").0.status(), 404);
    assert!(gateway.log().contains("`http-redirect` does not act on messages"), "{}", gateway.log());
}
