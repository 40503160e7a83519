//! Message APIs: a client's session on one side, a broker's subscription or publisher on the other.
//!
//! ```text
//!   whole.rs    one answer after a while, or after a message was published: served by the carriage, as any exchange
//!   stream.rs   a stream or an upgraded connection: its head is sent by the carriage, then it lives in a task of its own
//!   topic.rs    one subscription for many streams
//!   route.rs    which brokers, and what is done when one is away
//!   brokers.rs  a group of them
//!   outbox.rs   what one client publishes
//!   passage.rs  policies on messages
//!   scribe.rs   messages that are written down
//!   push/       subscriptions whose messages the gateway sends
//! ```

use std::net::IpAddr;
use std::rc::Rc;

use ringway_config::api::Operation;
use ringway_contract::{
    Answer, Cause, Entrypoint, Exchange, Fault, Opening, Outline, Qos, Render, Session, Subscribe, Wish,
};

use crate::call::Served;
use crate::carriage::Desk;
use crate::chain::{Chain, Facing};
use crate::exchange::{Stage, Stop};
use crate::messages::passage::Passage;
use crate::messages::scribe::Scribe;

pub mod brokers;
mod outbox;
pub mod passage;
pub mod push;
pub mod route;
pub mod scribe;
pub mod stream;
pub mod topic;
mod whole;

/// An entrypoint of an API.
pub struct Door {
    /// The entrypoint.
    pub entrypoint: Rc<dyn Entrypoint>,
    /// The level that the definition gives it.
    pub qos: Qos,
    /// Whether its clients go on from an id, instead of acknowledging.
    pub recovers: bool,
    /// Its type.
    pub name: &'static str,
    /// Whether its clients publish.
    pub publishes: bool,
    /// Whether its clients subscribe.
    pub subscribes: bool,
}

impl Door {
    /// What flows are chosen by.
    pub fn facing(&self) -> Facing<'_> {
        Facing { entrypoint: self.name, publishes: self.publishes, subscribes: self.subscribes, channel: None }
    }
}

/// A session that has begun.
struct Begun<'a> {
    session: Box<dyn Session>,
    outline: Outline,
    renderer: Option<Rc<dyn Render>>,
    door: &'a Door,
    /// What its messages pass.
    publish: Passage,
    /// What those for it pass.
    subscribe: Passage,
}

/// Serves one client of a message API.
pub async fn serve(
    stage: &mut Stage<'_>,
    desk: &mut Desk,
    chain: &Chain,
    matched: &[u16],
    door: &Door,
) -> Result<Served, Stop> {
    let Some(request) = stage.exchange.request.as_deref() else { return Err(Fault::new(Cause::Internal).into()) };
    let session = door.entrypoint.open(&Opening {
        request,
        client: &stage.exchange.client,
        attributes: &stage.exchange.attributes,
        qos: door.qos,
        message_bytes_max: stage.site.message_bytes_max,
        random: stage.local.ids.random(),
    })?;
    let scribe = |operation| {
        let logging = (stage.local, stage.api.logging.as_ref()?);
        Scribe::of(logging, stage.exchange, (chain, matched), door.name, operation)
    };
    let begun = Begun {
        outline: session.outline(),
        renderer: session.renderer(),
        session,
        door,
        publish: chain.publish(matched).written_by(scribe(Operation::Publish)),
        subscribe: chain.subscribe(matched).written_by(scribe(Operation::Subscribe)),
    };
    match begun.outline.answer {
        Answer::Whole => whole::serve(stage, desk, chain, matched, begun).await,
        Answer::Stream | Answer::Upgrade => stream::open(stage, desk, chain, matched, begun).await,
    }
}

/// What is done about a message that was delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Receipts {
    /// Nothing: the broker's side took it for delivered as it handed it over, or the client tells by a cursor later.
    None,
    /// It is acknowledged when the client's kernel has it.
    OnWrite,
}

/// The subscription that a session wishes for, at its entrypoint's level.
fn subscribe(exchange: &Exchange, door: &Door, wish: &Wish) -> (Subscribe, Receipts) {
    let acknowledges = match door.qos {
        Qos::None | Qos::AtMostOnce => false,
        Qos::Auto => !wish.live,
        Qos::AtLeastOnce => true,
    };
    let receipts = match acknowledges && !(door.recovers && door.qos == Qos::AtLeastOnce) {
        true => Receipts::OnWrite,
        false => Receipts::None,
    };
    let subscribe = Subscribe {
        qos: door.qos,
        live: wish.live,
        cursor: wish.cursor.clone(),
        client: client(exchange).into(),
        receipts: acknowledges,
    };
    (subscribe, receipts)
}

/// A header by which clients of one subscription, or of one address, tell themselves apart.
const IDENTIFIER: &str = "x-gravitee-client-identifier";
/// Longest identifier.
const IDENTIFIER_BYTES_MAX: usize = 128;

/// Who consumes: the subscription, or where there is none the address; and what the client calls itself. The same after a restart.
fn client(exchange: &Exchange) -> String {
    let mut client = format!("{}-", exchange.api.id);
    match exchange.attributes.get("user-id") {
        Some(subscription) => client.push_str(subscription),
        None => match exchange.client.address.map(|address| address.ip()) {
            Some(IpAddr::V4(address)) => client.push_str(&address.to_string().replace('.', "-")),
            Some(IpAddr::V6(address)) => client.push_str(&address.to_string().replace(':', "-")),
            None => client.push_str("local"),
        },
    }
    let own = exchange.request.as_deref().and_then(|request| request.head.fields.get(IDENTIFIER));
    if let Some(own) = own.filter(|own| !own.is_empty()) {
        client.push('-');
        // It becomes part of names of groups, queues and share names, where other characters mean something.
        let plain =
            |byte: &u8| if byte.is_ascii_alphanumeric() || b"-_".contains(byte) { char::from(*byte) } else { '_' };
        client.extend(own.iter().take(IDENTIFIER_BYTES_MAX).map(plain));
    }
    client
}
