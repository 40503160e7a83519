//! Bytes to JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::schema::{Kind, Named, Schema, Type};
use super::{Form, LEVELS_MAX, OUT_BYTES_MAX, VALUES_MAX};
use crate::json::write_string;
use crate::varint::{self, unzigzag};

/// A value as JSON.
///
/// # Errors
/// The bytes are no value of the schema, or too much would come of them.
pub fn decode(schema: &Schema, bytes: &[u8], form: Form) -> Result<String, &'static str> {
    let mut decoder = Decoder { schema, form, bytes, values: 0, out: String::with_capacity(bytes.len() * 2) };
    decoder.value(&schema.root, 0)?;
    if decoder.bytes.is_empty() { Ok(decoder.out) } else { Err("bytes behind the value") }
}

struct Decoder<'a> {
    schema: &'a Schema,
    form: Form,
    /// What is left.
    bytes: &'a [u8],
    values: usize,
    out: String,
}

type Decoded<T> = Result<T, &'static str>;

impl<'a> Decoder<'a> {
    fn take(&mut self, length: usize) -> Decoded<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or("the end within a value")?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Decoded<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| "the end within a value")
    }

    /// A number in zigzag, seven bits in a byte.
    fn long(&mut self) -> Decoded<i64> {
        varint::read(&mut self.bytes).map(unzigzag)
    }

    fn prefixed(&mut self) -> Decoded<&'a [u8]> {
        let length = usize::try_from(self.long()?).map_err(|_| "a length that is negative")?;
        self.take(length)
    }

    fn text(&mut self) -> Decoded<&'a str> {
        std::str::from_utf8(self.prefixed()?).map_err(|_| "a text that is not UTF-8")
    }

    fn put(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// Bytes as characters up to U+00FF.
    fn put_bytes(&mut self, bytes: &[u8]) {
        if self.form.base64 {
            self.out.push('"');
            STANDARD.encode_string(bytes, &mut self.out);
            self.out.push('"');
            return;
        }
        let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        write_string(&text, &mut self.out);
    }

    /// Numbers that JSON does not have are texts.
    fn put_float(&mut self, number: f64, shown: impl FnOnce() -> Option<String>) {
        match shown().filter(|_| number.is_finite()) {
            Some(shown) => self.put(&shown),
            None if number.is_nan() => self.put("\"NaN\""),
            None => self.put(if number > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" }),
        }
    }

    fn value(&mut self, of: &Type, level: usize) -> Decoded<()> {
        self.values += 1;
        if level > LEVELS_MAX || self.values > VALUES_MAX || self.out.len() > OUT_BYTES_MAX {
            return Err("more values, or levels of them, than are allowed");
        }
        match of {
            Type::Null => self.put("null"),
            Type::Boolean => match self.array()? {
                [0] => self.put("false"),
                [1] => self.put("true"),
                [_] => return Err("a boolean that is neither"),
            },
            Type::Int => {
                let number = i32::try_from(self.long()?).map_err(|_| "an int of more than 32 bits")?;
                self.put(&number.to_string());
            }
            Type::Long => {
                let number = self.long()?;
                self.put(&number.to_string());
            }
            Type::Float => {
                let number = f32::from_le_bytes(self.array()?);
                self.put_float(number.into(), || serde_json::to_string(&number).ok());
            }
            Type::Double => {
                let number = f64::from_le_bytes(self.array()?);
                self.put_float(number, || serde_json::to_string(&number).ok());
            }
            Type::Bytes => {
                let bytes = self.prefixed()?;
                self.put_bytes(bytes);
            }
            Type::String => {
                let text = self.text()?;
                write_string(text, &mut self.out);
            }
            Type::Named(number) => return self.named(*number, level),
            Type::Array(items) => {
                self.put("[");
                self.blocks(|decoder, first| {
                    decoder.put(if first { "" } else { "," });
                    decoder.value(items, level + 1)
                })?;
                self.put("]");
            }
            Type::Map(values) => {
                self.put("{");
                self.blocks(|decoder, first| {
                    decoder.put(if first { "" } else { "," });
                    let key = decoder.text()?;
                    write_string(key, &mut decoder.out);
                    decoder.put(":");
                    decoder.value(values, level + 1)
                })?;
                self.put("}");
            }
            Type::Union(branches) => {
                let branch = usize::try_from(self.long()?).ok().and_then(|number| branches.get(number));
                let branch = branch.ok_or("a branch that the union does not have")?;
                if *branch == Type::Null || self.form.unwrapped {
                    return self.value(branch, level + 1);
                }
                self.put("{");
                write_string(self.schema.name(branch), &mut self.out);
                self.put(":");
                self.value(branch, level + 1)?;
                self.put("}");
            }
        }
        Ok(())
    }

    fn named(&mut self, number: usize, level: usize) -> Decoded<()> {
        let schema = self.schema;
        match schema.named.get(number) {
            Some(Named { kind: Kind::Record(fields), .. }) => {
                self.put("{");
                let mut first = true;
                for field in fields {
                    let before = self.out.len();
                    self.put(if first { "" } else { "," });
                    write_string(&field.name, &mut self.out);
                    self.put(":");
                    let start = self.out.len();
                    self.value(&field.of, level + 1)?;
                    if self.form.omit_nulls && self.out.get(start..) == Some("null") {
                        self.out.truncate(before);
                    } else {
                        first = false;
                    }
                }
                self.put("}");
            }
            Some(Named { kind: Kind::Enum(symbols), .. }) => {
                let symbol = usize::try_from(self.long()?).ok().and_then(|number| symbols.get(number));
                write_string(symbol.ok_or("a symbol that the enumeration does not have")?, &mut self.out);
            }
            Some(Named { kind: Kind::Fixed(size), .. }) => {
                let bytes = self.take(*size)?;
                self.put_bytes(bytes);
            }
            None => return Err("no type"),
        }
        Ok(())
    }

    /// The items of an array or a map, block by block.
    fn blocks(&mut self, mut item: impl FnMut(&mut Self, bool) -> Decoded<()>) -> Decoded<()> {
        let mut first = true;
        loop {
            let mut count = self.long()?;
            if count < 0 {
                // The block's size follows, for those who pass over it.
                self.long()?;
                count = count.checked_neg().ok_or("a block of too many")?;
            }
            if count == 0 {
                return Ok(());
            }
            // What takes no byte counts as a value; it ends there.
            for _ in 0..count {
                item(self, first)?;
                first = false;
            }
        }
    }
}
