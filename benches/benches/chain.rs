//! The policy chain: what an exchange pays for flows that it does not take, and for policies that it does.
#![allow(missing_docs, clippy::unwrap_used, reason = "a bench")]

use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use ringway_config::Node;
use ringway_config::api::PathOperator;
use ringway_contract::kind::{Services, Source};
use ringway_contract::{ApiInfo, Client, Exchange, Policy, Request};
use ringway_engine::chain::{Chain, Choice, Facing, Flow, Masks, Scope, Selector, Step};
use ringway_wire::Limits;

const HEAD: &str =
    "GET /orders/17/items?page=2 HTTP/1.1\r\nHost: api.example.test\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n";

fn policy() -> Rc<dyn Policy> {
    let node =
        Node::parse_json("bench", r#"{"addHeaders":[{"name":"x-a","value":"1"}],"removeHeaders":["user-agent"]}"#)
            .unwrap();
    let kind = ringway_policies::POLICIES.iter().find(|kind| kind.name == "transform-headers").unwrap();
    let source = Source { configuration: Some(&node), shared: None, place: "bench", resources: &[], groups: &[] };
    (kind.build)(source, &Services::default()).map_err(|refusal| refusal.to_string()).unwrap()
}

fn exchange() -> Exchange {
    let mut request = Box::<Request>::default();
    request.head.parse(&mut BytesMut::from(HEAD), &Limits::default()).unwrap();
    request.context_path_len = "/orders".len();
    let api = Rc::new(ApiInfo { id: "a".into(), name: "a".into(), version: "1".into(), ..ApiInfo::default() });
    Exchange::new(request, api, Rc::default(), Client { address: None, tls: false, certificate: None })
}

fn run(chain: &Chain, exchange: &mut Exchange, matched: &mut Vec<u16>) {
    matched.clear();
    chain.select(exchange, &Facing::default(), matched).unwrap();
    for step in chain.request(matched) {
        let future = pin!(step.request(exchange));
        assert!(matches!(future.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(None)));
    }
}

fn chains(criterion: &mut Criterion) {
    let flow = |path: &str, steps: usize| Flow {
        scope: Scope::Api,
        selector: Selector::new(path, PathOperator::StartsWith, &[]),
        condition: None,
        request_content: false,
        masks: Masks::default(),
        request: (0..steps)
            .map(|_| Step {
                scope: Scope::Api,
                policy: policy(),
                condition: None,
                message_condition: None,
                content: false,
            })
            .collect(),
        response: Box::default(),
        publish: Rc::default(),
        subscribe: Rc::default(),
    };
    let cases = [
        ("one flow for all, one policy", vec![flow("/", 1)]),
        ("ten flows, one taken", (0..10).map(|n| flow(&format!("/{}", n + 10), 1)).collect()),
        ("one flow, five policies", vec![flow("/:id/items", 5)]),
    ];
    let mut group = criterion.benchmark_group("chain");
    for (name, flows) in cases {
        let chain = Chain::new(flows, Choice::default());
        let mut matched = Vec::with_capacity(16);
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(exchange, |exchange| run(&chain, exchange, &mut matched), BatchSize::SmallInput);
        });
    }
    group.finish();
}

criterion_group!(benches, chains);
criterion_main!(benches);
