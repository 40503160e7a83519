//! What a broker sends, before the client library reads it (AMQP 1.0, sections 1.6 and 2.3).
//!
//! The library reads values in each other by calling itself, as deep as they were made: in nine bytes for a level, whoever publishes a message
//! could nest some thousands of lists in it, and the stack of the thread is used up at less than ten thousand. That ends the process.
//! It believes sizes, too: it makes room for 4 GiB where a message of several frames says that so many bytes follow. And a value of one byte
//! takes about a hundred.
//!
//! A message that goes deeper than [`DEPTH_MAX`], has more than [`VALUES_MAX`] values or a size beyond [`MESSAGE_BYTES_MAX`], or is none, is
//! spoiled here from that place on: what follows is a format code that there is not, so the library reads no further, and the message is rejected
//! as any other that nobody could be given.
//!
//! ```text
//!   transfer │ 00 53 77 d0 … d0 … d0 …      ─▶      transfer │ 00 53 77 d0 … d0 … 05 05 05 05
//! ```

use crate::sifter::Sieve;

/// How deep values may lie in each other.
pub const DEPTH_MAX: usize = 32;

/// Values of a message, those in others included: the library takes about a hundred bytes for each.
pub const VALUES_MAX: u64 = 65_536;

/// Bytes of a message. The broker is told; it is more than it takes from anybody.
pub const MESSAGE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Bytes of a frame: what the library tells the broker.
const FRAME_BYTES_MAX: usize = 256 * 1024;
/// Size, offset of the body, type and channel.
const HEAD_BYTES: usize = 8;
/// Of the list of a `transfer` (section 2.7.5).
const HANDLE: usize = 0;
const MORE: usize = 5;
const ABORTED: usize = 9;
const TRANSFER: u8 = 0x14;
const DESCRIBED: u8 = 0x00;
/// The four bits of a format code that tell a map from a list.
const MAP: u8 = 1;
/// No format code. Where the beginning of a size has been handed on, it makes one of it that is large enough for a count, and 84 MB at most.
const SPOILED: u8 = 0x05;

/// What comes is no frame of AMQP.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the broker does not speak AMQP 1.0: {0}")]
pub struct Malformed(&'static str);

/// The frames of a connection.
#[derive(Debug, Default)]
pub struct Frames {
    /// The delivery whose next part is to come: its channel and handle.
    open: Option<([u8; 2], Vec<u8>)>,
    scan: Scan,
    spoiled: bool,
}

impl Sieve for Frames {
    type Malformed = Malformed;

    fn next(&mut self, rest: &mut [u8]) -> Result<Option<usize>, Malformed> {
        let Self { open, scan, spoiled } = self;
        let Some(&[a, b, c, d, offset, kind, channel @ ..]) = rest.first_chunk::<HEAD_BYTES>() else { return Ok(None) };
        // The version of a protocol.
        if [a, b, c, d] == *b"AMQP" {
            return Ok(Some(HEAD_BYTES));
        }
        let (size, start) = (u32::from_be_bytes([a, b, c, d]) as usize, usize::from(offset) * 4);
        if !(HEAD_BYTES..=FRAME_BYTES_MAX).contains(&size) || !(HEAD_BYTES..=size).contains(&start) {
            return Err(Malformed("a frame of a size that none has"));
        }
        if rest.len() < size {
            return Ok(None);
        }
        let body = rest.get_mut(start..size).unwrap_or_default();
        if body.is_empty() {
            return Ok(Some(size));
        }
        let Ok(Some(length)) = Scan::default().next(body) else { return Err(Malformed("a frame that says nothing")) };
        let (performative, payload) = body.split_at_mut(length);
        if kind != 0 {
            return Ok(Some(size));
        }
        let Some((code, fields)) = read(performative) else { return Err(Malformed("a frame of no known kind")) };
        if code != TRANSFER {
            return if payload.is_empty() { Ok(Some(size)) } else { Err(Malformed("a frame with too much in it")) };
        }
        let delivery = (channel, field(fields, HANDLE).to_vec());
        if open.as_ref().is_some_and(|open| *open != delivery) {
            return Err(Malformed("a delivery within another"));
        }
        let is_true = |number| matches!(field(fields, number), [0x41] | [0x56, 1]);
        let more = is_true(MORE) && !is_true(ABORTED);
        if let Some(at) = if *spoiled { Some(0) } else { scan.wrong(payload) } {
            payload.get_mut(at..).unwrap_or_default().fill(SPOILED);
            *spoiled = true;
        }
        *open = more.then_some(delivery);
        if open.is_none() {
            (*scan, *spoiled) = (Scan::default(), false);
        }
        Ok(Some(size))
    }
}

/// What a frame is, by its descriptor, and the fields of its list.
fn read(performative: &[u8]) -> Option<(u8, &[u8])> {
    let (code, list) = match performative {
        [DESCRIBED, 0x53, code, list @ ..] => (*code, list),
        [DESCRIBED, 0x80, 0, 0, 0, 0, 0, 0, 0, code, list @ ..] => (*code, list),
        _ => return None,
    };
    match list {
        [0x45] => Some((code, &[])),
        [0xc0, _, _, fields @ ..] => Some((code, fields)),
        [0xd0, _, _, _, _, _, _, _, _, fields @ ..] => Some((code, fields)),
        _ => None,
    }
}

/// A field of a list, as it is written; empty where there is none.
fn field(mut fields: &[u8], number: usize) -> &[u8] {
    for _ in 0..number {
        let Ok(Some(length)) = Scan::default().next(fields) else { return &[] };
        fields = fields.get(length..).unwrap_or_default();
    }
    let Ok(Some(length)) = Scan::default().next(fields) else { return &[] };
    fields.get(..length).unwrap_or_default()
}

/// How far values have been followed that come in pieces.
#[derive(Debug, Default)]
struct Scan {
    /// Bytes so far.
    at: u64,
    /// Bytes still to come of a value that holds no others.
    skip: u64,
    /// What has come of a constructor, with the size and the count behind it.
    head: [u8; 10],
    filled: usize,
    /// Values so far.
    values: u64,
    /// What lies in what.
    open: Vec<Open>,
}

#[derive(Debug)]
enum Open {
    /// A descriptor and a value: how many are to come.
    Described(u8),
    /// A list, a map or an array: where it ends, values to come, and their constructor, if all have the same.
    Holds { end: u64, left: u64, same: Option<u8> },
}

/// It is no value, lies too deep, or is one too many or too large.
struct Odd;

impl Scan {
    /// Follows values to the end of the first that lies in no other, and tells where that is. `None`: it is not there yet.
    ///
    /// # Errors
    /// The place where it goes wrong.
    fn next(&mut self, bytes: &[u8]) -> Result<Option<usize>, usize> {
        let mut used = 0;
        loop {
            if self.skip > 0 {
                let rest = bytes.len() - used;
                let count = usize::try_from(self.skip).unwrap_or(usize::MAX).min(rest);
                used += count;
                self.at += count as u64;
                self.skip -= count as u64;
                if self.skip > 0 {
                    return Ok(None);
                }
                if self.ended().map_err(|Odd| used)? {
                    return Ok(Some(used));
                }
                continue;
            }
            let Some(byte) = bytes.get(used) else { return Ok(None) };
            let constructor = used.saturating_sub(self.filled);
            used += 1;
            if self.head(*byte).map_err(|Odd| constructor)? {
                return Ok(Some(used));
            }
        }
    }

    /// Takes a byte of a constructor and what belongs to it. Whether it was the last of a value that lies in no other.
    fn head(&mut self, byte: u8) -> Result<bool, Odd> {
        let same = match self.open.last() {
            Some(Open::Holds { same, .. }) => *same,
            _ => None,
        };
        self.at += 1;
        *self.head.get_mut(self.filled).ok_or(Odd)? = byte;
        self.filled += 1;
        let own = usize::from(same.is_none());
        let kind = same.unwrap_or(self.head[0]);
        // The four bits of a format code that tell its form (figure 1.5).
        let operands = match kind >> 4 {
            0 if kind == DESCRIBED => 0,
            4..=9 => 0,
            0xa => 1,
            0xb => 4,
            0xc => 2,
            0xd => 8,
            0xe => 3,
            0xf => 9,
            _ => return Err(Odd),
        };
        if matches!(kind >> 4, 0 | 0xc..=0xf) && self.open.len() >= DEPTH_MAX {
            return Err(Odd);
        }
        if self.filled < own + operands {
            // The library must not see a size that is too small for what belongs to it, nor even the beginning of one that is too large.
            let width = if matches!(kind >> 4, 0xb | 0xd | 0xf) { 4 } else { 1 };
            let size = self.head.get(own..self.filled).unwrap_or_default();
            let announced = size.iter().fold(0, |size, byte| size << 8 | usize::from(*byte));
            let small = size.len() == width && announced + width < operands;
            let large = width == 4 && size.first().is_some_and(|first| u64::from(*first) > MESSAGE_BYTES_MAX >> 24);
            return if small || large { Err(Odd) } else { Ok(false) };
        }
        let head = self.head;
        self.filled = 0;
        self.count(1)?;
        let number = |from: usize, length: usize| {
            let bytes = head.get(own + from..own + from + length).unwrap_or_default();
            bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
        };
        match kind >> 4 {
            0 => {
                self.open.push(Open::Described(2));
                return Ok(false);
            }
            4 => {}
            form @ 5..=9 => self.skip = self.sized(1 << (form - 5))?,
            0xa => self.skip = self.sized(number(0, 1))?,
            0xb => self.skip = self.sized(number(0, 4))?,
            form @ (0xc | 0xd) => {
                let width = if form == 0xc { 1 } else { 4 };
                let (size, count) = (number(0, width), number(width, width));
                // The library takes the values of a map two at a time, and goes on beyond it where one is left.
                if kind & 0xf == MAP && count % 2 > 0 {
                    return Err(Odd);
                }
                return self.holds(size, count, width as u64, None);
            }
            form => {
                let width = if form == 0xe { 1 } else { 4 };
                let of = head.get(own + 2 * width).copied().unwrap_or_default();
                return self.holds(number(0, width), number(width, width), width as u64 + 1, Some(of));
            }
        }
        if self.skip == 0 { self.ended() } else { Ok(false) }
    }

    /// A list, map or array begins, whose size is counted from behind itself and has `besides` bytes for the count and the constructor.
    fn holds(&mut self, size: u64, count: u64, besides: u64, same: Option<u8>) -> Result<bool, Odd> {
        let content = self.sized(size.checked_sub(besides).ok_or(Odd)?)?;
        match same.map(|of| of >> 4) {
            // All of a length: nothing lies in them.
            Some(form @ 5..=9) if count.checked_mul(1 << (form - 5)) == Some(content) => {
                self.count(count)?;
                self.skip = content;
            }
            Some(4) if content == 0 => self.count(count)?,
            None | Some(0xa | 0xb) if count <= content && (count > 0 || content == 0) => {
                if count > 0 {
                    self.open.push(Open::Holds { end: self.at + content, left: count, same });
                    return Ok(false);
                }
            }
            _ => return Err(Odd),
        }
        if self.skip == 0 { self.ended() } else { Ok(false) }
    }

    /// There are so many more values.
    fn count(&mut self, values: u64) -> Result<(), Odd> {
        self.values = self.values.saturating_add(values);
        if self.values > VALUES_MAX { Err(Odd) } else { Ok(()) }
    }

    /// A size that there is room for, in the message and in what the value lies in.
    fn sized(&self, size: u64) -> Result<u64, Odd> {
        let around = self.open.iter().rev().find_map(|open| match open {
            Open::Holds { end, .. } => Some(*end),
            Open::Described(_) => None,
        });
        if self.at + size > around.unwrap_or(MESSAGE_BYTES_MAX) { Err(Odd) } else { Ok(size) }
    }

    /// A value has ended, and maybe those that it lies in. Whether there are none left.
    fn ended(&mut self) -> Result<bool, Odd> {
        while let Some(last) = self.open.last_mut() {
            match last {
                Open::Described(left) => {
                    *left -= 1;
                    if *left > 0 {
                        return Ok(false);
                    }
                }
                Open::Holds { end, left, .. } => {
                    *left -= 1;
                    match self.at.cmp(end) {
                        std::cmp::Ordering::Less if *left > 0 => return Ok(false),
                        std::cmp::Ordering::Equal if *left == 0 => {}
                        _ => return Err(Odd),
                    }
                }
            }
            self.open.pop();
        }
        Ok(true)
    }

    /// Follows a part of a message, and tells where it goes wrong. What is cut off the library finds by itself.
    fn wrong(&mut self, payload: &[u8]) -> Option<usize> {
        let mut used = 0;
        loop {
            match self.next(payload.get(used..).unwrap_or_default()) {
                Ok(Some(count)) => used += count,
                Ok(None) => return None,
                Err(at) => return Some(used + at),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sifter::bytewise;

    const NULL: u8 = 0x40;

    fn sifted(bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
        bytewise::<Frames>(bytes)
    }

    fn frame(body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32 + 8).to_be_bytes()[..], &[2, 0, 0, 1], body].concat()
    }

    /// The head of a frame with a part of a message.
    fn transfer(more: bool) -> Vec<u8> {
        let fields = [0x43, 0x52, 7, 0xa0, 1, 9, 0x43, 0x42, if more { 0x41 } else { 0x42 }];
        [&[0x00, 0x53, TRANSFER, 0xc0, fields.len() as u8 + 1, 6][..], &fields].concat()
    }

    /// Lists in lists around null.
    fn lists(levels: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for level in (0..levels).rev() {
            out.push(0xd0);
            out.extend_from_slice(&(level as u32 * 9 + 5).to_be_bytes());
            out.extend_from_slice(&[0, 0, 0, 1]);
        }
        out.push(NULL);
        out
    }

    fn message(levels: usize) -> Vec<u8> {
        [&[0x00, 0x53, 0x77][..], &lists(levels)].concat()
    }

    #[test]
    fn frames_pass_as_they_are() {
        let symbols = [0xf0, 0, 0, 0, 10, 0, 0, 0, 2, 0xa3, 2, b'a', b'b', 1, b'c'];
        let open = [&[0x00, 0x53, 0x10, 0xc0, 23, 4, 0xa1, 1, b'x', NULL][..], &symbols, &[0x60, 0, 9]].concat();
        let text = [0x00, 0x53, 0x77, 0xa1, 2, b'h', b'i'];
        let all = [
            b"AMQP\x03\x01\0\0".to_vec(),
            [&[0, 0, 0, 12, 2, 1, 0, 0][..], &[0x00, 0x53, 0x41, 0x45]].concat(),
            b"AMQP\0\x01\0\0".to_vec(),
            frame(&open),
            frame(b""),
            frame(&[&transfer(false)[..], &text].concat()),
            frame(&[&transfer(true)[..], &message(DEPTH_MAX - 1)[..50]].concat()),
            frame(&[&transfer(false)[..], &message(DEPTH_MAX - 1)[50..]].concat()),
            frame(&[&transfer(false)[..], &text].concat()),
        ];
        let all = all.concat();
        assert_eq!(
            sifted(&all).as_deref().map(<[u8]>::escape_ascii).map(|text| text.to_string()),
            Ok(all.escape_ascii().to_string())
        );
    }

    #[test]
    fn a_message_that_goes_too_deep_is_none_and_the_next_is_one() {
        let deep = message(20_000);
        let head = transfer(true).len() + 8;
        let cut = 100_001;
        let parts = [
            frame(&[&transfer(true)[..], &deep[..cut]].concat()),
            frame(&[&transfer(false)[..], &deep[cut..]].concat()),
        ];
        let next = frame(&[&transfer(false)[..], &message(3)].concat());
        let out = sifted(&[&parts.concat()[..], &next].concat()).expect("frames");
        assert_eq!(out.len(), deep.len() + 2 * head + next.len());
        let payload = [&out[head..head + cut], &out[2 * head + cut..out.len() - next.len()]].concat();
        assert_eq!(payload[..3 + 9 * (DEPTH_MAX - 1)], deep[..3 + 9 * (DEPTH_MAX - 1)]);
        assert!(payload[3 + 9 * (DEPTH_MAX - 1)..].iter().all(|byte| *byte == SPOILED));
        assert_eq!(out[out.len() - next.len()..], next);
        // Descriptions of descriptions, lists that hold less or more than they say, arrays of lists, and a key without a value.
        for payload in [
            &[DESCRIBED; 50][..],
            &[0xc0, 1, 1, 0xc0, 1, 1],
            &[0xc0, 3, 1, 0x41, 0x41],
            &[0xc0, 2, 9, NULL],
            &[0xe0, 4, 1, 0xc0, 1, 0],
            &[0xc1, 4, 3, 0x41, 0x41, 0x41],
            &[0x3f],
            &[0xc0, 4, 1, 0xa1, 2, b'h', b'i'],
        ] {
            let whole = frame(&[&transfer(false)[..], payload].concat());
            assert_ne!(sifted(&whole).expect("a frame"), whole, "{payload:x?}");
        }
    }

    /// What is handed on of a message in two parts, the second beginning at `cut`.
    fn halves(payload: &[u8], cut: usize) -> Vec<u8> {
        let (first, second) = payload.split_at(cut);
        let parts = [[&transfer(true)[..], first].concat(), [&transfer(false)[..], second].concat()];
        let out = sifted(&[frame(&parts[0]), frame(&parts[1])].concat()).expect("frames");
        let head = 8 + transfer(true).len();
        [&out[head..head + cut], &out[2 * head + cut..]].concat()
    }

    #[test]
    fn the_library_believes_no_size_and_no_count_that_is_too_large() {
        let nulls =
            |count: u64| [&[0x00, 0x53, 0x77, 0xf0, 0, 0, 0, 5][..], &(count as u32).to_be_bytes(), &[NULL]].concat();
        assert_eq!(halves(&nulls(VALUES_MAX - 4), 9), nulls(VALUES_MAX - 4));
        assert_ne!(halves(&nulls(VALUES_MAX), 9), nulls(VALUES_MAX));
        let many = [&[0x00, 0x53, 0x77, 0xd0][..], &[0, 2, 0, 4, 0, 2, 0, 0], &[NULL; 0x2_0000]].concat();
        let out = halves(&many, 90_000);
        assert!(out.iter().filter(|byte| **byte == NULL).count() < VALUES_MAX as usize);
        assert_eq!(out.last(), Some(&SPOILED));
        for size in [[0xff; 4], [0x02, 0xff, 0xff, 0xff], [0x7f, 0, 0, 0]] {
            let data = [&[0x00, 0x53, 0x75, 0xb0][..], &size, &[b'x'; 100]].concat();
            for cut in 0..data.len() {
                let out = halves(&data, cut);
                let size = out[4..].first_chunk().map(|size| u32::from_be_bytes(*size)).expect("a size");
                assert!(out[3] == SPOILED || u64::from(size) < 3 * MESSAGE_BYTES_MAX, "{size} with a cut at {cut}");
            }
        }
    }

    #[test]
    fn a_size_without_room_for_its_count_is_not_handed_on() {
        for (array, width, least) in
            [(&[0xc0, 0, 0][..], 1, 1), (&[0xe0, 1, 0, 0x41], 1, 2), (&[0xd0, 0, 0, 0, 3, 0, 0, 0, 0], 4, 4)]
        {
            let list = [&[0x00, 0x53, 0x77][..], array, &[NULL; 9]].concat();
            for cut in 0..list.len() {
                let out = halves(&list, cut);
                let size = out[4..4 + width].iter().fold(0, |size, byte| size << 8 | u32::from(*byte));
                assert!(out[3] == SPOILED || size >= least, "{size} with a cut at {cut}");
            }
        }
    }

    #[test]
    fn behind_a_delivery_that_is_aborted_another_begins() {
        let fields = [0x43, 0x52, 7, 0xa0, 1, 9, 0x43, 0x42, 0x41, NULL, NULL, NULL, 0x41];
        let aborted = [&[0x00, 0x53, TRANSFER, 0xc0, fields.len() as u8 + 1, 10][..], &fields].concat();
        let begun = [&transfer(true)[..], &[0x00, 0x53, 0x75, 0xb0, 0, 0, 9, 0, b'x']].concat();
        let deep = [&transfer(false)[..], &message(DEPTH_MAX + 1)].concat();
        let all = [frame(&begun), frame(&aborted), frame(&deep)].concat();
        let out = sifted(&all).expect("frames");
        assert_eq!(out.last(), Some(&SPOILED));
        assert_eq!(out.len(), all.len());
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        for bytes in [
            b"HTTP/1.1 400".to_vec(),
            vec![0, 0, 0, 7, 2, 0, 0, 0, 0],
            vec![0, 0, 0, 9, 1, 0, 0, 0, 0],
            vec![0, 4, 0, 1, 2, 0, 0, 0, 0],
            frame(&[0x00, 0xa3, 1, b'x', 0x45]),
            frame(&[0x00, 0x53, 0x10, 0xc0, 9]),
            frame(&[0x00, 0x53, 0x10, 0x45, NULL]),
            frame(&[&[0x00, 0x53, 0x10][..], &lists(40)].concat()),
            [frame(&transfer(true)), frame(&[0x00, 0x53, TRANSFER, 0xc0, 3, 1, 0x52, 9])].concat(),
        ] {
            assert!(sifted(&bytes).is_err(), "{}", bytes.escape_ascii());
        }
    }
}
