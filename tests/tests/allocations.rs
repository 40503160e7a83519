//! No heap allocation per request on a kept connection: the whole way from socket to socket, measured where it would hurt.
//!
//! The allocator of this process counts. Client and backend allocate nothing while it does, so every count is the shard's.

#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use ringway_config::{Hidden, Loader, Node, Settings, Snapshot, Source, Span, decode};
use ringway_contract::Registry;
use ringway_contract::control::DataPlane;
use ringway_engine::{Engine, StartOptions, start};
use ringway_management::kinds::catalogue;
use serde_json::{Value, json};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is the system allocator's own; the count beside it touches no memory that is handed out.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn node(value: &Value) -> Node {
    Node::from_json(value, &Span::start(Source::new("test", "")))
}

fn gateway(backend: &str) -> Engine {
    let registry = Registry {
        fetch: |_| None,
        dial: |_| None,
        metrics: |_| {},
        entrypoints: ringway_connectors::ENTRYPOINTS,
        pushes: ringway_connectors::PUSHES,
        endpoints: ringway_connectors::ENDPOINTS,
        brokers: ringway_connectors::BROKERS,
        guards: ringway_policies::GUARDS,
        policies: ringway_policies::POLICIES,
        reshape: None,
    };
    let settings: Settings = decode(&node(&json!({
        "shards": 1,
        "servers": [{ "id": "http", "listen": "127.0.0.1:0" }],
        "logging": { "access": { "enabled": false } },
    })))
    .unwrap();
    let definition = json!({
        "id": "a", "name": "a", "apiVersion": "1", "definitionVersion": "V4", "type": "PROXY",
        "listeners": [{ "type": "HTTP", "paths": [{ "path": "/a" }], "entrypoints": [{ "type": "http-proxy" }] }],
        "endpointGroups": [{ "name": "g", "type": "http-proxy", "endpoints": [
            { "name": "e", "type": "http-proxy", "configuration": { "target": backend } }] }],
        "flows": [{ "request": [{ "policy": "transform-headers", "configuration": {
            "scope": "REQUEST", "addHeaders": [{ "name": "x-added", "value": "1" }], "removeHeaders": ["x-gone"] } }] }],
        "plans": [{ "name": "open", "security": { "type": "KEY_LESS" } }],
    });
    let catalogue = catalogue(&registry);
    let (apis, problems) =
        Loader::default().catalogue(&catalogue).definition("a.json", &definition.to_string(), &settings);
    assert!(problems.is_empty(), "{problems:?}");
    let apis = apis.into_iter().map(Arc::new).collect();
    start(StartOptions {
        snapshot: Arc::new(Snapshot {
            settings,
            apis,
            dictionaries: Vec::new(),
            hidden: Hidden::default(),
            revision: 1,
        }),
        registry,
    })
    .unwrap()
}

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nhello, world\n";

/// A backend that answers every request with [`RESPONSE`], out of buffers on its stack.
fn backend() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = [0; 8192];
        let mut filled = 0;
        loop {
            match stream.read(&mut buffer[filled..]) {
                Ok(read) if read > 0 => filled += read,
                _ => return,
            }
            let head = buffer[..filled].windows(4).position(|bytes| bytes == b"\r\n\r\n");
            let Some(head) = head else { continue };
            let body = if buffer.starts_with(b"POST") { 5 } else { 0 };
            if filled >= head + 4 + body {
                filled = 0;
                stream.write_all(RESPONSE).unwrap();
            }
        }
    });
    format!("http://{address}/base")
}

/// Sends `request` and reads one whole response, out of buffers on the stack.
fn exchange(stream: &mut TcpStream, request: &[u8]) {
    stream.write_all(request).unwrap();
    let mut buffer = [0; 8192];
    let mut filled = 0;
    while !buffer[..filled].ends_with(b"hello, world\n") {
        let read = stream.read(&mut buffer[filled..]).unwrap();
        assert!(read > 0, "closed after {:?}", String::from_utf8_lossy(&buffer[..filled]));
        filled += read;
    }
    assert!(buffer.starts_with(b"HTTP/1.1 200 OK\r\n"));
}

#[test]
fn a_kept_connection_allocates_nothing_per_request() {
    let gateway = gateway(&backend());
    let address = &gateway.addresses()[0].1;
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let get =
        b"GET /a/b?c=d HTTP/1.1\r\nHost: api.example.test\r\nUser-Agent: test\r\nX-Gone: 1\r\nAccept: */*\r\n\r\n";
    let post = b"POST /a HTTP/1.1\r\nHost: api.example.test\r\nContent-Length: 5\r\n\r\nhello";
    for (name, request) in [("GET", &get[..]), ("POST", &post[..])] {
        for _ in 0..200 {
            exchange(&mut stream, request);
        }
        let before = ALLOCATIONS.load(Relaxed);
        const REQUESTS: u64 = 1000;
        for _ in 0..REQUESTS {
            exchange(&mut stream, request);
        }
        let counted = ALLOCATIONS.load(Relaxed) - before;
        // Housekeeping once a second and the timer's tick may allocate; a request may not.
        assert!(counted < REQUESTS / 20, "{counted} allocations in {REQUESTS} {name} requests");
    }
    gateway.drain(std::time::Duration::from_secs(1));
}
