//! Which certificate answers which server name.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::server::note_sni;

/// Certificates by name. One name may have several, of different key types.
#[derive(Debug)]
pub(crate) struct Names {
    exact: HashMap<Box<str>, Vec<Arc<CertifiedKey>>>,
    /// `example.com` for `*.example.com`: a wildcard stands for one label (RFC 9525 section 6.3).
    wildcard: HashMap<Box<str>, Vec<Arc<CertifiedKey>>>,
    /// For clients that name nothing, or something unknown.
    default: Vec<Arc<CertifiedKey>>,
}

impl Names {
    pub(super) fn new() -> Self {
        Self { exact: HashMap::new(), wildcard: HashMap::new(), default: Vec::new() }
    }

    /// Adds a certificate for `names`. The names of the first one that is added are also the default's.
    pub(super) fn add(&mut self, names: &[String], key: &Arc<CertifiedKey>, default: bool) {
        for name in names {
            let name = name.to_ascii_lowercase();
            let (table, name) = match name.strip_prefix("*.") {
                Some(parent) => (&mut self.wildcard, parent),
                None => (&mut self.exact, name.as_str()),
            };
            table.entry(name.into()).or_default().push(Arc::clone(key));
        }
        if default || self.default.is_empty() {
            if default {
                self.default.clear();
            }
            self.default.push(Arc::clone(key));
        }
    }

    fn find(&self, name: Option<&str>) -> &[Arc<CertifiedKey>] {
        name.and_then(|name| self.named(name)).unwrap_or(&self.default)
    }

    /// Whether a client that asked for `asked` was shown another certificate than the ones that are for `host`. A host that
    /// no certificate is for is nobody else's.
    pub(super) fn differ(&self, asked: &str, host: &str) -> bool {
        let Some(keys) = self.named(host) else { return false };
        let shown = self.find(Some(asked));
        !keys.iter().any(|key| shown.iter().any(|shown| Arc::ptr_eq(shown, key)))
    }

    fn named(&self, name: &str) -> Option<&[Arc<CertifiedKey>]> {
        // rustls hands names out as they came; a DNS name has no case.
        let lower;
        let name = if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            lower = name.to_ascii_lowercase();
            lower.as_str()
        } else {
            name
        };
        if let Some(keys) = self.exact.get(name) {
            return Some(keys);
        }
        let (_, parent) = name.split_once('.')?;
        self.wildcard.get(parent).map(Vec::as_slice)
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        note_sni(hello.server_name());
        let keys = self.find(hello.server_name());
        keys.iter().find(|key| signs(key, hello.signature_schemes())).or(keys.first()).map(Arc::clone)
    }
}

fn signs(key: &CertifiedKey, schemes: &[SignatureScheme]) -> bool {
    key.key.choose_scheme(schemes).is_some()
}
