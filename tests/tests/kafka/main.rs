//! Message APIs in front of a real Apache Kafka.
//!
//! A binary of its own: Kafka is started once for it. The audits have brokers of their own, which they kill.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code outside of test functions")]

mod audits;
mod clients;
mod faults;
mod groups;
mod pairs;
#[path = "../passages/mod.rs"]
mod passages;
mod policies;
mod schemas;
mod security;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use ringway_tests::{Api, DEADLINE, Gateway};
use serde_json::{Value, json};

/// An API at `/` with these entrypoints in front of a topic.
fn api(servers: &str, entrypoints: Value, shared: Value) -> Api {
    Api::messages("/", entrypoints, "kafka", json!({ "bootstrapServers": servers }))
        .with("endpointGroups/0/sharedConfiguration", shared)
        .with("endpointGroups/0/endpoints/0/inheritConfiguration", json!(true))
}

/// Reads and writes a topic; a group without a place begins at its beginning.
fn topic(name: &str) -> Value {
    json!({ "consumer": { "topics": [name], "autoOffsetReset": "earliest" }, "producer": { "topics": [name] } })
}

/// All three entrypoints at one level.
fn entrypoints(qos: &str) -> Value {
    let get = json!({ "messagesLimitDurationMs": 1_000, "metadataInPayload": true, "headersInPayload": true });
    let publishes = if qos == "NONE" { "NONE" } else { "AUTO" };
    let mut all = vec![
        json!({ "type": "http-post", "qos": publishes, "configuration": { "requestHeadersToMessage": true } }),
        json!({ "type": "sse", "qos": qos }),
    ];
    // The pair has no such level.
    if qos != "NONE" {
        all.push(json!({ "type": "http-get", "qos": qos, "configuration": get }));
    }
    json!(all)
}

/// Sends a request on a connection of its own; status and body, or nothing when the connection ended before that.
fn ask(address: SocketAddr, request: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(request.as_bytes()).ok()?;
    let mut response = Vec::new();
    let read = stream.read_to_end(&mut response);
    assert!(!matches!(&read, Err(error) if error.kind() == ErrorKind::WouldBlock), "no answer in time");
    read.ok()?;
    let response = String::from_utf8_lossy(&response).into_owned();
    let (head, body) = response.split_once("\r\n\r\n")?;
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    if length.is_some_and(|length: usize| length != body.len()) {
        return None;
    }
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

fn post(gateway: &Gateway, fields: &str, body: &str) -> Option<(u16, String)> {
    let length = body.len();
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: {length}\r\nConnection: close\r\n\r\n");
    ask(gateway.http(), &format!("{head}{body}"))
}

/// An answer of `http-get`.
#[derive(Debug)]
struct Page {
    items: Vec<Value>,
    next: Option<String>,
}

impl Page {
    fn contents(&self) -> Vec<String> {
        self.items.iter().map(|item| item["content"].as_str().unwrap().to_owned()).collect()
    }
}

/// A poll of a consumer of this name, which should be the test's own: it names the group; the status of what is no page, 0 without an answer.
fn poll(address: SocketAddr, who: &str, cursor: Option<&str>, limit: usize) -> Result<Page, (u16, String)> {
    let cursor = cursor.map(|cursor| format!("&cursor={}", cursor.replace('=', "%3D"))).unwrap_or_default();
    let request = format!(
        "GET /?limit={limit}{cursor} HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\nX-Gravitee-Client-Identifier: {who}\r\n\
         Connection: close\r\n\r\n"
    );
    match ask(address, &request) {
        Some((200, body)) => {
            let body: Value = serde_json::from_str(&body).unwrap();
            let next = body["pagination"]["nextCursor"].as_str().map(str::to_owned);
            Ok(Page { items: body["items"].as_array().unwrap().clone(), next })
        }
        Some(refusal) => Err(refusal),
        None => Err((0, String::new())),
    }
}

/// An event stream.
struct Events {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl Events {
    /// Opens one; the status of what is none.
    fn open(address: SocketAddr, who: &str, last: Option<&str>) -> Result<Self, (u16, String)> {
        let last = last.map(|last| format!("Last-Event-ID: {last}\r\n")).unwrap_or_default();
        let request = format!(
            "GET / HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\nX-Gravitee-Client-Identifier: {who}\r\n{last}\r\n"
        );
        let stream = TcpStream::connect(address).map_err(|_| (0, String::new()))?;
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut events = Self { stream, bytes: Vec::new() };
        events.stream.write_all(request.as_bytes()).map_err(|_| (0, String::new()))?;
        let head = events.until(b"\r\n\r\n").ok_or((0, String::new()))?;
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        match status {
            200 => Ok(events),
            _ => Err((status, head + &String::from_utf8_lossy(&events.bytes))),
        }
    }

    /// The next event's id and data. `None`: the stream has ended.
    fn next(&mut self) -> Option<(String, String)> {
        loop {
            let event = self.until(b"\n\n")?;
            let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
            if let (Some(id), Some(data)) = (field("id: "), field("data: ")) {
                return Some((id, data));
            }
        }
    }

    fn until(&mut self, mark: &[u8]) -> Option<String> {
        let late = Instant::now() + DEADLINE;
        loop {
            if let Some(at) = self.bytes.windows(mark.len()).position(|window| window == mark) {
                let rest = self.bytes.split_off(at + mark.len());
                let taken = std::mem::replace(&mut self.bytes, rest);
                return Some(String::from_utf8_lossy(&taken).into_owned());
            }
            assert!(Instant::now() < late, "no event in time; so far {:?}", String::from_utf8_lossy(&self.bytes));
            let mut piece = [0; 16 * 1024];
            match self.stream.read(&mut piece) {
                Ok(0) => return None,
                Ok(count) => self.bytes.extend_from_slice(&piece[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return None,
            }
        }
    }
}

fn numbers(range: std::ops::Range<usize>) -> impl Iterator<Item = String> {
    range.map(|number| number.to_string())
}

/// The key of a refusal.
fn key(refusal: &(u16, String)) -> (u16, String) {
    let body = refusal.1.rsplit("\r\n\r\n").next().unwrap_or_default();
    let problem: Value = serde_json::from_str(body).unwrap_or_default();
    (refusal.0, problem["key"].as_str().unwrap_or_default().to_owned())
}
