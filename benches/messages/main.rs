//! What a message costs the gateway: between a real Apache Kafka or Mosquitto and one client over HTTP, beside a program that does nothing but
//! read (or write) the same messages with the broker's own client library.
//!
//! ```text
//!   core 1                                   core 0                                  core 1
//!   publisher ─▶ Kafka, Mosquitto ─────────▶ gateway ── sse, websocket ────────────▶ client that counts
//!                               └──────────▶ bare subscriber, which says how many it has
//!                               └──────────▶ gateway, or a bare subscriber ── POST ──▶ hook
//!   clients that post ─────────────────────▶ gateway ──────────────────────────────▶ Kafka
//!                                            bare producer ────────────────────────▶ Kafka
//! ```
//!
//! The score is messages per second of CPU time of the process on core 0, all its threads together. A publisher is never more than a window
//! ahead of who reads, so nothing is measured that falls behind. The two take turns, and only their ratio means something.
#![allow(clippy::print_stdout, reason = "a report is what this program is for")]

mod bare;
mod flow;
mod hook;
mod listen;
mod post;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use ringway_benches::{cost, median, pin};
use ringway_tests::{Api, Gateway, Kafka, Mosquitto};
use serde_json::{Value, json};

use bare::{Bare, Role};
use flow::{KafkaFlow, MqttFlow};
use hook::{CONNECTIONS, Hook};
use listen::{Listener, Progress};

/// Measures message APIs in front of real brokers.
#[derive(Debug, Parser)]
struct Options {
    /// The gateway to measure, built by `cargo build --release -p ringway`.
    #[arg(long, default_value = "target/release/ringway")]
    ringway: PathBuf,
    /// What to measure; all without.
    #[arg(long, value_enum, value_delimiter = ',')]
    cases: Vec<Case>,
    /// Messages of a measurement that are read, in thousands.
    #[arg(long, default_value_t = 400)]
    thousands: u64,
    /// Messages of a measurement that are posted, either way, in thousands.
    #[arg(long, default_value_t = 40)]
    posted_thousands: u64,
    /// Bytes of a message.
    #[arg(long, default_value_t = 100)]
    bytes: usize,
    /// Messages that a publisher may be ahead.
    #[arg(long, default_value_t = 8_192)]
    window: u64,
    /// QoS of MQTT: 0 or 1.
    #[arg(long, default_value_t = 1)]
    qos: u8,
    /// Clients that post.
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// Settings of the gateway's Kafka consumer, `NAME=VALUE`.
    #[arg(long, value_name = "NAME=VALUE")]
    consumer_property: Vec<String>,
    /// How often each is measured.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// For the program's own use: the bare client of this role.
    #[arg(long, hide = true, value_enum)]
    role: Option<Role>,
    /// For the program's own use: whom the bare client calls back.
    #[arg(long, hide = true)]
    hook: Option<SocketAddr>,
    /// For the program's own use: the broker and the topic of the bare client.
    #[arg(long, hide = true, num_args = 2)]
    of: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Case {
    /// Kafka to an event stream.
    KafkaSse,
    /// Kafka to a WebSocket.
    KafkaWebsocket,
    /// Kafka to a webhook.
    KafkaWebhook,
    /// POST to Kafka.
    PostKafka,
    /// MQTT to an event stream.
    MqttSse,
}

impl Case {
    fn title(self) -> &'static str {
        match self {
            Self::KafkaSse => "Kafka → SSE",
            Self::KafkaWebsocket => "Kafka → WebSocket",
            Self::KafkaWebhook => "Kafka → webhook",
            Self::PostKafka => "POST → Kafka",
            Self::MqttSse => "MQTT → SSE",
        }
    }
}

/// Marks a message: clients count it, so it stands in a message once and nowhere else.
const MARK: u8 = b'~';

/// What is sent before the clock runs.
const WARM: u64 = 16 * 1024;

fn main() -> Result<()> {
    let options = Options::parse();
    if let (Some(role), [server, topic]) = (options.role, options.of.as_slice()) {
        return bare::run(role, server, topic, options.bytes, options.hook);
    }
    let ringway = options.ringway.canonicalize().with_context(|| options.ringway.display().to_string())?;
    if std::env::var_os("RINGWAY_BIN").as_deref() != Some(ringway.as_os_str()) {
        // The harness takes its gateway from the environment, which a process sets for its children only.
        let arguments = std::env::args_os().skip(1);
        let mut again = std::process::Command::new(std::env::current_exe()?);
        std::process::exit(again.args(arguments).env("RINGWAY_BIN", &ringway).status()?.code().unwrap_or(1));
    }
    let cases = if options.cases.is_empty() { Case::value_variants().to_vec() } else { options.cases.clone() };
    let stage = Stage::new(&options)?;
    let mut results = Vec::new();
    for case in cases {
        let mut turns = Vec::new();
        for _ in 0..options.rounds.max(1) {
            let bare = stage.bare(case, &options)?;
            let gateway = stage.gateway(case, &options)?;
            turns.push(Turn { gateway, bare });
        }
        results.push((case, turns));
    }
    report(&results, &options);
    Ok(())
}

/// Brokers, and the gateway between them and us.
struct Stage {
    kafka: &'static Kafka,
    mosquitto: Mosquitto,
    topic: String,
    hook: Hook,
    /// What the hook is called back with by the gateway: whatever is in it.
    hooked: String,
    gateway: Gateway,
}

const MQTT_TOPIC: &str = "bench/messages";

impl Stage {
    fn new(options: &Options) -> Result<Self> {
        // What a process starts has its core.
        pin(1)?;
        let (kafka, mosquitto) = (Kafka::shared(), Mosquitto::start());
        let (topic, hooked) = (kafka.topic("bench", 1), kafka.topic("bench-hooked", 1));
        let hook = Hook::start()?;
        let push = json!({ "type": "webhook", "configuration": {
            "allowPrivateAddresses": true, "http": { "maxConcurrentConnections": CONNECTIONS } } });
        let quiet = json!({ "heartbeatIntervalInMs": 600_000 });
        let properties = options.consumer_property.iter().filter_map(|property| property.split_once('='));
        let properties: serde_json::Map<String, Value> =
            properties.map(|(name, value)| (name.to_owned(), value.into())).collect();
        let broker = mosquitto.address();
        let apis = [
            Api::messages(
                "/kafka",
                json!([{ "type": "sse", "configuration": quiet }, { "type": "websocket" }, { "type": "http-post" }]),
                "kafka",
                json!({ "bootstrapServers": kafka.servers() }),
            )
            .with(
                "endpointGroups/0/sharedConfiguration",
                json!({
                    "consumer": { "topics": [topic], "properties": properties }, "producer": { "topics": [topic] } }),
            ),
            Api::messages("/", json!([]), "kafka", json!({ "bootstrapServers": kafka.servers() }))
                .with("listeners/0", json!({ "type": "SUBSCRIPTION", "entrypoints": [push] }))
                .with("plans", json!([{ "id": "push", "name": "Hooks", "mode": "PUSH", "status": "PUBLISHED" }]))
                .with(
                    "subscriptions",
                    json!([{ "id": "hook", "plan": "push", "application": "bench", "consumerConfiguration": {
                        "entrypointId": "webhook",
                        "entrypointConfiguration": { "callbackUrl": format!("http://{}/hook", hook.address()) } } }]),
                )
                .with(
                    "endpointGroups/0/sharedConfiguration",
                    json!({ "consumer": { "topics": [hooked], "autoOffsetReset": "earliest" } }),
                ),
            Api::messages(
                "/mqtt",
                json!([{ "type": "sse", "configuration": quiet }]),
                "mqtt5",
                json!({ "serverHost": broker.ip().to_string(), "serverPort": broker.port() }),
            )
            .with(
                "endpointGroups/0/sharedConfiguration",
                json!({ "consumer": { "topic": MQTT_TOPIC, "qos": options.qos } }),
            ),
        ]
        .map(|api| api.with("endpointGroups/0/endpoints/0/inheritConfiguration", json!(true)));
        pin(0)?;
        let gateway = Gateway::configured("logging: { access: { enabled: false } }\n", &apis);
        pin(1)?;
        Ok(Self { kafka, mosquitto, topic, hook, hooked, gateway })
    }

    fn gateway(&self, case: Case, options: &Options) -> Result<Measure> {
        let (process, http) = (self.gateway.process().id(), self.gateway.http());
        match case {
            Case::KafkaSse => self.read_kafka(process, &self.topic, Listener::sse(http, "/kafka")?.progress(), options),
            Case::KafkaWebsocket => {
                self.read_kafka(process, &self.topic, Listener::websocket(http, "/kafka")?.progress(), options)
            }
            Case::KafkaWebhook => self.call_back(process, &self.hooked, self.hook.progress(), options),
            Case::MqttSse => self.read_mqtt(process, Listener::sse(http, "/mqtt")?.progress(), options),
            Case::PostKafka => {
                let content = content(options.bytes);
                post::post(http, "/kafka", &content, options.clients, WARM / 16)?;
                measure(process, options.posted_thousands * 1024, |count| {
                    post::post(http, "/kafka", &content, options.clients, count)
                })
            }
        }
    }

    fn bare(&self, case: Case, options: &Options) -> Result<Measure> {
        let started = match case {
            Case::KafkaSse | Case::KafkaWebsocket => {
                Bare::start(Role::KafkaConsumer, &self.kafka.servers(), &self.topic, options.bytes, None)
            }
            Case::KafkaWebhook => {
                let hook = Some(self.hook.address());
                Bare::start(Role::KafkaCaller, &self.kafka.servers(), &self.topic, options.bytes, hook)
            }
            Case::PostKafka => {
                Bare::start(Role::KafkaProducer, &self.kafka.servers(), &self.topic, options.bytes, None)
            }
            Case::MqttSse => {
                let role = if options.qos == 0 { Role::MqttSubscriberQos0 } else { Role::MqttSubscriber };
                Bare::start(role, &self.mosquitto.address().to_string(), MQTT_TOPIC, options.bytes, None)
            }
        };
        let mut bare = started?;
        let (process, progress) = (bare.process(), bare.progress());
        match case {
            Case::KafkaSse | Case::KafkaWebsocket => self.read_kafka(process, &self.topic, progress, options),
            Case::KafkaWebhook => self.call_back(process, &self.topic, progress, options),
            Case::MqttSse => self.read_mqtt(process, progress, options),
            Case::PostKafka => {
                bare.produce(WARM)?;
                measure(process, options.thousands * 1024, |count| bare.produce(count))
            }
        }
    }

    fn read_kafka(&self, process: u32, topic: &str, progress: Progress, options: &Options) -> Result<Measure> {
        let mut flow = KafkaFlow::new(&self.kafka.servers(), topic, content(options.bytes))?;
        flow.send(WARM, &progress, options.window)?;
        measure(process, options.thousands * 1024, |count| flow.send(count, &progress, options.window))
    }

    fn call_back(&self, process: u32, topic: &str, progress: Progress, options: &Options) -> Result<Measure> {
        let mut flow = KafkaFlow::new(&self.kafka.servers(), topic, content(options.bytes))?;
        flow.send(WARM / 16, &progress, options.window)?;
        measure(process, options.posted_thousands * 1024, |count| flow.send(count, &progress, options.window))
    }

    fn read_mqtt(&self, process: u32, progress: Progress, options: &Options) -> Result<Measure> {
        let mut flow = MqttFlow::new(self.mosquitto.address(), MQTT_TOPIC, options.qos, content(options.bytes))?;
        flow.send(WARM, &progress, options.window)?;
        measure(process, options.thousands * 1024, |count| flow.send(count, &progress, options.window))
    }
}

fn content(bytes: usize) -> Vec<u8> {
    let mut content: Vec<u8> = (b'a'..=b'z').cycle().take(bytes.max(1)).collect();
    content[0] = MARK;
    content
}

/// What a number of messages took.
#[derive(Clone, Copy, Debug)]
struct Measure {
    messages: u64,
    cpu: Duration,
    took: Duration,
}

impl Measure {
    fn per_cpu_second(&self) -> f64 {
        self.messages as f64 / self.cpu.as_secs_f64()
    }

    fn per_second(&self) -> f64 {
        self.messages as f64 / self.took.as_secs_f64()
    }
}

/// A turn of both.
struct Turn {
    gateway: Measure,
    bare: Measure,
}

fn measure(process: u32, messages: u64, mut send: impl FnMut(u64) -> Result<()>) -> Result<Measure> {
    let (begin, spent) = (Instant::now(), cost::cpu(process)?);
    send(messages)?;
    Ok(Measure { messages, cpu: cost::cpu(process)?.saturating_sub(spent), took: begin.elapsed() })
}

fn report(results: &[(Case, Vec<Turn>)], options: &Options) {
    println!("{} bytes a message, {} rounds, medians\n", options.bytes, options.rounds);
    println!("| case | messages/s | CPU µs each | per CPU second | bare: messages/s | per CPU second | ratio |");
    println!("|---|---|---|---|---|---|---|");
    let mut rows: Vec<Value> = Vec::new();
    for (case, turns) in results {
        let of = |figure: &dyn Fn(&Turn) -> f64| median(turns.iter().map(figure).collect());
        let (rate, each) = (of(&|turn| turn.gateway.per_second()), of(&|turn| turn.gateway.per_cpu_second()));
        let (bare_rate, bare) = (of(&|turn| turn.bare.per_second()), of(&|turn| turn.bare.per_cpu_second()));
        let ratio = of(&|turn| turn.gateway.per_cpu_second() / turn.bare.per_cpu_second());
        println!(
            "| {} | {rate:.0} | {:.2} | {each:.0} | {bare_rate:.0} | {bare:.0} | {ratio:.2} |",
            case.title(),
            1e6 / each
        );
        rows.push(json!({
            "case": case.title(), "messagesPerSecond": rate, "perCpuSecond": each,
            "bareMessagesPerSecond": bare_rate, "barePerCpuSecond": bare, "ratio": ratio,
            "rounds": turns.iter().map(|turn| json!({
                "gateway": turn.gateway.per_cpu_second(), "bare": turn.bare.per_cpu_second() })).collect::<Vec<_>>(),
        }));
    }
    println!("\n{}", json!({ "bytes": options.bytes, "qos": options.qos, "clients": options.clients, "cases": rows }));
}
