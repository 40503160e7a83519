//! The rings between a shard and the threads of client libraries.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::mpsc;
use std::thread;

use bytes::BytesMut;
use ringway_connectors::bridge;
use ringway_contract::{Cause, Delivery, Fault, Message, Origin, Position, Qos, Receipt};

use crate::support::{PATIENCE, on_each};

struct Plain;

impl Origin for Plain {
    fn passed(&mut self, _message: &Message) {}
    fn id(&self, _message: &Message, _out: &mut BytesMut) {}
    fn metadata(&self, _message: &Message, _each: &mut dyn FnMut(&str, &[u8])) {}
}

const MESSAGES: i64 = 20_000;

fn numbered(number: i64) -> Delivery {
    let content = vec![b'x'; 100];
    Delivery::Message(Message { position: Position { part: 0, offset: number }, ..Message::new(content) })
}

#[test]
fn a_thread_feeds_a_shard_and_gets_every_receipt() {
    on_each(|_| async {
        let (mut feed, mut remote) = bridge::feed(Box::new(Plain)).unwrap();
        let thread = thread::spawn(move || {
            let (mut next, mut acknowledged) = (0, 0);
            loop {
                while next < MESSAGES && remote.send(numbered(next)).is_ok() {
                    next += 1;
                }
                remote.ring();
                while let Some(receipt) = remote.receipt() {
                    assert_eq!(receipt, Receipt::Ack(Position { part: 0, offset: acknowledged }));
                    acknowledged += 1;
                }
                if acknowledged == MESSAGES {
                    return;
                }
                let weight = (next < MESSAGES).then_some(300);
                remote.wait(weight, Some(PATIENCE)).unwrap();
            }
        });
        for number in 0..MESSAGES {
            let Some(Delivery::Message(message)) = feed.next().await else { panic!("no message {number}") };
            assert_eq!(message.position.offset, number);
            feed.receipt(Receipt::Ack(message.position));
            feed.grant(message.weight());
        }
        feed.settled().await;
        thread.join().unwrap();
        assert!(feed.next().await.is_none());
    });
}

#[test]
fn a_feed_that_is_dropped_ends_a_side_that_waits_for_credit() {
    on_each(|_| async {
        let (mut feed, mut remote) = bridge::feed(Box::new(Plain)).unwrap();
        let (ended, end) = mpsc::channel();
        bridge::spawn(async move {
            let mut number = 0;
            while remote.deliver(numbered(number)).await {
                number += 1;
            }
            ended.send((number, std::iter::from_fn(|| remote.receipt()).count())).unwrap();
        })
        .unwrap();
        let Some(Delivery::Message(first)) = feed.next().await else { panic!("no message") };
        feed.receipt(Receipt::Nack(first.position));
        drop(feed);
        let (delivered, receipts) = end.recv_timeout(PATIENCE).unwrap();
        assert!(delivered < 10_000, "{delivered} messages although nobody took them");
        // The one above, and those of what was in the ring.
        assert!((1..=delivered).contains(&(receipts as i64)), "{receipts} receipts of {delivered} messages");
    });
}

#[test]
fn every_message_gets_its_own_verdict_in_whatever_order() {
    on_each(|_| async {
        let (publisher, mut remote) = bridge::publisher::<u32>().unwrap();
        let thread = thread::spawn(move || {
            let mut claims = Vec::new();
            loop {
                while let Some(job) = remote.take() {
                    let (_, detail, claim) = job.claim();
                    claims.push((detail, claim));
                }
                // Backwards, and every third one fails.
                while let Some((detail, claim)) = claims.pop() {
                    let outcome = if detail % 3 == 0 { Err(Fault::new(Cause::PublishFailed)) } else { Ok(()) };
                    remote.done(claim, outcome);
                }
                remote.ring();
                if remote.is_gone() {
                    return;
                }
                remote.wait(Some(PATIENCE)).unwrap();
            }
        });
        let all: Vec<_> = (0..5_000).map(|at| publisher.publish(Message::new("x"), Qos::Auto, at)).collect();
        for (at, verdict) in (0..).zip(all) {
            assert_eq!(verdict.await.is_err(), at % 3 == 0, "{at}");
        }
        drop(publisher);
        thread.join().unwrap();
    });
}

#[test]
fn what_a_side_that_has_gone_did_not_answer_has_failed() {
    on_each(|_| async {
        let (publisher, remote) = bridge::publisher::<()>().unwrap();
        let waiting = publisher.publish(Message::new("x"), Qos::Auto, ());
        drop(publisher.publish(Message::new("nobody waits for this one"), Qos::Auto, ()));
        drop(remote);
        assert_eq!(waiting.await, Err(Fault::new(Cause::BrokerClosed)));
    });
}
