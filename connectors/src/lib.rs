//! Entrypoints, endpoints and brokers: one folder per protocol, one line in a table here.

use ringway_contract::{Broker, Endpoint, Entrypoint, Kind, Push};

mod address;
pub mod bridge;
mod caller;
mod dial;
mod fetch;
pub mod http_get;
pub mod http_post;
pub mod http_proxy;
pub mod kafka;
pub mod mock;
pub mod mqtt5;
pub mod rabbitmq;
mod sifted;
mod sifter;
pub mod solace;
pub mod sse;
mod tls;
mod vault;
pub mod webhook;
pub mod websocket;

/// How consumers reach an API.
pub static ENTRYPOINTS: &[&Kind<dyn Entrypoint>] =
    &[&http_proxy::ENTRYPOINT, &http_get::ENTRYPOINT, &http_post::ENTRYPOINT, &sse::ENTRYPOINT, &websocket::ENTRYPOINT];

/// How messages are sent to subscribers.
pub static PUSHES: &[&Kind<dyn Push>] = &[&webhook::PUSH];

/// What an API of type PROXY reaches.
pub static ENDPOINTS: &[&Kind<dyn Endpoint>] = &[&http_proxy::ENDPOINT];

pub use dial::dial;
pub use fetch::fetch;
pub use kafka::Simulator;
pub use vault::store;

/// What an API of type MESSAGE reaches.
pub static BROKERS: &[&Kind<dyn Broker>] =
    &[&kafka::BROKER, &mock::BROKER, &mqtt5::BROKER, &rabbitmq::BROKER, &solace::BROKER];
