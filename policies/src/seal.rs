//! Secrets that are compared, and remembered, without being there.

use ring::hmac;
use ring::rand::SystemRandom;
use ringway_contract::Refusal;

/// Makes marks of secrets under a key that nothing else has: a mark says nothing of its secret, not even to who guesses well, and two are
/// compared in constant time.
pub struct Seal(hmac::Key);

/// The mark of a secret.
pub type Mark = [u8; 32];

impl Seal {
    /// One with a key of its own.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn new() -> Result<Self, Refusal> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        key.map(Self).map_err(|_| Refusal("the system gives no random numbers".into()))
    }

    /// The mark of a secret.
    pub fn mark(&self, secret: &[u8]) -> Mark {
        bytes(hmac::sign(&self.0, secret))
    }

    /// The mark of two that belong together.
    pub fn mark_pair(&self, name: &str, secret: &str) -> Mark {
        let mut context = hmac::Context::with_key(&self.0);
        // The length keeps what is name and what is secret apart.
        context.update(&name.len().to_be_bytes());
        context.update(name.as_bytes());
        context.update(secret.as_bytes());
        bytes(context.sign())
    }

    /// Whether the mark is that of this secret.
    pub fn is(&self, mark: &Mark, secret: &[u8]) -> bool {
        hmac::verify(&self.0, secret, mark).is_ok()
    }
}

fn bytes(tag: hmac::Tag) -> Mark {
    let mut mark = [0; 32];
    mark.copy_from_slice(tag.as_ref());
    mark
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_belongs_to_its_secret_and_its_seal() {
        let (seal, other) = (Seal::new().unwrap(), Seal::new().unwrap());
        let mark = seal.mark(b"secret");
        assert!(seal.is(&mark, b"secret"));
        for wrong in [&b"secreT"[..], b"", b"secret "] {
            assert!(!seal.is(&mark, wrong));
        }
        assert!(!other.is(&mark, b"secret"));
        assert_ne!(seal.mark_pair("ada", "x"), seal.mark_pair("ad", "ax"));
        assert_eq!(seal.mark_pair("ada", "x"), seal.mark_pair("ada", "x"));
    }
}
