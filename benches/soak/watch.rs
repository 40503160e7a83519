//! The soak itself: load and reloads until the time is up, figures once in a while, and what is left in the end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ringway_tests::wait_until;

use crate::load::{self, KINDS, Tally};
use crate::stage::{Stage, api};

/// Between two rows of the table, at most.
const ROW_MAX: Duration = Duration::from_secs(60);
/// Between two reloads that the churn asks for; the changed files are seen and loaded besides.
const RELOAD: Duration = Duration::from_secs(2);
/// What a part of the run may not grow by, in KiB, if nothing leaks: pools fill and the allocator keeps pieces.
const GROWTH_MAX_KIB: f64 = 2048.0;

/// How long a descriptor may take to be closed.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);

/// One look at the gateway.
struct Row {
    minute: f64,
    turns: u64,
    resident_kib: u64,
    descriptors: usize,
    threads: u64,
    connections: f64,
    exchanges: f64,
    pooled_kib: f64,
    reloads: f64,
}

pub(crate) fn soak(length: Duration, rate: f64) -> Result<()> {
    let stage = Stage::set("shards: 2\n", None)?;
    let (tally, stop) = (Tally::default(), AtomicBool::new(false));
    let mut rows = Vec::new();
    load::warm(&stage)?;
    wait_until("every client connection to end", || stage.gateway.metric("ringway_connections", &[]) == 0.0);
    let calm = held(&stage);
    println!("minute     turns  RSS KiB  files threads  conns  under way  pooled KiB  reloads");
    std::thread::scope(|scope| {
        for (index, (_, share)) in KINDS.iter().enumerate() {
            let (stage, tally, stop) = (&stage, &tally, &stop);
            scope.spawn(move || load::run(stage, index, rate * share / 100.0, tally, stop));
        }
        scope.spawn(|| churn(&stage, &stop));
        let begin = Instant::now();
        let every = ROW_MAX.min(length / 4);
        for row in 1..=u32::MAX {
            let due = begin + every * row;
            while let Some(left) = due.checked_duration_since(Instant::now()) {
                std::thread::park_timeout(left);
            }
            rows.push(look(&stage, &tally, begin));
            if due >= begin + length {
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    let gateway = &stage.gateway;
    wait_until("every client connection to end", || gateway.metric("ringway_connections", &[]) == 0.0);
    wait_until("every exchange to end", || gateway.metric("ringway_exchanges", &[]) == 0.0);
    verdict(&stage, &tally, &rows, calm)
}

fn look(stage: &Stage, tally: &Tally, begin: Instant) -> Row {
    let (gateway, process) = (&stage.gateway, stage.gateway.process());
    let row = Row {
        minute: begin.elapsed().as_secs_f64() / 60.0,
        turns: tally.turns(),
        resident_kib: process.memory_kib("VmRSS"),
        descriptors: process.descriptors(),
        threads: process.threads(),
        connections: gateway.metric("ringway_connections", &[]),
        exchanges: gateway.metric("ringway_exchanges", &[]),
        pooled_kib: gateway.metric("ringway_buffer_bytes", &[]) / 1024.0,
        reloads: gateway.metric("ringway_snapshots_applied_total", &["shard=\"0\""]),
    };
    println!(
        "{:>6.1} {:>9} {:>8} {:>6} {:>7} {:>6} {:>10} {:>11} {:>8}",
        row.minute,
        row.turns,
        row.resident_kib,
        row.descriptors,
        row.threads,
        row.connections,
        row.exchanges,
        row.pooled_kib,
        row.reloads
    );
    row
}

/// Another wording of the API, another API that comes and goes, and now and then one that is wrong.
fn churn(stage: &Stage, stop: &AtomicBool) {
    let mut version = 0;
    while !stop.load(Ordering::Relaxed) {
        std::thread::park_timeout(RELOAD);
        version += 1;
        let gateway = &stage.gateway;
        let wrong = version % 10 == 0;
        let text = if wrong { "{ wrong".to_owned() } else { api(&stage.backend, version).json() };
        gateway.write("apis/0.json", &text);
        match version % 2 {
            0 => gateway.write("apis/other.json", &ringway_tests::Api::proxy("/other", &stage.backend.target()).json()),
            _ if version > 1 => gateway.remove("apis/other.json"),
            _ => {}
        }
        let (status, said) = gateway.reload();
        assert_eq!(status == 200, !wrong, "reload {version}: {status} {said}");
    }
    stage.gateway.write("apis/0.json", &api(&stage.backend, 0).json());
}

fn verdict(stage: &Stage, tally: &Tally, rows: &[Row], calm: f64) -> Result<()> {
    let gateway = &stage.gateway;
    let sum = |names: &[&str]| names.iter().map(|name| gateway.metric(name, &[])).sum::<f64>();
    let requests = sum(&["ringway_requests_total"]);
    let (responses, aborted) = (sum(&["ringway_api_responses_total"]), sum(&["ringway_api_aborted_total"]));
    let refused = sum(&["ringway_requests_rejected_total", "ringway_requests_shed_total"]);
    let panics = sum(&["ringway_panics_total"]);
    let left = left_over(stage, calm);
    // The first half fills pools; what the second half grows by is what would go on growing.
    let half = &rows[rows.len() / 2..];
    let growth = slope(half) * half.last().zip(half.first()).map_or(0.0, |(last, first)| last.minute - first.minute);
    let (faults, wrong) = (tally.faults.load(Ordering::Relaxed), tally.wrong.load(Ordering::Relaxed));
    println!("\nturns {} of which faulty {faults}; answers that were wrong {wrong}", tally.turns());
    println!("requests {requests} = responses {responses} + aborted {aborted} + refused {refused}; panics {panics}");
    println!(
        "descriptors left over {left}; memory of the second half {:+.1} KiB a minute, {growth:+.0} KiB in all",
        slope(half)
    );
    ensure!(wrong == 0, "{wrong} answers were wrong");
    ensure!(requests == responses + aborted + refused, "the counters do not add up");
    ensure!(panics == 0.0, "{panics} panics");
    ensure!(left <= 0.0, "{left} descriptors are left over");
    ensure!(growth < GROWTH_MAX_KIB, "memory grows");
    println!("nothing leaks");
    Ok(())
}

/// Descriptors that there were not before. One that is being closed, like that of the last question for metrics, is given time; a leak stays.
fn left_over(stage: &Stage, calm: f64) -> f64 {
    let by = Instant::now() + CLOSED_WITHIN;
    loop {
        let left = held(stage) - calm;
        if left <= 0.0 || by <= Instant::now() {
            return left;
        }
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

/// Descriptors, but for the backend's kept connections.
fn held(stage: &Stage) -> f64 {
    stage.gateway.process().descriptors() as f64 - stage.gateway.metric("ringway_endpoint_connections_idle", &[])
}

/// KiB a minute, by least squares.
fn slope(rows: &[Row]) -> f64 {
    let count = rows.len() as f64;
    let mean = |of: fn(&Row) -> f64| rows.iter().map(of).sum::<f64>() / count;
    let (minutes, memory) = (mean(|row| row.minute), mean(|row| row.resident_kib as f64));
    let (mut above, mut below) = (0.0, 0.0);
    for row in rows {
        above += (row.minute - minutes) * (row.resident_kib as f64 - memory);
        below += (row.minute - minutes).powi(2);
    }
    if below == 0.0 { 0.0 } else { above / below }
}
