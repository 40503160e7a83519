//! Scripted backends on plain threads.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::thread::{self, JoinHandle};

use ringway_net::yield_now;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{PATIENCE, pattern};

/// What a backend does, one thing after another. In texts, `|` parts lines.
pub enum Does {
    /// Reads exactly this.
    Hears(String),
    /// Reads one byte, of those that no text has.
    HearsByte(u8),
    /// Reads so many bytes of the pattern.
    HearsBulk(usize),
    Says(String),
    /// Writes so many bytes of the pattern.
    SaysBulk(usize),
    /// Ends its writing side.
    Ends,
    /// Reads until the gateway leaves, by an end or a reset.
    Waits,
    /// Waits until the test says so.
    Until(Receiver<()>),
    /// Tells the test that it got here.
    Tells(Sender<()>),
    /// Changes its TLS keys: a record without data.
    Rekeys,
}

pub fn hears(text: &str) -> Does {
    Does::Hears(text.replace('|', "\r\n"))
}

pub fn says(text: &str) -> Does {
    Does::Says(text.replace('|', "\r\n"))
}

/// A connection as a script sees it.
pub trait Line: Read + Write {
    fn end(&mut self);

    fn rekey(&mut self) {
        unreachable!("only TLS has keys");
    }
}

impl Line for TcpStream {
    fn end(&mut self) {
        self.shutdown(Shutdown::Write).unwrap();
    }
}

impl Line for UnixStream {
    fn end(&mut self) {
        self.shutdown(Shutdown::Write).unwrap();
    }
}

impl Line for StreamOwned<ServerConnection, TcpStream> {
    fn end(&mut self) {
        self.conn.send_close_notify();
        self.flush().unwrap();
    }

    fn rekey(&mut self) {
        self.conn.refresh_traffic_keys().unwrap();
        // rustls keeps the record back until something is written, if only nothing.
        assert_eq!(self.conn.writer().write(b"").unwrap(), 0);
        assert!(self.conn.wants_write());
        self.flush().unwrap();
    }
}

/// A backend under way; `done` waits for it and passes its panic on.
pub struct Backend {
    pub address: SocketAddr,
    thread: JoinHandle<()>,
}

impl Backend {
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The shard goes on meanwhile: it has connections to close.
    pub async fn done(self) {
        while !self.thread.is_finished() {
            yield_now().await;
        }
        if let Err(panic) = self.thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

/// A port that listens already, so that scripts can name it.
pub struct Bound(TcpListener);

impl Bound {
    pub fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    /// `host:port`.
    pub fn host(&self) -> String {
        self.0.local_addr().unwrap().to_string()
    }

    /// Plays a list of steps for each connection, one connection after another.
    pub fn play(self, scripts: Vec<Vec<Does>>) -> Backend {
        self.serve(scripts, |stream| stream)
    }

    /// The same behind TLS.
    pub fn play_tls(self, config: ServerConfig, scripts: Vec<Vec<Does>>) -> Backend {
        let config = Arc::new(config);
        self.serve(scripts, move |stream| StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream))
    }

    fn serve<L: Line>(self, scripts: Vec<Vec<Does>>, wrap: impl Fn(TcpStream) -> L + Send + 'static) -> Backend {
        let address = self.0.local_addr().unwrap();
        let thread = thread::spawn(move || {
            for steps in scripts {
                let (stream, _) = self.0.accept().unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream.set_write_timeout(Some(PATIENCE)).unwrap();
                stream.set_nodelay(true).unwrap();
                play(&mut wrap(stream), steps);
            }
        });
        Backend { address, thread }
    }
}

/// A backend for one connection, whose script is made from its `host:port`.
pub fn backend(script: impl FnOnce(&str) -> Vec<Does>) -> Backend {
    let bound = Bound::new();
    let steps = script(&bound.host());
    bound.play(vec![steps])
}

/// A backend on a Unix socket, for one connection.
pub fn unix_backend(path: &Path, steps: Vec<Does>) -> JoinHandle<()> {
    let listener = UnixListener::bind(path).unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        play(&mut stream, steps);
    })
}

pub fn play(line: &mut impl Line, steps: Vec<Does>) {
    for step in steps {
        match step {
            Does::Hears(text) => hear(line, &text),
            Does::HearsByte(byte) => {
                let mut heard = [0];
                line.read_exact(&mut heard).unwrap();
                assert_eq!(heard, [byte]);
            }
            Does::HearsBulk(bytes) => hear(line, pattern(bytes)),
            Does::Says(text) => {
                line.write_all(text.as_bytes()).unwrap();
                line.flush().unwrap();
            }
            Does::SaysBulk(bytes) => line.write_all(pattern(bytes).as_bytes()).unwrap(),
            Does::Ends => line.end(),
            Does::Waits => {
                let mut rest = Vec::new();
                let _ = line.read_to_end(&mut rest);
            }
            Does::Until(signal) => signal.recv_timeout(PATIENCE).unwrap(),
            Does::Tells(test) => test.send(()).unwrap(),
            Does::Rekeys => line.rekey(),
        }
    }
}

fn hear(line: &mut impl Line, text: &str) {
    let mut heard = Vec::new();
    while heard.len() < text.len() {
        let mut piece = vec![0; (text.len() - heard.len()).min(64 * 1024)];
        match line.read(&mut piece) {
            Ok(count) if count > 0 => heard.extend_from_slice(&piece[..count]),
            other => panic!("{other:?} after {:?} instead of {text:?}", String::from_utf8_lossy(&heard)),
        }
    }
    // Not by `assert_eq` alone: of megabytes it would print megabytes.
    assert!(
        heard == text.as_bytes() || text.len() > 10_000,
        "{:?} instead of {text:?}",
        String::from_utf8_lossy(&heard)
    );
    assert!(heard == text.as_bytes(), "other bytes than the pattern's");
}
