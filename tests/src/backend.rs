//! A backend that does what a closure tells it, one thread per connection, and remembers what it was asked.

use std::collections::HashMap;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use crate::deadline::{wait_for, wait_until};
use crate::head::Head;
use crate::peer::Peer;
use crate::port::Port;

/// A request as it reached the backend.
type Seen = (Head, Vec<u8>);

/// A scripted HTTP/1.1 backend.
#[derive(Debug)]
pub struct Backend {
    port: Port,
    shared: Arc<Shared>,
    accept: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    connections: AtomicUsize,
    seen: Mutex<Vec<Seen>>,
    failures: Mutex<Vec<String>>,
    open: Mutex<HashMap<usize, TcpStream>>,
}

impl Backend {
    /// Gives every connection (numbered from 0) to `serve`, on a thread of its own. When `serve` returns, the connection
    /// closes. A panic of `serve` fails the test when the backend is dropped.
    pub fn scripted(serve: impl Fn(&mut Peer, usize) + Send + Sync + 'static) -> Backend {
        Backend::scripted_on(Port::new(), serve)
    }

    /// The same on a port that the test has chosen, perhaps to come up late or again.
    pub fn scripted_on(port: Port, serve: impl Fn(&mut Peer, usize) + Send + Sync + 'static) -> Backend {
        Backend::start(port, move |peer, connection, _| serve(peer, connection))
    }

    /// Plays one conversation per connection ([`Peer::talk`]) and closes it.
    pub fn conversation(conversation: &'static str) -> Backend {
        Backend::scripted(move |peer, _| peer.talk(conversation))
    }

    /// Reads whole requests, answers each with what `reply` makes of it, and keeps the connection alive.
    pub fn replies(reply: impl Fn(&Head, &[u8]) -> String + Send + Sync + 'static) -> Backend {
        Backend::replies_on(Port::new(), reply)
    }

    /// The same on a port that the test has chosen.
    pub fn replies_on(port: Port, reply: impl Fn(&Head, &[u8]) -> String + Send + Sync + 'static) -> Backend {
        Backend::start(port, move |peer, _, shared| {
            while let Some(head) = peer.next_head() {
                let body = peer.body(&head);
                let reply = reply(&head, &body);
                shared.seen.lock().expect("no panic under the lock").push((head, body));
                peer.send(reply);
            }
        })
    }

    /// Answers everything with 200 and `body`.
    pub fn ok(body: &'static str) -> Backend {
        Backend::ok_on(Port::new(), body)
    }

    /// The same on a port that the test has chosen.
    pub fn ok_on(port: Port, body: &'static str) -> Backend {
        Backend::replies_on(port, move |head, _| {
            let sent = if head.method() == "HEAD" { "" } else { body };
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{sent}", body.len())
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Its address as the target of an endpoint.
    pub fn target(&self) -> String {
        format!("http://{}", self.address())
    }

    /// How many connections have been opened to it.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Every request that one of the replying backends has read, in the order of arrival.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().expect("no panic under the lock").clone()
    }

    /// The only request that has arrived.
    #[track_caller]
    pub fn only(&self) -> Seen {
        let mut seen = self.seen();
        assert_eq!(seen.len(), 1, "one request should have arrived: {seen:?}");
        seen.remove(0)
    }

    /// Stops listening, cuts every connection and gives the port back, so that the backend can come up again.
    pub fn stop(mut self) -> Port {
        self.cut();
        std::mem::replace(&mut self.port, Port::new())
    }

    fn start(port: Port, serve: impl Fn(&mut Peer, usize, &Shared) + Send + Sync + 'static) -> Backend {
        // A port that was listened on before may be held for a moment by a program that was just being started.
        let listener = wait_for("the leased port to be free", || TcpListener::bind(port.address()).ok());
        let shared = Arc::new(Shared::default());
        let accept = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared, &Arc::new(serve))
        });
        Backend { port, shared, accept: Some(accept) }
    }

    fn cut(&mut self) {
        let Some(accept) = self.accept.take() else { return };
        self.shared.stop.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which then sees that it is to stop.
        let _ = TcpStream::connect(self.address());
        let _ = accept.join();
        for (_, stream) in self.shared.open.lock().expect("no panic under the lock").drain() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        wait_until("the backend's threads to end", || Arc::strong_count(&self.shared) == 1);
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.cut();
        let failures = std::mem::take(&mut *self.shared.failures.lock().expect("no panic under the lock"));
        if !thread::panicking() {
            assert!(failures.is_empty(), "the backend failed: {}", failures.join("\n"));
        }
    }
}

fn accept(
    listener: &TcpListener,
    shared: &Arc<Shared>,
    serve: &Arc<impl Fn(&mut Peer, usize, &Shared) + Send + Sync + 'static>,
) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        let connection = shared.connections.fetch_add(1, Ordering::SeqCst);
        let handle = stream.try_clone().expect("a second handle");
        shared.open.lock().expect("no panic under the lock").insert(connection, handle);
        let (shared, serve) = (Arc::clone(shared), Arc::clone(serve));
        thread::spawn(move || {
            let mut peer = Peer::backend(stream);
            let served = catch_unwind(AssertUnwindSafe(|| serve(&mut peer, connection, &shared)));
            let _ = peer.stream().shutdown(Shutdown::Both);
            // A backend that serves thousands of connections must not keep a descriptor of each.
            shared.open.lock().expect("no panic under the lock").remove(&connection);
            if let Err(panic) = served
                && !shared.stop.load(Ordering::SeqCst)
            {
                let text = panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "a panic".to_owned());
                shared.failures.lock().expect("no panic under the lock").push(text);
            }
        });
    }
}
