//! Many seeds, and one again.
//!
//! ```sh
//! cargo test -p ringway-simulation                       # as with every change
//! SEED=4711 cargo test -p ringway-simulation             # one seed, with everything that its peers did
//! FIRST=1 SEEDS=20000 cargo test --release -p ringway-simulation
//! ```
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use ringway_simulation::{Figures, run};

/// Seeds of a run with every change.
const SEEDS: u64 = 400;
/// Failing seeds after which a run gives up.
const FAILURES_MAX: usize = 10;
/// Lines of a failing seed's story that are shown: the last ones.
const LINES: usize = 60;

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

/// Why a seed fails, and what its peers did last.
fn failure(seed: u64, breaches: &[String]) -> String {
    let story = run(seed, true).story;
    let last = &story[story.len().saturating_sub(LINES)..];
    format!(
        "seed {seed}:\n  {}\n  the last that happened:\n    {}\n  again, with all of it: SEED={seed} cargo test -p ringway-simulation",
        breaches.join("\n  "),
        last.join("\n    ")
    )
}

#[test]
fn whatever_the_peers_do_the_ledger_is_right() {
    if let Some(seed) = from_environment("SEED") {
        let outcome = run(seed, true);
        println!("{}", outcome.story.join("\n"));
        println!("{:?} in {:?} of the world", outcome.figures, outcome.took);
        assert!(outcome.breaches.is_empty(), "seed {seed}:\n  {}", outcome.breaches.join("\n  "));
        return;
    }
    let (first, count) = (from_environment("FIRST").unwrap_or(1), from_environment("SEEDS").unwrap_or(SEEDS));
    let next = AtomicU64::new(first);
    let (failures, totals) = (Mutex::new(Vec::new()), Mutex::new((Figures::default(), Duration::ZERO)));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count || failures.lock().unwrap().len() >= FAILURES_MAX {
                        return;
                    }
                    let outcome = run(seed, false);
                    if !outcome.breaches.is_empty() {
                        failures.lock().unwrap().push(failure(seed, &outcome.breaches));
                    }
                    let mut totals = totals.lock().unwrap();
                    totals.0.add(&outcome.figures);
                    totals.1 += outcome.took;
                }
            });
        }
    });
    let (totals, took) = totals.into_inner().unwrap();
    println!("{count} seeds, {} hours of the world: {totals:?}", took.as_secs() / 3_600);
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(totals.least() > 0, "the seeds show not everything that they are for");
}

#[test]
fn a_seed_is_the_same_run_again() {
    for seed in 1..=20 {
        let (one, other) = (run(seed, true), run(seed, true));
        assert_eq!(one.story, other.story, "seed {seed}");
        assert_eq!((one.fingerprint, one.took), (other.fingerprint, other.took), "seed {seed}");
    }
}
