//! Exchanges that are lent to an interpreter: its functions outlive every exchange, so they cannot hold a reference to one.

use ringway_contract::{Arounds, Attributes, Contents, Exchange, Tapped};

/// Takes an exchange out of its place and leaves an empty one there. Whoever takes it puts it back.
pub fn take(exchange: &mut Exchange) -> Exchange {
    let vacant = Exchange {
        request: None,
        response: None,
        path_params: Box::default(),
        attributes: Attributes::default(),
        api: exchange.api.clone(),
        plan: exchange.plan.clone(),
        subscriber: None,
        contents: Contents::default(),
        request_bytes_max: None,
        arounds: Arounds::default(),
        tapped: Tapped::default(),
        request_tapped: Tapped::default(),
        told: None,
        client: exchange.client.clone(),
        message: None,
    };
    std::mem::replace(exchange, vacant)
}
