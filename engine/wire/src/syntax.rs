//! The character classes of RFC 9110 section 5.6 and RFC 3986, as one table of bits for each byte.

/// `tchar` of a token.
pub(crate) const TOKEN: u8 = 1;
/// VCHAR, obs-text, SP and HTAB: what a field value may hold.
pub(crate) const VALUE: u8 = 1 << 1;
/// What the name of a host may hold: unreserved characters (RFC 3986 section 2.3). Sub-delimiters and percent-encoding are legal
/// in a reg-name and are refused here: no DNS name has them, and backends disagree on their meaning.
pub(crate) const HOST: u8 = 1 << 2;
/// Unreserved characters: their percent-encoded form means the same.
pub(crate) const UNRESERVED: u8 = 1 << 3;
/// Printable ASCII other than `#`: what a request target may hold.
pub(crate) const TARGET: u8 = 1 << 4;
/// Bytes of a path that ask for a second look before it can be taken as it is.
pub(crate) const PATH_STOP: u8 = 1 << 5;
/// Printable ASCII that no URI may hold as it is; written percent-encoded in the normal form of a path.
pub(crate) const ENCODE: u8 = 1 << 6;

pub(crate) static CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let b = i as u8;
        let mut class = 0;
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~') {
            class |= UNRESERVED | HOST;
        }
        if b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            )
        {
            class |= TOKEN;
        }
        if b == b'\t' || (b >= b' ' && b != 0x7f) {
            class |= VALUE;
        }
        if b > b' ' && b < 0x7f && b != b'#' {
            class |= TARGET;
        } else {
            class |= PATH_STOP;
        }
        if matches!(b, b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}') {
            class |= ENCODE | PATH_STOP;
        }
        if matches!(b, b'/' | b'%' | b'\\' | b'?' | b';') {
            class |= PATH_STOP;
        }
        table[i] = class;
        i += 1;
    }
    table
};

/// Whether `byte` is of the class.
#[inline]
pub(crate) fn is(byte: u8, class: u8) -> bool {
    CLASS[usize::from(byte)] & class != 0
}

/// Whether all of `bytes` are of the class.
#[inline]
pub(crate) fn all(bytes: &[u8], class: u8) -> bool {
    bytes.iter().fold(class, |seen, byte| seen & CLASS[usize::from(*byte)]) == class
}

/// Whether `bytes` is a token (RFC 9110 section 5.6.2).
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && all(bytes, TOKEN)
}

/// `bytes` without optional white space (SP, HTAB) at either end.
#[inline]
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The elements of a list (RFC 9110 section 5.6.1), trimmed; empty ones are skipped as a recipient must.
pub(crate) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trim).filter(|element| !element.is_empty())
}

/// The value of a hexadecimal digit.
#[inline]
pub(crate) fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}
