//! Keys of tables that shards share.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::LazyLock;

use ring::digest;

/// A hashed key. Its hash is keyed by the process, so nobody can make two keys meet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Key(u128);

impl Key {
    /// The key of these parts.
    pub fn of(parts: &impl Hash) -> Self {
        static SEEDS: LazyLock<(RandomState, RandomState)> = LazyLock::new(Default::default);
        Self(u128::from(SEEDS.0.hash_one(parts)) << 64 | u128::from(SEEDS.1.hash_one(parts)))
    }

    /// The key of these parts in every gateway of this version: the begin of their SHA-256.
    pub fn everywhere(parts: &impl Hash) -> Self {
        let mut hash = Everywhere(digest::Context::new(&digest::SHA256));
        parts.hash(&mut hash);
        let digest = hash.0.finish();
        Self(digest.as_ref().iter().take(16).fold(0, |key, byte| key << 8 | u128::from(*byte)))
    }

    /// It as text.
    pub fn text(self) -> String {
        format!("{:032x}", self.0)
    }

    /// The half of it that tables do not use.
    pub fn high(self) -> u64 {
        (self.0 >> 64) as u64
    }
}

/// Takes what is hashed as bytes.
struct Everywhere(digest::Context);

impl Hasher for Everywhere {
    fn finish(&self) -> u64 {
        0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}

/// A key is hashed already.
#[derive(Default)]
pub struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_every_gateway_tells_its_parts_apart() {
        let key = Key::everywhere(&("rate-limit", 5_u64, Some("ada")));
        assert_eq!(key.text(), Key::everywhere(&("rate-limit", 5_u64, Some("ada"))).text());
        for other in [
            Key::everywhere(&("rate-limit", 6_u64, Some("ada"))),
            Key::everywhere(&("rate-limit", 5_u64, None::<&str>)),
            Key::everywhere(&("rate-limi", "t", 5_u64, Some("ada"))),
        ] {
            assert_ne!(key, other);
        }
    }
}
