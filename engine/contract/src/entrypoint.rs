//! How consumers reach an API.

use crate::Request;

/// How an entrypoint's exchanges meet the endpoint's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coupling {
    /// The client's HTTP frames are the endpoint's frames: head, data, trailers and end cross unchanged.
    Transparent,
}

/// Speaks the client's side of an API.
pub trait Entrypoint {
    /// How specific [`Entrypoint::matches`] is: where several entrypoints share a path, the highest is asked first.
    fn criteria(&self) -> u8;

    /// Whether this entrypoint takes the request.
    fn matches(&self, request: &Request) -> bool;

    /// How its exchanges are coupled.
    fn coupling(&self) -> Coupling;
}
