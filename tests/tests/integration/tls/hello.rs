//! A ClientHello as bytes (RFC 8446 section 4.1.2), and what comes back: enough to see what a server would agree to.

use std::net::SocketAddr;

use ringway_tests::{Client, Peer};

pub const TLS12: u16 = 0x0303;
pub const TLS13: u16 = 0x0304;

/// The largest fragment of a record (RFC 8446 section 5.1).
const FRAGMENT_MAX: usize = 1 << 14;

/// What a client offers.
#[derive(Clone, Debug)]
pub struct Hello {
    /// The version in the message; TLS 1.3 says 1.2 here.
    pub version: u16,
    /// The versions in the extension; none: no such extension.
    pub versions: Vec<u16>,
    pub suites: Vec<u16>,
    pub compressions: Vec<u8>,
    pub name: Option<&'static str>,
    pub alpn: Vec<&'static str>,
    /// Bytes of padding (RFC 7685).
    pub padding: usize,
}

impl Hello {
    pub fn new(versions: &[u16], suites: &[u16]) -> Hello {
        Hello {
            version: TLS12,
            versions: versions.to_vec(),
            suites: suites.to_vec(),
            compressions: vec![0],
            name: Some("one.test"),
            alpn: Vec::new(),
            padding: 0,
        }
    }

    /// A client of up to `version` that knows no `supported_versions`.
    pub fn old(version: u16, suites: &[u16]) -> Hello {
        Hello { version, ..Hello::new(&[], suites) }
    }

    /// The message in records of at most `fragment` bytes.
    pub fn records(&self, fragment: usize) -> Vec<u8> {
        let message = self.message();
        let mut records = Vec::new();
        for piece in message.chunks(fragment.min(FRAGMENT_MAX)) {
            records.extend_from_slice(&[22, 3, 1]);
            records.extend(block16(piece));
        }
        records
    }

    fn message(&self) -> Vec<u8> {
        let mut body = self.version.to_be_bytes().to_vec();
        body.extend([0x5a; 32]);
        body.push(0);
        body.extend(block16(&self.suites.iter().flat_map(|suite| suite.to_be_bytes()).collect::<Vec<u8>>()));
        body.extend(block8(&self.compressions));
        body.extend(block16(&self.extensions()));
        let length = (body.len() as u32).to_be_bytes();
        [&[1, length[1], length[2], length[3]], body.as_slice()].concat()
    }

    fn extensions(&self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut add = |kind: u16, content: Vec<u8>| {
            all.extend(kind.to_be_bytes());
            all.extend(block16(&content));
        };
        if let Some(name) = self.name {
            add(0, block16(&[&[0], block16(name.as_bytes()).as_slice()].concat()));
        }
        // Groups: x25519, secp256r1. Signatures: ECDSA with P-256, RSA-PSS, RSA-PKCS#1 with SHA-256 and SHA-1.
        add(10, block16(&[0, 29, 0, 23]));
        add(11, block8(&[0]));
        add(13, block16(&[4, 3, 8, 4, 4, 1, 2, 1, 2, 3]));
        if !self.alpn.is_empty() {
            add(16, block16(&self.alpn.iter().flat_map(|name| block8(name.as_bytes())).collect::<Vec<u8>>()));
        }
        if !self.versions.is_empty() {
            add(43, block8(&self.versions.iter().flat_map(|version| version.to_be_bytes()).collect::<Vec<u8>>()));
            // A share of x25519: any 32 bytes are a point.
            add(51, block16(&[&[0, 29], block16(&[9; 32]).as_slice()].concat()));
        }
        if self.padding > 0 {
            add(21, vec![0; self.padding]);
        }
        all
    }

    /// Sends it and reads the answer.
    #[track_caller]
    pub fn ask(&self, address: SocketAddr) -> Answer {
        let mut client = Client::connect(address);
        client.send(self.records(FRAGMENT_MAX));
        answer(&mut client)
    }
}

/// What a server says to a hello.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    Agreed {
        version: u16,
        suite: u16,
        compression: u8,
        /// Whether its random says that it would have spoken TLS 1.3 (RFC 8446 section 4.1.3).
        downgraded: bool,
    },
    /// The description of an alert.
    Alert(u8),
    Closed,
}

/// The first message or alert.
#[track_caller]
pub fn answer(client: &mut Peer) -> Answer {
    let Some(head) = client.try_exactly(5) else { return Answer::Closed };
    let record = client.exactly(usize::from(u16::from_be_bytes([head[3], head[4]])));
    if head[0] == 21 {
        assert_eq!(record.len(), 2, "an alert in the clear");
        return Answer::Alert(record[1]);
    }
    assert_eq!((head[0], record[0]), (22, 2), "a ServerHello");
    let hello = &record[4..];
    let session = usize::from(hello[34]);
    let rest = &hello[35 + session..];
    let two = |bytes: &[u8]| u16::from_be_bytes([bytes[0], bytes[1]]);
    let chosen = rest[3..].windows(6).find(|window| window[..4] == [0, 43, 0, 2]).map(|window| two(&window[4..]));
    Answer::Agreed {
        version: chosen.unwrap_or_else(|| two(hello)),
        suite: two(rest),
        compression: rest[2],
        downgraded: hello[26..34].starts_with(b"DOWNGRD"),
    }
}

fn block8(content: &[u8]) -> Vec<u8> {
    [&[u8::try_from(content.len()).unwrap()], content].concat()
}

fn block16(content: &[u8]) -> Vec<u8> {
    [&u16::try_from(content.len()).unwrap().to_be_bytes(), content].concat()
}
