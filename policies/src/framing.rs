//! Where schemas of serialized values are, and what stands before a serialized value: nothing, or what Confluent's serializers write (a zero, and the schema's id in four bytes).

use schemars::JsonSchema;
use serde::Deserialize;

use crate::varint::{self, unzigzag, zigzag};

/// Messages in one another that lead to one: as many as a schema may have.
const INDEXES_MAX: usize = 32;

/// Where a schema is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Location {
    /// In the definition.
    #[default]
    Inline,
    /// In a schema registry.
    SchemaRegistry,
}

/// How a serialized value is framed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// As Confluent's serializers do it. With a schema of the definition the id is not looked at, and written as 0.
    #[default]
    Confluent,
    /// Not at all.
    Simple,
}

impl Format {
    /// What is behind the frame, and the schema's id in it; 0 where there is no frame.
    ///
    /// # Errors
    /// There is no frame, and there has to be one.
    pub fn unframed(self, bytes: &[u8]) -> Result<(u32, &[u8]), &'static str> {
        match (self, bytes) {
            (Self::Simple, bytes) => Ok((0, bytes)),
            (Self::Confluent, [0, a, b, c, d, rest @ ..]) => Ok((u32::from_be_bytes([*a, *b, *c, *d]), rest)),
            _ => Err("no frame of Confluent's serialization: `serializationFormat` may have to be `simple`"),
        }
    }

    /// The frame for a schema of this id.
    pub fn head(self, id: u32) -> Vec<u8> {
        let mut head = Vec::new();
        if self == Self::Confluent {
            head.push(0);
            head.extend(id.to_be_bytes());
        }
        head
    }

    /// Behind the frame of a message of Protocol Buffers: where its type stands in the file; the first one where there is no frame.
    ///
    /// # Errors
    /// There are no such indexes.
    pub fn indexes(self, bytes: &[u8]) -> Result<(Vec<usize>, &[u8]), &'static str> {
        const WRONG: &str = "indexes of a message that there are not";
        if self == Self::Simple {
            return Ok((vec![0], bytes));
        }
        let mut rest = bytes;
        let mut next = || usize::try_from(unzigzag(varint::read(&mut rest)?)).map_err(|_| WRONG);
        let indexes = match next()? {
            0 => vec![0],
            count if count > INDEXES_MAX => return Err(WRONG),
            count => (0..count).map(|_| next()).collect::<Result<_, _>>()?,
        };
        Ok((indexes, rest))
    }

    /// The same to be written, of the first type of a file: its short form.
    pub fn first_index(self, out: &mut Vec<u8>) {
        if self == Self::Confluent {
            varint::put(zigzag(0), out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_as_it_is_written() {
        let mut bytes = Format::Confluent.head(0x0102_0304);
        Format::Confluent.first_index(&mut bytes);
        bytes.push(9);
        assert_eq!(bytes, [0, 1, 2, 3, 4, 0, 9]);
        let (id, rest) = Format::Confluent.unframed(&bytes).unwrap();
        assert_eq!((id, Format::Confluent.indexes(rest)), (0x0102_0304, Ok((vec![0], &[9][..]))));
        // Two indexes: 1 and 3.
        assert_eq!(Format::Confluent.indexes(&[4, 2, 6, 9]), Ok((vec![1, 3], &[9][..])));
        assert_eq!(Format::Simple.unframed(&bytes), Ok((0, &bytes[..])));
        for hostile in [&[][..], &[1], &[0xfe, 0xff, 0xff, 0xff, 0x0f], &[4, 2], &[2, 1], &[0x80; 11], &[66]] {
            assert!(Format::Confluent.indexes(hostile).is_err(), "{hostile:?}");
        }
        for hostile in [&[][..], &[0, 0, 0, 0], &[1, 0, 0, 0, 0]] {
            assert!(Format::Confluent.unframed(hostile).is_err(), "{hostile:?}");
        }
    }
}
