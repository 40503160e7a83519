//! What fuzzers call: replies of a Redis, whatever comes and however it is cut.

use bytes::{Bytes, BytesMut};

use crate::redis::resp::{self, Malformed, Reply};

/// Bytes of a reply's lines, and of what is read behind it at once.
const BESIDES_MAX: usize = 4096;
/// Replies within one.
const WITHIN_MAX: usize = 64;
/// Inputs that are read byte by byte, too.
const BYTEWISE_MAX: usize = 1024;

/// The replies in these pieces, and what is left or wrong behind them.
fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>, bytes_max: usize) -> (Vec<Reply>, Result<Bytes, Malformed>) {
    let (mut buffer, mut replies) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match resp::decode(&mut buffer, bytes_max) {
                Ok(Some(reply)) => replies.push(reply),
                Ok(None) => break,
                Err(malformed) => return (replies, Err(malformed)),
            }
        }
        let kept_max = bytes_max + 2 * BESIDES_MAX;
        assert!(buffer.len() <= kept_max, "{} bytes are kept for a reply of {bytes_max}", buffer.len());
    }
    (replies, Ok(buffer.freeze()))
}

/// How many replies one is, and how many bytes it holds.
fn weigh(reply: &Reply) -> (usize, usize) {
    match reply {
        Reply::Status(text) | Reply::Bytes(text) => (1, text.len()),
        // What is no UTF-8 becomes three bytes for one.
        Reply::Error(text) => (1, text.len() / 3),
        Reply::Int(_) | Reply::Nil => (1, 0),
        Reply::List(parts) => parts.iter().map(weigh).fold((1, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1)),
    }
}

/// The first byte says how much a reply may have, and the second how the rest is cut.
pub fn redis(data: &[u8]) {
    let [most, cut, rest @ ..] = data else { return };
    let bytes_max = usize::from(*most) * 4;
    let whole = read(std::iter::once(rest), bytes_max);
    for reply in &whole.0 {
        let (count, bytes) = weigh(reply);
        assert!(count <= WITHIN_MAX + 1 && bytes <= bytes_max + BESIDES_MAX, "{count} replies of {bytes} bytes");
    }
    assert_eq!(read(rest.chunks(usize::from(*cut) * 7 + 16), bytes_max), whole, "in pieces");
    if rest.len() <= BYTEWISE_MAX {
        assert_eq!(read(rest.chunks(1), bytes_max), whole, "byte by byte");
    }
    // A command says what it is made of, and nothing else; as a reply it is the list of its parts.
    let parts: Vec<&[u8]> = rest.splitn(WITHIN_MAX, |byte| *byte == *cut).collect();
    let mut written = BytesMut::new();
    resp::encode(&mut written, &parts);
    let wanted = Reply::List(parts.iter().map(|part| Reply::Bytes(Bytes::copy_from_slice(part))).collect());
    assert_eq!(resp::decode(&mut written, rest.len()), Ok(Some(wanted)));
    assert!(written.is_empty(), "{} bytes more than the command", written.len());
}
