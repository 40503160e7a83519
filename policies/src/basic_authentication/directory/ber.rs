//! The part of BER that LDAP needs (ITU-T X.690; RFC 4511 section 5.1): definite lengths, tags of one byte.

/// What stands there is no BER of this kind, or longer than it may be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a message of LDAP")]
pub struct Malformed;

/// SEQUENCE.
pub const SEQUENCE: u8 = 0x30;
/// INTEGER.
pub const INTEGER: u8 = 0x02;
/// ENUMERATED.
pub const ENUMERATED: u8 = 0x0a;
/// BOOLEAN.
pub const BOOLEAN: u8 = 0x01;
/// OCTET STRING.
pub const OCTETS: u8 = 0x04;

/// Appends an element with what it holds.
pub fn put(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.push(tag);
    let length = content.len();
    if length < 0x80 {
        out.push(length as u8);
    } else {
        let bytes = (length as u64).to_be_bytes();
        let used = bytes.iter().skip_while(|byte| **byte == 0);
        out.push(0x80 | used.clone().count() as u8);
        out.extend(used);
    }
    out.extend_from_slice(content);
}

/// Appends an element that `fill` fills.
pub fn nest(out: &mut Vec<u8>, tag: u8, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut content = Vec::new();
    fill(&mut content);
    put(out, tag, &content);
}

/// Appends a number that is not negative.
pub fn number(out: &mut Vec<u8>, tag: u8, number: u32) {
    let bytes = u64::from(number).to_be_bytes();
    // A leading bit that is set would make it negative.
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(7);
    let first = if bytes.get(first).is_some_and(|byte| *byte >= 0x80) { first - 1 } else { first };
    put(out, tag, bytes.get(first..).unwrap_or_default());
}

/// Tag, length of the header and length of the content of the element that begins here. `None`: more has to come.
fn header(bytes: &[u8]) -> Result<Option<(u8, usize, usize)>, Malformed> {
    let [tag, first, rest @ ..] = bytes else { return Ok(None) };
    if tag & 0x1f == 0x1f {
        return Err(Malformed);
    }
    if *first < 0x80 {
        return Ok(Some((*tag, 2, usize::from(*first))));
    }
    let count = usize::from(first & 0x7f);
    if !(1..=4).contains(&count) {
        return Err(Malformed);
    }
    let Some(length) = rest.get(..count) else { return Ok(None) };
    let length = length.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
    Ok(Some((*tag, 2 + count, length)))
}

/// Bytes of the element that begins here. `None`: more has to come.
///
/// # Errors
/// It is none, or longer than `bytes_max`.
pub fn measure(bytes: &[u8], bytes_max: usize) -> Result<Option<usize>, Malformed> {
    match header(bytes)? {
        Some((_, before, length)) if length <= bytes_max => {
            Ok((bytes.len() >= before + length).then_some(before + length))
        }
        Some(_) => Err(Malformed),
        None => Ok(None),
    }
}

/// Reads one element after another.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// Tag and content of the next one. `None`: there is none, or not all of it.
    pub fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, before, length) = header(self.0).ok()??;
        let content = self.0.get(before..before.checked_add(length)?)?;
        self.0 = self.0.get(before + length..)?;
        Some((tag, content))
    }

    /// The content of the next one, which has this tag.
    pub fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }

    /// The next one as a number.
    pub fn number(&mut self, tag: u8) -> Option<u32> {
        let content = self.expect(tag).filter(|content| (1..=5).contains(&content.len()))?;
        let number = content.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        u32::try_from(number).ok().filter(|number| *number <= i32::MAX as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_written_and_read_alike() {
        for length in [0, 1, 127, 128, 255, 256, 70_000] {
            let mut out = Vec::new();
            put(&mut out, OCTETS, &vec![7; length]);
            assert_eq!(measure(&out, 100_000), Ok(Some(out.len())), "{length}");
            assert_eq!(measure(&out[..out.len() - 1], 100_000), Ok(None), "{length}");
            assert_eq!(Reader(&out).expect(OCTETS).map(<[u8]>::len), Some(length));
        }
        for value in [0, 1, 127, 128, 255, 256, 32_767, 32_768, i32::MAX as u32] {
            let mut out = Vec::new();
            number(&mut out, INTEGER, value);
            assert_eq!(Reader(&out).number(INTEGER), Some(value), "{out:?}");
        }
        let mut out = Vec::new();
        number(&mut out, INTEGER, 128);
        assert_eq!(out, [2, 2, 0, 128]);
    }

    #[test]
    fn what_is_no_element_is_refused() {
        for bytes in [&[0x1f, 0][..], &[4, 0x80], &[4, 0x85, 1, 1, 1, 1, 1], &[4, 0x84, 0xff, 0xff, 0xff, 0xff]] {
            assert_eq!(measure(bytes, 1000), Err(Malformed), "{bytes:?}");
        }
        assert_eq!(measure(&[4], 10), Ok(None));
        assert_eq!(Reader(&[4, 0x84, 0xff, 0xff, 0xff, 0xff]).next(), None);
        assert_eq!(Reader(&[2, 0]).number(INTEGER), None);
    }
}
