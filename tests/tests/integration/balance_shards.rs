//! Several shards stay balanced, whatever the kernel's hash does to them.
//!
//! The hash is made uneven by the clients: they connect, see by the metrics which shard accepted, and keep only those that came to the one
//! that they press on. What the kernel gave a shard is what it serves, less what it received, and what it handed over.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use ringway_tests::{Api, Backend, DEADLINE, Gateway, Peer, wait_for, wait_until};
use rustix::process::Signal;

const SHARDS: usize = 3;
/// As `MARGIN_PERCENT` and `MARGIN_MIN` of the engine have it.
const MARGIN_PERCENT: usize = 25;
const MARGIN_MIN: usize = 8;

/// What the shards have counted.
#[derive(Debug, PartialEq)]
struct Counts {
    open: Vec<usize>,
    accepted: Vec<usize>,
    handed_over: Vec<usize>,
    received: Vec<usize>,
    refused: Vec<usize>,
}

impl Counts {
    fn of(gateway: &Gateway) -> Counts {
        let (status, text) = gateway.ask_admin("GET", "/metrics");
        assert_eq!(status, 200);
        let each = |name: &str| -> Vec<usize> {
            let sample = |shard| {
                let start = format!("{name}{{shard=\"{shard}\"}} ");
                let value = text.lines().find_map(|line| line.strip_prefix(&start)?.parse().ok());
                value.unwrap_or_else(|| panic!("no {start} in {text}"))
            };
            (0..SHARDS).map(sample).collect()
        };
        Counts {
            open: each("ringway_connections"),
            accepted: each("ringway_connections_accepted_total"),
            handed_over: each("ringway_connections_handed_over_total"),
            received: each("ringway_connections_received_total"),
            refused: each("ringway_connections_refused_total"),
        }
    }

    /// When what one shard gave is what another received: the giver counts a moment later than the receiver may answer.
    fn settled(gateway: &Gateway) -> Counts {
        wait_for("what was handed over to be received", || {
            let counts = Counts::of(gateway);
            (counts.handed_over.iter().sum::<usize>() == counts.received.iter().sum::<usize>()).then_some(counts)
        })
    }

    /// Connections that the kernel gave to each shard.
    fn arrived(&self) -> Vec<usize> {
        let shard =
            |shard: usize| self.accepted[shard] + self.refused[shard] + self.handed_over[shard] - self.received[shard];
        (0..SHARDS).map(shard).collect()
    }
}

/// The shard whose count has grown.
#[track_caller]
fn grown(before: &[usize], after: &[usize]) -> usize {
    let grown: Vec<usize> = (0..SHARDS).filter(|shard| after[*shard] > before[*shard]).collect();
    assert_eq!(grown.len(), 1, "{before:?} then {after:?}");
    grown[0]
}

#[track_caller]
fn assert_balanced(open: &[usize]) {
    let (sum, most) = (open.iter().sum::<usize>(), open.iter().copied().max().unwrap());
    let margin = (sum * MARGIN_PERCENT).max(MARGIN_MIN * SHARDS * 100);
    assert!(most * SHARDS * 100 <= sum * 100 + margin, "{open:?} is not balanced");
}

fn gateway(yaml: &str, target: &str) -> Gateway {
    // A tunnel keeps a connection to the backend for itself.
    let api = Api::proxy("/", target).http("maxConcurrentConnections", 1_000.into());
    Gateway::configured(&format!("shards: {SHARDS}\n{yaml}"), &[api])
}

/// A connection that is kept: which shard accepted it, which one serves it.
struct Kept {
    peer: Peer,
    serves: usize,
}

/// `count` connections that all came to the first shard; `begin` says something on each and waits for the answer.
fn press(gateway: &Gateway, count: usize, begin: impl Fn(&mut Peer, usize)) -> Vec<Kept> {
    let mut kept = Vec::new();
    let mut before = Counts::of(gateway);
    while kept.len() < count {
        let mut peer = gateway.connect();
        begin(&mut peer, kept.len());
        let after = Counts::settled(gateway);
        let serves = grown(&before.accepted, &after.accepted);
        if grown(&before.arrived(), &after.arrived()) == 0 {
            kept.push(Kept { peer, serves });
            before = after;
        } else {
            drop(peer);
            let open = kept.len();
            wait_until("the connection to be counted out", || {
                before = Counts::of(gateway);
                before.open.iter().sum::<usize>() == open
            });
        }
    }
    kept
}

fn get(peer: &mut Peer) {
    peer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(peer.response().1, b"ok");
}

/// Answers requests, and echoes on WebSockets.
fn backend() -> Backend {
    Backend::scripted(|peer, _| {
        while let Some(head) = peer.next_head() {
            if !head.has("upgrade", "websocket") {
                peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                continue;
            }
            peer.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
            let mut stream = peer.stream().try_clone().unwrap();
            stream.set_read_timeout(None).unwrap();
            let mut buffer = [0; 64];
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                if stream.write_all(&buffer[..count]).is_err() {
                    break;
                }
            }
            return;
        }
    })
}

#[test]
fn long_lived_connections_that_all_arrive_at_one_shard_end_up_balanced() {
    const HELD: usize = 210;
    let backend = backend();
    let gateway = gateway("", &backend.target());
    // Every other one is a WebSocket.
    let mut kept = press(&gateway, HELD, |peer, number| {
        if number % 2 == 0 {
            return get(peer);
        }
        peer.send(
            "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        );
        assert_eq!(peer.head().status(), 101);
    });
    let counts = Counts::of(&gateway);
    assert_eq!(counts.open.iter().sum::<usize>(), HELD);
    assert_balanced(&counts.open);
    for shard in 0..SHARDS {
        assert_eq!(counts.open[shard], kept.iter().filter(|kept| kept.serves == shard).count(), "{counts:?}");
    }
    assert_eq!(counts.handed_over.iter().sum::<usize>(), counts.received.iter().sum::<usize>(), "{counts:?}");
    assert!(counts.handed_over[0] >= HELD / 2, "{counts:?}");
    assert_eq!(counts.received[0], 0, "{counts:?}");
    // Each still lives where it is.
    for (number, kept) in kept.iter_mut().enumerate() {
        if number % 2 == 0 {
            get(&mut kept.peer);
        } else {
            kept.peer.send("hello");
            assert_eq!(kept.peer.exactly(5), b"hello");
        }
    }
    assert_eq!(Counts::of(&gateway).accepted, counts.accepted, "nothing moves once it is served");
    drop(kept);
    wait_until("all to be counted out", || Counts::of(&gateway).open == [0; SHARDS]);
    // The descriptor that was handed over is the only one.
    get(&mut gateway.connect());
}

#[test]
fn few_connections_stay_where_they_arrive() {
    let backend = backend();
    let gateway = gateway("", &backend.target());
    let kept = press(&gateway, MARGIN_MIN, |peer, _| get(peer));
    assert!(kept.iter().all(|kept| kept.serves == 0));
    assert_eq!(Counts::of(&gateway).handed_over.iter().sum::<usize>(), 0);
}

#[test]
fn a_connection_is_handed_over_before_its_proxy_header_is_read() {
    let backend = Backend::ok("ok");
    let gateway = gateway("servers: [{ id: http, listen: '{http}', proxyProtocol: true }]\n", &backend.target());
    let kept = press(&gateway, 60, |peer, number| {
        peer.send(format!("PROXY TCP4 192.0.2.{number} 192.0.2.200 56324 443\r\n"));
        get(peer);
    });
    assert_balanced(&Counts::of(&gateway).open);
    assert!(kept.iter().any(|kept| kept.serves != 0));
    let seen = backend.seen();
    for number in 0..kept.len() {
        let address = format!("192.0.2.{number}");
        assert!(seen.iter().any(|(head, _)| head.field("x-forwarded-for") == Some(&address)), "{address} was lost");
    }
}

#[test]
fn connections_to_a_unix_socket_are_balanced_too() {
    let backend = Backend::ok("ok");
    let gateway = gateway("servers: [{ id: http, listen: 'unix:{dir}/socket' }]\n", &backend.target());
    let mut kept = Vec::new();
    for _ in 0..120 {
        // All shards wait on one queue; whoever comes first gets it.
        let mut stream = UnixStream::connect(gateway.folder().join("socket")).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"ok") {
            let mut buffer = [0; 4096];
            let count = stream.read(&mut buffer).unwrap();
            assert!(count > 0, "closed after {:?}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&buffer[..count]);
        }
        kept.push(stream);
    }
    let counts = Counts::of(&gateway);
    assert_eq!(counts.open.iter().sum::<usize>(), kept.len());
    assert_balanced(&counts.open);
}

#[test]
fn a_full_shard_fills_the_others_and_then_refuses() {
    const EACH: usize = 10;
    let backend = backend();
    let gateway = gateway(&format!("limits: {{ connectionsPerShard: {EACH} }}\n"), &backend.target());
    let mut kept = press(&gateway, SHARDS * EACH, |peer, _| get(peer));
    assert_eq!(Counts::of(&gateway).open, [EACH; SHARDS], "all are full before one is refused");
    gateway.connect().expect_end();
    assert_eq!(Counts::of(&gateway).refused.iter().sum::<usize>(), 1);
    // There is room again, on a shard that new connections do not arrive at.
    let freed = kept.iter().position(|kept| kept.serves == 2).unwrap();
    drop(kept.remove(freed));
    wait_until("room", || Counts::of(&gateway).open[2] < EACH);
    get(&mut gateway.connect());
}

#[test]
fn an_address_has_its_limit_on_the_shard_that_serves_it() {
    const EACH: usize = 12;
    let backend = backend();
    let gateway = gateway(&format!("limits: {{ connectionsPerAddress: {EACH} }}\n"), &backend.target());
    let mut kept = Vec::new();
    // Far more than all shards together may have.
    for _ in 0..SHARDS * EACH * 4 {
        let mut peer = gateway.connect();
        peer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        if peer.next_head().is_some() {
            kept.push(peer);
        }
    }
    let counts = Counts::of(&gateway);
    assert_eq!(counts.open, [EACH; SHARDS], "{counts:?}");
    assert_eq!(counts.refused.iter().sum::<usize>(), SHARDS * EACH * 3, "{counts:?}");
}

/// Asks once on a connection of its own; what came.
fn ask(gateway: std::net::SocketAddr) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(gateway)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

#[test]
fn a_new_process_takes_over_while_connections_are_handed_over_and_none_is_lost() {
    const RESTARTS: usize = 3;
    let backend = backend();
    let mut gateway = gateway("timeouts: { drain: 5000 }\n", &backend.target());
    for _ in 0..RESTARTS {
        // One shard has all the connections that stay, so that it hands over whatever arrives at it.
        let kept = press(&gateway, 40, |peer, _| get(peer));
        let (stays, goes): (Vec<Kept>, Vec<Kept>) = kept.into_iter().partition(|kept| kept.serves == 0);
        drop(goes);
        wait_until("the others to be idle", || Counts::of(&gateway).open[1..] == [0; SHARDS - 1]);
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let clients: Vec<_> = (0..4)
            .map(|_| {
                let (address, stop, answered) = (gateway.http(), Arc::clone(&stop), Arc::clone(&answered));
                thread::spawn(move || ask_on(address, &stop, &answered))
            })
            .collect();
        let before = Counts::of(&gateway).handed_over[0];
        wait_until("connections to be handed over", || Counts::of(&gateway).handed_over[0] > before + 50);
        let mut old = gateway.replace();
        old.signal(Signal::TERM);
        let status = old.wait(DEADLINE).expect("the old process drains and ends");
        assert_eq!(status.code(), Some(0), "{}", gateway.log());
        drop(stays);
        let before = answered.load(Ordering::SeqCst);
        wait_until("requests to go on", || answered.load(Ordering::SeqCst) > before + 100);
        stop.store(true, Ordering::SeqCst);
        let failures: Vec<String> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        assert_eq!(failures, Vec::<String>::new(), "connections were lost");
    }
}

/// Asks on one connection after another until it is stopped; what went wrong.
fn ask_on(gateway: std::net::SocketAddr, stop: &AtomicBool, answered: &AtomicUsize) -> Vec<String> {
    let mut failures = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        match ask(gateway) {
            Ok(answer) if answer.ends_with(b"ok") => drop(answered.fetch_add(1, Ordering::SeqCst)),
            other => failures.push(format!("{other:?}")),
        }
    }
    failures
}
