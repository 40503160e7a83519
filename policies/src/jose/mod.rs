//! Signed tokens: JSON Web Signature (RFC 7515), Key (RFC 7517) and Token (RFC 7519), on *ring*; one algorithm that
//! it lacks stands in `p521.rs`.
//!
//! The algorithm is always the one that the configuration names, never the one that a token asks for (RFC 8725 section 3.1): a token may only
//! agree with it. Keys come from the configuration or from a key set, never out of a token.

mod json;
mod key;
mod key_set;
mod p521;
mod remote;
mod signer;
mod token;

use ring::hmac;
use ring::signature::{self, VerificationAlgorithm};
use schemars::JsonSchema;
use serde::Deserialize;

pub use json::{at_path, first_text, member, parse, text, texts, to_json};
pub use key::Key;
pub use key_set::{KeySet, Signed};
pub use remote::{Flight, Remote};
pub use signer::{Signer, chain};
pub use token::{TOKEN_BYTES_MAX, Token, digest};

/// How a token is signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
pub enum Algorithm {
    /// RSA PKCS#1 v1.5 with SHA-256.
    #[default]
    #[serde(rename = "RSA_RS256")]
    Rs256,
    /// RSA PKCS#1 v1.5 with SHA-384.
    #[serde(rename = "RSA_RS384")]
    Rs384,
    /// RSA PKCS#1 v1.5 with SHA-512.
    #[serde(rename = "RSA_RS512")]
    Rs512,
    /// RSA PSS with SHA-256.
    #[serde(rename = "RSA_PS256")]
    Ps256,
    /// RSA PSS with SHA-384.
    #[serde(rename = "RSA_PS384")]
    Ps384,
    /// RSA PSS with SHA-512.
    #[serde(rename = "RSA_PS512")]
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "EC_ES256")]
    Es256,
    /// ECDSA on P-384 with SHA-384.
    #[serde(rename = "EC_ES384")]
    Es384,
    /// ECDSA on P-521 with SHA-512. Much slower than the others.
    #[serde(rename = "EC_ES512")]
    Es512,
    /// HMAC with SHA-256; the secret has at least 32 bytes.
    #[serde(rename = "HMAC_HS256")]
    Hs256,
    /// HMAC with SHA-384; the secret has at least 48 bytes.
    #[serde(rename = "HMAC_HS384")]
    Hs384,
    /// HMAC with SHA-512; the secret has at least 64 bytes.
    #[serde(rename = "HMAC_HS512")]
    Hs512,
    /// Ed25519 (RFC 8037).
    #[serde(rename = "ED_EDDSA")]
    EdDsa,
}

/// What kind of key an algorithm takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Rsa,
    P256,
    P384,
    P521,
    Ed25519,
    Secret,
}

impl Algorithm {
    /// All of them.
    #[cfg(any(fuzzing, test))]
    pub const ALL: [Self; 13] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::Es512,
        Self::Hs256,
        Self::Hs384,
        Self::Hs512,
        Self::EdDsa,
    ];

    /// Its name in tokens (RFC 7518 section 3.1, RFC 8037 section 3.1).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
            Self::EdDsa => "EdDSA",
        }
    }

    const fn family(self) -> Family {
        match self {
            Self::Rs256 | Self::Rs384 | Self::Rs512 | Self::Ps256 | Self::Ps384 | Self::Ps512 => Family::Rsa,
            Self::Es256 => Family::P256,
            Self::Es384 => Family::P384,
            Self::Es512 => Family::P521,
            Self::EdDsa => Family::Ed25519,
            Self::Hs256 | Self::Hs384 | Self::Hs512 => Family::Secret,
        }
    }

    /// How *ring* verifies by a point of a curve.
    fn verification(self) -> Option<&'static dyn VerificationAlgorithm> {
        Some(match self {
            Self::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
            Self::Es384 => &signature::ECDSA_P384_SHA384_FIXED,
            Self::EdDsa => &signature::ED25519,
            _ => return None,
        })
    }

    fn digest(self) -> Option<hmac::Algorithm> {
        match self {
            Self::Hs256 => Some(hmac::HMAC_SHA256),
            Self::Hs384 => Some(hmac::HMAC_SHA384),
            Self::Hs512 => Some(hmac::HMAC_SHA512),
            _ => None,
        }
    }
}
