//! Connecting to a backend: directly or through a proxy, in clear or by TLS.

use std::env;
use std::fmt::Display;
use std::io;
use std::net::IpAddr;

use ringway_contract::{Cause, Fault, Refusal, Retry};
use ringway_net::{Address, DialOptions, HandshakeLimits, Proxy, ProxyKind as Protocol, Stream, dial, tunnel};

use super::config::{ProxyConfig, ProxyKind};
use super::endpoint::HttpProxy;
use super::no_proxy::NoProxy;
use super::target::{Place, Target};

/// A proxy on the way to the backend.
#[derive(Clone, Debug)]
pub struct Way {
    place: Place,
    proxy: Proxy,
    /// What is reached without it.
    except: NoProxy,
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
        Ok(Some(Self { place: Place::Host { name: host.clone(), port }, proxy, except: NoProxy::default() }))
    }

    /// Whether it leads to `target`.
    pub fn leads_to(&self, target: &Target) -> bool {
        !self.except.has(&target.place)
    }

    /// `HTTPS_PROXY` or `HTTP_PROXY` (in small letters too), as curl reads them, and `NO_PROXY`.
    fn of_system(tls: bool) -> Result<Option<Self>, Refusal> {
        let names = if tls { ["HTTPS_PROXY", "https_proxy"] } else { ["HTTP_PROXY", "http_proxy"] };
        let Some(url) = names.iter().find_map(|name| env::var(name).ok()).filter(|url| !url.is_empty()) else {
            return Ok(None);
        };
        let url = if url.contains("://") { url } else { format!("http://{url}") };
        let target = Target::parse(&url).map_err(|error| Refusal(format!("{}: {error}", names[0])))?;
        let proxy = Proxy { kind: Protocol::Http, username: None, password: None };
        Ok(Some(Self { place: target.place, proxy, except: NoProxy::of_system() }))
    }
}

/// A fresh connection, within the time that connecting may take: resolving, every address and proxy, and the TLS handshake.
///
/// # Errors
/// A fault of the backend's side; no byte of a request was sent, so trying elsewhere is safe.
pub async fn connect(endpoint: &HttpProxy, target: &Target) -> Result<Stream, Fault> {
    let slot = endpoint.shard.timers.slot();
    slot.arm(endpoint.connect_timeout());
    let connected = slot.guard(establish(endpoint, target)).await;
    connected.unwrap_or(Err(Fault::new(Cause::BackendConnectTimeout))).map_err(|fault| fault.retry(Retry::Safe))
}

async fn establish(endpoint: &HttpProxy, target: &Target) -> Result<Stream, Fault> {
    let timeout = endpoint.connect_timeout();
    let stream = match (endpoint.way(target), &target.place) {
        (Some(way), Place::Host { name, port }) => {
            // The operator's own proxy may be anywhere; what a name means there, it alone knows.
            let stream = reach(endpoint, &way.place, None).await?;
            let beyond = match name.parse::<IpAddr>() {
                Ok(address) if !endpoint.admits.is_none_or(|admits| admits(address)) => return Err(forbidden(name)),
                Ok(address) => ringway_net::Target::Address((address, *port).into()),
                Err(_) => ringway_net::Target::Name(name, *port),
            };
            tunnel(stream, &way.proxy, beyond, timeout).await.map_err(unreachable)?
        }
        (_, place) => reach(endpoint, place, endpoint.admits).await?,
    };
    if !target.tls {
        return Ok(stream);
    }
    let refused = |error: &dyn Display| {
        tracing::debug!(target = target.authority, %error, "TLS with the backend failed");
        Fault::new(Cause::BackendTls)
    };
    let tls = endpoint.tls().map_err(|error| refused(&error))?;
    let limits = HandshakeLimits { timeout, ..HandshakeLimits::default() };
    stream.connect_tls(tls, target.server_name(), limits).await.map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut => Fault::new(Cause::BackendConnectTimeout),
        _ => refused(&error),
    })
}

fn forbidden(name: &str) -> Fault {
    tracing::warn!(name, "an address that is not public was not dialled");
    Fault::new(Cause::BackendUnreachable).detail("its address is not public")
}

async fn reach(endpoint: &HttpProxy, place: &Place, admits: Option<fn(IpAddr) -> bool>) -> Result<Stream, Fault> {
    let timeout = endpoint.connect_timeout();
    match place {
        Place::Unix(path) => {
            let options = DialOptions { timeout, ..DialOptions::default() };
            dial(&Address::Unix(path.clone()), &options).await.map_err(unreachable)
        }
        Place::Host { name, port } => {
            let addresses = endpoint.shard.resolver.resolve(name).await.map_err(|error| {
                tracing::debug!(name, %error, "the backend's name does not resolve");
                Fault::new(Cause::BackendUnresolved)
            })?;
            // An address that does not answer leaves the others their share of the time.
            let share = timeout / u32::try_from(addresses.iter().count()).unwrap_or(u32::MAX).max(1);
            let options = DialOptions { timeout: share, ..DialOptions::default() };
            // What is checked is what is dialled: a name that resolves to something else a moment later gains nothing.
            let admitted = |address: &&IpAddr| admits.is_none_or(|admits| admits(**address));
            if addresses.iter().next().is_some() && !addresses.iter().any(|address| admitted(&address)) {
                return Err(forbidden(name));
            }
            let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
            for address in addresses.iter().filter(admitted) {
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
    tracing::debug!(%error, "the backend cannot be reached");
    Fault::new(cause)
}
