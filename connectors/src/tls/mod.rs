//! TLS towards backends and brokers, from a definition's `ssl` block.

use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ringway_contract::{Node, Problem, Refusal};
use ringway_net::{ClientTls, ClientTlsSpec, Identity, KeyStore, StoreAt, Trust};

mod config;

pub use config::{BrokerSsl, SslConfig, Store, StoreKind};

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

impl SslConfig {
    /// What would keep [`client`] from being made of it. `node` is the block, which `pointer` leads to.
    pub fn problems(&self, node: &Node, pointer: &str) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut refuse = |names: &[&str], refusal: Refusal| {
            let found = names.iter().find_map(|name| Some((*name, node.field(name)?)));
            let (pointer, place) = match found {
                Some((name, place)) => (format!("{pointer}.{name}"), place),
                None => (pointer.to_owned(), node),
            };
            problems.push(Problem::error(&place.span, pointer, refusal.0));
        };
        let (trust, identity) = (trust(&self.trust_store), identity(&self.key_store));
        let sound = trust.is_ok() && identity.is_ok();
        if let Err(refusal) = trust {
            refuse(&["trustStore", "truststore"], refusal);
        }
        if let Err(refusal) = identity {
            refuse(&["keyStore", "keystore"], refusal);
        }
        if let Some(refusal) = sound.then(|| client(self).err()).flatten() {
            refuse(&[], refusal);
        }
        problems
    }
}

impl Store {
    fn is_inline(&self) -> bool {
        self.files().next().is_none()
    }

    fn password(&self) -> String {
        self.password.clone().unwrap_or_default()
    }

    fn of_key(&self, at: StoreAt) -> KeyStore {
        // The forms of the reference product write what is not given as empty text.
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        KeyStore { at, password: self.password(), alias: given(&self.alias), key_password: given(&self.key_password) }
    }

    fn bytes(&self) -> Result<Vec<u8>, Refusal> {
        let text = self.content.as_deref().unwrap_or_default();
        STANDARD
            .decode(text.split_ascii_whitespace().collect::<String>())
            .map_err(|error| Refusal(format!("content of a PKCS12 or JKS store is not base64: {error}")))
    }
}

/// Whom it trusts.
///
/// # Errors
/// The store is of a kind that cannot be read, or says not where it is.
pub fn trust(store: &Store) -> Result<Trust, Refusal> {
    Ok(match (store.kind, &store.path, &store.content) {
        (StoreKind::None, ..) => Trust::System,
        (StoreKind::Pem, Some(path), _) => Trust::PemFiles(vec![path.into()]),
        (StoreKind::Pem, None, Some(text)) => Trust::Pem(text.clone()),
        (StoreKind::Pkcs12 | StoreKind::Jks, Some(path), _) => {
            Trust::Pkcs12File { path: path.into(), password: store.password() }
        }
        (StoreKind::Pkcs12 | StoreKind::Jks, None, Some(_)) => {
            Trust::Pkcs12 { content: store.bytes()?, password: store.password() }
        }
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
        (StoreKind::Pkcs12 | StoreKind::Jks, Some(path), _) => {
            Identity::Store(store.of_key(StoreAt::File(path.into())))
        }
        (StoreKind::Pkcs12 | StoreKind::Jks, None, Some(_)) => {
            Identity::Store(store.of_key(StoreAt::Bytes(store.bytes()?)))
        }
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
