//! `http-post`: a body is a message.

use serde_json::{Value, json};

use super::gateway;

#[test]
fn a_body_is_published_and_the_answer_says_so() {
    let gateway = gateway("http-post", "AUTO", json!({}));
    let mut client = gateway.connect();
    for body in [
        "Content-Length: 5\r\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        "Content-Length: 0\r\n\r\n",
    ] {
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{body}"));
        let (head, body) = client.response();
        assert_eq!((head.status(), body.len()), (202, 0));
    }
    assert_eq!(gateway.metric("ringway_api_messages_published_total", &[]), 3.0);
}

#[test]
fn who_expects_to_be_asked_for_the_body_is_asked() {
    let gateway = gateway("http-post", "AUTO", json!({}));
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    client.expect("HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hello");
    assert_eq!(client.response().0.status(), 202);
}

#[test]
fn a_message_that_is_too_large_is_refused_however_it_comes() {
    let gateway = ringway_tests::Gateway::configured(
        "limits: { messageBytes: 1024 }\n",
        &[super::made_up(json!([{ "type": "http-post" }]), json!({}))],
    );
    let large = "x".repeat(1025);
    for body in [
        format!("Content-Length: 1025\r\n\r\n{large}"),
        format!("Transfer-Encoding: chunked\r\n\r\n401\r\n{large}\r\n0\r\n\r\n"),
    ] {
        let mut client = gateway.connect();
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{body}"));
        let (head, body) = client.response();
        assert_eq!(head.status(), 413);
        let problem: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem["key"], "MESSAGE_TOO_LARGE");
    }
    let mut client = gateway.connect();
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1024\r\n\r\n{}", &large[..1024]));
    assert_eq!(client.response().0.status(), 202);
}
