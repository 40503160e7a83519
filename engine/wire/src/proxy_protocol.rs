//! The PROXY protocol, versions 1 and 2 (HAProxy's `doc/proxy-protocol.txt`): who connected to the load balancer in front.
//!
//! ```text
//!  v1  PROXY TCP4 192.0.2.1 198.51.100.2 56324 443␍␊                              at most 107 bytes
//!  v2  │␍␊␍␊␀␍␊QUIT␊│version:4 command:4│family:4 transport:4│length:16│addresses│TLVs…│   16 bytes + length
//! ```
//!
//! A listener that expects the header requires it: to guess would let any client claim any address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use bytes::{Buf, BufMut, BytesMut};

/// The longest header of version 1, CRLF included.
pub const V1_BYTES_MAX: usize = 107;
/// The longest header of version 2 that is read, TLVs included; the length field would allow 64 KiB.
pub const V2_BYTES_MAX: usize = 4096;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and transport, length.
const V2_FIXED_BYTES: usize = 16;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
/// Bytes of the longest unique id.
const UNIQUE_ID_BYTES_MAX: usize = 128;

const TLV_ALPN: u8 = 0x01;
const TLV_AUTHORITY: u8 = 0x02;
const TLV_CRC32C: u8 = 0x03;
const TLV_UNIQUE_ID: u8 = 0x05;
const TLV_SSL: u8 = 0x20;
const TLV_SSL_VERSION: u8 = 0x21;
const TLV_SSL_COMMON_NAME: u8 = 0x22;

/// Bits of the SSL TLV's first byte.
const CLIENT_SSL: u8 = 0x01;
const CLIENT_CERTIFICATE: u8 = 0x02 | 0x04;

/// What the load balancer says of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Header {
    /// The load balancer's own connection (a health check), or one whose addresses it can't tell: the socket's hold.
    Local,
    /// A client's connection.
    Proxied(Box<Proxied>),
}

/// Addresses and TLS facts of a client's connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxied {
    /// The client.
    pub source: SocketAddr,
    /// What the client connected to.
    pub destination: SocketAddr,
    /// The negotiated application protocol.
    pub alpn: Option<Vec<u8>>,
    /// The host name that the client named in its TLS handshake (SNI).
    pub authority: Option<String>,
    /// An opaque id of the connection, at most 128 bytes.
    pub unique_id: Option<Vec<u8>>,
    /// Set when the client spoke TLS.
    pub tls: Option<Tls>,
}

/// The client's TLS, as the load balancer has seen it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Such as `TLSv1.3`.
    pub version: Option<String>,
    /// The common name of the client's certificate.
    pub common_name: Option<String>,
    /// Whether the client has shown a certificate, and it was valid.
    pub is_client_verified: bool,
}

/// Why a header is refused. The connection is closed without an answer: nothing is known of who would read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyError {
    /// Neither version's signature.
    Missing,
    /// A version 1 line that does not follow its grammar, or is longer than 107 bytes.
    BadLine,
    /// A version or command that version 2 has not.
    BadVersion,
    /// A family other than TCP over IPv4 or IPv6, Unix stream or unspecified.
    BadFamily,
    /// A length that is too large, or too small for the addresses.
    BadLength,
    /// A TLV that overruns its header, or whose value is malformed.
    BadTlv,
    /// The CRC-32C does not match.
    BadChecksum,
}

impl ProxyError {
    /// The stable key for logs and metrics.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            ProxyError::Missing => "PROXY_HEADER_MISSING",
            ProxyError::BadLine => "PROXY_HEADER_BAD_LINE",
            ProxyError::BadVersion => "PROXY_HEADER_BAD_VERSION",
            ProxyError::BadFamily => "PROXY_HEADER_BAD_FAMILY",
            ProxyError::BadLength => "PROXY_HEADER_BAD_LENGTH",
            ProxyError::BadTlv => "PROXY_HEADER_BAD_TLV",
            ProxyError::BadChecksum => "PROXY_HEADER_BAD_CHECKSUM",
        }
    }
}

impl std::fmt::Display for ProxyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ProxyError::Missing => "the connection does not begin with a PROXY protocol header",
            ProxyError::BadLine => "the PROXY protocol line is malformed",
            ProxyError::BadVersion => "the PROXY protocol version or command is unknown",
            ProxyError::BadFamily => "the PROXY protocol address family is not TCP",
            ProxyError::BadLength => "the PROXY protocol length is wrong",
            ProxyError::BadTlv => "a PROXY protocol TLV is malformed",
            ProxyError::BadChecksum => "the PROXY protocol checksum does not match",
        })
    }
}

impl std::error::Error for ProxyError {}

/// Reads a header of either version from the front of `input` and takes it out. `None` asks for more bytes; then `input` is as
/// it was.
///
/// # Errors
/// When there is no header, or a malformed one: close the connection.
pub fn parse(input: &mut BytesMut) -> Result<Option<Header>, ProxyError> {
    let parsed = match input.first() {
        None => return Ok(None),
        Some(b'P') => parse_v1(input)?,
        Some(_) => parse_v2(input)?,
    };
    Ok(parsed.map(|(header, bytes)| {
        input.advance(bytes);
        header
    }))
}

fn parse_v1(input: &[u8]) -> Result<Option<(Header, usize)>, ProxyError> {
    const START: &[u8] = b"PROXY ";
    let start = START.len().min(input.len());
    if input.get(..start) != START.get(..start) {
        return Err(ProxyError::Missing);
    }
    let window = input.get(..V1_BYTES_MAX).unwrap_or(input);
    let Some(feed) = memchr::memchr(b'\n', window) else {
        return if input.len() >= V1_BYTES_MAX { Err(ProxyError::BadLine) } else { Ok(None) };
    };
    let line = window.get(..feed).and_then(|line| line.strip_suffix(b"\r")).ok_or(ProxyError::BadLine)?;
    let line = line.strip_prefix(START).and_then(|line| std::str::from_utf8(line).ok()).ok_or(ProxyError::BadLine)?;
    let mut words = line.split(' ');
    let is_v6 = match words.next() {
        Some("TCP4") => false,
        Some("TCP6") => true,
        // Whatever follows UNKNOWN is to be ignored.
        Some("UNKNOWN") => return Ok(Some((Header::Local, feed + 1))),
        _ => return Err(ProxyError::BadLine),
    };
    let mut address = || -> Option<IpAddr> {
        let word = words.next()?;
        if is_v6 {
            Ipv6Addr::from_str(word).ok().map(IpAddr::V6)
        } else {
            Ipv4Addr::from_str(word).ok().map(IpAddr::V4)
        }
    };
    let (source, destination) = (address(), address());
    let mut port = || -> Option<u16> {
        let word = words.next()?;
        let canonical = word == "0" || !word.starts_with(['0', '+']);
        if canonical { word.parse().ok() } else { None }
    };
    let (source_port, destination_port) = (port(), port());
    match (source, destination, source_port, destination_port, words.next()) {
        (Some(source), Some(destination), Some(source_port), Some(destination_port), None) => {
            let source = SocketAddr::new(source, source_port);
            let destination = SocketAddr::new(destination, destination_port);
            Ok(Some((Header::Proxied(Box::new(Proxied::new(source, destination))), feed + 1)))
        }
        _ => Err(ProxyError::BadLine),
    }
}

fn parse_v2(input: &[u8]) -> Result<Option<(Header, usize)>, ProxyError> {
    let start = SIGNATURE.len().min(input.len());
    if input.get(..start) != SIGNATURE.get(..start) {
        return Err(ProxyError::Missing);
    }
    let Some((fixed, after)) = input.split_first_chunk::<V2_FIXED_BYTES>() else { return Ok(None) };
    let [.., version_command, family, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if version_command >> 4 != 2 || version_command & 15 > 1 {
        return Err(ProxyError::BadVersion);
    }
    let bytes = V2_FIXED_BYTES + length;
    if bytes > V2_BYTES_MAX {
        return Err(ProxyError::BadLength);
    }
    let Some(body) = after.get(..length) else { return Ok(None) };
    if version_command & 15 == 0 {
        // LOCAL: the receiver must ignore all the rest.
        return Ok(Some((Header::Local, bytes)));
    }
    let (source, destination, tlvs) = match family {
        TCP4 => {
            let (addresses, tlvs) = body.split_first_chunk::<12>().ok_or(ProxyError::BadLength)?;
            let [a, b, c, d, e, f, g, h, ports @ ..] = *addresses;
            let (source_port, destination_port) = two_ports(ports);
            let source = SocketAddr::from(([a, b, c, d], source_port));
            (source, SocketAddr::from(([e, f, g, h], destination_port)), tlvs)
        }
        TCP6 => {
            let (source, rest) = body.split_first_chunk::<16>().ok_or(ProxyError::BadLength)?;
            let (destination, rest) = rest.split_first_chunk::<16>().ok_or(ProxyError::BadLength)?;
            let (ports, tlvs) = rest.split_first_chunk::<4>().ok_or(ProxyError::BadLength)?;
            let (source_port, destination_port) = two_ports(*ports);
            (SocketAddr::from((*source, source_port)), SocketAddr::from((*destination, destination_port)), tlvs)
        }
        // Unspecified, and Unix stream sockets, which have no address that anything behind could use.
        0x00 | 0x31 => return Ok(Some((Header::Local, bytes))),
        _ => return Err(ProxyError::BadFamily),
    };
    let mut proxied = Proxied::new(source, destination);
    proxied.read_tlvs(input.get(..bytes).unwrap_or_default(), tlvs)?;
    Ok(Some((Header::Proxied(Box::new(proxied)), bytes)))
}

fn two_ports([a, b, c, d]: [u8; 4]) -> (u16, u16) {
    (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
}

/// Type, value and what follows of a TLV.
fn tlv(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [kind, high, low, rest @ ..] = bytes else { return None };
    let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))?;
    Some((*kind, value, rest))
}

fn text(value: &[u8]) -> Result<Option<String>, ProxyError> {
    let text = std::str::from_utf8(value).map_err(|_| ProxyError::BadTlv)?;
    if text.contains(char::is_control) { Err(ProxyError::BadTlv) } else { Ok(Some(text.to_owned())) }
}

impl Proxied {
    /// A connection of which only the addresses are known.
    #[must_use]
    pub fn new(source: SocketAddr, destination: SocketAddr) -> Self {
        Proxied { source, destination, alpn: None, authority: None, unique_id: None, tls: None }
    }

    fn read_tlvs(&mut self, header: &[u8], mut tlvs: &[u8]) -> Result<(), ProxyError> {
        while !tlvs.is_empty() {
            let (kind, value, rest) = tlv(tlvs).ok_or(ProxyError::BadTlv)?;
            match kind {
                TLV_ALPN => self.alpn = Some(value.to_vec()),
                TLV_AUTHORITY => self.authority = text(value)?,
                TLV_CRC32C => {
                    let sum = value.try_into().map(u32::from_be_bytes).map_err(|_| ProxyError::BadTlv)?;
                    // The sum was made with its own four bytes zero.
                    let at = header.len() - rest.len() - value.len();
                    let (before, after) = (header.get(..at), header.get(at + value.len()..));
                    let crc = crc32c(crc32c(!0, before.unwrap_or_default()), &[0; 4]);
                    if !crc32c(crc, after.unwrap_or_default()) != sum {
                        return Err(ProxyError::BadChecksum);
                    }
                }
                TLV_UNIQUE_ID if value.len() > UNIQUE_ID_BYTES_MAX => return Err(ProxyError::BadTlv),
                TLV_UNIQUE_ID => self.unique_id = Some(value.to_vec()),
                TLV_SSL => self.tls = Tls::read(value)?,
                // NOOP, NETNS and what others have made up.
                _ => {}
            }
            tlvs = rest;
        }
        Ok(())
    }
}

impl Tls {
    /// The SSL TLV: a byte of bits, a 32-bit result of the verification that is 0 when it passed, and TLVs.
    fn read(value: &[u8]) -> Result<Option<Tls>, ProxyError> {
        let (&[client, a, b, c, d], mut tlvs) = value.split_first_chunk::<5>().ok_or(ProxyError::BadTlv)?;
        let mut tls =
            Tls { is_client_verified: client & CLIENT_CERTIFICATE != 0 && [a, b, c, d] == [0; 4], ..Tls::default() };
        while !tlvs.is_empty() {
            let (kind, value, rest) = tlv(tlvs).ok_or(ProxyError::BadTlv)?;
            match kind {
                TLV_SSL_VERSION => tls.version = text(value)?,
                TLV_SSL_COMMON_NAME => tls.common_name = text(value)?,
                _ => {}
            }
            tlvs = rest;
        }
        Ok(if client & CLIENT_SSL != 0 { Some(tls) } else { None })
    }
}

/// CRC-32C (RFC 3720 appendix B.4), bit by bit: once per connection, and only when the sender sums.
fn crc32c(mut crc: u32, bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { POLYNOMIAL } else { 0 };
        }
    }
    crc
}

/// Writes a header of version 1. Addresses of two families have no form there and become UNKNOWN.
pub fn encode_v1(header: &Header, out: &mut BytesMut) {
    let line = match header {
        Header::Proxied(of) if of.source.is_ipv4() && of.destination.is_ipv4() => v1_line("TCP4", of),
        Header::Proxied(of) if of.source.is_ipv6() && of.destination.is_ipv6() => v1_line("TCP6", of),
        _ => "PROXY UNKNOWN\r\n".to_owned(),
    };
    out.extend_from_slice(line.as_bytes());
}

fn v1_line(family: &str, of: &Proxied) -> String {
    let (source, destination) = (of.source, of.destination);
    format!("PROXY {family} {} {} {} {}\r\n", source.ip(), destination.ip(), source.port(), destination.port())
}

/// Writes a header of version 2 with its TLVs and a CRC-32C. Parts that would not fit in [`V2_BYTES_MAX`] are the caller's to
/// leave out. Addresses of two families are written as unspecified.
pub fn encode_v2(header: &Header, out: &mut BytesMut) {
    let from = out.len();
    out.extend_from_slice(SIGNATURE);
    let Header::Proxied(of) = header else {
        return out.extend_from_slice(&[0x20, 0, 0, 0]);
    };
    let (family, addresses) = match (of.source.ip(), of.destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => (TCP4, [source.octets(), destination.octets()].concat()),
        (IpAddr::V6(source), IpAddr::V6(destination)) => (TCP6, [source.octets(), destination.octets()].concat()),
        _ => return out.extend_from_slice(&[0x21, 0, 0, 0]),
    };
    let mut body = addresses;
    body.extend_from_slice(&of.source.port().to_be_bytes());
    body.extend_from_slice(&of.destination.port().to_be_bytes());
    let mut put = |kind, value: Option<&[u8]>| value.into_iter().for_each(|value| put_tlv(kind, value, &mut body));
    put(TLV_ALPN, of.alpn.as_deref());
    put(TLV_AUTHORITY, of.authority.as_deref().map(str::as_bytes));
    put(TLV_UNIQUE_ID, of.unique_id.as_deref());
    if let Some(tls) = &of.tls {
        let certificate = if tls.is_client_verified { CLIENT_CERTIFICATE } else { 0 };
        let mut value = vec![CLIENT_SSL | certificate, 0, 0, 0, u8::from(!tls.is_client_verified)];
        for (kind, text) in [(TLV_SSL_VERSION, &tls.version), (TLV_SSL_COMMON_NAME, &tls.common_name)] {
            text.iter().for_each(|text| put_tlv(kind, text.as_bytes(), &mut value));
        }
        put(TLV_SSL, Some(&value));
    }
    put(TLV_CRC32C, Some(&[0; 4]));
    out.extend_from_slice(&[0x21, family]);
    out.put_u16(body.len() as u16);
    out.extend_from_slice(&body);
    let sum = !crc32c(!0, out.get(from..).unwrap_or_default());
    out.truncate(out.len() - 4);
    out.put_u32(sum);
}

fn put_tlv(kind: u8, value: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(&(value.len() as u16).to_be_bytes());
    out.extend_from_slice(value);
}
