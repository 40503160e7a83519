//! The server's side: what it shows, whom it asks for a certificate, and how that is changed while it runs.

use std::cell::RefCell;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use rustls::crypto::CryptoProvider;
use rustls::server::{NoServerSessionStorage, UnbufferedServerConnection, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};

use super::keys::{self, Identity, Trust};
use super::names::Names;
use super::records::Connection;
use super::tickets::Tickets;
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
    /// Cipher suites by IANA name, most wanted first; none: all.
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
/// [`reload`](Self::reload) changes it for new connections; those that are open go on as they are. The keys of the
/// session tickets stay, so that clients can resume across shards and reloads, unless the rules for client
/// certificates change: a ticket would carry a verdict that was made by the old ones.
pub struct ServerTls {
    current: RwLock<Current>,
}

struct Current {
    config: Arc<ServerConfig>,
    names: Arc<Names>,
    tickets: Arc<Tickets>,
    rules: Rules,
}

impl ServerTls {
    /// Reads the certificates and makes the configuration. Blocks on files: not on a shard.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn new(spec: &ServerTlsSpec) -> Result<Self, TlsError> {
        let rules = Rules::load(&spec.client_auth)?;
        let tickets = Arc::new(Tickets::new(Instant::now())?);
        let (config, names) = build(spec, &rules, Arc::clone(&tickets))?;
        Ok(Self { current: RwLock::new(Current { config, names, tickets, rules }) })
    }

    /// Reads everything again and uses it for new connections. Blocks on files: not on a shard.
    ///
    /// # Errors
    /// See [`TlsError`]; then nothing has changed.
    pub fn reload(&self, spec: &ServerTlsSpec) -> Result<(), TlsError> {
        let rules = Rules::load(&spec.client_auth)?;
        let kept = {
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
            (current.rules == rules).then(|| Arc::clone(&current.tickets))
        };
        let tickets = match kept {
            Some(tickets) => tickets,
            None => Arc::new(Tickets::new(Instant::now())?),
        };
        let (config, names) = build(spec, &rules, Arc::clone(&tickets))?;
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = Current { config, names, tickets, rules };
        Ok(())
    }

    /// Changes the keys of the session tickets now instead of when their time has come. Tickets of the keys before can still
    /// be resumed, older ones cannot: after two calls, every ticket that was given out before is void.
    pub fn rotate_tickets(&self) {
        self.current.read().unwrap_or_else(PoisonError::into_inner).tickets.rotate(Instant::now());
    }

    /// A connection, and the names that its certificate is picked by.
    pub(crate) fn connection(&self) -> Result<(Connection, Arc<Names>), rustls::Error> {
        // Taken once per connection; a handshake costs thousands of times as much.
        let (config, names) = {
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
            (Arc::clone(&current.config), Arc::clone(&current.names))
        };
        Ok((Connection::Server(UnbufferedServerConnection::new(config)?), names))
    }
}

/// [`ClientAuth`] with the authorities as they were read. Two are the same when the same authorities are in them, whatever file
/// they came from: an authority that was taken out of its file must not live on in tickets.
#[derive(PartialEq)]
enum Rules {
    None,
    Request(Authorities),
    Require(Authorities),
}

struct Authorities(Arc<RootCertStore>);

impl PartialEq for Authorities {
    fn eq(&self, other: &Self) -> bool {
        self.0.roots == other.0.roots
    }
}

impl Rules {
    fn load(client_auth: &ClientAuth) -> Result<Self, TlsError> {
        let authorities = |trust: &Trust| -> Result<_, TlsError> { Ok(Authorities(Arc::new(trust.load()?))) };
        Ok(match client_auth {
            ClientAuth::None => Self::None,
            ClientAuth::Request(trust) => Self::Request(authorities(trust)?),
            ClientAuth::Require(trust) => Self::Require(authorities(trust)?),
        })
    }
}

fn build(
    spec: &ServerTlsSpec,
    rules: &Rules,
    tickets: Arc<Tickets>,
) -> Result<(Arc<ServerConfig>, Arc<Names>), TlsError> {
    let provider = provider(&spec.cipher_suites)?;
    let names = Arc::new(load(&spec.identities, &provider)?);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&protocol_versions(&spec.versions))?;
    let verifier = |authorities: &Authorities| {
        WebPkiClientVerifier::builder_with_provider(Arc::clone(&authorities.0), Arc::clone(&provider))
    };
    let builder = match rules {
        Rules::None => builder.with_no_client_auth(),
        Rules::Request(authorities) => {
            builder.with_client_cert_verifier(verifier(authorities).allow_unauthenticated().build()?)
        }
        Rules::Require(authorities) => builder.with_client_cert_verifier(verifier(authorities).build()?),
    };
    let mut config = builder.with_cert_resolver(names.clone());
    config.alpn_protocols.clone_from(&spec.alpn);
    config.ticketer = tickets;
    // Sessions live in the clients' tickets, not here.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    // The suites' order is the operator's word; without it a client could pick the last of them.
    config.ignore_client_order = true;
    Ok((Arc::new(config), names))
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
