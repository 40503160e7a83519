//! Ring, link and doorbell between two real threads. The models of `loom.rs` prove the orderings, these run the shipped
//! code on them.
#![cfg(not(loom))]

use std::thread;
use std::time::Duration;

use ringway_ring::{Consumer, Ringer, Sleeper, doorbell, link, ring};

const COUNT: u64 = if cfg!(miri) { 300 } else { 300_000 };

#[test]
fn everything_arrives_once_and_in_order() {
    for slots in [1, 4, 1024] {
        let (mut producer, mut consumer) = ring(slots);
        let producing = thread::spawn(move || {
            for value in 0..COUNT {
                while producer.push(Box::new(value)).is_err() {
                    thread::yield_now();
                }
            }
        });
        let mut expected = 0;
        loop {
            let closed = consumer.is_closed();
            let before = expected;
            for value in consumer.pop_batch(64) {
                assert_eq!(*value, expected);
                expected += 1;
            }
            if before == expected {
                if closed {
                    break;
                }
                thread::yield_now();
            }
        }
        assert_eq!(expected, COUNT);
        assert!(producing.join().is_ok());
    }
}

#[test]
fn credit_survives_two_threads() {
    const WINDOW: usize = 1000;
    let (mut sender, mut receiver) = link(16, WINDOW);
    let sending = thread::spawn(move || {
        for value in 0..COUNT {
            // Now and then heavier than the window.
            let weight = usize::try_from(value * 7919 % 1100).unwrap_or(0);
            let mut pending = Some((value, weight));
            while let Some(payload) = pending.take() {
                if let Err(full) = sender.send(payload, weight) {
                    pending = Some(full.into_inner());
                    thread::yield_now();
                }
            }
        }
        sender
    });
    let mut received = 0;
    while received < COUNT {
        match receiver.recv() {
            Some((value, weight)) => {
                assert_eq!(value, received);
                received += 1;
                assert!(receiver.owed() <= WINDOW.max(weight));
                // In two parts, and late: the credit of a value comes back with the one after it.
                receiver.grant(receiver.owed() / 2);
            }
            None => {
                receiver.grant(receiver.owed());
                thread::yield_now();
            }
        }
    }
    receiver.reset();
    let sender = sending.join().ok();
    assert_eq!(sender.map(|sender| (sender.credit(), sender.is_drained())), Some((WINDOW, true)));
}

/// Takes everything from both rings, sleeping whenever there is nothing, and gives the count of values and of sleeps.
fn drain_until_closed(mut sleeper: Sleeper, mut rings: [Consumer<u64>; 2]) -> (u64, u64) {
    let (mut received, mut sleeps) = (0, 0);
    loop {
        let closed = rings.iter().all(Consumer::is_closed);
        let count: usize = rings.iter_mut().map(|ring| ring.pop_batch(256).count()).sum();
        received += count as u64;
        if count > 0 {
            continue;
        }
        if closed {
            return (received, sleeps);
        }
        let is_idle = || rings.iter().all(Consumer::is_empty) && !rings.iter().all(Consumer::is_closed);
        if sleeper.prepare_sleep(is_idle) {
            sleeps += 1;
            // A lost wake-up ends the test here, not in a hang.
            assert!(matches!(sleeper.wait(Some(Duration::from_secs(30))), Ok(true)), "a wake-up was lost");
            sleeper.awake();
        }
    }
}

#[test]
fn a_bell_shared_by_two_ringers_loses_no_wake_up() {
    let (ringer, sleeper) = doorbell().expect("an eventfd");
    let (one, first) = ring(8);
    let (two, second) = ring(8);
    let producers: Vec<_> = [(one, ringer.clone()), (two, ringer)]
        .map(|(mut producer, ringer): (_, Ringer)| {
            thread::spawn(move || {
                for value in 0..COUNT / 10 {
                    while producer.push(value).is_err() {
                        thread::yield_now();
                    }
                    ringer.ring();
                    if value % 16 == 0 {
                        thread::yield_now();
                    }
                }
                drop(producer);
                drop(ringer);
            })
        })
        .into();
    let (received, sleeps) = drain_until_closed(sleeper, [first, second]);
    assert_eq!(received, COUNT / 10 * 2);
    assert!(sleeps <= received + 2);
    assert!(producers.into_iter().all(|producer| producer.join().is_ok()));
}

#[test]
fn a_bell_writes_only_to_one_who_sleeps_and_once() {
    let (ringer, mut sleeper) = doorbell().expect("an eventfd");
    let other = ringer.clone();
    let rung = |sleeper: &mut Sleeper| sleeper.wait(Some(Duration::ZERO)).expect("poll");

    ringer.ring();
    assert_eq!((sleeper.wakeups(), rung(&mut sleeper)), (0, false));

    assert!(sleeper.prepare_sleep(|| true));
    ringer.ring();
    other.ring();
    ringer.ring();
    assert_eq!((ringer.wakeups(), rung(&mut sleeper)), (1, true));

    sleeper.awake();
    ringer.ring();
    assert_eq!((sleeper.wakeups(), rung(&mut sleeper)), (1, false));

    assert!(!sleeper.prepare_sleep(|| false), "work turned up");
    ringer.ring();
    assert_eq!((sleeper.wakeups(), rung(&mut sleeper)), (1, false));

    assert!(sleeper.prepare_sleep(|| true));
    drop(other);
    assert_eq!((sleeper.wakeups(), rung(&mut sleeper)), (2, true), "a ringer that goes away rings");
}

#[test]
fn a_ring_that_came_during_the_second_look_does_not_end_the_next_sleep() {
    let (ringer, mut sleeper) = doorbell().expect("an eventfd");
    assert!(!sleeper.prepare_sleep(|| {
        ringer.ring();
        false
    }));
    assert_eq!(sleeper.wakeups(), 1);
    assert!(sleeper.prepare_sleep(|| true));
    assert!(!sleeper.wait(Some(Duration::ZERO)).expect("poll"));
}
