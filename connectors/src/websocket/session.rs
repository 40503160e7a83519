//! One client: frames in, messages and frames out.
//!
//! ```text
//!   open ──▶ ping when it is quiet ──▶ quiet again ──▶ close 1011 ───────────────────────────┐
//!     ├─ close of the client ─┬─▶ closing: the broker answers ──▶ the same back, or its code ┤
//!     ├─ broken rule ─────────┘   for what was sent before; what is on its way back comes    ├──▶ closed: the engine lingers until
//!     └─ the engine's ending ──▶ close 1000, 1001, 1011 or 1013 ─────────────────────────────┘    the client has gone
//! ```
//!
//! A client that closes learns by the code whether its last messages were published (RFC 6455 section 5.5.1 lets the answer wait).

use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use ringway_contract::{
    Answer, Cause, Ending, Fault, Message, Out, Outline, Render, Reply, ResponseHead, Session, Tick, Wish,
};
use ringway_wire::websocket::compression::Agreement;
use ringway_wire::websocket::{Decoder, Event, Kind, close, encode, handshake};

use super::frames::{self, Frames};

/// How long what a client has published may come back to it before it is closed for a broken rule: the broker's answer and the message are two
/// ways, and either may be the first.
const COMES_BACK_WITHIN: Duration = Duration::from_millis(100);

/// Why a client is about to be closed.
#[derive(Clone, Copy, Debug)]
pub enum Closing {
    /// It has closed, with this code.
    Asked(Option<u16>),
    /// It broke a rule: the code that is for that, and which one.
    Broken(u16, &'static str),
}

/// One client.
pub struct Socket {
    pub accept: handshake::Accept,
    pub protocol: Option<String>,
    pub agreement: Option<Agreement>,
    pub decoder: Decoder,
    /// `None`: the client gets no messages.
    pub frames: Option<Rc<Frames>>,
    pub publishes: bool,
    /// Whether it has published anything.
    pub published: bool,
    /// Whether a binary message says that it is one.
    pub keeps_frame_type: bool,
    /// Messages that the broker has not answered for.
    pub under_way: usize,
    /// Why it closes when the broker has.
    pub closing: Option<Closing>,
    pub heartbeat: Duration,
    /// A ping was sent, and nothing has come since.
    pub awaits_pong: bool,
    /// The close frame is out: nothing may follow it (RFC 6455 section 5.5.1).
    pub closed: bool,
}

impl Socket {
    fn close(&mut self, code: Option<u16>, reason: &str, out: &mut Out) {
        if !std::mem::replace(&mut self.closed, true) {
            encode::close(code, reason, &mut out.bytes);
        }
        out.finished = true;
    }

    /// Closes when the broker has answered for what came before: nothing more is read until then.
    fn close_in_turn(&mut self, closing: Closing, out: &mut Out) {
        self.closing = Some(closing);
        if self.under_way == 0 {
            self.close_answered(closing, out);
        }
    }

    /// Closes, now that the broker has answered for everything.
    fn close_answered(&mut self, closing: Closing, out: &mut Out) {
        match closing {
            Closing::Broken(..) if self.published && self.frames.is_some() => out.settles = Some(COMES_BACK_WITHIN),
            closing => self.close_now(closing, out),
        }
    }

    fn close_now(&mut self, closing: Closing, out: &mut Out) {
        match closing {
            Closing::Asked(code) => self.close(code, "", out),
            Closing::Broken(code, rule) => self.close(Some(code), rule, out),
        }
    }

    fn publish(&mut self, kind: Kind, payload: Bytes, out: &mut Out) {
        let mut message = Message::new(payload);
        if kind == Kind::Binary && self.keeps_frame_type {
            message.headers.push(frames::BINARY);
        }
        out.publish.push(message);
        self.published = true;
        self.under_way += 1;
    }
}

impl Session for Socket {
    fn outline(&self) -> Outline {
        Outline {
            answer: Answer::Upgrade,
            subscribe: self.frames.as_ref().map(|_| Wish { cursor: None, live: true }),
            publish: self.publishes,
            takes_body: false,
            idle: Some(self.heartbeat),
            deadline: None,
        }
    }

    fn head(&mut self, head: &mut ResponseHead) {
        head.set_status(StatusCode::SWITCHING_PROTOCOLS);
        // The subprotocol is a token, as the configuration was checked for, and the rest are constants.
        let _ = handshake::answer(&self.accept, self.protocol.as_deref(), self.agreement.as_ref(), &mut head.fields);
    }

    fn renderer(&self) -> Option<Rc<dyn Render>> {
        self.frames.clone().map(|frames| frames as Rc<dyn Render>)
    }

    fn received(&mut self, input: &mut BytesMut, out: &mut Out) -> Result<(), Box<Reply>> {
        self.awaits_pong = false;
        while !self.closed && self.closing.is_none() {
            match self.decoder.decode(input) {
                Ok(None) => return Ok(()),
                Ok(Some(Event::Message { kind, payload })) if self.publishes => self.publish(kind, payload, out),
                Ok(Some(Event::Message { .. })) => {
                    self.close(Some(close::POLICY_VIOLATION), "No messages are taken here", out);
                }
                Ok(Some(Event::Ping(payload))) => encode::pong(&payload, &mut out.bytes),
                Ok(Some(Event::Pong(_))) => {}
                Ok(Some(Event::Close(said))) => self.close_in_turn(Closing::Asked(said.code), out),
                Err(violation) => self.close_in_turn(Closing::Broken(violation.code(), violation.message()), out),
            }
        }
        input.clear();
        Ok(())
    }

    fn published(&mut self, outcome: Result<(), Fault>, out: &mut Out) {
        self.under_way = self.under_way.saturating_sub(1);
        if let Err(fault) = outcome {
            return self.close(Some(close::INTERNAL_ERROR), fault.cause.message(), out);
        }
        if self.under_way == 0
            && let Some(closing) = self.closing
        {
            self.close_answered(closing, out);
        }
    }

    fn tick(&mut self, _tick: Tick, out: &mut Out) {
        if self.closed {
            return;
        }
        // The broker takes too long, or has answered and what it sends had time to come. Its own code would tell a client that its last messages were published.
        match self.closing {
            Some(Closing::Asked(_)) => {
                return self.close(Some(close::INTERNAL_ERROR), Cause::BrokerTimeout.message(), out);
            }
            Some(broken) => return self.close_now(broken, out),
            None => {}
        }
        if self.awaits_pong {
            return self.close(Some(close::INTERNAL_ERROR), "No answer to a ping", out);
        }
        self.awaits_pong = true;
        encode::ping(b"", &mut out.bytes);
    }

    fn stop(&mut self, ending: Ending, out: &mut Out) {
        let (code, reason) = match ending {
            Ending::GoAway => (close::GOING_AWAY, "Stopping, please reconnect"),
            Ending::Complete => (close::NORMAL, ""),
            Ending::Lagged => (close::TRY_AGAIN_LATER, "Too slow: messages were left out, please reconnect"),
            Ending::Fault(fault) => (close::INTERNAL_ERROR, fault.cause.message()),
        };
        self.close(Some(code), reason, out);
    }
}
