//! A step of a chain.

use std::future::Future;
use std::pin::Pin;

use crate::{Exchange, Reply};

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
}

impl Phases {
    /// On the way to the endpoint.
    pub const REQUEST: Self = Self { request: true, response: false, request_content: false, response_content: false };
    /// On the way back.
    pub const RESPONSE: Self = Self { request: false, response: true, request_content: false, response_content: false };

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
    /// The exchange is answered here: no later policy of either phase runs.
    Reply(Box<Reply>),
    /// Something must be waited for. Only this boxes a future.
    Wait(Pin<Box<dyn Future<Output = Step<'a>> + 'a>>),
}

/// A policy: plain synchronous functions on an exchange.
pub trait Policy {
    /// Where it takes part. Asked once, when the chain is compiled.
    fn phases(&self) -> Phases;

    /// On the way to the endpoint; the request's head may be changed.
    fn request<'a>(&'a self, _exchange: &'a mut Exchange) -> Step<'a> {
        Step::Next
    }

    /// On the way back; the response's head may be changed.
    fn response<'a>(&'a self, _exchange: &'a mut Exchange) -> Step<'a> {
        Step::Next
    }
}
