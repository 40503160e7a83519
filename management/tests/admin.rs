//! Conversations with the admin port.
#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

mod support;

use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread;

use ringway_config::Problem;
use ringway_config::settings::Listen;
use ringway_management::admin::{Admin, AdminServer, Bound, bind};
use ringway_management::reload::Reloader;
use support::{FakePlane, FakeSource, ask, reloader, request};

struct Served {
    address: SocketAddr,
    plane: Arc<FakePlane>,
    source: FakeSource,
    admin: Arc<Admin>,
    reloader: Reloader,
    close: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Served {
    fn new() -> Self {
        let plane = Arc::new(FakePlane::default());
        plane.revision.store(1, Ordering::SeqCst);
        let source = FakeSource::default();
        let reloader = reloader(&source, &plane);
        let admin = Arc::new(Admin::new(plane.clone(), reloader.clone(), None));
        let (close, closed) = tokio::sync::oneshot::channel::<()>();
        let (started, start) = mpsc::channel();
        let served = Arc::clone(&admin);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let server = AdminServer::start(bind(&"127.0.0.1:0".parse().unwrap()).unwrap(), served).unwrap();
                let Listen::Tcp(address) = server.address() else { panic!("not TCP") };
                started.send(*address).unwrap();
                let _ = closed.await;
                server.close();
                server.closed().await;
            });
        });
        let address = start.recv().unwrap();
        Self { address, plane, source, admin, reloader, close: Some(close), thread: Some(thread) }
    }

    fn get(&self, target: &str) -> (u16, String, String) {
        ask(self.address, &request("GET", target, "", ""))
    }

    fn send(&self, method: &str, target: &str, body: &str) -> (u16, String, String) {
        ask(self.address, &request(method, target, "X-Ringway-Admin: 1\r\n", body))
    }

    /// Ends the server; returns when it has ended.
    fn end(&mut self) {
        drop(self.close.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.reloader.stop();
        drop(self.close.take());
    }
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text:?}"))
}

#[test]
fn it_is_ready_while_every_shard_serves_and_not_when_it_drains() {
    let served = Served::new();
    let (status, _, body) = served.get("/health/ready");
    assert_eq!((status, &json(&body)["status"], &json(&body)["revision"]), (200, &"up".into(), &1.into()));
    assert_eq!(json(&body)["pid"], std::process::id());

    served.plane.revision.store(0, Ordering::SeqCst);
    let (status, head, body) = served.get("/health/ready");
    assert_eq!(status, 503);
    assert!(head.contains("content-type: application/problem+json"), "{head}");
    assert!(body.contains("no snapshot is published yet") && body.contains("shard 0"), "{body}");

    served.plane.revision.store(1, Ordering::SeqCst);
    served.admin.drain();
    assert!(served.get("/health/ready").2.contains("draining"));
    assert_eq!(served.get("/health/live").0, 200);
}

#[test]
fn while_a_snapshot_is_published_the_last_answer_about_readiness_holds() {
    let served = Served::new();
    assert_eq!(served.get("/health/ready").0, 200);
    let publishing = served.plane.publishing.lock().unwrap();
    assert_eq!(served.get("/health/ready").0, 200);
    assert_eq!(served.get("/health/live").0, 200);
    // More probes than may ask the data plane at once.
    thread::scope(|scope| {
        let probes: Vec<_> = (0..20).map(|_| scope.spawn(|| served.get("/health/ready").0)).collect();
        let answers: Vec<_> = probes.into_iter().map(|probe| probe.join().unwrap()).collect();
        assert!(answers.iter().all(|status| *status == 200), "{answers:?}");
    });
    drop(publishing);
    assert_eq!(served.get("/shards").0, 200);
}

#[test]
fn metrics_are_those_of_the_data_plane_and_its_own() {
    let served = Served::new();
    let (status, head, body) = served.get("/metrics");
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    for name in [
        "fake_metric 1",
        "ringway_build_info{version=",
        "process_cpu_seconds_total ",
        "process_resident_memory_bytes ",
        "process_open_fds ",
        "ringway_reloads_total{result=\"published\"} 0",
        "ringway_reload_last_ok 1",
    ] {
        assert!(body.contains(name), "{name} is missing in:\n{body}");
    }
    for family in body.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = family.split(' ').next().unwrap();
        assert!(body.lines().any(|line| line.starts_with(name)), "{name} has no sample");
    }
}

#[test]
fn apis_and_shards_are_told() {
    let served = Served::new();
    assert_eq!(json(&served.get("/apis").2)[0]["id"], "orders");
    assert_eq!(json(&served.get("/apis/orders").2)["name"], "Orders");
    assert_eq!(json(&served.get("/shards").2)[0]["driver"], "fake");
    let (status, _, body) = served.get("/apis/unknown");
    assert_eq!((status, &json(&body)["status"]), (404, &404.into()));
}

#[test]
fn a_reload_answers_with_the_revision_or_with_every_problem() {
    let served = Served::new();
    let (status, _, body) = served.send("POST", "/reload", "");
    assert_eq!((status, &json(&body)["revision"]), (200, &2.into()), "{body}");

    *served.source.problems.lock().unwrap() =
        vec![Problem::of_file("a.yaml", "wrong"), Problem::of_file("b.yaml", "worse")];
    let (status, head, body) = served.send("POST", "/reload", "");
    assert_eq!((status, json(&body)["problems"].as_array().unwrap().len()), (422, 2), "{body}");
    assert!(head.contains("content-type: application/problem+json"), "{head}");
    assert_eq!(served.plane.revision.load(Ordering::SeqCst), 2, "a bad snapshot was published");

    served.source.problems.lock().unwrap().clear();
    *served.plane.refusal.lock().unwrap() = Some("two APIs want /orders".into());
    let (status, _, body) = served.send("POST", "/reload", "");
    assert_eq!((status, &json(&body)["detail"]), (422, &"two APIs want /orders".into()));

    let metrics = served.get("/metrics").2;
    assert!(metrics.contains("ringway_reloads_total{result=\"published\"} 1\n"), "{metrics}");
    assert!(metrics.contains("ringway_reloads_total{result=\"refused\"} 2\n"), "{metrics}");
    assert!(metrics.contains("ringway_reload_last_ok 0\n"), "{metrics}");
}

#[test]
fn settings_are_told_and_the_level_of_a_foreign_log_is_not() {
    let served = Served::new();
    assert!(json(&served.get("/config").2).is_object());
    assert_eq!(served.get("/log-level").0, 404);
    assert_eq!(served.send("PUT", "/log-level", "{\"level\": \"debug\"}").0, 404);
    assert_eq!(served.send("PUT", "/log-level", "debug").0, 400);
}

#[test]
fn every_refusal_is_a_problem_document() {
    let served = Served::new();
    let large = "x".repeat(17 * 1024);
    let table = [
        (404, request("GET", "/nothing", "", "")),
        (405, request("DELETE", "/apis", "X-Ringway-Admin: 1\r\n", "")),
        (403, request("POST", "/reload", "", "")),
        (413, request("PUT", "/log-level", "X-Ringway-Admin: 1\r\n", &large)),
        (421, b"GET /apis HTTP/1.1\r\nHost: rebound.test\r\nConnection: close\r\n\r\n".to_vec()),
        (400, b"GET /apis HTTP/1.1\r\nConnection: close\r\n\r\n".to_vec()),
        (400, request("GET", "/apis/%ff", "", "")),
    ];
    for (wanted, bytes) in table {
        let (status, head, body) = ask(served.address, &bytes);
        assert_eq!(status, wanted, "{body}");
        assert!(head.contains("content-type: application/problem+json"), "{wanted}: {head}");
        assert_eq!((&json(&body)["status"], &json(&body)["type"]), (&wanted.into(), &"about:blank".into()));
    }
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let served = Served::new();
    let header = format!("X-Large: {}\r\n", "x".repeat(64 * 1024));
    // The server may close before it has read all of it; what counts is that it does not serve.
    let mut stream = std::net::TcpStream::connect(served.address).unwrap();
    let _ = std::io::Write::write_all(&mut stream, &request("GET", "/apis", &header, ""));
    let mut answer = Vec::new();
    let _ = std::io::Read::read_to_end(&mut stream, &mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[test]
fn when_it_closes_running_requests_end_well_and_new_connections_are_refused() {
    let mut served = Served::new();
    served.plane.gate.close();
    let address = served.address;
    let running = thread::spawn(move || ask(address, &request("POST", "/reload", "X-Ringway-Admin: 1\r\n", "")));
    while served.source.loads.load(Ordering::SeqCst) == 0 {
        thread::yield_now();
    }
    drop(served.close.take());
    while std::net::TcpStream::connect(address).is_ok() {
        thread::yield_now();
    }
    served.plane.gate.open();
    assert_eq!(running.join().unwrap().0, 200);
    served.end();
}

#[test]
fn two_processes_of_an_upgrade_bind_the_same_port() {
    let first = bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
    assert!(bind(&first.address().unwrap()).is_ok());
}

#[test]
fn a_unix_socket_is_taken_over_and_nothing_else_is_replaced() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("admin.sock");
    let listen = Listen::Unix(path.clone());
    let _first = bind(&listen).unwrap();
    let second = bind(&listen).unwrap();
    UnixStream::connect(&path).unwrap();
    let Bound::Unix(second, _) = second else { panic!("not Unix") };
    second.set_nonblocking(false).unwrap();
    second.accept().unwrap();

    let file = folder.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    assert!(bind(&Listen::Unix(file.clone())).is_err());
    assert_eq!(std::fs::read(file).unwrap(), b"precious");
}
