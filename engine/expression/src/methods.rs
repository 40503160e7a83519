//! The methods that values have: a fixed list, by the names of Java's. A method of null gives null; places in a text count characters.

use std::borrow::Cow;

use regex::Regex;

use crate::code::{Matching, Op};
use crate::operators::{self, equal};
use crate::run::{ITEM_BYTES, Run};
use crate::{EvalError, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Length,
    IsEmpty,
    IsBlank,
    Contains,
    StartsWith,
    EndsWith,
    IndexOf,
    LastIndexOf,
    Substring,
    ToLowerCase,
    ToUpperCase,
    Trim,
    Replace,
    ReplaceAll,
    Split,
    Matches,
    Equals,
    EqualsIgnoreCase,
    Concat,
    CharAt,
    ToString,
    CompareTo,
    Size,
    Get,
    First,
    Last,
    ContainsKey,
    ContainsValue,
    KeySet,
    Values,
    GetOrDefault,
    IntValue,
    DoubleValue,
    BooleanValue,
}

/// Name, method, least and most arguments.
pub(crate) const METHODS: [(&str, Method, usize, usize); 39] = [
    ("length", Method::Length, 0, 0),
    ("isEmpty", Method::IsEmpty, 0, 0),
    ("isBlank", Method::IsBlank, 0, 0),
    ("contains", Method::Contains, 1, 1),
    ("startsWith", Method::StartsWith, 1, 1),
    ("endsWith", Method::EndsWith, 1, 1),
    ("indexOf", Method::IndexOf, 1, 1),
    ("lastIndexOf", Method::LastIndexOf, 1, 1),
    ("substring", Method::Substring, 1, 2),
    ("toLowerCase", Method::ToLowerCase, 0, 0),
    ("toUpperCase", Method::ToUpperCase, 0, 0),
    ("trim", Method::Trim, 0, 0),
    ("strip", Method::Trim, 0, 0),
    ("replace", Method::Replace, 2, 2),
    ("replaceAll", Method::ReplaceAll, 2, 2),
    ("split", Method::Split, 1, 1),
    ("matches", Method::Matches, 1, 1),
    ("equals", Method::Equals, 1, 1),
    ("equalsIgnoreCase", Method::EqualsIgnoreCase, 1, 1),
    ("concat", Method::Concat, 1, 1),
    ("charAt", Method::CharAt, 1, 1),
    ("toString", Method::ToString, 0, 0),
    ("compareTo", Method::CompareTo, 1, 1),
    ("size", Method::Size, 0, 0),
    ("get", Method::Get, 1, 1),
    ("first", Method::First, 0, 0),
    ("getFirst", Method::First, 0, 0),
    ("last", Method::Last, 0, 0),
    ("getLast", Method::Last, 0, 0),
    ("containsKey", Method::ContainsKey, 1, 1),
    ("containsValue", Method::ContainsValue, 1, 1),
    ("keySet", Method::KeySet, 0, 0),
    ("values", Method::Values, 0, 0),
    ("getOrDefault", Method::GetOrDefault, 2, 2),
    ("intValue", Method::IntValue, 0, 0),
    ("longValue", Method::IntValue, 0, 0),
    ("doubleValue", Method::DoubleValue, 0, 0),
    ("floatValue", Method::DoubleValue, 0, 0),
    ("booleanValue", Method::BooleanValue, 0, 0),
];

type Result<T, E = EvalError> = std::result::Result<T, E>;

/// Calls a method.
pub(crate) fn call<'a>(
    run: &Run<'a>,
    at: u32,
    method: Method,
    subject: Value<'a>,
    arguments: &[Value<'a>],
) -> Result<Value<'a>> {
    let first = arguments.first().unwrap_or(&Value::Null);
    match (&subject, method) {
        (Value::Null, Method::Equals) => return Ok(Value::Bool(first.is_null())),
        (Value::Null, _) => return Ok(Value::Null),
        (_, Method::Equals) => return Ok(Value::Bool(equal(run, at, &subject, first)?)),
        (_, Method::ToString) => {
            if let Value::Text(_) = subject {
                return Ok(subject);
            }
            let mut text = String::new();
            run.write(at, &subject, &mut text)?;
            return Ok(Value::Text(text.into()));
        }
        (Value::List(items), _) => {
            if let Some(value) = of_list(run, at, method, items, first)? {
                return Ok(value);
            }
        }
        (Value::Map(_), _) => {
            if let Some(value) = of_map(run, at, method, &subject, arguments)? {
                return Ok(value);
            }
        }
        _ => {}
    }
    let found = match subject.single() {
        Value::Text(text) => of_text(run, at, method, text, arguments)?,
        number @ (Value::Int(_) | Value::Float(_)) => of_number(at, method, number, first)?,
        Value::Bool(value) if method == Method::BooleanValue => Some(Value::Bool(*value)),
        _ => None,
    };
    found.ok_or_else(|| EvalError::new(at, format!("`{}` is no method of {}", method.name(), subject.single().kind())))
}

fn of_list<'a>(
    run: &Run<'a>,
    at: u32,
    method: Method,
    items: &[Value<'a>],
    first: &Value<'a>,
) -> Result<Option<Value<'a>>> {
    let position = || {
        for (place, item) in items.iter().enumerate() {
            run.step(at, 1)?;
            if equal(run, at, item, first)? {
                return Ok(Some(place));
            }
        }
        Ok(None)
    };
    Ok(Some(match method {
        Method::Size => count(items.len()),
        Method::IsEmpty => Value::Bool(items.is_empty()),
        Method::Contains => Value::Bool(position()?.is_some()),
        Method::IndexOf => position()?.map_or(Value::Int(-1), count),
        Method::First => items.first().cloned().unwrap_or_default(),
        Method::Last => items.last().cloned().unwrap_or_default(),
        Method::Get => match first {
            Value::Int(index) => {
                usize::try_from(*index).ok().and_then(|index| items.get(index)).cloned().unwrap_or_default()
            }
            Value::Null => Value::Null,
            other => return Err(EvalError::new(at, format!("`get` of a list takes a number, not {}", other.kind()))),
        },
        _ => return Ok(None),
    }))
}

fn of_map<'a>(
    run: &Run<'a>,
    at: u32,
    method: Method,
    map: &Value<'a>,
    arguments: &[Value<'a>],
) -> Result<Option<Value<'a>>> {
    let Value::Map(entries) = map else { return Ok(None) };
    let first = arguments.first().unwrap_or(&Value::Null);
    run.step(at, entries.len() / 8)?;
    let found = || match first.single() {
        Value::Text(name) => map.entry(name),
        Value::Int(number) => map.entry(&number.to_string()),
        _ => None,
    };
    Ok(Some(match method {
        Method::Size => count(entries.len()),
        Method::IsEmpty => Value::Bool(entries.is_empty()),
        Method::Get => found().cloned().unwrap_or_default(),
        Method::ContainsKey => Value::Bool(found().is_some()),
        Method::GetOrDefault => found().or_else(|| arguments.get(1)).cloned().unwrap_or_default(),
        Method::ContainsValue => {
            for (_, value) in entries.iter() {
                run.step(at, 1)?;
                if equal(run, at, value, first)? {
                    return Ok(Some(Value::Bool(true)));
                }
            }
            Value::Bool(false)
        }
        Method::KeySet => {
            run.charge(at, entries.iter().map(|(key, _)| key.len()).sum())?;
            run.list(at, entries.iter().map(|(key, _)| Value::Text(key.clone())).collect())?
        }
        Method::Values => run.list(at, entries.iter().map(|(_, value)| value.clone()).collect())?,
        _ => return Ok(None),
    }))
}

fn of_text<'a>(
    run: &Run<'a>,
    at: u32,
    method: Method,
    text: &Cow<'a, str>,
    arguments: &[Value<'a>],
) -> Result<Option<Value<'a>>> {
    // Two arguments that are texts; a null argument makes the result null.
    let mut texts = [""; 2];
    let needs = match method {
        Method::Contains | Method::StartsWith | Method::EndsWith | Method::IndexOf | Method::LastIndexOf => 1,
        Method::EqualsIgnoreCase | Method::Concat | Method::CompareTo => 1,
        Method::Replace => 2,
        _ => 0,
    };
    for (given, argument) in texts.iter_mut().zip(arguments).take(needs) {
        *given = match argument.single() {
            Value::Text(text) => text,
            Value::Null => return Ok(Some(Value::Null)),
            other => {
                let message = format!("`{}` of a text takes a text, not {}", method.name(), other.kind());
                return Err(EvalError::new(at, message));
            }
        };
    }
    let [first, second] = texts;
    let place = |byte: Option<usize>| match byte.and_then(|byte| text.get(..byte)) {
        Some(before) => count(before.chars().count()),
        None => Value::Int(-1),
    };
    Ok(Some(match method {
        Method::Length => count(text.chars().count()),
        Method::IsEmpty => Value::Bool(text.is_empty()),
        Method::IsBlank => Value::Bool(text.trim().is_empty()),
        Method::Contains => Value::Bool(text.contains(first)),
        Method::StartsWith => Value::Bool(text.starts_with(first)),
        Method::EndsWith => Value::Bool(text.ends_with(first)),
        Method::IndexOf => place(text.find(first)),
        Method::LastIndexOf => place(text.rfind(first)),
        Method::EqualsIgnoreCase => Value::Bool(same(text, first)),
        Method::CompareTo => Value::Int(text.as_ref().cmp(first) as i64),
        Method::Trim => part(run, at, text, text.len() - text.trim_start().len(), text.trim_end().len())?,
        Method::Substring => {
            let from = offset(text, arguments.first(), at)?;
            let to = if arguments.len() > 1 { offset(text, arguments.get(1), at)? } else { Some(text.len()) };
            match (from, to) {
                (Some(from), Some(to)) => part(run, at, text, from, to)?,
                _ => Value::Null,
            }
        }
        Method::CharAt => match arguments.first().map(Value::single) {
            Some(Value::Int(index)) => char_at(text, *index),
            _ => Value::Null,
        },
        Method::ToLowerCase => run.made(at, text.to_lowercase())?,
        Method::ToUpperCase => run.made(at, text.to_uppercase())?,
        Method::Concat => {
            run.charge(at, text.len() + first.len())?;
            Value::Text(format!("{text}{first}").into())
        }
        Method::Replace => {
            let times = text.matches(first).count();
            run.charge(at, text.len().saturating_add(times.saturating_mul(second.len())))?;
            Value::Text(text.replace(first, second).into())
        }
        _ => return Ok(None),
    }))
}

fn of_number<'a>(at: u32, method: Method, number: &Value<'a>, other: &Value<'a>) -> Result<Option<Value<'a>>> {
    Ok(Some(match (method, number) {
        (Method::IntValue, Value::Int(number)) => Value::Int(*number),
        // `as` saturates, as Java's conversion does.
        (Method::IntValue, Value::Float(number)) => Value::Int(*number as i64),
        (Method::DoubleValue, number) => operators::float(number).map_or(Value::Null, Value::Float),
        (Method::CompareTo, number) => {
            operators::compare(at, Op::Lt, number, other)?.map_or(Value::Null, |order| Value::Int(order as i64))
        }
        _ => return Ok(None),
    }))
}

/// What a regular expression says of a text.
pub(crate) fn pattern<'a>(
    run: &Run<'a>,
    at: u32,
    matching: &Matching,
    regex: &Regex,
    subject: Value<'a>,
) -> Result<Value<'a>> {
    let text = match subject.single() {
        Value::Text(text) => text,
        Value::Null if matches!(matching, Matching::Whole) => return Ok(Value::Bool(false)),
        Value::Null => return Ok(Value::Null),
        other => return Err(EvalError::new(at, format!("`{}` takes a text, not {}", matching.name(), other.kind()))),
    };
    match matching {
        Matching::Whole => Ok(Value::Bool(regex.is_match(text))),
        Matching::Split => {
            let mut parts = Vec::new();
            for part in regex.split(text) {
                run.step(at, 1)?;
                run.charge(at, part.len() + ITEM_BYTES)?;
                parts.push(Value::Text(part.to_owned().into()));
            }
            // As in Java: no empty parts at the end, nor one in front of a match of nothing at the begin.
            while parts.len() > 1 && matches!(parts.last(), Some(Value::Text(last)) if last.is_empty()) {
                parts.pop();
            }
            let begins_empty = regex.find(text).is_some_and(|found| found.end() == 0);
            if begins_empty && parts.len() > 1 {
                parts.remove(0);
            }
            Ok(Value::List(parts.into()))
        }
        Matching::ReplaceAll(replacement) => {
            let mut out = String::new();
            let mut from = 0;
            let mut charged = 0;
            for found in regex.captures_iter(text) {
                run.step(at, 1)?;
                let Some(whole) = found.get(0) else { continue };
                out.push_str(text.get(from..whole.start()).unwrap_or(""));
                found.expand(replacement, &mut out);
                from = whole.end();
                run.charge(at, out.len() - charged)?;
                charged = out.len();
            }
            out.push_str(text.get(from..).unwrap_or(""));
            run.charge(at, out.len() - charged)?;
            Ok(Value::Text(out.into()))
        }
    }
}

/// The character at a place of a text; null behind its end.
pub(crate) fn char_at<'a>(text: &str, index: i64) -> Value<'a> {
    let found = usize::try_from(index).ok().and_then(|index| text.chars().nth(index));
    found.map_or(Value::Null, |c| Value::Text(c.to_string().into()))
}

/// The byte at which the character of this place begins; a place outside of the text is its begin or its end.
fn offset(text: &str, place: Option<&Value<'_>>, at: u32) -> Result<Option<usize>> {
    match place.map(Value::single) {
        Some(Value::Int(place)) => {
            let place = usize::try_from(*place).unwrap_or(0);
            Ok(Some(text.char_indices().nth(place).map_or(text.len(), |(byte, _)| byte)))
        }
        None | Some(Value::Null) => Ok(None),
        Some(other) => Err(EvalError::new(at, format!("`substring` takes numbers, not {}", other.kind()))),
    }
}

/// Bytes `from..to` of a text, borrowed if the text is.
fn part<'a>(run: &Run<'a>, at: u32, text: &Cow<'a, str>, from: usize, to: usize) -> Result<Value<'a>> {
    match text {
        Cow::Borrowed(text) => Ok(Value::text(text.get(from..to).unwrap_or(""))),
        Cow::Owned(text) => run.made(at, text.get(from..to).unwrap_or("").to_owned()),
    }
}

fn count<'a>(count: usize) -> Value<'a> {
    Value::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

/// Whether two texts differ by case only.
fn same(left: &str, right: &str) -> bool {
    left.chars().flat_map(char::to_lowercase).eq(right.chars().flat_map(char::to_lowercase))
}

impl Method {
    /// How it is named in an error.
    fn name(self) -> &'static str {
        METHODS.iter().find(|(_, method, ..)| *method == self).map_or("", |(name, ..)| name)
    }
}
