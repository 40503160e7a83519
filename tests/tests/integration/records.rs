//! What `analytics.logging` writes down of exchanges and messages.

use ringway_tests::{Api, Backend, Client, Gateway, wait_for};
use serde_json::{Value, json};

fn logged(api: Api, more: Value) -> Api {
    let mut logging = json!({
        "content": { "headers": true, "payload": true },
        "phase": { "request": true, "response": true },
        "mode": { "entrypoint": true, "endpoint": true }
    });
    if let (Some(all), Some(more)) = (logging.as_object_mut(), more.as_object()) {
        all.extend(more.clone());
    }
    api.with("analytics", json!({ "logging": logging }))
}

fn step(policy: &str, configuration: Value) -> Value {
    json!({ "policy": policy, "configuration": configuration })
}

/// The records, once there are so many.
fn records(gateway: &Gateway, count: usize) -> Vec<Value> {
    wait_for("records", || {
        let text = gateway.log();
        let lines = text.lines().filter(|line| line.contains("\"record\":\"exchange\""));
        let read: Vec<Value> = lines.filter_map(|line| serde_json::from_str(line).ok()).collect();
        (read.len() >= count).then_some(read)
    })
}

fn field<'a>(seen: &'a Value, name: &str) -> Option<&'a str> {
    let fields = seen["headers"].as_array()?;
    fields.iter().find(|field| field[0] == name)?[1].as_str()
}

#[test]
fn an_exchange_is_seen_at_both_sides_and_masked_at_both() {
    let backend = Backend::replies(|_, body| {
        let length = body.len();
        format!(
            "HTTP/1.1 201 Created\r\nSet-Cookie: s=secret\r\nContent-Length: {length}\r\n\r\n{}",
            String::from_utf8_lossy(body)
        )
    });
    let mask = step(
        "policy-data-logging-masking",
        json!({
            "headerRules": [{ "path": "X-Customer" }], "bodyRules": [{ "path": "$.card" }]
        }),
    );
    let change =
        |name: &str| step("transform-headers", json!({ "addHeaders": [{ "name": name, "value": "gateway" }] }));
    let flows = json!([{ "request": [change("X-To"), mask], "response": [change("X-Back"), mask] }]);
    let gateway = Gateway::serving(&[logged(Api::proxy("/", &backend.target()).with("flows", flows), json!({}))]);
    let mut client = gateway.connect();
    let body = "{\"card\":\"4111\",\"n\":1}";
    client.send(format!(
        "POST /a?access_token=secret&b HTTP/1.1\r\nHost: h\r\nX-Customer: ada\r\nAuthorization: secret\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert_eq!(client.response().1, body.as_bytes(), "what is sent stays as it is");
    let record = &records(&gateway, 1)[0];
    let sides = ["entrypointRequest", "endpointRequest", "endpointResponse", "entrypointResponse"];
    for side in sides {
        assert_eq!(record[side]["body"], "{\"card\":\"*\",\"n\":1}", "{side}: {record}");
        assert_eq!(record[side]["bodyBytes"], body.len(), "{side}");
    }
    for side in &sides[..2] {
        let seen = &record[*side];
        assert_eq!((&seen["method"], &seen["uri"]), (&json!("POST"), &json!("/a?access_token=*****&b")));
        assert_eq!((field(seen, "x-customer"), field(seen, "authorization")), (Some("*"), Some("*****")));
    }
    assert_eq!((field(&record[sides[0]], "x-to"), field(&record[sides[1]], "x-to")), (None, Some("gateway")));
    assert_eq!((field(&record[sides[2]], "x-back"), field(&record[sides[3]], "x-back")), (None, Some("gateway")));
    assert_eq!((&record[sides[3]]["status"], field(&record[sides[2]], "set-cookie")), (&json!(201), Some("*****")));
    assert_eq!((&record["api"], &record["status"]), (&record["api"], &json!(201)));
}

#[test]
fn a_condition_chooses_by_the_answer_whoever_gave_it() {
    let backend = Backend::ok("fine");
    let interrupt = step("policy-interrupt", json!({ "errorKey": "CLOSED", "message": "Not today." }));
    let mask = step("policy-data-logging-masking", json!({ "headerRules": [{ "path": "x-customer" }] }));
    let flows = json!([{ "selectors": [{ "type": "HTTP", "path": "/closed" }], "request": [interrupt, mask] }]);
    let api = Api::proxy("/", &backend.target()).with("flows", flows);
    let more = json!({ "condition": "{#response.status >= 500 && #request.path != '/quiet'}" });
    let gateway = Gateway::serving(&[logged(api, more)]);
    assert_eq!(gateway.get("/open").0.status(), 200);
    let mut client = gateway.connect();
    client.send("GET /closed HTTP/1.1\r\nHost: h\r\nX-Customer: ada\r\n\r\n");
    assert_eq!(client.response().0.status(), 500);
    let all = records(&gateway, 1);
    let [record] = &*all else { panic!("{all:?}") };
    assert_eq!((&record["errorKey"], &record["entrypointResponse"]["status"]), (&json!("CLOSED"), &json!(500)));
    assert_eq!(field(&record["entrypointRequest"], "x-customer"), Some("*"), "the step before ended the exchange");
    assert!(record.get("endpointRequest").is_none(), "{record}");
}

#[test]
fn a_long_body_is_cut_and_one_that_is_no_text_is_left_out() {
    let backend = Backend::replies(|head, _| match head.target() {
        "/long" => format!("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{}", "x".repeat(100_000)),
        _ => "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\u{0}\u{1b}\n".to_owned(),
    });
    let gateway = Gateway::serving(&[logged(Api::proxy("/", &backend.target()), json!({}))]);
    assert_eq!(gateway.get("/long").1.len(), 100_000);
    assert_eq!(gateway.get("/odd").1, b"\0\x1b\n");
    let all = records(&gateway, 2);
    let body = &all[0]["entrypointResponse"];
    assert_eq!((&body["bodyBytes"], body["body"].as_str().map(str::len)), (&json!(100_000), Some(16 * 1024)));
    assert_eq!(all[1]["endpointResponse"]["body"], "\u{0}\u{1b}\n", "it cannot forge a line");
}

#[test]
fn who_is_not_let_in_is_written_down_without_what_was_shown() {
    let backend = Backend::ok("fine");
    let plans = json!([{ "name": "Keys", "status": "PUBLISHED", "security": { "type": "API_KEY", "configuration": { "header": "X-Key" } } }]);
    let gateway = Gateway::serving(&[logged(Api::proxy("/", &backend.target()).with("plans", plans), json!({}))]);
    let mut client = gateway.connect();
    client.send("GET /a?api-key=another-secret HTTP/1.1\r\nHost: h\r\nX-Key: a-secret\r\n\r\n");
    assert_eq!(client.response().0.status(), 401);
    let record = &records(&gateway, 1)[0];
    assert_eq!((&record["entrypointRequest"]["uri"], &record["errorKey"]), (&json!("/a"), &json!("API_KEY_INVALID")));
    assert!(!record.to_string().contains("secret"), "{record}");
}

/// A message API whose mock counts, with a field set on each message of either way.
fn messages(analytics: Value) -> Api {
    let entrypoints = json!([{ "type": "http-get", "configuration": { "messagesLimitCount": 5 } }, { "type": "http-post", "configuration": { "requestHeadersToMessage": true } }]);
    let mock = json!({ "messageInterval": 2, "messageContent": "{\"card\":\"4111\"}" });
    let set = |value: &str| step("transform-headers", json!({ "addHeaders": [{ "name": "X-Way", "value": value }] }));
    let mask = step(
        "policy-data-logging-masking",
        json!({ "headerRules": [{ "path": "X-Customer" }], "bodyRules": [{ "regex": "4111" }] }),
    );
    let drop = json!({ "policy": "message-filtering", "configuration": { "filter": "{#message.content != 'drop'}" } });
    let flows = json!([{
        "request": [mask], "response": [mask], "publish": [drop, set("there")], "subscribe": [set("back")],
    }]);
    Api::messages("/", entrypoints, "mock", mock).with("flows", flows).with("analytics", analytics)
}

/// The records of messages, once there are so many.
fn of_messages(gateway: &Gateway, count: usize) -> Vec<Value> {
    wait_for("records of messages", || {
        let text = gateway.log();
        let lines = text.lines().filter(|line| line.contains("\"record\":\"message\""));
        let read: Vec<Value> = lines.filter_map(|line| serde_json::from_str(line).ok()).collect();
        (read.len() >= count).then_some(read)
    })
}

fn get(gateway: &Gateway, fields: &str) {
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n{fields}\r\n");
    let (head, body) = Client::ask(gateway.http(), &request);
    assert_eq!(head.status(), 200, "{}", String::from_utf8_lossy(&body));
}

fn post(gateway: &Gateway, fields: &str, body: &str) {
    let length = body.len();
    let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: {length}\r\n\r\n{body}");
    assert_eq!(Client::ask(gateway.http(), &request).0.status(), 202);
}

#[test]
fn messages_that_the_sampling_chooses_are_seen_at_both_sides() {
    let logging = json!({
        "content": { "messageHeaders": true, "messagePayload": true, "messageMetadata": true },
        "phase": { "request": true, "response": true },
        "mode": { "entrypoint": true, "endpoint": true },
    });
    let analytics = json!({ "sampling": { "type": "COUNT", "value": "2" }, "logging": logging });
    let gateway = Gateway::configured("shards: 1\n", &[messages(analytics)]);
    // The first of two, and the third and the fifth with them.
    get(&gateway, "");
    let all = of_messages(&gateway, 3);
    assert_eq!(all.len(), 3, "{all:?}");
    for record in &all {
        let (entrypoint, endpoint) = (&record["entrypointMessage"], &record["endpointMessage"]);
        assert_eq!((field(entrypoint, "x-way"), field(endpoint, "x-way")), (Some("back"), None), "{record}");
        let (body, bytes) = (entrypoint["body"].as_str().unwrap_or_default(), &endpoint["bodyBytes"]);
        assert!(body.starts_with("{\"card\":\"*\"}") && bytes.as_u64() >= Some(15), "{record}");
        let told = (&record["operation"], &record["entrypoint"], &record["plan"]);
        assert_eq!(told, (&json!("subscribe"), &json!("http-get"), &json!("open")));
        assert!(entrypoint["metadata"].is_array(), "{record}");
    }
    // The sixth is not chosen; the seventh and the ninth are.
    for body in ["a", "drop", "b", "4111"] {
        post(&gateway, "X-Customer: lovelace\r\nAuthorization: secret\r\n", body);
    }
    let all = of_messages(&gateway, 5);
    let (dropped, sent) = (&all[3], &all[4]);
    assert_eq!((&dropped["operation"], &dropped["outcome"]), (&json!("publish"), &json!("dropped")), "{dropped}");
    assert!(dropped.get("endpointMessage").is_none() && dropped["entrypointMessage"]["body"] == "drop", "{dropped}");
    let (entrypoint, endpoint) = (&sent["entrypointMessage"], &sent["endpointMessage"]);
    assert_eq!((field(entrypoint, "x-way"), field(endpoint, "x-way")), (None, Some("there")), "{sent}");
    assert_eq!((&entrypoint["body"], &endpoint["body"]), (&json!("*"), &json!("*")), "{sent}");
    assert!(!gateway.log().contains("secret") && !gateway.log().contains("lovelace"), "{}", gateway.log());
}

#[test]
fn messages_are_written_down_under_conditions_of_way_side_and_content() {
    let logging = json!({
        "content": { "messagePayload": true }, "phase": { "request": true }, "mode": { "endpoint": true },
        "condition": "{#request.headers['x-log'][0] == 'yes'}",
        "messageCondition": "{#message.content == 'wanted'}",
    });
    let analytics = json!({ "sampling": { "type": "WINDOWED_COUNT", "value": "3/P1D" }, "logging": logging });
    let gateway = Gateway::configured("shards: 1\n", &[messages(analytics)]);
    get(&gateway, "X-Log: yes\r\n");
    post(&gateway, "X-Log: no\r\n", "wanted");
    // A message is chosen before its condition is asked; three are, and no more within the day.
    for body in ["wanted", "other", "wanted", "wanted"] {
        post(&gateway, "X-Log: yes\r\n", body);
    }
    records(&gateway, 5);
    let all = of_messages(&gateway, 2);
    assert_eq!(all.len(), 2, "{all:?}");
    for record in &all {
        assert_eq!(record["endpointMessage"]["body"], "wanted", "{record}");
        assert!(record.get("entrypointMessage").is_none(), "{record}");
        assert!(record["endpointMessage"].get("headers").is_none(), "{record}");
    }
}
