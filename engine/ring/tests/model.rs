//! Random operations on ring and link give what their models give. The seeds are fixed, so a failure can be run again.
#![cfg(not(loom))]

/// splitmix64 (Steele, Lea and Flood 2014): enough to draw operations from.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }
}

#[test]
fn random_operations_agree_with_the_model() {
    let (seeds, steps) = if cfg!(miri) { (8, 100) } else { (400, 600) };
    for seed in 0..seeds {
        let mut random = Random(seed);
        let mut data: Vec<u8> = (0..=2 * steps).map(|_| random.next().to_le_bytes()[0]).collect();
        if seed % 2 == 0 {
            // Small operands, so that batches and weights stay near the ring's bounds.
            data.iter_mut().skip(2).step_by(2).for_each(|operand| *operand &= 0x0f);
        }
        ringway_ring::fuzz::drive(&data);
    }
}

#[test]
fn inputs_too_short_to_mean_anything_are_accepted() {
    for data in [&[][..], &[0], &[0xff, 0]] {
        ringway_ring::fuzz::drive(data);
    }
}
