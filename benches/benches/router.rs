//! The route table: a random and a repeated lookup, for tables of 100 to 100,000 routes in the shapes that matter, and
//! what they weigh.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ringway_engine::router::{HostPattern, Route, RouteTable};

/// Host and path of a route, and a request's path that leads to it.
type Shape = fn(u32) -> (String, String, String);

const SHAPES: [(&str, Shape); 4] = [
    ("static", |id| {
        let path = format!("/tenant{:05}/orders-{id:06}/v{}", id % 977, id % 3);
        (String::new(), path.clone(), path + "/items/17")
    }),
    ("parameters", |id| {
        let base = format!("/api/v3/svc{}/res{id}", id % 100);
        (String::new(), format!("{base}/:id/items"), format!("{base}/4711/items"))
    }),
    ("host-per-10", |id| {
        let path = format!("/service-{}/v1", id % 10);
        (format!("api{:05}.example.com", id / 10), path.clone(), path + "/items/17")
    }),
    ("host-per-1", |id| {
        let path = format!("/context-{id:06}");
        (format!("api{id:06}.example.com"), path.clone(), path + "/items/17")
    }),
];

/// Requests of a run: enough to leave no part of the table in a near cache, drawn with a fixed seed.
const REQUESTS: usize = 1 << 16;

fn routes(shape: Shape, count: u32) -> Vec<(String, String, String)> {
    (0..count).map(shape).collect()
}

fn build(routes: &[(String, String, String)]) -> RouteTable {
    let routes = (0u32..).zip(routes).map(|(id, (host, path, _))| Route { host: HostPattern::parse(host), path, id });
    RouteTable::build(routes, 42).unwrap_or_else(|conflicts| panic!("{conflicts:?}"))
}

fn lookups(c: &mut Criterion) {
    for (name, shape) in SHAPES {
        let mut group = c.benchmark_group(format!("router/{name}"));
        for count in [100, 10_000, 100_000] {
            let routes = routes(shape, count);
            let table = build(&routes);
            eprintln!("router/{name}/{count}: {} bytes a route", table.heap_bytes() / count as usize);

            // The requests lie one behind the other in memory, as they would in a connection's buffer: this is about
            // the table.
            let mut text = String::new();
            let mut state = 7u64;
            let requests: Vec<_> = (0..REQUESTS)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let (host, _, path) = &routes[((state >> 33) % u64::from(count)) as usize];
                    let start = text.len();
                    text.push_str(host);
                    let middle = text.len();
                    text.push_str(path);
                    (start, middle, text.len())
                })
                .collect();
            let mut next = 0;
            group.bench_with_input(BenchmarkId::new("random", count), &table, |b, table| {
                b.iter(|| {
                    let (start, middle, end) = requests[next];
                    next = (next + 1) % REQUESTS;
                    table.lookup(&text[start..middle], &text[middle..end])
                });
            });
            let (host, _, path) = &routes[routes.len() / 2];
            group.bench_with_input(BenchmarkId::new("hot", count), &table, |b, table| {
                b.iter(|| table.lookup(black_box(host), black_box(path)));
            });
        }
        group.finish();
    }
}

/// Building, and freeing, which a shard never does itself.
fn builds(c: &mut Criterion) {
    let mut group = c.benchmark_group("router/build");
    group.sample_size(10);
    for (name, shape) in SHAPES {
        let routes = routes(shape, 100_000);
        group.bench_function(BenchmarkId::new(name, routes.len()), |b| {
            b.iter_custom(|rounds| {
                let mut elapsed = Duration::ZERO;
                for _ in 0..rounds {
                    let start = Instant::now();
                    let table = build(&routes);
                    elapsed += start.elapsed();
                    drop(black_box(table));
                }
                elapsed
            });
        });
    }
    group.finish();
}

criterion_group!(benches, lookups, builds);
criterion_main!(benches);
