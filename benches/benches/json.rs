//! Policies on JSON bodies: what reading a body costs, by its length.
#![allow(missing_docs, clippy::unwrap_used, reason = "a bench")]

use std::fmt::Write;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ringway_config::Node;
use ringway_contract::kind::{Services, Source};
use ringway_contract::{ApiInfo, Client, Exchange, Policy, Request, Step};
use ringway_wire::Limits;

const HEAD: &str =
    "POST /orders HTTP/1.1\r\nHost: api.example.test\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n";

fn policy(name: &str, configuration: &str) -> Rc<dyn Policy> {
    let node = Node::parse_json("bench", configuration).unwrap();
    let kind = ringway_policies::POLICIES.iter().find(|kind| kind.name == name).unwrap();
    let source = Source { configuration: Some(&node), shared: None, place: "bench", resources: &[], groups: &[] };
    (kind.build)(source, &Services::default()).map_err(|refusal| refusal.to_string()).unwrap()
}

fn exchange(body: &Bytes) -> Exchange {
    let mut request = Box::<Request>::default();
    request.head.parse(&mut BytesMut::from(HEAD), &Limits::default()).unwrap();
    let api = Rc::new(ApiInfo { id: "a".into(), name: "a".into(), version: "1".into(), ..ApiInfo::default() });
    let mut exchange =
        Exchange::new(request, api, Rc::default(), Client { address: None, tls: false, certificate: None });
    exchange.contents.request = Some(body.clone());
    exchange
}

/// Orders, as many as `length` bytes need.
fn body(length: usize) -> Bytes {
    let mut text = String::from("[");
    let mut id = 0;
    while text.len() < length - 100 {
        let comma = if id == 0 { "" } else { "," };
        let _ = write!(
            text,
            r#"{comma}{{"id":{id},"sku":"A-{id:06}","price":{}.95,"note":"two \"quoted\" words","paid":true}}"#,
            id % 90
        );
        id += 1;
    }
    text.push(']');
    text.into()
}

fn bodies(criterion: &mut Criterion) {
    let policies = [
        ("json-validation", r#"{"schema": "{\"type\": \"array\"}"}"#),
        ("json-to-json", r#"{"specification": "[{\"operation\": \"shift\", \"spec\": {\"*\": \"&\"}}]"}"#),
    ];
    for (name, configuration) in policies {
        let policy = policy(name, configuration);
        let mut group = criterion.benchmark_group(name);
        for length in [200, 400, 800, 10_000, 1_000_000] {
            let body = body(length);
            group.throughput(Throughput::Bytes(body.len() as u64));
            group.bench_function(format!("{length} bytes"), |bencher| {
                bencher.iter_batched_ref(
                    || exchange(&body),
                    |exchange| assert!(matches!(policy.request(exchange), Step::Next)),
                    BatchSize::SmallInput,
                );
            });
        }
        group.finish();
    }
}

criterion_group!(benches, bodies);
criterion_main!(benches);
