//! JSON documents as values, whose texts are borrowed from the document where they have no escapes.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};

use crate::Value;

/// The document has more values than there is room for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

/// The document; none if it is not JSON. `room` is how many values it may have, and becomes how many are left.
pub(crate) fn parse<'a>(document: &'a [u8], room: &Cell<u32>) -> Result<Option<Value<'a>>, TooMany> {
    let full = Cell::new(false);
    let mut reader = serde_json::Deserializer::from_slice(document);
    let value = Seed { room, full: &full }.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    match value {
        Err(_) if full.get() => Err(TooMany),
        other => Ok(other.ok()),
    }
}

#[derive(Clone, Copy)]
struct Seed<'r> {
    room: &'r Cell<u32>,
    full: &'r Cell<bool>,
}

impl Seed<'_> {
    fn take<E: Error>(self) -> Result<(), E> {
        let left = self.room.get().checked_sub(1).ok_or_else(|| {
            self.full.set(true);
            E::custom("too many values")
        })?;
        self.room.set(left);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value<'de>;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Value<'de>, D::Error> {
        self.take()?;
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value<'de>, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value<'de>, E> {
        Ok(i64::try_from(value).map_or(Value::Float(value as f64), Value::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value<'de>, E> {
        Ok(Value::Float(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::text(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value<'de>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Value::List(items.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value<'de>, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key_seed(Name)? {
            entries.push((key, access.next_value_seed(self)?));
        }
        Ok(Value::Map(entries.into()))
    }
}

struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(value.to_owned()))
    }
}

/// Writes a text as it stands between the quotes of a JSON string (RFC 8259, section 7).
pub(crate) fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
}

/// Writes a text as it may stand in XML's text and attributes (XML 1.0, section 2.4); what no XML may have is left out (section 2.2).
pub(crate) fn escape_xml(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\t' | '\n' | '\r' => out.push(c),
            c if c < ' ' || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_become_values() {
        let room = Cell::new(100);
        let document = br#"{"a": [1, 2.5, "x\ty", "z", null, true], "n": 18446744073709551615}"#;
        let value = parse(document, &room).unwrap().unwrap();
        let Some(Value::List(items)) = value.entry("a") else { panic!("{value:?}") };
        assert_eq!(items[0], Value::Int(1));
        assert!(matches!(&items[2], Value::Text(Cow::Owned(text)) if text == "x\ty"));
        assert!(matches!(&items[3], Value::Text(Cow::Borrowed("z"))));
        assert_eq!(value.entry("n"), Some(&Value::Float(18_446_744_073_709_551_615.0)));
        assert_eq!(room.get(), 91);
        assert_eq!(parse(b"{", &room), Ok(None));
        assert_eq!(parse(b"1 2", &room), Ok(None));
        assert_eq!(parse(b"[1,2,3]", &Cell::new(3)), Err(TooMany));
        let deep = "[".repeat(100_000);
        assert_eq!(parse(deep.as_bytes(), &Cell::new(1_000_000)), Ok(None), "serde_json bounds the depth");
    }
}
