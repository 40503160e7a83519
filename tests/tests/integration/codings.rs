//! Content codings: who agrees on them with whom, and what the gateway undoes.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use ringway_tests::{Api, Backend, Client, Gateway, Nginx, Peer, wait_until};
use serde_json::json;

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).expect("a vector takes all");
    encoder.finish().expect("a vector takes all")
}

fn gunzip(packed: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    GzDecoder::new(packed).read_to_end(&mut text).expect("gzip");
    text
}

/// A gateway before `target` whose definition says this of compression.
fn gateway(target: &str, compression: &serde_json::Value) -> Gateway {
    let mut api = Api::proxy("/", target);
    for (name, value) in compression.as_object().into_iter().flatten() {
        api = api.http(name, value.clone());
    }
    Gateway::serving(&[api])
}

fn ask(gateway: &Gateway, method: &str, fields: &str) -> (ringway_tests::Head, Vec<u8>) {
    let mut client = Client::connect(gateway.http());
    client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    if method == "HEAD" { (client.head(), Vec::new()) } else { client.response() }
}

/// Answers everything with these bytes behind a head with these fields.
fn packed(fields: &'static str, body: Vec<u8>) -> Backend {
    Backend::scripted(move |peer: &mut Peer, _| {
        while let Some(head) = peer.next_head() {
            peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{fields}\r\n", body.len()));
            if head.method() != "HEAD" {
                peer.send(&body);
            }
        }
    })
}

#[test]
fn what_the_backend_hears_of_codings() {
    let backend = Backend::ok("x");
    for (compression, heard) in [
        (json!({}), [Some("br"), Some("gzip, br"), None, Some("br"), Some("br")]),
        (json!({ "useCompression": true }), [Some("gzip"), Some("gzip, br"), Some("gzip"), Some("br"), Some("br")]),
        (json!({ "useCompression": false }), [None; 5]),
        (
            json!({ "useCompression": false, "propagateClientAcceptEncoding": true }),
            [Some("br"), Some("gzip, br"), None, Some("br"), Some("br")],
        ),
    ] {
        let gateway = gateway(&backend.target(), &compression);
        let said = [
            "Accept-Encoding: br\r\n",
            "Accept-Encoding: gzip, br\r\n",
            "",
            "Accept-Encoding: br\r\nRange: bytes=0-1\r\n",
            "Accept-Encoding: br\r\nCache-Control: max-age=0, No-Transform\r\n",
        ];
        for (said, heard) in said.into_iter().zip(heard) {
            assert_eq!(ask(&gateway, "GET", said).0.status(), 200);
            let (head, _) = backend.seen().pop().expect("a request");
            assert_eq!(head.all("accept-encoding").collect::<Vec<_>>(), Vec::from_iter(heard), "{compression} {said}");
        }
    }
}

#[test]
fn what_a_client_cannot_read_is_undone_and_all_else_passes() {
    let text: String = (0..40_000).map(|number| format!("line {number}\n")).collect();
    let backend = packed(
        "Content-Encoding: gzip\r\nETag: \"7\"\r\nAccept-Ranges: bytes\r\nContent-MD5: x\r\nVary: Origin\r\n",
        gzip(text.as_bytes()),
    );
    let gateway = gateway(&backend.target(), &json!({ "useCompression": true }));
    for fields in ["", "Accept-Encoding: identity\r\n", "Accept-Encoding: gzip;q=0\r\n"] {
        let (head, body) = ask(&gateway, "GET", fields);
        assert!(body == text.as_bytes(), "{} bytes of {}", body.len(), text.len());
        for method in ["GET", "HEAD"] {
            let (head, _) = if method == "GET" { (head.clone(), body.clone()) } else { ask(&gateway, method, fields) };
            for gone in ["content-encoding", "content-length", "accept-ranges", "content-md5"] {
                assert_eq!(head.field(gone), None, "{gone} of a {method}");
            }
            assert_eq!(head.field("etag"), Some("W/\"7\""));
            assert!(head.has("vary", "Origin") && head.has("vary", "Accept-Encoding"), "{head:?}");
        }
    }
    let (head, body) = ask(&gateway, "GET", "Accept-Encoding: gzip\r\n");
    assert_eq!((head.field("content-encoding"), head.field("etag")), (Some("gzip"), Some("\"7\"")));
    assert_eq!(head.field("content-length"), Some(body.len().to_string().as_str()));
    assert!(gunzip(&body) == text.as_bytes());
    // A client of HTTP/1.0 knows no chunks: its body ends with the connection.
    let mut client = Client::connect(gateway.http());
    client.send("GET / HTTP/1.0\r\n\r\n");
    let head = client.head();
    assert!(head.field("transfer-encoding").is_none() && client.rest() == text.as_bytes(), "{head:?}");
}

#[test]
fn an_nginx_that_compresses_is_read() {
    let nginx = Nginx::start(
        "server { listen {listen}; gzip on; gzip_min_length 1; gzip_types *; gzip_proxied any; root {root};
                  location / { try_files $uri =404; } }",
    );
    let text = "all work and no play ".repeat(20_000);
    nginx.file("page.txt", text.as_bytes());
    let gateway = gateway(&nginx.target(), &json!({ "useCompression": true }));
    let get = |fields: &str| {
        let mut client = Client::connect(gateway.http());
        client.send(format!("GET /page.txt HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        client.response()
    };
    let (plain, body) = get("");
    assert!(body == text.as_bytes() && plain.field("content-encoding").is_none(), "{plain:?}");
    let tag = plain.field("etag").expect("a tag");
    assert!(tag.starts_with("W/"), "nginx makes it weak as well: {tag}");
    assert_eq!(get(&format!("If-None-Match: {tag}\r\n")).0.status(), 304);
    let (head, body) = get("Accept-Encoding: gzip\r\n");
    assert!(gunzip(&body) == text.as_bytes() && body.len() < text.len() / 10, "{head:?}");
    let (head, body) = get("Range: bytes=4-7\r\n");
    assert_eq!((head.status(), body.as_slice()), (206, &b"work"[..]));
}

#[test]
fn a_bomb_is_held_back_by_its_client() {
    const BYTES: usize = 400 << 20;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![0; 1 << 20];
    (0..BYTES / zeros.len()).for_each(|_| encoder.write_all(&zeros).expect("a vector takes all"));
    let bomb = encoder.finish().expect("a vector takes all");
    assert!(bomb.len() < BYTES / 500);
    let backend = packed("Content-Encoding: gzip\r\n", bomb);
    let gateway = gateway(&backend.target(), &json!({ "useCompression": true }));
    let mut clients: Vec<Peer> = (0..4).map(|_| Client::connect(gateway.http())).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.head().status(), 200);
    }
    // Nobody reads on. What is undone meanwhile has its bound; others are served.
    for _ in 0..50 {
        assert_eq!(ask(&gateway, "HEAD", "").0.status(), 200);
    }
    let memory = gateway.process().memory_kib("VmHWM") << 10;
    assert!(memory < BYTES as u64 / 2, "{memory} bytes for a bomb of {BYTES}");
}

#[test]
fn a_body_whose_gzip_is_not_whole_breaks_off() {
    let whole = gzip("hello ".repeat(1000).as_bytes());
    let mut changed = whole.clone();
    if let Some(byte) = changed.iter_mut().rev().nth(5) {
        *byte ^= 1;
    }
    for (what, body) in [
        ("cut", whole[..whole.len() - 3].to_vec()),
        ("changed", changed),
        ("none", b"plain text, whatever the head says".to_vec()),
        ("followed by rubbish", [&whole[..], b"x"].concat()),
    ] {
        let backend = packed("Content-Encoding: gzip\r\n", body);
        let gateway = gateway(&backend.target(), &json!({ "useCompression": true }));
        let mut client = Client::connect(gateway.http());
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.head().status(), 200);
        let rest = client.rest();
        assert!(!rest.ends_with(b"0\r\n\r\n"), "{what}: no end that looks like one");
    }
}

#[test]
fn what_is_not_gzip_alone_or_not_whole_passes_as_it_is() {
    for fields in ["Content-Encoding: br\r\n", "Content-Encoding: deflate, gzip\r\n", ""] {
        let backend = packed(fields, b"whatever".to_vec());
        let gateway = gateway(&backend.target(), &json!({ "useCompression": true }));
        let (head, body) = ask(&gateway, "GET", "");
        assert_eq!((head.field("content-length"), body.as_slice()), (Some("8"), &b"whatever"[..]), "{fields}");
        assert!(!head.has("vary", "accept-encoding"));
    }
}

#[test]
fn an_event_stream_is_undone_event_by_event() {
    let seen = Arc::new(AtomicUsize::new(0));
    let had = Arc::clone(&seen);
    let backend = Backend::scripted(move |peer: &mut Peer, _| {
        let Some(_) = peer.next_head() else { return };
        peer.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n");
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        for number in 0..3 {
            encoder.write_all(format!("data: {number}\n\n").as_bytes()).expect("a vector takes all");
            encoder.flush().expect("a vector takes all");
            let piece = std::mem::take(encoder.get_mut());
            peer.send([format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat());
            // The next one is written only when the client has this one.
            wait_until("the client to have it", || had.load(Ordering::SeqCst) > number);
        }
        let piece = encoder.finish().expect("a vector takes all");
        peer.send([format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n0\r\n\r\n"].concat());
    });
    let gateway = gateway(&backend.target(), &json!({ "useCompression": true }));
    let mut client = Client::connect(gateway.http());
    client.send("GET / HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n");
    client.head();
    for number in 0..3 {
        client.until(format!("data: {number}\n\n").as_bytes());
        seen.fetch_add(1, Ordering::SeqCst);
    }
    client.until(b"0\r\n\r\n");
}
