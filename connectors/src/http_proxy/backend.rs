//! Connecting to a backend.

use std::io;
use std::time::Duration;

use ringway_contract::{Cause, Fault, Retry};
use ringway_net::{Address, DialOptions, HandshakeLimits, Stream, dial};

use super::endpoint::HttpProxy;
use super::target::{Place, Target};

/// A fresh connection.
///
/// # Errors
/// A fault of the backend's side; no byte of a request was sent, so trying elsewhere is safe.
pub async fn connect(endpoint: &HttpProxy, target: &Target) -> Result<Stream, Fault> {
    let timeout = Duration::from_millis(endpoint.shared.http.connect_timeout.max(1));
    let options = DialOptions { timeout, ..DialOptions::default() };
    let connected = match &target.place {
        Place::Unix(path) => dial(&Address::Unix(path.clone()), &options).await,
        Place::Host { name, port } => {
            let addresses = name.parse::<std::net::IpAddr>().map(|a| [a]).map_err(|_| {
                Fault::new(Cause::BackendUnresolved).retry(Retry::Safe)
            })?;
            let mut last = Err(io::Error::from(io::ErrorKind::AddrNotAvailable));
            for address in addresses {
                last = dial(&Address::Tcp((address, *port).into()), &options).await;
                if last.is_ok() {
                    break;
                }
            }
            last
        }
    };
    let connected = match (connected, &endpoint.tls) {
        (Ok(stream), Some(tls)) if target.tls => {
            let limits = HandshakeLimits { timeout, ..HandshakeLimits::default() };
            return stream.connect_tls(tls, target.server_name(), limits).await.map_err(|error| {
                tracing::debug!(target = target.authority, %error, "TLS handshake with the backend failed");
                Fault::new(Cause::BackendTls).retry(Retry::Safe)
            });
        }
        (connected, _) => connected,
    };
    connected.map_err(|error| {
        let cause = match error.kind() {
            io::ErrorKind::TimedOut => Cause::BackendConnectTimeout,
            _ => Cause::BackendUnreachable,
        };
        Fault::new(cause).retry(Retry::Safe)
    })
}
