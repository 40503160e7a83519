//! `http-get`: messages that were collected for a while.

use ringway_tests::{Gateway, Head};
use serde_json::{Value, json};

use super::{gateway, made_up};

fn get(gateway: &Gateway, target: &str, accept: &str) -> (Head, Vec<u8>) {
    let mut client = gateway.connect();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\n\r\n"));
    client.response()
}

fn items(gateway: &Gateway, target: &str) -> Value {
    let (head, body) = get(gateway, target, "application/json");
    assert_eq!(head.status(), 200);
    serde_json::from_slice(&body).unwrap()
}

#[test]
fn an_answer_has_as_many_messages_as_it_may() {
    let gateway = gateway("http-get", "AUTO", json!({ "messagesLimitCount": 3 }));
    let answer = items(&gateway, "/");
    assert_eq!(answer["items"].as_array().unwrap().len(), 3);
    assert_eq!(answer["items"][2], json!({ "id": "2", "content": "tick 2" }));
    assert_eq!(answer["pagination"], json!({ "nextCursor": "2", "limit": 3 }));
    assert_eq!(items(&gateway, "/?limit=1")["items"].as_array().unwrap().len(), 1);
    assert_eq!(items(&gateway, "/?limit=9")["pagination"]["limit"], 3);
}

#[test]
fn a_cursor_goes_on_where_the_last_answer_ended() {
    let gateway = gateway("http-get", "AT_LEAST_ONCE", json!({ "messagesLimitCount": 2 }));
    let mut cursor = String::new();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let answer = items(&gateway, &format!("/?cursor={cursor}"));
        seen.extend(answer["items"].as_array().unwrap().iter().map(|item| item["content"].clone()));
        answer["pagination"]["nextCursor"].as_str().unwrap().clone_into(&mut cursor);
    }
    let all: Vec<Value> = (0..6).map(|number| json!(format!("tick {number}"))).collect();
    assert_eq!(seen, all);
}

#[test]
fn time_ends_an_answer_too() {
    let entrypoint = json!([{ "type": "http-get", "configuration": { "messagesLimitDurationMs": 300 } }]);
    let gateway = Gateway::serving(&[made_up(entrypoint, json!({ "messageInterval": 3_600_000 }))]);
    let answer = items(&gateway, "/?cursor=41");
    assert_eq!(answer, json!({ "items": [], "pagination": { "cursor": "41", "nextCursor": "41", "limit": 500 } }));
}

#[test]
fn a_subscription_that_ends_ends_the_answer() {
    let entrypoint = json!([{ "type": "http-get", "configuration": { "messagesLimitDurationMs": 600_000 } }]);
    let gateway = Gateway::serving(&[made_up(entrypoint, json!({ "messageInterval": 0, "messageCount": 40 }))]);
    assert_eq!(items(&gateway, "/")["items"].as_array().unwrap().len(), 40);
}

#[test]
fn what_the_query_and_accept_ask_wrongly_is_refused_with_a_key() {
    let gateway = gateway("http-get", "AUTO", json!({ "messagesLimitCount": 1 }));
    for (target, accept, status, key) in [
        ("/", "image/png", 406, "GATEWAY_UNSUPPORTED_ACCEPT"),
        ("/?limit=none", "*/*", 400, "GATEWAY_INVALID_QUERY"),
        ("/?cursor=not-a-number", "*/*", 400, "GATEWAY_INVALID_CURSOR"),
    ] {
        let (head, body) = get(&gateway, target, accept);
        assert_eq!(head.status(), status, "{target}");
        let problem: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem["key"], key, "{target}");
    }
}

#[test]
fn an_answer_is_json_xml_or_text_and_the_connection_goes_on() {
    let gateway = gateway("http-get", "AUTO", json!({ "messagesLimitCount": 1 }));
    let mut client = gateway.connect();
    for (accept, media, start) in [
        ("application/json", "application/json", "{\"items\":[{\"id\":\"0\""),
        (
            "application/xml",
            "application/xml",
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><response><items><item><id>0</id>",
        ),
        ("*/*", "text/plain;charset=UTF-8", "items\nitem\n  id: 0\n  content: tick 0\n"),
    ] {
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\n\r\n"));
        let (head, body) = client.response();
        assert_eq!(head.field("content-type"), Some(media));
        let body = String::from_utf8(body).unwrap();
        assert!(body.starts_with(start), "{body}");
    }
}
