//! TLS by rustls, through its unbuffered API, so that an idle connection holds no record buffer.
//!
//! ```text
//!   socket ──recv──▶ incoming ──decrypt in place──▶ (rustls: one Vec per record) ──copy──▶ the reader's buffer
//!                    a window, lent only while                                             what does not fit: plain
//!                    there is ciphertext
//!   socket ◀─send─── outgoing ◀──encrypt, records of 16 KiB, several per send────────────  the writer's buffer
//! ```
//!
//! Renegotiation does not exist in rustls, early data (0-RTT, RFC 8446 section 8) is off: it could be replayed.

mod client;
mod der;
mod error;
mod jks;
mod keys;
mod names;
mod parts;
mod records;
mod server;
mod session;
mod stores;
mod tickets;
mod window;

pub use client::{ClientTls, ClientTlsSpec};
pub use error::TlsError;
pub use jks::JksError;
pub use keys::{Identity, Trust};
pub(crate) use names::Names;
pub(crate) use parts::Parts;
pub use server::{ClientAuth, ServerIdentity, ServerTls, ServerTlsSpec};
pub(crate) use session::Session;
pub use session::{HandshakeLimits, TlsInfo};
pub use stores::{KeyStore, StoreAt, store_authorities};
pub(crate) use window::Windows;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// A version of TLS. Older ones than these are broken (RFC 8996).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// RFC 5246.
    V12,
    /// RFC 8446.
    V13,
}

impl TlsVersion {
    /// The name as it is written: `TLSv1.3`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V12 => "TLSv1.2",
            Self::V13 => "TLSv1.3",
        }
    }
}

/// rustls's version list for `versions`; all for none.
fn protocol_versions(versions: &[TlsVersion]) -> Vec<&'static rustls::SupportedProtocolVersion> {
    if versions.is_empty() {
        return vec![&rustls::version::TLS13, &rustls::version::TLS12];
    }
    let of = |version: &TlsVersion| match version {
        TlsVersion::V12 => &rustls::version::TLS12,
        TlsVersion::V13 => &rustls::version::TLS13,
    };
    versions.iter().map(of).collect()
}

/// The cryptography, reduced to the cipher suites of `names` (IANA names) unless that is empty.
fn provider(names: &[String]) -> Result<Arc<CryptoProvider>, TlsError> {
    let mut provider = rustls::crypto::ring::default_provider();
    if !names.is_empty() {
        let all = std::mem::take(&mut provider.cipher_suites);
        let name_of = |suite: &rustls::SupportedCipherSuite| {
            // rustls writes TLS13_AES_128_GCM_SHA256 for IANA's TLS_AES_128_GCM_SHA256.
            format!("{:?}", suite.suite()).replace("TLS13_", "TLS_")
        };
        for name in names {
            let wanted = name.replace("TLS13_", "TLS_");
            match all.iter().find(|suite| name_of(suite) == wanted) {
                Some(suite) => provider.cipher_suites.push(*suite),
                None => {
                    let known = all.iter().map(name_of).collect::<Vec<_>>().join(", ");
                    return Err(TlsError::UnknownCipherSuite { name: name.clone(), known });
                }
            }
        }
    }
    Ok(Arc::new(provider))
}
