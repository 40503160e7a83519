//! Parked connections, on each driver.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::io::{Read, Write};
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use bytes::BytesMut;
use ringway_net::{Address, DialOptions, Leave, Lot, Shot, Stream, dial, spawn};
use support::{drivers, on_shard, peer, rest};

const LONG: Duration = Duration::from_secs(3600);

async fn connect(address: &Address) -> Stream {
    dial(address, &DialOptions::default()).await.unwrap()
}

/// The next that leave.
async fn leaving(lot: &Lot<Stream>) -> Vec<(Leave, Stream)> {
    let mut left = Vec::new();
    lot.leaving(&mut left).await.unwrap();
    left
}

#[test]
fn a_byte_brings_a_connection_back_with_nothing_lost() {
    for driver in drivers() {
        let (speak, spoken) = mpsc::channel::<()>();
        let (address, peer) = peer(move |mut stream| {
            spoken.recv().unwrap();
            stream.write_all(b"hello").unwrap();
            rest(&mut stream)
        });
        on_shard(driver, move |_| async move {
            let lot = Lot::new().unwrap();
            let stream = connect(&address).await;
            assert!(lot.park((stream.berth().unwrap(), None), LONG, stream).is_ok());
            assert_eq!(lot.len(), 1);
            speak.send(()).unwrap();
            let (leave, stream) = leaving(&lot).await.remove(0);
            assert_eq!((leave, lot.len()), (Leave::Stirred, 0));
            let (result, buffer) = stream.read(BytesMut::with_capacity(16)).await;
            assert_eq!((result.unwrap(), &buffer[..]), (5, &b"hello"[..]));
            // What was said before it was parked is heard at once; so is the end.
            stream.shutdown().await.unwrap();
            assert!(lot.park((stream.berth().unwrap(), None), LONG, stream).is_ok());
            let (leave, stream) = leaving(&lot).await.remove(0);
            assert_eq!(leave, Leave::Stirred);
            assert_eq!(stream.read(BytesMut::with_capacity(16)).await.0.unwrap(), 0);
        });
        peer.join().unwrap();
    }
}

#[test]
fn a_lot_that_was_empty_when_its_keeper_came_wakes_it() {
    for driver in drivers() {
        let (address, peer) = peer(|mut stream| {
            stream.write_all(b"x").unwrap();
            rest(&mut stream)
        });
        on_shard(driver, move |_| async move {
            let lot = Rc::new(Lot::new().unwrap());
            let parking = lot.clone();
            spawn(async move {
                let stream = connect(&address).await;
                stream.readable().await.unwrap();
                assert!(parking.park((stream.berth().unwrap(), None), LONG, stream).is_ok());
            });
            let (leave, stream) = leaving(&lot).await.remove(0);
            assert_eq!(leave, Leave::Stirred);
            // A socket that is closed with unread bytes is reset.
            assert_eq!(stream.read(BytesMut::with_capacity(16)).await.0.unwrap(), 1);
        });
        peer.join().unwrap();
    }
}

#[test]
fn time_that_is_up_and_choice_take_connections_out() {
    for driver in drivers() {
        let (address, first) = peer(|mut stream| rest(&mut stream));
        let (other, second) = peer(|mut stream| rest(&mut stream));
        on_shard(driver, move |_| async move {
            let lot = Lot::new().unwrap();
            let (short, long) = (connect(&address).await, connect(&other).await);
            assert!(lot.park((short.berth().unwrap(), None), Duration::ZERO, short).is_ok());
            assert!(lot.park((long.berth().unwrap(), None), LONG, long).is_ok());
            let left = leaving(&lot).await;
            assert_eq!((left.len(), left[0].0, lot.len()), (1, Leave::Expired, 1));
            assert_eq!((lot.take(|_| false).len(), lot.take(|_| true).len(), lot.len()), (0, 1, 0));
        });
        first.join().unwrap();
        second.join().unwrap();
    }
}

#[test]
fn who_is_visited_stays_or_leaves_and_may_be_written_to() {
    for driver in drivers() {
        let (address, peer) = peer(|mut stream| {
            let mut heard = [0; 5];
            stream.read_exact(&mut heard).unwrap();
            assert_eq!(&heard, b"hello");
            rest(&mut stream)
        });
        on_shard(driver, move |shard| async move {
            let lot = Lot::new().unwrap();
            let stream = connect(&address).await;
            let number = lot.park((stream.berth().unwrap(), None), LONG, stream).ok().unwrap();
            let mut sent = Vec::new();
            let stays = |stream: &mut Stream| {
                shard.volley.send(&[Shot { to: stream.aim().unwrap(), bytes: b"hello" }], &mut sent);
                true
            };
            assert!(lot.visit(number, stays).is_none());
            assert_eq!((&sent[..], lot.len()), (&[5][..], 1));
            let stream = lot.visit(number, |_| false).unwrap();
            assert!(lot.is_empty() && lot.visit(number, |_| true).is_none());
            // It is watched no more: it can be parked again.
            assert!(lot.park((stream.berth().unwrap(), None), LONG, stream).is_ok());
        });
        peer.join().unwrap();
    }
}

#[test]
fn what_has_two_ends_leaves_once_whichever_stirs() {
    for driver in drivers() {
        let (address, first) = peer(|mut stream| {
            stream.write_all(b"a").unwrap();
            rest(&mut stream)
        });
        let (other, second) = peer(|mut stream| {
            stream.write_all(b"b").unwrap();
            rest(&mut stream)
        });
        on_shard(driver, move |_| async move {
            let lot = Lot::new().unwrap();
            let (one, two) = (connect(&address).await, connect(&other).await);
            one.readable().await.unwrap();
            two.readable().await.unwrap();
            let ends = (one.berth().unwrap(), two.berth());
            assert!(lot.park(ends, LONG, (one, two)).is_ok());
            let mut left = Vec::new();
            lot.leaving(&mut left).await.unwrap();
            assert_eq!((left.len(), lot.len()), (1, 0));
            let (_, (one, two)) = left.remove(0);
            for stream in [one, two] {
                assert_eq!(stream.read(BytesMut::with_capacity(16)).await.0.unwrap(), 1);
            }
        });
        first.join().unwrap();
        second.join().unwrap();
    }
}
