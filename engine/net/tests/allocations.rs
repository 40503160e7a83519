//! What the heap is used for: nothing on a warm path, and little while connections idle.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;
#[path = "support/tls.rs"]
mod tls;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use ringway_net::{
    Address, ClientTls, HandshakeLimits, Listener, ListenerOptions, ServerTls, ServerTlsSpec, Shard, Stream, dial,
    spawn, yield_now,
};
use support::{client, drivers, echo, on_shard, peer};
use tls::{Authority, client_to};

/// Counts what its thread allocates.
struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
    static LIVE_BYTES: Cell<isize> = const { Cell::new(0) };
}

fn note(count: usize, bytes: isize) {
    // A thread that ends has no counters any more.
    let _ = COUNT.try_with(|total| total.set(total.get() + count));
    let _ = LIVE_BYTES.try_with(|total| total.set(total.get() + bytes));
}

fn signed(layout: Layout) -> isize {
    isize::try_from(layout.size()).unwrap_or(isize::MAX)
}

// SAFETY: everything is the system allocator's; the counters neither allocate nor drop anything.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(1, signed(layout));
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(0, -signed(layout));
        // SAFETY: the caller's contract is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const LOCALHOST: &str = "127.0.0.1:0";

/// One exchange as a connection's task does it: wait without a buffer, under a deadline, borrow one, read, write, give
/// it back.
async fn exchange(shard: &Shard, stream: &Stream, slot: &ringway_net::Slot, large: &Bytes) {
    let (result, (head, _)) = stream.write_two(shard.buffers.take(), &b"request"[..]).await;
    result.unwrap();
    shard.buffers.put(head);
    slot.arm(Duration::from_secs(10));
    slot.guard(stream.readable()).await.unwrap().unwrap();
    slot.disarm();
    let (result, buffer) = stream.read(shard.buffers.take()).await;
    assert_eq!(result.unwrap(), 7);
    let (result, buffer) = stream.write(buffer).await;
    result.unwrap();
    shard.buffers.put(buffer);
    let (result, buffer) = stream.read(shard.buffers.take()).await;
    assert_eq!(result.unwrap(), 7);
    shard.buffers.put(buffer);

    let (result, (head, ..)) = stream.write_three(shard.buffers.take(), large.clone(), &b"end"[..]).await;
    result.unwrap();
    shard.buffers.put(head);
    let mut left = large.len() + 3;
    while left > 0 {
        let (result, buffer) = stream.read(shard.buffers.take_large()).await;
        left -= result.unwrap();
        shard.buffers.put(buffer);
    }
}

#[test]
fn a_warm_exchange_allocates_nothing() {
    for driver in drivers() {
        let (address, peer) = peer(echo);
        let allocated = on_shard(driver, move |shard| async move {
            let stream = dial(&address, &Default::default()).await.unwrap();
            let slot = shard.timers.slot();
            let large = Bytes::from(vec![7; 100_000]);
            // Shared already, as a body in flight is: the first clone of a `Bytes` from a `Vec` allocates its count.
            let large = large.clone();
            for _ in 0..10 {
                exchange(&shard, &stream, &slot, &large).await;
            }
            let before = COUNT.get();
            for _ in 0..100 {
                exchange(&shard, &stream, &slot, &large).await;
            }
            COUNT.get() - before
        });
        peer.join().unwrap();
        assert_eq!(allocated, 0, "{driver:?}");
    }
}

/// With TLS, rustls allocates per record: its plaintext on the way in, its ciphertext on the way out. Nothing is added to
/// that.
#[test]
fn a_warm_tls_exchange_allocates_what_rustls_does() {
    const EXCHANGES: usize = 100;
    let authority = Authority::new("ca");
    let certified = authority.issue(&["localhost"]);
    for protocol in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = certified.server_config(protocol);
        let (address, peer) = peer(move |stream| echo(tls::server_over(stream, config)));
        let client = ClientTls::new(&tls::client_spec(&authority)).unwrap();
        let allocated = on_shard(drivers()[0], move |shard| async move {
            let stream = tls::connect(&address, &client, "localhost").await.unwrap();
            let mut before = 0;
            for number in 0..2 * EXCHANGES {
                if number == EXCHANGES {
                    before = COUNT.get();
                }
                let mut buffer = shard.buffers.take();
                buffer.extend_from_slice(b"request");
                let (result, buffer) = stream.write(buffer).await;
                result.unwrap();
                shard.buffers.put(buffer);
                stream.readable().await.unwrap();
                let (result, buffer) = stream.read(shard.buffers.take()).await;
                assert_eq!(result.unwrap(), 7);
                shard.buffers.put(buffer);
            }
            stream.shutdown().await.unwrap();
            COUNT.get() - before
        });
        peer.join().unwrap();
        println!("{:?}: {allocated} allocations in {EXCHANGES} exchanges", protocol.version);
        assert!(allocated <= 3 * EXCHANGES, "{allocated}");
    }
}

/// The runtime's task is the only allocation of a spawn: the guard against panics is a part of it.
#[test]
fn a_task_is_one_allocation() {
    support::on_each(|_| async {
        spawn(async {});
        yield_now().await;
        let before = COUNT.get();
        spawn(async {});
        assert_eq!(COUNT.get() - before, 1);
    });
}

#[test]
fn an_idle_plain_connection_is_small() {
    const CONNECTIONS: usize = 100;
    for driver in drivers() {
        let bytes = on_shard(driver, |shard| async move {
            let listener =
                Listener::bind(&Address::Tcp(LOCALHOST.parse().unwrap()), &ListenerOptions::default()).unwrap();
            let address = listener.local_addr().unwrap().unwrap();
            let mut clients = Vec::with_capacity(2 * CONNECTIONS);
            let mut live = 0;
            for round in 0..2 {
                // The first round warms tables and queues up.
                let before = LIVE_BYTES.get();
                for _ in 0..CONNECTIONS {
                    clients.push(std::net::TcpStream::connect(address).unwrap());
                    let stream = listener.accept().await.unwrap().open().unwrap();
                    spawn(async move { stream.readable().await.unwrap() });
                }
                yield_now().await;
                live = LIVE_BYTES.get() - before;
                assert_eq!(shard.tasks(), (round + 1) * CONNECTIONS);
            }
            live / 100
        });
        println!("{driver:?}: {bytes} bytes of heap per idle plain connection, task included");
        assert!(bytes < 512, "{bytes}");
    }
}

#[test]
fn an_idle_tls_connection_is_small() {
    const CONNECTIONS: usize = 50;
    let authority = Authority::new("ca");
    let certified = authority.issue(&["localhost"]);
    for (name, protocol) in [("TLS 1.2", &rustls::version::TLS12), ("TLS 1.3", &rustls::version::TLS13)] {
        let spec = ServerTlsSpec {
            identities: vec![certified.identity().into()],
            alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            ..Default::default()
        };
        let tls = Arc::new(ServerTls::new(&spec).unwrap());
        let mut config = authority.client_config(protocol);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let config = Arc::new(config);
        let (bound, address) = mpsc::channel();
        let (idle, measured) = mpsc::channel::<()>();
        let shard = std::thread::spawn(move || {
            on_shard(drivers()[0], move |shard| async move {
                let listener =
                    Listener::bind(&Address::Tcp(LOCALHOST.parse().unwrap()), &ListenerOptions::default()).unwrap();
                bound.send(listener.local_addr().unwrap().unwrap()).unwrap();
                let mut before = LIVE_BYTES.get();
                let mut streams = Vec::with_capacity(2 * CONNECTIONS);
                for number in 0..2 * CONNECTIONS {
                    if number == CONNECTIONS {
                        before = LIVE_BYTES.get();
                    }
                    let stream = listener.accept().await.unwrap().open().unwrap();
                    let stream = stream.accept_tls(&tls, &[], HandshakeLimits::default()).await.unwrap();
                    // One request and its response, then nothing.
                    let (result, buffer) = stream.read(shard.buffers.take()).await;
                    assert_eq!(result.unwrap(), 7);
                    let (result, buffer) = stream.write(buffer).await;
                    result.unwrap();
                    shard.buffers.put(buffer);
                    streams.push(stream);
                }
                let live = LIVE_BYTES.get() - before;
                drop(idle);
                live / isize::try_from(CONNECTIONS).unwrap()
            })
        });
        let address = address.recv().unwrap();
        let clients: Vec<_> = (0..2 * CONNECTIONS)
            .map(|_| {
                let mut client = client_to(address, &config, "localhost");
                client.write_all(b"request").unwrap();
                client.read_exact(&mut [0; 7]).unwrap();
                client
            })
            .collect();
        measured.recv().unwrap_err();
        let bytes = shard.join().unwrap() + isize::try_from(size_of::<Stream>()).unwrap();
        drop(clients);
        println!("{bytes} bytes per idle {name} connection, of which {} are the stream", size_of::<Stream>());
        assert!(bytes < 5 * 1024, "{bytes}");
    }
}

/// A connection that has come and gone leaves nothing behind.
#[test]
fn connections_that_are_gone_leave_nothing() {
    for driver in drivers() {
        let growth = on_shard(driver, move |shard| async move {
            let listener =
                Listener::bind(&Address::Tcp(LOCALHOST.parse().unwrap()), &ListenerOptions::default()).unwrap();
            let address = listener.local_addr().unwrap().unwrap();
            let mut marks = Vec::new();
            for _ in 0..3 {
                for _ in 0..50 {
                    let client = client(address, |mut stream| stream.write_all(b"hello").unwrap());
                    let stream = listener.accept().await.unwrap().open().unwrap();
                    let (result, buffer) = stream.read(shard.buffers.take()).await;
                    assert_eq!(result.unwrap(), 5);
                    shard.buffers.put(buffer);
                    drop(stream);
                    client.join().unwrap();
                }
                yield_now().await;
                marks.push(LIVE_BYTES.get());
            }
            assert_eq!(shard.sockets(), 0);
            marks[2] - marks[1]
        });
        // What another thread frees is not counted here, and the other way round: threads and their results.
        assert!(growth < 50 * 200, "{growth} bytes over 50 connections");
    }
}
