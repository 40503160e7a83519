//! One connection over its life: reuse, the backend's leaving, credit.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::future::pending;
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

use ringway_net::{Shard, yield_now};
use support::backend::{Does, backend, hears, says};
use support::{Engine, Sends, endpoint, on_each, pattern};

const GET: &str = "GET /a HTTP/1.1|Host: x";
const POST: &str = "POST /a HTTP/1.1|Host: x|Content-Length: 2";
const OK: &str = "HTTP/1.1 200 OK|Content-Length: 2||ok";
const FRAMES: &[&str] = &["reply 200 Length(2)", "data ok", "end"];

fn got(host: &str) -> Does {
    hears(&format!("GET /a HTTP/1.1|Host: {host}||"))
}

#[test]
fn exchanges_follow_one_another_over_one_connection() {
    on_each(|_| async {
        let backend = backend(|host| {
            let mut steps = Vec::new();
            for _ in 0..5 {
                steps.extend([got(host), says(OK)]);
                steps.push(hears(&format!("POST /a HTTP/1.1|Host: {host}|Content-Length: 2||hi")));
                steps.push(says("HTTP/1.1 200 OK|Transfer-Encoding: chunked||2|ok|0||"));
            }
            steps
        });
        let mut engine = Engine::new(&endpoint(&backend.url(), "{}").unwrap());
        for _ in 0..5 {
            assert_eq!(engine.exchange(GET, &[]).await, FRAMES);
            let posted = engine.exchange(POST, &[Sends::Data("hi"), Sends::End]).await;
            assert_eq!(posted, ["ready", "reply 200 Chunked", "data ok", "end"]);
        }
        backend.done().await;
    });
}

#[test]
fn a_backend_that_closes_an_idle_connection_ends_the_lane() {
    on_each(|_| async {
        let backend = backend(|host| vec![got(host), says(OK)]);
        let mut engine = Engine::new(&endpoint(&backend.url(), "{}").unwrap());
        assert_eq!(engine.exchange(GET, &[]).await, FRAMES);
        engine.ended().await;
        backend.done().await;
    });
}

#[test]
fn a_backend_that_talks_unasked_ends_the_lane() {
    on_each(|_| async {
        let (go, until) = mpsc::channel();
        let backend = backend(|host| vec![got(host), says(OK), Does::Until(until), says(OK), Does::Waits]);
        let mut engine = Engine::new(&endpoint(&backend.url(), "{}").unwrap());
        assert_eq!(engine.exchange(GET, &[]).await, FRAMES);
        assert!(engine.is_fit());
        go.send(()).unwrap();
        engine.ended().await;
        backend.done().await;
    });
}

#[test]
fn a_kept_connection_that_closes_before_any_answer_may_be_tried_again() {
    // What the backend says to the second request, and the verdict.
    for (said, verdict) in [("", "Idempotent"), ("HTTP/1.1 2", "Never"), ("HTTP/1.1 103 E||", "Never")] {
        on_each(move |_| async move {
            let backend = backend(|host| vec![got(host), says(OK), got(host), says(said)]);
            let mut engine = Engine::new(&endpoint(&backend.url(), "{}").unwrap());
            assert_eq!(engine.exchange(GET, &[]).await, FRAMES);
            let frames = engine.exchange(GET, &[]).await;
            assert_eq!(frames.last(), Some(&format!("fail GATEWAY_BACKEND_CLOSED {verdict}")), "{said:?}");
            backend.done().await;
        });
    }
}

#[test]
fn a_kept_connection_that_is_only_silent_may_not() {
    on_each(|_| async {
        let backend = backend(|host| vec![got(host), says(OK), got(host), Does::Waits]);
        let mut engine = Engine::new(&endpoint(&backend.url(), r#"{"http": {"readTimeout": 200}}"#).unwrap());
        assert_eq!(engine.exchange(GET, &[]).await, FRAMES);
        assert_eq!(engine.exchange(GET, &[]).await, ["fail GATEWAY_BACKEND_TIMEOUT Never"]);
        engine.ended().await;
        backend.done().await;
    });
}

#[test]
fn a_backend_that_is_not_there_leaves_the_request_free_to_go_elsewhere() {
    on_each(|_| async {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut engine = Engine::new(&endpoint(&format!("http://{free}"), "{}").unwrap());
        assert_eq!(engine.exchange(GET, &[]).await, ["fail GATEWAY_CLIENT_CONNECTION_ERROR Safe"]);
        let mut engine = Engine::new(&endpoint("http://nowhere.invalid", "{}").unwrap());
        assert_eq!(engine.exchange(GET, &[]).await, ["fail GATEWAY_BACKEND_UNRESOLVED Safe"]);
    });
}

#[test]
fn large_bodies_go_through_in_both_directions() {
    const BYTES: usize = 3_000_000;
    on_each(|_| async {
        let backend = backend(|host| {
            vec![
                hears(&format!("PUT /a HTTP/1.1|Host: {host}|Content-Length: {BYTES}||")),
                Does::HearsBulk(BYTES),
                says(&format!("HTTP/1.1 200 OK|Content-Length: {BYTES}||")),
                Does::SaysBulk(BYTES),
            ]
        });
        let mut engine = Engine::new(&endpoint(&backend.url(), "{}").unwrap());
        let head = format!("PUT /a HTTP/1.1|Host: x|Content-Length: {BYTES}");
        let frames = engine.exchange(&head, &[Sends::Bulk(BYTES), Sends::End]).await;
        assert_eq!(frames[1], format!("reply 200 Length({BYTES})"));
        assert!(frames[2].strip_prefix("data ") == Some(pattern(BYTES)), "the same bytes");
        backend.done().await;
    });
}

#[test]
fn a_slow_upload_is_not_the_backends_silence() {
    on_each(|_| async {
        let (tell, told) = mpsc::channel();
        let backend = backend(|host| {
            let head = format!("POST /a HTTP/1.1|Host: {host}|Content-Length: 2||h");
            vec![hears(&head), Does::Tells(tell), Does::Waits]
        });
        let mut engine = Engine::new(&endpoint(&backend.url(), r#"{"http": {"readTimeout": 1}}"#).unwrap());
        engine.begin(POST, &[Sends::Data("h")]);
        engine.run_until(heard_from(&told)).await;
        // Of the same clock as the lane's deadlines, longer than the one that must not count, and armed later.
        engine.run_until(passed(400)).await;
        assert_eq!(engine.heard, ["ready"]);
        drop(engine);
        backend.done().await;
    });
}

/// More than the socket buffers of both sides hold.
const MUCH: usize = 32;
const MEBIBYTE: usize = 1 << 20;

#[test]
fn a_backend_that_does_not_read_stops_the_client() {
    on_each(|_| async {
        let (go, until) = mpsc::channel();
        let backend = backend(|host| {
            let bytes = MUCH * MEBIBYTE;
            let mut steps = vec![hears(&format!("PUT /a HTTP/1.1|Host: {host}|Content-Length: {bytes}||"))];
            steps.push(Does::Until(until));
            steps.extend((0..MUCH).map(|_| Does::HearsBulk(MEBIBYTE)));
            steps.push(says(OK));
            steps
        });
        let mut engine = Engine::new(&endpoint(&backend.url(), "{}").unwrap());
        let mut body = vec![Sends::Bulk(MEBIBYTE); MUCH];
        body.push(Sends::End);
        engine.begin(&format!("PUT /a HTTP/1.1|Host: x|Content-Length: {}", MUCH * MEBIBYTE), &body);
        engine.run_until(passed(300)).await;
        assert!(engine.steps.len() > 1, "the lane has swallowed everything");
        go.send(()).unwrap();
        assert_eq!(engine.finish().await, [&["ready"], FRAMES].concat());
        backend.done().await;
    });
}

#[test]
fn a_client_that_does_not_read_stops_the_backend() {
    on_each(|_| async {
        let (tell, told) = mpsc::channel();
        let backend = backend(|host| {
            let mut steps = vec![got(host), says(&format!("HTTP/1.1 200 OK|Content-Length: {}||", MUCH * MEBIBYTE))];
            steps.extend((0..MUCH).map(|_| Does::SaysBulk(MEBIBYTE)));
            steps.push(Does::Tells(tell));
            steps
        });
        // The client's slowness is not the backend's silence either.
        let mut engine = Engine::new(&endpoint(&backend.url(), r#"{"http": {"readTimeout": 5000}}"#).unwrap());
        engine.begin(GET, &[]);
        engine.is_stalled = true;
        engine.run_until(passed(300)).await;
        assert!(told.try_recv().is_err(), "somebody has swallowed everything");
        engine.is_stalled = false;
        let frames = engine.finish().await;
        assert_eq!(frames[1].len(), "data ".len() + MUCH * MEBIBYTE);
        assert_eq!(frames[2], "end");
        backend.done().await;
    });
}

async fn heard_from(told: &mpsc::Receiver<()>) {
    while told.try_recv().is_err() {
        yield_now().await;
    }
}

/// A deadline as the lane has them.
async fn passed(ms: u64) {
    let slot = Shard::current().timers.slot();
    slot.arm(Duration::from_millis(ms));
    let _ = slot.guard(pending::<()>()).await;
}
