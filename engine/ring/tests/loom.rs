//! Every interleaving and every value that the memory model allows, for the smallest cases that show each promise.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p ringway-ring --release --test loom`
#![cfg(loom)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use loom::model::Builder;
use loom::thread;
use ringway_ring::{Consumer, Producer, Sleeper, doorbell, link, ring};

/// All executions with at most this many forced switches: what is known of concurrency bugs shows with two or three.
fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

fn push_all<T>(producer: &mut Producer<T>, values: impl Iterator<Item = T>) {
    for value in values {
        let mut pending = Some(value);
        while let Some(value) = pending.take() {
            pending = producer.push(value).err();
            if pending.is_some() {
                thread::yield_now();
            }
        }
    }
}

#[test]
fn values_arrive_once_and_in_order_across_wrapped_slots() {
    check(3, || {
        let (mut producer, mut consumer) = ring(2);
        let producing = thread::spawn(move || push_all(&mut producer, (0..4).map(Box::new)));
        let mut expected = 0;
        while expected < 4 {
            match consumer.pop() {
                Some(value) => {
                    assert_eq!(*value, expected);
                    expected += 1;
                }
                None => thread::yield_now(),
            }
        }
        producing.join().unwrap();
        assert!(consumer.pop().is_none());
    });
}

#[test]
fn batches_arrive_once_and_in_order() {
    check(3, || {
        let (mut producer, mut consumer) = ring(2);
        let producing = thread::spawn(move || {
            let mut values = (0..4).map(Box::new).peekable();
            while values.peek().is_some() {
                if producer.push_batch(&mut values) == 0 {
                    thread::yield_now();
                }
            }
        });
        let mut expected = 0;
        while expected < 4 {
            let before = expected;
            for value in consumer.pop_batch(2) {
                assert_eq!(*value, expected);
                expected += 1;
            }
            if before == expected {
                thread::yield_now();
            }
        }
        producing.join().unwrap();
    });
}

#[test]
fn a_closed_ring_that_gives_nothing_has_given_everything() {
    check(4, || {
        let (mut producer, mut consumer) = ring(2);
        let producing = thread::spawn(move || {
            assert!(producer.push(1).is_ok());
            assert!(producer.stage(2).is_ok());
        });
        let mut received = 0;
        loop {
            let closed = consumer.is_closed();
            match consumer.pop() {
                Some(value) => {
                    received += 1;
                    assert_eq!(value, received);
                }
                None if closed => break,
                None => thread::yield_now(),
            }
        }
        assert_eq!(received, 2);
        producing.join().unwrap();
    });
}

#[test]
fn what_is_inside_is_dropped_once_when_both_ends_go_at_any_time() {
    check(4, || {
        let alive = Arc::new(());
        let (mut producer, mut consumer) = ring(2);
        let mut values = [Arc::clone(&alive), Arc::clone(&alive), Arc::clone(&alive)].into_iter();
        let producing = thread::spawn(move || producer.push_batch(&mut values));
        drop(consumer.pop());
        drop(consumer);
        producing.join().unwrap();
        assert_eq!(Arc::strong_count(&alive), 1);
    });
}

#[test]
fn a_producer_sees_that_its_consumer_is_gone() {
    check(4, || {
        let (producer, consumer) = ring::<u8>(1);
        let consuming = thread::spawn(move || drop(consumer));
        while !producer.is_closed() {
            thread::yield_now();
        }
        consuming.join().unwrap();
    });
}

#[test]
fn what_is_pushed_to_a_consumer_that_goes_is_dropped_by_it_or_its_producer_learns_of_it() {
    check(4, || {
        let alive = Arc::new(());
        let (mut producer, consumer) = ring(1);
        let (ringer, _sleeper) = doorbell().unwrap();
        let consuming = thread::spawn(move || drop(consumer));
        assert!(producer.push(Arc::clone(&alive)).is_ok());
        ringer.ring();
        let closed = producer.is_closed();
        consuming.join().unwrap();
        assert!(closed || Arc::strong_count(&alive) == 1, "stuck in a ring that nobody reads");
        drop(producer);
        assert_eq!(Arc::strong_count(&alive), 1);
    });
}

#[test]
fn credit_is_never_exceeded_and_never_lost() {
    const WINDOW: usize = 4;
    check(3, || {
        let under_way = Arc::new(AtomicUsize::new(0));
        let (mut sender, mut receiver) = link(2, WINDOW);
        let sent = Arc::clone(&under_way);
        let sending = thread::spawn(move || {
            for weight in [3, 2, 9] {
                let mut pending = Some(weight);
                while let Some(weight) = pending.take() {
                    match sender.send(weight, weight) {
                        Ok(()) => {
                            // Not part of the model: loom runs one thread at a time, so this is the true order. The
                            // receiver may have granted already, which wraps below zero and comes back.
                            let before = sent.fetch_add(weight, Ordering::Relaxed).cast_signed();
                            assert!(before <= 0 || before.unsigned_abs() + weight <= WINDOW);
                        }
                        Err(full) => {
                            pending = Some(full.into_inner());
                            thread::yield_now();
                        }
                    }
                }
            }
            sender
        });
        for weight in [3, 2, 9] {
            let received = loop {
                match receiver.recv() {
                    Some(received) => break received,
                    None => thread::yield_now(),
                }
            };
            assert_eq!(received, weight);
            under_way.fetch_sub(1, Ordering::Relaxed);
            receiver.grant(1);
            under_way.fetch_sub(weight - 1, Ordering::Relaxed);
            receiver.grant(weight - 1);
        }
        let sender = sending.join().unwrap();
        assert_eq!((sender.credit(), sender.is_drained()), (WINDOW, true));
    });
}

#[test]
fn a_reset_while_the_sender_sends_neither_invents_nor_loses_credit() {
    check(4, || {
        let (mut sender, mut receiver) = link(2, 4);
        let sending = thread::spawn(move || {
            let sent = [3, 3].map(|weight| sender.send(weight, weight).is_ok());
            assert!(sent[0]);
            sender
        });
        receiver.reset();
        let sender = sending.join().unwrap();
        receiver.reset();
        assert_eq!((sender.credit(), sender.is_drained()), (4, true));
    });
}

/// Takes everything, asleep whenever there is nothing, until every producer is gone. That a wake-up is lost shows as a
/// deadlock.
fn sleep_and_drain<const RINGS: usize>(mut sleeper: Sleeper, mut rings: [Consumer<u32>; RINGS]) -> u32 {
    let mut received = 0;
    loop {
        let closed = rings.iter().all(Consumer::is_closed);
        let before = received;
        for ring in &mut rings {
            received += ring.pop_batch(2).sum::<u32>();
        }
        if before != received {
            continue;
        }
        if closed {
            return received;
        }
        if sleeper.prepare_sleep(|| rings.iter().all(Consumer::is_empty) && !rings.iter().all(Consumer::is_closed)) {
            sleeper.wait(None).unwrap();
            sleeper.awake();
        }
    }
}

#[test]
fn a_doorbell_loses_no_wake_up() {
    check(3, || {
        let (ringer, sleeper) = doorbell().unwrap();
        let (mut producer, consumer) = ring(4);
        let producing = thread::spawn(move || {
            for value in [1, 2] {
                assert!(producer.push(value).is_ok());
                ringer.ring();
            }
            drop(producer);
            drop(ringer);
        });
        assert_eq!(sleep_and_drain(sleeper, [consumer]), 3);
        producing.join().unwrap();
    });
}

/// Sends three values of weight 1, asleep until `slots` are free whenever there is no room. A wake-up that is lost shows as a deadlock.
fn sleep_for_room(window: usize, slots: usize) {
    let (ringer, mut sleeper) = doorbell().unwrap();
    let (mut sender, mut receiver) = link(2, window);
    let sending = thread::spawn(move || {
        for value in 0..3 {
            while sender.send(value, 1).is_err() {
                sender.wait_for_room(slots);
                if sleeper.prepare_sleep(|| !sender.has_room(1) || sender.free() < slots) {
                    sleeper.wait(None).unwrap();
                    sleeper.awake();
                }
            }
            sender.wait_for_room(0);
        }
    });
    for expected in 0..3 {
        let received = loop {
            match receiver.recv() {
                Some(received) => break received,
                None => thread::yield_now(),
            }
        };
        assert_eq!(received, expected);
        receiver.grant(1);
        if receiver.sender_waits() {
            ringer.ring();
        }
    }
    sending.join().unwrap();
}

#[test]
fn a_sender_that_waits_for_credit_is_woken_for_it() {
    check(3, || sleep_for_room(1, 1));
}

#[test]
fn a_sender_that_waits_for_several_slots_is_woken_for_them() {
    check(3, || sleep_for_room(9, 2));
}

#[test]
fn a_doorbell_with_two_ringers_loses_no_wake_up() {
    check(2, || {
        let (ringer, sleeper) = doorbell().unwrap();
        let (one, first) = ring(1);
        let (two, second) = ring(1);
        let producing = [(one, ringer.clone(), 1), (two, ringer, 2)].map(|(mut producer, ringer, value)| {
            thread::spawn(move || {
                assert!(producer.push(value).is_ok());
                drop(producer);
                drop(ringer);
            })
        });
        assert_eq!(sleep_and_drain(sleeper, [first, second]), 3);
        for producer in producing {
            producer.join().unwrap();
        }
    });
}
