//! Sets of addresses: sorted ranges that do not touch, so that a look-up is one binary search however long the list is.

use std::net::{IpAddr, Ipv6Addr};

/// A set of addresses. IPv4 and the IPv6 that carries it (`::ffff:0:0/96`) are the same.
#[derive(Debug, Default)]
pub struct Ranges(Box<[(u128, u128)]>);

impl Ranges {
    /// The union of ranges, each with its ends.
    pub fn new(mut ranges: Vec<(u128, u128)>) -> Self {
        ranges.sort_unstable();
        let mut merged: Vec<(u128, u128)> = Vec::with_capacity(ranges.len());
        for (from, to) in ranges {
            match merged.last_mut() {
                Some(last) if from <= last.1.saturating_add(1) => last.1 = last.1.max(to),
                _ => merged.push((from, to)),
            }
        }
        Self(merged.into())
    }

    /// The range of one address.
    pub fn single(address: IpAddr) -> (u128, u128) {
        let number = number(address);
        (number, number)
    }

    /// Whether the set has an address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let number = number(address);
        let at = self.0.partition_point(|(from, _)| *from <= number);
        at.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|(_, to)| number <= *to)
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The range of an address or a network such as `10.0.0.0/8` or `2001:db8::/32`, in which bits behind the prefix do not matter. `hosts`: without
/// the first and the last address of an IPv4 network of more than two.
pub fn range(text: &str, hosts: bool) -> Option<(u128, u128)> {
    let Some((address, prefix)) = text.split_once('/') else {
        let number = number(text.parse().ok()?);
        return Some((number, number));
    };
    let address: IpAddr = address.parse().ok()?;
    let is_v4 = address.is_ipv4();
    let bits: u32 = prefix.parse().ok().filter(|_| prefix.bytes().all(|byte| byte.is_ascii_digit()))?;
    let host_bits = if is_v4 { 32_u32.checked_sub(bits)? } else { 128_u32.checked_sub(bits)? };
    let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
    let (from, to) = (number(address) & mask, number(address) | !mask);
    Some(if hosts && is_v4 && host_bits > 1 { (from + 1, to - 1) } else { (from, to) })
}

/// An address as proxies write it in `X-Forwarded-For`: alone, in brackets, or with a port.
pub fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    if let Some(inner) = text.strip_prefix('[') {
        let (address, rest) = inner.split_once(']')?;
        let is_port = rest.is_empty() || rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
        return is_port.then(|| address.parse::<Ipv6Addr>().ok().map(IpAddr::V6)).flatten();
    }
    let alone = text.parse().ok();
    alone.or_else(|| text.parse::<std::net::SocketAddrV4>().ok().map(|address| IpAddr::V4(*address.ip())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(list: &[&str], at: &str) -> bool {
        Ranges::new(list.iter().map(|text| range(text, false).unwrap()).collect()).contains(at.parse().unwrap())
    }

    #[test]
    fn networks_have_their_addresses_and_no_others() {
        let list =
            ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "10.1.0.0/16", "192.0.2.8/31", "::ffff:198.51.100.0/120"];
        for at in [
            "10.0.0.0",
            "10.255.255.255",
            "192.0.2.7",
            "192.0.2.9",
            "2001:db8:ffff::1",
            "::ffff:10.1.2.3",
            "198.51.100.9",
        ] {
            assert!(has(&list, at), "{at}");
        }
        for at in ["9.255.255.255", "11.0.0.0", "192.0.2.6", "192.0.2.10", "2001:db9::", "::10.0.0.1", "198.51.101.0"] {
            assert!(!has(&list, at), "{at}");
        }
        assert!(has(&["0.0.0.0/0"], "255.255.255.255") && !has(&["0.0.0.0/0"], "2001:db8::1"));
        assert!(has(&["::/0"], "2001:db8::1") && has(&["::/0"], "192.0.2.1"));
        assert!(has(&["255.255.255.255/32", "::ffff:ffff:ffff"], "255.255.255.255"));
        assert!(!Ranges::default().contains("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn what_is_no_network_is_none() {
        for text in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/+8", "10.0.0.0/", "a", "10.0.0.1:80"] {
            assert_eq!(range(text, false), None, "{text}");
        }
        let ends = range("192.0.2.0/24", true).unwrap();
        assert_eq!(ends.1 - ends.0, 253);
        assert_eq!(range("192.0.2.1/32", true), range("192.0.2.1", true));
    }

    #[test]
    fn forwarded_addresses_are_read_as_proxies_write_them() {
        for text in ["192.0.2.1", " 192.0.2.1 ", "192.0.2.1:4711"] {
            assert_eq!(address(text), "192.0.2.1".parse().ok(), "{text}");
        }
        for text in ["2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:80", "\"[2001:db8::1]:80\""] {
            assert_eq!(address(text), "2001:db8::1".parse().ok(), "{text}");
        }
        for text in ["", "unknown", "_hidden", "192.0.2.1:", "192.0.2.1:99999", "[2001:db8::1", "[::1]x", "192.0.2.01"]
        {
            assert_eq!(address(text), None, "{text}");
        }
    }
}
