//! What the gateway adds to heads on their way: who asked, over what, under which ids, by way of whom.

use std::fmt::Write;
use std::net::IpAddr;

use bytes::{BufMut, BytesMut};
use ringway_contract::{Client, Exchange};
use ringway_net::Buffers;
use ringway_wire::{Fields, Known, Version, date};

use crate::exchange::Stage;
use crate::local::Local;

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
    name: String,
    /// What the name is known as, and what stands before its value.
    known: Option<(Known, String)>,
    /// The client's own is kept.
    keep: bool,
    /// The gateway's is put behind the client's.
    merge: bool,
}

impl IdField {
    /// The field `name`; none if that is empty.
    pub fn new(name: &str, keep: bool, merge: bool) -> Self {
        let known = Known::of(name.as_bytes()).map(|known| (known, format!("{name}: ")));
        Self { name: name.to_owned(), known, keep, merge }
    }

    /// The id that a head has.
    pub fn of<'a>(&self, fields: &'a Fields) -> Option<&'a [u8]> {
        match &self.known {
            Some((known, _)) => fields.known(*known),
            None if self.name.is_empty() => None,
            None => fields.get(&self.name),
        }
    }

    /// Gives a head the id; it must have a name.
    pub fn set(&self, fields: &mut Fields, id: &[u8]) {
        // A head without room for it goes without.
        let _ = match &self.known {
            Some((known, label)) => fields.put(*known, label, |out| out.extend_from_slice(id)),
            None => fields.set(&self.name, id),
        };
    }
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

/// Writes `number` in decimal digits: a formatter takes ten times as long.
fn number(number: u16, out: &mut BytesMut) {
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
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}

fn write_address(address: IpAddr, out: &mut BytesMut) {
    match address {
        IpAddr::V4(address) => {
            for (index, octet) in address.octets().into_iter().enumerate() {
                if index > 0 {
                    out.put_u8(b'.');
                }
                number(octet.into(), out);
            }
        }
        // Writing to a buffer that grows cannot fail.
        IpAddr::V6(address) => drop(write!(out, "{address}")),
    }
}

/// Most bytes of a forwarding chain that is passed on; a longer one is replaced by the gateway's own link.
const CHAIN_BYTES_MAX: usize = 1024;

/// On the way to the endpoint. Hop-by-hop fields stay readable (`Upgrade` is needed); encoding a head never writes them.
pub fn request(stage: &mut Stage<'_>) {
    let annotations = &stage.site.annotations;
    let local = stage.local;
    let scratch = &local.shard.buffers;
    let Exchange { client, request, .. } = &mut *stage.exchange;
    let Some(request) = request.as_deref_mut() else { return };
    let version = request.head.version;
    let (fields, host, port) = request.head.fields_and_authority();

    let trusted = annotations.trusts(client);
    let address = client.address.map(|peer| peer.ip().to_canonical());
    let proto: &[u8] = if client.tls { b"https" } else { b"http" };

    // A line for which a head has no room is left out.
    if annotations.x_forwarded != Forwarding::Off {
        let keep = trusted || annotations.x_forwarded == Forwarding::Append;
        if let Some(address) = address {
            let link = |out: &mut BytesMut| write_address(address, out);
            chain(fields, (Known::XForwardedFor, "X-Forwarded-For: "), keep, scratch, link);
        }
        let is_kept = |fields: &Fields, known| keep && fields.known(known).is_some();
        if !is_kept(fields, Known::XForwardedProto) {
            let _ = fields.put(Known::XForwardedProto, "X-Forwarded-Proto: ", |out| out.extend_from_slice(proto));
        }
        if !is_kept(fields, Known::XForwardedHost) {
            let _ = fields.put(Known::XForwardedHost, "X-Forwarded-Host: ", |out| {
                out.extend_from_slice(host.as_bytes());
                if let Some(port) = port {
                    out.put_u8(b':');
                    number(port, out);
                }
            });
        }
        if !is_kept(fields, Known::XForwardedPort) {
            let port = port.unwrap_or(if client.tls { 443 } else { 80 });
            let _ = fields.put(Known::XForwardedPort, "X-Forwarded-Port: ", |out| number(port, out));
        }
    }
    if annotations.forwarded != Forwarding::Off {
        let keep = trusted || annotations.forwarded == Forwarding::Append;
        chain(fields, (Known::Forwarded, "Forwarded: "), keep, scratch, |out| {
            match address {
                Some(IpAddr::V6(address)) => drop(write!(out, "for=\"[{address}]\";")),
                Some(address) => {
                    out.extend_from_slice(b"for=");
                    write_address(address, out);
                    out.put_u8(b';');
                }
                None => {}
            }
            for part in [b"proto=", proto, b";host=\"", host.as_bytes(), b"\""] {
                out.extend_from_slice(part);
            }
        });
    }
    via(fields, version, &annotations.via, scratch);
    for field in [&annotations.request_id, &annotations.transaction_id] {
        identify(fields, field, local);
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
    via(&mut response.fields, response.version, &annotations.via, &stage.local.shard.buffers);
    for field in [&annotations.request_id, &annotations.transaction_id] {
        if let Some(id) = field.of(&request.head.fields) {
            field.set(&mut response.fields, id);
        }
    }
    if let Some(told) = told {
        tell(told, &mut response.fields);
    }
    // RFC 9110 section 6.6.1: who forwards a response without a date gives it one.
    if response.fields.known(Known::Date).is_none() {
        let _ = response.fields.set("Date", date::imf_fixdate(stage.local.shard.unix_ms() / 1000));
    }
    // RFC 9110 section 10.2.4: the field is of the server that made the response.
    if !annotations.server.is_empty() && response.fields.known(Known::Server).is_none() {
        let _ = response.fields.set("Server", &annotations.server);
    }
    stage.api.cors.annotate(&request.head, &mut response.fields);
}

fn via(fields: &mut Fields, version: Version, pseudonym: &str, scratch: &Buffers) {
    if !pseudonym.is_empty() {
        chain(fields, (Known::Via, "Via: "), true, scratch, |out| {
            out.extend_from_slice(if version == Version::Http10 { b"1.0 " } else { b"1.1 " });
            out.extend_from_slice(pseudonym.as_bytes());
        });
    }
}

fn identify(fields: &mut Fields, field: &IdField, local: &Local) {
    if field.name.is_empty() {
        return;
    }
    match field.of(fields).filter(|_| field.keep || field.merge) {
        None => field.set(fields, &local.ids.next()),
        Some(_) if field.keep => {}
        Some(present) => {
            let mut value = local.shard.buffers.take();
            value.extend_from_slice(present.get(..200).unwrap_or(present));
            value.put_u8(b'-');
            value.extend_from_slice(&local.ids.next());
            field.set(fields, &value);
            local.shard.buffers.put(value);
        }
    }
}

/// Sets a list field to what `link` writes, behind what is there if `keep` says so.
fn chain(
    fields: &mut Fields,
    (known, label): (Known, &str),
    keep: bool,
    scratch: &Buffers,
    link: impl Fn(&mut BytesMut),
) {
    if !keep || fields.known(known).is_none() {
        let _ = fields.put(known, label, link);
        return;
    }
    let mut value = scratch.take();
    for present in fields.known_all(known) {
        if value.len() + present.len() + 2 > CHAIN_BYTES_MAX {
            value.clear();
            break;
        }
        value.extend_from_slice(present);
        value.extend_from_slice(b", ");
    }
    link(&mut value);
    let _ = fields.put(known, label, |out| out.extend_from_slice(&value));
    scratch.put(value);
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
        let digits = |half: u32| hexadecimal(half).to_be_bytes();
        let mut id = [0; 32];
        let halves = [self.prefix >> 32, self.prefix, number >> 32, number];
        for (eight, half) in id.chunks_exact_mut(8).zip(halves) {
            eight.copy_from_slice(&digits(half as u32));
        }
        id
    }
}

/// The eight hexadecimal digits of `number`, the first in the highest byte: all at once.
fn hexadecimal(number: u32) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let mut digits = u64::from(number);
    digits = (digits & 0xffff_0000) << 16 | digits & 0xffff;
    digits = (digits & 0xff00_0000_ff00) << 8 | digits & 0x00ff_0000_00ff;
    digits = (digits & 0x00f0_00f0_00f0_00f0) << 4 | digits & 0x000f_000f_000f_000f;
    // 1 in each byte whose digit is a letter.
    let letters = (digits + 6 * ONES) >> 4 & ONES;
    digits + u64::from(b'0') * ONES + letters * u64::from(b'a' - b'0' - 10)
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
    fn digits_are_those_of_a_formatter() {
        for number in [0, 1, 9, 10, 15, 16, 0xabcd_ef01, 0x0123_4567, 0x89ab_cdef, 0xf0f0_9a9a, u32::MAX] {
            let digits = hexadecimal(number).to_be_bytes();
            assert_eq!(std::str::from_utf8(&digits), Ok(format!("{number:08x}").as_str()));
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
