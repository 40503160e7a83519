//! What a definition may say of TLS. Names and defaults are the reference product's.

use std::path::{Path, PathBuf};

use ringway_contract::Node;
use schemars::JsonSchema;
use serde::Deserialize;

/// TLS towards the backend.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct SslConfig {
    /// Whether the backend's name must be in its certificate.
    pub hostname_verifier: bool,
    /// Whether any certificate is taken. For trying out only.
    pub trust_all: bool,
    /// Certificates that are trusted; without one, those of the system.
    pub trust_store: Store,
    /// The gateway's own certificate, for backends that ask for one.
    pub key_store: Store,
}

impl Default for SslConfig {
    fn default() -> Self {
        Self { hostname_verifier: true, trust_all: false, trust_store: Store::default(), key_store: Store::default() }
    }
}

/// TLS towards a broker: the same as [`SslConfig`], with the names that the reference product has there.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct BrokerSsl {
    /// Whether the broker's name must be in its certificate.
    pub hostname_verifier: bool,
    /// Whether any certificate is taken. For trying out only.
    pub trust_all: bool,
    /// Certificates that are trusted; without one, those of the system.
    pub truststore: Store,
    /// The gateway's own certificate, for brokers that ask for one.
    pub keystore: Store,
}

impl Default for BrokerSsl {
    fn default() -> Self {
        Self { hostname_verifier: true, trust_all: false, truststore: Store::default(), keystore: Store::default() }
    }
}

impl From<BrokerSsl> for SslConfig {
    fn from(ssl: BrokerSsl) -> Self {
        let BrokerSsl { hostname_verifier, trust_all, truststore, keystore } = ssl;
        Self { hostname_verifier, trust_all, trust_store: truststore, key_store: keystore }
    }
}

/// A store of certificates, or of a key and its certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Store {
    /// Kind of store; empty for none.
    #[serde(rename = "type")]
    pub kind: StoreKind,
    /// File of the store, relative to the definition.
    pub path: Option<String>,
    /// The store itself: PEM text, or base64 of a PKCS#12 or JKS file.
    pub content: Option<String>,
    /// Password of the store. Without one, the integrity of a JKS store is not checked.
    pub password: Option<String>,
    /// PKCS#12 and JKS: name of the key; the first one without.
    pub alias: Option<String>,
    /// JKS: password of the key, if it is another one. In PKCS#12 there is one for all.
    pub key_password: Option<String>,
    /// PEM key store: file of the certificate chain, relative to the definition.
    pub cert_path: Option<String>,
    /// PEM key store: the certificate chain itself.
    pub cert_content: Option<String>,
    /// PEM key store: file of the key, relative to the definition.
    pub key_path: Option<String>,
    /// PEM key store: the key itself.
    pub key_content: Option<String>,
}

/// Kind of store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum StoreKind {
    /// None.
    #[default]
    #[serde(rename = "", alias = "NONE")]
    None,
    /// PEM text.
    #[serde(rename = "PEM")]
    Pem,
    /// PKCS#12.
    #[serde(rename = "PKCS12")]
    Pkcs12,
    /// Java key store. Which of the two it really is, the file tells: much that is called JKS is PKCS#12.
    #[serde(rename = "JKS")]
    Jks,
}

impl SslConfig {
    /// With the paths of files read from the folder of the file that `node` stands in, as everything else that a definition names.
    #[must_use]
    pub fn located(mut self, node: Option<&Node>) -> Self {
        let folder = node.and_then(|node| Path::new(&node.span.source.name).parent());
        let Some(folder) = folder else { return self };
        for store in [&mut self.trust_store, &mut self.key_store] {
            for path in [&mut store.path, &mut store.cert_path, &mut store.key_path].into_iter().flatten() {
                *path = folder.join(&*path).to_string_lossy().into_owned();
            }
        }
        self
    }

    /// The files of its stores.
    pub fn files(&self) -> Vec<PathBuf> {
        let used = [&self.trust_store, &self.key_store].into_iter().filter(|store| store.kind != StoreKind::None);
        used.flat_map(Store::files).collect()
    }
}

impl Store {
    /// The files that it is read from.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> {
        [&self.path, &self.cert_path, &self.key_path].into_iter().flatten().map(PathBuf::from)
    }
}
