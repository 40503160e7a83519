//! Keys of tables that shards share.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::LazyLock;

/// A hashed key. Its hash is keyed by the process, so nobody can make two keys meet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Key(u128);

impl Key {
    /// The key of these parts.
    pub fn of(parts: &impl Hash) -> Self {
        static SEEDS: LazyLock<(RandomState, RandomState)> = LazyLock::new(Default::default);
        Self(u128::from(SEEDS.0.hash_one(parts)) << 64 | u128::from(SEEDS.1.hash_one(parts)))
    }

    /// The half of it that tables do not use.
    pub fn high(self) -> u64 {
        (self.0 >> 64) as u64
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
