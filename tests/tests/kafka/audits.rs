//! Audits: every message is counted while brokers and gateways die.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ringway_tests::{Gateway, Kafka};

use crate::{Events, api, entrypoints, numbers, poll, post, topic};

/// Time that an audit may take: a gateway that was killed holds its partitions for six seconds, each time.
const PATIENCE: Duration = Duration::from_secs(90);

/// How often each message was seen.
#[derive(Default)]
struct Count(BTreeMap<String, usize>);

impl Count {
    fn add(&mut self, contents: impl IntoIterator<Item = String>) {
        contents.into_iter().for_each(|content| *self.0.entry(content).or_default() += 1);
    }

    fn lost(&self, sent: usize) -> usize {
        numbers(0..sent).filter(|number| !self.0.contains_key(number)).count()
    }

    fn repeated(&self) -> usize {
        self.0.values().filter(|count| **count > 1).count()
    }

    fn tell(&self, audit: &str, sent: usize) {
        println!("{audit}: {sent} sent, {} seen, {} lost, {} repeated", self.0.len(), self.lost(sent), self.repeated());
    }
}

#[test]
fn a_broker_that_is_killed_loses_nothing_that_a_client_was_told_is_published() {
    const MESSAGES: usize = 600;
    let mut kafka = Kafka::start();
    let name = kafka.topic("audit-post", 3);
    let gateway = Gateway::serving(&[api(&kafka.servers(), entrypoints("AUTO"), topic(&name))]);
    let posted = AtomicUsize::new(0);
    let outcomes = thread::scope(|scope| {
        let poster = scope.spawn(|| {
            let outcomes = numbers(0..MESSAGES).map(|number| {
                let outcome = post(&gateway, "", &number).map_or(0, |(status, _)| status);
                posted.fetch_add(1, Ordering::Relaxed);
                outcome
            });
            Vec::from_iter(outcomes)
        });
        for at in [MESSAGES / 4, MESSAGES / 2] {
            ringway_tests::wait_until("messages to be on their way", || posted.load(Ordering::Relaxed) >= at);
            kafka.restart();
        }
        poster.join().unwrap()
    });
    let mut count = Count::default();
    count.add(kafka.records(&name).into_iter().map(|record| record.content));
    count.tell("http-post, broker killed twice", MESSAGES);
    let refused = outcomes.iter().filter(|outcome| **outcome != 202).count();
    println!("  {refused} of them were refused");
    let lost: Vec<_> =
        (0..MESSAGES).filter(|number| outcomes[*number] == 202 && !count.0.contains_key(&number.to_string())).collect();
    assert!(lost.is_empty(), "answered 202 and lost: {lost:?}");
    assert!(refused < MESSAGES / 2, "{outcomes:?}");
}

#[test]
fn at_least_once_over_http_get_loses_nothing_when_the_broker_is_killed() {
    const MESSAGES: usize = 2_000;
    let mut kafka = Kafka::start();
    let name = kafka.topic("audit-get", 3);
    let gateway = Gateway::serving(&[api(&kafka.servers(), entrypoints("AT_LEAST_ONCE"), topic(&name))]);
    kafka.publish(&name, numbers(0..MESSAGES));
    let (mut count, mut cursor) = (Count::default(), None::<String>);
    let (mut kills, began) = (0, Instant::now());
    while count.lost(MESSAGES) > 0 && began.elapsed() < PATIENCE {
        if let Ok(page) = poll(gateway.http(), &name, cursor.as_deref(), 150) {
            count.add(page.contents());
            cursor = page.next.or(cursor);
        }
        if count.0.len() > (kills + 1) * MESSAGES / 3 && kills < 2 {
            kills += 1;
            kafka.restart();
        }
    }
    count.tell("http-get at least once, broker killed twice", MESSAGES);
    assert_eq!((count.lost(MESSAGES), kills), (0, 2));
}

#[test]
fn at_least_once_over_sse_loses_nothing_when_gateway_and_broker_are_killed() {
    const MESSAGES: usize = 3_000;
    let mut kafka = Kafka::start();
    let name = kafka.topic("audit-sse", 3);
    let mut gateway = Gateway::serving(&[api(&kafka.servers(), entrypoints("AT_LEAST_ONCE"), topic(&name))]);
    kafka.publish(&name, numbers(0..MESSAGES));
    let (mut count, mut last) = (Count::default(), None::<String>);
    let (mut kills, began) = (0, Instant::now());
    while count.lost(MESSAGES) > 0 && began.elapsed() < PATIENCE {
        let Ok(mut stream) = Events::open(gateway.http(), &name, last.as_deref()) else { continue };
        while count.0.len() < MESSAGES {
            let Some((id, data)) = stream.next() else { break };
            count.add([data]);
            last = Some(id);
            if count.0.len() > (kills + 1) * MESSAGES / 4 && kills < 3 {
                kills += 1;
                // The second time it is the broker: the stream stays.
                match kills {
                    2 => kafka.restart(),
                    _ => gateway.crash(),
                }
            }
        }
    }
    count.tell("sse at least once, gateway killed twice and broker once", MESSAGES);
    assert_eq!((count.lost(MESSAGES), kills), (0, 3));
}

#[test]
fn at_most_once_repeats_nothing_when_the_gateway_is_killed() {
    const MESSAGES: usize = 2_000;
    let kafka = Kafka::shared();
    let name = kafka.topic("audit-most", 3);
    let mut gateway = Gateway::serving(&[api(&kafka.servers(), entrypoints("AT_MOST_ONCE"), topic(&name))]);
    kafka.publish(&name, numbers(0..MESSAGES));
    let mut count = Count::default();
    // A stream without a place of its own: what it has not read when the gateway dies is lost, and nothing comes again.
    for kill in 0..3 {
        let began = Instant::now();
        let mut stream = loop {
            match Events::open(gateway.http(), &name, None) {
                Ok(stream) => break stream,
                Err(refusal) => assert!(began.elapsed() < PATIENCE, "{refusal:?}"),
            }
        };
        for _ in 0..100 {
            count.add(stream.next().map(|(_, data)| data));
        }
        if kill < 2 {
            gateway.crash();
            // What was on its way to the client before the kill still arrives.
            while let Some((_, data)) = stream.next() {
                count.add([data]);
            }
        }
    }
    count.tell("sse at most once, gateway killed twice", MESSAGES);
    assert_eq!(count.repeated(), 0);
    assert!(count.0.len() >= 300, "{}", count.0.len());
}

#[test]
fn two_gateways_share_a_group_and_lose_nothing_when_one_is_killed() {
    const MESSAGES: usize = 2_000;
    let kafka = Kafka::shared();
    let name = kafka.topic("audit-two", 4);
    let serve = || Gateway::serving(&[api(&kafka.servers(), entrypoints("AT_LEAST_ONCE"), topic(&name))]);
    let (first, second) = (serve(), serve());
    kafka.publish(&name, numbers(0..MESSAGES));
    let is_over = AtomicBool::new(false);
    let counted = std::sync::Mutex::new(Count::default());
    let began = Instant::now();
    let client = |address| {
        let mut cursor = None::<String>;
        while !is_over.load(Ordering::Relaxed) && began.elapsed() < PATIENCE {
            let Ok(page) = poll(address, &name, cursor.as_deref(), 100) else { continue };
            let mut count = counted.lock().unwrap();
            count.add(page.contents());
            cursor = page.next.or(cursor);
            is_over.store(count.lost(MESSAGES) == 0, Ordering::Relaxed);
        }
    };
    let addresses = [first.http(), second.http()];
    thread::scope(|scope| {
        let clients = addresses.map(|address| scope.spawn(move || client(address)));
        ringway_tests::wait_until("both to have read", || counted.lock().unwrap().0.len() > MESSAGES / 4);
        second.process().signal(rustix::process::Signal::KILL);
        for client in clients {
            client.join().unwrap();
        }
    });
    let count = counted.into_inner().unwrap();
    count.tell("http-get at least once, two gateways, one killed", MESSAGES);
    assert_eq!(count.lost(MESSAGES), 0);
    assert_eq!(first.ask_admin("GET", "/health/ready").0, 200);
}
