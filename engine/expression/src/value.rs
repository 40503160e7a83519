//! What expressions compute with.

use std::borrow::Cow;
use std::sync::Arc;

/// A value. Texts are borrowed from the context or the template where that is possible; lists and maps are shared.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value<'a> {
    /// Nothing, and what is missing.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// An integer of 64 bits; the reference product's `int` and `long` are both this.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// A text.
    Text(Cow<'a, str>),
    /// A list.
    List(Arc<[Value<'a>]>),
    /// A map in the order of its source. A key may repeat, as in JSON: the last one counts.
    Map(Arc<[(Cow<'a, str>, Value<'a>)]>),
}

impl<'a> Value<'a> {
    /// A borrowed text.
    pub fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// A borrowed text, or null.
    pub fn maybe_text(text: Option<&'a str>) -> Self {
        text.map_or(Self::Null, Self::text)
    }

    /// Its type in a sentence.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The same value without a copy of its text.
    pub(crate) fn borrowed(&self) -> Value<'_> {
        match self {
            Self::Text(text) => Value::Text(Cow::Borrowed(text)),
            other => other.clone(),
        }
    }

    /// A copy that borrows nothing. What is shared in it is copied each time: not for results of an evaluation.
    pub fn into_static(self) -> Value<'static> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Int(value) => Value::Int(value),
            Self::Float(value) => Value::Float(value),
            Self::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Self::List(items) => Value::List(items.iter().map(|item| item.clone().into_static()).collect()),
            Self::Map(entries) => Value::Map(
                entries
                    .iter()
                    .map(|(key, value)| (Cow::Owned(key.clone().into_owned()), value.clone().into_static()))
                    .collect(),
            ),
        }
    }

    /// A list of one item stands for that item wherever a single value is needed: headers are lists that mostly have one.
    pub(crate) fn single(&self) -> &Self {
        match self {
            Self::List(items) if items.len() == 1 => &items[0],
            other => other,
        }
    }

    /// The entry of a map.
    pub(crate) fn entry(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Map(entries) => entries.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }
}

/// A floating-point number as Java writes it: `1.0`, `1.5`, `1.0E10`.
pub(crate) fn write_float(value: f64, out: &mut String) {
    use std::fmt::Write;
    let size = value.abs();
    // Writing to a string cannot fail.
    let _ = if value.is_infinite() {
        write!(out, "{}Infinity", if value < 0.0 { "-" } else { "" })
    } else if value.is_nan() || size == 0.0 || (1e-3..1e7).contains(&size) {
        write!(out, "{value:?}")
    } else {
        let text = format!("{value:E}");
        match text.split_once('E') {
            Some((digits, exponent)) if !digits.contains('.') => write!(out, "{digits}.0E{exponent}"),
            _ => write!(out, "{text}"),
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_java_writes_them() {
        let table = [
            (1.0, "1.0"),
            (-0.5, "-0.5"),
            (1e7, "1.0E7"),
            (123_456_789.5, "1.234567895E8"),
            (1e-4, "1.0E-4"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (value, wanted) in table {
            let mut text = String::new();
            write_float(value, &mut text);
            assert_eq!(text, wanted);
        }
    }
}
