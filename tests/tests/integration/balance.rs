//! Load balancing, secondary endpoints, failover.

use ringway_tests::{Api, Backend, Gateway, Port};
use serde_json::json;

/// How many of `count` requests each backend gets.
fn spread(gateway: &Gateway, names: &[&str], count: usize) -> Vec<usize> {
    let mut counts = vec![0; names.len()];
    let mut client = gateway.connect();
    for _ in 0..count {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let (head, body) = client.response();
        assert_eq!(head.status(), 200);
        let name = String::from_utf8_lossy(&body).into_owned();
        counts[names.iter().position(|known| *known == name).expect("one of the backends")] += 1;
    }
    counts
}

fn balanced(algorithm: &str, targets: &[&str]) -> Api {
    Api::balanced("/", targets).with("endpointGroups/0/loadBalancer", json!({ "type": algorithm }))
}

#[test]
fn round_robin_gives_everyone_the_same() {
    let [a, b, c] = ["a", "b", "c"].map(Backend::ok);
    for spelling in ["ROUND_ROBIN", "round-robin"] {
        let gateway = Gateway::serving(&[balanced(spelling, &[&a.target(), &b.target(), &c.target()])]);
        assert_eq!(spread(&gateway, &["a", "b", "c"], 30), [10, 10, 10]);
    }
}

#[test]
fn weights_are_kept() {
    let [a, b] = ["a", "b"].map(Backend::ok);
    let api = balanced("WEIGHTED_ROUND_ROBIN", &[&a.target(), &b.target()])
        .with("endpointGroups/0/endpoints/0/weight", json!(3))
        .with("endpointGroups/0/endpoints/1/weight", json!(1));
    let gateway = Gateway::serving(&[api]);
    assert_eq!(spread(&gateway, &["a", "b"], 40), [30, 10]);
}

#[test]
fn random_reaches_everyone() {
    let [a, b] = ["a", "b"].map(Backend::ok);
    let gateway = Gateway::serving(&[balanced("RANDOM", &[&a.target(), &b.target()])]);
    let counts = spread(&gateway, &["a", "b"], 100);
    // By chance a fair coin leaves one side below 10 in a hundred less than once in 10^17.
    assert!(counts.iter().all(|&count| count >= 10), "{counts:?}");
    let weighted = balanced("WEIGHTED_RANDOM", &[&a.target(), &b.target()])
        .with("endpointGroups/0/endpoints/0/weight", json!(9))
        .with("endpointGroups/0/endpoints/1/weight", json!(1));
    let counts = spread(&Gateway::serving(&[weighted]), &["a", "b"], 200);
    assert!(counts[0] > 2 * counts[1] && counts[1] > 0, "{counts:?}");
}

#[test]
fn a_secondary_endpoint_serves_only_when_no_other_can() {
    let nobody = Port::new();
    let spare = Backend::ok("spare");
    let api = Api::balanced("/", &[&format!("http://{}", nobody.address()), &spare.target()])
        .with("endpointGroups/0/endpoints/1/secondary", json!(true))
        .with("failover", json!({ "enabled": true, "maxRetries": 2 }));
    let gateway = Gateway::serving(&[api]);
    assert_eq!(spread(&gateway, &["spare"], 5), [5]);
    let first = Backend::ok_on(nobody, "first");
    let api = Api::balanced("/", &[&first.target(), &spare.target()])
        .with("endpointGroups/0/endpoints/1/secondary", json!(true));
    assert_eq!(spread(&Gateway::serving(&[api]), &["first", "spare"], 10), [10, 0]);
}

#[test]
fn failover_tries_the_next_endpoint_and_keeps_the_body() {
    let nobody = Port::new();
    let good = Backend::ok("good");
    let api = Api::balanced("/", &[&format!("http://{}", nobody.address()), &good.target()])
        .with("failover", json!({ "enabled": true, "maxRetries": 2 }));
    let gateway = Gateway::serving(&[api]);
    let mut client = gateway.connect();
    for _ in 0..6 {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
        assert_eq!(client.response().1, b"good");
    }
    for (_, body) in good.seen() {
        assert_eq!(body, b"hello");
    }
    assert_eq!(good.seen().len(), 6);
}

#[test]
fn least_request_avoids_the_busy_one() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let slow = Backend::scripted(move |peer, _| {
        peer.head();
        let _ = held.lock().unwrap().recv();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow");
    });
    let quick = Backend::ok("quick");
    let gateway = Gateway::serving(&[balanced("LEAST_REQUEST", &[&slow.target(), &quick.target()])]);
    // One request is stuck with the slow one, sooner or later; then every other goes to the quick one.
    let mut stuck = Vec::new();
    while slow.connections() == 0 {
        let mut client = gateway.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        stuck.push(client);
        ringway_tests::wait_until("a backend to be asked", || {
            slow.connections() > 0 || quick.seen().len() == stuck.len()
        });
    }
    assert_eq!(spread(&gateway, &["quick", "slow"], 20), [20, 0]);
    drop(release);
}
