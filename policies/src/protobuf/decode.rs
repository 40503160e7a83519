//! Bytes to JSON.
//!
//! A message is read once: what is found of it goes, with its place in the bytes, to a list that all levels share, and from there, in the order of
//! the fields' numbers, to the text. Parts of one message that lie apart are read behind one another, which is what merging them means.

use std::cmp::Ordering;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use indexmap::IndexMap;

use super::known::{self, Known};
use super::schema::{Field, Message, Schema, Shape, Type};
use super::wire::{self, Raw, Read, Reader};
use super::{LEVELS_MAX, OUT_BYTES_MAX, VALUES_MAX};
use crate::json::write_string;
use crate::varint::unzigzag;

/// How JSON is written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Printing {
    /// Whether fields are written that are not there, and have a default.
    pub defaults: bool,
    /// Whether names are those of the file, and not `lowerCamelCase`.
    pub proto_names: bool,
    /// Whether maps are written in the order of their keys.
    pub sorted: bool,
    /// Whether there are no spaces and line breaks.
    pub compact: bool,
}

/// A message as JSON.
///
/// # Errors
/// The bytes are none of this message, or too much would come of them.
pub fn decode(schema: &Schema, message: usize, bytes: &[u8], printing: Printing) -> Result<String, &'static str> {
    let out = String::with_capacity(bytes.len() * 2);
    let mut decoder = Decoder { schema, printing, found: Vec::new(), values: 0, indent: 0, out };
    decoder.message(message, &[Raw::Bytes(bytes)], 0)?;
    Ok(decoder.out)
}

#[derive(Clone, Copy)]
struct Found<'a> {
    /// Its place among the message's fields.
    field: usize,
    raw: Raw<'a>,
}

struct Decoder<'a> {
    schema: &'a Schema,
    printing: Printing,
    /// What was found of the messages that are being written, the innermost last.
    found: Vec<Found<'a>>,
    values: usize,
    indent: usize,
    out: String,
}

/// Whether a field can have this value; what cannot is passed over as an unknown field is.
fn fits(field: &Field, raw: &Raw<'_>) -> bool {
    let kind = match raw {
        Raw::Varint(_) => wire::VARINT,
        Raw::Fixed64(_) => wire::FIXED64,
        Raw::Fixed32(_) => wire::FIXED32,
        Raw::Bytes(_) => wire::BYTES,
        Raw::Group(_) => wire::GROUP,
    };
    match field.shape {
        Shape::Map(_) => kind == wire::BYTES,
        Shape::Repeated { .. } if field.of.is_packable() => kind == wire::BYTES || kind == field.of.wire(),
        _ => kind == field.of.wire(),
    }
}

/// What a value is whose bytes are not there.
fn absent(of: Type) -> Raw<'static> {
    match of.wire() {
        wire::VARINT => Raw::Varint(0),
        wire::FIXED64 => Raw::Fixed64(0),
        wire::FIXED32 => Raw::Fixed32(0),
        _ => Raw::Bytes(&[]),
    }
}

fn text(bytes: &[u8]) -> Read<&str> {
    std::str::from_utf8(bytes).map_err(|_| "a text that is not UTF-8")
}

impl<'a> Decoder<'a> {
    fn count(&mut self, level: usize) -> Read<()> {
        self.values += 1;
        if level > LEVELS_MAX || self.values > VALUES_MAX || self.out.len() > OUT_BYTES_MAX {
            return Err("more values, or levels of them, than are allowed");
        }
        Ok(())
    }

    fn put(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn break_line(&mut self) {
        if !self.printing.compact {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n("  ", self.indent));
        }
    }

    fn open(&mut self) {
        self.put("{");
        self.indent += 1;
    }

    fn close(&mut self) {
        self.indent = self.indent.saturating_sub(1);
        self.break_line();
        self.put("}");
    }

    /// The name of a member, behind a comma if it is not the first.
    fn name(&mut self, name: &str, first: &mut bool) {
        if !std::mem::take(first) {
            self.put(",");
        }
        self.break_line();
        write_string(name, &mut self.out);
        self.put(if self.printing.compact { ":" } else { ": " });
    }

    fn message(&mut self, place: usize, pieces: &[Raw<'a>], level: usize) -> Read<()> {
        self.count(level)?;
        let message = self.schema.message(place)?;
        let start = self.found.len();
        self.collect(message, pieces)?;
        match message.known {
            Some(known) => self.known(known, message, start, level)?,
            None => {
                self.open();
                self.members(message, start, true, level)?;
                self.close();
            }
        }
        self.found.truncate(start);
        Ok(())
    }

    /// Puts what is found of a message behind what is found already, in the order of its fields.
    fn collect(&mut self, message: &Message, pieces: &[Raw<'a>]) -> Read<()> {
        let start = self.found.len();
        for piece in pieces {
            let (Raw::Bytes(bytes) | Raw::Group(bytes)) = piece else { return Err("no message") };
            let mut reader = Reader { bytes };
            while let Some((number, raw)) = reader.field()? {
                self.count(0)?;
                if let Some((field, _)) = message.field(number).filter(|(_, field)| fits(field, &raw)) {
                    self.found.push(Found { field, raw });
                }
            }
        }
        if message.oneofs > 0 {
            self.choose(message, start);
        }
        self.found.get_mut(start..).unwrap_or_default().sort_by_key(|found| found.field);
        Ok(())
    }

    /// Leaves of each `oneof` the member that came last.
    fn choose(&mut self, message: &Message, start: usize) {
        let oneof = |field: usize| message.fields.get(field).and_then(|field| field.oneof);
        // The field, and from where on it is that one.
        let mut chosen = vec![(usize::MAX, 0); message.oneofs];
        for (at, found) in self.found.iter().enumerate().skip(start) {
            let Some(last) = oneof(found.field).and_then(|oneof| chosen.get_mut(oneof)) else { continue };
            if last.0 != found.field {
                *last = (found.field, at);
            }
        }
        let mut kept = start;
        for at in start..self.found.len() {
            let Some(found) = self.found.get(at).copied() else { break };
            let last = oneof(found.field).and_then(|oneof| chosen.get(oneof));
            if last.is_none_or(|(_, from)| at >= *from) {
                if let Some(place) = self.found.get_mut(kept) {
                    *place = found;
                }
                kept += 1;
            }
        }
        self.found.truncate(kept);
    }

    /// Members of an object, from what was found of a message.
    fn members(&mut self, message: &'a Message, start: usize, mut first: bool, level: usize) -> Read<()> {
        let end = self.found.len();
        let (mut at, mut place, mut required) = (start, 0, 0);
        loop {
            let next = self.found.get(at).filter(|_| at < end).map(|found| found.field);
            let now = if self.printing.defaults { Some(place) } else { next };
            let Some((now, field)) = now.and_then(|now| Some((now, message.fields.get(now)?))) else { break };
            place = now + 1;
            let from = at;
            while at < end && self.found.get(at).is_some_and(|found| found.field == now) {
                at += 1;
            }
            required += usize::from(field.shape == Shape::Required && from < at);
            let name = if self.printing.proto_names { &field.name } else { &field.json_name };
            if self.is_there(field, from, at) {
                self.name(name, &mut first);
                self.field(field, from, at, level)?;
            } else if self.printing.defaults {
                self.count(level)?;
                let default = match field.shape {
                    Shape::Repeated { .. } => Some("[]"),
                    Shape::Map(_) => Some("{}"),
                    _ => field.default.as_deref(),
                };
                if let Some(default) = default {
                    self.name(name, &mut first);
                    self.put(default);
                }
            }
        }
        if required == message.required { Ok(()) } else { Err("a required field is missing") }
    }

    fn is_there(&self, field: &Field, from: usize, to: usize) -> bool {
        let found = self.found.get(from..to).unwrap_or_default();
        match field.shape {
            Shape::Implicit => found.last().is_some_and(|found| match found.raw {
                Raw::Varint(number) | Raw::Fixed64(number) => number != 0,
                Raw::Fixed32(number) => number != 0,
                Raw::Bytes(bytes) | Raw::Group(bytes) => !bytes.is_empty(),
            }),
            Shape::Repeated { .. } if field.of.is_packable() => {
                found.iter().any(|found| !matches!(found.raw, Raw::Bytes([])))
            }
            _ => !found.is_empty(),
        }
    }

    fn raw(&self, at: usize) -> Read<Raw<'a>> {
        self.found.get(at).map(|found| found.raw).ok_or("nothing was found")
    }

    /// The values of a field, which were found there.
    fn field(&mut self, field: &'a Field, from: usize, to: usize, level: usize) -> Read<()> {
        match field.shape {
            Shape::Map(key) => self.map(field, key, from, to, level),
            Shape::Repeated { .. } => self.list(field, from, to, level),
            _ => {
                let last = self.raw(to.saturating_sub(1))?;
                match field.of {
                    Type::Message(place) | Type::Group(place) if to - from > 1 => {
                        let pieces: Vec<_> = (from..to).map(|at| self.raw(at)).collect::<Read<_>>()?;
                        self.message(place, &pieces, level + 1)
                    }
                    of => self.value(of, last, level),
                }
            }
        }
    }

    fn list(&mut self, field: &'a Field, from: usize, to: usize, level: usize) -> Read<()> {
        self.put("[");
        let mut first = true;
        for at in from..to {
            match self.raw(at)? {
                Raw::Bytes(packed) if field.of.is_packable() => {
                    let mut reader = Reader { bytes: packed };
                    while !reader.bytes.is_empty() {
                        self.count(level)?;
                        let raw = reader.value(field.of.wire())?;
                        self.item(field.of, raw, &mut first, level)?;
                    }
                }
                raw => self.item(field.of, raw, &mut first, level)?,
            }
        }
        self.put("]");
        Ok(())
    }

    fn item(&mut self, of: Type, raw: Raw<'a>, first: &mut bool, level: usize) -> Read<()> {
        if !std::mem::take(first) {
            self.put(if self.printing.compact { "," } else { ", " });
        }
        self.value(of, raw, level)
    }

    fn map(&mut self, field: &'a Field, key: Type, from: usize, to: usize, level: usize) -> Read<()> {
        // Of entries with the same key the last counts.
        let mut entries: IndexMap<String, Raw<'a>> = IndexMap::new();
        for at in from..to {
            let Raw::Bytes(bytes) = self.raw(at)? else { continue };
            let mut reader = Reader { bytes };
            let (mut name, mut value) = (absent(key), absent(field.of));
            while let Some((number, raw)) = reader.field()? {
                self.count(level)?;
                match (number, raw) {
                    (1, raw) if same_kind(key, &raw) => name = raw,
                    (2, raw) if same_kind(field.of, &raw) => value = raw,
                    _ => {}
                }
            }
            entries.insert(shown_key(key, name)?, value);
        }
        if self.printing.sorted {
            entries.sort_by(|one, _, other, _| by_key(key, one, other));
        }
        self.open();
        let mut first = true;
        for (name, value) in entries {
            self.name(&name, &mut first);
            self.value(field.of, value, level)?;
        }
        self.close();
        Ok(())
    }

    /// One value.
    fn value(&mut self, of: Type, raw: Raw<'a>, level: usize) -> Read<()> {
        match (of, raw) {
            (Type::Message(place) | Type::Group(place), raw) => return self.message(place, &[raw], level + 1),
            (Type::String, Raw::Bytes(bytes)) => write_string(text(bytes)?, &mut self.out),
            (Type::Bytes, Raw::Bytes(bytes)) => {
                self.put("\"");
                STANDARD.encode_string(bytes, &mut self.out);
                self.put("\"");
            }
            (Type::Double, Raw::Fixed64(bits)) => {
                let number = f64::from_bits(bits);
                self.put_float(number, serde_json::to_string(&number).ok());
            }
            (Type::Float, Raw::Fixed32(bits)) => {
                let number = f32::from_bits(bits);
                self.put_float(number.into(), serde_json::to_string(&number).ok());
            }
            (Type::Enum(place), Raw::Varint(number)) => {
                let of = self.schema.enums.get(place).ok_or("no enumeration")?;
                // Negative numbers have ten bytes.
                let number = number as i32;
                match of.name_of(number) {
                    _ if of.name == known::NULL => self.put("null"),
                    Some(name) => write_string(name, &mut self.out),
                    None => self.put(&number.to_string()),
                }
            }
            (Type::Bool, Raw::Varint(number)) => self.put(if number == 0 { "false" } else { "true" }),
            (of, raw) => {
                let (digits, is_long) = shown_whole(of, raw)?;
                let quote = if is_long { "\"" } else { "" };
                self.put(quote);
                self.put(&digits);
                self.put(quote);
            }
        }
        Ok(())
    }

    /// Numbers that JSON does not have are texts.
    fn put_float(&mut self, number: f64, shown: Option<String>) {
        match shown.filter(|_| number.is_finite()) {
            Some(shown) => self.put(&shown),
            None if number.is_nan() => self.put("\"NaN\""),
            None => self.put(if number > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" }),
        }
    }

    /// A message that JSON has a form of its own for; what was found of it begins at `start`.
    fn known(&mut self, known: Known, message: &'a Message, start: usize, level: usize) -> Read<()> {
        let end = self.found.len();
        let last = |decoder: &Self, number: u32| {
            let (place, _) = message.field(number)?;
            let found = decoder.found.get(start..end)?.iter().rev().find(|found| found.field == place)?;
            Some(found.raw)
        };
        let number = |decoder: &Self, number: u32| match last(decoder, number) {
            Some(Raw::Varint(number)) => number as i64,
            _ => 0,
        };
        let bytes = |decoder: &Self, number: u32| match last(decoder, number) {
            Some(Raw::Bytes(bytes)) => bytes,
            _ => &[][..],
        };
        match known {
            Known::Timestamp => {
                let shown = known::shown_time(number(self, 1), i64::from(number(self, 2) as i32));
                write_string(&shown.ok_or("a time that there is not")?, &mut self.out);
            }
            Known::Duration => {
                let shown = known::shown_duration(number(self, 1), i64::from(number(self, 2) as i32));
                write_string(&shown.ok_or("a duration that there is not")?, &mut self.out);
            }
            Known::Wrapper => {
                let field = message.fields.first().ok_or("a wrapper without a value")?;
                let raw = last(self, 1).unwrap_or(absent(field.of));
                self.value(field.of, raw, level)?;
            }
            Known::Struct | Known::List => {
                let field = message.fields.first().ok_or("no field")?;
                self.field(field, start, end, level)?;
            }
            Known::Value => {
                let chosen = self.found.get(start).filter(|_| start < end).map(|found| found.field);
                match chosen.and_then(|place| message.fields.get(place)) {
                    Some(field) => self.field(field, start, end, level)?,
                    None => self.put("null"),
                }
            }
            Known::Mask => {
                let paths = (start..end).map(|at| match self.raw(at)? {
                    Raw::Bytes(bytes) => Ok(super::link::camel(text(bytes)?)),
                    _ => Err("a path of no text"),
                });
                let paths = paths.collect::<Read<Vec<_>>>()?;
                write_string(&paths.join(","), &mut self.out);
            }
            Known::Any => self.any(text(bytes(self, 1))?, bytes(self, 2), level)?,
        }
        Ok(())
    }

    /// A message that says of what type it is.
    fn any(&mut self, url: &str, bytes: &'a [u8], level: usize) -> Read<()> {
        self.open();
        let mut first = true;
        if !url.is_empty() {
            self.name("@type", &mut first);
            write_string(url, &mut self.out);
            let name = url.rsplit('/').next().unwrap_or_default();
            let place = *self.schema.by_name.get(name).ok_or("a type in `Any` that the schema does not have")?;
            let message = self.schema.message(place)?;
            if message.known.is_some() {
                self.name("value", &mut first);
                self.message(place, &[Raw::Bytes(bytes)], level + 1)?;
            } else {
                self.count(level + 1)?;
                let start = self.found.len();
                self.collect(message, &[Raw::Bytes(bytes)])?;
                self.members(message, start, first, level + 1)?;
                self.found.truncate(start);
            }
        }
        self.close();
        Ok(())
    }
}

fn same_kind(of: Type, raw: &Raw<'_>) -> bool {
    matches!(
        (of.wire(), raw),
        (wire::VARINT, Raw::Varint(_))
            | (wire::FIXED64, Raw::Fixed64(_))
            | (wire::FIXED32, Raw::Fixed32(_))
            | (wire::BYTES, Raw::Bytes(_))
    )
}

/// A whole number, and whether JSON has it as a text: those of 64 bits.
fn shown_whole(of: Type, raw: Raw<'_>) -> Read<(String, bool)> {
    Ok(match (of, raw) {
        (Type::Int32, Raw::Varint(number)) => ((number as i32).to_string(), false),
        (Type::Uint32, Raw::Varint(number)) => ((number as u32).to_string(), false),
        (Type::Sint32, Raw::Varint(number)) => ((unzigzag(number) as i32).to_string(), false),
        (Type::Fixed32, Raw::Fixed32(number)) => (number.to_string(), false),
        (Type::Sfixed32, Raw::Fixed32(number)) => ((number as i32).to_string(), false),
        (Type::Int64, Raw::Varint(number)) => ((number as i64).to_string(), true),
        (Type::Uint64, Raw::Varint(number)) | (Type::Fixed64, Raw::Fixed64(number)) => (number.to_string(), true),
        (Type::Sint64, Raw::Varint(number)) => (unzigzag(number).to_string(), true),
        (Type::Sfixed64, Raw::Fixed64(number)) => ((number as i64).to_string(), true),
        _ => return Err("a value of another type"),
    })
}

fn shown_key(of: Type, raw: Raw<'_>) -> Read<String> {
    Ok(match (of, raw) {
        (Type::String, Raw::Bytes(bytes)) => text(bytes)?.to_owned(),
        (Type::Bool, Raw::Varint(number)) => if number == 0 { "false" } else { "true" }.to_owned(),
        (of, raw) => shown_whole(of, raw)?.0,
    })
}

/// Numbers by what they are, others by their bytes.
fn by_key(of: Type, one: &str, other: &str) -> Ordering {
    if of == Type::String {
        return one.cmp(other);
    }
    one.parse::<i128>().ok().cmp(&other.parse().ok()).then_with(|| one.cmp(other))
}
