//! Names, against a name server of the test's own.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use ringway_net::{Dns, DnsError, DnsOptions, DriverChoice, Shard, ShardOptions, run_shard, sleep};
use support::drivers;

/// What the server says: an address and its time to live, or a response code. Names that are not in the table do not
/// exist.
type Table = Arc<Mutex<HashMap<String, Result<(Ipv4Addr, u32), u8>>>>;

/// A name server on a thread of its own, and what it was asked (A queries only).
struct Server {
    address: SocketAddr,
    table: Table,
    asked: Arc<Mutex<Vec<String>>>,
}

const SERVFAIL: u8 = 2;
const NXDOMAIN: u8 = 3;

impl Server {
    fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let server = Self { address: socket.local_addr().unwrap(), table: Table::default(), asked: Arc::default() };
        let (table, asked) = (Arc::clone(&server.table), Arc::clone(&server.asked));
        thread::spawn(move || {
            let mut query = [0; 512];
            while let Ok((count, client)) = socket.recv_from(&mut query) {
                if let Some(response) = respond(&query[..count], &table, &asked) {
                    socket.send_to(&response, client).unwrap();
                }
            }
        });
        server
    }

    fn say(&self, name: &str, answer: Result<(Ipv4Addr, u32), u8>) {
        self.table.lock().unwrap().insert(name.to_owned(), answer);
    }

    fn asked(&self, name: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| *asked == name).count()
    }

    fn options(&self) -> DnsOptions {
        DnsOptions {
            servers: vec![self.address],
            hosts: Some("192.0.2.77 pinned.test other.test\n".to_owned()),
            timeout: Duration::from_millis(500),
            retries: 1,
            ..DnsOptions::default()
        }
    }
}

/// RFC 1035 section 4: the header and the question again, and one answer that points at the question's name.
fn respond(query: &[u8], table: &Table, asked: &Mutex<Vec<String>>) -> Option<Vec<u8>> {
    let mut at = 12;
    let mut labels = Vec::new();
    while *query.get(at)? != 0 {
        let length = usize::from(query[at]);
        labels.push(String::from_utf8_lossy(query.get(at + 1..at + 1 + length)?).to_ascii_lowercase());
        at += 1 + length;
    }
    let name = labels.join(".");
    let is_a = query.get(at + 1..at + 3)? == [0, 1];
    let question = query.get(12..at + 5)?;
    if is_a {
        asked.lock().unwrap().push(name.clone());
    }
    let known = table.lock().unwrap().get(&name).copied().unwrap_or(Err(NXDOMAIN));
    let (code, answers) = match known {
        Ok(_) => (0, u8::from(is_a)),
        Err(code) => (code, 0),
    };
    let mut response = vec![query[0], query[1], 0x81, 0x80 | code, 0, 1, 0, answers, 0, 0, 0, 0];
    response.extend_from_slice(question);
    if let (Ok((address, ttl)), true) = (known, is_a) {
        response.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1]);
        response.extend_from_slice(&ttl.to_be_bytes());
        response.extend_from_slice(&[0, 4]);
        response.extend_from_slice(&address.octets());
    }
    Some(response)
}

fn on_shard<F, Fut>(driver: DriverChoice, dns: &Dns, main: F) -> Fut::Output
where
    F: FnOnce(std::rc::Rc<Shard>) -> Fut + Send + 'static,
    Fut: Future + 'static,
    Fut::Output: Send + 'static,
{
    let options = ShardOptions { driver, dns: Some(dns.clone()), ..ShardOptions::new(0) };
    match run_shard(options, main).unwrap().join() {
        Ok(output) => output,
        Err(payload) => std::panic::resume_unwind(payload),
    }
}

const ONE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const TWO: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

#[test]
fn names_are_resolved_and_remembered() {
    for driver in drivers() {
        let server = Server::start();
        server.say("a.test", Ok((ONE, 300)));
        let dns = Dns::start(&server.options()).unwrap();
        for _ in 0..2 {
            let entries = on_shard(driver, &dns, |shard| async move {
                for name in ["a.test", "A.Test", "a.test", "127.0.0.1", "localhost"] {
                    assert!(!shard.resolver.resolve(name).await.unwrap().is_empty());
                }
                let addresses = shard.resolver.resolve("a.test").await.unwrap();
                assert_eq!(*addresses, [IpAddr::V4(ONE)]);
                assert_eq!(shard.resolver.resolve("none.test").await, Err(DnsError::NotFound));
                assert_eq!(shard.resolver.resolve("none.test").await, Err(DnsError::NotFound));
                assert_eq!(shard.resolver.resolve("").await, Err(DnsError::NotFound));
                assert_eq!(shard.resolver.resolve(&"a".repeat(300)).await, Err(DnsError::NotFound));
                shard.resolver.entries()
            });
            assert_eq!(entries, 2);
        }
        assert_eq!(server.asked("a.test"), 1, "the second shard shares the answer");
    }
}

#[test]
fn the_hosts_file_comes_first() {
    let server = Server::start();
    let dns = Dns::start(&server.options()).unwrap();
    on_shard(DriverChoice::Auto, &dns, |shard| async move {
        for name in ["pinned.test", "other.test"] {
            assert_eq!(*shard.resolver.resolve(name).await.unwrap(), ["192.0.2.77".parse::<IpAddr>().unwrap()]);
        }
    });
    assert_eq!(server.asked("pinned.test"), 0);
}

/// A hundred tasks want the same name at once: one question.
#[test]
fn a_question_that_is_open_is_not_asked_again() {
    let server = Server::start();
    server.say("a.test", Ok((ONE, 300)));
    let dns = Dns::start(&server.options()).unwrap();
    on_shard(DriverChoice::Auto, &dns, |shard| async move {
        let mut all: Vec<_> = (0..100).map(|_| Box::pin(shard.resolver.resolve("a.test"))).collect();
        let mut left = all.len();
        poll_fn(|context| {
            all.retain_mut(|one| match one.as_mut().poll(context) {
                Poll::Ready(result) => {
                    result.unwrap();
                    left -= 1;
                    false
                }
                Poll::Pending => true,
            });
            if left == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    });
    assert_eq!(server.asked("a.test"), 1);
}

#[test]
fn a_name_in_use_is_refreshed_before_its_time_is_over() {
    let server = Server::start();
    server.say("a.test", Ok((ONE, 2)));
    let options = DnsOptions { ttl_min: Duration::from_secs(1), ..server.options() };
    let dns = Dns::start(&options).unwrap();
    let table = Arc::clone(&server.table);
    on_shard(DriverChoice::Auto, &dns, move |shard| async move {
        assert_eq!(*shard.resolver.resolve("a.test").await.unwrap(), [IpAddr::V4(ONE)]);
        table.lock().unwrap().insert("a.test".into(), Ok((TWO, 300)));
        loop {
            let mut resolve = pin!(shard.resolver.resolve("a.test"));
            let at_once = poll_fn(|context| Poll::Ready(resolve.as_mut().poll(context))).await;
            let Poll::Ready(addresses) = at_once else { panic!("somebody had to wait") };
            if *addresses.unwrap() == [IpAddr::V4(TWO)] {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
    });
    assert_eq!(server.asked("a.test"), 2);
}

#[test]
fn what_was_known_goes_on_when_the_servers_fail() {
    let server = Server::start();
    server.say("a.test", Ok((ONE, 1)));
    server.say("broken.test", Err(SERVFAIL));
    let options = DnsOptions { negative_ttl: Duration::from_millis(100), ..server.options() };
    let dns = Dns::start(&options).unwrap();
    let (table, asked) = (Arc::clone(&server.table), Arc::clone(&server.asked));
    on_shard(DriverChoice::Auto, &dns, move |shard| async move {
        assert!(matches!(shard.resolver.resolve("broken.test").await, Err(DnsError::Failed(_))));
        assert_eq!(*shard.resolver.resolve("a.test").await.unwrap(), [IpAddr::V4(ONE)]);
        table.lock().unwrap().insert("a.test".into(), Err(SERVFAIL));
        // Until it was asked for, in vain, twice more.
        let before = asked.lock().unwrap().len();
        while asked.lock().unwrap().len() < before + 2 {
            assert_eq!(*shard.resolver.resolve("a.test").await.unwrap(), [IpAddr::V4(ONE)]);
            sleep(Duration::from_millis(10)).await;
        }
        table.lock().unwrap().insert("a.test".into(), Err(NXDOMAIN));
        while shard.resolver.resolve("a.test").await.is_ok() {
            sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(shard.resolver.resolve("a.test").await, Err(DnsError::NotFound));
    });
}

#[test]
fn without_the_service_only_figures_and_localhost_are_known() {
    support::on_each(|shard| async move {
        assert_eq!(*shard.resolver.resolve("[::1]").await.unwrap(), ["::1".parse::<IpAddr>().unwrap()]);
        assert_eq!(shard.resolver.resolve("localhost").await.unwrap().len(), 2);
        assert_eq!(shard.resolver.resolve("a.test").await, Err(DnsError::Off));
    });
}

#[test]
fn the_system_configuration_is_read() {
    // What it says is the machine's; that a service starts from it is what is tested.
    let dns = Dns::start(&DnsOptions::default()).unwrap();
    on_shard(DriverChoice::Auto, &dns, |shard| async move {
        shard.resolver.resolve("localhost").await.unwrap();
    });
}
