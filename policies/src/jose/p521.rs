//! ECDSA on P-521 with SHA-512 (RFC 7518 section 3.4), which *ring* does not have: the one algorithm that is verified in plain Rust. A
//! signature takes about 0.75 ms, twelve times as long as one of ES256 on the same machine.

use p521::ecdsa::signature::Verifier;
use p521::ecdsa::{Signature, VerifyingKey};

/// A public key.
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Reads an uncompressed point, as a certificate or a set of keys has it. `None`: it is not one of the curve.
    pub fn read(point: &[u8]) -> Option<Self> {
        let is_uncompressed = point.first() == Some(&4);
        is_uncompressed.then(|| VerifyingKey::from_sec1_bytes(point).ok().map(Self)).flatten()
    }

    /// Whether it is the one of this point.
    pub fn is(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    /// Whether `signature`, which is two numbers of 66 bytes, is this key's of `message`.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature).is_ok_and(|signature| self.0.verify(message, &signature).is_ok())
    }
}
