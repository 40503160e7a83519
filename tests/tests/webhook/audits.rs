//! Counts of messages while the consumer fails and the gateway is killed.
//!
//! The gateway is killed at the worst moment: when the consumer has a message, and has not answered yet.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use ringway_tests::{Backend, Gateway, Mosquitto, wait_until};

use super::{Broker, kafka, mqtt5, numbers, rabbitmq, solace};

const ROUNDS: usize = 2;
const EACH: usize = 300;
/// Deliveries of a round before the consumer stalls.
const BEFORE: usize = 100;
/// Which requests it fails.
const FAILING: std::ops::Range<usize> = 30..60;

/// A consumer that fails for a while, and stalls when it has taken so many messages.
#[derive(Default)]
struct Consumer {
    asked: AtomicUsize,
    taken: Mutex<Vec<String>>,
    limit: AtomicUsize,
    stalled: AtomicUsize,
}

impl Consumer {
    fn answer(&self, body: &[u8]) -> String {
        if FAILING.contains(&self.asked.fetch_add(1, Ordering::SeqCst)) {
            return "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".into();
        }
        let taken = {
            let mut taken = self.taken.lock().unwrap();
            taken.push(String::from_utf8_lossy(body).into_owned());
            taken.len()
        };
        if taken >= self.limit.load(Ordering::SeqCst) {
            self.stalled.fetch_add(1, Ordering::SeqCst);
            wait_until("the gateway to be killed", || taken < self.limit.load(Ordering::SeqCst));
        }
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into()
    }

    /// How often each came.
    fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        self.taken.lock().unwrap().iter().for_each(|body| *counts.entry(body.clone()).or_default() += 1);
        counts
    }

    fn lost(&self) -> usize {
        let counts = self.counts();
        numbers(0..ROUNDS * EACH).iter().filter(|number| !counts.contains_key(*number)).count()
    }
}

fn audit(broker: &Broker<'_>, qos: &str) {
    let consumer = Arc::new(Consumer { limit: AtomicUsize::new(usize::MAX), ..Consumer::default() });
    let backend = Backend::replies({
        let consumer = consumer.clone();
        move |_, body| consumer.answer(body)
    });
    let mut gateway = Gateway::serving(&[broker.api(qos, &backend.target())]);
    let begun = |mark: &str| {
        wait_until("the subscription to go on", || {
            (broker.publish)(vec![mark.into()]);
            consumer.counts().contains_key(mark)
        });
    };
    begun("begun");
    for round in 0..ROUNDS {
        let before = consumer.taken.lock().unwrap().len();
        consumer.limit.store(before + BEFORE, Ordering::SeqCst);
        consumer.stalled.store(0, Ordering::SeqCst);
        (broker.publish)(numbers(round * EACH..(round + 1) * EACH));
        wait_until("the consumer to stall", || consumer.stalled.load(Ordering::SeqCst) > 0);
        gateway.crash();
        consumer.limit.store(usize::MAX, Ordering::SeqCst);
    }
    match qos {
        "AT_MOST_ONCE" => begun("end"),
        _ => wait_until("all messages", || consumer.lost() == 0),
    }
    let counts = consumer.counts();
    let repeated =
        numbers(0..ROUNDS * EACH).iter().filter(|number| counts.get(*number).is_some_and(|count| *count > 1)).count();
    println!(
        "webhook, {} {qos}: {} sent, consumer failed {} times, gateway killed {ROUNDS} times: {} lost, {repeated} repeated",
        broker.kind,
        ROUNDS * EACH,
        FAILING.len(),
        consumer.lost(),
    );
    match qos {
        "AT_MOST_ONCE" => assert_eq!(repeated, 0),
        _ => assert_eq!(consumer.lost(), 0),
    }
}

fn each_promise<'a>(broker: impl Fn(&str) -> Broker<'a>) {
    for qos in ["AUTO", "AT_LEAST_ONCE", "AT_MOST_ONCE"] {
        audit(&broker(qos), qos);
    }
}

#[test]
fn kafka_keeps_its_promises() {
    each_promise(|qos| kafka(&format!("audit-{qos}")));
}

#[test]
fn rabbitmq_keeps_its_promises() {
    each_promise(|qos| rabbitmq(&format!("audit-{qos}")));
}

#[test]
fn solace_keeps_its_promises() {
    each_promise(|qos| solace(&format!("audit-{qos}")));
}

#[test]
fn mqtt5_keeps_its_promises() {
    let mosquitto = Mosquitto::start();
    each_promise(|qos| mqtt5(&mosquitto, &format!("audit-{qos}")));
}
