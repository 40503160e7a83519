//! The ring's promises on one thread: order, bounds, what becomes visible when, and that nothing is lost or dropped
//! twice.
#![cfg(not(loom))]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use ringway_ring::{SLOTS_MAX, ring};

#[test]
fn values_come_out_in_the_order_they_went_in() {
    let (mut producer, mut consumer) = ring(4);
    for round in 0..10 {
        for value in 0..3 {
            assert_eq!(producer.push(round * 3 + value), Ok(()));
        }
        for value in 0..3 {
            assert_eq!(consumer.pop(), Some(round * 3 + value));
        }
        assert_eq!(consumer.pop(), None);
    }
}

#[test]
fn capacity_is_the_next_power_of_two_within_bounds() {
    for (asked, given) in [(0, 1), (1, 1), (2, 2), (3, 4), (8, 8), (9, 16), (usize::MAX, SLOTS_MAX)] {
        let (producer, consumer) = ring::<()>(asked);
        assert_eq!((producer.capacity(), consumer.capacity()), (given, given), "asked for {asked}");
    }
}

#[test]
fn a_full_ring_gives_the_value_back_and_takes_one_for_every_pop() {
    for slots in [1, 2, 8] {
        let (mut producer, mut consumer) = ring(slots);
        for value in 0..slots {
            assert_eq!(producer.push(value), Ok(()));
        }
        assert_eq!(producer.push(99), Err(99));
        assert_eq!((producer.free(), producer.len(), consumer.free(), consumer.len()), (0, slots, 0, slots));
        assert_eq!(consumer.pop(), Some(0));
        assert_eq!(producer.push(slots), Ok(()));
        assert_eq!(producer.push(99), Err(99));
    }
}

#[test]
fn staged_values_become_visible_together() {
    let (mut producer, mut consumer) = ring(4);
    assert_eq!(producer.stage('a'), Ok(()));
    assert_eq!(producer.stage('b'), Ok(()));
    assert_eq!((producer.len(), consumer.len(), consumer.pop()), (2, 0, None));
    producer.publish();
    assert_eq!((consumer.pop(), consumer.pop(), consumer.pop()), (Some('a'), Some('b'), None));
}

#[test]
fn a_batch_takes_what_fits_and_leaves_the_rest_to_its_owner() {
    let (mut producer, mut consumer) = ring(4);
    let mut values = 0..10;
    assert_eq!(producer.push_batch(&mut values), 4);
    assert_eq!(producer.push_batch(&mut values), 0);
    assert_eq!(consumer.pop_batch(3).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(producer.push_batch(&mut values), 3);
    assert_eq!(consumer.pop_batch(usize::MAX).collect::<Vec<_>>(), [3, 4, 5, 6]);
    assert_eq!(values, 7..10);
}

#[test]
fn a_batch_gives_its_slots_back_when_it_is_dropped_even_half_used_or_by_a_panic() {
    let (mut producer, mut consumer) = ring(4);
    assert_eq!(producer.push_batch(&mut (0..4)), 4);
    let mut batch = consumer.pop_batch(4);
    assert_eq!(batch.next(), Some(0));
    assert_eq!(producer.free(), 0);
    drop(batch);
    assert_eq!(producer.free(), 1);

    let failed = catch_unwind(AssertUnwindSafe(|| consumer.pop_batch(2).for_each(|value| assert_ne!(value, 1))));
    assert!(failed.is_err());
    assert_eq!((producer.free(), consumer.pop(), consumer.pop(), consumer.pop()), (2, Some(2), Some(3), None));
}

#[test]
fn a_leaked_batch_loses_no_slot() {
    let (mut producer, mut consumer) = ring(2);
    assert_eq!(producer.push_batch(&mut (0..2)), 2);
    let mut batch = consumer.pop_batch(1);
    assert_eq!(batch.next(), Some(0));
    std::mem::forget(batch);
    assert_eq!(consumer.pop(), Some(1));
    assert_eq!(producer.free(), 2);
}

#[test]
fn each_side_learns_that_the_other_is_gone() {
    let (mut producer, mut consumer) = ring(4);
    assert!(!producer.is_closed() && !consumer.is_closed());
    assert_eq!(producer.push(1), Ok(()));
    assert_eq!(producer.stage(2), Ok(()));
    drop(producer);
    assert!(consumer.is_closed());
    assert_eq!(
        (consumer.pop(), consumer.pop(), consumer.pop()),
        (Some(1), Some(2), None),
        "a staged value is not lost"
    );

    let (producer, consumer) = ring::<u8>(4);
    drop(consumer);
    assert!(producer.is_closed());
}

#[test]
fn what_is_inside_is_dropped_once_whoever_goes_first() {
    // `Rc` also shows that values which cannot leave their thread may use a ring on it.
    for consumer_first in [true, false] {
        let witness = Rc::new(());
        let (mut producer, mut consumer) = ring(8);
        for _ in 0..6 {
            assert!(producer.push(Rc::clone(&witness)).is_ok());
        }
        drop(consumer.pop());
        drop(consumer.pop());
        assert_eq!(Rc::strong_count(&witness), 5);
        if consumer_first {
            drop(consumer);
            assert_eq!(Rc::strong_count(&witness), 1, "freed before the producer notices");
            assert!(producer.push(Rc::clone(&witness)).is_ok());
            drop(producer);
        } else {
            assert!(producer.stage(Rc::clone(&witness)).is_ok());
            drop(producer);
            assert_eq!(Rc::strong_count(&witness), 6);
            drop(consumer);
        }
        assert_eq!(Rc::strong_count(&witness), 1);
    }
}

#[test]
fn moves_changes_with_every_move_of_either_side_and_only_then() {
    let (mut producer, mut consumer) = ring(2);
    let mut seen = vec![producer.moves()];
    let mut moved = |now: usize| {
        let changed = seen.last() != Some(&now);
        seen.push(now);
        changed
    };
    assert!(!moved(consumer.moves()));
    assert_eq!(producer.push('a'), Ok(()));
    assert!(moved(consumer.moves()));
    assert_eq!(consumer.pop(), Some('a'));
    assert!(moved(producer.moves()));
    assert_eq!(consumer.pop(), None);
    assert!(!moved(producer.moves()));
    drop(producer);
    assert!(moved(consumer.moves()));
}

#[test]
fn values_without_size_and_values_with_alignment_are_held() {
    #[derive(Debug, PartialEq)]
    #[repr(align(64))]
    struct Aligned(u8);

    let (mut producer, mut consumer) = ring(2);
    assert_eq!(producer.push(()), Ok(()));
    assert_eq!((consumer.pop(), consumer.pop()), (Some(()), None));

    let (mut producer, mut consumer) = ring(2);
    assert_eq!(producer.push(Aligned(7)), Ok(()));
    assert_eq!(consumer.pop(), Some(Aligned(7)));
}
