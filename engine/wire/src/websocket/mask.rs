//! Masking (RFC 6455 section 5.3): an exclusive or with four bytes, over and over.

/// Bytes at a time: two registers of the vector unit that every x86-64 and every aarch64 has.
const BLOCK_BYTES: usize = 32;

/// Masks or unmasks `data` in place and turns `key` to where it goes on behind it.
#[inline]
pub(super) fn apply(key: &mut [u8; 4], data: &mut [u8]) {
    let mut wide = [0; BLOCK_BYTES];
    for (slot, byte) in wide.iter_mut().zip(key.iter().cycle()) {
        *slot = *byte;
    }
    let (blocks, rest) = data.as_chunks_mut::<BLOCK_BYTES>();
    for block in blocks {
        // The compiler makes two vector instructions of this loop.
        for (byte, mask) in block.iter_mut().zip(wide) {
            *byte ^= mask;
        }
    }
    for (byte, mask) in rest.iter_mut().zip(wide) {
        *byte ^= mask;
    }
    key.rotate_left(rest.len() % 4);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_rfc_s_formula_at_any_length_and_cut() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        for bytes in 0..100usize {
            let data: Vec<u8> = (0..bytes).map(|at| at as u8).collect();
            // Section 5.3: transformed-octet-i = original-octet-i XOR masking-key-octet-(i MOD 4).
            let wanted: Vec<u8> = data.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]).collect();
            for cut in 0..=bytes {
                let (mut masked, mut turning) = (data.clone(), key);
                let (first, second) = masked.split_at_mut(cut);
                apply(&mut turning, first);
                apply(&mut turning, second);
                assert_eq!(masked, wanted, "{bytes} bytes cut at {cut}");
            }
        }
    }
}
