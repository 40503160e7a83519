//! The limit: a thread on the gateway's core that does nothing but `send` the same bytes to as many subscribers at the same intervals.

use std::io::{ErrorKind, Result, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;
use ringway_benches::{cost, pin};
use rustix::thread::{Pid, gettid};

/// How long it waits for a subscriber that is behind.
const PAUSE: Duration = Duration::from_millis(1);

/// What is sent to each subscriber with one `send`.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Messages of it.
    pub messages: u64,
    /// Bytes of each.
    pub bytes: usize,
    /// From one `send` to the next.
    pub every: Duration,
}

impl Load {
    /// Events with these numbers, of the size of those of the gateway.
    fn events(&self, numbers: std::ops::Range<u64>) -> Vec<u8> {
        const FRAME: usize = "data:  00000000\n\n".len();
        let filler = "x".repeat(self.bytes.saturating_sub(FRAME));
        numbers.flat_map(|number| format!("data: {filler} {number:08}\n\n").into_bytes()).collect()
    }
}

/// The thread.
#[derive(Debug)]
pub struct Bare {
    address: SocketAddr,
    task: Pid,
    thread: JoinHandle<()>,
}

impl Bare {
    /// Begins to send when so many subscribers are there.
    ///
    /// # Errors
    /// There is no second core, or no port.
    pub fn start(subscribers: usize, load: Load) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let (address, (tell, told)) = (listener.local_addr()?, mpsc::channel());
        let thread = thread::spawn(move || {
            let _ = tell.send(pin(0).map(|()| gettid()));
            // It ends when the first of its subscribers goes.
            let _ = accept(&listener, subscribers).and_then(|streams| run(&streams, load));
        });
        Ok(Self { address, task: told.recv().context("the bare loop has ended")??, thread })
    }

    /// Where subscribers connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// CPU time of the whole loop.
    ///
    /// # Errors
    /// It has ended.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        cost::thread(self.task.as_raw_nonzero().get())
    }

    /// Waits for its end, after its subscribers have gone.
    ///
    /// # Errors
    /// It has panicked.
    pub fn join(self) -> anyhow::Result<()> {
        self.thread.join().map_err(|_| anyhow::anyhow!("the bare loop has panicked"))
    }
}

fn accept(listener: &TcpListener, subscribers: usize) -> Result<Vec<TcpStream>> {
    let accepted = listener.incoming().take(subscribers);
    accepted
        .map(|stream| {
            let stream = stream?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            Ok(stream)
        })
        .collect()
}

fn run(streams: &[TcpStream], load: Load) -> Result<()> {
    let (mut next, mut due) = (0, Instant::now());
    loop {
        let events = load.events(next..next + load.messages);
        next += load.messages;
        streams.iter().try_for_each(|stream| send(stream, &events))?;
        due += load.every;
        thread::park_timeout(due.saturating_duration_since(Instant::now()));
    }
}

fn send(mut stream: &TcpStream, mut events: &[u8]) -> Result<()> {
    while !events.is_empty() {
        match stream.write(events) {
            Ok(count) => events = events.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::park_timeout(PAUSE),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
