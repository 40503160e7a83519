//! TLS towards backends, from a definition's `ssl` block.

use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ringway_contract::Refusal;
use ringway_net::{ClientTls, ClientTlsSpec, Identity, Trust};

use super::config::{SslConfig, Store, StoreKind};

/// Configurations that read no file are shared by all endpoints and shards: reading the system's authorities takes milliseconds, and
/// a shared configuration shares its resumable sessions.
static SHARED: Mutex<Vec<(SslConfig, ClientTls)>> = Mutex::new(Vec::new());
/// Most configurations that are remembered.
const SHARED_MAX: usize = 64;

/// The TLS of an endpoint.
///
/// # Errors
/// A store cannot be read, or is of a kind that cannot be read.
pub fn client(ssl: &SslConfig) -> Result<ClientTls, Refusal> {
    let shareable = ssl.trust_store.is_inline() && ssl.key_store.is_inline();
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, known)) = shared.iter().find(|(config, _)| shareable && config == ssl) {
        return Ok(known.clone());
    }
    let spec = ClientTlsSpec {
        trust: trust(&ssl.trust_store)?,
        trust_all: ssl.trust_all,
        verify_hostname: ssl.hostname_verifier,
        identity: identity(&ssl.key_store)?,
        ..ClientTlsSpec::default()
    };
    let built = ClientTls::new(&spec).map_err(|error| Refusal(format!("ssl: {error}")))?;
    if shareable && shared.len() < SHARED_MAX {
        shared.push((ssl.clone(), built.clone()));
    }
    Ok(built)
}

impl Store {
    fn is_inline(&self) -> bool {
        self.path.is_none() && self.cert_path.is_none() && self.key_path.is_none()
    }

    fn password(&self) -> String {
        self.password.clone().unwrap_or_default()
    }

    fn pkcs12(&self) -> Result<Vec<u8>, Refusal> {
        let text = self.content.as_deref().unwrap_or_default();
        STANDARD
            .decode(text.split_ascii_whitespace().collect::<String>())
            .map_err(|error| Refusal(format!("content of a PKCS12 store is not base64: {error}")))
    }
}

const JKS: &str = "JKS stores cannot be read; convert it: keytool -importkeystore -srckeystore a.jks -destkeystore a.p12 \
                   -deststoretype PKCS12";

/// Whom it trusts.
///
/// # Errors
/// The store is of a kind that cannot be read, or says not where it is.
pub fn trust(store: &Store) -> Result<Trust, Refusal> {
    Ok(match (store.kind, &store.path, &store.content) {
        (StoreKind::None, ..) => Trust::System,
        (StoreKind::Jks, ..) => return Err(Refusal(format!("trustStore: {JKS}"))),
        (StoreKind::Pem, Some(path), _) => Trust::PemFiles(vec![path.into()]),
        (StoreKind::Pem, None, Some(text)) => Trust::Pem(text.clone()),
        (StoreKind::Pkcs12, Some(path), _) => Trust::Pkcs12File { path: path.into(), password: store.password() },
        (StoreKind::Pkcs12, None, Some(_)) => Trust::Pkcs12 { content: store.pkcs12()?, password: store.password() },
        _ => return Err(Refusal("trustStore needs `path` or `content`".into())),
    })
}

/// What it shows of itself.
///
/// # Errors
/// The store is of a kind that cannot be read, or says not where it is.
pub fn identity(store: &Store) -> Result<Option<Identity>, Refusal> {
    let pem = (&store.cert_path, &store.key_path, &store.cert_content, &store.key_content);
    Ok(Some(match (store.kind, &store.path, &store.content) {
        (StoreKind::None, ..) => return Ok(None),
        (StoreKind::Jks, ..) => return Err(Refusal(format!("keyStore: {JKS}"))),
        (StoreKind::Pkcs12, Some(path), _) => Identity::Pkcs12File { path: path.into(), password: store.password() },
        (StoreKind::Pkcs12, None, Some(_)) => Identity::Pkcs12 { content: store.pkcs12()?, password: store.password() },
        (StoreKind::Pem, ..) => match pem {
            (Some(certificate), Some(key), ..) => {
                Identity::PemFiles { certificate: certificate.into(), key: key.into() }
            }
            (_, _, Some(certificate), Some(key)) => {
                Identity::Pem { certificate: certificate.clone(), key: key.clone() }
            }
            _ => {
                return Err(Refusal(
                    "keyStore of type PEM needs certPath and keyPath, or certContent and keyContent".into(),
                ));
            }
        },
        _ => return Err(Refusal("keyStore needs `path` or `content`".into())),
    }))
}
