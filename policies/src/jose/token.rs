//! A token in the compact form (RFC 7515 section 7.1): `header.payload.signature`, each in base64url.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::SHA256;
use ringway_contract::Value;

use super::{Algorithm, json};

/// Bytes of a token at most: a larger one is refused before anything of it is read.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// A token that was read, and is not verified.
pub struct Token<'a> {
    /// Its header.
    pub header: Value<'static>,
    /// What is signed.
    signed: &'a str,
    payload: &'a str,
    signature: Vec<u8>,
}

impl<'a> Token<'a> {
    /// Reads a token that is signed by `algorithm`. `None`: it is too large, not well formed, signed otherwise or not at all, or asks for
    /// what is not understood (`crit`, RFC 7515 section 4.1.11).
    pub fn read(token: &'a str, algorithm: Algorithm) -> Option<Self> {
        Self::read_within(token, algorithm, TOKEN_BYTES_MAX)
    }

    /// The same of a token that may have so many bytes.
    pub fn read_within(token: &'a str, algorithm: Algorithm, bytes_max: usize) -> Option<Self> {
        if token.len() > bytes_max {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let header = json::parse(&URL_SAFE_NO_PAD.decode(header).ok()?)?;
        let fits = json::text(&header, "alg") == Some(algorithm.name()) && json::member(&header, "crit").is_none();
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        (fits && !signature.is_empty()).then_some(Self { header, signed, payload, signature })
    }

    /// Whether one of the keys signed it.
    pub fn is_signed_by(&self, key: &super::Key) -> bool {
        key.verifies(self.signed.as_bytes(), &self.signature)
    }

    /// Its claims. To be asked only once the signature was verified.
    pub fn claims(&self) -> Option<Value<'static>> {
        json::parse(&self.payload()?)
    }

    /// What its payload is. To be asked only once the signature was verified.
    pub fn payload(&self) -> Option<Vec<u8>> {
        URL_SAFE_NO_PAD.decode(self.payload).ok()
    }
}

/// SHA-256.
pub fn digest(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(ring::digest::digest(&SHA256, bytes).as_ref());
    out
}
