//! What it costs to send one topic to many: a message API in front of the `mock` endpoint, and clients of its `sse` entrypoint.
//!
//! For each interval between two messages it prints how many were delivered, the gateway's CPU time per delivered message, what a core would do
//! per second, and the CPU time of a bare loop of `send` that does the same in turn with the gateway. Then the same of messages that come in
//! bursts, from a real broker (Mosquitto): several of them leave with one write. Then what an idle subscriber weighs, and how many connections
//! the broker has for all of them. The gateway has one shard on a core of its own, as has the bare loop; the clients have the other core, and
//! every one of them must have received every message, in order.
//!
//! ```text
//!   core 0                                                          core 1
//!   gateway   ── an event of 130 bytes to each, every 10 ms ──────▶ 1,000 clients
//!   bare loop ── as many bytes to each, every 10 ms, in turn ─────▶ 1,000 clients
//! ```
#![allow(clippy::print_stdout, reason = "a report is what this program is for")]

mod bare;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bare::{Bare, Load};
use clap::Parser;
use ringway_benches::mqtt::Publisher;
use ringway_benches::{cost, median, pin};
use ringway_tests::{Api, Gateway, Mosquitto};
use rumqttc::v5::mqttbytes::QoS;
use rustix::event::{Timespec, epoll};
use serde_json::json;

/// Measures fan-out of one topic to many clients.
#[derive(Debug, Parser)]
struct Options {
    /// The gateway to measure, built by `cargo build --release -p ringway`.
    #[arg(long, default_value = "target/release/ringway")]
    ringway: PathBuf,
    /// Clients of the topic.
    #[arg(long, default_value_t = 1_000)]
    subscribers: usize,
    /// Milliseconds between two messages.
    #[arg(long, value_delimiter = ',', default_values_t = [20, 10, 5], value_parser = clap::value_parser!(u64).range(1..))]
    intervals: Vec<u64>,
    /// Messages that come at once, in bursts.
    #[arg(long, value_delimiter = ',', default_values_t = [16, 64])]
    bursts: Vec<u64>,
    /// Milliseconds between two bursts.
    #[arg(long, default_value_t = 40)]
    burst_interval: u64,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// How often gateway and bare loop are measured in turn; medians are printed.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Subscribers that are weighed.
    #[arg(long, default_value_t = 5_000)]
    idle: usize,
    /// Subscribers in front of a real broker.
    #[arg(long, default_value_t = 10_000)]
    shared: usize,
}

/// Content of each message, besides its number: with it an event has about 130 bytes.
const CONTENT: &str = "a reading of one hundred bytes, which is about what a sensor says about itself when it is asked";

fn main() -> Result<()> {
    let options = Options::parse();
    let ringway = options.ringway.canonicalize().with_context(|| options.ringway.display().to_string())?;
    if std::env::var_os("RINGWAY_BIN").as_deref() != Some(ringway.as_os_str()) {
        // The harness takes its gateway from the environment, which a process sets for its children only.
        let this = std::env::current_exe()?;
        let arguments = std::env::args_os().skip(1);
        let status = std::process::Command::new(this).args(arguments).env("RINGWAY_BIN", &ringway).status()?;
        std::process::exit(status.code().unwrap_or(1));
    }
    println!("{} subscribers, medians of {} rounds", options.subscribers, options.rounds);
    println!(
        "{:>20} {:>12} {:>15} {:>21} {:>21} {:>21} {:>13}",
        "messages",
        "delivered/s",
        "CPU us/message",
        "messages/core-second",
        "bare: CPU us/message",
        "messages/core-second",
        "gateway/bare"
    );
    for interval in &options.intervals {
        let turns = turns(&options, 1, Duration::from_millis(*interval), || {
            let gateway = gateway(*interval)?;
            measure_gateway(&options, &gateway)
        })?;
        report(&format!("1 every {interval} ms"), &turns);
    }
    for burst in &options.bursts {
        let every = Duration::from_millis(options.burst_interval);
        let turns = turns(&options, *burst, every, || {
            let (mosquitto, gateway) = shared()?;
            let publisher = Bursts::start(&mosquitto, *burst, every)?;
            let measure = measure_gateway(&options, &gateway)?;
            publisher.stop()?;
            Ok(measure)
        })?;
        report(&format!("{burst} every {} ms", options.burst_interval), &turns);
    }
    println!("{:.0} bytes per idle subscriber, of {}", weigh(options.idle)?, options.idle);
    let connections = share(options.shared)?;
    println!(
        "{connections} connection(s) to the broker for {} subscribers, all of which heard a message",
        options.shared
    );
    Ok(())
}

/// What was delivered, for how much CPU time, in how much time.
struct Measure {
    delivered: u64,
    bytes: u64,
    cpu: Duration,
    took: Duration,
}

impl Measure {
    /// CPU time of a message in microseconds.
    fn each_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.delivered as f64
    }

    fn per_second(&self) -> f64 {
        self.delivered as f64 / self.took.as_secs_f64()
    }
}

/// A slice of each.
struct Turn {
    gateway: Measure,
    bare: Measure,
}

/// Measures the gateway and a bare loop in turn: `messages` with one `send`, of the size that the gateway gives them.
fn turns(
    options: &Options,
    messages: u64,
    every: Duration,
    gateway: impl Fn() -> Result<Measure>,
) -> Result<Vec<Turn>> {
    let turn = |_| {
        let gateway = gateway()?;
        let bytes = gateway.bytes.checked_div(gateway.delivered).context("nothing was delivered")? as usize;
        let bare = Bare::start(options.subscribers, Load { messages, bytes, every })?;
        let measure = measure(options, bare.address(), || bare.cpu())?;
        bare.join()?;
        Ok(Turn { gateway, bare: measure })
    };
    (0..options.rounds.max(1)).map(turn).collect()
}

fn report(title: &str, turns: &[Turn]) {
    let of = |figure: &dyn Fn(&Turn) -> f64| median(turns.iter().map(figure).collect());
    let (each, bare) = (of(&|turn| turn.gateway.each_us()), of(&|turn| turn.bare.each_us()));
    println!(
        "{title:>20} {:>12.0} {each:>15.2} {:>21.0} {bare:>21.2} {:>21.0} {:>13.2}",
        of(&|turn| turn.gateway.per_second()),
        1e6 / each,
        1e6 / bare,
        of(&|turn| turn.gateway.each_us() / turn.bare.each_us())
    );
}

/// Messages that are published a number at a time.
struct Bursts {
    goes_on: Arc<AtomicBool>,
    thread: JoinHandle<Result<()>>,
}

impl Bursts {
    fn start(mosquitto: &Mosquitto, size: u64, every: Duration) -> Result<Self> {
        let mut publisher = Publisher::connect(mosquitto.address(), TOPIC, QoS::AtMostOnce)?;
        let goes_on = Arc::new(AtomicBool::new(true));
        let told = goes_on.clone();
        let thread = std::thread::spawn(move || {
            let mut next = 0;
            while told.load(Ordering::Relaxed) {
                publisher.send((next..next + size).map(|number| format!("{CONTENT} {number}").into()))?;
                next += size;
                std::thread::park_timeout(every);
            }
            Ok(())
        });
        Ok(Self { goes_on, thread })
    }

    fn stop(self) -> Result<()> {
        self.goes_on.store(false, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|_| bail!("the publisher has panicked"))
    }
}

fn gateway(interval: u64) -> Result<Gateway> {
    let api = Api::messages(
        "/",
        json!([{ "type": "sse", "configuration": { "heartbeatIntervalInMs": 600_000 } }]),
        "mock",
        json!({ "messageInterval": interval, "messageContent": CONTENT }),
    );
    pin(0)?;
    // What a process starts has its core.
    let gateway = Gateway::configured("logging: { access: { enabled: false } }\n", &[api]);
    pin(1)?;
    Ok(gateway)
}

/// A client, and what it has of the stream.
struct Client {
    stream: TcpStream,
    /// The end of what came last: an event may be cut.
    tail: Vec<u8>,
    /// Number of the last message.
    last: Option<u64>,
    received: u64,
    bytes: u64,
}

impl Client {
    fn connect(server: SocketAddr) -> Result<Self> {
        let mut stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n")?;
        Ok(Self { stream, tail: Vec::new(), last: None, received: 0, bytes: 0 })
    }

    /// Takes what is there, and checks that no message is missing.
    fn receive(&mut self, buffer: &mut [u8]) -> Result<()> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => bail!("a stream ended"),
                Ok(count) => {
                    self.bytes += count as u64;
                    self.tail.extend_from_slice(buffer.get(..count).unwrap_or_default());
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        let text = std::mem::take(&mut self.tail);
        let mut rest = text.as_slice();
        while let Some(end) = find(rest, b"\n\n") {
            let (event, behind) = rest.split_at(end);
            rest = behind.get(2..).unwrap_or_default();
            // The head, and how long to wait before coming back, are no events.
            let line = event.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
            let Some(data) = line.strip_prefix(b"data: ") else { continue };
            let digits = data.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
            let number = digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit.wrapping_sub(b'0')));
            ensure!(self.last.is_none_or(|last| number == last + 1), "message {number} came after {:?}", self.last);
            self.last = Some(number);
            self.received += 1;
        }
        self.tail.extend_from_slice(rest);
        Ok(())
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

fn measure_gateway(options: &Options, gateway: &Gateway) -> Result<Measure> {
    measure(options, gateway.http(), || cost::cpu(gateway.process().id()))
}

/// What clients are sent by whoever uses this CPU time.
fn measure(options: &Options, server: SocketAddr, cpu: impl Fn() -> Result<Duration>) -> Result<Measure> {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut clients = Vec::with_capacity(options.subscribers);
    for index in 0..options.subscribers {
        let client = Client::connect(server)?;
        client.stream.set_nonblocking(true)?;
        epoll::add(&poll, &client.stream, epoll::EventData::new_u64(index as u64), epoll::EventFlags::IN)?;
        clients.push(client);
    }
    // Until everybody hears something.
    let warm = Instant::now() + Duration::from_secs(30);
    while clients.iter().any(|client| client.received == 0) {
        ensure!(Instant::now() < warm, "not every client hears the topic");
        turn(&poll, &mut clients)?;
    }
    let sum = |clients: &[Client]| -> (u64, u64) {
        let received = clients.iter().map(|client| client.received).sum();
        (received, clients.iter().map(|client| client.bytes).sum())
    };
    let before = sum(&clients);
    let (begin, spent) = (Instant::now(), cpu()?);
    while begin.elapsed().as_secs_f64() < options.seconds {
        turn(&poll, &mut clients)?;
    }
    let (took, spent, after) = (begin.elapsed(), cpu()?.saturating_sub(spent), sum(&clients));
    Ok(Measure { delivered: after.0 - before.0, bytes: after.1 - before.1, cpu: spent, took })
}

fn turn(poll: &OwnedFd, clients: &mut [Client]) -> Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut events = Vec::with_capacity(256);
    let timeout = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    match epoll::wait(poll, rustix::buffer::spare_capacity(&mut events), Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => bail!("epoll: {error}"),
    }
    for event in events {
        let client = clients.get_mut(event.data.u64() as usize).context("an event of no client")?;
        client.receive(&mut buffer)?;
    }
    Ok(())
}

/// Subscribers that come first, so that what is made once is not billed to those that are weighed.
const WARM: usize = 200;
/// How long they are quiet before they are weighed.
const REST: Duration = Duration::from_secs(4);

fn weigh(count: usize) -> Result<f64> {
    // The first message comes when nobody is there any more.
    let gateway = gateway(3_600_000)?;
    let process = gateway.process().id();
    let mut open = Vec::with_capacity(WARM + count);
    for _ in 0..WARM {
        open.push(greeted(&gateway)?);
    }
    std::thread::park_timeout(REST);
    let before = cost::resident(process)?;
    for _ in 0..count {
        open.push(greeted(&gateway)?);
    }
    std::thread::park_timeout(REST);
    let after = cost::resident(process)?;
    ensure!(gateway.metric("ringway_streams", &[]) as usize == WARM + count, "some streams are gone");
    Ok(after.saturating_sub(before) as f64 / count as f64)
}

/// A client that has the beginning of its stream.
fn greeted(gateway: &Gateway) -> Result<Client> {
    let mut client = Client::connect(gateway.http())?;
    client.stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut buffer = [0; 4096];
    while find(&client.tail, b"retry: ").is_none() {
        let count = client.stream.read(&mut buffer)?;
        ensure!(count > 0, "a stream ended at once");
        client.tail.extend_from_slice(buffer.get(..count).unwrap_or_default());
    }
    Ok(client)
}

/// A topic of Mosquitto's.
const TOPIC: &str = "t";

/// A broker, and a gateway whose streams are of a topic of it.
fn shared() -> Result<(Mosquitto, Gateway)> {
    pin(1)?;
    let mosquitto = Mosquitto::start();
    let place = json!({ "serverHost": "127.0.0.1", "serverPort": mosquitto.address().port() });
    let sse = json!([{ "type": "sse", "configuration": { "heartbeatIntervalInMs": 600_000 } }]);
    let api = Api::messages("/", sse, "mqtt5", place)
        .with("endpointGroups/0/endpoints/0/inheritConfiguration", json!(true))
        .with("endpointGroups/0/sharedConfiguration", json!({ "consumer": { "topic": TOPIC } }));
    pin(0)?;
    let gateway = Gateway::configured("logging: { access: { enabled: false } }\n", &[api]);
    pin(1)?;
    Ok((mosquitto, gateway))
}

/// How many connections a broker has for so many subscribers of one topic. Each of them has to hear a message.
fn share(count: usize) -> Result<usize> {
    let (mosquitto, gateway) = shared()?;
    let mut open = Vec::with_capacity(count);
    for _ in 0..count {
        open.push(greeted(&gateway)?);
    }
    mosquitto.publish(&["-t", TOPIC, "-q", "1", "-m", "to all of them"]);
    let mut buffer = [0; 4096];
    for client in &mut open {
        while find(&client.tail, b"data: to all of them").is_none() {
            let read = client.stream.read(&mut buffer)?;
            ensure!(read > 0, "a stream ended");
            client.tail.extend_from_slice(buffer.get(..read).unwrap_or_default());
        }
    }
    Ok(mosquitto.log().matches(" as ringway-").count())
}
