//! Queries as lists of parameters (the `application/x-www-form-urlencoded` of the URL standard).

use std::borrow::Cow;

pub use ringway_contract::scope::decoded;

/// The raw pairs of a query, in order.
pub fn pairs(query: &str) -> impl Iterator<Item = &str> {
    query.split('&').filter(|pair| !pair.is_empty())
}

/// Name and value of a pair, decoded.
pub fn parameter(pair: &str) -> (Cow<'_, str>, Cow<'_, str>) {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    (decoded(name, true), decoded(value, true))
}

/// Appends a name or a value. What is percent-encoded already stays; whatever would end it, or no query holds, is encoded.
pub fn push(text: &str, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'%' if encoded(bytes, at).is_some() => out.push('%'),
            byte if byte.is_ascii_alphanumeric() || b"-._~!$'()*+,;:@/?".contains(byte) => out.push(char::from(*byte)),
            byte => {
                out.push('%');
                out.push(char::from(DIGITS[usize::from(byte >> 4)]));
                out.push(char::from(DIGITS[usize::from(byte & 15)]));
            }
        }
    }
}

/// A text percent-encoded, but for what is unreserved (RFC 3986 section 2.3).
pub fn unreserved(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out += &format!("%{byte:02X}");
        }
    }
    out
}

/// The byte that two hexadecimal digits behind `at` stand for.
fn encoded(bytes: &[u8], at: usize) -> Option<u8> {
    let digit = |at: usize| bytes.get(at).and_then(|digit| char::from(*digit).to_digit(16));
    Some((digit(at + 1)? * 16 + digit(at + 2)?) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_appended_ends_the_parameter() {
        for (text, wanted) in
            [("a b", "a%20b"), ("a&b=c#d", "a%26b%3Dc%23d"), ("%26", "%26"), ("%2", "%252"), ("é", "%C3%A9")]
        {
            let mut out = String::new();
            push(text, &mut out);
            assert_eq!(out, wanted);
        }
    }
}
