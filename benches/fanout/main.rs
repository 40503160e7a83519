//! What it costs to send one topic to many: a message API in front of the `mock` endpoint, and clients of its `sse` entrypoint.
//!
//! For each interval between two messages it prints how many were delivered, the gateway's CPU time per delivered message, and what a
//! core would do per second. Then the same of messages that come in bursts, from a real broker (Mosquitto): several of them leave with one
//! write. Then what an idle subscriber weighs, and how many connections the broker has for all of them. The gateway has one shard on a core
//! of its own, the clients the other core; every client must have received every message, in order.
#![allow(clippy::print_stdout, reason = "a report is what this program is for")]

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use ringway_benches::cost;
use ringway_benches::mqtt::Publisher;
use ringway_tests::{Api, Gateway, Mosquitto};
use rumqttc::v5::mqttbytes::QoS;
use rustix::event::{Timespec, epoll};
use rustix::thread::{CpuSet, sched_setaffinity};
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
    /// Milliseconds between two messages; 0: as fast as they are taken.
    #[arg(long, value_delimiter = ',', default_values_t = [20, 10, 5])]
    intervals: Vec<u64>,
    /// Messages that come at once, in bursts.
    #[arg(long, value_delimiter = ',', default_values_t = [16, 64])]
    bursts: Vec<u64>,
    /// Milliseconds between two bursts.
    #[arg(long, default_value_t = 40)]
    burst_interval: u64,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
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
    println!("{} subscribers", options.subscribers);
    println!("{:>24} {:>12} {:>14} {:>22}", "messages", "delivered/s", "CPU us/message", "messages/core-second");
    for interval in &options.intervals {
        let gateway = gateway(*interval)?;
        report(&format!("1 every {interval} ms"), &measure(&options, &gateway)?);
    }
    for burst in &options.bursts {
        let (mosquitto, gateway) = shared()?;
        let publisher = Bursts::start(&mosquitto, *burst, Duration::from_millis(options.burst_interval))?;
        report(&format!("{burst} every {} ms", options.burst_interval), &measure(&options, &gateway)?);
        publisher.stop()?;
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
    cpu: Duration,
    took: Duration,
}

fn report(title: &str, measure: &Measure) {
    let each = measure.cpu.as_secs_f64() / measure.delivered as f64;
    let rate = measure.delivered as f64 / measure.took.as_secs_f64();
    println!("{title:>24} {rate:>12.0} {:>14.2} {:>22.0}", each * 1e6, 1.0 / each);
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

fn pin(core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).context("this needs two cores")
}

/// A client, and what it has of the stream.
struct Client {
    stream: TcpStream,
    /// The end of what came last: an event may be cut.
    tail: Vec<u8>,
    /// Number of the last message.
    last: Option<u64>,
    received: u64,
}

impl Client {
    fn connect(gateway: &Gateway) -> Result<Self> {
        let mut stream = TcpStream::connect(gateway.http())?;
        stream.set_nodelay(true)?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n")?;
        Ok(Self { stream, tail: Vec::new(), last: None, received: 0 })
    }

    /// Takes what is there, and checks that no message is missing.
    fn receive(&mut self, buffer: &mut [u8]) -> Result<()> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => bail!("a stream ended"),
                Ok(count) => self.tail.extend_from_slice(buffer.get(..count).unwrap_or_default()),
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

fn measure(options: &Options, gateway: &Gateway) -> Result<Measure> {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut clients = Vec::with_capacity(options.subscribers);
    for index in 0..options.subscribers {
        let client = Client::connect(gateway)?;
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
    let before: u64 = clients.iter().map(|client| client.received).sum();
    let (begin, spent) = (Instant::now(), cost::cpu(gateway.process().id())?);
    while begin.elapsed().as_secs_f64() < options.seconds {
        turn(&poll, &mut clients)?;
    }
    let (took, spent) = (begin.elapsed(), cost::cpu(gateway.process().id())?.saturating_sub(spent));
    let after: u64 = clients.iter().map(|client| client.received).sum();
    Ok(Measure { delivered: after - before, cpu: spent, took })
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
    let mut client = Client::connect(gateway)?;
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
