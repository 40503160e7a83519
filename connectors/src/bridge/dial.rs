//! Connections for client libraries that leave them to others, in the brokers' runtime.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::time::Duration;

use ringway_net::ClientTls;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

/// How long resolving, connecting and the TLS handshake may take together.
pub const DIAL_WITHIN: Duration = Duration::from_secs(8);

/// The first wait before something is tried again; each further one is twice as long.
const BACKOFF_MIN: Duration = Duration::from_millis(200);
/// The longest wait.
const BACKOFF_MAX: Duration = Duration::from_secs(20);

/// A connection, plain or encrypted.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin + std::fmt::Debug {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + std::fmt::Debug> Duplex for T {}

/// Connects to a host, with TLS if so wished.
///
/// # Errors
/// Of the resolver, the kernel, or TLS (`InvalidData`); `TimedOut` after [`DIAL_WITHIN`].
pub async fn dial(host: &str, port: u16, tls: Option<&ClientTls>) -> io::Result<Box<dyn Duplex>> {
    let dialled = timeout(DIAL_WITHIN, async {
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        let stream: Box<dyn Duplex> = match tls {
            None => Box::new(stream),
            Some(tls) => {
                let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
                Box::new(TlsConnector::from(tls.config()).connect(name, stream).await?)
            }
        };
        Ok::<_, io::Error>(stream)
    });
    dialled.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// The wait after so many failures in a row: exponential, and by chance, so that those who lost their broker at once do not come back at
/// once.
pub fn backoff(failures: u32) -> Duration {
    let longest = BACKOFF_MIN.saturating_mul(1 << failures.min(16)).min(BACKOFF_MAX);
    let chance = RandomState::new().hash_one(0) % 1024;
    longest / 2 + longest.mul_f64(chance as f64 / 2048.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_a_longest() {
        for (failures, longest) in [(0, BACKOFF_MIN), (3, BACKOFF_MIN * 8), (40, BACKOFF_MAX)] {
            let wait = backoff(failures);
            assert!(wait >= longest / 2 && wait <= longest, "{failures}: {wait:?}");
        }
    }
}
