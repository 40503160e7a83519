//! Counts of messages over the deaths of the broker.
//!
//! The broker is frozen in a quiet moment before it is killed: what it has said up to then is on its disk, and what it is sent after that it
//! never sees. So messages and acknowledgements are under way at its death, and none is lost by the broker itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use ringway_contract::{Attributes, Message, Qos, Receipt};
use ringway_tests::{Gateway, Mosquitto, wait_until};
use serde_json::json;

use super::feeds::{broker, eventually, next, on_a_shard, soon, subscribed, text, within};
use super::{api, numbers, post, shared};

const ROUNDS: usize = 3;
const EACH: usize = 200;
const CLIENTS: usize = 4;

/// Mosquitto restores a session without its shared subscription: what is published until the gateway is back is nobody's.
async fn subscribed_again(mosquitto: &Mosquitto, round: usize) {
    eventually(|| mosquitto.log().matches("Sending SUBACK to ringway-").count() == round + 2).await;
}

/// Of how many messages the broker has been told that they have arrived.
fn acknowledgements(mosquitto: &Mosquitto, qos: u8) -> usize {
    let word =
        if qos == 2 { "Received PUBCOMP from ringway-consumer" } else { "Received PUBACK from ringway-consumer" };
    mosquitto.log().matches(word).count()
}

async fn acknowledged(mosquitto: &Mosquitto, qos: u8, count: usize) {
    eventually(|| acknowledgements(mosquitto, qos) >= count).await;
}

/// How often each came.
fn counted(all: &[String], wanted: usize) -> (usize, usize) {
    let mut counts = BTreeMap::<&str, usize>::new();
    all.iter().for_each(|one| *counts.entry(one).or_default() += 1);
    let lost = numbers(0..wanted).iter().filter(|number| !counts.contains_key(number.as_str())).count();
    (lost, counts.values().map(|count| count - 1).sum())
}

#[test]
fn what_was_answered_was_published_over_deaths_of_the_broker() {
    for qos in [1, 2] {
        let mut mosquitto = Mosquitto::start();
        mosquitto.register("auditor", "t");
        let api = shared(api(json!({ "type": "http-post" }), &mosquitto), "producer/qos", json!(qos));
        let gateway = Gateway::serving(&[api]);
        let (answered, next, done) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
        let (repeated, pause) = (AtomicUsize::new(0), AtomicBool::new(false));
        let under_way = || next.load(Ordering::SeqCst) - answered.load(Ordering::SeqCst);
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    while !done.load(Ordering::SeqCst) {
                        wait_until("the pause to end", || !pause.load(Ordering::SeqCst));
                        let body = next.fetch_add(1, Ordering::SeqCst).to_string();
                        while post(&gateway, "", &body).0.status() != 202 {
                            repeated.fetch_add(1, Ordering::SeqCst);
                        }
                        answered.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
            for round in 1..=ROUNDS {
                wait_until("posts to be answered", || answered.load(Ordering::SeqCst) >= round * EACH);
                pause.store(true, Ordering::SeqCst);
                wait_until("all to be answered", || under_way() == 0);
                mosquitto.freeze();
                pause.store(false, Ordering::SeqCst);
                wait_until("posts to be under way", || under_way() == CLIENTS);
                mosquitto.kill();
                mosquitto.restart();
            }
            let before = answered.load(Ordering::SeqCst);
            wait_until("posts after the last death", || answered.load(Ordering::SeqCst) > before + EACH);
            done.store(true, Ordering::SeqCst);
        });
        let total = next.load(Ordering::SeqCst);
        let came = mosquitto.drain("auditor", "t");
        let (lost, twice) = counted(&came, total);
        println!(
            "publishing at QoS {qos} over {ROUNDS} deaths: {total} answered, {} tried again by the client, {lost} lost, {twice} twice",
            repeated.load(Ordering::SeqCst)
        );
        assert_eq!(lost, 0);
    }
}

#[test]
fn at_least_once_loses_nothing_over_deaths_of_the_broker() {
    for qos in [1, 2] {
        on_a_shard(move || async move {
            let mut mosquitto = Mosquitto::start();
            let shared = json!({ "consumer": { "topic": "t", "qos": qos, "receiveMaximum": 100 } });
            let broker = broker(&mosquitto, shared);
            let mut feed = subscribed(&broker, Qos::AtLeastOnce).await;
            let mut came = Vec::new();
            for round in 0..ROUNDS {
                mosquitto.publish_lines("t", 2, numbers(round * EACH..(round + 1) * EACH));
                let mut held = Vec::new();
                for at in 0..EACH / 2 {
                    let message = next(&mut feed).await;
                    came.push(text(&message));
                    if at < EACH / 4 {
                        feed.receipt(Receipt::Ack(message.position));
                        feed.ring();
                    } else {
                        held.push(message.position);
                    }
                }
                acknowledged(&mosquitto, qos, round * EACH + EACH / 4).await;
                mosquitto.freeze();
                // These acknowledgements never arrive.
                held.drain(..).for_each(|position| feed.receipt(Receipt::Ack(position)));
                feed.ring();
                mosquitto.kill();
                mosquitto.restart();
                subscribed_again(&mosquitto, round).await;
                // Also those that come again are taken, so that the next round begins with its own.
                let all = (round + 1) * EACH;
                let settled = within(async {
                    while counted(&came, all).0 > 0 || acknowledgements(&mosquitto, qos) < all {
                        let Some(message) = soon(&mut feed).await else { continue };
                        came.push(text(&message));
                        feed.receipt(Receipt::Ack(message.position));
                        feed.ring();
                    }
                });
                settled.await;
            }
            within(feed.settled()).await;
            let (lost, twice) = counted(&came, ROUNDS * EACH);
            println!("subscribing at QoS {qos} over {ROUNDS} deaths: {} came, {lost} lost, {twice} twice", came.len());
            assert_eq!(lost, 0);
            // At QoS 1 those come again whose acknowledgements got lost; at QoS 2 their packet identifiers tell that they have come.
            assert!(twice <= if qos == 2 { 0 } else { ROUNDS * EACH / 4 });
        });
    }
}

#[test]
fn at_most_once_repeats_nothing_over_deaths_of_the_broker() {
    on_a_shard(|| async {
        let mut mosquitto = Mosquitto::start();
        let broker = broker(&mosquitto, json!({ "consumer": { "topic": "t" }, "producer": { "topic": "t" } }));
        let mut feed = subscribed(&broker, Qos::AtMostOnce).await;
        let mut came = Vec::new();
        for round in 0..ROUNDS {
            mosquitto.publish_lines("t", 1, numbers(round * EACH..(round + 1) * EACH));
            for _ in 0..EACH / 2 {
                came.push(text(&next(&mut feed).await));
            }
            acknowledged(&mosquitto, 1, (round + 1) * EACH).await;
            mosquitto.freeze();
            mosquitto.kill();
            mosquitto.restart();
            subscribed_again(&mosquitto, round).await;
        }
        let published = broker.publish(Message::new("end"), Qos::Auto, &Attributes::default());
        within(published).await.unwrap();
        while came.last().is_none_or(|last: &String| last != "end") {
            came.push(text(&next(&mut feed).await));
        }
        came.pop();
        let (lost, twice) = counted(&came, ROUNDS * EACH);
        println!("at most once over {ROUNDS} deaths: {} came, {lost} lost, {twice} twice", came.len());
        assert_eq!(twice, 0);
    });
}
