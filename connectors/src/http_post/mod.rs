//! HTTP POST: a body is a message.

use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode};
use ringway_contract::kind::{Part, decode};
use ringway_contract::{
    Answer, Coupling, Entrypoint, Kind, Message, Messaging, Opening, Out, Outline, Qos, Reply, Request, ResponseHead,
    Session,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// `http-post`, the entrypoint.
pub static ENTRYPOINT: Kind<dyn Entrypoint> = Kind {
    name: "http-post",
    about: "A POST publishes its body as one message, and is answered when the broker has it.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>(),
    shared: None,
    messaging: Some(Messaging { publish: &[Qos::None, Qos::Auto], subscribe: &[], recover: false }),
    build: |source, _| Ok(Rc::new(HttpPost(decode::<Config>(source.configuration)?))),
};

/// Configuration of `http-post`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct Config {
    /// Whether the fields of the request become headers of the message. Default false.
    pub request_headers_to_message: bool,
}

struct HttpPost(Config);

impl Entrypoint for HttpPost {
    fn criteria(&self) -> u8 {
        1
    }

    fn matches(&self, request: &Request) -> bool {
        request.head.method == Method::POST
    }

    fn coupling(&self) -> Coupling {
        Coupling::Messages
    }

    fn open(&self, opening: &Opening<'_>) -> Result<Box<dyn Session>, Box<Reply>> {
        let headers = if self.0.request_headers_to_message { headers(opening.request) } else { Vec::new() };
        Ok(Box::new(Post { headers }))
    }
}

/// Fields that say nothing of the message, or must not leave the gateway. Framing and hop-by-hop fields.
const KEPT_BACK: [&str; 16] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "forwarded",
];

fn headers(request: &Request) -> Vec<(Bytes, Bytes)> {
    let fields = request.head.fields.iter();
    let told = fields.filter(|(name, _)| !KEPT_BACK.iter().any(|kept| name.eq_ignore_ascii_case(kept.as_bytes())));
    told.map(|(name, value)| (Bytes::copy_from_slice(name), Bytes::copy_from_slice(value))).collect()
}

struct Post {
    headers: Vec<(Bytes, Bytes)>,
}

impl Session for Post {
    fn outline(&self) -> Outline {
        Outline { answer: Answer::Whole, subscribe: None, publish: true, takes_body: true, idle: None, deadline: None }
    }

    fn head(&mut self, head: &mut ResponseHead) {
        head.set_status(StatusCode::ACCEPTED);
    }

    fn received(&mut self, input: &mut BytesMut, out: &mut Out) -> Result<(), Box<Reply>> {
        let headers = std::mem::take(&mut self.headers);
        out.publish.push(Message { headers, ..Message::new(std::mem::take(input).freeze()) });
        out.finished = true;
        Ok(())
    }
}
