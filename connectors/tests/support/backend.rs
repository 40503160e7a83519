//! Scripted backends on plain threads.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread::{self, JoinHandle};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{PATIENCE, pattern};

/// What a backend does, one thing after another. In texts, `|` parts lines.
pub enum Does {
    /// Reads exactly this.
    Hears(String),
    /// Reads so many bytes of the pattern.
    HearsBulk(usize),
    Says(String),
    /// Writes so many bytes of the pattern.
    SaysBulk(usize),
    /// Ends its writing side.
    Ends,
    /// Closes at once, with a reset.
    Resets,
    /// Reads until the gateway leaves, by an end or a reset.
    Waits,
    /// Waits until the test says so.
    Until(Receiver<()>),
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
    fn reset(&mut self);
}

impl Line for TcpStream {
    fn end(&mut self) {
        self.shutdown(Shutdown::Write).unwrap();
    }

    fn reset(&mut self) {
        // What is unread makes of the close a reset; a script that wants one leaves something unread.
        self.shutdown(Shutdown::Read).ok();
    }
}

impl Line for UnixStream {
    fn end(&mut self) {
        self.shutdown(Shutdown::Write).unwrap();
    }

    fn reset(&mut self) {}
}

impl Line for StreamOwned<ServerConnection, TcpStream> {
    fn end(&mut self) {
        self.conn.send_close_notify();
        self.flush().unwrap();
    }

    fn reset(&mut self) {}
}

/// A backend under way; `done` waits for it and passes its panic on.
pub struct Backend {
    pub address: SocketAddr,
    thread: JoinHandle<()>,
}

impl Backend {
    /// `host:port`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn done(self) {
        if let Err(panic) = self.thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

/// A listener whose script is made once its address is known: one list of steps per connection.
pub fn backend(script: impl FnOnce(&str) -> Vec<Vec<Does>> + Send + 'static) -> Backend {
    serve(script, |stream| stream)
}

/// The same behind TLS.
pub fn tls_backend(
    config: ServerConfig,
    script: impl FnOnce(&str) -> Vec<Vec<Does>> + Send + 'static,
) -> Backend {
    let config = Arc::new(config);
    serve(script, move |stream| StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream))
}

fn serve<L: Line>(
    script: impl FnOnce(&str) -> Vec<Vec<Does>> + Send + 'static,
    wrap: impl Fn(TcpStream) -> L + Send + 'static,
) -> Backend {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = thread::spawn(move || {
        for steps in script(&address.to_string()) {
            let (stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.set_write_timeout(Some(PATIENCE)).unwrap();
            stream.set_nodelay(true).unwrap();
            play(&mut wrap(stream), steps);
        }
    });
    Backend { address, thread }
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
            Does::HearsBulk(bytes) => hear(line, &pattern(bytes)),
            Does::Says(text) => {
                line.write_all(text.as_bytes()).unwrap();
                line.flush().unwrap();
            }
            Does::SaysBulk(bytes) => line.write_all(pattern(bytes).as_bytes()).unwrap(),
            Does::Ends => line.end(),
            Does::Resets => return line.reset(),
            Does::Waits => {
                let mut rest = Vec::new();
                let _ = line.read_to_end(&mut rest);
            }
            Does::Until(signal) => signal.recv_timeout(PATIENCE).unwrap(),
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
    assert_eq!(String::from_utf8_lossy(&heard), text);
}
