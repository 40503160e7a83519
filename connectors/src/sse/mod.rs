//! Server-sent events (the HTML standard, section 9.2).

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use ringway_contract::kind::{Part, decode};
use ringway_contract::{
    Answer, Coupling, Ending, Entrypoint, Kind, Known, Messaging, Opening, Out, Outline, Qos, Render, Reply, Request,
    ResponseHead, Session, Tick, Wish,
};
use schemars::JsonSchema;
use serde::Deserialize;

mod event;

use event::Events;

/// `sse`, the entrypoint.
pub static ENTRYPOINT: Kind<dyn Entrypoint> = Kind {
    name: "sse",
    about: "Server-sent events: messages as a stream that browsers read, with resumption by Last-Event-ID.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>(),
    shared: None,
    messaging: Some(Messaging {
        publish: &[],
        subscribe: &[Qos::None, Qos::Auto, Qos::AtMostOnce, Qos::AtLeastOnce],
        recover: true,
    }),
    build: |source, _| {
        let config = decode::<Config>(source.configuration)?;
        let heartbeat = Duration::from_millis(config.heartbeat_interval_in_ms);
        Ok(Rc::new(Sse { events: Rc::new(Events::new(&config)), heartbeat }))
    },
};

/// Configuration of `sse`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct Config {
    /// A comment is sent when nothing else was for so long, in milliseconds: it keeps proxies from closing the stream, and finds out that
    /// a client has gone. Default 5,000; at least 2,000.
    #[schemars(range(min = 2_000))]
    pub heartbeat_interval_in_ms: u64,
    /// Whether metadata are sent as comments. Default false.
    pub metadata_as_comment: bool,
    /// Whether headers are sent as comments. Default false.
    pub headers_as_comment: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { heartbeat_interval_in_ms: 5_000, metadata_as_comment: false, headers_as_comment: false }
    }
}

struct Sse {
    /// One for all clients: it knows nothing of them.
    events: Rc<Events>,
    heartbeat: Duration,
}

impl Entrypoint for Sse {
    fn criteria(&self) -> u8 {
        2
    }

    fn matches(&self, request: &Request) -> bool {
        let head = &request.head;
        head.method == Method::GET
            && head.fields.known_all(Known::Accept).any(|accept| {
                let ranges = accept.split(|byte| *byte == b',');
                let mut types = ranges.map(|range| range.split(|byte| *byte == b';').next().unwrap_or_default());
                types.any(|media| media.trim_ascii().eq_ignore_ascii_case(b"text/event-stream"))
            })
    }

    fn coupling(&self) -> Coupling {
        Coupling::Messages
    }

    fn open(&self, opening: &Opening<'_>) -> Result<Box<dyn Session>, Box<Reply>> {
        let resumes = matches!(opening.qos, Qos::AtMostOnce | Qos::AtLeastOnce);
        let last = opening.request.head.fields.get("last-event-id").filter(|id| resumes && !id.is_empty());
        Ok(Box::new(Stream {
            events: self.events.clone(),
            heartbeat: self.heartbeat,
            wish: Wish { cursor: last.map(Bytes::copy_from_slice), live: !resumes },
            retry_ms: RETRY_MIN_MS + opening.random % (RETRY_MAX_MS - RETRY_MIN_MS),
            random: opening.random,
        }))
    }
}

/// How long a client waits before it comes back, in milliseconds: by chance, so that those who lost their gateway at once do not come back
/// at once.
const RETRY_MIN_MS: u64 = 1_000;
const RETRY_MAX_MS: u64 = 30_000;

struct Stream {
    events: Rc<Events>,
    heartbeat: Duration,
    wish: Wish,
    retry_ms: u64,
    random: u64,
}

impl Session for Stream {
    fn outline(&self) -> Outline {
        Outline {
            answer: Answer::Stream,
            subscribe: Some(self.wish.clone()),
            publish: false,
            takes_body: false,
            idle: Some(self.heartbeat),
            deadline: None,
        }
    }

    fn head(&mut self, head: &mut ResponseHead) {
        head.set_status(StatusCode::OK);
        for (name, value) in [
            ("Content-Type", "text/event-stream;charset=UTF-8"),
            ("Cache-Control", "no-cache"),
            // For nginx and its like in front: a stream that is gathered is none.
            ("X-Accel-Buffering", "no"),
        ] {
            // Constants are fields.
            let _ = head.fields.set(name, value);
        }
    }

    fn begin(&mut self, out: &mut Out) {
        out.bytes.extend_from_slice(format!("retry: {}\n\n", self.retry_ms).as_bytes());
    }

    fn renderer(&self) -> Option<Rc<dyn Render>> {
        Some(self.events.clone())
    }

    fn tick(&mut self, _tick: Tick, out: &mut Out) {
        out.bytes.extend_from_slice(b":\n\n");
    }

    fn stop(&mut self, ending: Ending, out: &mut Out) {
        let (id, event, data) = match ending {
            Ending::GoAway => ("goaway".to_owned(), "goaway", "Stopping, please reconnect"),
            Ending::Complete => return,
            Ending::Lagged => {
                (format!("{:016x}", self.random), "error", "Too slow: messages were left out, please reconnect")
            }
            Ending::Fault(fault) => (format!("{:016x}", self.random), "error", fault.cause.message()),
        };
        // An `id` would become the Last-Event-ID of the next attempt, and these are no places to go on from.
        out.bytes.extend_from_slice(format!(":id={id}\nevent: {event}\ndata: {data}\n\n").as_bytes());
    }
}
