//! Many seeds, and one again.
//!
//! ```sh
//! cargo test -p ringway-simulation                       # as with every change
//! SEED=4711 cargo test -p ringway-simulation             # one seed, with everything that its peers did
//! FIRST=1 SEEDS=20000 cargo test --release -p ringway-simulation
//! ```
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use ringway_simulation::{Outcome, run};

/// Seeds of a run with every change.
const SEEDS: u64 = 400;
/// Failing seeds after which a run gives up.
const FAILURES_MAX: usize = 10;

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

/// Why a seed fails, if it does.
fn fails(seed: u64, outcome: thread::Result<Outcome>) -> Result<Outcome, String> {
    let breaches = match outcome {
        Ok(outcome) if outcome.breaches.is_empty() => return Ok(outcome),
        Ok(outcome) => outcome.breaches.join("\n  "),
        Err(payload) => {
            let text = payload.downcast_ref::<String>().cloned();
            text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
        }
    };
    Err(format!("seed {seed}:\n  {breaches}\n  again: SEED={seed} cargo test -p ringway-simulation"))
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
    let (failures, totals) = (Mutex::new(Vec::new()), Mutex::new([0u64; 7]));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count || failures.lock().unwrap().len() >= FAILURES_MAX {
                        return;
                    }
                    match fails(seed, catch_unwind(AssertUnwindSafe(|| run(seed, false)))) {
                        Ok(outcome) => {
                            let f = outcome.figures;
                            let took = u64::try_from(outcome.took.as_millis()).unwrap();
                            let of_seed = [f.asked, f.arrived, f.whole, f.cut, f.refused, f.unanswered, took];
                            let mut totals = totals.lock().unwrap();
                            totals.iter_mut().zip(of_seed).for_each(|(total, of_seed)| *total += of_seed);
                        }
                        Err(failure) => failures.lock().unwrap().push(failure),
                    }
                }
            });
        }
    });
    let [asked, arrived, whole, cut, refused, unanswered, took] = totals.into_inner().unwrap();
    println!(
        "{count} seeds, {} hours of the world: {asked} requests, {arrived} arrivals; {whole} responses whole, {cut} cut, \
         {refused} of the gateway's own, {unanswered} none",
        took / 3_600_000,
    );
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(whole > 0 && cut > 0 && refused > 0 && unanswered > 0, "the seeds show nothing");
}

#[test]
fn a_seed_is_the_same_run_again() {
    for seed in 1..=20 {
        let (one, other) = (run(seed, true), run(seed, true));
        assert_eq!(one.story, other.story, "seed {seed}");
        assert_eq!((one.fingerprint, one.took), (other.fingerprint, other.took), "seed {seed}");
    }
}
