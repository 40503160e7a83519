//! The client's side: whom a backend has to be signed by, and what is shown to it.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    Resumption, UnbufferedClientConnection, WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor,
};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::keys::{Identity, Trust};
use super::records::Connection;
use super::{TlsError, TlsVersion, protocol_versions, provider};

/// Sessions that are remembered for resumption, over all backends.
const SESSIONS_MAX: usize = 1024;

/// How a client speaks to a server.
#[derive(Clone, Debug)]
pub struct ClientTlsSpec {
    /// Whose signatures are believed.
    pub trust: Trust,
    /// Believe any certificate. An attacker in the middle reads everything.
    pub trust_all: bool,
    /// Whether the certificate has to be for the name that was asked for.
    pub verify_hostname: bool,
    /// What is shown to a server that asks for a certificate.
    pub identity: Option<Identity>,
    /// Protocols offered (RFC 7301), most wanted first; none: no ALPN.
    pub alpn: Vec<Vec<u8>>,
    /// Versions; none: all.
    pub versions: Vec<TlsVersion>,
    /// Cipher suites by IANA name; none: all.
    pub cipher_suites: Vec<String>,
}

impl Default for ClientTlsSpec {
    fn default() -> Self {
        Self {
            trust: Trust::System,
            trust_all: false,
            verify_hostname: true,
            identity: None,
            alpn: Vec::new(),
            versions: Vec::new(),
            cipher_suites: Vec::new(),
        }
    }
}

/// A client's TLS, shared by all shards, with the sessions that they can resume.
#[derive(Clone)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
}

impl ClientTls {
    /// Reads the certificates and makes the configuration. Blocks on files: not on a shard.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn new(spec: &ClientTlsSpec) -> Result<Self, TlsError> {
        let provider = provider(&spec.cipher_suites)?;
        let verifier = verifier(spec, &provider)?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&protocol_versions(&spec.versions))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match &spec.identity {
            Some(identity) => {
                let (chain, key) = identity.load()?;
                builder.with_client_auth_cert(chain, key)?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols.clone_from(&spec.alpn);
        config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
        config.enable_early_data = false;
        Ok(Self { config: Arc::new(config) })
    }

    /// The same for client libraries that bring their own I/O.
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    pub(crate) fn connection(&self, server_name: &str) -> Result<Connection, TlsError> {
        let name =
            ServerName::try_from(server_name.to_owned()).map_err(|_| TlsError::ServerName(server_name.to_owned()))?;
        Ok(Connection::Client(UnbufferedClientConnection::new(Arc::clone(&self.config), name)?))
    }
}

fn verifier(spec: &ClientTlsSpec, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    if spec.trust_all {
        return Ok(Arc::new(Lenient { roots: None, provider: Arc::clone(provider) }));
    }
    let roots = spec.trust.load()?;
    if !spec.verify_hostname {
        return Ok(Arc::new(Lenient { roots: Some(roots), provider: Arc::clone(provider) }));
    }
    Ok(WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build()?)
}

/// Checks less than it should, as it was told to: the chain without the name, or nothing. That the server has the key
/// of the certificate that it shows is always checked.
#[derive(Debug)]
struct Lenient {
    roots: Option<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, algorithms)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
