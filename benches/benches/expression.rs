//! Expressions: what it costs to compile them, and to evaluate them against an exchange.

use std::hint::black_box;
use std::rc::Rc;

use bytes::BytesMut;
use criterion::{Criterion, criterion_group, criterion_main};
use ringway_contract::{Client, Exchange, Request};
use ringway_expression::{Template, Vocabulary};
use ringway_wire::Limits;

const EXPRESSIONS: [(&str, &str); 8] = [
    ("header", "{#request.headers['x-tier'][0] == 'gold'}"),
    ("header-list", "{#request.headers['x-tier'] == 'gold'}"),
    ("header-absent", "{#request.headers['x-none'][0] == 'gold'}"),
    ("both", "{#request.headers['x-tier'][0] == 'gold' && #request.method == 'GET'}"),
    ("matches", "{#request.path matches '/orders/[0-9]+'}"),
    ("segment", "{#request.paths[2] == '17'}"),
    ("arithmetic", "{T(java.lang.Integer).parseInt(#request.headers['content-length'][0]) + 1 > 40}"),
    ("json-path", "{#jsonPath(#request.content, '$.unit') == 'kg'}"),
];

const BODY: &[u8] = br#"{"unit": "kg", "amount": 12.5, "sensor": {"id": "t-17", "tags": ["a", "b"]}}"#;

fn exchange() -> Exchange {
    let head = "GET /orders/17 HTTP/1.1\r\nhost: api.example.com\r\nuser-agent: curl/8.5.0\r\naccept: */*\r\n\
                content-type: application/json\r\ncontent-length: 42\r\nx-request-id: 9f2c\r\nx-tier: gold\r\n\r\n";
    let mut request = Box::<Request>::default();
    let parsed = request.head.parse(&mut BytesMut::from(head), &Limits::default());
    assert!(parsed.is_ok(), "{parsed:?}");
    let client = Client { address: None, tls: false, certificate: None };
    let mut exchange = Exchange::new(request, Rc::default(), Rc::default(), client);
    exchange.contents.request = Some(BODY.into());
    exchange
}

fn evaluate(c: &mut Criterion) {
    let exchange = exchange();
    let mut group = c.benchmark_group("expression/evaluate");
    for (name, text) in EXPRESSIONS {
        let template = Template::condition(text, &Vocabulary::request()).unwrap_or_else(|problem| panic!("{problem}"));
        group.bench_function(name, |b| b.iter(|| black_box(&template).as_bool(black_box(&exchange))));
    }
    let template = Template::compile("https://{#request.headers['host'][0]}/v2{#request.path}", &Vocabulary::request());
    let template = template.unwrap_or_else(|problem| panic!("{problem}"));
    let mut out = String::new();
    group.bench_function("render", |b| {
        b.iter(|| {
            out.clear();
            black_box(&template).render(black_box(&exchange), &mut out)
        });
    });
    group.finish();
}

fn compile(c: &mut Criterion) {
    let mut group = c.benchmark_group("expression/compile");
    for (name, text) in EXPRESSIONS {
        group.bench_function(name, |b| b.iter(|| Template::condition(black_box(text), &Vocabulary::request())));
    }
    group.finish();
}

criterion_group!(benches, evaluate, compile);
criterion_main!(benches);
