//! WebSocket (RFC 6455): a message of the client is published, a message of the broker is sent.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::time::Duration;

use http::Method;
use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::{
    Coupling, Entrypoint, Kind, Messaging, Node, Opening, Problem, Qos, Refusal, Reply, Request, Session,
};
use ringway_wire::websocket::compression::{Agreement, Preferences};
use ringway_wire::websocket::{self, handshake};
use schemars::JsonSchema;
use serde::Deserialize;

mod frames;
mod session;

use frames::Frames;
use session::Socket;

const LEVELS: &[Qos] = &[Qos::None, Qos::Auto];

/// `websocket`, the entrypoint.
pub static ENTRYPOINT: Kind<dyn Entrypoint> = Kind {
    name: "websocket",
    about: "WebSocket: what a client sends is published, and what is published is sent to it.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>().examined(examine),
    shared: None,
    messaging: Some(Messaging { publish: LEVELS, subscribe: LEVELS, recover: false }),
    build: |source, _| {
        let config = decode::<Config>(source.configuration)?;
        config.check()?;
        Ok(Rc::new(WebSocket { config, shared: RefCell::default() }))
    },
};

/// Configuration of `websocket`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct Config {
    /// What clients send.
    pub publisher: Publisher,
    /// What clients get.
    pub subscriber: Subscriber,
    /// A ping is sent when nothing went either way for so long, in milliseconds; a client that says nothing for as long again is given
    /// up. Default 30,000; at least 1,000.
    #[schemars(range(min = 1_000))]
    pub heartbeat_interval_in_ms: u64,
    /// Compression of messages, for clients that offer it.
    pub compression: Compression,
    /// Subprotocols that are spoken here (`Sec-WebSocket-Protocol`). The first of a client's list that is among them is chosen; browsers
    /// close a connection if they asked for some and none is chosen.
    pub subprotocols: Vec<String>,
}

/// What clients send.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct Publisher {
    /// Whether messages of clients are published. Without, a client that sends one is told so by code 1008. Default true.
    pub enabled: bool,
    /// Whether a binary message is published with the header `Content-Type: application/octet-stream`, by which it is sent to others as
    /// bytes, too, even if it is UTF-8 by chance. Default true. Not in the reference product.
    pub keep_frame_type: bool,
}

/// What clients get.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct Subscriber {
    /// Whether clients get the messages of the endpoint. Default true.
    pub enabled: bool,
    /// Whether messages are sent as text or as bytes. Default AUTO.
    pub frame_type: FrameType,
}

/// Whether messages are sent as text or as bytes.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
pub enum FrameType {
    /// As text when the content is UTF-8, else as bytes; also as bytes when the header `Content-Type` is `application/octet-stream`.
    #[default]
    Auto,
    /// Always as bytes: for content that is text by chance only.
    Binary,
}

/// Compression of messages by permessage-deflate (RFC 7692).
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct Compression {
    /// Whether it is agreed to when a client offers it. Default false.
    pub enabled: bool,
    /// Whether a message is compressed with those before it in view. Small messages that are alike become much smaller by it; each client
    /// costs about 430 KB of memory then, and has a subscription of its own. Default false: a message is compressed once
    /// for all clients.
    pub context_takeover: bool,
    /// From 1, fast, to 9, small. Default 6.
    #[schemars(range(min = 1, max = 9))]
    pub level: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            publisher: Publisher::default(),
            subscriber: Subscriber::default(),
            heartbeat_interval_in_ms: 30_000,
            compression: Compression::default(),
            subprotocols: Vec::new(),
        }
    }
}

impl Default for Publisher {
    fn default() -> Self {
        Self { enabled: true, keep_frame_type: true }
    }
}

impl Default for Subscriber {
    fn default() -> Self {
        Self { enabled: true, frame_type: FrameType::Auto }
    }
}

impl Default for Compression {
    fn default() -> Self {
        Self { enabled: false, context_takeover: false, level: 6 }
    }
}

impl Config {
    /// What the schema lets pass and nobody can mean.
    fn check(&self) -> Result<(), Refusal> {
        if !self.publisher.enabled && !self.subscriber.enabled {
            return Err(Refusal("a client that neither publishes nor subscribes has nothing to do here".to_owned()));
        }
        match self.subprotocols.iter().find(|protocol| !handshake::is_protocol(protocol)) {
            Some(protocol) => {
                Err(Refusal(format!("`{protocol}` is no subprotocol: it is a token (RFC 6455 section 4.1)")))
            }
            None => Ok(()),
        }
    }

    fn preferences(&self) -> Preferences {
        let forgets = !self.compression.context_takeover;
        Preferences {
            server_no_context_takeover: forgets,
            client_no_context_takeover: forgets,
            ..Preferences::default()
        }
    }
}

fn examine(configuration: Option<&Node>, _shared: Option<&Node>) -> Vec<Problem> {
    refused(configuration, decode::<Config>(configuration).and_then(|config| config.check()).err())
}

struct WebSocket {
    config: Config,
    /// The renderers of clients that get the same bytes, while there are any: plain, and one for each window.
    shared: RefCell<Vec<(Option<Agreement>, Weak<Frames>)>>,
}

impl WebSocket {
    fn frames(&self, agreement: Option<Agreement>) -> Rc<Frames> {
        let (frame_type, level) = (self.config.subscriber.frame_type, self.config.compression.level);
        if agreement.is_some_and(|agreement| !agreement.server_no_context_takeover) {
            return Rc::new(Frames::new(frame_type, agreement, level));
        }
        // What the client forgets is its own affair, and nothing of it shows in what it is sent.
        let same = |known: &Option<Agreement>| {
            known.map(|known| known.server_max_window_bits) == agreement.map(|agreed| agreed.server_max_window_bits)
        };
        let mut shared = self.shared.borrow_mut();
        if let Some(frames) = shared.iter().find(|(known, _)| same(known)).and_then(|(_, frames)| frames.upgrade()) {
            return frames;
        }
        let frames = Rc::new(Frames::new(frame_type, agreement, level));
        shared.retain(|(_, frames)| frames.strong_count() > 0);
        shared.push((agreement, Rc::downgrade(&frames)));
        frames
    }
}

impl Entrypoint for WebSocket {
    fn criteria(&self) -> u8 {
        4
    }

    fn matches(&self, request: &Request) -> bool {
        request.head.method == Method::GET && handshake::Opening::is_meant(&request.head)
    }

    fn coupling(&self) -> Coupling {
        Coupling::Messages
    }

    fn open(&self, opening: &Opening<'_>) -> Result<Box<dyn Session>, Box<Reply>> {
        let config = &self.config;
        let asked = handshake::Opening::read(&opening.request.head).map_err(refusal)?;
        // Whatever is wrong with an offer is told even where none would be taken.
        let agreement = asked.compression(&config.preferences()).map_err(refusal)?;
        let agreement = agreement.filter(|_| config.compression.enabled);
        let supported: Vec<&str> = config.subprotocols.iter().map(String::as_str).collect();
        Ok(Box::new(Socket {
            accept: asked.accept(),
            protocol: asked.protocol(&supported).map(str::to_owned),
            decoder: websocket::Decoder::new(opening.message_bytes_max, agreement.as_ref()),
            frames: config.subscriber.enabled.then(|| self.frames(agreement)),
            agreement,
            publishes: config.publisher.enabled,
            keeps_frame_type: config.publisher.keep_frame_type,
            published: false,
            under_way: 0,
            closing: None,
            heartbeat: Duration::from_millis(config.heartbeat_interval_in_ms),
            awaits_pong: false,
            closed: false,
        }))
    }
}

fn refusal(refusal: handshake::Refusal) -> Box<Reply> {
    let reply = Reply::refusal(refusal.status(), "GATEWAY_INVALID_HANDSHAKE", refusal.message());
    Box::new(refusal.fields().iter().fold(reply, |reply, (name, value)| reply.header(*name, *value)))
}
