//! Apache Kafka, and what speaks its protocol (Confluent, Redpanda, ...).
//!
//! ```text
//!   config.rs    what a definition says          settings.rs, jaas.rs   what the client library is told
//!   consumer.rs  a subscription's thread         intake.rs, ledger.rs   its messages, and what may be committed of them
//!   producer.rs  a publishing thread             cursor.rs              ids of messages
//!   native/      librdkafka                      fault.rs               what its codes mean
//! ```

use std::cell::RefCell;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;

use bytes::Bytes;
use regex::Regex;
use ringway_contract::kind::{Part, decode};
use ringway_contract::{
    Attributes, Broker, Cause, Fault, Feed, Kind, Message, Messaging, Node, Problem, Publishing, Qos, Refusal, Source,
    Subscribe,
};

use crate::bridge::{self, Publisher};

mod config;
mod consumer;
mod cursor;
mod fault;
mod intake;
mod jaas;
mod ledger;
mod lookup;
mod native;
mod outlet;
mod place;
mod producer;
mod settings;

pub use config::{Config, Shared};
use config::{OffsetReset, Topics};
use consumer::Commits;
use native::Place;
pub use native::Simulator;
use place::is_topic;
use producer::Detail;
use settings::{Complaint, Settings, Token};

/// `kafka`, the endpoint of message APIs.
pub static BROKER: Kind<dyn Broker> = Kind {
    name: "kafka",
    about: "Topics of Apache Kafka: consumer groups, offsets as cursors, acknowledged publishing.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>().examined(examine).reading(files),
    shared: Some(Part::of::<Shared>()),
    messaging: Some(Messaging {
        publish: &[Qos::None, Qos::Auto],
        subscribe: &[Qos::None, Qos::Auto, Qos::AtMostOnce, Qos::AtLeastOnce],
        recover: true,
    }),
    build: |source, _| Ok(Rc::new(build(source)?)),
};

/// Subscriptions of a process at a time: each has a thread, and a client with connections of its own.
const CONSUMERS_MAX: usize = 4096;

static CONSUMERS: AtomicUsize = AtomicUsize::new(0);

/// Stack of a thread: it calls into librdkafka, whose deepest calls are OpenSSL's.
const STACK_BYTES: usize = 512 * 1024;

/// Topics that an attribute may name.
const TOPICS_MAX: usize = 64;

struct Kafka {
    reads: Option<Reads>,
    writes: Option<Writes>,
}

/// How to consume.
struct Reads {
    settings: Settings,
    token: Option<Token>,
    topics: Vec<Arc<str>>,
    pattern: Option<Regex>,
    reset: OffsetReset,
    encoded: bool,
    strips_header: bool,
    checks_topics: bool,
}

/// How to publish.
struct Writes {
    plan: Arc<producer::Plan>,
    topics: Vec<Arc<str>>,
    publisher: RefCell<Option<Publisher<Detail>>>,
}

fn build(source: Source<'_>) -> Result<Kafka, Refusal> {
    let (config, shared) = (decode::<Config>(source.configuration)?, decode::<Shared>(source.shared)?);
    plan(&config, &shared).map_err(|complaint| Refusal(format!("{}: {}", complaint.at, complaint.message)))
}

fn plan(config: &Config, shared: &Shared) -> Result<Kafka, Complaint> {
    let consumer = shared.consumer.as_ref().filter(|consumer| consumer.enabled);
    let producer = shared.producer.as_ref().filter(|producer| producer.enabled);
    if consumer.is_none() && producer.is_none() {
        return Err(Complaint::new("sharedConfiguration", "has neither a consumer nor a producer that is enabled"));
    }
    let reads = match consumer {
        None => None,
        Some(consumer) => {
            let (settings, token) = settings::consumer(config, shared, consumer)?;
            let at = "sharedConfiguration.consumer.topics";
            let (topics, pattern) = match &consumer.topics {
                Topics::Names(names) => (named(names, at)?, None),
                Topics::Pattern { pattern } => {
                    let whole = Regex::new(&format!("^(?:{pattern})$"));
                    let whole = whole.map_err(|error| Complaint::new(format!("{at}.pattern"), error.to_string()))?;
                    (Vec::new(), Some(whole))
                }
            };
            Some(Reads {
                settings,
                token,
                topics,
                pattern,
                reset: consumer.auto_offset_reset,
                encoded: consumer.encode_message_id,
                strips_header: consumer.remove_confluent_header,
                checks_topics: consumer.check_topic_existence,
            })
        }
    };
    let writes = match producer {
        None => None,
        Some(producer) => {
            let (settings, token) = settings::producer(config, shared, producer)?;
            let topics = named(&producer.topics, "sharedConfiguration.producer.topics")?;
            let plan = Arc::new(producer::Plan { settings, token });
            Some(Writes { plan, topics, publisher: RefCell::default() })
        }
    };
    Ok(Kafka { reads, writes })
}

fn named(names: &[String], at: &str) -> Result<Vec<Arc<str>>, Complaint> {
    if names.is_empty() {
        return Err(Complaint::new(at, "names no topic"));
    }
    match names.iter().position(|name| !is_topic(name)) {
        Some(wrong) => {
            let message = "is no name of a topic: up to 249 letters, digits, `.`, `_` and `-`";
            Err(Complaint::new(format!("{at}[{wrong}]"), message))
        }
        None => Ok(names.iter().map(|name| Arc::from(name.as_str())).collect()),
    }
}

/// What `build` or the client library would refuse.
fn examine(configuration: Option<&Node>, shared: Option<&Node>) -> Vec<Problem> {
    let Ok(config) = decode::<Config>(configuration) else { return Vec::new() };
    let Ok(read) = decode::<Shared>(shared) else { return Vec::new() };
    let refused = |settings: &Settings| {
        native::examine(settings).map_err(|message| Complaint::new("sharedConfiguration", message))
    };
    let examined = plan(&config, &read).and_then(|kafka| {
        kafka.reads.as_ref().map_or(Ok(()), |reads| refused(&reads.settings))?;
        kafka.writes.as_ref().map_or(Ok(()), |writes| refused(&writes.plan.settings))
    });
    let Err(Complaint { at, message }) = examined else { return Vec::new() };
    let root = if at.starts_with("sharedConfiguration") { shared.or(configuration) } else { configuration };
    let span = root.map(|root| &deepest(root, &at).span);
    span.map(|span| Problem::error(span, at.as_str(), message)).into_iter().collect()
}

/// The stores that it is built from.
fn files(_: Option<&Node>, shared: Option<&Node>) -> Vec<PathBuf> {
    let Ok(shared) = decode::<Shared>(shared) else { return Vec::new() };
    let ssl = shared.security.ssl;
    [ssl.trust_store.location, ssl.key_store.location].into_iter().flatten().map(PathBuf::from).collect()
}

/// The node of a path, or the last that there is on its way.
fn deepest<'a>(root: &'a Node, at: &str) -> &'a Node {
    let mut node = root;
    let mut rest = at.split_once('.').map_or("", |(_, rest)| rest);
    while !rest.is_empty() {
        // Names of settings have dots in them.
        if let Some(found) = node.field(rest) {
            return found;
        }
        let (name, after) = rest.split_once('.').unwrap_or((rest, ""));
        let (name, index) = name.split_once('[').unwrap_or((name, ""));
        let Some(mut found) = node.field(name) else { break };
        if let Ok(index) = index.trim_end_matches(']').parse::<usize>() {
            found = found.items().get(index).unwrap_or(found);
        }
        (node, rest) = (found, after);
    }
    node
}

/// Attributes by which policies say what to read.
const CONSUMER_TOPICS: [&str; 3] =
    ["kafka.consumer.topics", "kafka.topics", "gravitee.attributes.endpoint.kafka.consumer.topics"];
/// Attributes by which policies say where to write.
const PRODUCER_TOPICS: [&str; 3] =
    ["kafka.producer.topics", "kafka.topics", "gravitee.attributes.endpoint.kafka.producer.topics"];
const GROUP: &str = "kafka.groupId";
const KEY: &str = "kafka.recordKey";
const PARTITION: &str = "kafka.partition";

/// Topics of an attribute, separated by commas. `None`: it is not set.
fn overridden(names: &[&str], attributes: &Attributes) -> Option<Result<Vec<Arc<str>>, ()>> {
    let value = names.iter().find_map(|name| attributes.get(name))?;
    let topics: Vec<&str> = value.split(',').map(str::trim).collect();
    let fits = topics.len() <= TOPICS_MAX && topics.iter().all(|topic| is_topic(topic));
    Some(if fits { Ok(topics.into_iter().map(Arc::from).collect()) } else { Err(()) })
}

impl Reads {
    fn topics(&self, attributes: &Attributes) -> Result<(Vec<Arc<str>>, Option<Regex>), Fault> {
        match overridden(&CONSUMER_TOPICS, attributes) {
            None => Ok((self.topics.clone(), self.pattern.clone())),
            Some(Ok(topics)) => Ok((topics, None)),
            Some(Err(())) => Err(Fault::new(Cause::SubscribeFailed).detail("an attribute names no topic")),
        }
    }
}

/// Eight digits that are nobody else's.
fn tag() -> String {
    format!("{:08x}", RandomState::new().build_hasher().finish() as u32)
}

impl Broker for Kafka {
    fn subscribe(&self, wish: &Subscribe, attributes: &Attributes) -> Result<Feed, Fault> {
        let Some(reads) = &self.reads else {
            return Err(Fault::new(Cause::SubscribeFailed).detail("the endpoint has no consumer"));
        };
        let began = match &wish.cursor {
            Some(cursor) => cursor::decode(cursor, reads.encoded).map_err(|()| Fault::new(Cause::CursorInvalid))?,
            None => Vec::new(),
        };
        let (topics, pattern) = reads.topics(attributes)?;
        if began.iter().any(|place| !knows(&topics, pattern.as_ref(), place)) {
            return Err(Fault::new(Cause::CursorInvalid).detail("a topic that is not read here"));
        }
        let commits = match wish.qos {
            Qos::None => Commits::Never,
            _ if wish.live => Commits::Never,
            Qos::AtMostOnce => Commits::Before,
            _ if wish.receipts => Commits::Acknowledged,
            _ => Commits::HandedOver,
        };
        let group = match commits {
            // The client library wants a name, but there is no such group.
            Commits::Never => format!("ringway-live-{}", tag()),
            _ => attributes.get(GROUP).unwrap_or(&wish.client).to_owned(),
        };
        let mut settings = vec![("client.id".to_owned(), format!("ringway-consumer-{}", tag()))];
        settings.extend(reads.settings.iter().cloned());
        settings.push(("group.id".to_owned(), group));
        let plan = consumer::Plan {
            settings,
            token: reads.token.clone(),
            topics,
            pattern,
            reset: reads.reset,
            began: began.clone(),
            commits,
            strips_header: reads.strips_header,
            checks_topics: reads.checks_topics,
        };
        let parts = cursor::Parts::default();
        let origin = Box::new(cursor::Progress::new(parts.clone(), began, reads.encoded));
        let claim = Claim::new()?;
        let (mut feed, remote) = bridge::feed(origin).map_err(exhausted)?;
        // They are committed in intervals.
        feed.let_receipts_wait();
        start("kafka-consumer", move || {
            let _claim = claim;
            consumer::run(plan, remote, parts);
        })?;
        Ok(feed)
    }

    fn subject(&self, wish: &Subscribe, attributes: &Attributes) -> Option<String> {
        let reads = self.reads.as_ref()?;
        if !(wish.live && wish.cursor.is_none()) {
            return None;
        }
        let (topics, pattern) = reads.topics(attributes).ok()?;
        Some(match pattern {
            // No comma stands in a name, and no name begins with this.
            Some(pattern) => format!("^{pattern}"),
            None => topics.join(","),
        })
    }

    fn publish(&self, mut message: Message, qos: Qos, attributes: &Attributes) -> Publishing {
        let fail = |fault: Fault| -> Publishing { Box::pin(async move { Err(fault) }) };
        let Some(writes) = &self.writes else {
            return fail(Fault::new(Cause::PublishFailed).detail("the endpoint has no producer"));
        };
        // What the message says goes before what its request says.
        let own = message.attributes.take();
        let scopes = || own.as_deref().into_iter().chain([attributes]);
        let topics = match scopes().find_map(|scope| overridden(&PRODUCER_TOPICS, scope)) {
            None => writes.topics.clone(),
            Some(Ok(topics)) => topics,
            Some(Err(())) => return fail(Fault::new(Cause::PublishFailed).detail("an attribute names no topic")),
        };
        let partition = match scopes().find_map(|scope| scope.get(PARTITION)).map(str::parse::<i32>) {
            None => None,
            Some(Ok(partition)) if partition >= 0 => Some(partition),
            Some(_) => return fail(Fault::new(Cause::PublishFailed).detail("an attribute names no partition")),
        };
        if let Some(key) = scopes().find_map(|scope| scope.get(KEY)) {
            message.key = Some(Bytes::copy_from_slice(key.as_bytes()));
        }
        let mut publisher = writes.publisher.borrow_mut();
        let publisher = match &mut *publisher {
            Some(publisher) => publisher,
            none => match writes.start() {
                Ok(publisher) => none.insert(publisher),
                Err(fault) => return fail(fault),
            },
        };
        let Some((last, others)) = topics.split_last() else {
            return fail(Fault::new(Cause::PublishFailed).detail("no topic"));
        };
        let mut all: Vec<Publishing> = Vec::with_capacity(topics.len());
        for topic in others {
            let detail = Detail { topic: topic.clone(), partition };
            all.push(publisher.publish(copy(&message), qos, detail));
        }
        let mut publishing = publisher.publish(message, qos, Detail { topic: last.clone(), partition });
        if qos == Qos::None {
            // Nobody waits; but what was not even taken is told.
            all.push(publishing);
            let mut cx = Context::from_waker(Waker::noop());
            let refused = all.iter_mut().find_map(|publishing| match publishing.as_mut().poll(&mut cx) {
                Poll::Ready(Err(fault)) => Some(fault),
                _ => None,
            });
            return Box::pin(async move { refused.map_or(Ok(()), Err) });
        }
        if all.is_empty() {
            return publishing;
        }
        Box::pin(async move {
            let mut outcome = publishing.as_mut().await;
            for publishing in all {
                outcome = outcome.and(publishing.await);
            }
            outcome
        })
    }
}

impl Writes {
    fn start(&self) -> Result<Publisher<Detail>, Fault> {
        let (publisher, remote) = bridge::publisher().map_err(exhausted)?;
        let mut settings = vec![("client.id".to_owned(), format!("ringway-producer-{}", tag()))];
        settings.extend(self.plan.settings.iter().cloned());
        let plan = producer::Plan { settings, token: self.plan.token.clone() };
        start("kafka-producer", move || producer::run(&plan, remote))?;
        Ok(publisher)
    }
}

fn knows(topics: &[Arc<str>], pattern: Option<&Regex>, place: &Place) -> bool {
    match pattern {
        Some(pattern) => pattern.is_match(&place.topic),
        None => topics.contains(&place.topic),
    }
}

fn copy(message: &Message) -> Message {
    Message {
        content: message.content.clone(),
        key: message.key.clone(),
        headers: message.headers.clone(),
        timestamp_ms: message.timestamp_ms,
        ..Message::default()
    }
}

fn start(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), Fault> {
    thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES).spawn(run).map_err(exhausted)?;
    Ok(())
}

fn exhausted(error: std::io::Error) -> Fault {
    tracing::error!(%error, "no thread or bell for a Kafka client");
    Fault::new(Cause::Overloaded).detail("no thread or bell for a Kafka client")
}

/// A subscription's place among all.
struct Claim;

impl Claim {
    fn new() -> Result<Self, Fault> {
        if CONSUMERS.fetch_add(1, Ordering::Relaxed) >= CONSUMERS_MAX {
            CONSUMERS.fetch_sub(1, Ordering::Relaxed);
            return Err(Fault::new(Cause::Overloaded).detail("too many Kafka subscriptions"));
        }
        Ok(Self)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        CONSUMERS.fetch_sub(1, Ordering::Relaxed);
    }
}
