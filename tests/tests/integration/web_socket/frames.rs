//! Frames (RFC 6455 section 5.2) as bytes.
//!
//! ```text
//!   FIN RSV OPCODE | MASK LENGTH | 0, 2 or 8 bytes of length | 4 bytes of mask, from clients | payload
//! ```

use ringway_tests::Peer;

pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// What the frames of the tests' clients are masked with.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub fin: bool,
    /// The three reserved bits, RSV1 the highest.
    pub rsv: u8,
    pub opcode: u8,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> Frame {
        Frame { fin: true, rsv: 0, opcode, payload: payload.into() }
    }

    pub fn text(payload: impl Into<Vec<u8>>) -> Frame {
        Frame::new(TEXT, payload)
    }

    pub fn binary(payload: impl Into<Vec<u8>>) -> Frame {
        Frame::new(BINARY, payload)
    }

    pub fn ping(payload: impl Into<Vec<u8>>) -> Frame {
        Frame::new(PING, payload)
    }

    pub fn pong(payload: impl Into<Vec<u8>>) -> Frame {
        Frame::new(PONG, payload)
    }

    pub fn close(code: u16, reason: impl AsRef<[u8]>) -> Frame {
        Frame::new(CLOSE, [&code.to_be_bytes(), reason.as_ref()].concat())
    }

    /// More of the message follows.
    pub fn unfinished(mut self) -> Frame {
        self.fin = false;
        self
    }

    pub fn reserved(mut self, bits: u8) -> Frame {
        self.rsv = bits;
        self
    }

    /// As a client sends it.
    pub fn masked(&self) -> Vec<u8> {
        let mut bytes = self.start(0x80);
        bytes.extend_from_slice(&MASK);
        bytes.extend(self.payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }

    /// As a server sends it.
    pub fn plain(&self) -> Vec<u8> {
        [self.start(0), self.payload.clone()].concat()
    }

    fn start(&self, mask: u8) -> Vec<u8> {
        let length = self.payload.len();
        let mut bytes = vec![u8::from(self.fin) << 7 | self.rsv << 4 | self.opcode];
        match length {
            0..=125 => bytes.push(mask | length as u8),
            126..=0xffff => {
                bytes.push(mask | 126);
                bytes.extend_from_slice(&(length as u16).to_be_bytes());
            }
            _ => {
                bytes.push(mask | 127);
                bytes.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        bytes
    }
}

/// A message in frames of at most `size` bytes.
pub fn fragments(opcode: u8, payload: &[u8], size: usize) -> Vec<Frame> {
    let pieces: Vec<&[u8]> = payload.chunks(size).collect();
    let last = pieces.len() - 1;
    let frame = |(at, piece): (usize, &&[u8])| Frame {
        fin: at == last,
        rsv: 0,
        opcode: if at == 0 { opcode } else { CONTINUATION },
        payload: piece.to_vec(),
    };
    pieces.iter().enumerate().map(frame).collect()
}

/// The next frame and whether it was masked; nothing when the connection ends before it is whole.
#[track_caller]
pub fn read(peer: &mut Peer) -> Option<(Frame, bool)> {
    let start = peer.try_exactly(2)?;
    let masked = start[1] & 0x80 != 0;
    let length = match start[1] & 0x7f {
        126 => u16::from_be_bytes(peer.try_exactly(2)?.try_into().unwrap()).into(),
        127 => u64::from_be_bytes(peer.try_exactly(8)?.try_into().unwrap()),
        short => short.into(),
    };
    let mask = if masked { peer.try_exactly(4)? } else { Vec::new() };
    let mut payload = peer.try_exactly(length.try_into().unwrap())?;
    for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    let frame = Frame { fin: start[0] & 0x80 != 0, rsv: start[0] >> 4 & 7, opcode: start[0] & 15, payload };
    Some((frame, masked))
}

#[test]
fn frames_are_those_of_the_rfc() {
    // RFC 6455 section 5.7.
    assert_eq!(Frame::text("Hello").plain(), b"\x81\x05Hello");
    assert_eq!(Frame::text("Hello").masked(), b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
    let halves = fragments(TEXT, b"Hello", 3);
    assert_eq!((halves[0].plain(), halves[1].plain()), (b"\x01\x03Hel".to_vec(), b"\x80\x02lo".to_vec()));
    assert_eq!(Frame::binary([0; 256]).plain()[..4], *b"\x82\x7e\x01\x00");
    assert_eq!(Frame::binary([0; 65_536]).plain()[..10], *b"\x82\x7f\0\0\0\0\0\x01\0\0");
}
