//! Many shards of several nodes against one Redis: how far what they let through lies from the limit.
//!
//! The shards are real ones, with the policy and its connection; the nodes are this process' threads, told apart by nothing but who asks.

use std::rc::Rc;
use std::sync::{Arc, Barrier};

use ringway_contract::kind::find;
use ringway_contract::{ApiInfo, Client, Exchange, Node, PlanInfo, Policy, Redis, Services, Source, Step};
use ringway_net::{ShardOptions, ShardThread, run_shard};
use ringway_tests::RedisServer;
use serde_json::json;

const NODES: usize = 3;
const SHARDS: usize = 4;

/// What a shard does.
#[derive(Clone, Copy)]
struct Part {
    limit: u64,
    port: u16,
    run: u64,
    shard: usize,
    /// Uses after which it stops, with what it has leased; `None`: it goes on until it is refused.
    stops: Option<u64>,
    /// Uses that it asks for at the same time.
    at_once: usize,
}

/// A small generator (splitmix64): the same numbers for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

fn policy(part: Part) -> Rc<dyn Policy> {
    let settings = Redis { host: "127.0.0.1".into(), port: part.port, timeout_ms: 20_000, ..Redis::default() };
    let mut services = Services {
        shards: SHARDS,
        sleep: |duration| Box::pin(ringway_net::sleep(duration)),
        spawn: |future| ringway_net::spawn(future),
        counts: Some(Rc::new(settings)),
        ..Services::default()
    };
    services.dial = ringway_connectors::dial(&services);
    let quota = json!({ "quota": { "limit": part.limit, "periodTime": 1, "periodTimeUnit": "DAYS" } });
    let node = Node::parse_json("test", &quota.to_string()).unwrap();
    let place = format!("api/plan/{}", part.run);
    let source = Source { configuration: Some(&node), shared: None, place: &place, resources: &[], groups: &[] };
    (find(ringway_policies::POLICIES, "quota").unwrap().build)(source, &services)
        .map_err(|error| error.to_string())
        .unwrap()
}

async fn passes(policy: &dyn Policy) -> bool {
    let client = Client { address: None, tls: false, certificate: None };
    let mut exchange = Exchange::vacant(Rc::new(ApiInfo::default()), Rc::new(PlanInfo::default()), client);
    let mut step = policy.request(&mut exchange);
    while let Step::Wait(next) = step {
        step = next.await;
    }
    matches!(step, Step::Next)
}

/// Uses that the shard got.
fn begin(part: Part, start: Arc<Barrier>) -> ShardThread<u64> {
    let main = move |_: Rc<ringway_net::Shard>| async move {
        let policy = policy(part);
        // All begin together.
        start.wait();
        let mut through = 0;
        loop {
            let left = part.stops.map_or(u64::MAX, |stops| stops - through);
            let count = part.at_once.min(usize::try_from(left).unwrap_or(usize::MAX));
            if count == 0 {
                return through;
            }
            let uses = futures_util::future::join_all((0..count).map(|_| passes(&*policy))).await;
            through += uses.iter().filter(|passed| **passed).count() as u64;
            if uses.contains(&false) {
                return through;
            }
        }
    };
    run_shard(ShardOptions::new(part.shard), main).unwrap()
}

#[test]
fn no_window_passes_its_limit_and_what_it_loses_is_what_is_leased() {
    let redis = RedisServer::start();
    println!("{NODES} nodes of {SHARDS} shards each");
    println!("| limit | seed | shards that stop | through | unused | bound |");
    for (limit, seeds) in [(1, 2), (100, 3), (1023, 2), (1024, 2), (5000, 3), (60_000, 2)] {
        // A node leases a hundredth of the limit, at most 1,024 uses, divided among its shards; smaller limits are counted one by one.
        let lease = if limit < 1024 { 0 } else { ((limit / 100).min(1024) / SHARDS as u64).max(1) };
        for seed in 0..seeds {
            let mut random = Random(limit << 8 | seed);
            let all = NODES * SHARDS;
            let start = Arc::new(Barrier::new(all));
            let shards: Vec<_> = (0..all)
                .map(|shard| {
                    // The first one goes on: what is left is asked for.
                    let stops = (shard > 0 && random.below(3) == 0).then(|| 1 + random.below(limit / all as u64 + 1));
                    let (port, run) = (redis.address().port(), limit << 8 | seed);
                    let at_once = 1 + random.below(12) as usize;
                    (stops, begin(Part { limit, port, run, shard, stops, at_once }, start.clone()))
                })
                .collect();
            let stopping = shards.iter().filter(|(stops, _)| stops.is_some()).count() as u64;
            let through: u64 = shards.into_iter().map(|(_, shard)| shard.join().unwrap()).sum();
            // Whoever goes on may be refused while another, who goes on, too, has a lease: it is used up later.
            let bound = stopping * lease;
            println!("| {limit} | {seed} | {stopping} | {through} | {} | {bound} |", limit.saturating_sub(through));
            assert!(through <= limit, "{through} of {limit}");
            assert!(limit - through <= bound, "{} of {limit} are lost, and {bound} may be", limit - through);
        }
    }
    assert_eq!(redis.cli(&["DBSIZE"]), "14");
}
