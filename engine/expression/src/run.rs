//! Evaluates code within the bounds of [`crate::limits`].

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};

use crate::code::{Code, Each, Escape, Key, MapMethod, Matching};
use crate::context::{Body, Context, Map};
use crate::limits::{BYTES_MAX, JSON_VALUES_MAX, STEPS_MAX};
use crate::path::Path;
use crate::value::write_float;
use crate::{EvalError, Value, json, methods, operators, statics};

/// One evaluation and what it has left.
pub(crate) struct Run<'a> {
    pub(crate) context: &'a dyn Context,
    steps: Cell<u32>,
    bytes: Cell<usize>,
    json_room: Cell<u32>,
    /// The documents that were read, one for each [`Body`].
    json: [OnceCell<Value<'a>>; 4],
}

type Result<T, E = EvalError> = std::result::Result<T, E>;

/// What an item of a list or map weighs against [`BYTES_MAX`].
pub(crate) const ITEM_BYTES: usize = size_of::<Value<'_>>();

impl<'a> Run<'a> {
    pub(crate) fn new(context: &'a dyn Context) -> Self {
        Self {
            context,
            steps: Cell::new(STEPS_MAX),
            bytes: Cell::new(BYTES_MAX),
            json_room: Cell::new(JSON_VALUES_MAX),
            json: [const { OnceCell::new() }; 4],
        }
    }

    /// Takes some of the steps that are left.
    pub(crate) fn step(&self, at: u32, steps: usize) -> Result<()> {
        let left = u32::try_from(steps).ok().and_then(|steps| self.steps.get().checked_sub(steps));
        self.steps.set(left.ok_or_else(|| EvalError::new(at, format!("it takes more than {STEPS_MAX} steps")))?);
        Ok(())
    }

    /// Takes some of the bytes that are left.
    pub(crate) fn charge(&self, at: u32, bytes: usize) -> Result<()> {
        let left = self.bytes.get().checked_sub(bytes);
        self.bytes.set(left.ok_or_else(|| EvalError::new(at, format!("it makes more than {BYTES_MAX} bytes")))?);
        Ok(())
    }

    /// A text that was made.
    pub(crate) fn made(&self, at: u32, text: String) -> Result<Value<'a>> {
        self.charge(at, text.len())?;
        Ok(Value::Text(text.into()))
    }

    /// A list that was made.
    pub(crate) fn list(&self, at: u32, items: Vec<Value<'a>>) -> Result<Value<'a>> {
        self.charge(at, items.len() * ITEM_BYTES)?;
        Ok(Value::List(items.into()))
    }

    /// The value of `code`; `this` is the item that a selection looks at.
    pub(crate) fn value(&self, code: &'a Code, this: Option<&Value<'a>>) -> Result<Value<'a>> {
        let Some(left) = self.steps.get().checked_sub(1) else {
            self.step(code.at(), 1)?;
            return Ok(Value::Null);
        };
        self.steps.set(left);
        Ok(match code {
            Code::Const(value) => value.borrowed(),
            Code::This => this.cloned().unwrap_or_default(),
            Code::Field(field) => self.context.field(*field),
            Code::Entry { map, name, index } => {
                self.entry(*map, &self.name(name, map.ignores_case(), this)?, *index)?
            }
            Code::EntryIs(entry) => Value::Bool(entry.holds(self.context)),
            Code::Binary(at, op, left, right) => {
                let left = self.value(left, this)?;
                operators::binary(self, *at, *op, &left, &self.value(right, this)?)?
            }
            Code::And(at, left, right) => {
                Value::Bool(self.truth(*at, &self.value(left, this)?)? && self.truth(*at, &self.value(right, this)?)?)
            }
            Code::Or(at, left, right) => {
                Value::Bool(self.truth(*at, &self.value(left, this)?)? || self.truth(*at, &self.value(right, this)?)?)
            }
            Code::Not(at, operand) => Value::Bool(!self.truth(*at, &self.value(operand, this)?)?),
            Code::Negate(at, operand) => operators::negate(*at, &self.value(operand, this)?)?,
            Code::Choice(at, condition, yes, no) => {
                let condition = self.truth(*at, &self.value(condition, this)?)?;
                self.value(if condition { yes } else { no }, this)?
            }
            Code::Elvis(value, otherwise) => match self.value(value, this)? {
                Value::Null => self.value(otherwise, this)?,
                Value::Text(text) if text.is_empty() => self.value(otherwise, this)?,
                value => value,
            },
            Code::Pattern(at, matching, subject, pattern) => {
                methods::pattern(self, *at, matching, pattern, self.value(subject, this)?)?
            }
            _ => self.rest(code, this)?,
        })
    }

    /// What is rarer, so that the frames of [`Run::value`] stay small.
    fn rest(&self, code: &'a Code, this: Option<&Value<'a>>) -> Result<Value<'a>> {
        Ok(match code {
            Code::Parts(field) => match self.context.field(*field) {
                Value::Text(path) => {
                    self.list(0, parts(&path).map(|part| Value::Text(part.to_owned().into())).collect())?
                }
                _ => Value::Null,
            },
            Code::Part(field, index) => match self.context.field(*field) {
                Value::Text(Cow::Borrowed(path)) => Value::maybe_text(parts(path).nth(*index)),
                Value::Text(path) => {
                    parts(&path).nth(*index).map_or(Value::Null, |part| Value::Text(part.to_owned().into()))
                }
                _ => Value::Null,
            },
            Code::Content(body) => match self.context.body(*body).map(String::from_utf8_lossy) {
                Some(Cow::Owned(text)) => self.made(0, text)?,
                Some(text) => Value::Text(text),
                None => Value::Null,
            },
            Code::Json(body) => self.json(0, *body)?,
            Code::Map(map) | Code::Attributes(map) => self.whole(*map)?,
            Code::Names(map) => self.names(*map)?,
            Code::Dictionary(id, name) => {
                match self.context.dictionary(&self.name(id, false, this)?, &self.name(name, false, this)?) {
                    Value::Text(Cow::Owned(text)) => self.made(0, text)?,
                    entry => entry,
                }
            }
            Code::List(items) => {
                let items = items.iter().map(|item| self.value(item, this)).collect::<Result<Vec<_>>>()?;
                self.list(0, items)?
            }
            Code::MapOf(entries) => {
                self.charge(0, entries.len() * ITEM_BYTES * 2)?;
                let entries = entries.iter().map(|(key, value)| {
                    let mut name = String::new();
                    self.write(0, &self.value(key, this)?, &mut name)?;
                    Ok((Cow::Owned(name), self.value(value, this)?))
                });
                Value::Map(entries.collect::<Result<Vec<_>>>()?.into())
            }
            Code::Between(at, value, range) => {
                let value = self.value(value, this)?;
                operators::between(self, *at, &value, &self.value(range, this)?)?
            }
            Code::Property(at, subject, name) => {
                let subject = self.value(subject, this)?;
                self.property(*at, &subject, name)?
            }
            Code::Index(at, subject, index) => {
                let subject = self.value(subject, this)?;
                let index = self.value(index, this)?;
                self.index(*at, &subject, index.single())?
            }
            Code::Call(at, method, subject, arguments) => {
                let subject = self.value(subject, this)?;
                let mut given = [Value::Null, Value::Null];
                for (given, argument) in given.iter_mut().zip(arguments) {
                    *given = self.value(argument, this)?;
                }
                let given = given.get(..arguments.len()).unwrap_or(&given);
                methods::call(self, *at, *method, subject, given)?
            }
            Code::CallMap(at, method, map, name, other) => {
                let name = name.as_ref().map(|name| self.value(name, this)).transpose()?.unwrap_or_default();
                let found = self.call_map(*at, *method, *map, name.single())?;
                match other {
                    Some(other) if found.is_null() => self.value(other, this)?,
                    _ => found,
                }
            }
            Code::Static(at, function, arguments) => {
                let mut given = [Value::Null, Value::Null];
                for (given, argument) in given.iter_mut().zip(arguments) {
                    *given = self.value(argument, this)?;
                }
                statics::call(self, *at, *function, given)?
            }
            Code::Each(at, each, subject, body) => {
                let subject = self.value(subject, this)?;
                self.each(*at, *each, &subject, body)?
            }
            Code::JsonPath(at, subject, path) => self.json_path(*at, subject, path, this)?,
            Code::JsonPathOf(at, subject, path) => {
                let path = self.value(path, this)?;
                let Value::Text(text) = path.single() else { return Ok(Value::Null) };
                self.step(*at, text.len())?;
                let path = Path::compile(text)
                    .map_err(|problem| EvalError::new(*at, format!("the JSON path is not one: {problem}")))?;
                self.json_path(*at, subject, &path, this)?
            }
            Code::Escape(at, escape, text) => {
                let value = self.value(text, this)?;
                if value.is_null() {
                    return Ok(Value::Null);
                }
                let mut text = String::new();
                self.write(*at, &value, &mut text)?;
                let mut out = String::with_capacity(text.len());
                match escape {
                    Escape::Xml => json::escape_xml(&text, &mut out),
                    Escape::Json => json::escape(&text, &mut out),
                }
                self.made(*at, out)?
            }
            // Those of `value` do not come here, and what is no value was refused when it was compiled.
            _ => Value::Null,
        })
    }

    /// Whether a value holds. What is missing does not.
    pub(crate) fn truth(&self, at: u32, value: &Value<'_>) -> Result<bool> {
        match value.single() {
            Value::Bool(value) => Ok(*value),
            Value::Null => Ok(false),
            Value::Text(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Value::Text(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            other => Err(EvalError::new(at, format!("true or false is needed here, not {}", other.kind()))),
        }
    }

    fn name<'k>(&self, key: &'a Key, ignores_case: bool, this: Option<&Value<'a>>) -> Result<Cow<'k, str>>
    where
        'a: 'k,
    {
        let (at, code) = match key {
            Key::Const(name) => return Ok(Cow::Borrowed(name)),
            Key::Code(at, code) => (*at, code),
        };
        let value = self.value(code, this)?;
        let name = match value {
            Value::Text(name) => name,
            other => {
                let mut name = String::new();
                self.write(at, &other, &mut name)?;
                name.into()
            }
        };
        Ok(if ignores_case { name.to_ascii_lowercase().into() } else { name })
    }

    fn entry(&self, map: Map, name: &str, index: Option<usize>) -> Result<Value<'a>> {
        let index = match index {
            Some(index) => return Ok(self.context.entry(map, name, index)),
            None if !map.is_multi() => return Ok(self.context.entry(map, name, 0)),
            None => self.context.entry(map, name, 0),
        };
        if index.is_null() {
            return Ok(Value::Null);
        }
        let second = self.context.entry(map, name, 1);
        if second.is_null() {
            self.charge(0, ITEM_BYTES)?;
            return Ok(Value::List([index].into()));
        }
        let mut values = vec![index, second];
        loop {
            let value = self.context.entry(map, name, values.len());
            if value.is_null() {
                return self.list(0, values);
            }
            self.step(0, 1)?;
            values.push(value);
        }
    }

    fn call_map(&self, at: u32, method: MapMethod, map: Map, name: &Value<'a>) -> Result<Value<'a>> {
        let found = |index| match name {
            Value::Text(name) if map.ignores_case() && name.bytes().any(|byte| byte.is_ascii_uppercase()) => {
                self.entry(map, &name.to_ascii_lowercase(), index)
            }
            Value::Text(name) => self.entry(map, name, index),
            Value::Null => Ok(Value::Null),
            other => Err(EvalError::new(at, format!("a name is a text, not {}", other.kind()))),
        };
        Ok(match method {
            MapMethod::First => found(Some(0))?,
            MapMethod::ContainsKey => Value::Bool(!found(Some(0))?.is_null()),
            MapMethod::GetOrDefault => found(None)?,
            MapMethod::Size | MapMethod::IsEmpty => {
                let mut count = 0i64;
                self.context.names(map, &mut |_| count += 1);
                if method == MapMethod::Size { Value::Int(count) } else { Value::Bool(count == 0) }
            }
            MapMethod::KeySet => self.names(map)?,
            MapMethod::Values => match self.whole(map)? {
                Value::Map(entries) => self.list(at, entries.iter().map(|(_, value)| value.clone()).collect())?,
                other => other,
            },
        })
    }

    fn names(&self, map: Map) -> Result<Value<'a>> {
        let mut names = Vec::new();
        let mut bytes = 0;
        self.context.names(map, &mut |name| {
            bytes += name.len();
            names.push(Value::Text(name.to_owned().into()));
        });
        self.step(0, names.len())?;
        self.charge(0, bytes)?;
        self.list(0, names)
    }

    /// A map of the context as a value.
    fn whole(&self, map: Map) -> Result<Value<'a>> {
        let Value::List(names) = self.names(map)? else { return Ok(Value::Null) };
        let entries = names.iter().filter_map(|name| match name {
            Value::Text(name) => {
                let key = if map.ignores_case() { name.to_ascii_lowercase().into() } else { name.clone() };
                Some(self.entry(map, &key, None).map(|value| (name.clone(), value)))
            }
            _ => None,
        });
        Ok(Value::Map(entries.collect::<Result<Vec<_>>>()?.into()))
    }

    fn property(&self, at: u32, subject: &Value<'a>, name: &str) -> Result<Value<'a>> {
        let count = |count: usize| Value::Int(i64::try_from(count).unwrap_or(i64::MAX));
        Ok(match subject {
            Value::Map(entries) => {
                self.step(at, entries.len() / 8)?;
                subject.entry(name).cloned().unwrap_or_default()
            }
            Value::List(items) if matches!(name, "length" | "size") => count(items.len()),
            Value::List(items) if name == "empty" => Value::Bool(items.is_empty()),
            Value::Text(text) if name == "empty" => Value::Bool(text.is_empty()),
            _ => Value::Null,
        })
    }

    fn index(&self, at: u32, subject: &Value<'a>, index: &Value<'a>) -> Result<Value<'a>> {
        Ok(match (subject, index) {
            (Value::List(items), Value::Int(index)) => {
                usize::try_from(*index).ok().and_then(|index| items.get(index)).cloned().unwrap_or_default()
            }
            (Value::Map(_), Value::Text(name)) => self.property(at, subject, name)?,
            (Value::Map(_), Value::Int(number)) => self.property(at, subject, &number.to_string())?,
            (Value::Text(text), Value::Int(index)) => methods::char_at(text, *index),
            _ => Value::Null,
        })
    }

    fn each(&self, at: u32, each: Each, subject: &Value<'a>, body: &'a Code) -> Result<Value<'a>> {
        let entries: Cow<'_, [Value<'a>]> = match subject {
            Value::Null => return Ok(Value::Null),
            Value::List(items) => Cow::Borrowed(items),
            Value::Map(entries) => {
                self.charge(at, entries.len() * ITEM_BYTES * 5)?;
                let entry = |(key, value): &(Cow<'a, str>, Value<'a>)| {
                    let key = ("key".into(), Value::Text(key.clone()));
                    Value::Map([key, ("value".into(), value.clone())].into())
                };
                Cow::Owned(entries.iter().map(entry).collect())
            }
            other => {
                let message = format!("only lists and maps have items to look at, not {}", other.kind());
                return Err(EvalError::new(at, message));
            }
        };
        let mut found = Vec::new();
        let mut order: Box<dyn Iterator<Item = usize>> = Box::new(0..entries.len());
        if each == Each::Last {
            order = Box::new((0..entries.len()).rev());
        }
        for index in order {
            let Some(item) = entries.get(index) else { break };
            let value = self.value(body, Some(item))?;
            match each {
                Each::Project => found.push(value),
                _ if !self.truth(at, &value)? => {}
                Each::Select => found.push(item.clone()),
                Each::First | Each::Last => {
                    found.push(item.clone());
                    break;
                }
            }
        }
        match (subject, each) {
            (Value::Map(_), Each::Select | Each::First | Each::Last) if each == Each::Select || !found.is_empty() => {
                let pair = |entry: &Value<'a>| match (entry.entry("key"), entry.entry("value")) {
                    (Some(Value::Text(key)), Some(value)) => Some((key.clone(), value.clone())),
                    _ => None,
                };
                self.charge(at, found.len() * ITEM_BYTES * 2)?;
                Ok(Value::Map(found.iter().filter_map(pair).collect()))
            }
            (_, Each::First | Each::Last) => Ok(found.pop().unwrap_or_default()),
            _ => self.list(at, found),
        }
    }

    /// A content as JSON, read once; null if it is none.
    fn json(&self, at: u32, body: Body) -> Result<Value<'a>> {
        let [request, response, message, callout] = &self.json;
        let cell = match body {
            Body::Request => request,
            Body::Response => response,
            Body::Message => message,
            Body::Callout => callout,
        };
        if let Some(value) = cell.get() {
            return Ok(value.clone());
        }
        let value = match self.context.body(body) {
            Some(document) => json::parse(document, &self.json_room).map_err(|_| too_many(at))?.unwrap_or_default(),
            None => Value::Null,
        };
        Ok(cell.get_or_init(|| value).clone())
    }

    fn json_path(&self, at: u32, subject: &'a Code, path: &Path, this: Option<&Value<'a>>) -> Result<Value<'a>> {
        let subject = match subject {
            Code::Content(body) => self.json(at, *body)?,
            other => self.value(other, this)?,
        };
        match subject.single() {
            Value::Null => Ok(Value::Null),
            Value::Text(Cow::Borrowed(text)) => {
                let document = json::parse(text.as_bytes(), &self.json_room).map_err(|_| too_many(at))?;
                document.map_or(Ok(Value::Null), |document| path.find(self, at, &document))
            }
            Value::Text(Cow::Owned(text)) => {
                let document = json::parse(text.as_bytes(), &self.json_room).map_err(|_| too_many(at))?;
                self.charge(at, text.len())?;
                document.map_or(Ok(Value::Null), |document| path.find(self, at, &document.into_static()))
            }
            document => path.find(self, at, document),
        }
    }

    /// Writes a value as it stands in a text: null is nothing, the items of a list are joined with commas, a map is JSON.
    pub(crate) fn write(&self, at: u32, value: &Value<'_>, out: &mut String) -> Result<()> {
        let before = out.len();
        match value {
            Value::Null => {}
            Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Value::Int(value) => out.push_str(&value.to_string()),
            Value::Float(value) => write_float(*value, out),
            Value::Text(text) => {
                self.charge(at, text.len())?;
                out.push_str(text);
                return Ok(());
            }
            Value::List(items) => {
                for (place, item) in items.iter().enumerate() {
                    self.step(at, 1)?;
                    if place > 0 {
                        out.push(',');
                    }
                    self.write(at, item, out)?;
                }
                return self.charge(at, items.len());
            }
            Value::Map(_) => return self.write_json(at, value, out),
        }
        self.charge(at, out.len() - before)
    }

    fn write_json(&self, at: u32, value: &Value<'_>, out: &mut String) -> Result<()> {
        self.step(at, 1)?;
        self.charge(at, 4)?;
        match value {
            Value::Null => out.push_str("null"),
            Value::Float(value) if !value.is_finite() => out.push_str("null"),
            Value::Text(text) => self.write_quoted(at, text, out)?,
            Value::List(items) => {
                out.push('[');
                for (place, item) in items.iter().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    self.write_json(at, item, out)?;
                }
                out.push(']');
            }
            Value::Map(entries) => {
                out.push('{');
                for (place, (key, item)) in entries.iter().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    self.write_quoted(at, key, out)?;
                    out.push(':');
                    self.write_json(at, item, out)?;
                }
                out.push('}');
            }
            other => self.write(at, other, out)?,
        }
        Ok(())
    }

    fn write_quoted(&self, at: u32, text: &str, out: &mut String) -> Result<()> {
        self.charge(at, text.len() + 2)?;
        out.push('"');
        json::escape(text, out);
        out.push('"');
        Ok(())
    }
}

fn too_many(at: u32) -> EvalError {
    EvalError::new(at, format!("the JSON documents have more than {JSON_VALUES_MAX} values"))
}

/// The parts of a path, empty ones at its end left out, as Java splits a text.
fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.trim_end_matches('/').split('/')
}

impl Code {
    /// Where an error of it is reported.
    fn at(&self) -> u32 {
        match self {
            Self::Binary(at, ..) | Self::And(at, ..) | Self::Or(at, ..) | Self::Call(at, ..) | Self::Index(at, ..) => {
                *at
            }
            Self::Each(at, ..) | Self::Property(at, ..) | Self::Choice(at, ..) | Self::Pattern(at, ..) => *at,
            _ => 0,
        }
    }
}

impl Matching {
    /// How it is named in an error.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Whole => "matches",
            Self::Split => "split",
            Self::ReplaceAll(_) => "replaceAll",
        }
    }
}
