//! Reload under load: not one request fails and no connection is cut; a bad configuration changes nothing.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use ringway_tests::{Api, Backend, Client, Gateway, tool, wait_until};
use serde_json::json;

#[test]
fn reloads_under_load_fail_no_request_and_cut_no_connection() {
    const CLIENTS: usize = 8;
    const RELOADS: usize = 60;
    let backends = ["even", "odd"].map(Backend::ok);
    let gateway = Gateway::serving(&[Api::proxy("/", &backends[0].target())]);
    let stop = Arc::new(AtomicBool::new(false));
    let (asked, even, odd) =
        (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (address, stop) = (gateway.http(), Arc::clone(&stop));
            let (asked, even, odd) = (Arc::clone(&asked), Arc::clone(&even), Arc::clone(&odd));
            thread::spawn(move || {
                // One connection for the whole test: `response` fails when it ends.
                let mut client = Client::connect(address);
                while !stop.load(Ordering::SeqCst) {
                    asked.fetch_add(1, Ordering::SeqCst);
                    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
                    let (head, body) = client.response();
                    assert_eq!(head.status(), 200, "{head:?}");
                    assert!(!head.has("connection", "close"), "a reload is no reason to close");
                    let counter = if body == b"even" { &even } else { &odd };
                    counter.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for number in 1..=RELOADS {
        let backend = &backends[number % 2];
        gateway.write("apis/0.json", &Api::proxy("/", &backend.target()).json());
        let (status, text) = gateway.reload();
        assert_eq!(status, 200, "{text}");
        let wanted = if number % 2 == 0 { "even" } else { "odd" };
        wait_until("the new target to be used", || gateway.get("/").1 == wanted.as_bytes());
    }
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.join().expect("no client saw a failure");
    }
    let answered = even.load(Ordering::SeqCst) + odd.load(Ordering::SeqCst);
    assert_eq!(asked.load(Ordering::SeqCst), answered);
    assert!(even.load(Ordering::SeqCst) > 0 && odd.load(Ordering::SeqCst) > 0, "both were used");
}

/// Each reload of a changed API begins new connections to the backend.
const RELOADS_MAX: usize = 300;

#[test]
fn h2load_counts_no_failure_across_reloads() {
    let backend = Backend::ok("ok");
    let gateway = Gateway::serving(&[Api::proxy("/", &backend.target())]);
    let load =
        tool::spawn("h2load", ["--h1", "-n", "60000", "-c", "32", "-t", "1", &format!("http://{}/", gateway.http())]);
    let load = Arc::new(Mutex::new(load));
    let mut number = 0;
    // As often as it goes, but a slow machine shall not turn it into thousands.
    while load.lock().unwrap().try_wait().unwrap().is_none() && number < RELOADS_MAX {
        number += 1;
        let api = Api::proxy("/", &backend.target()).with("description", json!(format!("number {number}")));
        gateway.write("apis/0.json", &api.json());
        assert_eq!(gateway.reload().0, 200);
    }
    let said = tool::wait(Arc::into_inner(load).unwrap().into_inner().unwrap()).ok();
    assert_eq!(tool::h2load_counts(&said), Some((60_000, 0)), "after {number} reloads: {said}");
    assert!(number >= 3, "only {number} reloads happened meanwhile");
}

#[test]
fn a_bad_definition_changes_nothing_and_is_explained() {
    let backend = Backend::ok("ok");
    let gateway = Gateway::serving(&[Api::proxy("/", &backend.target())]);
    let bad = Api::proxy("/", &backend.target()).with("listenerz", json!([]));
    gateway.write("apis/0.json", &bad.json());
    let (status, text) = gateway.reload();
    assert!((400..500).contains(&status), "{status} {text}");
    assert!(
        text.contains("listenerz") && text.contains("listeners"),
        "it names what is wrong and what was meant: {text}"
    );
    assert_eq!(gateway.get("/").1, b"ok", "the old one is still served");
    let good = Api::proxy("/other", &backend.target());
    gateway.write("apis/0.json", &good.json());
    assert_eq!(gateway.reload().0, 200);
    wait_until("the new path", || gateway.get("/other").0.status() == 200);
    assert_eq!(gateway.get("/").0.status(), 404, "the old path is gone");
}

#[test]
fn conflicting_paths_are_refused() {
    let backend = Backend::ok("ok");
    let gateway = Gateway::serving(&[Api::proxy("/a/", &backend.target())]);
    gateway.write("apis/second.json", &Api::proxy("/a", &backend.target()).with("name", json!("second")).json());
    let (status, text) = gateway.reload();
    assert!((400..500).contains(&status), "{status} {text}");
    assert_eq!(gateway.get("/a/").0.status(), 200);
}

#[test]
fn a_changed_file_and_a_hang_up_reload_too() {
    let backend = Backend::ok("ok");
    let gateway = Gateway::serving(&[Api::proxy("/zero", &backend.target())]);
    gateway.write("apis/one.json", &Api::proxy("/one", &backend.target()).json());
    wait_until("the watcher to see the new file", || gateway.get("/one").0.status() == 200);
    gateway.remove("apis/one.json");
    wait_until("the watcher to see that the file is gone", || gateway.get("/one").0.status() == 404);
    gateway.write("apis/two.json", &Api::proxy("/two", &backend.target()).json());
    gateway.hang_up();
    wait_until("the reload by SIGHUP", || gateway.get("/two").0.status() == 200);
}

#[test]
fn a_running_exchange_finishes_on_the_site_it_began_with() {
    let (go, held) = std::sync::mpsc::channel::<()>();
    let held = Mutex::new(held);
    let old = Backend::scripted(move |peer, _| {
        if peer.next_head().is_some() {
            let _ = held.lock().unwrap().recv_timeout(ringway_tests::DEADLINE);
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold");
        }
    });
    let new = Backend::ok("new");
    let gateway = Gateway::before(&old.target());
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_until("the old backend to be asked", || old.connections() == 1);
    gateway.write("apis/0.json", &Api::proxy("/", &new.target()).json());
    assert_eq!(gateway.reload().0, 200);
    wait_until("the new one to be used", || gateway.get("/").1 == b"new");
    go.send(()).unwrap();
    assert_eq!(client.response().1, b"old");
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().1, b"new", "the same connection, the next exchange");
    let count = |counter| gateway.metric(counter, &[]);
    wait_until("what was counted before the reload to count on", || {
        count("ringway_api_responses_total") == count("ringway_requests_total")
    });
}
