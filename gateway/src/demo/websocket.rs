//! A WebSocket that echoes (RFC 6455): the server's half of the handshake, and frames of one fragment.

use std::io::{self, Read, Write};

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

/// RFC 6455 section 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Longest payload that is echoed; a longer one closes the connection with 1009.
const PAYLOAD_MAX: u64 = 64 * 1024;

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Answers the handshake and echoes until the client closes.
///
/// ```text
///  FIN·opcode │ MASK·length (7) │ length (16 or 64)? │ mask (4) │ payload
/// ```
pub fn serve(stream: &mut (impl Read + Write), key: &str) -> io::Result<()> {
    let accept = accept(key);
    write!(
        stream,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    )?;
    stream.flush()?;
    loop {
        let mut start = [0; 2];
        stream.read_exact(&mut start)?;
        let [first, second] = start;
        let length = match second & 0x7f {
            126 => {
                let mut bytes = [0; 2];
                stream.read_exact(&mut bytes)?;
                u64::from(u16::from_be_bytes(bytes))
            }
            127 => {
                let mut bytes = [0; 8];
                stream.read_exact(&mut bytes)?;
                u64::from_be_bytes(bytes)
            }
            short => u64::from(short),
        };
        if length > PAYLOAD_MAX {
            return send(stream, CLOSE, &1009_u16.to_be_bytes());
        }
        // A client masks (section 5.1), and this echo takes no fragments.
        if second & 0x80 == 0 || first & 0x80 == 0 {
            return send(stream, CLOSE, &1002_u16.to_be_bytes());
        }
        let mut mask = [0; 4];
        stream.read_exact(&mut mask)?;
        let mut payload = Vec::new();
        Read::by_ref(stream).take(length).read_to_end(&mut payload)?;
        if (payload.len() as u64) < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= mask;
        }
        match first & 0x0f {
            opcode @ (TEXT | BINARY) => send(stream, opcode, &payload)?,
            PING => send(stream, PONG, &payload)?,
            PONG => {}
            CLOSE => return send(stream, CLOSE, &payload),
            _ => return send(stream, CLOSE, &1002_u16.to_be_bytes()),
        }
    }
}

fn send(stream: &mut impl Write, opcode: u8, payload: &[u8]) -> io::Result<()> {
    let mut frame = vec![0x80 | opcode];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ ..=125), _) => frame.push(length),
        (_, Ok(length)) => {
            frame.push(126);
            frame.extend(length.to_be_bytes());
        }
        _ => {
            frame.push(127);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend(payload);
    stream.write_all(&frame)?;
    stream.flush()
}

/// `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key` (section 4.2.2).
fn accept(key: &str) -> String {
    base64(digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{GUID}").as_bytes()).as_ref())
}

/// RFC 4648 section 4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = (0..3).fold(0_u32, |group, at| group << 8 | u32::from(chunk.get(at).copied().unwrap_or(0)));
        for at in 0..4_usize {
            let sextet = (group >> (18 - 6 * at)) as usize & 0x3f;
            text.push(if at <= chunk.len() { char::from(ALPHABET[sextet]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc_is_accepted() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn base64_pads() {
        assert_eq!((base64(b"f"), base64(b"fo"), base64(b"foo")), ("Zg==".into(), "Zm8=".into(), "Zm9v".into()));
    }

    /// Gives `input`, keeps what is written.
    struct Conversation {
        input: io::Cursor<Vec<u8>>,
        output: Vec<u8>,
    }

    impl Read for Conversation {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.input.read(buffer)
        }
    }

    impl Write for Conversation {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.output.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn echoed(input: &[u8]) -> Vec<u8> {
        let mut conversation = Conversation { input: io::Cursor::new(input.to_vec()), output: Vec::new() };
        let _ = serve(&mut conversation, "key");
        let head_end = conversation.output.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        conversation.output.split_off(head_end)
    }

    #[test]
    fn frames_are_echoed_unmasked_and_a_close_ends_it() {
        // RFC 6455 section 5.7: a masked "Hello", then a masked close without a code.
        let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        let close = [0x88, 0x80, 0, 0, 0, 0];
        let answer = echoed(&[hello.as_slice(), &close].concat());
        assert_eq!(answer, [b"\x81\x05Hello".as_slice(), &[0x88, 0x00]].concat());
    }

    #[test]
    fn what_it_cannot_echo_closes_with_the_reason() {
        let too_long = [0x82, 0xff, 0, 0, 0, 0, 0, 2, 0, 0];
        assert_eq!(echoed(&too_long), [0x88, 2, 0x03, 0xf1], "1009");
        let unmasked = [0x81, 0x01, b'x'];
        assert_eq!(echoed(&unmasked), [0x88, 2, 0x03, 0xea], "1002");
    }
}
