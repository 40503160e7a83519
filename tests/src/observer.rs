//! A backend that does nothing by itself: it notes every byte that arrives, and says what it is told.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::port::Port;

/// The listening end, and everything that has arrived.
#[derive(Debug)]
pub struct Observer {
    port: Port,
    events: Receiver<Event>,
    stop: Arc<AtomicBool>,
    accept: Option<JoinHandle<()>>,
    /// The connections since the last [`Observer::forget`], by their number.
    pub connections: BTreeMap<usize, Arrived>,
}

/// One connection to the observer.
#[derive(Debug)]
pub struct Arrived {
    stream: TcpStream,
    /// Bytes that arrived and were not taken yet.
    pub pending: Vec<u8>,
    /// Whether the other end has closed.
    pub ended: bool,
}

#[derive(Debug)]
enum Event {
    Opened(usize, TcpStream),
    Bytes(usize, Vec<u8>),
    Ended(usize),
}

impl Observer {
    /// Listens on a port of its own.
    #[expect(clippy::new_without_default, reason = "a listener is not a default value")]
    pub fn new() -> Observer {
        let port = Port::new();
        let listener = TcpListener::bind(port.address()).expect("a leased port is free");
        let (sender, events) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let accept = thread::spawn({
            let stop = Arc::clone(&stop);
            move || accept(&listener, &stop, &sender)
        });
        Observer { port, events, stop, accept: Some(accept), connections: BTreeMap::new() }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Waits for something to happen; false when nothing did within `limit`.
    pub fn wait(&mut self, limit: Duration) -> bool {
        match self.events.recv_timeout(limit) {
            Ok(event) => {
                self.note(event);
                true
            }
            Err(_) => false,
        }
    }

    /// Waits until `condition` yields a value, for at most `limit`.
    pub fn wait_for<T>(&mut self, limit: Duration, mut condition: impl FnMut(&mut Self) -> Option<T>) -> Option<T> {
        let end = Instant::now() + limit;
        loop {
            if let Some(value) = condition(self) {
                return Some(value);
            }
            let left = end.checked_duration_since(Instant::now())?;
            self.wait(left);
        }
    }

    /// Sends over a connection. Whether the other end takes it is seen by what comes next.
    pub fn send(&mut self, connection: usize, bytes: &[u8]) {
        if let Some(arrived) = self.connections.get_mut(&connection) {
            let _ = arrived.stream.write_all(bytes);
        }
    }

    /// Closes a connection; what has arrived over it stays.
    pub fn close(&mut self, connection: usize) {
        if let Some(arrived) = self.connections.get_mut(&connection) {
            let _ = arrived.stream.shutdown(Shutdown::Both);
        }
    }

    /// Closes all connections and forgets them.
    pub fn forget(&mut self) {
        for arrived in self.connections.values() {
            let _ = arrived.stream.shutdown(Shutdown::Both);
        }
        self.connections.clear();
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Opened(number, stream) => {
                self.connections.insert(number, Arrived { stream, pending: Vec::new(), ended: false });
            }
            // What still comes over a connection that was forgotten is of no interest.
            Event::Bytes(number, bytes) => {
                if let Some(arrived) = self.connections.get_mut(&number) {
                    arrived.pending.extend_from_slice(&bytes);
                }
            }
            Event::Ended(number) => {
                if let Some(arrived) = self.connections.get_mut(&number) {
                    arrived.ended = true;
                }
            }
        }
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.forget();
        // Wakes the accepting thread, which then sees that it is to stop.
        let _ = TcpStream::connect(self.address());
        if let Some(accept) = self.accept.take() {
            let _ = accept.join();
        }
    }
}

fn accept(listener: &TcpListener, stop: &AtomicBool, events: &Sender<Event>) {
    for (number, stream) in listener.incoming().enumerate() {
        let Ok(stream) = stream else { continue };
        if stop.load(Ordering::SeqCst) {
            return;
        }
        stream.set_nodelay(true).expect("a socket option");
        let reader = stream.try_clone().expect("a second handle");
        let _ = events.send(Event::Opened(number, stream));
        let events = events.clone();
        thread::spawn(move || read(reader, number, &events));
    }
}

fn read(mut stream: TcpStream, number: usize, events: &Sender<Event>) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        let _ = events.send(Event::Bytes(number, buffer[..count].to_vec()));
    }
    let _ = events.send(Event::Ended(number));
}
