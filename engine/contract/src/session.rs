//! One client of a message API: a state machine between the client's bytes and messages, without I/O and without a clock.
//!
//! ```text
//!             open(request)
//!   engine ── head ──▶ status and fields of the answer        (`Answer::Stream`: at once; `Answer::Whole`: at the end)
//!          ── begin ─▶ first bytes
//!          ── render ▶ a message's bytes                      (the renderer; shared where several clients see the same bytes)
//!          ── received ▶ the client's bytes → messages        (a whole body, or what comes over an upgraded connection)
//!          ── published ▶ the broker's verdict
//!          ── tick ──▶ it was quiet for long; time is up
//!          ── stop ──▶ last words
//! ```

use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ringway_config::api::Qos;
use ringway_wire::ResponseHead;

use crate::{Attributes, Client, Fault, Message, Origin, Reply, Request};

/// What an entrypoint is told when a session begins.
pub struct Opening<'a> {
    /// The request.
    pub request: &'a Request,
    /// The client.
    pub client: &'a Client,
    /// Context attributes.
    pub attributes: &'a Attributes,
    /// The level that the definition gives the entrypoint.
    pub qos: Qos,
    /// Bytes of a client's message at most; larger ones are refused.
    pub message_bytes_max: usize,
    /// Some bits of chance, for what must not be guessed or not be the same for all.
    pub random: u64,
}

/// How a session answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// With one response when the session has finished; the bytes that it put out are its body.
    Whole,
    /// With a head at once, and a body that goes on until the session ends.
    Stream,
    /// With a 101: the connection is the session's own from then on, both ways.
    Upgrade,
}

/// What a session is about; asked once, when it begins.
#[derive(Clone, Debug)]
pub struct Outline {
    /// How it answers.
    pub answer: Answer,
    /// What it subscribes to, if to anything.
    pub subscribe: Option<Wish>,
    /// Whether it publishes.
    pub publish: bool,
    /// Whether the request's body is its input: read as a whole first, within the limit of a message.
    pub takes_body: bool,
    /// [`Session::tick`] after so long without output.
    pub idle: Option<Duration>,
    /// [`Session::tick`] so long after the request, at which the session has to end.
    pub deadline: Option<Duration>,
}

/// A subscription that a session wants.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Where to go on, as the client says.
    pub cursor: Option<Bytes>,
    /// As in [`Subscribe::live`](crate::Subscribe::live).
    pub live: bool,
}

/// Why a session is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The API is redeployed or undeployed, or the gateway stops: the client should come again.
    GoAway,
    /// The client fell too far behind what others read, too.
    Lagged,
    /// The subscription failed.
    Fault(Fault),
    /// The subscription has ended: there will be no more messages.
    Complete,
}

/// Which time is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tick {
    /// [`Outline::idle`].
    Idle,
    /// [`Outline::deadline`].
    Deadline,
}

/// What a session puts out.
#[derive(Debug, Default)]
pub struct Out {
    /// Bytes for the client.
    pub bytes: BytesMut,
    /// Messages for the broker, in order.
    pub publish: Vec<Message>,
    /// The session will be over: it still gets messages for so long, and then [`Session::tick`]. Only of a session that goes on.
    pub settles: Option<Duration>,
    /// The session is over: what is in `bytes` is the last.
    pub finished: bool,
}

/// Makes bytes of messages.
pub trait Render {
    /// Renderers of the same format make the same bytes of the same message, one message behind the other: what one has made may be sent
    /// to the clients of all. `None`: nobody else's.
    fn format(&self) -> Option<u64>;

    /// Appends a message that has just [passed](Origin::passed).
    fn render(&self, message: &Message, origin: &dyn Origin, out: &mut BytesMut);
}

/// One client.
pub trait Session {
    /// What it is about.
    fn outline(&self) -> Outline;

    /// Sets status and fields of the answer, besides framing, `Date` and what the engine adds to every response.
    fn head(&mut self, head: &mut ResponseHead);

    /// The answer's head is out.
    fn begin(&mut self, _out: &mut Out) {}

    /// Who makes bytes of messages.
    fn renderer(&self) -> Option<Rc<dyn Render>> {
        None
    }

    /// A message was rendered to `out.bytes`. Not called where bytes are shared: then nothing depends on single messages.
    fn delivered(&mut self, _out: &mut Out) {}

    /// Bytes of the client; what is not understood yet stays. With [`Outline::takes_body`]: the whole body.
    ///
    /// # Errors
    /// With [`Answer::Whole`]: a refusal, which is the answer.
    fn received(&mut self, _input: &mut BytesMut, _out: &mut Out) -> Result<(), Box<Reply>> {
        Ok(())
    }

    /// The broker has a message, or not; in the order in which they were put out. A fault of an [`Answer::Whole`] is answered by the engine,
    /// and not told.
    fn published(&mut self, _outcome: Result<(), Fault>, _out: &mut Out) {}

    /// Time is up.
    fn tick(&mut self, _tick: Tick, _out: &mut Out) {}

    /// Last words. Sets `out.finished` with [`Answer::Whole`] if what was collected so far is an answer.
    fn stop(&mut self, _ending: Ending, _out: &mut Out) {}
}
