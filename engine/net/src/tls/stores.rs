//! Key and trust stores: PKCS#12 or JKS, told apart by what they hold and not by what they are called. Java does so, too: what is called
//! `.jks` has been PKCS#12 since Java 9.

use std::path::{Path, PathBuf};

use p12_keystore::{KeyStore as Pkcs12, KeyStoreEntry, Pkcs12ImportPolicy};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::TlsError;
use super::der::{self, BITS, CONTEXT_0, CONTEXT_1, INTEGER, OCTETS, SEQUENCE};
use super::jks::{self, Content};
use super::keys::{pem_error, read};

/// A store with a private key and its certificates, and what opens it.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyStore {
    /// Where it is.
    pub at: StoreAt,
    /// Its password.
    pub password: String,
    /// Name of the key, in any case; without, the first one.
    pub alias: Option<String>,
    /// Password of the key, if it is another one. JKS only: in PKCS#12 there is one for all.
    pub key_password: Option<String>,
}

/// Where a store is.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreAt {
    /// In a file.
    File(PathBuf),
    /// Here.
    Bytes(Vec<u8>),
}

/// A chain, its own certificate first, and its key.
pub(super) type Identified = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl KeyStore {
    /// The store that these bytes are, all of it under one password.
    pub(super) fn of(content: &[u8], password: &str) -> Result<Identified, TlsError> {
        identity(content, password, None, None)
    }

    pub(super) fn load(&self) -> Result<Identified, TlsError> {
        let (alias, key_password) = (self.alias.as_deref(), self.key_password.as_deref());
        match &self.at {
            StoreAt::File(path) => identity(&read(path)?, &self.password, alias, key_password),
            StoreAt::Bytes(content) => identity(content, &self.password, alias, key_password),
        }
    }

    /// The chain and the key (PKCS#8), in DER: for a TLS that is not ours.
    ///
    /// # Errors
    /// The store cannot be read, or holds no such key.
    pub fn identity(&self) -> Result<(Vec<Vec<u8>>, Vec<u8>), TlsError> {
        let (chain, key) = self.load()?;
        Ok((chain.iter().map(|certificate| certificate.to_vec()).collect(), key.secret_der().to_vec()))
    }
}

/// The authorities of a store in a file, in DER: for a TLS that is not ours.
///
/// # Errors
/// The file cannot be read, is none, or holds no certificate to trust.
pub fn store_authorities(path: &Path, password: &str) -> Result<Vec<Vec<u8>>, TlsError> {
    let certificates = authorities(&read(path)?, password)?;
    Ok(certificates.iter().map(|certificate| certificate.to_vec()).collect())
}

fn identity(
    content: &[u8],
    password: &str,
    alias: Option<&str>,
    key_password: Option<&str>,
) -> Result<Identified, TlsError> {
    let lacks = || alias.map_or(TlsError::StoreLacks("private key"), |alias| TlsError::NoSuchKey(alias.to_owned()));
    let is_meant = |known: &str| alias.is_none_or(|alias| alias.eq_ignore_ascii_case(known));
    let (chain, key): (Vec<CertificateDer<'static>>, Vec<u8>) = if jks::is_jks(content) {
        let entries = jks::read(content, password)?;
        let found = entries.iter().find_map(|entry| match &entry.content {
            Content::Key { protected, chain } if is_meant(&entry.alias) => Some((protected, chain)),
            _ => None,
        });
        let (protected, chain) = found.ok_or_else(lacks)?;
        let key = jks::unprotect(protected, key_password.unwrap_or(password))?;
        (chain.iter().map(|certificate| certificate.to_vec().into()).collect(), key)
    } else {
        let store = pkcs12(content, password)?;
        let found = store.entries().find_map(|(known, entry)| match entry {
            KeyStoreEntry::PrivateKeyChain(identity) if is_meant(known) => Some(identity),
            _ => None,
        });
        let identity = found.ok_or_else(lacks)?;
        let chain = identity.certs().iter().map(|certificate| certificate.as_der().to_vec().into()).collect();
        (chain, identity.key().as_der().to_vec())
    };
    let own = chain.first().ok_or(TlsError::StoreLacks("certificate for its private key"))?;
    let key = with_public_key(&key, own).unwrap_or(key);
    Ok((chain, PrivateKeyDer::try_from(key).map_err(|error| pem_error("private key", error))?))
}

/// DER of the object identifier of keys of elliptic curves, 1.2.840.10045.2.1.
const ELLIPTIC: &[u8] = &[0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01];

/// A key of an elliptic curve (PKCS#8) with its public half, which Java leaves out (RFC 5915 section 3 lets it) and *ring* wants to see: taken
/// from its certificate. `None` for any other key.
fn with_public_key(key: &[u8], own: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let mut outer = key;
    let mut info = der::value(SEQUENCE, &mut outer)?;
    let version = der::value(INTEGER, &mut info)?;
    let algorithm = der::value(SEQUENCE, &mut info).filter(|algorithm| algorithm.starts_with(ELLIPTIC))?;
    let mut octets = der::value(OCTETS, &mut info)?;
    let inner = der::value(SEQUENCE, &mut octets)?;
    let mut rest = inner;
    let (inner_version, secret) = (der::value(INTEGER, &mut rest)?, der::value(OCTETS, &mut rest)?);
    let mut behind = rest;
    if rest.first() == Some(&CONTEXT_0) {
        der::value(CONTEXT_0, &mut behind)?;
    }
    if !behind.is_empty() {
        return None;
    }
    let (_, certificate) = X509Certificate::from_der(own).ok()?;
    let point = certificate.public_key().subject_public_key.data.as_ref();
    // Of a bit string the first byte counts the bits that its last one has too many.
    let public = der::wrap(CONTEXT_1, &der::wrap(BITS, &[&[0], point].concat())?)?;
    let inner = [der::wrap(INTEGER, inner_version)?, der::wrap(OCTETS, secret)?, rest.to_vec(), public].concat();
    let inner = der::wrap(OCTETS, &der::wrap(SEQUENCE, &inner)?)?;
    der::wrap(SEQUENCE, &[der::wrap(INTEGER, version)?, der::wrap(SEQUENCE, algorithm)?, inner].concat())
}

/// The certificates that a store says to trust.
pub(super) fn authorities(content: &[u8], password: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    // The chain of a key, without its own certificate, is who signed it.
    let certificates: Vec<CertificateDer<'static>> = if jks::is_jks(content) {
        let entries = jks::read(content, password)?;
        let certificates = entries.iter().flat_map(|entry| match &entry.content {
            Content::Trusted(certificate) => vec![*certificate],
            Content::Key { chain, .. } => chain.iter().skip(1).copied().collect(),
        });
        certificates.map(|certificate| certificate.to_vec().into()).collect()
    } else {
        let store = pkcs12(content, password)?;
        let certificates = store.entries().flat_map(|(_, entry)| match entry {
            KeyStoreEntry::Certificate(certificate) => vec![certificate.as_der().to_vec().into()],
            KeyStoreEntry::PrivateKeyChain(identity) => {
                identity.certs().iter().skip(1).map(|certificate| certificate.as_der().to_vec().into()).collect()
            }
            KeyStoreEntry::Secret(_) => Vec::new(),
        });
        certificates.collect()
    };
    if certificates.is_empty() { Err(TlsError::StoreLacks("certificate to trust")) } else { Ok(certificates) }
}

fn pkcs12(content: &[u8], password: &str) -> Result<Pkcs12, TlsError> {
    // Relaxed: a store whose certificates carry no trust marks (openssl writes none) is a store all the same.
    Pkcs12::from_pkcs12(content, password, Pkcs12ImportPolicy::Relaxed)
        .map_err(|error| TlsError::Pkcs12(error.to_string()))
}
