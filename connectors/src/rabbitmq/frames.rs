//! What a broker sends, before the client library reads it (AMQP 0-9-1, sections 2.3.5 and 4.2).
//!
//! The library reads tables and arrays in each other by calling itself, as deep as they were made: in five bytes for a level, whoever
//! publishes a message could nest some thousands in its headers, and the stack of the library's thread is used up at about two thousand.
//! That ends the process. What lies deeper than [`DEPTH_MAX`] becomes a byte array here, which is written alike but for its type:
//!
//! ```text
//!   'A' 00 00 00 0a …ten bytes…    ─▶    'x' 00 00 00 0a …ten bytes…
//! ```
//!
//! So the message is still one, and comes no second time.

use crate::sifter::Sieve;

/// How deep tables and arrays may lie in the headers of a message; [`convert`](super::convert) shows less.
pub const DEPTH_MAX: usize = 16;

/// Bytes of a frame that may have a table in it. Brokers send 128 KiB at most, unless told otherwise.
const FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Type, channel and size.
const HEAD_BYTES: usize = 7;
/// What a broker answers with that speaks another version.
const VERSION_BYTES: usize = 8;

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const HEARTBEAT: u8 = 8;

/// What comes is no frame, or none that a broker sends.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the broker does not speak AMQP 0-9-1: {0}")]
pub struct Malformed(&'static str);

/// The frames of a connection.
#[derive(Debug, Default)]
pub struct Frames {
    /// Bytes still to come of a frame that has no tables: it is handed on as it comes.
    passing: usize,
}

impl Sieve for Frames {
    type Malformed = Malformed;

    fn next(&mut self, rest: &mut [u8]) -> Result<Option<usize>, Malformed> {
        if self.passing > 0 {
            let count = self.passing.min(rest.len());
            self.passing -= count;
            return Ok(Some(count).filter(|count| *count > 0));
        }
        if rest.first() == Some(&b'A') {
            return Ok(Some(VERSION_BYTES).filter(|whole| *whole <= rest.len()));
        }
        let [kind, _, _, size @ ..] = &*rest else { return Ok(None) };
        let (kind, Some(size)) = (*kind, size.first_chunk()) else { return Ok(None) };
        let whole = HEAD_BYTES + u32::from_be_bytes(*size) as usize + 1;
        match kind {
            BODY | HEARTBEAT => {
                self.passing = whole - HEAD_BYTES;
                return Ok(Some(HEAD_BYTES));
            }
            METHOD | HEADER if whole <= FRAME_BYTES_MAX => {}
            METHOD | HEADER => return Err(Malformed("a frame that is too large")),
            _ => return Err(Malformed("a frame of no known type")),
        }
        if rest.len() < whole {
            return Ok(None);
        }
        let payload = rest.get_mut(HEAD_BYTES..whole - 1).unwrap_or_default();
        if kind == HEADER { properties(payload) } else { method(payload) }?;
        Ok(Some(whole))
    }
}

/// A method. The only one of a broker that has a table is `connection.start`, which tells what the broker is.
fn method(payload: &mut [u8]) -> Result<(), Malformed> {
    let Some(([class, method], arguments)) = numbers(payload) else { return Err(Malformed("a method without a name")) };
    match (class, method) {
        (10, 10) => {
            let table = arguments.get_mut(2..).and_then(sized);
            let (table, _) = table.ok_or(Malformed("properties that are cut off"))?;
            entries(table, DEPTH_MAX)
        }
        // Those of clients that have tables: `start-ok`; `exchange` and `queue` declare, bind and unbind; `basic.consume`.
        (10, 11) | (40, 10 | 30 | 40) | (50, 10 | 20 | 50) | (60, 20) => Err(Malformed("a method of clients")),
        _ => Ok(()),
    }
}

/// The head of a message: class, weight, bytes of the body, and the properties that its flags announce.
fn properties(payload: &mut [u8]) -> Result<(), Malformed> {
    let cut = Malformed("the head of a message that is cut off");
    let Some((flags, mut rest)) = payload.get_mut(12..).and_then(numbers::<1>) else { return Err(cut) };
    let [flags] = flags;
    // Content type and content encoding; then come the headers.
    for flag in [1 << 15, 1 << 14] {
        if flags & flag != 0 {
            rest = short(rest).ok_or(Malformed("a property that is cut off"))?;
        }
    }
    if flags & 1 << 13 == 0 {
        return Ok(());
    }
    let (table, _) = sized(rest).ok_or(Malformed("headers that are cut off"))?;
    entries(table, DEPTH_MAX)
}

const NO_TABLE: Malformed = Malformed("a table that is none");

/// The entries of a table.
fn entries(mut rest: &mut [u8], depth: usize) -> Result<(), Malformed> {
    while !rest.is_empty() {
        rest = short(rest).ok_or(NO_TABLE)?;
        rest = value(rest, depth)?;
    }
    Ok(())
}

/// What is behind the value that stands here (section 4.2.5; the types are those that RabbitMQ writes).
fn value(bytes: &mut [u8], depth: usize) -> Result<&mut [u8], Malformed> {
    let (kind, rest) = bytes.split_first_mut().ok_or(NO_TABLE)?;
    let length = match *kind {
        b'V' => 0,
        b't' | b'b' | b'B' => 1,
        b's' | b'U' | b'u' => 2,
        b'I' | b'i' | b'f' => 4,
        b'D' => 5,
        b'L' | b'l' | b'd' | b'T' => 8,
        b'S' | b'x' | b'A' | b'F' => {
            let (mut within, behind) = sized(rest).ok_or(NO_TABLE)?;
            match *kind {
                b'A' | b'F' if depth == 0 => *kind = b'x',
                b'F' => entries(within, depth - 1)?,
                b'A' => {
                    while !within.is_empty() {
                        within = value(within, depth - 1)?;
                    }
                }
                _ => {}
            }
            return Ok(behind);
        }
        _ => return Err(NO_TABLE),
    };
    rest.get_mut(length..).ok_or(NO_TABLE)
}

/// Numbers of two bytes, and what is behind them.
fn numbers<const N: usize>(bytes: &mut [u8]) -> Option<([u16; N], &mut [u8])> {
    let (numbers, rest) = bytes.split_at_mut_checked(2 * N)?;
    let mut numbers = numbers.chunks_exact(2).map(|two| two.iter().fold(0, |sum, byte| sum << 8 | u16::from(*byte)));
    Some((std::array::from_fn(|_| numbers.next().unwrap_or_default()), rest))
}

/// What is behind a short string.
fn short(bytes: &mut [u8]) -> Option<&mut [u8]> {
    let (length, rest) = bytes.split_first_mut()?;
    rest.get_mut(usize::from(*length)..)
}

/// What is behind its length in four bytes, and what is behind that.
fn sized(bytes: &mut [u8]) -> Option<(&mut [u8], &mut [u8])> {
    let (length, rest) = bytes.split_first_chunk_mut()?;
    rest.split_at_mut_checked(u32::from_be_bytes(*length) as usize)
}

#[cfg(test)]
mod tests {
    use lapin::types::{AMQPValue, FieldTable, parsing::parse_field_table};

    use super::*;
    use crate::sifter::bytewise;

    fn sifted(bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
        bytewise::<Frames>(bytes)
    }

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        [&[kind, 0, 1][..], &(payload.len() as u32).to_be_bytes(), payload, &[0xCE]].concat()
    }

    fn long(kind: &[u8], within: &[u8]) -> Vec<u8> {
        [kind, &(within.len() as u32).to_be_bytes(), within].concat()
    }

    /// The head of a message with a content type and this table of headers.
    fn head(table: &[u8]) -> Vec<u8> {
        let payload = [&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0xA0, 0][..], b"\x03a/b", &long(b"", table)].concat();
        frame(HEADER, &payload)
    }

    /// A header `x` of arrays in arrays.
    fn nested(levels: usize) -> Vec<u8> {
        let inner = |left: usize| [&b"A"[..], &(5 * left as u32).to_be_bytes()].concat();
        let arrays: Vec<u8> = (0..levels).rev().flat_map(inner).collect();
        [&b"\x01x"[..], &arrays].concat()
    }

    fn depth(value: &AMQPValue) -> usize {
        match value {
            AMQPValue::FieldArray(items) => 1 + items.as_slice().iter().map(depth).max().unwrap_or(0),
            AMQPValue::FieldTable(table) => 1 + deepest(table),
            _ => 0,
        }
    }

    fn deepest(table: &FieldTable) -> usize {
        table.inner().values().map(depth).max().unwrap_or(0)
    }

    #[test]
    fn frames_pass_as_they_are() {
        let table = [
            &b"\x01a"[..],
            &long(b"S", b"text"),
            b"\x01bt\x01\x01cI\0\0\0\x07\x01dD\x02\0\0\0\x09\x01eV\x01fT\0\0\0\0\0\0\0\x01\x01gs\0\x01",
            b"\x01h",
            &long(b"F", &[b"\x01i", &*long(b"A", b"b\x01B\x02")].concat()),
        ]
        .concat();
        let start =
            [&[0, 10, 0, 10, 0, 9][..], &long(b"", &table), &long(b"", b"PLAIN"), &long(b"", b"en_US")].concat();
        let all = [
            b"AMQP\0\0\x09\x01".to_vec(),
            frame(METHOD, &start),
            frame(METHOD, &[0, 60, 0, 60, 1, b't', 0, 0]),
            head(&table),
            frame(BODY, b"{}"),
            frame(HEARTBEAT, b""),
        ]
        .concat();
        assert_eq!(sifted(&all).as_deref(), Ok(&*all));
    }

    #[test]
    fn what_lies_too_deep_becomes_bytes_and_the_message_stays_one() {
        let table = |bytes: Vec<u8>| -> FieldTable {
            // Behind the frame's head, the message's, and the content type.
            let (_, table) = parse_field_table(&bytes[HEAD_BYTES + 14 + 4..bytes.len() - 1]).expect("a table");
            table
        };
        let plain = head(&nested(DEPTH_MAX));
        assert_eq!(sifted(&plain).as_deref(), Ok(&*plain));
        // As many as fit into a frame of 128 KiB.
        let read = table(sifted(&head(&nested(26_000))).expect("frames"));
        assert_eq!(deepest(&read), DEPTH_MAX);
        assert_eq!(read.inner().len(), 1);
    }

    #[test]
    fn what_no_broker_sends_is_refused() {
        let declare = [&[0, 50, 0, 10, 0, 0, 1, b'q', 0][..], &long(b"", &nested(9))].concat();
        for bytes in [
            frame(7, b""),
            b"HTTP/1.1 400".to_vec(),
            frame(METHOD, &declare),
            frame(METHOD, &[0, 60, 0]),
            frame(METHOD, &[0, 10, 0, 10, 0, 9, 0, 0, 0, 9, 1]),
            frame(HEADER, &[0, 60]),
            head(b"\x01x"),
            head(b"\x01xZ"),
            head(b"\x01xA\0\0\0\x09"),
            head(b"\x01xI\0"),
            [&[HEADER, 0, 1][..], &[0xFF; 4]].concat(),
        ] {
            assert!(sifted(&bytes).is_err(), "{}", bytes.escape_ascii());
        }
    }
}
