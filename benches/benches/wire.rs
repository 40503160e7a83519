//! The codec by itself: heads in and out, chunks, paths, WebSocket frames. What is timed is what an exchange does with warm buffers; the bytes
//! that a receive would have put there are copied in, which is in the figures.

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use http::Method;
use ringway_wire::chunk::{self, Decoder};
use ringway_wire::uri::normalise;
use ringway_wire::websocket::compression::{Deflater, Preferences, negotiate};
use ringway_wire::websocket::{self, Event, Kind};
use ringway_wire::{Connection, Fields, Framing, Limits, Parsed, RequestHead, ResponseHead, TargetParts, UriOptions};

/// As `wrk` sends it: 37 bytes.
const SMALL: &str = "GET / HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n";
/// A call of one service to another: 205 bytes.
const CALL: &str = "GET /api/v1/orders/4711?expand=lines HTTP/1.1\r\nHost: orders.example.com\r\nUser-Agent: client/1.0\r\n\
    Accept: application/json\r\nAuthorization: Bearer 0123456789abcdef0123456789abcdef\r\nX-Request-Id: 42\r\n\r\n";
/// As a browser sends it: about 700 bytes.
const BROWSER: &str = "GET /shop/category/shoes?page=2&sort=price HTTP/1.1\r\nHost: www.example.com\r\nConnection: keep-alive\r\n\
    sec-ch-ua: \"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\"\r\nsec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: \"Linux\"\r\n\
    Upgrade-Insecure-Requests: 1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
    Chrome/140.0.0.0 Safari/537.36\r\nAccept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8\r\n\
    Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nAccept-Encoding: gzip, deflate, br\r\n\
    Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\nCookie: session=0123456789abcdef; theme=dark\r\n\r\n";
/// Usual of a small answer: about 130 bytes.
const RESPONSE: &str = "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
    Content-Type: application/json\r\nContent-Length: 13\r\n\r\n";

/// 40 field lines, about 4 KB.
fn large() -> String {
    let lines: String = (0..39).map(|i| format!("X-Header-Number-{i}: {}\r\n", "v".repeat(80))).collect();
    format!("GET /a/b/c HTTP/1.1\r\nHost: example.com\r\n{lines}\r\n")
}

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("wire/parse");
    let limits = Limits::default();
    for (name, bytes) in
        [("37B", SMALL.to_owned()), ("205B", CALL.to_owned()), ("700B", BROWSER.to_owned()), ("4KB", large())]
    {
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        let (mut head, mut input) = (RequestHead::new(), BytesMut::with_capacity(8192));
        group.bench_function(name, |b| {
            b.iter(|| {
                input.reserve(8192);
                input.extend_from_slice(black_box(bytes.as_bytes()));
                assert_eq!(head.parse(&mut input, &limits), Ok(Parsed::Complete));
                black_box(head.path());
                head.clear();
            });
        });
    }
    group.throughput(Throughput::Bytes(RESPONSE.len() as u64));
    let (mut head, mut input) = (ResponseHead::new(), BytesMut::with_capacity(8192));
    group.bench_function("response", |b| {
        b.iter(|| {
            input.reserve(8192);
            input.extend_from_slice(black_box(RESPONSE.as_bytes()));
            assert_eq!(head.parse(&mut input, &limits, &Method::GET), Ok(Parsed::Complete));
            black_box(head.status);
            head.clear();
        });
    });
    group.finish();
}

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("wire/encode");
    let limits = Limits::default();
    for (name, bytes) in [("37B", SMALL), ("205B", CALL), ("700B", BROWSER)] {
        let (mut head, mut out) = (RequestHead::new(), BytesMut::with_capacity(8192));
        assert_eq!(head.parse(&mut BytesMut::from(bytes), &limits), Ok(Parsed::Complete));
        group.bench_function(name, |b| {
            b.iter(|| {
                out.clear();
                let target = TargetParts { prefix: "", path: head.path(), query: head.query() };
                head.encode(black_box(&target), "10.0.0.1:8080", Framing::None, Connection::Keep, &mut out);
                black_box(out.len())
            });
        });
    }
    let (mut head, mut out) = (RequestHead::new(), BytesMut::with_capacity(8192));
    assert_eq!(head.parse(&mut BytesMut::from(CALL), &limits), Ok(Parsed::Complete));
    for (name, value) in [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "https"), ("via", "1.1 ringway")] {
        assert_eq!(head.fields.set(name, value), Ok(()));
    }
    group.bench_function("205B, 3 lines added", |b| {
        b.iter(|| {
            out.clear();
            let target = TargetParts { prefix: "", path: head.path(), query: head.query() };
            head.encode(black_box(&target), "10.0.0.1:8080", Framing::None, Connection::Keep, &mut out);
            black_box(out.len())
        });
    });
    let mut head = ResponseHead::new();
    assert_eq!(head.parse(&mut BytesMut::from(RESPONSE), &limits, &Method::GET), Ok(Parsed::Complete));
    group.bench_function("response", |b| {
        b.iter(|| {
            out.clear();
            head.encode(black_box(Framing::Length(13)), Connection::Keep, &mut out);
            black_box(out.len())
        });
    });
    group.finish();
}

fn chunks(c: &mut Criterion) {
    let mut group = c.benchmark_group("wire/chunk");
    for (name, chunk_bytes, count) in [("1 of 16KB", 16_000, 1), ("16 of 1KB", 1000, 16), ("256 of 16B", 16, 256)] {
        let mut bytes = BytesMut::new();
        for _ in 0..count {
            chunk::head(chunk_bytes, &mut bytes);
            bytes.extend(std::iter::repeat_n(b'x', chunk_bytes as usize));
            chunk::tail(&mut bytes);
        }
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        let (mut rest, mut trailers) = (BytesMut::new(), Fields::new());
        group.bench_function(name, |b| {
            b.iter_batched_ref(
                || (Decoder::default(), bytes.clone()),
                |(decoder, data)| black_box(decoder.decode(data, &mut rest, &mut trailers)),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn uri(c: &mut Criterion) {
    let mut group = c.benchmark_group("wire/uri");
    let options = UriOptions::default();
    let mut out = String::with_capacity(256);
    for (name, path) in [
        ("normal", "/api/v1/customers/4711/orders/2024"),
        ("encoded", "/api/v1/customers/J%c3%bcrgen%20M/orders"),
        ("dot segments", "/api/./v1//customers/../orders/%7E"),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| {
                out.clear();
                black_box(normalise(black_box(path), &options, &mut out))
            });
        });
    }
    group.finish();
}

fn json(bytes: usize) -> Vec<u8> {
    b"{\"sensor\":\"7f3a\",\"unit\":\"C\",\"value\":21.4},".iter().copied().cycle().take(bytes).collect()
}

/// A frame of a client.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    ringway_wire::fuzz::websocket_frame(first, [0x37, 0xfa, 0x21, 0x3d], payload)
}

fn websocket_frames(c: &mut Criterion) {
    let mut group = c.benchmark_group("wire/websocket");
    for (name, first, bytes) in [
        ("decode 100B text", 0x81, 100),
        ("decode 100B binary", 0x82, 100),
        ("decode 1KB text", 0x81, 1000),
        ("decode 16KB binary", 0x82, 16_000),
        ("decode 16KB text", 0x81, 16_000),
        ("decode a ping", 0x89, 8),
    ] {
        let data = frame(first, &json(bytes));
        group.throughput(Throughput::Bytes(data.len() as u64));
        let (mut decoder, mut input) = (websocket::Decoder::new(1 << 20, None), BytesMut::with_capacity(64 * 1024));
        group.bench_function(name, |b| {
            b.iter(|| {
                input.reserve(data.len());
                input.extend_from_slice(black_box(&data));
                let event = decoder.decode(&mut input);
                assert!(matches!(event, Ok(Some(_))));
                black_box(event)
            });
        });
    }
    for (name, bytes) in [("encode 100B", 100), ("encode 16KB", 16_000)] {
        let payload = vec![b'x'; bytes];
        let mut out = BytesMut::with_capacity(64 * 1024);
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                out.clear();
                websocket::encode::message(Kind::Text, false, black_box(&payload), &mut out);
                black_box(out.len())
            });
        });
    }
    group.finish();
}

fn websocket_compression(c: &mut Criterion) {
    let mut group = c.benchmark_group("wire/websocket deflate");
    for (name, offer) in [("takeover", ""), ("no takeover", "; server_no_context_takeover; client_no_context_takeover")]
    {
        let offer = format!("permessage-deflate{offer}");
        let Ok(Some(agreement)) = negotiate([offer.as_bytes()], &Preferences::default()) else { continue };
        for bytes in [100, 16_000] {
            let payload = json(bytes);
            group.throughput(Throughput::Bytes(payload.len() as u64));
            let (mut deflater, mut out) = (Deflater::new(&agreement, 1), Vec::with_capacity(64 * 1024));
            group.bench_function(format!("deflate {bytes}B, {name}"), |b| {
                b.iter(|| {
                    out.clear();
                    black_box(deflater.deflate(black_box(&payload), &mut out)).map(|()| out.len())
                });
            });
            let mut deflated = Vec::new();
            assert!(Deflater::new(&agreement, 1).deflate(&payload, &mut deflated).is_ok());
            let data = frame(0xc1, &deflated);
            let mut decoder = websocket::Decoder::new(1 << 20, Some(&agreement));
            let mut input = BytesMut::with_capacity(64 * 1024);
            group.bench_function(format!("inflate {bytes}B, {name}"), |b| {
                b.iter(|| {
                    input.reserve(data.len());
                    input.extend_from_slice(black_box(&data));
                    let event = decoder.decode(&mut input);
                    assert!(matches!(event, Ok(Some(Event::Message { .. }))));
                    black_box(event)
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, parse, encode, chunks, uri, websocket_frames, websocket_compression);
criterion_main!(benches);
