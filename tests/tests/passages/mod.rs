//! Flows that messages pass on their way to a real broker and back, the same for each of them.
//!
//! ```text
//!   post ─▶ valid? ─▶ another topic or key? ─▶ header ─▶ broker ─▶ filter ─▶ header ─▶ content? ─▶ event
//! ```

use ringway_tests::{Api, Gateway};
use serde_json::{Value, json};

/// What is posted, and the status that it has to have. The field `to` names another place.
const POSTED: [(&str, u16); 4] = [
    (r#"{"id":"plain"}"#, 202),
    (r#"{"id":"hidden"}"#, 202),
    (r#"{"name":"no id"}"#, 400),
    (r#"{"id":"marked"}"#, 202),
];

/// What the topic has to hold afterwards: what was refused is not in it, and what is only hidden from streams is.
pub const HELD: [&str; 3] = [r#"{"id":"plain"}"#, r#"{"id":"hidden"}"#, r#"{"id":"marked"}"#];

/// The message that goes elsewhere.
pub fn elsewhere(to: &str) -> String {
    json!({ "id": "elsewhere", "to": to }).to_string()
}

fn step(policy: &str, configuration: Value) -> Value {
    json!({ "name": policy, "enabled": true, "policy": policy, "configuration": configuration })
}

/// The API with entrypoints and flows; `attribute` is the one that names another topic or key.
pub fn through(api: Api, attribute: &str) -> Api {
    let field = |name: &str| format!("#jsonPath(#message.content, '$.{name}')");
    let mut goes = step(
        "policy-assign-attributes",
        json!({ "attributes": [{ "name": attribute, "value": format!("{{{}}}", field("to")) }] }),
    );
    goes["messageCondition"] = json!(format!("{{{} != null}}", field("to")));
    let mut marks = step("policy-assign-content", json!({ "body": "<${message.content}>" }));
    marks["messageCondition"] = json!(format!("{{{} == 'marked'}}", field("id")));
    let header = |name: &str, value: &str| {
        step("transform-headers", json!({ "addHeaders": [{ "name": name, "value": value }] }))
    };
    let publish = json!([
        step("json-validation", json!({ "schema": r#"{"type":"object","required":["id"]}"# })),
        goes,
        header("X-Id", &format!("{{{}}}", field("id"))),
    ]);
    let subscribe = json!([
        step("message-filtering", json!({ "filter": format!("{{{} != 'hidden'}}", field("id")) })),
        header("X-Seen", "{#message.headers['x-id'][0]}"),
        marks,
    ]);
    let entrypoints =
        json!([{ "type": "http-post" }, { "type": "sse", "configuration": { "headersAsComment": true } }]);
    api.with("listeners/0/entrypoints", entrypoints)
        .with("flows", json!([{ "name": "all", "enabled": true, "publish": publish, "subscribe": subscribe }]))
}

/// Posts everything, and hears what a stream has to hear. `to` is the other place.
#[track_caller]
pub fn pass(gateway: &Gateway, to: &str) {
    let mut stream = gateway.connect();
    stream.send("GET / HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n");
    assert_eq!(stream.head().status(), 200);
    let post = |body: &str| {
        let mut client = gateway.connect();
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        let (head, body) = client.response();
        (head.status(), String::from_utf8_lossy(&body).into_owned())
    };
    assert_eq!(post(&elsewhere(to)).0, 202);
    for (body, wanted) in POSTED {
        let (status, answer) = post(body);
        assert_eq!(status, wanted, "{body}: {answer}");
        assert!(wanted != 400 || answer.contains("JSON_INVALID_PAYLOAD"), "{answer}");
    }
    let heard = String::from_utf8(stream.until(b"data: <{\"id\":\"marked\"}>\n")).unwrap();
    assert!(heard.contains("data: {\"id\":\"plain\"}\n") && heard.contains(":X-Seen=plain\n"), "{heard}");
    assert!(!heard.contains("hidden") && !heard.contains("elsewhere"), "{heard}");
    assert_eq!(gateway.metric("ringway_api_messages_published_total", &[]), 4.0);
}
