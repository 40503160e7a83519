//! How consumers reach an API.

use http::StatusCode;

use crate::{Opening, Reply, Request, Session};

/// How an entrypoint's exchanges meet the endpoint's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coupling {
    /// The client's HTTP frames are the endpoint's frames: head, data, trailers and end cross unchanged.
    Transparent,
    /// Each client is a [`Session`] between HTTP and messages.
    Messages,
}

/// Speaks the client's side of an API.
pub trait Entrypoint {
    /// How specific [`Entrypoint::matches`] is: where several entrypoints share a path, the highest is asked first.
    fn criteria(&self) -> u8;

    /// Whether this entrypoint takes the request.
    fn matches(&self, request: &Request) -> bool;

    /// How its exchanges are coupled.
    fn coupling(&self) -> Coupling;

    /// Begins a session; of [`Coupling::Messages`] only.
    ///
    /// # Errors
    /// The request cannot be served: the refusal is the answer.
    fn open(&self, _opening: &Opening<'_>) -> Result<Box<dyn Session>, Box<Reply>> {
        Err(Box::new(Reply::refusal(
            StatusCode::NOT_IMPLEMENTED,
            "GATEWAY_NO_ENTRYPOINT",
            "This entrypoint has no sessions.",
        )))
    }
}
