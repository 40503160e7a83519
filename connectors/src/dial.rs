//! The streams that a shard lends to extensions.

use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use ringway_contract::dial::{ByteStream, Dial, Dialling, Reading, Remote, RemoteTls, Writing};
use ringway_contract::{Refusal, Services};
use ringway_net::{Address, ClientTls, DialOptions, HandshakeLimits, Shard, Stream, dial as connect};

use crate::tls::{self, SslConfig, Store, StoreKind};

/// Makes a shard's way to other servers.
pub fn dial(_: &Services) -> Option<Rc<dyn Dial>> {
    Some(Rc::new(Dialler))
}

struct Dialler;

impl Dial for Dialler {
    fn check(&self, remote: &Remote) -> Result<(), Refusal> {
        remote.tls.as_ref().map_or(Ok(()), |tls| client(tls).map(drop))
    }

    fn dial(&self, remote: &Remote) -> Dialling {
        let remote = remote.clone();
        Box::pin(async move {
            let tls = remote.tls.as_ref().map(client).transpose().map_err(|Refusal(why)| io::Error::other(why))?;
            within(remote.timeout, async {
                let stream = establish(&remote).await?;
                match &tls {
                    Some(tls) => handshake(stream, &remote, tls).await,
                    None => Ok(stream),
                }
            })
            .await
        })
    }
}

async fn within(
    timeout: Duration,
    connecting: impl Future<Output = io::Result<Stream>>,
) -> io::Result<Rc<dyn ByteStream>> {
    let slot = Shard::current().timers.slot();
    slot.arm(timeout);
    let stream = slot.guard(connecting).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
    Ok(Rc::new(Connected(stream)))
}

/// A configuration that is made once for all shards: see [`tls::client`].
fn client(tls: &RemoteTls) -> Result<ClientTls, Refusal> {
    let trust_store = match &tls.authorities {
        Some(pem) => Store { kind: StoreKind::Pem, content: Some(pem.clone()), ..Store::default() },
        None => Store::default(),
    };
    let (hostname_verifier, trust_all) = (tls.verify_hostname, tls.trust_all);
    tls::client(&SslConfig { hostname_verifier, trust_all, trust_store, ..SslConfig::default() })
}

async fn establish(remote: &Remote) -> io::Result<Stream> {
    let addresses = Shard::current().resolver.resolve(&remote.host).await?;
    // An address that does not answer leaves the others their share of the time.
    let share = remote.timeout / u32::try_from(addresses.iter().count()).unwrap_or(u32::MAX).max(1);
    let options = DialOptions { timeout: share, ..DialOptions::default() };
    let mut connected = Err(io::ErrorKind::AddrNotAvailable.into());
    for address in addresses.iter() {
        connected = connect(&Address::Tcp((*address, remote.port).into()), &options).await;
        if connected.is_ok() {
            break;
        }
    }
    connected
}

async fn handshake(stream: Stream, remote: &Remote, tls: &ClientTls) -> io::Result<Stream> {
    let limits = HandshakeLimits { timeout: remote.timeout, ..HandshakeLimits::default() };
    let name = remote.host.trim_start_matches('[').trim_end_matches(']');
    stream.connect_tls(tls, name, limits).await
}

struct Connected(Stream);

impl ByteStream for Connected {
    fn read(&self, buffer: BytesMut) -> Reading<'_> {
        Box::pin(self.0.read(buffer))
    }

    fn write(&self, bytes: BytesMut) -> Writing<'_> {
        Box::pin(async move { self.0.write(bytes).await.0 })
    }

    fn secured(self: Rc<Self>, remote: &Remote) -> Dialling {
        let remote = remote.clone();
        Box::pin(async move {
            let (Ok(Self(stream)), Some(tls)) = (Rc::try_unwrap(self), &remote.tls) else {
                return Err(io::ErrorKind::InvalidInput.into());
            };
            let tls = client(tls).map_err(|Refusal(why)| io::Error::other(why))?;
            within(remote.timeout, handshake(stream, &remote, &tls)).await
        })
    }
}
