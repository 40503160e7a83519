//! Credit: what the window lets through, what it holds back, and how it opens again.
#![cfg(not(loom))]

use ringway_ring::{Receiver, Sender, Shortage, link};

fn refused(sender: &mut Sender<u32>, weight: usize) -> Option<Shortage> {
    sender.send(0, weight).err().map(|full| full.shortage)
}

fn recv_all(receiver: &mut Receiver<u32>) -> usize {
    std::iter::from_fn(|| receiver.recv()).count()
}

#[test]
fn a_send_takes_credit_and_a_grant_gives_it_back() {
    let (mut sender, mut receiver) = link(8, 100);
    assert_eq!((sender.credit(), sender.window_bytes()), (100, 100));
    assert!(sender.send(7, 60).is_ok());
    assert_eq!(sender.credit(), 40);
    assert_eq!(refused(&mut sender, 41), Some(Shortage::Credit));
    assert!(sender.send(8, 40).is_ok());
    assert_eq!(sender.credit(), 0);

    assert_eq!((receiver.recv(), receiver.owed()), (Some(7), 60));
    assert_eq!(sender.credit(), 0, "to receive is not to be done with it");
    receiver.grant(25);
    assert_eq!((sender.credit(), receiver.owed()), (25, 35));
    receiver.grant(35);
    assert_eq!((receiver.recv(), receiver.owed()), (Some(8), 40));
    receiver.grant(40);
    assert_eq!(sender.credit(), 100);
}

#[test]
fn a_refused_value_comes_back_whole() {
    let (mut sender, _receiver) = link(1, 10);
    assert!(sender.send(String::from("a"), 10).is_ok());
    let full = sender.send(String::from("b"), 1).err();
    assert_eq!(full.map(|full| (full.shortage, full.into_inner())), Some((Shortage::Credit, String::from("b"))));
    let full = sender.send(String::from("c"), 0).err();
    assert_eq!(full.map(|full| (full.shortage, full.into_inner())), Some((Shortage::Slots, String::from("c"))));
    assert_eq!(sender.credit(), 0);
}

#[test]
fn slots_bound_what_weighs_nothing() {
    let (mut sender, mut receiver) = link(2, 0);
    assert!(sender.send(1, 0).is_ok());
    assert!(sender.send(2, 0).is_ok());
    assert!(!sender.has_room(0));
    assert_eq!(refused(&mut sender, 0), Some(Shortage::Slots));
    assert_eq!(receiver.recv(), Some(1));
    assert!(sender.has_room(0));
    assert_eq!((receiver.owed(), receiver.is_drained()), (0, false));
}

#[test]
fn a_value_heavier_than_the_window_passes_when_the_window_is_untouched() {
    for weight in [11, 1 << 20, usize::MAX] {
        let (mut sender, mut receiver) = link(8, 10);
        assert!(sender.send(1, 1).is_ok());
        assert!(!sender.has_room(weight));
        assert_eq!(refused(&mut sender, weight), Some(Shortage::Credit));
        assert_eq!(recv_all(&mut receiver), 1);
        receiver.grant(1);

        assert!(sender.has_room(weight));
        assert!(sender.send(2, weight).is_ok());
        assert_eq!(sender.credit(), 0);
        assert_eq!(refused(&mut sender, 1), Some(Shortage::Credit));
        assert_eq!(recv_all(&mut receiver), 1);
        receiver.grant(weight - 1);
        assert_eq!(sender.credit(), 9);
        receiver.grant(1);
        assert_eq!(sender.credit(), 10);
    }
}

#[test]
fn counters_wrap_without_losing_credit() {
    let (mut sender, mut receiver) = link(2, 10);
    for weight in [usize::MAX, 7, usize::MAX - 3, 10, usize::MAX] {
        assert!(sender.send(0, weight).is_ok());
        assert_eq!(recv_all(&mut receiver), 1);
        assert_eq!(receiver.owed(), weight);
        receiver.grant(weight);
        assert_eq!(sender.credit(), 10);
    }
}

#[test]
fn a_link_is_reset_for_the_next_exchange() {
    let (mut sender, mut receiver) = link(4, 10);
    assert!(sender.is_drained() && receiver.is_drained());
    assert!(sender.send(1, 5).is_ok());
    assert!(sender.send(2, 4).is_ok());
    assert_eq!(receiver.recv(), Some(1));
    assert!(!sender.is_drained() && !receiver.is_drained());
    receiver.reset();
    assert!(sender.is_drained() && receiver.is_drained());
    assert_eq!((sender.credit(), sender.free(), receiver.recv()), (10, 4, None));
    assert!(sender.send(3, 10).is_ok());
    assert_eq!(receiver.recv(), Some(3));
}

#[test]
fn staged_values_hold_credit_and_become_visible_together() {
    let (mut sender, mut receiver) = link(4, 10);
    assert!(sender.stage(1, 4).is_ok());
    assert!(sender.stage(2, 4).is_ok());
    assert_eq!((sender.credit(), receiver.recv()), (2, None));
    assert!(sender.stage(3, 4).is_err());
    sender.publish();
    assert_eq!(receiver.recv_batch(8).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(receiver.owed(), 8);
}

#[test]
fn moves_changes_with_send_recv_and_grant() {
    let (mut sender, mut receiver) = link(4, 10);
    let start = sender.moves();
    assert!(sender.send(1, 4).is_ok());
    let sent = receiver.moves();
    assert_eq!(receiver.recv(), Some(1));
    let received = sender.moves();
    receiver.grant(4);
    let granted = sender.moves();
    assert!(start != sent && sent != received && received != granted);
    receiver.grant(0);
    assert_eq!((sender.moves(), receiver.moves()), (granted, granted));
}

#[test]
fn a_receiver_knows_whether_its_sender_waits_for_room() {
    let (mut sender, mut receiver) = link::<u32>(4, 10);
    let moves = receiver.moves();
    for slots in [0, 1, 4, 9, 0] {
        sender.wait_for_room(slots);
        assert_eq!(receiver.sender_waits(), slots > 0);
    }
    assert_eq!(receiver.moves(), moves, "nothing has moved");
    for value in 0..4 {
        assert!(sender.send(value, 1).is_ok());
    }
    sender.wait_for_room(3);
    for enough in [false, false, true, true] {
        assert!(receiver.recv().is_some());
        assert_eq!(receiver.sender_waits(), enough);
    }
}

#[test]
fn each_side_learns_that_the_other_is_gone() {
    let (sender, receiver) = link::<u32>(4, 10);
    assert!(!sender.is_closed() && !receiver.is_closed());
    drop(sender);
    assert!(receiver.is_closed());
    let (sender, receiver) = link::<u32>(4, 10);
    drop(receiver);
    assert!(sender.is_closed());
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "granted 5 bytes of 4 owed")]
fn granting_more_than_is_owed_fails_in_debug_builds() {
    let (mut sender, mut receiver) = link(4, 10);
    assert!(sender.send(1, 4).is_ok());
    assert_eq!(receiver.recv(), Some(1));
    receiver.grant(5);
}
