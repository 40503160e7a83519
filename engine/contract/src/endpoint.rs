//! What an API reaches.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use crate::{Exchange, Fault, FetchResponse, Lane};

/// A pending health probe: what the backend answered, without its body unless [`HealthRequest::content`] asks for it.
pub type Probe = Pin<Box<dyn Future<Output = Result<FetchResponse, Fault>>>>;

/// What a health check asks.
#[derive(Clone, Debug)]
pub struct HealthRequest {
    /// The method.
    pub method: http::Method,
    /// A path, or a URL.
    pub target: String,
    /// Whether a path replaces that of the endpoint instead of being appended to it.
    pub override_path: bool,
    /// Fields of the request.
    pub headers: Vec<(String, String)>,
    /// Whether the body of the answer is read.
    pub content: bool,
}

/// Speaks the backend's protocol on one side and frames on the other. Built once per shard.
pub trait Endpoint {
    /// Puts what of its configuration changes from request to request on the exchange, before its request goes to one of the lanes.
    ///
    /// # Errors
    /// Something cannot be evaluated.
    fn prepare(&self, _exchange: &mut Exchange) -> Result<(), Fault> {
        Ok(())
    }

    /// A fresh lane: one backend connection, made when the first exchange opens, then kept.
    fn lane(self: Rc<Self>) -> Lane;

    /// Most lanes that this shard may hold at once, idle ones included. At least 1.
    fn lanes_max(&self) -> usize;

    /// How long a lane may stay idle before it is dropped, in milliseconds. 0: it is not kept.
    fn idle_ms(&self) -> u64;

    /// Asks the backend for a sign of life, within the endpoint's own timeouts.
    fn probe(self: Rc<Self>, check: Rc<HealthRequest>) -> Probe;
}
