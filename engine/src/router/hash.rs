//! The hash of hosts and segments: seeded, and fast on a dozen bytes.

/// A hash by folded multiplication (the 128-bit product's halves xored), as wyhash and foldhash do it.
///
/// Clients choose what is looked up but never what is stored, so they cannot make a chain longer; the seed keeps one
/// who writes definitions from choosing paths that collide. For that the speed of a keyed multiplication is the better
/// bargain than SipHash's strength.
#[derive(Clone, Copy)]
pub(super) struct SeededHash {
    start: u64,
    factor: u64,
}

impl SeededHash {
    pub(super) fn new(seed: u64) -> Self {
        // Two independent words out of one; an even factor would lose a bit at each step.
        Self { start: scramble(seed), factor: scramble(seed.wrapping_add(0x9e37_79b9_7f4a_7c15)) | 1 }
    }

    #[inline]
    pub(super) fn of(&self, bytes: &[u8]) -> u64 {
        let mut state = self.start;
        let mut rest = bytes;
        while let Some((chunk, after)) = rest.split_first_chunk::<8>() {
            state = fold(state ^ u64::from_le_bytes(*chunk), self.factor);
            rest = after;
        }
        let tail = match (rest.first_chunk::<4>(), rest.last_chunk::<4>()) {
            (Some(low), Some(high)) => u64::from(u32::from_le_bytes(*low)) | u64::from(u32::from_le_bytes(*high)) << 32,
            _ => rest.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)),
        };
        // These reads overlap or leave zeros, so the word alone does not tell "aaaa" from "aaaaa". Xored in, the length
        // would meet the same bits of the text whatever the seed is; as part of the factor it does not.
        fold(state ^ tail, self.factor.wrapping_add((bytes.len() as u64) << 1))
    }
}

#[inline(always)]
fn fold(word: u64, factor: u64) -> u64 {
    let product = u128::from(word) * u128::from(factor);
    (product as u64) ^ (product >> 64) as u64
}

/// The finisher of splitmix64.
fn scramble(seed: u64) -> u64 {
    let mut word = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::SeededHash;

    #[test]
    fn inputs_that_differ_in_length_place_or_a_bit_hash_apart() {
        let hash = SeededHash::new(1);
        let mut seen = HashSet::new();
        for len in 0..40 {
            assert!(seen.insert(hash.of(&vec![b'a'; len])), "length {len}");
            for at in 0..len {
                for bit in 0..8 {
                    let mut bytes = vec![b'a'; len];
                    bytes[at] ^= 1 << bit;
                    assert!(seen.insert(hash.of(&bytes)), "length {len}, byte {at}, bit {bit}");
                }
            }
        }
    }

    #[test]
    fn slots_and_tags_are_spread_evenly() {
        let hash = SeededHash::new(2);
        let mut slots = [0u32; 64];
        let mut tags = [0u32; 64];
        for number in 0..64_000 {
            let hash = hash.of(format!("res{number}").as_bytes());
            slots[(hash >> 58) as usize] += 1;
            tags[(hash & 63) as usize] += 1;
        }
        // 1000 each; the standard deviation is about 31.
        for count in slots.into_iter().chain(tags) {
            assert!((800..1200).contains(&count), "{count}");
        }
    }

    #[test]
    fn another_seed_is_another_hash() {
        assert_ne!(SeededHash::new(1).of(b"orders"), SeededHash::new(2).of(b"orders"));
    }
}
