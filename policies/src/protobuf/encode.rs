//! JSON to bytes: fields in the order of their numbers.

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::known::{self, Known};
use super::schema::{Field, Message, Schema, Shape, Type};
use super::wire::{self, put_group_end, put_tag};
use super::{LEVELS_MAX, OUT_BYTES_MAX};
use crate::json::Value;
use crate::varint::{self, zigzag};

/// A message in JSON as bytes.
///
/// # Errors
/// It is none of this message; what does not fit.
pub fn encode(schema: &Schema, message: usize, value: &Value) -> Result<Vec<u8>, String> {
    let mut encoder = Encoder { schema, out: Vec::new() };
    encoder.message(message, value, 0)?;
    Ok(encoder.out)
}

struct Encoder<'a> {
    schema: &'a Schema,
    out: Vec<u8>,
}

type Encoded = Result<(), String>;

/// Both alphabets, whether or not the end is padded.
const INDIFFERENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

fn bytes(value: &Value) -> Option<Vec<u8>> {
    let text = value.as_str()?;
    let alphabet = if text.contains(['-', '_']) { URL_SAFE } else { STANDARD };
    GeneralPurpose::new(&alphabet, INDIFFERENT).decode(text).ok()
}

/// A whole number, as a number or as a text.
fn whole(value: &Value) -> Option<i128> {
    let digits = match value {
        Value::Number(digits) => digits,
        Value::String(text) => text.as_str(),
        _ => return None,
    };
    if let Ok(number) = digits.parse::<i128>() {
        return Some(number);
    }
    let number: f64 = digits.parse().ok()?;
    // Up to 2^53 every whole number is exact.
    (number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0).then_some(number as i128)
}

fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Number(digits) => digits.parse().ok().filter(|number: &f64| number.is_finite()),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            text => text.parse().ok().filter(|number: &f64| number.is_finite()),
        },
        _ => None,
    }
}

fn single(value: f64) -> Option<f32> {
    let narrow = value as f32;
    (narrow.is_finite() || !value.is_finite()).then_some(narrow)
}

impl<'a> Encoder<'a> {
    fn message(&mut self, place: usize, value: &Value, level: usize) -> Encoded {
        if level > LEVELS_MAX || self.out.len() > OUT_BYTES_MAX {
            return Err("more values, or levels of them, than are allowed".into());
        }
        let message = self.schema.message(place)?;
        match (message.known, value) {
            (Some(known), _) => self.known(known, message, value, level),
            (None, Value::Object(members)) => {
                let members = members.iter().map(|(name, value)| (name.as_str(), value));
                self.members(message, members, level)
            }
            _ => Err(format!("a value that is no `{}`", message.name)),
        }
    }

    fn members<'v>(
        &mut self,
        message: &'a Message,
        members: impl Iterator<Item = (&'v str, &'v Value)>,
        level: usize,
    ) -> Encoded {
        let mut given: Vec<(usize, &Field, &Value)> = Vec::new();
        let mut taken = vec![false; message.oneofs];
        for (name, value) in members {
            let found = message.by_name.get(name).and_then(|place| Some((*place, message.fields.get(*place)?)));
            let (place, field) = found.ok_or_else(|| format!("`{name}` is no field of `{}`", message.name))?;
            if *value == Value::Null && !self.takes_null(field) {
                continue;
            }
            let oneof = field.oneof.and_then(|oneof| taken.get_mut(oneof));
            if oneof.is_some_and(|taken| std::mem::replace(taken, true)) {
                return Err(format!("`{name}` of `{}` excludes another one that is there", message.name));
            }
            given.push((place, field, value));
        }
        given.sort_by_key(|(place, ..)| *place);
        let mut required = 0;
        let mut last = None;
        for (place, field, value) in given {
            if last.replace(place) == Some(place) {
                return Err(format!("`{}` of `{}` is there in both spellings", field.name, message.name));
            }
            required += usize::from(field.shape == Shape::Required);
            let encoded = self.field(field, value, level);
            encoded.map_err(|reason| if level > 0 { reason } else { format!("`{}`: {reason}", field.name) })?;
        }
        if required == message.required {
            Ok(())
        } else {
            Err(format!("a required field of `{}` is missing", message.name))
        }
    }

    /// Whether `null` is a value, and does not stand for none.
    fn takes_null(&self, field: &Field) -> bool {
        match field.of {
            _ if !matches!(field.shape, Shape::Implicit | Shape::Optional | Shape::Required) => false,
            Type::Message(place) => {
                self.schema.messages.get(place).is_some_and(|message| message.known == Some(Known::Value))
            }
            Type::Enum(place) => self.schema.enums.get(place).is_some_and(|of| of.name == known::NULL),
            _ => false,
        }
    }

    fn field(&mut self, field: &'a Field, value: &Value, level: usize) -> Encoded {
        match (field.shape, value) {
            (Shape::Map(key), Value::Object(members)) => {
                for (name, value) in members {
                    put_tag(field.number, wire::BYTES, &mut self.out);
                    self.prefixed(|encoder| {
                        encoder.key(key, name)?;
                        encoder.tagged(2, field.of, value, level)
                    })?;
                }
                Ok(())
            }
            (Shape::Repeated { packed: true }, Value::Array(items)) if items.is_empty() => Ok(()),
            (Shape::Repeated { packed: true }, Value::Array(items)) => {
                put_tag(field.number, wire::BYTES, &mut self.out);
                self.prefixed(|encoder| items.iter().try_for_each(|item| encoder.scalar(field.of, item)))
            }
            (Shape::Repeated { packed: false }, Value::Array(items)) => {
                items.iter().try_for_each(|item| self.tagged(field.number, field.of, item, level))
            }
            (Shape::Map(_), _) => Err("a value that is no object".into()),
            (Shape::Repeated { .. }, _) => Err("a value that is no array".into()),
            (Shape::Implicit, value) => {
                let start = self.out.len();
                put_tag(field.number, field.of.wire(), &mut self.out);
                let behind = self.out.len();
                self.scalar(field.of, value)?;
                // Zeros, or the length of nothing: the default, which is not written.
                if self.out.iter().skip(behind).all(|byte| *byte == 0) {
                    self.out.truncate(start);
                }
                Ok(())
            }
            (Shape::Optional | Shape::Required, value) => self.tagged(field.number, field.of, value, level),
        }
    }

    fn tagged(&mut self, number: u32, of: Type, value: &Value, level: usize) -> Encoded {
        put_tag(number, of.wire(), &mut self.out);
        match of {
            Type::Message(place) => self.prefixed(|encoder| encoder.message(place, value, level + 1)),
            Type::Group(place) => {
                self.message(place, value, level + 1)?;
                put_group_end(number, &mut self.out);
                Ok(())
            }
            of => self.scalar(of, value),
        }
    }

    /// What is written, behind its length.
    fn prefixed(&mut self, write: impl FnOnce(&mut Self) -> Encoded) -> Encoded {
        let outer = std::mem::take(&mut self.out);
        let written = write(self);
        let inner = std::mem::replace(&mut self.out, outer);
        written?;
        self.put_bytes(&inner);
        Ok(())
    }

    fn put_bytes(&mut self, bytes: &[u8]) {
        varint::put(bytes.len() as u64, &mut self.out);
        self.out.extend_from_slice(bytes);
    }

    /// The key of an entry of a map.
    fn key(&mut self, of: Type, name: &str) -> Encoded {
        put_tag(1, of.wire(), &mut self.out);
        let value = match (of, name) {
            (Type::Bool, "true") => Value::Bool(true),
            (Type::Bool, "false") => Value::Bool(false),
            _ => Value::String(name.to_owned()),
        };
        self.scalar(of, &value).map_err(|_| format!("`{name}` is no key of its map"))
    }

    fn scalar(&mut self, of: Type, value: &Value) -> Encoded {
        let signed = |bits: u32| {
            let number = whole(value).and_then(|number| i64::try_from(number).ok());
            let number = number.filter(|number| bits == 64 || i32::try_from(*number).is_ok());
            number.ok_or_else(|| format!("a value that is no whole number of {bits} bits"))
        };
        let unsigned = |bits: u32| {
            let number = whole(value).and_then(|number| u64::try_from(number).ok());
            let number = number.filter(|number| bits == 64 || u32::try_from(*number).is_ok());
            number.ok_or_else(|| format!("a value that is no whole number of {bits} bits and no sign"))
        };
        match of {
            Type::Int32 => varint::put(signed(32)? as u64, &mut self.out),
            Type::Int64 => varint::put(signed(64)? as u64, &mut self.out),
            Type::Uint32 => varint::put(unsigned(32)?, &mut self.out),
            Type::Uint64 => varint::put(unsigned(64)?, &mut self.out),
            Type::Sint32 => varint::put(zigzag(signed(32)?), &mut self.out),
            Type::Sint64 => varint::put(zigzag(signed(64)?), &mut self.out),
            Type::Fixed32 => self.out.extend((unsigned(32)? as u32).to_le_bytes()),
            Type::Fixed64 => self.out.extend(unsigned(64)?.to_le_bytes()),
            Type::Sfixed32 => self.out.extend((signed(32)? as i32).to_le_bytes()),
            Type::Sfixed64 => self.out.extend(signed(64)?.to_le_bytes()),
            Type::Double => self.out.extend(float(value).ok_or("a value that is no number")?.to_le_bytes()),
            Type::Float => {
                let number = float(value).and_then(single).ok_or("a value that is no number of 32 bits")?;
                self.out.extend(number.to_le_bytes());
            }
            Type::Bool => {
                let Value::Bool(flag) = value else { return Err("a value that is no boolean".into()) };
                self.out.push(u8::from(*flag));
            }
            Type::String => {
                let text = value.as_str().ok_or("a value that is no text")?;
                self.put_bytes(text.as_bytes());
            }
            Type::Bytes => {
                let bytes = bytes(value).ok_or("a value that is no Base64")?;
                self.put_bytes(&bytes);
            }
            Type::Enum(place) => {
                let of = self.schema.enums.get(place).ok_or("no enumeration")?;
                let number = match value {
                    Value::Null if of.name == known::NULL => Some(0),
                    Value::String(name) => of.number_of(name),
                    value => whole(value).and_then(|number| i32::try_from(number).ok()),
                };
                let number = number.ok_or_else(|| format!("a value that is none of `{}`", of.name))?;
                varint::put(i64::from(number) as u64, &mut self.out);
            }
            Type::Message(_) | Type::Group(_) => return Err("a message where none is expected".into()),
        }
        Ok(())
    }

    /// A message that JSON has a form of its own for.
    fn known(&mut self, known: Known, message: &'a Message, value: &Value, level: usize) -> Encoded {
        let wrong = || format!("a value that is no `{}`", message.name);
        let field = |number: u32| message.field(number).map(|(_, field)| field).ok_or("no field");
        match (known, value) {
            (Known::Timestamp | Known::Duration, Value::String(text)) => {
                let read = if known == Known::Timestamp { known::read_time } else { known::read_duration };
                let (seconds, nanos) = read(text).ok_or_else(wrong)?;
                for (number, part) in [(1, seconds), (2, nanos)].into_iter().filter(|(_, part)| *part != 0) {
                    put_tag(number, wire::VARINT, &mut self.out);
                    varint::put(part as u64, &mut self.out);
                }
                Ok(())
            }
            (Known::Wrapper, value)
            | (Known::Struct, value @ Value::Object(_))
            | (Known::List, value @ Value::Array(_)) => self.field(field(1)?, value, level),
            (Known::Value, value) => {
                let number = match value {
                    Value::Null => 1,
                    Value::Number(_) => 2,
                    Value::String(_) => 3,
                    Value::Bool(_) => 4,
                    Value::Object(_) => 5,
                    Value::Array(_) => 6,
                };
                self.field(field(number)?, value, level)
            }
            (Known::Mask, Value::String(text)) => {
                for path in text.split(',').filter(|path| !path.is_empty()) {
                    put_tag(1, wire::BYTES, &mut self.out);
                    self.put_bytes(snake(path).as_bytes());
                }
                Ok(())
            }
            (Known::Any, Value::Object(members)) if members.is_empty() => Ok(()),
            (Known::Any, Value::Object(members)) => {
                let url = members.get("@type").and_then(Value::as_str).ok_or("an `Any` without `@type`")?;
                let name = url.rsplit('/').next().unwrap_or_default();
                let place = *self.schema.by_name.get(name).ok_or_else(|| format!("the schema has no `{name}`"))?;
                let inner = self.schema.message(place)?;
                put_tag(1, wire::BYTES, &mut self.out);
                self.put_bytes(url.as_bytes());
                put_tag(2, wire::BYTES, &mut self.out);
                self.prefixed(|encoder| match inner.known {
                    Some(_) => {
                        encoder.message(place, members.get("value").ok_or("an `Any` without `value`")?, level + 1)
                    }
                    None if level >= LEVELS_MAX => Err("more levels than are allowed".into()),
                    None => {
                        let members = members.iter().map(|(name, value)| (name.as_str(), value));
                        encoder.members(inner, members.filter(|(name, _)| *name != "@type"), level + 1)
                    }
                })
            }
            _ => Err(wrong()),
        }
    }
}

/// `aName` as `a_name`.
fn snake(path: &str) -> String {
    let mut out = String::with_capacity(path.len() + 4);
    for character in path.chars() {
        if character.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(character.to_ascii_lowercase());
    }
    out
}
