//! Clients of the gateway that count what they are sent.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::MARK;

/// How long nothing may come while something is expected.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many messages somebody has.
#[derive(Clone, Debug)]
pub struct Progress {
    state: Arc<State>,
    /// Who keeps the connection open.
    _keeper: Option<Arc<Listener>>,
}

#[derive(Debug, Default)]
struct State {
    count: AtomicU64,
    over: AtomicBool,
}

impl Progress {
    pub fn new() -> Self {
        Self { state: Arc::default(), _keeper: None }
    }

    pub fn count(&self) -> u64 {
        self.state.count.load(Ordering::Acquire)
    }

    /// So many more.
    pub fn add(&self, count: u64) {
        self.state.count.fetch_add(count, Ordering::AcqRel);
    }

    /// Nothing comes any more.
    pub fn end(&self) {
        self.state.over.store(true, Ordering::Release);
    }

    /// Waits until there are so many.
    pub fn reach(&self, count: u64) -> Result<()> {
        let (mut seen, mut moved_at) = (self.count(), Instant::now());
        while seen < count {
            ensure!(!self.state.over.load(Ordering::Acquire), "a reader ended with {seen} messages instead of {count}");
            // The reader has the same core.
            thread::park_timeout(Duration::from_micros(200));
            let now = self.count();
            if now > seen {
                (seen, moved_at) = (now, Instant::now());
            }
            ensure!(moved_at.elapsed() < PATIENCE, "a reader has {seen} messages instead of {count}");
        }
        Ok(())
    }
}

/// A client of a stream. The connection ends when this is dropped.
#[derive(Debug)]
pub struct Listener {
    stream: TcpStream,
    progress: Progress,
}

impl Listener {
    /// One of server-sent events.
    pub fn sse(gateway: SocketAddr, path: &str) -> Result<Self> {
        Self::open(gateway, &format!("GET {path} HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n"), "200")
    }

    /// One of a WebSocket.
    pub fn websocket(gateway: SocketAddr, path: &str) -> Result<Self> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        Self::open(gateway, &request, "101")
    }

    fn open(gateway: SocketAddr, request: &str, status: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(gateway)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(request.as_bytes())?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if stream.read(&mut byte)? == 0 {
                bail!("no answer: {}", String::from_utf8_lossy(&head));
            }
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head);
        ensure!(head.split(' ').nth(1) == Some(status), "{head}");
        let progress = Progress::new();
        let (mut reads, told) = (stream.try_clone()?, progress.clone());
        thread::spawn(move || {
            let mut buffer = vec![0; 256 * 1024];
            // The end is seen by whoever waits for more.
            while let Ok(count @ 1..) = reads.read(&mut buffer) {
                let marks = buffer.get(..count).unwrap_or_default().iter().filter(|byte| **byte == MARK).count();
                told.add(marks as u64);
            }
            told.end();
        });
        Ok(Self { stream, progress })
    }

    /// How far it is; keeps it open.
    pub fn progress(self) -> Progress {
        let progress = self.progress.clone();
        Progress { _keeper: Some(Arc::new(self)), ..progress }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}
