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
