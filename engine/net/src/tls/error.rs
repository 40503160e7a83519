//! Why a TLS configuration is refused.

use std::io;
use std::path::PathBuf;

use super::jks::JksError;

/// A fault in a TLS configuration. (What goes wrong on a connection is an [`io::Error`] with a rustls error inside.)
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// PEM that is none.
    #[error("{what}: {reason}")]
    Pem {
        /// What was looked for.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A PKCS#12 store that cannot be opened: a wrong password, most often.
    #[error("cannot open the PKCS#12 store: {0}")]
    Pkcs12(String),
    /// A JKS store, or a key in it, that cannot be opened.
    #[error("cannot open the JKS store: {0}")]
    Jks(#[from] JksError),
    /// A store without a private key and its chain, or without certificates to trust.
    #[error("the store holds no {0}")]
    StoreLacks(&'static str),
    /// A store without a private key of this name.
    #[error("the store holds no private key called `{0}`")]
    NoSuchKey(String),
    /// A certificate that cannot be parsed.
    #[error("cannot parse a certificate: {0}")]
    Certificate(String),
    /// A server without a certificate.
    #[error("a TLS server needs a certificate")]
    NoCertificate,
    /// Client certificates are asked for and nothing says which are good, or no certificate is trusted at all.
    #[error("no certificate authority is trusted")]
    NoTrust,
    /// A cipher suite that does not exist here.
    #[error("unknown cipher suite {name}; known are {known}")]
    UnknownCipherSuite {
        /// As written.
        name: String,
        /// All that exist.
        known: String,
    },
    /// A name that is neither a host name nor an IP address.
    #[error("{0} is no server name")]
    ServerName(String),
    /// Refused by rustls: a key that does not fit its certificate, no common version and suite, and so on.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
    /// A verifier that cannot be built.
    #[error(transparent)]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}
