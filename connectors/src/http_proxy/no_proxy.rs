//! `NO_PROXY`: which targets the system's proxy is not asked for. There is no standard; this is what curl and Go agree on.

use std::env;
use std::net::IpAddr;

use super::target::Place;

/// Most entries that are looked at.
const ENTRIES_MAX: usize = 1024;

/// The targets that are reached without the proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoProxy(Vec<Entry>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    hosts: Hosts,
    /// `None`: any.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    /// `*`.
    All,
    /// `example.com`: itself and all below it. In lower case, without dots around it.
    Domain(String),
    /// `.example.com` or `*.example.com`: all below it, not itself.
    Below(String),
    /// `10.0.0.0/8`, or an address: how many leading bits count.
    Network(IpAddr, u8),
}

impl NoProxy {
    /// That of the environment: `NO_PROXY`, or in small letters.
    pub fn of_system() -> Self {
        let text = ["NO_PROXY", "no_proxy"].iter().find_map(|name| env::var(name).ok().filter(|text| !text.is_empty()));
        text.map(|text| Self::parse(&text)).unwrap_or_default()
    }

    /// Reads entries between commas or blanks. What is none matches nothing.
    pub fn parse(text: &str) -> Self {
        let entries = text.split([',', ' ', '\t']).filter(|entry| !entry.is_empty());
        Self(entries.take(ENTRIES_MAX).map(Entry::parse).collect())
    }

    /// Whether a place is reached without the proxy. Names are compared as they are written: none is resolved for it.
    pub fn has(&self, place: &Place) -> bool {
        let Place::Host { name, port } = place else { return true };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let address = name.parse().ok().map(|address: IpAddr| address.to_canonical());
        self.0.iter().any(|entry| entry.port.is_none_or(|known| known == *port) && entry.hosts.has(&name, address))
    }
}

impl Entry {
    fn parse(text: &str) -> Self {
        if let Some(hosts) = Hosts::network(text) {
            return Self { hosts, port: None };
        }
        // What has two colons and is no address with brackets is no host with a port.
        let (host, port) = match text.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
            Some((host, Ok(port))) => (host, Some(port)),
            _ => (text, None),
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        Self { hosts: Hosts::network(bare).unwrap_or_else(|| Hosts::named(host)), port }
    }
}

impl Hosts {
    /// An address or a range of such.
    fn network(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().ok()?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Some(bits), |prefix| prefix.parse().ok())?;
        (prefix <= bits).then_some(Self::Network(address, prefix))
    }

    fn named(text: &str) -> Self {
        let text = text.trim_end_matches('.').to_ascii_lowercase();
        if text == "*" {
            return Self::All;
        }
        match text.strip_prefix("*.").or_else(|| text.strip_prefix('.')) {
            Some(domain) => Self::Below(domain.to_owned()),
            None => Self::Domain(text),
        }
    }

    fn has(&self, name: &str, address: Option<IpAddr>) -> bool {
        let is_below = |domain: &str| {
            let above = name.strip_suffix(domain).filter(|_| address.is_none() && !domain.is_empty());
            above.is_some_and(|above| above.ends_with('.'))
        };
        match self {
            Self::All => true,
            Self::Domain(domain) => name == domain || is_below(domain),
            Self::Below(domain) => is_below(domain),
            Self::Network(network, prefix) => address.is_some_and(|address| within(address, *network, *prefix)),
        }
    }
}

fn within(address: IpAddr, network: IpAddr, prefix: u8) -> bool {
    let (address, network, bits) = match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => (address.to_bits().into(), network.to_bits().into(), 32_u32),
        (IpAddr::V6(address), IpAddr::V6(network)) => (address.to_bits(), network.to_bits(), 128_u32),
        _ => return false,
    };
    // Shifted by all of its 128 bits, nothing is left to differ.
    let differ: u128 = address ^ network;
    differ.checked_shr(bits.saturating_sub(prefix.into())).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_domains_networks_and_ports_are_told_apart() {
        // The list, the places that it has, and those that it has not.
        for (list, has, has_not) in [
            ("", "", "b:80 127.0.0.1:80"),
            ("*", "b:80 10.0.0.1:443 ::1:80", ""),
            ("b.example", "b.example:80 B.Example:443 a.b.example:80 b.example.:80", "ab.example:80 example:80 c:80"),
            (".b.example", "a.b.example:80 c.a.b.example:80", "b.example:80 ab.example:80"),
            ("*.b.example", "a.b.example:80", "b.example:80"),
            ("a, b.example:8080 c", "a:80 b.example:8080 x.b.example:8080 c:1", "b.example:80 d:80"),
            ("10.1.2.3", "10.1.2.3:80", "10.1.2.30:80 210.1.2.3:80"),
            ("1.2.3", "1.2.3:80", "10.1.2.3:80"),
            ("10.0.0.0/8,192.168.1.0/24", "10.255.0.1:80 192.168.1.9:80", "11.0.0.1:80 192.168.2.1:80 ten.example:80"),
            ("0.0.0.0/0", "1.2.3.4:80", "::1:80 b:80"),
            ("::/0", "::1:80 fe80::1:80", "1.2.3.4:80"),
            ("fd00::/8", "fd12::1:80", "fe80::1:80"),
            ("::1", "::1:80", "::2:80"),
            ("[::1]:8080", "::1:8080", "::1:80"),
            ("10.0.0.1:8080", "10.0.0.1:8080", "10.0.0.1:80"),
            ("10.0.0.0/33,10.0.0.0/x,.,:80", "", "10.0.0.1:80 b:80"),
        ] {
            let list = NoProxy::parse(list);
            let place = |text: &str| {
                let (name, port) = text.rsplit_once(':').unwrap();
                Place::Host { name: name.into(), port: port.parse().unwrap() }
            };
            for text in has.split_ascii_whitespace() {
                assert!(list.has(&place(text)), "{text} in {list:?}");
            }
            for text in has_not.split_ascii_whitespace() {
                assert!(!list.has(&place(text)), "{text} not in {list:?}");
            }
        }
        assert!(NoProxy::default().has(&Place::Unix("/run/a.sock".into())));
    }
}
