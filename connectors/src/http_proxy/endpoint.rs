//! The endpoint, once per shard: what all its lanes share.

use std::rc::Rc;
use std::time::Duration;

use ringway_contract::{Endpoint, HealthRequest, Lane, Pool, Probe, Refusal, Services};
use ringway_net::{ClientTls, Shard};
use ringway_wire::{Fields, Limits, ResponseHead};

use super::backend::Way;
use super::config::{EndpointConfig, SharedConfig};
use super::lane;
use super::tls;
use super::target::Target;

/// An HTTP/1.1 backend.
pub struct HttpProxy {
    /// Where it is.
    pub target: Target,
    /// TLS, for targets that speak it.
    pub tls: Option<ClientTls>,
    /// The proxy on the way to it.
    pub way: Option<Way>,
    /// Its configuration.
    pub shared: SharedConfig,
    /// Heads of responses, used again and again.
    pub responses: Pool<ResponseHead>,
    /// What is asked of a response's head.
    pub limits: Limits,
    /// The shard that this one serves.
    pub shard: Rc<Shard>,
    /// Shards among which the connections are divided.
    shards: usize,
}

impl HttpProxy {
    /// Built on its shard.
    pub fn new(configuration: EndpointConfig, shared: SharedConfig, services: &Services) -> Result<Self, Refusal> {
        let target = Target::parse(&configuration.target)
            .map_err(|error| Refusal(format!("target `{}`: {error}", configuration.target)))?;
        let mut probe = Fields::default();
        for header in &shared.headers {
            probe
                .append(&header.name, header.value.as_bytes())
                .map_err(|error| Refusal(format!("header `{}`: {error}", header.name)))?;
        }
        let tls = if target.tls { Some(tls::client(&shared.ssl)?) } else { None };
        let way = Way::new(&shared.proxy, target.tls)?;
        Ok(Self {
            target,
            tls,
            way,
            shared,
            responses: services.responses.clone(),
            limits: services.response_limits.clone(),
            shard: Shard::current(),
            shards: services.shards.max(1),
        })
    }

    /// The longest silence of the backend; `None` for ever.
    pub fn read_timeout(&self) -> Option<Duration> {
        bounded(self.shared.http.read_timeout)
    }

    /// The longest silence of a tunnel; `None` for ever.
    pub fn idle_timeout(&self) -> Option<Duration> {
        bounded(self.shared.http.idle_timeout)
    }
}

fn bounded(ms: u64) -> Option<Duration> {
    (ms > 0).then(|| Duration::from_millis(ms))
}

impl Endpoint for HttpProxy {
    fn lane(self: Rc<Self>) -> Lane {
        Lane::new(|end| lane::serve(self, end))
    }

    fn lanes_max(&self) -> usize {
        self.shared.http.max_concurrent_connections.div_ceil(self.shards).max(1)
    }

    fn idle_ms(&self) -> u64 {
        if self.shared.http.keep_alive { self.shared.http.keep_alive_timeout } else { 0 }
    }

    fn probe(self: Rc<Self>, check: Rc<HealthRequest>) -> Probe {
        Box::pin(async move { super::probe::probe(&self, &check).await })
    }
}
