//! Entrypoints and endpoints: one folder per protocol, one line in a table here.

use ringway_contract::{Endpoint, Entrypoint, Kind};

pub mod http_proxy;

/// How consumers reach an API.
pub static ENTRYPOINTS: &[&Kind<dyn Entrypoint>] = &[&http_proxy::ENTRYPOINT];

/// What an API reaches.
pub static ENDPOINTS: &[&Kind<dyn Endpoint>] = &[&http_proxy::ENDPOINT];
