//! HTTP GET: messages that were collected for a while.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode};
use ringway_contract::kind::{Part, decode};
use ringway_contract::{
    Answer, Coupling, Ending, Entrypoint, Kind, Known, Message, Messaging, Opening, Origin, Out, Outline, Qos, Render,
    Reply, Request, ResponseHead, Session, Tick, Wish,
};
use schemars::JsonSchema;
use serde::Deserialize;

mod media;
mod query;

use media::Media;

/// `http-get`, the entrypoint.
pub static ENTRYPOINT: Kind<dyn Entrypoint> = Kind {
    name: "http-get",
    about: "A GET is answered with the messages that came within a time, up to a number; a cursor goes on from there.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>(),
    shared: None,
    messaging: Some(Messaging {
        publish: &[],
        subscribe: &[Qos::Auto, Qos::AtMostOnce, Qos::AtLeastOnce],
        recover: true,
    }),
    build: |source, _| Ok(Rc::new(HttpGet(Rc::new(decode::<Config>(source.configuration)?)))),
};

/// Configuration of `http-get`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct Config {
    /// Most messages of an answer. Default 500; 1 to 10,000.
    #[schemars(range(min = 1, max = 10_000))]
    pub messages_limit_count: u32,
    /// How long messages are collected, in milliseconds. Default 5,000; at most 600,000.
    #[schemars(range(min = 1, max = 600_000))]
    pub messages_limit_duration_ms: u64,
    /// Whether items have the headers of their messages. Default false.
    pub headers_in_payload: bool,
    /// Whether items have the metadata of their messages. Default false.
    pub metadata_in_payload: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            messages_limit_count: 500,
            messages_limit_duration_ms: 5_000,
            headers_in_payload: false,
            metadata_in_payload: false,
        }
    }
}

struct HttpGet(Rc<Config>);

impl Entrypoint for HttpGet {
    fn criteria(&self) -> u8 {
        1
    }

    fn matches(&self, request: &Request) -> bool {
        request.head.method == Method::GET
    }

    fn coupling(&self) -> Coupling {
        Coupling::Messages
    }

    fn open(&self, opening: &Opening<'_>) -> Result<Box<dyn Session>, Box<Reply>> {
        let head = &opening.request.head;
        let accept: Vec<&[u8]> = head.fields.known_all(Known::Accept).collect();
        let media = Media::accepted(&accept).ok_or_else(|| {
            Box::new(Reply::refusal(
                StatusCode::NOT_ACCEPTABLE,
                "GATEWAY_UNSUPPORTED_ACCEPT",
                "Unsupported accept header: this entrypoint speaks application/json, application/xml and text/plain.",
            ))
        })?;
        let query = query::read(head.query().unwrap_or_default())
            .map_err(|message| Box::new(Reply::refusal(StatusCode::BAD_REQUEST, "GATEWAY_INVALID_QUERY", message)))?;
        let limit = query.limit.map_or(self.0.messages_limit_count, |limit| limit.min(self.0.messages_limit_count));
        Ok(Box::new(Collect {
            items: Rc::new(Items { config: self.0.clone(), media, count: Cell::new(0), next: Cell::default() }),
            cursor: query.cursor,
            limit,
        }))
    }
}

/// Most bytes of an answer; one message more than this may come.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

struct Collect {
    items: Rc<Items>,
    cursor: Option<Bytes>,
    limit: u32,
}

/// Renders items, one behind the other.
struct Items {
    config: Rc<Config>,
    media: Media,
    count: Cell<u32>,
    /// Id of the last one.
    next: Cell<Option<Bytes>>,
}

impl Render for Items {
    fn format(&self) -> Option<u64> {
        None
    }

    fn render(&self, message: &Message, origin: &dyn Origin, out: &mut BytesMut) {
        let mut id = BytesMut::new();
        origin.id(message, &mut id);
        let first = self.count.get() == 0;
        if first {
            self.media.open(out);
        }
        let mut metadata = Vec::new();
        if self.config.metadata_in_payload {
            metadata.extend(message.metadata.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
            origin
                .metadata(message, &mut |name, value| metadata.push((name.to_owned(), Bytes::copy_from_slice(value))));
        }
        let item = media::Item {
            id: &id,
            content: &message.content,
            headers: self.config.headers_in_payload.then_some(&message.headers),
            metadata: self.config.metadata_in_payload.then_some(&metadata),
        };
        self.media.item(&item, first, out);
        self.count.set(self.count.get() + 1);
        self.next.set(Some(id.freeze()));
    }
}

impl Collect {
    fn finish(&self, out: &mut Out) {
        if self.items.count.get() == 0 {
            self.items.media.open(&mut out.bytes);
        }
        let next = self.items.next.take();
        let next = next.as_ref().or(self.cursor.as_ref());
        self.items.media.close(self.cursor.as_deref(), next.map(|next| &**next), self.limit, &mut out.bytes);
        out.finished = true;
    }
}

impl Session for Collect {
    fn outline(&self) -> Outline {
        Outline {
            answer: Answer::Whole,
            subscribe: Some(Wish { cursor: self.cursor.clone(), live: false }),
            publish: false,
            takes_body: false,
            idle: None,
            deadline: Some(Duration::from_millis(self.items.config.messages_limit_duration_ms)),
        }
    }

    fn head(&mut self, head: &mut ResponseHead) {
        head.set_status(StatusCode::OK);
        // Constants are fields.
        let _ = head.fields.set("Content-Type", self.items.media.name());
        let _ = head.fields.set("Cache-Control", "no-store");
    }

    fn renderer(&self) -> Option<Rc<dyn Render>> {
        Some(self.items.clone())
    }

    fn delivered(&mut self, out: &mut Out) {
        if self.items.count.get() >= self.limit || out.bytes.len() >= ANSWER_BYTES_MAX {
            self.finish(out);
        }
    }

    fn tick(&mut self, _tick: Tick, out: &mut Out) {
        self.finish(out);
    }

    fn stop(&mut self, ending: Ending, out: &mut Out) {
        // What was collected counts as delivered: it has to arrive.
        if matches!(ending, Ending::GoAway | Ending::Complete) || self.items.count.get() > 0 {
            self.finish(out);
        }
    }
}
