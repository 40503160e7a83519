//! As much of DER (X.690) as stores need.

pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTETS: u8 = 0x04;
pub(super) const BITS: u8 = 0x03;
/// `[0]` and `[1]`, of types that hold others.
pub(super) const CONTEXT_0: u8 = 0xA0;
pub(super) const CONTEXT_1: u8 = 0xA1;

/// The content of the value of this tag that `input` begins with; `input` goes on behind it. `None` where there is no such, whole one.
pub(super) fn value<'a>(tag: u8, input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (&[found, first], rest) = input.split_first_chunk()?;
    let (length, rest) = match first {
        0..=0x7F => (usize::from(first), rest),
        // Definite, in up to four bytes (section 8.1.3.5).
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x0F))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length).filter(|_| found == tag)?;
    *input = rest;
    Some(content)
}

/// A value of this tag. `content` is shorter than 64 KiB; a longer one gives no value.
pub(super) fn wrap(tag: u8, content: &[u8]) -> Option<Vec<u8>> {
    let [high, low] = u16::try_from(content.len()).ok()?.to_be_bytes();
    let mut out = match (high, low) {
        (0, 0..=0x7F) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    out.extend_from_slice(content);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_all_lengths_are_written_and_read() {
        for length in [0, 1, 127, 128, 255, 256, 65_535] {
            let content = vec![7; length];
            let mut bytes = wrap(OCTETS, &content).unwrap();
            bytes.push(9);
            let mut input = &bytes[..];
            assert_eq!(value(OCTETS, &mut input), Some(&content[..]), "{length}");
            assert_eq!(input, [9]);
            for end in 0..bytes.len() - 1 {
                assert_eq!(value(OCTETS, &mut &bytes[..end]), None, "cut at {end} of {length}");
            }
            assert_eq!(value(SEQUENCE, &mut &bytes[..]), None);
        }
        assert_eq!(wrap(OCTETS, &[0; 65_536]), None);
        for bad in [&[OCTETS, 0x80, 0, 0][..], &[OCTETS, 0x85, 0, 0, 0, 0, 0], &[OCTETS, 0x84, 0xFF, 0xFF, 0xFF, 0xFF]]
        {
            assert_eq!(value(OCTETS, &mut &*bad), None);
        }
    }
}
