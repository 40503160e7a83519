//! Host and port, from a `Host` field or the authority of a target (RFC 9112 section 3.2, RFC 3986 section 3.2).

use std::net::Ipv6Addr;
use std::str::FromStr;

use crate::syntax::{self, HOST};

/// The largest name that DNS carries in text form (RFC 1035 section 2.3.4), with a dot at its end.
const HOST_BYTES_MAX: usize = 254;

/// Where a request wants to go: an index into the text that holds the host, and the port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Authority {
    /// Bytes of the host, in lower case and without a dot at its end; an IPv6 address keeps its brackets.
    pub host_bytes: usize,
    /// The port, when one is given.
    pub port: Option<u16>,
}

impl Authority {
    /// Reads `uri-host [":" [port]]` and appends the host to `text`, in lower case.
    ///
    /// Userinfo, sub-delimiters, percent-encoding and empty labels are refused, and so is an empty host.
    #[inline]
    pub fn parse(bytes: &[u8], text: &mut String) -> Option<Authority> {
        if let [b'[', rest @ ..] = bytes {
            return Authority::parse_v6(rest, text);
        }
        // A label is empty when a dot follows a dot or nothing.
        let (mut end, mut last) = (bytes.len(), b'.');
        for (at, byte) in bytes.iter().enumerate() {
            if !syntax::is(*byte, HOST) {
                end = at;
                break;
            }
            if *byte == b'.' && last == b'.' {
                return None;
            }
            last = *byte;
        }
        let (host, rest) = bytes.split_at(end);
        let port = port(rest)?;
        let host = std::str::from_utf8(host.strip_suffix(b".").unwrap_or(host)).ok()?;
        if host.is_empty() || host.len() > HOST_BYTES_MAX {
            return None;
        }
        let from = text.len();
        text.push_str(host);
        text.get_mut(from..)?.make_ascii_lowercase();
        Some(Authority { host_bytes: host.len(), port })
    }

    #[cold]
    fn parse_v6(rest: &[u8], text: &mut String) -> Option<Authority> {
        let end = rest.iter().position(|byte| *byte == b']')?;
        let (address, after) = rest.split_at(end);
        let port = port(after.get(1..)?)?;
        let address = std::str::from_utf8(address).ok()?;
        Ipv6Addr::from_str(address).ok()?;
        let from = text.len();
        text.push('[');
        text.push_str(address);
        text.push(']');
        text.get_mut(from..)?.make_ascii_lowercase();
        Some(Authority { host_bytes: address.len() + 2, port })
    }
}

/// `[":" *DIGIT]`; an empty port is none (RFC 3986 section 3.2.3).
#[inline]
fn port(bytes: &[u8]) -> Option<Option<u16>> {
    let digits = match bytes {
        [] | [b':'] => return Some(None),
        [b':', digits @ ..] if digits.len() <= 5 => digits,
        _ => return None,
    };
    let mut port = 0u32;
    for byte in digits {
        if !byte.is_ascii_digit() {
            return None;
        }
        port = port * 10 + u32::from(byte - b'0');
    }
    u16::try_from(port).ok().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(bytes: &str) -> Option<(String, Option<u16>)> {
        let mut text = String::new();
        let authority = Authority::parse(bytes.as_bytes(), &mut text)?;
        assert_eq!(authority.host_bytes, text.len());
        Some((text, authority.port))
    }

    #[test]
    fn hosts_are_lower_case_without_port_and_final_dot() {
        for (given, host, port) in [
            ("a", "a", None),
            ("A.Example.COM", "a.example.com", None),
            ("a.example.", "a.example", None),
            ("a.example.:80", "a.example", Some(80)),
            ("a:", "a", None),
            ("a:0", "a", Some(0)),
            ("a:65535", "a", Some(65535)),
            ("a:00080", "a", Some(80)),
            ("127.0.0.1:8082", "127.0.0.1", Some(8082)),
            ("[::1]", "[::1]", None),
            ("[2001:DB8::1]:443", "[2001:db8::1]", Some(443)),
            ("[::ffff:1.2.3.4]", "[::ffff:1.2.3.4]", None),
            ("my_service", "my_service", None),
            ("xn--bcher-kva.example", "xn--bcher-kva.example", None),
        ] {
            assert_eq!(parsed(given), Some((host.to_owned(), port)), "{given}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for given in [
            "",
            ".",
            "..",
            ".a",
            "a..b",
            ":80",
            "a:b",
            "a:80:80",
            "a:65536",
            "a:100000",
            "a:-1",
            "a:+1",
            "u@a",
            "u:p@a",
            "a/b",
            "a?b",
            "a#b",
            "a b",
            "a,b",
            "a;b",
            "a%41",
            "a\u{e9}",
            "a\\b",
            "[::1",
            "::1",
            "[::1]a",
            "[::1]:x",
            "[]",
            "[v1.a]",
            "[fe80::1%25eth0]",
            "[127.0.0.1]",
            "a\t",
            "a\"",
            "<a>",
            "a'b",
            "a$b",
            "*",
            "*.a",
        ] {
            assert_eq!(parsed(given), None, "{given}");
        }
        assert_eq!(parsed(&"a".repeat(HOST_BYTES_MAX + 1)), None);
    }
}
