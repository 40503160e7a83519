//! What a `.proto` file says, as tables.

use std::collections::HashMap;

use super::known::Known;

/// A schema: the messages and enumerations of a file, and of those that it imports.
#[derive(Debug)]
pub struct Schema {
    /// All messages.
    pub messages: Vec<Message>,
    /// All enumerations.
    pub enums: Vec<Enum>,
    /// The messages of the file itself that are in no other, in their order.
    pub roots: Vec<usize>,
    /// Messages by their full names.
    pub by_name: HashMap<String, usize>,
}

/// A message.
#[derive(Debug)]
pub struct Message {
    /// With its package.
    pub name: String,
    /// In the order of their numbers.
    pub fields: Vec<Field>,
    /// Fields by their names, in both spellings.
    pub by_name: HashMap<String, usize>,
    /// How many `oneof`s there are.
    pub oneofs: usize,
    /// Fields that must be there.
    pub required: usize,
    /// Messages within it, in their order; without those that stand for entries of maps.
    pub nested: Vec<usize>,
    /// What JSON makes of it, if it is one of those that JSON knows.
    pub known: Option<Known>,
}

/// A field.
#[derive(Debug)]
pub struct Field {
    /// As it is written.
    pub name: String,
    /// In JSON.
    pub json_name: String,
    /// In the binary form.
    pub number: u32,
    /// What it holds; of a map, its values.
    pub of: Type,
    /// How many of them.
    pub shape: Shape,
    /// The `oneof` that it belongs to.
    pub oneof: Option<usize>,
    /// What it is where it is not there, as JSON; none of messages.
    pub default: Option<String>,
}

/// How many values a field has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One, and where it is not there, it is the default: whether it was there is not known.
    Implicit,
    /// One or none.
    Optional,
    /// One.
    Required,
    /// Any number.
    Repeated {
        /// How they are written.
        packed: bool,
    },
    /// Any number, by keys.
    Map(Type),
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// `double`
    Double,
    /// `float`
    Float,
    /// `int32`
    Int32,
    /// `int64`
    Int64,
    /// `uint32`
    Uint32,
    /// `uint64`
    Uint64,
    /// `sint32`
    Sint32,
    /// `sint64`
    Sint64,
    /// `fixed32`
    Fixed32,
    /// `fixed64`
    Fixed64,
    /// `sfixed32`
    Sfixed32,
    /// `sfixed64`
    Sfixed64,
    /// `bool`
    Bool,
    /// `string`
    String,
    /// `bytes`
    Bytes,
    /// An enumeration: its place in [`Schema::enums`].
    Enum(usize),
    /// A message: its place in [`Schema::messages`].
    Message(usize),
    /// A message between two tags.
    Group(usize),
}

/// An enumeration.
#[derive(Debug)]
pub struct Enum {
    /// With its package.
    pub name: String,
    /// Names and numbers, in their order.
    pub values: Vec<(String, i32)>,
}

impl Type {
    /// The type of this name that is none of a file.
    pub fn scalar(name: &str) -> Option<Self> {
        Some(match name {
            "double" => Self::Double,
            "float" => Self::Float,
            "int32" => Self::Int32,
            "int64" => Self::Int64,
            "uint32" => Self::Uint32,
            "uint64" => Self::Uint64,
            "sint32" => Self::Sint32,
            "sint64" => Self::Sint64,
            "fixed32" => Self::Fixed32,
            "fixed64" => Self::Fixed64,
            "sfixed32" => Self::Sfixed32,
            "sfixed64" => Self::Sfixed64,
            "bool" => Self::Bool,
            "string" => Self::String,
            "bytes" => Self::Bytes,
            _ => return None,
        })
    }

    /// The kind of bytes that it is in.
    pub fn wire(self) -> u8 {
        match self {
            Self::Double | Self::Fixed64 | Self::Sfixed64 => super::wire::FIXED64,
            Self::Float | Self::Fixed32 | Self::Sfixed32 => super::wire::FIXED32,
            Self::String | Self::Bytes | Self::Message(_) => super::wire::BYTES,
            Self::Group(_) => super::wire::GROUP,
            _ => super::wire::VARINT,
        }
    }

    /// Whether many of it can stand in one field.
    pub fn is_packable(self) -> bool {
        !matches!(self, Self::String | Self::Bytes | Self::Message(_) | Self::Group(_))
    }

    /// Whether it can be the key of a map.
    pub fn is_key(self) -> bool {
        self == Self::String || self.is_packable() && !matches!(self, Self::Double | Self::Float | Self::Enum(_))
    }
}

impl Schema {
    /// The message at this place.
    pub fn message(&self, place: usize) -> Result<&Message, &'static str> {
        self.messages.get(place).ok_or("no message")
    }

    /// The message that these indexes lead to, as Confluent's serializers count: of the file's messages, of the messages within that one, ...
    pub fn at(&self, indexes: &[usize]) -> Option<usize> {
        let (first, rest) = indexes.split_first()?;
        let mut place = *self.roots.get(*first)?;
        for index in rest {
            place = *self.messages.get(place)?.nested.get(*index)?;
        }
        Some(place)
    }
}

impl Message {
    /// The field of this number.
    pub fn field(&self, number: u32) -> Option<(usize, &Field)> {
        let place = self.fields.binary_search_by_key(&number, |field| field.number).ok()?;
        Some((place, self.fields.get(place)?))
    }
}

impl Enum {
    /// The name of a number.
    pub fn name_of(&self, number: i32) -> Option<&str> {
        self.values.iter().find(|(_, known)| *known == number).map(|(name, _)| name.as_str())
    }

    /// The number of a name.
    pub fn number_of(&self, name: &str) -> Option<i32> {
        self.values.iter().find(|(known, _)| known == name).map(|(_, number)| *number)
    }

    /// What a field is where it is not there.
    pub fn first(&self) -> i32 {
        self.values.first().map_or(0, |(_, number)| *number)
    }
}
