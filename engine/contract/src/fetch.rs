//! Calls of HTTP services beside the traffic: key sets, token introspection, callouts.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};

use crate::Fault;

/// A request.
#[derive(Clone, Debug)]
pub struct FetchRequest {
    /// The method.
    pub method: Method,
    /// An `http` or `https` URL.
    pub url: String,
    /// Fields, besides `Host` and framing.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// How long it may take from the first to the last byte.
    pub timeout: Duration,
}

impl FetchRequest {
    /// A GET that may take ten seconds.
    pub fn get(url: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            url: url.into(),
            headers: Vec::new(),
            body: Bytes::new(),
            timeout: Duration::from_secs(10),
        }
    }
}

/// A response.
#[derive(Clone, Debug)]
pub struct FetchResponse {
    /// The status.
    pub status: StatusCode,
    /// Fields, in their order.
    pub headers: Vec<(String, Bytes)>,
    /// The body: never more than [`FETCH_BYTES_MAX`].
    pub body: Bytes,
}

impl FetchResponse {
    /// The first field of this name, compared without case.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }
}

/// Bytes of a response's body that are read; a longer one is a fault.
pub const FETCH_BYTES_MAX: usize = 1024 * 1024;

/// What a call becomes.
pub type Fetching = Pin<Box<dyn Future<Output = Result<FetchResponse, Fault>>>>;

/// The shard's client for such calls. Connections are kept for the next call of the same origin.
pub trait Fetch {
    /// Calls; to drop the future is to break off. Certificates are checked against the public authorities and those of the system.
    ///
    /// # Errors
    /// The URL is none, nothing answered in time, or the response is not valid or too large.
    fn fetch(&self, request: FetchRequest) -> Fetching;
}
