//! A step of a chain.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use crate::{Exchange, Mask, Reply};

/// The phases that a policy takes part in. What it does not name is left out of the compiled chain and costs nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// [`Policy::request`] is called.
    pub request: bool,
    /// [`Policy::response`] is called.
    pub response: bool,
    /// [`Policy::request`] finds the whole body in [`Contents::request`](crate::Contents), and may replace it. Such a body is held in memory,
    /// at most `limits.contentBytes` of it.
    pub request_content: bool,
    /// The same of [`Policy::response`] and [`Contents::response`](crate::Contents).
    pub response_content: bool,
    /// [`Policy::message`] is called with each message on its way to a broker.
    pub publish: bool,
    /// [`Policy::message`] is called with each message on its way from a broker.
    pub subscribe: bool,
}

impl Phases {
    /// On the way to the endpoint.
    pub const REQUEST: Self = Self { request: true, ..Self::NONE };
    /// On the way back.
    pub const RESPONSE: Self = Self { response: true, ..Self::NONE };
    const NONE: Self = Self {
        request: false,
        response: false,
        request_content: false,
        response_content: false,
        publish: false,
        subscribe: false,
    };

    /// The same, and all messages. Its [`Kind`](crate::Kind) says so, too: [`Part::on_messages`](crate::kind::Part::on_messages).
    #[must_use]
    pub const fn with_messages(self) -> Self {
        Self { publish: true, subscribe: true, ..self }
    }

    /// The same, with the body of every phase that it takes part in.
    #[must_use]
    pub const fn with_content(self) -> Self {
        Self { request_content: self.request, response_content: self.response, ..self }
    }
}

/// What comes after a policy.
pub enum Step<'a> {
    /// The next policy.
    Next,
    /// The exchange is answered here: no later policy of either phase runs. Of a message: it goes no further, and whoever published it is
    /// told.
    Reply(Box<Reply>),
    /// The message goes no further, and counts as delivered. Of an exchange: the same as `Next`.
    Drop,
    /// Something must be waited for. Only this boxes a future.
    Wait(Pin<Box<dyn Future<Output = Step<'a>> + 'a>>),
}

/// A policy: plain synchronous functions on an exchange.
pub trait Policy {
    /// Where it takes part. Asked once, when the chain is compiled.
    fn phases(&self) -> Phases;

    /// What it hides of the flow's phase that it stands in, where exchanges are written down. Asked once, when the chain is compiled: it holds for
    /// every exchange that takes the flow, whatever ends it.
    fn mask(&self) -> Option<Rc<dyn Mask>> {
        None
    }

    /// On the way to the endpoint; the request's head may be changed.
    fn request<'a>(&'a self, _exchange: &'a mut Exchange) -> Step<'a> {
        Step::Next
    }

    /// On the way back; the response's head may be changed.
    fn response<'a>(&'a self, _exchange: &'a mut Exchange) -> Step<'a> {
        Step::Next
    }

    /// A message, [`Exchange::message`], on its way to or from a broker; it may be changed. The exchange is the one that the client's session
    /// began with.
    fn message<'a>(&'a self, _exchange: &'a mut Exchange) -> Step<'a> {
        Step::Next
    }
}
