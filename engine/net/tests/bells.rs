//! A bell that another thread rings, on each driver.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::thread;

use ringway_net::{Doorbell, yield_now};
use ringway_ring::{doorbell, ring};
use support::{drivers, on_shard};

/// Every value of a thread that pushes now and then arrives, in order, however the pushes and the sleeps interleave.
#[test]
fn a_shard_sleeps_until_a_thread_has_something_for_it() {
    const VALUES: u32 = 20_000;
    for driver in drivers() {
        let (mut producer, mut consumer) = ring::<u32>(64);
        let (ringer, sleeper) = doorbell().unwrap();
        let thread = thread::spawn(move || {
            for value in 0..VALUES {
                let mut value = value;
                while let Err(back) = producer.push(value) {
                    value = back;
                    thread::yield_now();
                }
                ringer.ring();
                if value % 64 == 0 {
                    // Let the shard go to sleep.
                    thread::yield_now();
                }
            }
        });
        let wakeups = on_shard(driver, move |_| async move {
            let mut bell = Doorbell::new(sleeper).unwrap();
            let mut next = 0;
            while next < VALUES {
                for value in consumer.pop_batch(256) {
                    assert_eq!(value, next);
                    next += 1;
                }
                if consumer.is_empty() {
                    bell.wait(|| consumer.is_empty() && !consumer.is_closed()).await.unwrap();
                } else {
                    yield_now().await;
                }
            }
            bell.wakeups()
        });
        thread.join().unwrap();
        assert!(wakeups <= u64::from(VALUES));
    }
}
