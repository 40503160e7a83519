//! Exchanges that are lent to an interpreter: its functions outlive every exchange, so they cannot hold a reference to one.

use ringway_contract::Exchange;

/// Takes an exchange out of its place and leaves an empty one there. Whoever takes it puts it back.
pub fn take(exchange: &mut Exchange) -> Exchange {
    let vacant = Exchange::vacant(exchange.api.clone(), exchange.plan.clone(), exchange.client.clone());
    std::mem::replace(exchange, vacant)
}
