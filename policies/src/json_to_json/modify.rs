//! `modify-overwrite-beta`, `modify-default-beta` and `modify-define-beta`: members that are computed from others.

use ringway_contract::Refusal;

use super::functions::{self, Function};
use super::path::{DataRef, KeyRef, Pattern, Reader, Walked, child, index};
use crate::json::{Object, Value};

/// When a value is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Always.
    Overwrite,
    /// Where there is none, or null.
    Default,
    /// Where there is none.
    Define,
}

pub struct Modify {
    when: When,
    root: Level,
}

struct Level {
    entries: Vec<Entry>,
}

struct Entry {
    pattern: Pattern,
    /// `key?`: only where it is there.
    if_present: bool,
    /// `key[]`: an array is made where there is nothing.
    is_array: bool,
    node: Node,
}

enum Node {
    Level(Level),
    /// The first that gives something.
    Values(Vec<Expression>),
}

enum Expression {
    Value(Value),
    Data(DataRef),
    Key(KeyRef),
    Call(Function, Vec<Expression>),
    /// What is at the place itself, the argument of a function that is written without one.
    Itself,
}

impl Level {
    fn parse(spec: &Value) -> Result<Self, Refusal> {
        let object = spec.as_object().ok_or_else(|| Refusal("the `spec` of modify is an object".into()))?;
        let mut entries = Vec::new();
        for (key, value) in object {
            let (rest, if_present) = key.strip_suffix('?').map_or((&**key, false), |key| (key, true));
            let (rest, is_array) = rest.strip_suffix("[]").map_or((rest, false), |key| (key, true));
            let node = match value {
                Value::Object(_) => Node::Level(Self::parse(value)?),
                Value::Array(items) => Node::Values(items.iter().map(expression).collect::<Result<_, _>>()?),
                other => Node::Values(vec![expression(other)?]),
            };
            let pattern = Pattern::parse(rest)?;
            entries.push((pattern.rank(rest), Entry { pattern, if_present, is_array, node }));
        }
        entries.sort_by_key(|(rank, _)| rank.0);
        Ok(Self { entries: entries.into_iter().map(|(_, entry)| entry).collect() })
    }
}

fn expression(spec: &Value) -> Result<Expression, Refusal> {
    let Some(text) = spec.as_str() else { return Ok(Expression::Value(spec.clone())) };
    if let Some(call) = text.strip_prefix('=') {
        let name = call.split('(').next().unwrap_or_default().trim();
        let function = functions::named(name)?;
        let Some(arguments) = call.strip_prefix(name).map(str::trim).filter(|rest| !rest.is_empty()) else {
            return Ok(Expression::Call(function, vec![Expression::Itself]));
        };
        let inside = arguments.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
        let inside = inside.ok_or_else(|| Refusal(format!("`{text}`: a parenthesis is missing")))?;
        return Ok(Expression::Call(function, arguments_of(inside)?));
    }
    match text.chars().next() {
        Some('@') => reference(text, |reader| reader.data_ref().map(Expression::Data)),
        Some('&') => reference(text, |reader| reader.key_ref().map(Expression::Key)),
        Some('\\') => Ok(Expression::Value(Value::String(text.chars().skip(1).collect()))),
        _ => Ok(Expression::Value(spec.clone())),
    }
}

fn reference<'t>(
    text: &'t str,
    read: impl Fn(&mut Reader<'t>) -> Result<Expression, Refusal>,
) -> Result<Expression, Refusal> {
    let mut reader = Reader::new(text);
    reader.take('@');
    reader.take('&');
    let found = read(&mut reader)?;
    if reader.peek().is_some() { Err(reader.wrong("something is behind the reference")) } else { Ok(found) }
}

/// Arguments between commas; a comma in quotes or parentheses is none.
fn arguments_of(text: &str) -> Result<Vec<Expression>, Refusal> {
    let mut arguments = Vec::new();
    let (mut depth, mut quoted, mut from) = (0_usize, false, 0);
    let mut ends: Vec<usize> = Vec::new();
    for (at, character) in text.char_indices() {
        match character {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth = depth.saturating_sub(1),
            ',' if !quoted && depth == 0 => ends.push(at),
            _ => {}
        }
    }
    if quoted {
        return Err(Refusal(format!("`{text}`: a quote is missing")));
    }
    ends.push(text.len());
    for end in ends {
        let raw = text.get(from..end).unwrap_or_default();
        from = end + 1;
        let argument = raw.trim();
        let quoted = argument.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
        arguments.push(match (quoted, argument) {
            (Some(literal), _) => Expression::Value(Value::String(literal.to_owned())),
            (None, "") if text.trim().is_empty() => continue,
            (None, _) if argument.starts_with(['@', '&', '=']) => expression(&Value::String(argument.to_owned()))?,
            (None, _) => Value::parse(argument.as_bytes())
                .map_or_else(|_| Expression::Value(Value::String(argument.to_owned())), Expression::Value),
        });
    }
    Ok(arguments)
}

impl Expression {
    fn of(&self, walked: &[Walked<'_>], itself: Option<&Value>) -> Option<Value> {
        match self {
            Self::Value(value) => Some(value.clone()),
            Self::Data(reference) => reference.of(walked).cloned(),
            Self::Key(reference) => reference.of(walked).map(|key| Value::String(key.to_owned())),
            Self::Itself => itself.cloned(),
            Self::Call(function, arguments) => {
                let arguments: Vec<Option<Value>> =
                    arguments.iter().map(|argument| argument.of(walked, itself)).collect();
                functions::call(*function, arguments)
            }
        }
    }
}

impl Modify {
    pub fn new(when: When, spec: &Value) -> Result<Self, Refusal> {
        Ok(Self { when, root: Level::parse(spec)? })
    }

    pub fn apply(&self, data: &mut Value) {
        self.level(&self.root, data, &mut vec![vec!["root".to_owned()]]);
    }

    /// `walked` has the keys of the level, from the root on, with what their wildcards caught.
    fn level(&self, level: &Level, root: &mut Value, walked: &mut Vec<Vec<String>>) {
        for entry in &level.entries {
            let keys: Vec<String> = match (&entry.pattern, at(root, walked)) {
                (Pattern::Literal(key), Some(Value::Object(_) | Value::Array(_))) => vec![key.clone()],
                (_, Some(Value::Object(object))) => object.keys().cloned().collect(),
                (_, Some(Value::Array(items))) => (0..items.len()).map(|index| index.to_string()).collect(),
                _ => Vec::new(),
            };
            for key in keys {
                // A key that has an entry of its own is not touched by a wildcard.
                let own = |other: &Entry| matches!(&other.pattern, Pattern::Literal(literal) if *literal == key);
                if !matches!(entry.pattern, Pattern::Literal(_)) && level.entries.iter().any(own) {
                    continue;
                }
                let Some(caught) = entry.pattern.catch(&key, &steps(root, walked)) else { continue };
                walked.push(caught);
                self.entry(entry, root, walked);
                walked.pop();
            }
        }
    }

    fn entry(&self, entry: &Entry, root: &mut Value, walked: &mut Vec<Vec<String>>) {
        let present = at(root, walked);
        if entry.if_present && present.is_none() {
            return;
        }
        match &entry.node {
            Node::Level(level) => {
                if present.is_none_or(|value| *value == Value::Null) {
                    let empty = if entry.is_array { Value::Array(Vec::new()) } else { Value::Object(Object::new()) };
                    set(root, walked, empty);
                }
                self.level(level, root, walked);
            }
            Node::Values(values) => {
                let wanted = match self.when {
                    When::Overwrite => true,
                    When::Default => present.is_none_or(|value| *value == Value::Null),
                    When::Define => present.is_none(),
                };
                if !wanted {
                    return;
                }
                let steps = steps(root, walked);
                let mut found = values.iter().filter_map(|value| value.of(&steps, present));
                let found = found.find(|found| values.len() == 1 || *found != Value::Null);
                if let Some(found) = found {
                    set(root, walked, found);
                }
            }
        }
    }
}

fn key(caught: &[String]) -> &str {
    caught.first().map_or("", String::as_str)
}

/// What is there now.
fn at<'v>(root: &'v Value, walked: &[Vec<String>]) -> Option<&'v Value> {
    walked.iter().skip(1).try_fold(root, |data, caught| child(data, key(caught)))
}

fn steps<'v>(root: &'v Value, walked: &[Vec<String>]) -> Vec<Walked<'v>> {
    let mut data = Some(root);
    let mut steps = Vec::with_capacity(walked.len());
    for (depth, caught) in walked.iter().enumerate() {
        if depth > 0 {
            data = data.and_then(|data| child(data, key(caught)));
        }
        steps.push(Walked { caught: caught.clone(), data, matches: 0 });
    }
    steps
}

fn set(root: &mut Value, walked: &[Vec<String>], value: Value) {
    let mut place = root;
    let mut value = Some(value);
    for (depth, caught) in walked.iter().enumerate().skip(1) {
        let is_last = depth + 1 == walked.len();
        let key = key(caught);
        place = match place {
            Value::Object(object) => {
                if is_last {
                    object.insert(key.to_owned(), value.take().unwrap_or(Value::Null));
                    return;
                }
                let Some(below) = object.get_mut(key) else { return };
                below
            }
            Value::Array(items) => {
                let Some(index) = index(key) else { return };
                if is_last && index == items.len() {
                    items.push(value.take().unwrap_or(Value::Null));
                    return;
                }
                let Some(below) = items.get_mut(index) else { return };
                below
            }
            _ => return,
        };
    }
    if let Some(value) = value {
        *place = value;
    }
}
