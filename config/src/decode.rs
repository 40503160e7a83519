//! From a spanned tree to typed models: a serde deserializer that keeps positions.
//!
//! It is as lenient as the check: names of enums are folded, null is the same as absent, substituted text may spell a number. A
//! [`Node`] inside of a model is handed over as it is, with its positions.

use std::cell::RefCell;
use std::fmt;

use schemars::JsonSchema;
use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};

use crate::names;
use crate::node::{Entry, Node, Span, Value};
use crate::problem::Problem;

/// Checks `node` and reads it.
///
/// # Errors
/// Every problem that forbids it; warnings are left out.
pub fn decode<T: DeserializeOwned + JsonSchema>(node: &Node) -> Result<T, Vec<Problem>> {
    let mut problems = crate::check::check::<T>(node);
    problems.retain(Problem::is_error);
    if problems.is_empty() { read(node).map_err(|problem| vec![problem]) } else { Err(problems) }
}

/// Reads a node that was checked; what is still wrong has its position.
pub(crate) fn read<T: DeserializeOwned>(node: &Node) -> Result<T, Problem> {
    T::deserialize(node).map_err(|error| {
        let span = error.span.as_ref().unwrap_or(&node.span);
        Problem::error(span, "", error.message)
    })
}

/// A type that a tag names, and how it is read.
pub(crate) type Tagged<T> = (&'static str, fn(&Node) -> Result<T, Error>);

/// Reads a node that is one of several types, told apart by the field `tag`.
pub(crate) fn tagged<T, E: de::Error>(node: &Node, tag: &str, variants: &[Tagged<T>]) -> Result<T, E> {
    let name = node.field(tag).and_then(Node::as_text).ok_or_else(|| E::custom(format!("`{tag}` is missing")))?;
    let read = variants.iter().find(|(known, _)| names::same(known, name));
    let (_, read) = read.ok_or_else(|| E::custom(format!("`{name}` is no valid `{tag}`")))?;
    read(node).map_err(E::custom)
}

/// What is wrong, and where.
#[derive(Debug)]
pub struct Error {
    message: String,
    span: Option<Span>,
}

impl Error {
    /// Keeps the innermost place. Serde's messages quote values, and one that was substituted may be a secret.
    fn at(mut self, node: &Node) -> Self {
        if self.span.is_none() {
            self.span = Some(node.span.clone());
            if node.substituted {
                self.message = "the substituted value does not fit here".to_owned();
            }
        }
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { message: message.to_string(), span: None }
    }
}

/// The name by which [`Node`] asks for the node itself instead of its value.
const WHOLE: &str = "$ringway_config::Node";

thread_local! {
    /// The node that is being handed over. Serde's data model has no way for a value of our own; between the two ends no other code runs.
    static HANDED: RefCell<Option<Node>> = const { RefCell::new(None) };
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Receiver;
        impl Visitor<'_> for Receiver {
            type Value = Node;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a node of a definition")
            }

            fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
                HANDED.take().ok_or_else(|| E::custom("a node is read only from a node"))
            }
        }
        deserializer.deserialize_newtype_struct(WHOLE, Receiver)
    }
}

/// Answers a request for a number of some width: serde's own visitors check the range.
macro_rules! numbers {
    ($($method:ident => $visit:ident, $take:ident;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.as_number().and_then(|number| number.$take()) {
                Some(value) => visitor.$visit(value),
                None => self.deserialize_any(visitor),
            }
            .map_err(|error: Error| error.at(self))
        }
    )*};
}

impl<'de> Deserializer<'de> for &Node {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(value), _) => visitor.visit_u64(value),
                (None, Some(value)) => visitor.visit_i64(value),
                (None, None) => visitor.visit_f64(number.as_f64()),
            },
            Value::String(text) => visitor.visit_str(text),
            Value::Seq(items) => visitor.visit_seq(Items(items.iter())),
            Value::Map(entries) => visitor.visit_map(Fields { entries: entries.iter(), next: None }),
        }
        .map_err(|error: Error| error.at(self))
    }

    numbers! {
        deserialize_i8 => visit_i64, as_i64;
        deserialize_i16 => visit_i64, as_i64;
        deserialize_i32 => visit_i64, as_i64;
        deserialize_i64 => visit_i64, as_i64;
        deserialize_u8 => visit_u64, as_u64;
        deserialize_u16 => visit_u64, as_u64;
        deserialize_u32 => visit_u64, as_u64;
        deserialize_u64 => visit_u64, as_u64;
        deserialize_f32 => visit_f64, to_f64;
        deserialize_f64 => visit_f64, to_f64;
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.as_bool() {
            Some(value) => visitor.visit_bool(value).map_err(|error: Error| error.at(self)),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.as_text() {
            Some(text) => visitor.visit_str(text).map_err(|error: Error| error.at(self)),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        if name == WHOLE {
            HANDED.set(Some(self.clone()));
            return visitor.visit_unit();
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let (name, content) = match (self.as_text(), self.entries()) {
            (Some(name), _) => (name, None),
            (None, [entry]) => (entry.key.as_str(), Some(&entry.value)),
            _ => return self.deserialize_any(visitor),
        };
        let exact = variants.iter().find(|known| **known == name);
        let known = exact.or_else(|| variants.iter().find(|known| names::same(known, name)));
        let name = known.copied().unwrap_or(name);
        visitor.visit_enum(Variant { name, content }).map_err(|error: Error| error.at(self))
    }

    forward_to_deserialize_any! {
        char bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier ignored_any i128 u128
    }
}

struct Items<'a>(std::slice::Iter<'a, Node>);

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some(item) = self.0.next() else { return Ok(None) };
        seed.deserialize(item).map(Some).map_err(|error| error.at(item))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

/// The entries of a map but for those that are null.
struct Fields<'a> {
    entries: std::slice::Iter<'a, Entry>,
    next: Option<&'a Node>,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some(entry) = self.entries.find(|entry| !entry.value.is_null()) else { return Ok(None) };
        self.next = Some(&entry.value);
        let key: StrDeserializer<'_, Error> = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let value = self.next.take().ok_or_else(|| de::Error::custom("a value was asked for before its key"))?;
        seed.deserialize(value).map_err(|error| error.at(value))
    }
}

struct Variant<'a> {
    name: &'a str,
    content: Option<&'a Node>,
}

impl<'a, 'de> EnumAccess<'de> for Variant<'a> {
    type Error = Error;
    type Variant = Content<'a>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Content<'a>), Error> {
        let name: StrDeserializer<'_, Error> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, Content(self.content)))
    }
}

struct Content<'a>(Option<&'a Node>);

impl Content<'_> {
    fn node(&self) -> Result<&Node, Error> {
        self.0.ok_or_else(|| de::Error::custom("a value is missing"))
    }
}

impl<'de> VariantAccess<'de> for Content<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        match self.0 {
            None => Ok(()),
            Some(_) => Err(de::Error::custom("no value is wanted here")),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        seed.deserialize(self.node()?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.node()?.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        self.node()?.deserialize_any(visitor)
    }
}
