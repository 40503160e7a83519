//! Streams of bytes beside the traffic: to stores and directories, which speak neither HTTP nor the protocol of a broker.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;

use crate::Refusal;

/// Where a stream leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Remote {
    /// A name or an address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// TLS; without, the stream is plain.
    pub tls: Option<RemoteTls>,
    /// How long it may take until bytes can be sent: the name's resolution, every address, and the handshake.
    pub timeout: Duration,
}

/// TLS of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RemoteTls {
    /// PEM of the authorities that are trusted; `None`: those of the system.
    pub authorities: Option<String>,
    /// Whether the server's name must be in its certificate.
    pub verify_hostname: bool,
    /// Whether any certificate is taken.
    pub trust_all: bool,
}

/// What connecting becomes.
pub type Dialling = Pin<Box<dyn Future<Output = io::Result<Rc<dyn ByteStream>>>>>;
/// What reading becomes: how many bytes came, and the buffer that they stand in.
pub type Reading<'a> = Pin<Box<dyn Future<Output = (io::Result<usize>, BytesMut)> + 'a>>;
/// What writing becomes.
pub type Writing<'a> = Pin<Box<dyn Future<Output = io::Result<()>> + 'a>>;

/// The shard's way to such servers.
pub trait Dial {
    /// Looks at what would keep [`Dial::dial`] from ever succeeding.
    ///
    /// # Errors
    /// The authorities are none.
    fn check(&self, remote: &Remote) -> Result<(), Refusal>;

    /// Connects; to drop the future is to break off.
    ///
    /// # Errors
    /// Of the resolution, the connection or the handshake; [`TimedOut`](io::ErrorKind::TimedOut) when it took too long.
    fn dial(&self, remote: &Remote) -> Dialling;
}

/// A connected stream. One read and one write may be under way at a time; dropped, it is closed.
pub trait ByteStream {
    /// Reads into the spare capacity of `buffer`, which has some: that is what bounds it. `Ok(0)` is the end. A read that is dropped may
    /// have taken bytes that are lost with it.
    fn read(&self, buffer: BytesMut) -> Reading<'_>;

    /// Writes all of `bytes`.
    fn write(&self, bytes: BytesMut) -> Writing<'_>;

    /// The same stream with the TLS of `remote` from here on, for servers that begin it when they are asked. Whoever asks has read no more than
    /// the server's consent: what comes before the handshake is not protected by it.
    ///
    /// # Errors
    /// Of the handshake; [`InvalidInput`](io::ErrorKind::InvalidInput) where `remote` has no TLS, or somebody else holds the stream, too.
    fn secured(self: Rc<Self>, remote: &Remote) -> Dialling;
}
