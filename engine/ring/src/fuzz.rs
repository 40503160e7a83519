//! Ring and link driven by bytes, side by side with the simplest thing that behaves the same. For fuzz targets and
//! seeded tests.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::{Shortage, link, ring};

/// Every second byte is an operation, the one after it its operand. Panics when ring or link differ from their model,
/// or when a value is lost or dropped twice.
pub fn drive(data: &[u8]) {
    let Some((&shape, rest)) = data.split_first() else { return };
    let steps = || rest.chunks_exact(2).map(|step| (step[0], usize::from(step[1])));
    let slots = usize::from(shape & 0x0f);
    drive_ring(slots, steps());
    drive_link(slots, usize::from(shape >> 4) * 16, steps());
}

fn drive_ring(slots: usize, steps: impl Iterator<Item = (u8, usize)>) {
    let alive = Rc::new(());
    let (mut producer, mut consumer) = ring(slots);
    let capacity = producer.capacity();
    assert!(capacity >= slots && capacity.is_power_of_two());
    // What the consumer may see, and behind it what is staged.
    let mut model = VecDeque::new();
    let mut staged = 0;
    let mut next = 0usize;

    for (operation, operand) in steps {
        match operation % 5 {
            0 => {
                let pushed = producer.push((next, Rc::clone(&alive))).is_ok();
                assert_eq!(pushed, model.len() < capacity);
                if pushed {
                    model.push_back(next);
                    staged = 0;
                }
            }
            1 => {
                let pushed = producer.stage((next, Rc::clone(&alive))).is_ok();
                assert_eq!(pushed, model.len() < capacity);
                if pushed {
                    model.push_back(next);
                    staged += 1;
                }
            }
            2 => {
                let room = capacity - model.len();
                let count = producer.push_batch(&mut (next..next + operand).map(|value| (value, Rc::clone(&alive))));
                assert_eq!(count, operand.min(room));
                model.extend(next..next + count);
                staged = 0;
                next += operand;
            }
            3 => {
                let expected = if model.len() > staged { model.pop_front() } else { None };
                assert_eq!(consumer.pop().map(|(value, _)| value), expected);
            }
            _ => {
                let expected: Vec<_> = model.drain(..operand.min(model.len() - staged)).collect();
                let popped: Vec<_> = consumer.pop_batch(operand).map(|(value, _)| value).collect();
                assert_eq!(popped, expected);
            }
        }
        next += 1;
        assert_eq!((producer.len(), producer.free()), (model.len(), capacity - model.len()));
        assert_eq!(consumer.len(), model.len() - staged);
        assert_eq!(Rc::strong_count(&alive), 1 + model.len());
    }
    if next.is_multiple_of(2) {
        drop(consumer);
        drop(producer);
    } else {
        drop(producer);
        assert_eq!(consumer.len(), model.len(), "what was staged is not lost");
        drop(consumer);
    }
    assert_eq!(Rc::strong_count(&alive), 1);
}

fn drive_link(slots: usize, window_bytes: usize, steps: impl Iterator<Item = (u8, usize)>) {
    let (mut sender, mut receiver) = link(slots, window_bytes);
    let capacity = sender.free();
    let mut model = VecDeque::new();
    // Bytes under way, and of these the ones that the receiver has.
    let mut outstanding = 0;
    let mut owed = 0;
    let mut seen = sender.moves();

    for (operation, operand) in steps {
        let mut moved = false;
        match operation % 4 {
            0 => {
                let weight = operand;
                let covered = weight == 0 || outstanding == 0 || outstanding + weight <= window_bytes;
                let expected = match (covered, model.len() < capacity) {
                    (false, _) => Err(Shortage::Credit),
                    (true, false) => Err(Shortage::Slots),
                    (true, true) => Ok(()),
                };
                assert_eq!(sender.has_room(weight), expected.is_ok());
                let value = (weight, seen);
                let sent = sender.send(value, weight).map_err(|full| {
                    assert_eq!(full.value, value);
                    full.shortage
                });
                assert_eq!(sent, expected);
                if sent.is_ok() {
                    model.push_back(value);
                    outstanding += weight;
                    moved = true;
                }
            }
            1 => {
                let expected = model.pop_front();
                assert_eq!(receiver.recv(), expected);
                owed += expected.map_or(0, |(weight, _)| weight);
                moved = expected.is_some();
            }
            2 => {
                let weight = operand.min(owed);
                receiver.grant(weight);
                owed -= weight;
                outstanding -= weight;
                moved = weight > 0;
            }
            _ if operand.is_multiple_of(8) => {
                moved = !model.is_empty() || owed > 0;
                receiver.reset();
                model.clear();
                (outstanding, owed) = (0, 0);
                assert!(sender.is_drained());
            }
            _ => {
                let expected: Vec<_> = model.drain(..operand.min(model.len())).collect();
                assert_eq!(receiver.recv_batch(operand).collect::<Vec<_>>(), expected);
                owed += expected.iter().map(|(weight, _)| weight).sum::<usize>();
                moved = !expected.is_empty();
            }
        }
        assert_eq!(sender.credit(), window_bytes.saturating_sub(outstanding));
        assert_eq!((receiver.owed(), receiver.len()), (owed, model.len()));
        assert_eq!(sender.is_drained(), model.is_empty() && outstanding == 0);
        assert_eq!(receiver.moves() != seen, moved);
        seen = sender.moves();
    }
}
