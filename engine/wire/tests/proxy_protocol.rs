//! PROXY protocol headers, by the tables of its specification.

use bytes::BytesMut;
use ringway_wire::proxy_protocol::{Header, Proxied, ProxyError, Tls, V1_BYTES_MAX, encode_v1, encode_v2, parse};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn proxied(source: &str, destination: &str) -> Proxied {
    let (Ok(source), Ok(destination)) = (source.parse(), destination.parse()) else { panic!("two socket addresses") };
    Proxied::new(source, destination)
}

/// Parses with bytes behind that must survive, and checks that every shorter prefix only asks for more.
fn parse_all(bytes: &[u8]) -> Result<Header, ProxyError> {
    let mut input = BytesMut::from(bytes);
    input.extend_from_slice(b"GET /");
    let Some(header) = parse(&mut input)? else { panic!("a whole header") };
    assert_eq!(&input[..], b"GET /");
    for end in 0..bytes.len() {
        let mut input = BytesMut::from(&bytes[..end]);
        assert_eq!(parse(&mut input), Ok(None), "{end} bytes");
        assert_eq!(input.len(), end);
    }
    Ok(header)
}

/// A header of version 2 with this command, family and body.
fn v2(version_command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    [SIGNATURE, &[version_command, family], &(body.len() as u16).to_be_bytes(), body].concat()
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind], &(value.len() as u16).to_be_bytes()[..], value].concat()
}

const ADDRESSES: &[u8] = &[192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 0x04, 0x01, 0xbb];

#[test]
fn version_1_lines_are_read() {
    for (line, source, destination) in [
        ("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n", "192.0.2.1:56324", "198.51.100.2:443"),
        ("PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n", "0.0.0.0:0", "255.255.255.255:65535"),
        ("PROXY TCP6 2001:db8::1 ::1 1 2\r\n", "[2001:db8::1]:1", "[::1]:2"),
        (
            "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe 65535 65535\r\n",
            "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
            "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe]:65535",
        ),
    ] {
        let wanted = Header::Proxied(Box::new(proxied(source, destination)));
        assert_eq!(parse_all(line.as_bytes()), Ok(wanted.clone()), "{line}");
        let mut out = BytesMut::new();
        encode_v1(&wanted, &mut out);
        assert_eq!(out, line.as_bytes());
    }
    for line in
        ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", "PROXY UNKNOWN what \x01 ever\r\n"]
    {
        assert_eq!(parse_all(line.as_bytes()), Ok(Header::Local), "{line}");
    }
}

#[test]
fn malformed_version_1_lines_are_refused() {
    for line in [
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n",
        "PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 a\r\n",
        "PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n",
        "PROXY TCP4 01.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2.3.256 5.6.7.8 1 2\r\n",
        "PROXY TCP4 ::1 ::2 1 2\r\n",
        "PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP6 ::g ::2 1 2\r\n",
        "PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n",
        "PROXY UNKNOWN\n",
        "PROXY  UNKNOWN\r\n",
        "PROXY TCP4\t1.2.3.4 5.6.7.8 1 2\r\n",
    ] {
        assert_eq!(parse(&mut BytesMut::from(line)), Err(ProxyError::BadLine), "{line:?}");
    }
    let fill = |bytes: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(bytes - "PROXY UNKNOWN \r\n".len()));
    assert_eq!(parse_all(fill(V1_BYTES_MAX).as_bytes()), Ok(Header::Local));
    assert_eq!(parse(&mut BytesMut::from(fill(V1_BYTES_MAX + 1).as_str())), Err(ProxyError::BadLine));
    assert_eq!(parse(&mut BytesMut::from("P".repeat(3).as_str())), Err(ProxyError::Missing));
}

#[test]
fn a_connection_without_header_is_refused_at_its_first_wrong_byte() {
    for bytes in [
        "GET / HTTP/1.1\r\n",
        "POST",
        "PROXZ",
        "\r\nGET",
        "\r\n\r\nGET",
        "\r\n\r\n\0\r\nQUIT\r",
        "\x16\x03\x01",
        " PROXY",
    ] {
        assert_eq!(parse(&mut BytesMut::from(bytes)), Err(ProxyError::Missing), "{bytes:?}");
    }
}

#[test]
fn version_2_addresses_are_read() {
    let wanted = Header::Proxied(Box::new(proxied("192.0.2.1:56324", "198.51.100.2:443")));
    assert_eq!(parse_all(&v2(0x21, 0x11, ADDRESSES)), Ok(wanted));
    let mut v6 = [0; 36];
    (v6[15], v6[31], v6[33], v6[35]) = (1, 2, 3, 4);
    assert_eq!(parse_all(&v2(0x21, 0x21, &v6)), Ok(Header::Proxied(Box::new(proxied("[::1]:3", "[::2]:4")))));
    for (version_command, family, body) in [
        (0x20, 0x00, &b""[..]),
        (0x20, 0x11, ADDRESSES),
        (0x20, 0xff, b"junk"),
        (0x21, 0x00, b""),
        (0x21, 0x00, b"junk"),
        (0x21, 0x31, &[0; 216]),
    ] {
        assert_eq!(parse_all(&v2(version_command, family, body)), Ok(Header::Local), "{version_command:x} {family:x}");
    }
}

#[test]
fn malformed_version_2_headers_are_refused() {
    use ProxyError::*;
    for (bytes, error) in [
        (v2(0x11, 0x11, ADDRESSES), BadVersion),
        (v2(0x31, 0x11, ADDRESSES), BadVersion),
        (v2(0x22, 0x11, ADDRESSES), BadVersion),
        (v2(0x2f, 0x11, ADDRESSES), BadVersion),
        (v2(0x21, 0x12, ADDRESSES), BadFamily),
        (v2(0x21, 0x22, &[0; 36]), BadFamily),
        (v2(0x21, 0x32, &[0; 216]), BadFamily),
        (v2(0x21, 0x10, ADDRESSES), BadFamily),
        (v2(0x21, 0x01, ADDRESSES), BadFamily),
        (v2(0x21, 0x41, ADDRESSES), BadFamily),
        (v2(0x21, 0x11, &ADDRESSES[..11]), BadLength),
        (v2(0x21, 0x11, b""), BadLength),
        (v2(0x21, 0x21, &[0; 35]), BadLength),
        (v2(0x21, 0x11, &[0; 4081]), BadLength),
        (v2(0x20, 0x00, &[0; 4081]), BadLength),
        (v2(0x21, 0x11, &[ADDRESSES, &[1]].concat()), BadTlv),
        (v2(0x21, 0x11, &[ADDRESSES, &[1, 0]].concat()), BadTlv),
        (v2(0x21, 0x11, &[ADDRESSES, &[1, 0, 1]].concat()), BadTlv),
        (v2(0x21, 0x11, &[ADDRESSES, &[4, 0xff, 0xff, 0]].concat()), BadTlv),
        (v2(0x21, 0x11, &[ADDRESSES, &tlv(2, b"a\xff")].concat()), BadTlv),
        (v2(0x21, 0x11, &[ADDRESSES, &tlv(2, b"a\r\nb")].concat()), BadTlv),
        (v2(0x21, 0x11, &[ADDRESSES, &tlv(3, b"123")].concat()), BadTlv),
        (v2(0x21, 0x11, &[ADDRESSES, &tlv(3, b"1234")].concat()), BadChecksum),
        (v2(0x21, 0x11, &[ADDRESSES, &tlv(5, &[0; 129])].concat()), BadTlv),
        (v2(0x21, 0x11, &[ADDRESSES, &tlv(0x20, &[1, 0, 0, 0])].concat()), BadTlv),
        (v2(0x21, 0x11, &[ADDRESSES, &tlv(0x20, &[1, 0, 0, 0, 0, 0x21, 0, 9])].concat()), BadTlv),
    ] {
        assert_eq!(parse(&mut BytesMut::from(&bytes[..])), Err(error), "{bytes:?}");
    }
}

#[test]
fn tlvs_tell_of_the_clients_tls() {
    let ssl = [&[1, 0, 0, 0, 1][..], &tlv(0x21, b"TLSv1.3"), &tlv(0x23, b"AES"), &tlv(0x22, b"someone")].concat();
    let body = [
        ADDRESSES,
        &tlv(1, b"h2"),
        &tlv(4, &[0; 9]),
        &tlv(2, b"a.example"),
        &tlv(0x20, &ssl),
        &tlv(5, b"id"),
        &tlv(0xe0, b"own"),
    ];
    let Ok(Header::Proxied(got)) = parse_all(&v2(0x21, 0x11, &body.concat())) else { panic!("a client's connection") };
    assert_eq!(got.alpn.as_deref(), Some(&b"h2"[..]));
    assert_eq!(got.authority.as_deref(), Some("a.example"));
    assert_eq!(got.unique_id.as_deref(), Some(&b"id"[..]));
    let tls =
        Tls { version: Some("TLSv1.3".to_owned()), common_name: Some("someone".to_owned()), is_client_verified: false };
    assert_eq!(got.tls, Some(tls));
    for (bits, verify, tls, verified) in
        [(0, 0, false, false), (1, 0, true, false), (3, 0, true, true), (5, 0, true, true), (3, 1, true, false)]
    {
        let body = [ADDRESSES, &tlv(0x20, &[bits, 0, 0, 0, verify])].concat();
        let Ok(Header::Proxied(got)) = parse_all(&v2(0x21, 0x11, &body)) else { panic!("a client's connection") };
        assert_eq!(got.tls.map(|tls| tls.is_client_verified), tls.then_some(verified), "{bits} {verify}");
    }
}

#[test]
fn what_is_encoded_is_read_again_and_a_flipped_bit_is_noticed() {
    let mut full = proxied("[2001:db8::1]:1000", "[2001:db8::2]:443");
    full.alpn = Some(b"http/1.1".to_vec());
    full.authority = Some("b.example".to_owned());
    full.unique_id = Some(vec![7; 128]);
    full.tls = Some(Tls { version: Some("TLSv1.2".to_owned()), common_name: None, is_client_verified: true });
    let full = Header::Proxied(Box::new(full));
    for header in [Header::Local, Header::Proxied(Box::new(proxied("1.2.3.4:5", "6.7.8.9:10"))), full.clone()] {
        let mut out = BytesMut::new();
        encode_v2(&header, &mut out);
        assert_eq!(parse_all(&out), Ok(header));
    }
    let mut out = BytesMut::new();
    encode_v2(&full, &mut out);
    for at in 16..out.len() {
        let mut flipped = out.clone();
        flipped[at] ^= 1;
        assert_ne!(parse(&mut flipped), Ok(Some(full.clone())), "byte {at}");
    }
    // Not only do both directions agree: the sum is CRC-32C by another way of dividing.
    let known = v2(0x21, 0x11, &[ADDRESSES, &tlv(3, &[0; 4])].concat());
    let mut ours = BytesMut::new();
    encode_v2(&Header::Proxied(Box::new(proxied("192.0.2.1:56324", "198.51.100.2:443"))), &mut ours);
    assert_eq!(ours[..ours.len() - 4], known[..known.len() - 4]);
    assert_eq!(ours[ours.len() - 4..], reference_crc32c(&known).to_be_bytes());
}

/// CRC-32C as its definition says it: a division of polynomials, one bit after the other, highest power first.
fn reference_crc32c(bytes: &[u8]) -> u32 {
    let mut remainder = u32::MAX;
    for bit in bytes.iter().flat_map(|byte| (0..8).map(move |i| u32::from(byte >> i & 1))) {
        let carry = remainder >> 31 ^ bit;
        remainder = remainder << 1 ^ if carry == 1 { 0x1edc_6f41 } else { 0 };
    }
    !remainder.reverse_bits()
}

#[test]
fn the_reference_sum_has_the_published_check_value() {
    assert_eq!(reference_crc32c(b"123456789"), 0xe306_9283);
}
