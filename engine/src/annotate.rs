//! What the gateway adds to heads on their way: who asked, over what, under which ids, by way of whom.

use std::fmt::Write;
use std::net::IpAddr;

use ringway_contract::{Client, Exchange};
use ringway_wire::{Fields, Known, Version, date};

use crate::exchange::Stage;

/// What is added, compiled from `http` in `ringway.yaml`.
#[derive(Clone, Debug)]
pub struct Annotations {
    /// `X-Forwarded-For`, `-Proto`, `-Host` and `-Port`.
    pub x_forwarded: Forwarding,
    /// `Forwarded` (RFC 7239).
    pub forwarded: Forwarding,
    /// Pseudonym in `Via` (RFC 9110 section 7.6.3); empty for none.
    pub via: String,
    /// Peers whose own forwarding fields are believed.
    pub trusted: Vec<Network>,
    /// `Server` of responses that have none; empty for none.
    pub server: String,
    /// The request's id.
    pub request_id: IdField,
    /// The transaction's id.
    pub transaction_id: IdField,
}

impl Annotations {
    /// Whether the peer is one of the trusted proxies.
    pub fn trusts(&self, client: &Client) -> bool {
        client.address.is_some_and(|peer| self.trusted.iter().any(|net| net.contains(peer.ip())))
    }
}

/// A field with an id, and what becomes of one that the client sent.
#[derive(Clone, Debug)]
pub struct IdField {
    /// Name of the field; empty for none.
    pub name: String,
    /// The client's own is kept.
    pub keep: bool,
    /// The gateway's is put behind the client's.
    pub merge: bool,
}

/// What becomes of forwarding fields that a client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarding {
    /// Replaced, unless the peer is trusted: then the gateway adds to them.
    Replace,
    /// Added to, whoever the peer is.
    Append,
    /// Passed on as they are; nothing is added.
    Off,
}

/// An address range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// First address.
    pub address: IpAddr,
    /// Leading bits that count.
    pub prefix: u8,
}

impl Network {
    /// Whether the range holds `address`. An IPv4 address mapped into IPv6 is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address.to_canonical(), address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let shift = 32 - u32::from(self.prefix.min(32));
                u32::from(network).checked_shr(shift).unwrap_or(0) == u32::from(address).checked_shr(shift).unwrap_or(0)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let shift = 128 - u32::from(self.prefix.min(128));
                u128::from(network).checked_shr(shift).unwrap_or(0)
                    == u128::from(address).checked_shr(shift).unwrap_or(0)
            }
            _ => false,
        }
    }
}

/// Text on the stack: what is written per request must not allocate. What does not fit is cut.
struct Text<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Text<N> {
    fn new() -> Self {
        Self { bytes: [0; N], len: 0 }
    }

    fn push(&mut self, more: &[u8]) {
        let room = N - self.len;
        let taken = more.len().min(room);
        if let (Some(to), Some(from)) = (self.bytes.get_mut(self.len..self.len + taken), more.get(..taken)) {
            to.copy_from_slice(from);
            self.len += taken;
        }
    }

    /// In decimal digits: a formatter takes ten times as long.
    fn number(&mut self, number: u16) {
        let mut digits = [0; 5];
        let (mut at, mut left) = (digits.len(), number);
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (left % 10) as u8;
            left /= 10;
            at -= 1;
            if left == 0 {
                break;
            }
        }
        self.push(digits.get(at..).unwrap_or_default());
    }

    fn address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => {
                for (index, octet) in address.octets().into_iter().enumerate() {
                    if index > 0 {
                        self.push(b".");
                    }
                    self.number(octet.into());
                }
            }
            // What does not fit is cut: an address always fits.
            IpAddr::V6(address) => drop(write!(self, "{address}")),
        }
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl<const N: usize> Write for Text<N> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

/// Most bytes of a forwarding chain that is passed on; a longer one is replaced by the gateway's own link.
const CHAIN_BYTES_MAX: usize = 1024;

/// On the way to the endpoint. Hop-by-hop fields stay readable (`Upgrade` is needed); encoding a head never writes them.
pub fn request(stage: &mut Stage<'_>) {
    let annotations = &stage.site.annotations;
    let local = stage.local;
    let exchange = &mut *stage.exchange;
    let client = exchange.client.clone();
    let Some(request) = exchange.request.as_deref_mut() else { return };
    let head = &mut request.head;

    let trusted = annotations.trusts(&client);
    let proto: &[u8] = if client.tls { b"https" } else { b"http" };

    if annotations.x_forwarded != Forwarding::Off {
        let keep = trusted || annotations.x_forwarded == Forwarding::Append;
        if let Some(peer) = client.address {
            let mut address = Text::<48>::new();
            address.address(peer.ip().to_canonical());
            chain(&mut head.fields, Known::XForwardedFor, "X-Forwarded-For", address.bytes(), keep);
        }
        if !(keep && head.fields.known(Known::XForwardedProto).is_some()) {
            let _ = head.fields.set("X-Forwarded-Proto", proto);
        }
        if !(keep && head.fields.known(Known::XForwardedHost).is_some()) {
            let mut value = Text::<272>::new();
            value.push(head.host().as_bytes());
            if let Some(port) = head.port() {
                value.push(b":");
                value.number(port);
            }
            let _ = head.fields.set("X-Forwarded-Host", value.bytes());
        }
        if !(keep && head.fields.known(Known::XForwardedPort).is_some()) {
            let mut value = Text::<8>::new();
            value.number(head.port().unwrap_or(if client.tls { 443 } else { 80 }));
            let _ = head.fields.set("X-Forwarded-Port", value.bytes());
        }
    }
    if annotations.forwarded != Forwarding::Off {
        let keep = trusted || annotations.forwarded == Forwarding::Append;
        let mut link = Text::<384>::new();
        match client.address.map(|peer| peer.ip().to_canonical()) {
            Some(IpAddr::V6(address)) => drop(write!(link, "for=\"[{address}]\";")),
            Some(address) => {
                link.push(b"for=");
                link.address(address);
                link.push(b";");
            }
            None => {}
        }
        link.push(b"proto=");
        link.push(proto);
        link.push(b";host=\"");
        link.push(head.host().as_bytes());
        link.push(b"\"");
        chain(&mut head.fields, Known::Forwarded, "Forwarded", link.bytes(), keep);
    }
    if !annotations.via.is_empty() {
        let mut link = Text::<128>::new();
        link.push(if head.version == Version::Http10 { b"1.0 " } else { b"1.1 " });
        link.push(annotations.via.as_bytes());
        chain(&mut head.fields, Known::Via, "Via", link.bytes(), true);
    }
    for field in [&annotations.request_id, &annotations.transaction_id] {
        identify(&mut head.fields, field, &local.ids);
    }
}

/// Adds what was decided on the way to the endpoint; see [`Exchange::tell`].
pub fn tell(told: &Fields, fields: &mut Fields) {
    let text = |name| std::str::from_utf8(name).unwrap_or_default();
    for (name, _) in told.iter() {
        fields.remove(text(name));
    }
    for (name, value) in told.iter() {
        // A head without room for it goes without.
        let _ = fields.append(text(name), value);
    }
}

/// On the way back. The backend's hop-by-hop fields are gone already.
pub fn response(stage: &mut Stage<'_>) {
    let annotations = &stage.site.annotations;
    let Exchange { request, response, told, .. } = &mut *stage.exchange;
    let (Some(request), Some(response)) = (request.as_deref(), response.as_deref_mut()) else { return };
    if !annotations.via.is_empty() {
        let mut link = Text::<128>::new();
        link.push(if response.version == Version::Http10 { b"1.0 " } else { b"1.1 " });
        link.push(annotations.via.as_bytes());
        chain(&mut response.fields, Known::Via, "Via", link.bytes(), true);
    }
    for field in [&annotations.request_id, &annotations.transaction_id] {
        if !field.name.is_empty()
            && let Some(id) = request.head.fields.get(&field.name)
        {
            let _ = response.fields.set(&field.name, id);
        }
    }
    if let Some(told) = told {
        tell(told, &mut response.fields);
    }
    // RFC 9110 section 6.6.1: who forwards a response without a date gives it one.
    if !response.fields.contains("date") {
        let _ = response.fields.set("Date", date::imf_fixdate(stage.local.shard.unix_ms() / 1000));
    }
    // RFC 9110 section 10.2.4: the field is of the server that made the response.
    if !annotations.server.is_empty() && !response.fields.contains("server") {
        let _ = response.fields.set("Server", &annotations.server);
    }
    stage.api.cors.annotate(&request.head, &mut response.fields);
}

fn identify(fields: &mut ringway_wire::Fields, field: &IdField, ids: &Ids) {
    if field.name.is_empty() {
        return;
    }
    let present = fields.get(&field.name).filter(|_| field.keep || field.merge);
    match present {
        None => {
            let _ = fields.set(&field.name, ids.next());
        }
        Some(_) if field.keep => {}
        Some(present) => {
            let mut value = Text::<256>::new();
            value.push(present.get(..200).unwrap_or(present));
            value.push(b"-");
            value.push(&ids.next());
            let _ = fields.set(&field.name, value.bytes());
        }
    }
}

/// Sets a list field to `link`, behind what is there if `keep` says so.
fn chain(fields: &mut ringway_wire::Fields, known: Known, name: &str, link: &[u8], keep: bool) {
    if !keep || fields.known(known).is_none() {
        let _ = fields.set(name, link);
        return;
    }
    let mut value = Text::<{ CHAIN_BYTES_MAX + 400 }>::new();
    for present in fields.known_all(known) {
        value.push(present);
        value.push(b", ");
    }
    if value.len > CHAIN_BYTES_MAX {
        value.len = 0;
    }
    value.push(link);
    let _ = fields.set(name, value.bytes());
}

/// Makes ids: 128 bits in hexadecimal, unique over shards and restarts. The first half is random per shard and start, the second
/// counts; they name requests, they are no secrets.
#[derive(Debug)]
pub struct Ids {
    prefix: u64,
    next: std::cell::Cell<u64>,
}

impl Ids {
    /// Ids that begin at a random place.
    pub fn new(seed: u64) -> Self {
        let mixed = |salt: u64| {
            let mut x = seed ^ salt;
            x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            x ^ (x >> 31)
        };
        Self { prefix: mixed(0x9E37_79B9_7F4A_7C15), next: std::cell::Cell::new(mixed(0x6A09_E667_F3BC_C909)) }
    }

    /// Bits that nobody outside can tell.
    pub fn random(&self) -> u64 {
        let number = self.next.get();
        self.next.set(number.wrapping_add(0x9E37_79B9_7F4A_7C15));
        let mixed = (self.prefix ^ number).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed ^ (mixed >> 31)
    }

    /// The next id: 32 hexadecimal digits.
    pub fn next(&self) -> [u8; 32] {
        let number = self.next.get();
        // An odd step visits all 2^64 numbers before one comes again, and neighbours do not look alike.
        self.next.set(number.wrapping_add(0x9E37_79B9_7F4A_7C15));
        let mut id = [0; 32];
        for (at, byte) in id.chunks_exact_mut(2).zip(self.prefix.to_be_bytes().into_iter().chain(number.to_be_bytes()))
        {
            at.copy_from_slice(&[hex(byte >> 4), hex(byte & 15)]);
        }
        id
    }
}

fn hex(digit: u8) -> u8 {
    if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_what_their_prefix_says() {
        let net = |text: &str, prefix| Network { address: text.parse().unwrap(), prefix };
        for (network, address, expected) in [
            (net("10.0.0.0", 8), "10.255.1.1", true),
            (net("10.0.0.0", 8), "11.0.0.1", false),
            (net("0.0.0.0", 0), "8.8.8.8", true),
            (net("192.168.1.7", 32), "192.168.1.7", true),
            (net("192.168.1.7", 32), "192.168.1.6", false),
            (net("10.0.0.0", 8), "::ffff:10.1.1.1", true),
            (net("fd00::", 8), "fd12::1", true),
            (net("fd00::", 8), "fe80::1", false),
            (net("::", 0), "10.0.0.1", false),
        ] {
            assert_eq!(network.contains(address.parse().unwrap()), expected, "{network:?} {address}");
        }
    }

    #[test]
    fn ids_do_not_repeat() {
        let ids = Ids::new(7);
        let first = ids.next();
        let second = ids.next();
        assert_ne!(first, second);
        assert!(first.iter().all(u8::is_ascii_hexdigit));
        assert_ne!(Ids::new(8).next(), first);
    }
}
