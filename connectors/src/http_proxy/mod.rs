//! HTTP to HTTP: the entrypoint that takes every request as it is, and the endpoint that speaks HTTP/1.1 to a backend. WebSocket and
//! server-sent events pass through both untouched.

use std::rc::Rc;

use ringway_contract::kind::{Part, decode};
use ringway_contract::{Coupling, Endpoint, Entrypoint, Kind, Refusal, Request, Services};
use schemars::JsonSchema;
use serde::Deserialize;

pub(crate) mod backend;
mod body;
mod coding;
pub(crate) mod config;
pub(crate) mod endpoint;
mod examine;
pub(crate) mod headers;
mod lane;
mod no_proxy;
mod probe;
mod redirect;
mod request;
mod response;
pub(crate) mod target;

pub use config::{EndpointConfig, SharedConfig};

/// `http-proxy`, the entrypoint.
pub static ENTRYPOINT: Kind<dyn Entrypoint> = Kind {
    name: "http-proxy",
    about: "HTTP/1.1 as it is: requests, WebSocket upgrades and server-sent events reach the endpoint unchanged.",
    docs: include_str!("entrypoint.md"),
    configuration: Part::of::<EntrypointConfig>(),
    shared: None,
    messaging: None,
    build: |_, _| Ok(Rc::new(HttpProxy)),
};

/// `http-proxy`, the endpoint.
pub static ENDPOINT: Kind<dyn Endpoint> = Kind {
    name: "http-proxy",
    about: "An HTTP/1.1 backend, over TCP, TLS or a Unix socket.",
    docs: include_str!("endpoint.md"),
    configuration: Part::of::<EndpointConfig>()
        .examined(examine::examine)
        .reading(examine::files)
        .evaluating(&["sharedConfiguration.headers"]),
    shared: Some(Part::of::<SharedConfig>()),
    messaging: None,
    build: |source, services| {
        let configuration = decode(source.configuration)?;
        let shared = decode::<SharedConfig>(source.shared)?.located(source.shared);
        endpoint(configuration, shared, services)
    },
};

/// The endpoint, from a configuration that was read already. Only on a shard.
///
/// # Errors
/// The configuration says something that cannot be done.
pub fn endpoint(
    configuration: EndpointConfig,
    shared: SharedConfig,
    services: &Services,
) -> Result<Rc<dyn Endpoint>, Refusal> {
    Ok(Rc::new(endpoint::HttpProxy::new(configuration, shared, services)?))
}

/// The entrypoint has nothing to configure.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct EntrypointConfig {}

struct HttpProxy;

impl Entrypoint for HttpProxy {
    fn criteria(&self) -> u8 {
        0
    }

    fn matches(&self, _request: &Request) -> bool {
        true
    }

    fn coupling(&self) -> Coupling {
        Coupling::Transparent
    }
}
