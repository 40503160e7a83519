//! Backends that stall, lie, break off or never end: their clients are told, nobody else notices, and nothing stays behind.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use ringway_tests::{Api, Backend, Calm, DEADLINE, Gateway, Peer};
use serde_json::json;

const MIB: u64 = 1024 * 1024;
/// What the gateway may grow by, whatever a backend sends.
const GROWTH_MAX: u64 = 16 * MIB;

/// A gateway with a bad backend at `/bad` and a good one at `/good`; the bad one's connections are kept where it lets them.
fn gateway(yaml: &str, bad: impl Fn(&mut Peer, usize) + Send + Sync + 'static) -> (Backend, Backend, Gateway) {
    let (bad, good) = (Backend::scripted(bad), Backend::ok("good"));
    let apis = [
        Api::proxy("/bad", &bad.target()).http("readTimeout", json!(500)),
        Api::proxy("/good", &good.target()).http("keepAlive", json!(false)),
    ];
    let gateway = Gateway::configured(yaml, &apis);
    (bad, good, gateway)
}

/// Asks the bad backend on a connection of its own; the connection is open still.
fn ask(gateway: &Gateway) -> Peer {
    let mut client = gateway.connect();
    client.send("GET /bad HTTP/1.1\r\nHost: a\r\n\r\n");
    client
}

/// The other API is served as if nothing had happened.
#[track_caller]
fn others_are_served(gateway: &Gateway) {
    for _ in 0..20 {
        assert_eq!(gateway.get("/good").1, b"good");
    }
}

/// Says `says`, and nothing more until the gateway has gone.
fn stalls(says: &'static str) -> impl Fn(&mut Peer, usize) + Send + Sync {
    move |peer, _| {
        if peer.next_head().is_some() {
            peer.send(says);
            peer.rest();
        }
    }
}

/// Says `says` and closes.
fn closes(says: &'static str) -> impl Fn(&mut Peer, usize) + Send + Sync {
    move |peer, _| {
        if peer.next_head().is_some() {
            peer.send(says);
        }
    }
}

/// Responses that begin well, the statuses that the client sees (0: none) and what it gets of the body.
const BROKEN: [(&str, u16, &str); 9] = [
    ("", 0, ""),
    ("HTTP/1.1 200 OK\r\nContent-Le", 0, ""),
    ("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", 200, ""),
    ("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.", 200, "ten bytes."),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfive.\r\n", 200, "5\r\nfive.\r\n"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfive.\r\n0\r\n", 200, "5\r\nfive.\r\n"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nsome", 200, "4\r\nsome\r\n"),
    ("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", 103, ""),
    ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 2", 100, ""),
];

/// Every broken response, where the backend then does `then`; `status` is what the client is told where nothing was said yet.
#[track_caller]
fn is_cut_short<B>(then: fn(&'static str) -> B, status: u16)
where
    B: Fn(&mut Peer, usize) + Send + Sync + 'static,
{
    for (says, first, body) in BROKEN {
        let (_bad, _good, gateway) = gateway("", then(says));
        let calm = Calm::of(&gateway, "/good");
        let mut client = ask(&gateway);
        others_are_served(&gateway);
        let mut head = client.head();
        if first == 100 || first == 103 {
            assert_eq!(head.status(), first, "{says:?}");
            head = client.head();
        }
        let told = if first == 0 || first == 100 { status } else { 200 };
        assert_eq!(head.status(), told, "{says:?}");
        if told == 200 {
            assert_eq!(String::from_utf8_lossy(&client.rest()), body, "{says:?}: the end must be missing");
        }
        drop(client);
        calm.returns(&gateway);
    }
}

#[test]
fn a_backend_that_stalls_is_given_up() {
    is_cut_short(stalls, 504);
}

#[test]
fn a_backend_that_closes_early_is_not_believed() {
    is_cut_short(closes, 502);
}

#[test]
fn more_than_was_announced_reaches_nobody() {
    for says in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nevil",
    ] {
        // Each connection answers everything with the same; one that is used twice would give the second client the rest.
        let (bad, _good, gateway) = gateway("", move |peer, _| {
            while peer.next_head().is_some() {
                peer.send(says);
            }
        });
        let mut client = gateway.connect();
        for round in 1..=3 {
            client.send("GET /bad HTTP/1.1\r\nHost: a\r\n\r\n");
            let head = client.head();
            let body = if matches!(head.status(), 204 | 304) { Vec::new() } else { client.body(&head) };
            assert!(body.is_empty() || body == b"ok", "{says:?}: {}", String::from_utf8_lossy(&body));
            assert_eq!(bad.connections(), round, "{says:?}: a connection with leftovers is not used again");
        }
    }
}

#[test]
fn a_body_without_end_passes_in_bounded_memory_until_its_client_leaves() {
    let (ended, end) = mpsc::channel();
    let ended = Mutex::new(ended);
    let (_bad, _good, gateway) = gateway("", move |peer, _| {
        if peer.next_head().is_some() {
            peer.send("HTTP/1.1 200 OK\r\n\r\n");
            while peer.try_send(&[b'x'; 64 * 1024]).is_ok() {}
            ended.lock().unwrap().send(()).unwrap();
        }
    });
    let calm = Calm::of(&gateway, "/good");
    let mut client = ask(&gateway);
    client.head();
    for _ in 0..64 {
        client.exactly(MIB as usize);
    }
    others_are_served(&gateway);
    drop(client);
    end.recv_timeout(DEADLINE).expect("the backend's connection ends with its client's");
    let grown = calm.grown(&gateway);
    assert!(grown < GROWTH_MAX, "an endless body held {grown} bytes");
    calm.returns(&gateway);
}

#[test]
fn heads_without_end_are_refused_in_bounded_memory() {
    let endless: [(&str, &str); 3] = [
        ("HTTP/1.1 200 OK\r\n", "X-More: more\r\n"),
        ("HTTP/1.1 200 OK\r\nX-Long: ", "xxxxxxxxxxxxxxxx"),
        ("", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
    ];
    for (begin, more) in endless {
        let (_bad, _good, gateway) = gateway("", move |peer, _| {
            if peer.next_head().is_some() {
                peer.send(begin);
                while peer.try_send(more.repeat(1000).as_bytes()).is_ok() {}
            }
        });
        let calm = Calm::of(&gateway, "/good");
        let mut client = ask(&gateway);
        let mut head = client.head();
        while head.status() == 103 {
            head = client.head();
        }
        assert_eq!(head.status(), 502, "{more:?}");
        let grown = calm.grown(&gateway);
        assert!(grown < GROWTH_MAX, "{more:?}: an endless head held {grown} bytes");
        drop(client);
        calm.returns(&gateway);
    }
}

#[test]
fn a_backend_that_drips_is_cut_off_where_its_length_is_known() {
    let (_bad, _good, gateway) = gateway("limits: { backendRateMin: 1000000 }\n", |peer, _| {
        if peer.next_head().is_some() {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
            while peer.is_quiet(Duration::from_millis(20)) && peer.try_send(b"x").is_ok() {}
        }
    });
    let calm = Calm::of(&gateway, "/good");
    let mut client = ask(&gateway);
    assert_eq!(client.head().status(), 200);
    let received = client.rest().len();
    assert!((1..1_000_000).contains(&received), "{received} bytes");
    others_are_served(&gateway);
    drop(client);
    calm.returns(&gateway);
}

#[test]
fn a_flood_of_failures_leaves_nothing_behind() {
    let number = Arc::new(AtomicUsize::new(0));
    let (_bad, _good, gateway) = gateway("", move |peer, _| {
        if peer.next_head().is_some() {
            let (says, ..) = BROKEN[number.fetch_add(1, Ordering::SeqCst) % BROKEN.len()];
            peer.send(says);
        }
    });
    let calm = Calm::of(&gateway, "/good");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let mut client = gateway.connect();
                    client.send("GET /bad HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
                    assert!(client.rest().starts_with(b"HTTP/1.1 "), "every request is answered");
                }
            });
        }
        others_are_served(&gateway);
    });
    let grown = calm.grown(&gateway);
    assert!(grown < GROWTH_MAX, "400 failures left {grown} bytes");
    calm.returns(&gateway);
}
