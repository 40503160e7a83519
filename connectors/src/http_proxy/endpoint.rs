//! The endpoint, once per shard: what all its lanes share.

use std::cell::OnceCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use ringway_contract::{Elsewhere, Endpoint, Exchange, Fault, HealthRequest, Lane, Pool, Probe, Refusal, Services};
use ringway_net::{ClientTls, Shard};
use ringway_wire::{Limits, ResponseHead};

use super::backend::Way;
use super::coding::Codings;
use super::config::{EndpointConfig, SharedConfig};
use super::headers::Headers;
use super::lane;
use super::target::Target;
use crate::{address, tls};

/// Where the configuration says "for ever", connecting still ends: the kernel itself gives up after about this long.
const CONNECT_MAX: Duration = Duration::from_secs(120);

/// An HTTP/1.1 backend.
pub struct HttpProxy {
    /// Where it is.
    pub target: Target,
    /// Its configuration.
    pub shared: SharedConfig,
    /// Fields of every request to it.
    pub headers: Headers,
    /// What becomes of a client's `Accept-Encoding`.
    pub codings: Codings,
    /// Heads of responses, used again and again.
    pub responses: Pool<ResponseHead>,
    /// What is asked of a response's head.
    pub limits: Limits,
    /// Bytes per second at least of a body whose length is known; 0: any.
    pub rate_min: u32,
    /// Which addresses of the backend may be dialled; `None`: any. Of a URL that somebody else has chosen.
    pub admits: Option<fn(IpAddr) -> bool>,
    /// The shard that this one serves.
    pub shard: Rc<Shard>,
    /// TLS, once something speaks it.
    tls: OnceCell<ClientTls>,
    /// The proxy on the way to targets in clear, and to those by TLS.
    ways: [Option<Way>; 2],
    /// Shards among which the connections are divided.
    shards: usize,
}

impl HttpProxy {
    /// Built on its shard.
    pub fn new(configuration: EndpointConfig, shared: SharedConfig, services: &Services) -> Result<Self, Refusal> {
        let target = Target::parse(&configuration.target)
            .map_err(|error| Refusal(format!("target `{}`: {error}", configuration.target)))?;
        let endpoint = Self {
            headers: Headers::new(&shared.headers)?,
            codings: Codings::new(&shared.http, &shared.headers),
            ways: [Way::new(&shared.proxy, false)?, Way::new(&shared.proxy, true)?],
            target,
            shared,
            responses: services.responses.clone(),
            limits: services.response_limits.clone(),
            rate_min: services.response_rate_min,
            admits: None,
            shard: Shard::current(),
            tls: OnceCell::new(),
            shards: services.shards.max(1),
        };
        if endpoint.target.tls || endpoint.shared.http.follow_redirects {
            endpoint.tls()?;
        }
        Ok(endpoint)
    }

    /// TLS, as `ssl` has it. Made when the endpoint is built if its target or a redirect may need it; otherwise a health check of
    /// another URL is what asks first.
    pub fn tls(&self) -> Result<&ClientTls, Refusal> {
        match self.tls.get() {
            Some(tls) => Ok(tls),
            None => tls::client(&self.shared.ssl).map(|tls| self.tls.get_or_init(|| tls)),
        }
    }

    /// The proxy on the way to `target`, if there is one.
    pub fn way(&self, target: &Target) -> Option<&Way> {
        self.ways[usize::from(target.tls)].as_ref().filter(|way| way.leads_to(target))
    }

    /// The longest that connecting may take, with everything that belongs to it.
    pub fn connect_timeout(&self) -> Duration {
        bounded(self.shared.http.connect_timeout).unwrap_or(CONNECT_MAX)
    }

    /// The longest silence of the backend; `None` for ever.
    pub fn read_timeout(&self) -> Option<Duration> {
        bounded(self.shared.http.read_timeout)
    }

    /// The longest silence of a connection whose silence is no failure as such; `None` for ever.
    pub fn idle_timeout(&self) -> Option<Duration> {
        bounded(self.shared.http.idle_timeout)
    }
}

fn bounded(ms: u64) -> Option<Duration> {
    (ms > 0).then(|| Duration::from_millis(ms))
}

impl Endpoint for HttpProxy {
    fn prepare(&self, exchange: &mut Exchange) -> Result<(), Fault> {
        self.headers.prepare(exchange)
    }

    fn lane(self: Rc<Self>) -> Lane {
        Lane::new(|end| lane::serve(self, end))
    }

    fn lanes_max(&self) -> usize {
        self.shared.http.max_concurrent_connections.div_ceil(self.shards).max(1)
    }

    fn idle_ms(&self) -> u64 {
        if self.shared.http.keep_alive { self.shared.http.keep_alive_timeout } else { 0 }
    }

    fn elsewhere(&self, place: &Elsewhere, public: bool) -> Option<Rc<dyn Endpoint>> {
        let mut shared = self.shared.clone();
        // Fields are often credentials, and a backend's name means nothing to another one.
        shared.headers.clear();
        shared.http.propagate_client_host = false;
        let tls = OnceCell::new();
        if place.tls {
            tls.set(self.tls().ok()?.clone()).ok()?;
        }
        Some(Rc::new(Self {
            target: Target::of_host(place.tls, place.host.clone(), Some(place.port)),
            headers: Headers::new(&[]).ok()?,
            codings: Codings::new(&shared.http, &[]),
            shared,
            responses: self.responses.clone(),
            limits: self.limits.clone(),
            rate_min: self.rate_min,
            admits: if public { Some(address::is_public) } else { self.admits },
            shard: self.shard.clone(),
            tls,
            ways: self.ways.clone(),
            shards: self.shards,
        }))
    }

    fn probe(self: Rc<Self>, check: Rc<HealthRequest>) -> Probe {
        Box::pin(async move { super::probe::probe(&self, &check).await })
    }
}
