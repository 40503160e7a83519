//! Certificates, keys and authorities: where they come from and how they are read.

use std::fs;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::TlsError;
use super::stores::{KeyStore, StoreAt, authorities};

/// A certificate chain and its private key.
#[derive(Clone, PartialEq, Eq)]
pub enum Identity {
    /// PEM files: the chain, one's own certificate first, and the key (PKCS#8, PKCS#1 or SEC1).
    PemFiles {
        /// The chain.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// The same as text.
    Pem {
        /// The chain.
        certificate: String,
        /// The key.
        key: String,
    },
    /// A PKCS#12 or JKS file.
    Pkcs12File {
        /// The file.
        path: PathBuf,
        /// Its password.
        password: String,
    },
    /// The same as bytes.
    Pkcs12 {
        /// The store.
        content: Vec<u8>,
        /// Its password.
        password: String,
    },
    /// A PKCS#12 or JKS store, with more to choose its key by.
    Store(KeyStore),
}

/// Whose signatures are believed.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Trust {
    /// The system's bundle (`SSL_CERT_FILE`, or where distributions keep it), or Mozilla's as of the build if there is
    /// none.
    #[default]
    System,
    /// PEM files of authorities.
    PemFiles(Vec<PathBuf>),
    /// The same as text.
    Pem(String),
    /// A PKCS#12 or JKS file.
    Pkcs12File {
        /// The file.
        path: PathBuf,
        /// Its password.
        password: String,
    },
    /// The same as bytes.
    Pkcs12 {
        /// The store.
        content: Vec<u8>,
        /// Its password.
        password: String,
    },
}

/// Keys and passwords are not for logs.
impl std::fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::PemFiles { certificate, key } => {
                formatter.debug_struct("PemFiles").field("certificate", certificate).field("key", key).finish()
            }
            Self::Pem { .. } => formatter.write_str("Pem"),
            Self::Pkcs12File { path, .. } => {
                formatter.debug_struct("Pkcs12File").field("path", path).finish_non_exhaustive()
            }
            Self::Pkcs12 { .. } => formatter.write_str("Pkcs12"),
            Self::Store(KeyStore { at: StoreAt::File(path), .. }) => {
                formatter.debug_struct("Store").field("path", path).finish_non_exhaustive()
            }
            Self::Store(_) => formatter.write_str("Store"),
        }
    }
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::System => formatter.write_str("System"),
            Self::PemFiles(paths) => formatter.debug_tuple("PemFiles").field(paths).finish(),
            Self::Pem(_) => formatter.write_str("Pem"),
            Self::Pkcs12File { path, .. } => {
                formatter.debug_struct("Pkcs12File").field("path", path).finish_non_exhaustive()
            }
            Self::Pkcs12 { .. } => formatter.write_str("Pkcs12"),
        }
    }
}

/// Where Debian, Red Hat, Alpine and SUSE keep the bundle.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
];

impl Identity {
    /// Reads the chain and the key.
    pub(super) fn load(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        match self {
            Self::PemFiles { certificate, key } => from_pem(&read(certificate)?, &read(key)?),
            Self::Pem { certificate, key } => from_pem(certificate.as_bytes(), key.as_bytes()),
            Self::Pkcs12File { path, password } => KeyStore::of(&read(path)?, password),
            Self::Pkcs12 { content, password } => KeyStore::of(content, password),
            Self::Store(store) => store.load(),
        }
    }
}

impl Trust {
    /// Reads the authorities.
    pub(super) fn load(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        match self {
            Self::System => system_roots(&mut roots),
            Self::PemFiles(paths) => {
                for path in paths {
                    add_all(&mut roots, chain(&read(path)?)?)?;
                }
            }
            Self::Pem(text) => add_all(&mut roots, chain(text.as_bytes())?)?,
            Self::Pkcs12File { path, password } => add_all(&mut roots, authorities(&read(path)?, password)?)?,
            Self::Pkcs12 { content, password } => add_all(&mut roots, authorities(content, password)?)?,
        }
        if roots.is_empty() { Err(TlsError::NoTrust) } else { Ok(roots) }
    }
}

/// The DNS names that a certificate is for: its subject alternative names or, where it has none, its common name.
pub(super) fn names(certificate: &CertificateDer<'_>) -> Result<Vec<String>, TlsError> {
    let (_, parsed) =
        X509Certificate::from_der(certificate).map_err(|error| TlsError::Certificate(error.to_string()))?;
    let alternatives = parsed.subject_alternative_name().map_err(|error| TlsError::Certificate(error.to_string()))?;
    if let Some(alternatives) = alternatives {
        let dns = alternatives.value.general_names.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        });
        return Ok(dns.collect());
    }
    let common = parsed.subject().iter_common_name().filter_map(|name| name.as_str().ok().map(str::to_owned));
    Ok(common.collect())
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::File { path: path.to_owned(), source })
}

pub(super) fn pem_error(what: &'static str, reason: impl ToString) -> TlsError {
    TlsError::Pem { what, reason: reason.to_string() }
}

fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let chain = chain.map_err(|error| pem_error("certificate", error))?;
    if chain.is_empty() { Err(pem_error("certificate", "there is none")) } else { Ok(chain) }
}

fn from_pem(
    certificate: &[u8],
    key: &[u8],
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| pem_error("private key", error))?;
    Ok((chain(certificate)?, key))
}

fn add_all(roots: &mut RootCertStore, certificates: Vec<CertificateDer<'static>>) -> Result<(), TlsError> {
    for certificate in certificates {
        roots.add(certificate)?;
    }
    Ok(())
}

fn system_roots(roots: &mut RootCertStore) {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let paths = named.into_iter().chain(SYSTEM_BUNDLES.iter().map(PathBuf::from));
    for path in paths {
        if let Ok(pem) = fs::read(path)
            && let Ok(chain) = chain(&pem)
        {
            // Distributions carry odd certificates; those that do not parse are not trusted.
            let (added, _) = roots.add_parsable_certificates(chain);
            if added > 0 {
                return;
            }
        }
    }
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
}
