//! A source of messages without a broker: it makes them up, at an interval, and takes whatever is published.

use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ringway_contract::kind::{Part, decode};
use ringway_contract::{
    Attributes, Broker, Cause, Delivery, Fault, Feed, FeedEnd, Kind, Level, Message, Messaging, Origin, Position,
    Publishing, Qos, Subscribe,
};
use ringway_net::{sleep, yield_now};
use schemars::JsonSchema;
use serde::Deserialize;

const LEVELS: &[Qos] = &[Qos::None, Qos::Auto, Qos::AtMostOnce, Qos::AtLeastOnce];

/// `mock`, the endpoint of message APIs.
pub static BROKER: Kind<dyn Broker> = Kind {
    name: "mock",
    about: "Messages without a broker: made up at an interval; what is published is taken and forgotten.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>(),
    shared: None,
    messaging: Some(Messaging { publish: LEVELS, subscribe: LEVELS, recover: true }),
    build: |source, _| Ok(Rc::new(Mock(Rc::new(decode::<Config>(source.configuration)?)))),
};

/// Configuration of `mock`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct Config {
    /// Time between two messages, in milliseconds; 0: as fast as they are taken. Default 1,000.
    pub message_interval: u64,
    /// What each message says; its number, from 0, is appended. Default `mock message`.
    pub message_content: String,
    /// How many messages a subscription gets; without, it never ends.
    pub message_count: Option<u64>,
    /// Headers of each message.
    pub message_headers: Vec<Header>,
    /// Metadata of each message.
    pub metadata: Vec<Header>,
}

/// A name and its value.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Header {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            message_interval: 1_000,
            message_content: "mock message".to_owned(),
            message_count: None,
            message_headers: Vec::new(),
            metadata: Vec::new(),
        }
    }
}

struct Mock(Rc<Config>);

impl Broker for Mock {
    fn subscribe(&self, wish: &Subscribe, _attributes: &Attributes) -> Result<Feed, Fault> {
        let first = match &wish.cursor {
            None => 0,
            Some(cursor) => number(cursor).ok_or(Fault::new(Cause::CursorInvalid))?.saturating_add(1),
        };
        let (config, origin) = (self.0.clone(), Box::new(Numbers(self.0.clone())));
        Ok(Feed::new(origin, None, move |level, end| produce(config, first, level, end)))
    }

    fn subject(&self, wish: &Subscribe, _attributes: &Attributes) -> Option<String> {
        // An end is each subscription's own.
        (wish.live && wish.cursor.is_none() && self.0.message_count.is_none()).then(String::new)
    }

    fn publish(&self, _message: Message, _qos: Qos, _attributes: &Attributes) -> Publishing {
        Box::pin(async { Ok(()) })
    }
}

fn number(cursor: &[u8]) -> Option<u64> {
    std::str::from_utf8(cursor).ok()?.parse().ok()
}

async fn produce(config: Rc<Config>, first: u64, level: Level, mut end: FeedEnd) {
    let _ = end.outbox.send(Delivery::Ready, 0);
    let interval = Duration::from_millis(config.message_interval);
    let last = config.message_count.map_or(u64::MAX, |count| first.saturating_add(count));
    let headers: Vec<(Bytes, Bytes)> = config
        .message_headers
        .iter()
        .map(|header| (Bytes::copy_from_slice(header.name.as_bytes()), Bytes::copy_from_slice(header.value.as_bytes())))
        .collect();
    for number in first..last {
        if !interval.is_zero() {
            sleep(interval).await;
        }
        let mut delivery = Delivery::Message(Message {
            content: format!("{} {number}", config.message_content).into(),
            headers: headers.clone(),
            position: Position { part: 0, offset: number as i64 },
            ..Message::default()
        });
        let weight = if let Delivery::Message(message) = &delivery { message.weight() } else { 0 };
        while let Err(full) = end.outbox.send(delivery, weight) {
            delivery = full.value;
            refilled(&level).await;
        }
        // Nobody needs to acknowledge what nobody keeps.
        while end.inbox.recv().is_some() {}
    }
    level.drained().await;
}

/// Waits until something was taken, and gives others their turn: credit may come back later than room.
async fn refilled(level: &Level) {
    level.drained().await;
    yield_now().await;
}

/// Positions are numbers of messages, and so are ids.
struct Numbers(Rc<Config>);

impl Origin for Numbers {
    fn passed(&mut self, _message: &Message) {}

    fn id(&self, message: &Message, out: &mut BytesMut) {
        out.extend_from_slice(message.position.offset.to_string().as_bytes());
    }

    fn metadata(&self, _message: &Message, each: &mut dyn FnMut(&str, &[u8])) {
        for entry in &self.0.metadata {
            each(&entry.name, entry.value.as_bytes());
        }
    }
}
