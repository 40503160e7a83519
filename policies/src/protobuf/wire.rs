//! The binary form: tags, numbers and lengths (Protocol Buffers, "Encoding").

use super::LEVELS_MAX;
use crate::varint;

/// A number of seven bits in a byte.
pub const VARINT: u8 = 0;
/// Eight bytes.
pub const FIXED64: u8 = 1;
/// Bytes behind their length.
pub const BYTES: u8 = 2;
/// A message up to the tag that ends it.
pub const GROUP: u8 = 3;
/// Four bytes.
pub const FIXED32: u8 = 5;
const GROUP_END: u8 = 4;

/// A value before it is known what it is.
#[derive(Clone, Copy, Debug)]
pub enum Raw<'a> {
    /// [`VARINT`]
    Varint(u64),
    /// [`FIXED64`]
    Fixed64(u64),
    /// [`FIXED32`]
    Fixed32(u32),
    /// [`BYTES`]
    Bytes(&'a [u8]),
    /// [`GROUP`]: what is between the tags.
    Group(&'a [u8]),
}

/// What is wrong with bytes.
pub type Read<T> = Result<T, &'static str>;

/// Reads from the front.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    /// What is left.
    pub bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or("the end within a value")?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| "the end within a value")
    }

    fn varint(&mut self) -> Read<u64> {
        varint::read(&mut self.bytes)
    }

    /// A number of a field, and the kind of bytes that follow; `None` at the end.
    fn tag(&mut self) -> Read<Option<(u32, u8)>> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let tag = u32::try_from(self.varint()?).map_err(|_| "a field's number that there is not")?;
        let number = tag >> 3;
        if number == 0 { Err("a field of the number 0") } else { Ok(Some((number, (tag & 7) as u8))) }
    }

    /// A field: its number, and its value; `None` at the end.
    pub fn field(&mut self) -> Read<Option<(u32, Raw<'a>)>> {
        let Some((number, kind)) = self.tag()? else { return Ok(None) };
        let raw = match kind {
            GROUP => Raw::Group(self.group(number)?),
            kind => self.value(kind)?,
        };
        Ok(Some((number, raw)))
    }

    /// A value that is no group.
    pub fn value(&mut self, kind: u8) -> Read<Raw<'a>> {
        Ok(match kind {
            VARINT => Raw::Varint(self.varint()?),
            FIXED64 => Raw::Fixed64(u64::from_le_bytes(self.array()?)),
            FIXED32 => Raw::Fixed32(u32::from_le_bytes(self.array()?)),
            BYTES => {
                let length = usize::try_from(self.varint()?).map_err(|_| "a length that there is not")?;
                Raw::Bytes(self.take(length)?)
            }
            _ => return Err("a kind of bytes that there is not"),
        })
    }

    /// What is in a group: up to the tag that ends it. Iterative: groups within it are nothing but open numbers.
    fn group(&mut self, number: u32) -> Read<&'a [u8]> {
        let whole = self.bytes;
        let mut open = vec![number];
        loop {
            let before = self.bytes.len();
            let (number, kind) = self.tag()?.ok_or("a group without an end")?;
            match kind {
                GROUP if open.len() > LEVELS_MAX => return Err("groups in one another, more than are allowed"),
                GROUP => open.push(number),
                GROUP_END if open.pop() != Some(number) => return Err("the end of a group that is not open"),
                GROUP_END if open.is_empty() => {
                    return whole.get(..whole.len() - before).ok_or("a group without an end");
                }
                GROUP_END => {}
                kind => drop(self.value(kind)?),
            }
        }
    }
}

/// Appends what is before the value of a field.
pub fn put_tag(number: u32, kind: u8, out: &mut Vec<u8>) {
    varint::put(u64::from(number) << 3 | u64::from(kind), out);
}

/// Appends what is behind a group.
pub fn put_group_end(number: u32, out: &mut Vec<u8>) {
    put_tag(number, GROUP_END, out);
}
