//! A data plane that only remembers what it was told, and a client for the admin port.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "test code; each test binary uses a part")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, SystemTime};

use ringway_config::{Hidden, Loaded, Problem, Settings, Snapshot};
use ringway_contract::control::{ApiState, DataPlane, PublishError, ShardState, State};
use ringway_management::reload::{ReloadOptions, Reloader};
use ringway_management::service::ServiceManager;
use ringway_management::source::Source;

/// Longest wait for what must come.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// A data plane of one shard.
#[derive(Default)]
pub struct FakePlane {
    pub revision: AtomicU64,
    pub refusal: Mutex<Option<String>>,
    pub drained: AtomicU64,
    /// While held, nothing is told of the state.
    pub publishing: Mutex<()>,
    /// While closed, a publish (and a drain) waits.
    pub gate: Gate,
}

/// A door that is open at first.
#[derive(Default)]
pub struct Gate {
    closed: Mutex<bool>,
    moved: Condvar,
}

impl Gate {
    pub fn close(&self) {
        *self.closed.lock().unwrap() = true;
    }

    pub fn open(&self) {
        *self.closed.lock().unwrap() = false;
        self.moved.notify_all();
    }

    pub fn pass(&self) {
        let closed = self.closed.lock().unwrap();
        drop(self.moved.wait_while(closed, |closed| *closed).unwrap());
    }
}

impl DataPlane for FakePlane {
    fn publish(&self, _snapshot: Arc<Snapshot>) -> Result<(), PublishError> {
        self.gate.pass();
        if let Some(reason) = self.refusal.lock().unwrap().clone() {
            return Err(PublishError { reason });
        }
        self.revision.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn state(&self) -> State {
        let _published = self.publishing.lock().unwrap();
        let revision = self.revision.load(Ordering::SeqCst);
        State {
            revision,
            shards: vec![ShardState { driver: "fake".into(), revision, ..ShardState::default() }],
            apis: vec![ApiState { id: "orders".into(), name: "Orders".into(), ..ApiState::default() }],
        }
    }

    fn metrics(&self, out: &mut String) {
        out.push_str("fake_metric 1\n");
    }

    fn drain(&self, _limit: Duration) -> usize {
        self.gate.pass();
        self.drained.fetch_add(1, Ordering::SeqCst);
        3
    }
}

/// A source that counts its loads and answers as it is told.
#[derive(Clone, Default)]
pub struct FakeSource {
    pub loads: Arc<AtomicU64>,
    pub problems: Arc<Mutex<Vec<Problem>>>,
    pub files: Vec<std::path::PathBuf>,
}

impl Source for FakeSource {
    fn load(&self) -> Loaded {
        self.loads.fetch_add(1, Ordering::SeqCst);
        let problems = self.problems.lock().unwrap().clone();
        let snapshot = (!problems.iter().any(Problem::is_error)).then(snapshot);
        Loaded { snapshot, problems, files: self.files.clone() }
    }
}

/// A snapshot of defaults.
pub fn snapshot() -> Snapshot {
    Snapshot {
        settings: Settings::default(),
        apis: Vec::new(),
        dictionaries: Vec::new(),
        hidden: Hidden::default(),
        revision: 1,
    }
}

/// A reloader between the two.
pub fn reloader(source: &FakeSource, plane: &Arc<FakePlane>) -> Reloader {
    let options = ReloadOptions {
        source: Box::new(source.clone()),
        plane: plane.clone(),
        service: Arc::new(ServiceManager::default()),
        level: None,
        snapshot: Arc::new(snapshot()),
        files: source.files.clone(),
        loaded_at: SystemTime::now(),
    };
    Reloader::start(options).unwrap()
}

/// Sends the bytes, reads to the end; status, head and body of the answer.
pub fn ask(address: SocketAddr, request: &[u8]) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(request).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, head.to_ascii_lowercase(), body.to_owned())
}

/// A request that closes its connection.
pub fn request(method: &str, target: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
        .into_bytes()
}
