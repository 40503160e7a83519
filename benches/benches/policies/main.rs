//! What each policy costs the exchange that takes its step: a chain of one flow with this policy alone, and beside them a chain of none.
//!
//! Policies that look at the head only are one line each, those that read a body one for each length. What is set up for an exchange, its
//! head and its body, is not measured.
#![allow(missing_docs, clippy::unwrap_used, reason = "a bench")]

mod body;
mod table;

use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ringway_config::Node;
use ringway_config::api::{PathOperator, Resource};
use ringway_contract::fetch::Fetching;
use ringway_contract::kind::{Services, Source};
use ringway_contract::{
    ApiInfo, Client, Exchange, Fetch, FetchRequest, FetchResponse, Message, Parcel, Policy, Reply, Request,
    ResponseHead,
};
use ringway_engine::chain::{Chain, Choice, Facing, Flow, Masks, Scope, Selector, Settled, Step, settle};
use ringway_policies::POLICIES;
use ringway_wire::Limits;

use self::table::{ROWS, Row, UNMEASURED, With};

/// Exchanges that are made at once: as many as stay in the cache of a core.
const BATCH: BatchSize = BatchSize::NumIterations(64);

/// A service that answers at once.
struct Answering;

impl Fetch for Answering {
    fn fetch(&self, _: FetchRequest) -> Fetching {
        let status = http::StatusCode::OK;
        let body = Bytes::from_static(br#"{"tier": "gold"}"#);
        Box::pin(std::future::ready(Ok(FetchResponse { status, headers: Vec::new(), body })))
    }
}

/// What needs no more than a poll: nothing here waits for anything.
fn done<T>(mut future: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> T {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("it waits"),
    }
}

fn built(row: &Row) -> Result<Rc<dyn Policy>, String> {
    let text = table::filled(row.configuration);
    let node = Node::parse_json(row.policy, &text).unwrap_or_else(|problem| panic!("{}: {problem}", row.policy));
    let resources = row.resource.map(|(kind, configuration)| Resource {
        name: "mine".into(),
        kind: kind.into(),
        enabled: true,
        configuration: Some(Node::parse_json("resource", configuration).unwrap()),
    });
    let kind = POLICIES.iter().find(|kind| kind.name == row.policy);
    let kind = kind.unwrap_or_else(|| panic!("there is no policy {}", row.policy));
    let resources = resources.as_slice();
    let source = Source { configuration: Some(&node), shared: None, place: row.policy, resources, groups: &[] };
    let spawn = |mut future: Pin<Box<dyn Future<Output = ()>>>| done(future.as_mut());
    let services = Services { fetch: Some(Rc::new(Answering)), spawn, shards: 1, ..Services::default() };
    (kind.build)(source, &services).map_err(|refusal| format!("{}: {refusal}", row.policy))
}

/// A chain of one flow with this policy; of none, a chain of no step.
fn chain(policy: Option<&Rc<dyn Policy>>, back: bool) -> Chain {
    let step = |policy: &Rc<dyn Policy>| Step {
        scope: Scope::Api,
        policy: policy.clone(),
        condition: None,
        message_condition: None,
        content: false,
    };
    let steps: Box<[Step]> = policy.into_iter().map(step).collect();
    let (request, response) = if back { (Box::default(), steps) } else { (steps, Box::default()) };
    let flow = Flow {
        scope: Scope::Api,
        selector: Selector::new("/", PathOperator::StartsWith, &[]),
        condition: None,
        request_content: false,
        masks: Masks::default(),
        request,
        response,
        publish: Rc::default(),
        subscribe: Rc::default(),
    };
    Chain::new(vec![flow], Choice::default())
}

/// Makes the exchanges that a row is measured with.
struct Maker {
    request: Request,
    api: Rc<ApiInfo>,
    content: Option<Bytes>,
    with: With,
    attributes: &'static [(&'static str, &'static str)],
}

impl Maker {
    fn new(row: &Row, content: Option<Bytes>) -> Self {
        let head = format!(
            "POST /api/orders/17/items?page=2&tag=a HTTP/1.1\r\nHost: api.example.test\r\nUser-Agent: bench\r\n\
             Accept: */*\r\nContent-Type: {}\r\nX-User: ada\r\n{}Content-Length: 1\r\n\r\n",
            row.with.media(),
            table::filled(row.fields),
        );
        // What is about the call or the way back is asked for.
        let head = if matches!(row.with, With::Call | With::Back | With::Head) {
            head.replacen("POST", "GET", 1).replace("Content-Length: 1\r\n", "")
        } else {
            head
        };
        let mut request = Request::default();
        request.head.parse(&mut BytesMut::from(&*head), &Limits::default()).unwrap();
        request.context_path_len = "/api".len();
        let api = Rc::new(ApiInfo { id: "a".into(), name: "a".into(), version: "1".into(), ..ApiInfo::default() });
        Self { request, api, content, with: row.with, attributes: row.attributes }
    }

    /// What the backend answers.
    fn response() -> Box<ResponseHead> {
        let mut response = Box::<ResponseHead>::default();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nLocation: http://internal.test/a\r\nContent-Length: 1\r\n\r\n";
        response.parse(&mut BytesMut::from(head), &Limits::default(), &http::Method::GET).unwrap();
        response
    }

    /// An exchange, and what the backend will answer.
    fn exchange(&self) -> (Exchange, Option<Box<ResponseHead>>) {
        let client = Client { address: Some(([192, 0, 2, 7], 4711).into()), tls: true, certificate: None };
        let mut exchange = Exchange::new(Box::new(self.request.clone()), self.api.clone(), Rc::default(), client);
        for (name, value) in self.attributes {
            exchange.attributes.set(*name, (*value).to_owned());
        }
        match self.with {
            With::Head | With::Post | With::Answer => {}
            With::Json | With::JsonObject | With::Xml | With::Text | With::Graphql | With::Signed => {
                exchange.contents.request = self.content.clone();
            }
            With::Back | With::JsonBack | With::HtmlBack => {
                exchange.response = Some(Self::response());
                exchange.contents.response = self.content.clone();
            }
            With::Call => {}
            With::Message => {
                exchange.message = Some(Box::new(Parcel::from(Message::new(self.content.clone().unwrap_or_default()))));
            }
        }
        let answer = (self.with == With::Call).then(Self::response);
        (exchange, answer)
    }
}

/// What one exchange pays.
fn run(
    chain: &Chain,
    policy: Option<&dyn Policy>,
    maker: &Maker,
    (exchange, answer): &mut (Exchange, Option<Box<ResponseHead>>),
) -> Option<Box<Reply>> {
    if maker.with == With::Message {
        return done(pin!(settle(policy.unwrap().message(exchange)))).reply();
    }
    let mut matched = Vec::with_capacity(4);
    chain.select(exchange, &Facing::default(), &mut matched).unwrap();
    let steps = chain.request(&matched).map(|step| (step, false));
    for (step, back) in steps.chain(chain.response(&matched).map(|step| (step, true))) {
        let reply = if back { done(pin!(step.response(exchange))) } else { done(pin!(step.request(exchange))) };
        if reply.is_some() {
            return reply;
        }
    }
    if maker.with == With::Call { call(exchange, answer.take()) } else { None }
}

/// The call, and what the policy put around it, as the engine asks it.
fn call(exchange: &mut Exchange, answer: Option<Box<ResponseHead>>) -> Option<Box<Reply>> {
    let arounds = exchange.arounds.clone();
    for around in arounds.iter().rev() {
        if let Settled::Reply(reply) = done(pin!(settle(around.before(exchange)))) {
            return Some(reply);
        }
        if exchange.response.is_some() {
            return None;
        }
    }
    exchange.request_tapped.end();
    exchange.response = answer;
    for around in arounds.iter() {
        around.after(exchange, None);
    }
    exchange.tapped.data(b"{}");
    exchange.tapped.end();
    None
}

/// What a row is answered that was not meant to be: then its figure would be that of a refusal.
fn refused(row: &Row) -> Vec<String> {
    let policy = match built(row) {
        Ok(policy) => policy,
        Err(refusal) => return vec![refusal],
    };
    let chain = chain(Some(&policy), row.with.is_back());
    let answered = row.with.lengths().iter().filter_map(|length| {
        let maker = Maker::new(row, row.with.has_body().then(|| row.with.body(*length)));
        let reply = run(&chain, Some(&*policy), &maker, &mut maker.exchange());
        let told = reply.as_deref().map(|reply| (reply.status, &*reply.key, &*reply.message));
        (told.is_some() != (row.with == With::Answer)).then(|| format!("{}: {told:?}", row.policy))
    });
    answered.collect()
}

fn policies(criterion: &mut Criterion) {
    for kind in POLICIES {
        let measured = ROWS.iter().any(|row| row.policy == kind.name);
        assert!(
            measured != UNMEASURED.contains(&kind.name),
            "{}: in the table once, or named as unmeasured",
            kind.name
        );
    }
    let refused: Vec<String> = ROWS.iter().flat_map(refused).collect();
    assert!(refused.is_empty(), "what is measured is not what is meant:\n{}", refused.join("\n"));
    let mut group = criterion.benchmark_group("policies");
    let nothing = Row { policy: "none", ..table::head("none", "{}") };
    let maker = Maker::new(&nothing, None);
    let empty = chain(None, false);
    group.bench_function("none", |bencher| {
        bencher.iter_batched_ref(|| maker.exchange(), |exchange| run(&empty, None, &maker, exchange), BATCH);
    });
    for row in ROWS {
        let policy = built(row).unwrap();
        let chain = chain(Some(&policy), row.with.is_back());
        for length in row.with.lengths() {
            let content = row.with.has_body().then(|| row.with.body(*length));
            let maker = Maker::new(row, content.clone());
            let id = match &content {
                Some(body) => {
                    group.throughput(Throughput::Bytes(body.len() as u64));
                    BenchmarkId::new(row.policy, format!("{} KB", length / 1024))
                }
                None => BenchmarkId::from_parameter(row.policy),
            };
            group.bench_function(id, |bencher| {
                bencher.iter_batched_ref(
                    || maker.exchange(),
                    |exchange| run(&chain, Some(&*policy), &maker, exchange),
                    BATCH,
                );
            });
        }
    }
    group.finish();
}

/// Uses after which a window of a large limit is leased for certain.
const LEASED_AFTER: usize = 1000;

/// One use of a limit, within it: of a small one, which all shards count in one place, exact to the last use; and of one so large that
/// each shard takes from a budget of its own.
fn limits(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rate-limit");
    let maker = Maker::new(&table::head("rate-limit", "{}"), None);
    for (name, row, uses_of_one) in [
        ("counted in one place", table::head("rate-limit", table::EXACT), 900),
        ("leased to shards", table::head("rate-limit", table::LEASED), usize::MAX),
    ] {
        let policy = built(&row).unwrap();
        let chain = chain(Some(&policy), false);
        let mut count = 0_usize;
        // Whose limit is used up is followed by another caller.
        let mut exchange = || {
            let (mut exchange, answer) = maker.exchange();
            exchange.attributes.set("caller", format!("{name} {}", count / uses_of_one));
            count += 1;
            (exchange, answer)
        };
        let passes = |exchange: &mut (Exchange, Option<Box<ResponseHead>>)| {
            assert!(run(&chain, Some(&*policy), &maker, exchange).is_none(), "it is refused");
        };
        (0..LEASED_AFTER).for_each(|_| passes(&mut exchange()));
        group.bench_function(name, |bencher| bencher.iter_batched_ref(&mut exchange, passes, BATCH));
    }
    group.finish();
}

criterion_group! {
    name = benches;
    // Making an exchange takes longer than many a policy, so a second of measuring would be many seconds.
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(300));
    targets = policies, limits
}
criterion_main!(benches);
