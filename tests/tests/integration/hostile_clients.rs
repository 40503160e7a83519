//! Clients that want to do harm, or cannot help it: what they hold is bounded, it comes back, and everyone else is served.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use ringway_tests::{Api, Backend, Calm, Gateway, Peer, wait_until};
use serde_json::json;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
/// What the gateway may grow by besides what is counted: pools, tables, pieces of the allocator.
const SLACK: u64 = 8 * MIB;

/// Serves `/`, and `/large` with a body that is longer than anybody takes. Connections to it are not kept, so that descriptors can be
/// compared.
fn gateway(yaml: &str) -> (Backend, Gateway) {
    let backend = Backend::scripted(|peer, _| {
        let Some(head) = peer.next_head() else { return };
        if head.target() == "/large" {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n");
            while peer.try_send(&[b'x'; 64 * 1024]).is_ok() {}
        } else if peer.try_body(&head).is_some() {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let api = Api::proxy("/", &backend.target())
        .http("keepAlive", json!(false))
        .http("maxConcurrentConnections", json!(1000));
    let gateway = Gateway::configured(yaml, &[api]);
    (backend, gateway)
}

/// Others are served, on connections of their own and on one that is kept.
#[track_caller]
fn others_are_served(gateway: &Gateway) {
    let mut kept = gateway.connect();
    for _ in 0..20 {
        assert_eq!(gateway.get("/").1, b"ok");
        kept.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(kept.response().1, b"ok");
    }
}

#[track_caller]
fn crowd(gateway: &Gateway, count: usize, says: &str) -> Vec<Peer> {
    let join = |_| {
        let mut client = gateway.connect();
        client.send(says);
        client
    };
    (0..count).map(join).collect()
}

/// Every one of them is told the status, or just cut off.
#[track_caller]
fn all_are_refused(crowd: &mut [Peer], status: &str) {
    for client in crowd {
        let rest = client.rest();
        let told = rest.starts_with(format!("HTTP/1.1 {status} ").as_bytes());
        assert!(told || rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    }
}

#[test]
fn slow_heads_hold_little_more_than_idle_connections() {
    let (_backend, gateway) = gateway("timeouts: { clientHeader: 3000 }\n");
    let calm = Calm::of(&gateway, "/");
    let mut slow = crowd(&gateway, 1000, "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ");
    for _ in 0..3 {
        slow.iter_mut().for_each(|client| client.send("x"));
        others_are_served(&gateway);
    }
    let grown = calm.grown(&gateway);
    // The task of an idle connection, larger in an unoptimised build, and what has come of the head.
    assert!(grown < 1000 * 6 * KIB + SLACK, "1000 slow heads hold {grown} bytes");
    all_are_refused(&mut slow, "408");
    calm.returns(&gateway);
}

#[test]
fn slow_bodies_are_bounded_and_cut() {
    let (_backend, gateway) = gateway("limits: { bodyRateMin: 100000 }\ntimeouts: { clientBodyIdle: 2000 }\n");
    let calm = Calm::of(&gateway, "/");
    let mut slow = crowd(&gateway, 300, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nsome");
    wait_until("all of them to be under way", || gateway.metric("ringway_exchanges", &[]) >= 300.0);
    others_are_served(&gateway);
    let grown = calm.grown(&gateway);
    assert!(grown < 300 * (48 + 35 + 32) * KIB + SLACK, "300 slow bodies hold {grown} bytes");
    // They drip until all are cut off.
    wait_until("nobody to be under way", || {
        slow.iter_mut().for_each(|client| client.send("x"));
        gateway.metric("ringway_exchanges", &[]) == 0.0
    });
    all_are_refused(&mut slow, "408");
    calm.returns(&gateway);
}

#[test]
fn slow_readers_are_bounded_and_cut() {
    let (_backend, gateway) = gateway("timeouts: { clientWriteIdle: 2000 }\n");
    let calm = Calm::of(&gateway, "/");
    let slow = crowd(&gateway, 50, "GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_until("all of them to be under way", || gateway.metric("ringway_exchanges", &[]) >= 50.0);
    others_are_served(&gateway);
    wait_until("all of them to be cut off", || gateway.metric("ringway_api_aborted_total", &[]) >= 50.0);
    let grown = calm.grown(&gateway);
    assert!(grown < 50 * (48 + 35 + 256 + 2 * 128) * KIB + SLACK, "50 slow readers held {grown} bytes");
    others_are_served(&gateway);
    calm.returns(&gateway);
    drop(slow);
}

#[test]
fn a_flood_of_connections_keeps_out_nobody_who_is_in() {
    let (_backend, gateway) = gateway("limits: { connectionsPerShard: 100 }\n");
    let calm = Calm::of(&gateway, "/");
    let mut inside = gateway.connect();
    let served = |inside: &mut Peer| {
        inside.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(inside.response().1, b"ok");
    };
    served(&mut inside);
    for _ in 0..5 {
        let flood: Vec<TcpStream> = (0..400).filter_map(|_| TcpStream::connect(gateway.http()).ok()).collect();
        for _ in 0..20 {
            served(&mut inside);
        }
        let most = gateway.metric("ringway_connections", &[]);
        assert!(most <= 100.0, "{most} connections");
        drop(flood);
    }
    assert!(gateway.metric("ringway_connections_refused_total", &[]) > 1000.0);
    drop(inside);
    wait_until("the flood to run off", || gateway.metric("ringway_connections", &[]) == 0.0);
    others_are_served(&gateway);
    let grown = calm.grown(&gateway);
    assert!(grown < SLACK, "the flood left {grown} bytes");
    calm.returns(&gateway);
}

#[test]
fn a_flood_of_requests_at_three_times_what_goes_is_answered_to_the_last() {
    const GOES: usize = 20;
    const EACH: usize = 30;
    // Each takes a little: three times as many clients as may be under way are always too many.
    let backend = Backend::scripted(|peer, _| {
        while peer.next_head().is_some() {
            assert!(peer.is_quiet(Duration::from_millis(5)));
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let api = Api::proxy("/", &backend.target()).http("maxConcurrentConnections", json!(GOES));
    let gateway = Gateway::configured(&format!("limits: {{ exchangesPerShard: {GOES} }}\n"), &[api]);
    let (served, shed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 * GOES {
            scope.spawn(|| {
                let mut client = gateway.connect();
                for _ in 0..EACH {
                    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                    let (head, _) = client.response();
                    match head.status() {
                        200 => served.fetch_add(1, Ordering::SeqCst),
                        503 if head.field("retry-after") == Some("1") => shed.fetch_add(1, Ordering::SeqCst),
                        status => panic!("answered {status}"),
                    };
                }
            });
        }
    });
    let (served, shed) = (served.into_inner(), shed.into_inner());
    assert_eq!(served + shed, 3 * GOES * EACH, "every request is answered");
    assert!(served > 0 && shed > 0, "{served} served, {shed} shed");
    assert_eq!(gateway.metric("ringway_requests_shed_total", &[]), shed as f64);
    // It recovers at once: nobody is refused any more.
    for _ in 0..GOES {
        assert_eq!(gateway.get("/").0.status(), 200);
    }
}

#[test]
fn who_falls_silent_at_any_stage_is_let_go() {
    // Half-open peers: their machine went away, and no end of the connection will ever come.
    let yaml = "timeouts: { clientHeader: 2000, clientBodyIdle: 2000, clientWriteIdle: 2000, keepAlive: 2000, request: 3000 }\n";
    let (_backend, gateway) = gateway(yaml);
    let calm = Calm::of(&gateway, "/");
    let stages = [
        "",
        "GET / HTTP/1.1\r\nHost: a\r\nX-Half: ",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nha",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /large HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nX-Half: ",
        "FALSE / HTTP/9.9\r\n\r\n",
    ];
    let silent: Vec<Vec<Peer>> = stages.iter().map(|says| crowd(&gateway, 20, says)).collect();
    others_are_served(&gateway);
    calm.returns(&gateway);
    drop(silent);
}

#[test]
fn clients_that_come_and_reset_leave_nothing_behind() {
    let (_backend, gateway) = gateway("");
    let calm = Calm::of(&gateway, "/");
    let stop = AtomicBool::new(false);
    let served = Mutex::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                others_are_served(&gateway);
                *served.lock().unwrap() += 20;
            }
        });
        for round in 0..600 {
            let mut stream = TcpStream::connect(gateway.http()).unwrap();
            let request: &[u8] = match round % 4 {
                0 => b"GET / HTTP/1.1\r\nHost: a\r\n",
                1 => b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
                2 => b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n",
                _ => b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf",
            };
            stream.write_all(request).unwrap();
            if round % 4 == 2 {
                // With bytes of the response unread, closing resets.
                stream.read_exact(&mut [0; 100]).unwrap();
            }
        }
        stop.store(true, Ordering::SeqCst);
    });
    assert!(*served.lock().unwrap() > 0);
    calm.returns(&gateway);
}
