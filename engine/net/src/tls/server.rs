//! The server's side: what it shows, whom it asks for a certificate, and how that is changed while it runs.

use std::cell::RefCell;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{NoServerSessionStorage, ProducesTickets, UnbufferedServerConnection, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;

use super::keys::{self, Identity, Trust};
use super::names::Names;
use super::records::Connection;
use super::{TlsError, TlsVersion, protocol_versions, provider};

/// What a server speaks.
#[derive(Clone, Debug, Default)]
pub struct ServerTlsSpec {
    /// Certificates. The first, or the one that says so, answers clients that name no server or an unknown one.
    pub identities: Vec<ServerIdentity>,
    /// Whether clients show certificates.
    pub client_auth: ClientAuth,
    /// Protocols offered (RFC 7301), most wanted first; none: no ALPN.
    pub alpn: Vec<Vec<u8>>,
    /// Versions; none: all.
    pub versions: Vec<TlsVersion>,
    /// Cipher suites by IANA name; none: all.
    pub cipher_suites: Vec<String>,
}

/// A certificate of a server.
#[derive(Clone, Debug)]
pub struct ServerIdentity {
    /// The chain and its key.
    pub identity: Identity,
    /// The names that it answers, with `*.` for one label; none: those in the certificate.
    pub names: Vec<String>,
    /// Whether it answers clients that name no server or an unknown one.
    pub default: bool,
}

impl From<Identity> for ServerIdentity {
    fn from(identity: Identity) -> Self {
        Self { identity, names: Vec::new(), default: false }
    }
}

/// Whether clients show certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked.
    #[default]
    None,
    /// They are asked; one that shows none is served, one that shows a bad one is not.
    Request(Trust),
    /// One that shows no good certificate is not served.
    Require(Trust),
}

/// A server's TLS, shared by all shards.
///
/// [`reload`](Self::reload) changes it for new connections; those that are open go on as they are. The key of the
/// session tickets stays, so that clients can resume across shards and reloads, unless the rules for client
/// certificates change: a ticket would carry a verdict that was made by the old ones.
pub struct ServerTls {
    current: RwLock<Current>,
}

struct Current {
    config: Arc<ServerConfig>,
    ticketer: Arc<dyn ProducesTickets>,
    client_auth: ClientAuth,
}

impl ServerTls {
    /// Reads the certificates and makes the configuration. Blocks on files: not on a shard.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn new(spec: &ServerTlsSpec) -> Result<Self, TlsError> {
        let ticketer = rustls::crypto::ring::Ticketer::new()?;
        let config = build(spec, Arc::clone(&ticketer))?;
        let current = Current { config, ticketer, client_auth: spec.client_auth.clone() };
        Ok(Self { current: RwLock::new(current) })
    }

    /// Reads everything again and uses it for new connections. Blocks on files: not on a shard.
    ///
    /// # Errors
    /// See [`TlsError`]; then nothing has changed.
    pub fn reload(&self, spec: &ServerTlsSpec) -> Result<(), TlsError> {
        let kept = {
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
            (current.client_auth == spec.client_auth).then(|| Arc::clone(&current.ticketer))
        };
        let ticketer = match kept {
            Some(ticketer) => ticketer,
            None => rustls::crypto::ring::Ticketer::new()?,
        };
        let config = build(spec, Arc::clone(&ticketer))?;
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = Current { config, ticketer, client_auth: spec.client_auth.clone() };
        Ok(())
    }

    pub(crate) fn connection(&self) -> Result<Connection, rustls::Error> {
        // Taken once per connection; a handshake costs thousands of times as much.
        let config = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).config);
        UnbufferedServerConnection::new(config).map(Connection::Server)
    }
}

fn build(spec: &ServerTlsSpec, ticketer: Arc<dyn ProducesTickets>) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = provider(&spec.cipher_suites)?;
    let names = load(&spec.identities, &provider)?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&protocol_versions(&spec.versions))?;
    let verifier = |trust: &Trust| -> Result<_, TlsError> {
        Ok(WebPkiClientVerifier::builder_with_provider(Arc::new(trust.load()?), Arc::clone(&provider)))
    };
    let builder = match &spec.client_auth {
        ClientAuth::None => builder.with_no_client_auth(),
        ClientAuth::Request(trust) => {
            builder.with_client_cert_verifier(verifier(trust)?.allow_unauthenticated().build()?)
        }
        ClientAuth::Require(trust) => builder.with_client_cert_verifier(verifier(trust)?.build()?),
    };
    let mut config = builder.with_cert_resolver(Arc::new(names));
    config.alpn_protocols.clone_from(&spec.alpn);
    config.ticketer = ticketer;
    // Sessions live in the clients' tickets, not here.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

fn load(identities: &[ServerIdentity], provider: &CryptoProvider) -> Result<Names, TlsError> {
    if identities.is_empty() {
        return Err(TlsError::NoCertificate);
    }
    let mut names = Names::new();
    for ServerIdentity { identity, names: wanted, default } in identities {
        let (chain, key) = identity.load()?;
        let key = provider.key_provider.load_private_key(key)?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            // A key that cannot tell its public half is believed.
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(error) => return Err(error.into()),
        }
        let own = match certified.cert.first() {
            Some(certificate) if wanted.is_empty() => keys::names(certificate)?,
            _ => wanted.clone(),
        };
        names.add(&own, &Arc::new(certified), *default);
    }
    Ok(names)
}

thread_local! {
    /// The name of the client whose hello was just read. rustls tells it to who picks the certificate, which happens
    /// within the call that processes the hello, and keeps it to itself after that.
    static SNI: RefCell<Option<Box<str>>> = const { RefCell::new(None) };
}

pub(super) fn note_sni(name: Option<&str>) {
    SNI.with(|sni| *sni.borrow_mut() = name.map(Box::from));
}

pub(super) fn take_sni() -> Option<Box<str>> {
    SNI.with(|sni| sni.borrow_mut().take())
}
