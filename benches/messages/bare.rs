//! The limit: a process that only reads or writes with the broker's client library, and says how far it is.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::BaseProducer;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{Client, Event, MqttOptions};

use super::flow::{enqueue, flush};
use super::hook::{CONNECTIONS, Caller};
use super::listen::Progress;

/// What it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    KafkaConsumer,
    KafkaProducer,
    KafkaCaller,
    MqttSubscriber,
    MqttSubscriberQos0,
}

/// How many messages it says at once that it has.
const STEP: u64 = 512;

/// What a subscriber says when it is one.
const READY: &str = "ready";

/// The process.
pub struct Bare {
    child: Child,
    orders: ChildStdin,
    progress: Progress,
}

impl Bare {
    /// `hook`: whom it calls back with each message, if that is its role.
    pub fn start(role: Role, server: &str, topic: &str, bytes: usize, hook: Option<SocketAddr>) -> Result<Self> {
        let role = role.to_possible_value().context("a role has a name")?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--role", role.get_name(), "--bytes", &bytes.to_string(), "--of", server, topic]);
        if let Some(hook) = hook {
            command.args(["--hook", &hook.to_string()]);
        }
        ringway_benches::pin(0)?;
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        ringway_benches::pin(1)?;
        let mut child = child?;
        let orders = child.stdin.take().context("its input")?;
        let said = BufReader::new(child.stdout.take().context("its output")?);
        let progress = Progress::new();
        let (told, (tell, ready)) = (progress.clone(), mpsc::channel());
        thread::spawn(move || {
            for line in said.lines().map_while(Result::ok) {
                match line.parse() {
                    Ok(count) => told.add(count),
                    Err(_) => drop(tell.send(line)),
                }
            }
            told.end();
        });
        let said = ready.recv_timeout(Duration::from_secs(30)).context("the bare client does not get ready")?;
        anyhow::ensure!(said == READY, "the bare client says {said}");
        Ok(Self { child, orders, progress })
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }

    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// A producer's order.
    pub fn produce(&mut self, count: u64) -> Result<()> {
        let before = self.progress.count();
        writeln!(self.orders, "{count}")?;
        self.progress.reach(before + count)
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs in the process itself, until it is killed or nobody listens.
pub fn run(role: Role, server: &str, topic: &str, bytes: usize, hook: Option<SocketAddr>) -> Result<()> {
    match role {
        Role::KafkaConsumer => consume(server, topic),
        Role::KafkaCaller => call_back(server, topic, bytes, hook.context("whom to call back")?),
        Role::KafkaProducer => produce(server, topic, bytes),
        Role::MqttSubscriber => subscribe(server, topic, QoS::AtLeastOnce),
        Role::MqttSubscriberQos0 => subscribe(server, topic, QoS::AtMostOnce),
    }
}

fn say(what: impl std::fmt::Display) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{what}")?;
    Ok(out.flush()?)
}

/// Counts, and tells.
struct Counter(u64);

impl Counter {
    fn one(&mut self) -> Result<()> {
        self.0 += 1;
        if self.0 == STEP { self.tell() } else { Ok(()) }
    }

    fn tell(&mut self) -> Result<()> {
        match std::mem::take(&mut self.0) {
            0 => Ok(()),
            count => say(count),
        }
    }
}

fn consumer(servers: &str, topic: &str) -> Result<BaseConsumer> {
    const PATIENCE: Duration = Duration::from_secs(20);
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("group.id", "bare")
        .set("enable.auto.commit", "false")
        .create()?;
    let (_, end) = consumer.fetch_watermarks(topic, 0, PATIENCE)?;
    let mut places = TopicPartitionList::new();
    places.add_partition_offset(topic, 0, Offset::Offset(end))?;
    consumer.assign(&places)?;
    Ok(consumer)
}

fn consume(servers: &str, topic: &str) -> Result<()> {
    let consumer = consumer(servers, topic)?;
    say(READY)?;
    let mut counter = Counter(0);
    loop {
        match consumer.poll(Duration::from_millis(20)) {
            Some(message) => {
                std::hint::black_box(message?);
                counter.one()?;
            }
            None => counter.tell()?,
        }
    }
}

fn call_back(servers: &str, topic: &str, bytes: usize, hook: SocketAddr) -> Result<()> {
    let consumer = consumer(servers, topic)?;
    let mut callers = (0..CONNECTIONS).map(|_| Caller::new(hook, bytes)).collect::<Result<Vec<_>>>()?;
    say(READY)?;
    let mut counter = Counter(0);
    for at in (0..CONNECTIONS).cycle() {
        let Some(message) = consumer.poll(Duration::from_millis(20)) else {
            callers.iter_mut().try_for_each(Caller::settle)?;
            counter.tell()?;
            continue;
        };
        callers[at].post(message?.payload().unwrap_or_default())?;
        counter.one()?;
    }
    Ok(())
}

fn produce(servers: &str, topic: &str, bytes: usize) -> Result<()> {
    // As the gateway's are by default.
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("linger.ms", "1")
        .set("enable.idempotence", "true")
        .create()?;
    let content = super::content(bytes);
    say(READY)?;
    for order in std::io::stdin().lines() {
        let count: u64 = order?.parse()?;
        for _ in 0..count {
            enqueue(&producer, topic, &content)?;
        }
        flush(&producer)?;
        say(count)?;
    }
    Ok(())
}

fn subscribe(broker: &str, topic: &str, qos: QoS) -> Result<()> {
    let (host, port) = broker.rsplit_once(':').context("host:port")?;
    let options = MqttOptions::new("bench-bare", host, port.parse()?);
    let (client, mut connection) = Client::new(options, 16);
    client.subscribe(topic, qos)?;
    let mut counter = Counter(0);
    for event in connection.iter() {
        match event? {
            Event::Incoming(Packet::SubAck(_)) => say(READY)?,
            Event::Incoming(Packet::Publish(message)) => {
                std::hint::black_box(message);
                counter.one()?;
            }
            _ => {}
        }
    }
    bail!("the broker is gone")
}
