//! The ring, the link and the doorbell: what an exchange pays for them on one thread, and a message between two.

use std::hint::{black_box, spin_loop};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ringway_benches::pin;
use ringway_ring::{doorbell, link, ring};

/// The size of a frame, more or less.
type Payload = [u64; 4];

const BATCH: usize = 64;

fn same_thread(c: &mut Criterion) {
    let mut group = c.benchmark_group("ring/same-thread");
    group.throughput(Throughput::Elements(1));

    // Only a word of the payload goes through `black_box`: to force all of it to memory costs five times what the ring
    // does.
    let (mut producer, mut consumer) = ring::<Payload>(8);
    let mut next = 0u64;
    group.bench_function("push-pop", |b| {
        b.iter(|| {
            next += 1;
            let pushed = producer.push([next; 4]).is_ok();
            pushed && consumer.pop().is_some_and(|payload| payload[2] == next)
        });
    });

    let (mut sender, mut receiver) = link::<Payload>(8, 256 * 1024);
    group.bench_function("send-recv-grant", |b| {
        b.iter(|| {
            next += 1;
            let sent = sender.send([next; 4], black_box(1000)).is_ok();
            let received = receiver.recv();
            receiver.grant(1000);
            sent && received.is_some_and(|payload| payload[2] == next)
        });
    });

    group.bench_function("moves", |b| b.iter(|| black_box(&sender).moves()));
    group.finish();
}

/// Spins for the time that the other side takes for a batch, then leaves it the core: it may not have one of its own.
fn relax(misses: &mut u32) {
    *misses += 1;
    if misses.is_multiple_of(256) { thread::yield_now() } else { spin_loop() }
}

/// From the first push until the last message of `count` was popped, each side on a core of its own.
fn cross<const WORDS: usize>(count: u64, batch: usize) -> Duration {
    let (mut producer, mut consumer) = ring::<[u64; WORDS]>(1024);
    let consuming = thread::spawn(move || {
        let pinned = pin(1);
        let (mut received, mut misses) = (0, 0);
        while received < count {
            match consumer.pop_batch(batch).inspect(|payload| _ = black_box(payload[0])).count() {
                0 => relax(&mut misses),
                popped => received += popped as u64,
            }
        }
        pinned
    });
    let producing = thread::spawn(move || {
        let pinned = pin(0);
        let start = Instant::now();
        let (mut sent, mut misses) = (0, 0);
        while sent < count {
            let left = usize::try_from(count - sent).unwrap_or(batch).min(batch);
            match producer.push_batch(&mut (0..left).map(|word| [word as u64; WORDS])) {
                0 => relax(&mut misses),
                pushed => sent += pushed as u64,
            }
        }
        pinned.map(|()| start)
    });
    let start = producing.join();
    assert!(matches!(consuming.join(), Ok(Ok(()))), "two cores");
    start.ok().and_then(Result::ok).map_or(Duration::ZERO, |start| start.elapsed())
}

/// So many messages, so many at once.
type Cross = fn(u64, usize) -> Duration;

/// A handle, a frame, a message: what passes is bound by the lines of memory that go from one core to the other.
fn cross_thread(c: &mut Criterion) {
    let mut group = c.benchmark_group("ring/cross-thread");
    group.throughput(Throughput::Elements(1));
    let sizes: [(&str, Cross); 3] = [("16-bytes", cross::<2>), ("32-bytes", cross::<4>), ("160-bytes", cross::<20>)];
    for (size, cross) in sizes {
        for batch in [1, BATCH] {
            group.bench_with_input(BenchmarkId::new(size, batch), &batch, |b, &batch| {
                b.iter_custom(|count| cross(count, batch));
            });
        }
    }
    group.finish();
}

fn bell(c: &mut Criterion) {
    let (ringer, mut sleeper) = doorbell().unwrap_or_else(|error| panic!("no eventfd: {error}"));
    let mut group = c.benchmark_group("doorbell");
    group.bench_function("ring-awake", |b| b.iter(|| ringer.ring()));
    // Nobody waits on the descriptor: two system calls and the handshake, without the wake-up of a core.
    group.bench_function("sleep-ring-awake", |b| {
        b.iter(|| {
            let asleep = sleeper.prepare_sleep(|| true);
            ringer.ring();
            sleeper.awake();
            asleep
        });
    });
    group.finish();
}

criterion_group!(benches, same_thread, cross_thread, bell);
criterion_main!(benches);
