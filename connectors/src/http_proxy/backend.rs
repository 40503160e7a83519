//! Connecting to a backend: directly or through a proxy, in clear or by TLS.

use std::env;
use std::io;
use std::time::Duration;

use ringway_contract::{Cause, Fault, Refusal, Retry};
use ringway_net::{Address, DialOptions, HandshakeLimits, Proxy, ProxyKind as Protocol, Stream, dial, tunnel};

use super::config::{ProxyConfig, ProxyKind};
use super::endpoint::HttpProxy;
use super::target::{Place, Target};

/// A proxy on the way to the backend.
#[derive(Clone, Debug)]
pub struct Way {
    place: Place,
    proxy: Proxy,
}

impl Way {
    /// The proxy that a definition names, or for `useSystemProxy` the environment.
    ///
    /// # Errors
    /// It is enabled and not named.
    pub fn new(config: &ProxyConfig, tls: bool) -> Result<Option<Self>, Refusal> {
        if !config.enabled {
            return Ok(None);
        }
        if config.use_system_proxy {
            return Self::of_system(tls);
        }
        let (Some(host), Some(port)) = (&config.host, config.port) else {
            return Err(Refusal("proxy: `host` and `port` are missing".into()));
        };
        let kind = match config.kind {
            ProxyKind::Http => Protocol::Http,
            ProxyKind::Socks4 => Protocol::Socks4,
            ProxyKind::Socks5 => Protocol::Socks5,
        };
        let proxy = Proxy { kind, username: config.username.clone(), password: config.password.clone() };
        Ok(Some(Self { place: Place::Host { name: host.clone(), port }, proxy }))
    }

    /// `HTTPS_PROXY` or `HTTP_PROXY` (in small letters too), as curl reads them.
    fn of_system(tls: bool) -> Result<Option<Self>, Refusal> {
        let names = if tls { ["HTTPS_PROXY", "https_proxy"] } else { ["HTTP_PROXY", "http_proxy"] };
        let Some(url) = names.iter().find_map(|name| env::var(name).ok()).filter(|url| !url.is_empty()) else {
            return Ok(None);
        };
        let url = if url.contains("://") { url } else { format!("http://{url}") };
        let target = Target::parse(&url).map_err(|error| Refusal(format!("{}: {error}", names[0])))?;
        let proxy = Proxy { kind: Protocol::Http, username: None, password: None };
        Ok(Some(Self { place: target.place, proxy }))
    }
}

/// A fresh connection.
///
/// # Errors
/// A fault of the backend's side; no byte of a request was sent, so trying elsewhere is safe.
pub async fn connect(endpoint: &HttpProxy, target: &Target) -> Result<Stream, Fault> {
    let timeout = Duration::from_millis(endpoint.shared.http.connect_timeout.max(1));
    let stream = match (&endpoint.way, &target.place) {
        (Some(way), Place::Host { name, port }) => {
            let stream = reach(endpoint, &way.place, timeout).await?;
            tunnel(stream, &way.proxy, ringway_net::Target::Name(name, *port), timeout).await.map_err(unreachable)?
        }
        (_, place) => reach(endpoint, place, timeout).await?,
    };
    let Some(tls) = endpoint.tls.as_ref().filter(|_| target.tls) else { return Ok(stream) };
    let limits = HandshakeLimits { timeout, ..HandshakeLimits::default() };
    stream.connect_tls(tls, target.server_name(), limits).await.map_err(|error| {
        tracing::debug!(target = target.authority, %error, "TLS handshake with the backend failed");
        Fault::new(Cause::BackendTls).retry(Retry::Safe)
    })
}

async fn reach(endpoint: &HttpProxy, place: &Place, timeout: Duration) -> Result<Stream, Fault> {
    let options = DialOptions { timeout, ..DialOptions::default() };
    match place {
        Place::Unix(path) => dial(&Address::Unix(path.clone()), &options).await.map_err(unreachable),
        Place::Host { name, port } => {
            let addresses = endpoint.shard.resolver.resolve(name).await.map_err(|error| {
                tracing::debug!(name, %error, "the backend's name does not resolve");
                Fault::new(Cause::BackendUnresolved).retry(Retry::Safe)
            })?;
            let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
            for address in addresses.iter() {
                match dial(&Address::Tcp((*address, *port).into()), &options).await {
                    Ok(stream) => return Ok(stream),
                    Err(error) => last = error,
                }
            }
            Err(unreachable(last))
        }
    }
}

fn unreachable(error: io::Error) -> Fault {
    let cause = match error.kind() {
        io::ErrorKind::TimedOut => Cause::BackendConnectTimeout,
        _ => Cause::BackendUnreachable,
    };
    Fault::new(cause).retry(Retry::Safe)
}
