//! JSON of tokens and keys, read strictly: a name that repeats would mean one thing to one reader and another to the next (RFC 8725 section
//! 2.4), so it is refused.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use ringway_contract::Value;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Parses a JSON object; `None` for anything else, and where a name repeats. Nesting is bounded by the parser (128).
pub fn parse(text: &[u8]) -> Option<Value<'static>> {
    let Strict(value) = serde_json::from_slice(text).ok()?;
    matches!(value, Value::Map(_)).then_some(value)
}

/// A member of an object.
pub fn member<'a>(object: &'a Value<'static>, name: &str) -> Option<&'a Value<'static>> {
    let Value::Map(members) = object else { return None };
    members.iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

/// A member of an object that is a text.
pub fn text<'a>(object: &'a Value<'static>, name: &str) -> Option<&'a str> {
    match member(object, name)? {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

/// A claim by its name, or else by a path `a.b` into nested ones.
pub fn at_path<'a>(claims: &'a Value<'static>, path: &str) -> Option<&'a Value<'static>> {
    member(claims, path).or_else(|| path.split('.').try_fold(claims, |value, name| member(value, name)))
}

/// A text, or the first one of a list.
pub fn first_text<'a>(value: &'a Value<'static>) -> Option<&'a str> {
    texts(Some(value)).next().filter(|text| !text.is_empty())
}

/// A text, or those of a list.
pub fn texts<'a>(value: Option<&'a Value<'static>>) -> impl Iterator<Item = &'a str> {
    let items = match value {
        Some(Value::List(items)) => items,
        Some(one) => std::slice::from_ref(one),
        None => &[],
    };
    items.iter().filter_map(|item| if let Value::Text(text) = item { Some(&**text) } else { None })
}

/// A value as JSON. A number that JSON does not have is null; of a name that repeats the last counts.
pub fn to_json(value: &Value<'_>) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Float(value) => (*value).into(),
        Value::Text(text) => (&**text).into(),
        Value::List(items) => items.iter().map(to_json).collect(),
        Value::Map(members) => members.iter().map(|(name, value)| (name.to_string(), to_json(value))).collect(),
    }
}

struct Strict(Value<'static>);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value<'static>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON without repeated names")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(i64::try_from(value).map_or(Value::Float(value as f64), Value::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut map: Vec<(Cow<'static, str>, Value<'static>)> = Vec::new();
        let mut names = HashSet::new();
        while let Some((name, Strict(value))) = members.next_entry::<String, Strict>()? {
            if !names.insert(name.clone()) {
                return Err(A::Error::custom("a name repeats"));
            }
            map.push((Cow::Owned(name), value));
        }
        Ok(Value::Map(map.into()))
    }
}
