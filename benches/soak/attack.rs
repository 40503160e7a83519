//! What another client notices of an attack: its latency in calm, beside an attack on another gateway of the same machine, and under it,
//! in turn, on a gateway of one shard.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use ringway_benches::pin;

use crate::probe::{self, Latencies};
use crate::stage::Stage;

/// Rounds of calm and attack.
const ROUNDS: usize = 3;
/// Hostile connections that are open at a time.
const CROWD: usize = 1000;
/// Between two drops of a client that drips.
const DRIP: Duration = Duration::from_millis(500);

type Attack = fn(&Stage, &AtomicBool);

/// Every attack with its name.
const ATTACKS: [(&str, Attack); 7] = [
    ("none (the measurement itself)", |_, _| {}),
    ("1,000 slow heads", |stage, stop| drip(stage, stop, b"GET /api/small HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")),
    ("150 slow bodies", slow_bodies),
    ("50 slow readers", slow_readers),
    ("flood of connections, 1,000 a second", connections),
    ("flood of requests, 64 connections without pause", requests),
    ("stalled backends, 40 at a time", stalls),
];

/// What the other client of `stage` sees while `attack` goes on at `target`.
fn attacked(stage: &Stage, target: &Stage, attack: Attack, slice: Duration) -> Result<Latencies> {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| attack(target, &stop));
        std::thread::park_timeout(Duration::from_millis(500));
        let measured = probe::ask(stage, slice);
        stop.store(true, Ordering::Relaxed);
        measured
    })
}

pub(crate) fn run(slice: Duration, only: &str) -> Result<()> {
    const SETTINGS: &str = "shards: 1\nlimits: { exchangesPerShard: 400 }\ntimeouts: { clientHeader: 5000 }\n";
    pin(0)?;
    println!(
        "{:<50} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7} {:>7} {:>6}",
        "attack", "calm p50", "p99", "beside", "p99", "attacked", "p99", "/ calm", "/ bes.", "shed"
    );
    for (name, attack) in ATTACKS.into_iter().filter(|(name, _)| name.contains(only)) {
        // A gateway of its own for each: nothing of the one before weighs on it.
        let (stage, other) = (Stage::set(SETTINGS, Some(1))?, Stage::set(SETTINGS, Some(1))?);
        let mut seen: [Latencies; 3] = Default::default();
        probe::ask(&stage, slice / 10)?;
        for _ in 0..ROUNDS {
            let slice = slice / ROUNDS as u32;
            seen[0].add(probe::ask(&stage, slice)?);
            // The attacker and whom it attacks take the machine's time; that is not the gateway's doing.
            seen[1].add(attacked(&stage, &other, attack, slice)?);
            std::thread::park_timeout(Duration::from_millis(500));
            seen[2].add(attacked(&stage, &stage, attack, slice)?);
            std::thread::park_timeout(Duration::from_millis(500));
        }
        let [calm, beside, attacked] = &seen;
        let over = |other: &Latencies| attacked.quantile_us(0.99) as f64 / other.quantile_us(0.99).max(1) as f64;
        print!("{name:<50}");
        for latencies in &seen {
            print!(" {:>9} {:>9}", latencies.quantile_us(0.5), latencies.quantile_us(0.99));
        }
        println!(" {:>7.2} {:>7.2} {:>6}", over(calm), over(beside), attacked.shed);
    }
    println!(
        "\nmicroseconds; every request of the other client was answered. Beside: the same attack on another gateway"
    );
    Ok(())
}

fn join(stage: &Stage, says: &[u8]) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(stage.gateway.http()).ok()?;
    stream.write_all(says).ok()?;
    Some(stream)
}

/// A crowd that says a little and then a byte now and then; who is cut off joins again.
fn drip_many(stage: &Stage, stop: &AtomicBool, says: &[u8], count: usize) {
    let mut crowd: Vec<Option<TcpStream>> = (0..count).map(|_| join(stage, says)).collect();
    while !stop.load(Ordering::Relaxed) {
        std::thread::park_timeout(DRIP);
        for client in &mut crowd {
            let alive = client.as_mut().is_some_and(|stream| stream.write_all(b"x").is_ok());
            if !alive {
                *client = join(stage, says);
            }
        }
    }
}

fn drip(stage: &Stage, stop: &AtomicBool, says: &[u8]) {
    drip_many(stage, stop, says, CROWD);
}

/// Fewer than the backend has connections: with as many as it has, whoever wants the same backend waits for them to be cut off.
fn slow_bodies(stage: &Stage, stop: &AtomicBool) {
    drip_many(stage, stop, b"POST /api/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n", 150);
}

fn slow_readers(stage: &Stage, stop: &AtomicBool) {
    let mut crowd: Vec<TcpStream> =
        (0..50).filter_map(|_| join(stage, b"GET /api/large HTTP/1.1\r\nHost: localhost\r\n\r\n")).collect();
    while !stop.load(Ordering::Relaxed) {
        std::thread::park_timeout(DRIP);
        for stream in &mut crowd {
            let _ = stream.read(&mut [0; 100]);
        }
    }
}

fn connections(stage: &Stage, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..10 {
            drop(join(stage, b""));
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

fn requests(stage: &Stage, stop: &AtomicBool) {
    const REQUEST: &[u8] = b"GET /api/small HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut crowd: Vec<TcpStream> = (0..64).filter_map(|_| join(stage, REQUEST)).collect();
    let mut buffer = [0; 4096];
    while !stop.load(Ordering::Relaxed) {
        for stream in &mut crowd {
            let _ = stream.read(&mut buffer);
            let _ = stream.write_all(REQUEST);
        }
    }
}

fn stalls(stage: &Stage, stop: &AtomicBool) {
    std::thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    if let Some(mut stream) = join(stage, b"GET /faulty/stall HTTP/1.1\r\nHost: localhost\r\n\r\n") {
                        let _ = stream.read(&mut [0; 4096]);
                    }
                }
            });
        }
    });
}
