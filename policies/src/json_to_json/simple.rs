//! `default`, `remove`, `sort` and `cardinality`.

use ringway_contract::Refusal;

use super::path::{Pattern, index};
use crate::json::{Object, Value};

/// Items that `default` makes an array have at most.
const DEFAULT_INDEX_MAX: usize = 10_000;

/// A level of `default`: what is to be there.
pub struct Defaults {
    /// With literal keys first, then `a|b`, then `*`.
    entries: Vec<Default>,
}

struct Default {
    keys: Keys,
    is_array: bool,
    value: DefaultValue,
}

enum Keys {
    Literal(String),
    /// Those of these that are there.
    AnyOf(Vec<String>),
    /// All that are there.
    All,
}

enum DefaultValue {
    Leaf(Value),
    Level(Defaults),
}

impl Defaults {
    pub fn parse(spec: &Value) -> Result<Self, Refusal> {
        let object = spec.as_object().ok_or_else(|| Refusal("the `spec` of default is an object".into()))?;
        let mut entries = Vec::new();
        for (key, value) in object {
            let (key, is_array) = key.strip_suffix("[]").map_or((&**key, false), |key| (key, true));
            let keys = match key {
                "*" => Keys::All,
                _ if key.contains('|') => Keys::AnyOf(key.split('|').map(str::to_owned).collect()),
                _ => Keys::Literal(key.to_owned()),
            };
            let value = match value {
                Value::Object(_) => DefaultValue::Level(Self::parse(value)?),
                leaf => DefaultValue::Leaf(leaf.clone()),
            };
            if let (true, DefaultValue::Level(level)) = (is_array, &value) {
                for entry in &level.entries {
                    let numbered = match &entry.keys {
                        Keys::Literal(key) => index(key).is_some_and(|index| index <= DEFAULT_INDEX_MAX),
                        _ => true,
                    };
                    if !numbered {
                        return Err(Refusal(format!(
                            "`{key}[]`: keys of an array are numbers up to {DEFAULT_INDEX_MAX}"
                        )));
                    }
                }
            }
            entries.push(Default { keys, is_array, value });
        }
        entries.sort_by_key(|entry| match &entry.keys {
            Keys::Literal(_) => (0, 0),
            Keys::AnyOf(keys) => (1, usize::MAX - keys.len()),
            Keys::All => (2, 0),
        });
        Ok(Self { entries })
    }

    pub fn apply(&self, data: &mut Value) {
        for entry in &self.entries {
            let present: Vec<String> = match (&entry.keys, &*data) {
                (Keys::Literal(key), _) => vec![key.clone()],
                (Keys::AnyOf(keys), Value::Object(object)) => {
                    keys.iter().filter(|key| object.contains_key(*key)).cloned().collect()
                }
                (Keys::All, Value::Object(object)) => object.keys().cloned().collect(),
                (Keys::All, Value::Array(items)) => (0..items.len()).map(|index| index.to_string()).collect(),
                (Keys::AnyOf(keys), Value::Array(items)) => {
                    keys.iter().filter(|key| index(key).is_some_and(|index| index < items.len())).cloned().collect()
                }
                _ => Vec::new(),
            };
            for key in present {
                let Some(place) = slot(data, &key) else { continue };
                match &entry.value {
                    DefaultValue::Leaf(leaf) if *place == Value::Null => *place = leaf.clone(),
                    DefaultValue::Leaf(_) => {}
                    DefaultValue::Level(level) => {
                        if *place == Value::Null {
                            *place =
                                if entry.is_array { Value::Array(Vec::new()) } else { Value::Object(Object::new()) };
                        }
                        let fits = matches!(place, Value::Array(_)) == entry.is_array;
                        if fits && matches!(place, Value::Array(_) | Value::Object(_)) {
                            level.apply(place);
                        }
                    }
                }
            }
        }
    }
}

/// The place of a key, which is made where it is not there.
fn slot<'v>(data: &'v mut Value, key: &str) -> Option<&'v mut Value> {
    match data {
        Value::Object(object) => Some(object.entry(key.to_owned()).or_insert(Value::Null)),
        Value::Array(items) => {
            let index = index(key).filter(|index| *index <= DEFAULT_INDEX_MAX || *index < items.len())?;
            if index >= items.len() {
                items.resize(index + 1, Value::Null);
            }
            items.get_mut(index)
        }
        _ => None,
    }
}

/// A level of `remove`.
pub struct Removal {
    entries: Vec<(Pattern, Option<Removal>)>,
}

impl Removal {
    pub fn parse(spec: &Value) -> Result<Self, Refusal> {
        let object = spec.as_object().ok_or_else(|| Refusal("the `spec` of remove is an object".into()))?;
        let entry = |(key, value): (&String, &Value)| match value {
            Value::Object(_) => Ok((Pattern::parse(key)?, Some(Self::parse(value)?))),
            Value::String(text) if text.is_empty() => Ok((Pattern::parse(key)?, None)),
            other => Err(Refusal(format!("`{key}`: remove has \"\" or an object behind a key, not {other}"))),
        };
        Ok(Self { entries: object.iter().map(entry).collect::<Result<_, _>>()? })
    }

    pub fn apply(&self, data: &mut Value) {
        let goes = |key: &str, value: &mut Value| {
            let mut goes = false;
            for (_, below) in self.entries.iter().filter(|(pattern, _)| pattern.catch(key, &[]).is_some()) {
                match below {
                    Some(below) => below.apply(value),
                    None => goes = true,
                }
            }
            goes
        };
        match data {
            Value::Object(object) => {
                object.retain(|key, value| !goes(key, value));
            }
            Value::Array(items) => {
                let mut at = 0_usize;
                items.retain_mut(|value| {
                    at += 1;
                    !goes(&(at - 1).to_string(), value)
                });
            }
            _ => {}
        }
    }
}

/// `sort`: the members of every object by name; names with `~` before others.
pub fn sort(data: &mut Value) {
    match data {
        Value::Object(object) => {
            object.sort_by(|one, _, other, _| (!one.starts_with('~'), one).cmp(&(!other.starts_with('~'), other)));
            object.values_mut().for_each(sort);
        }
        Value::Array(items) => items.iter_mut().for_each(sort),
        _ => {}
    }
}

/// A level of `cardinality`.
pub struct Cardinality {
    itself: Option<Count>,
    entries: Vec<(Pattern, CountOrLevel)>,
}

#[derive(Clone, Copy)]
enum Count {
    One,
    Many,
}

enum CountOrLevel {
    Count(Count),
    Level(Cardinality),
}

impl Count {
    fn parse(spec: &Value) -> Result<Self, Refusal> {
        match spec.as_str() {
            Some("ONE") => Ok(Self::One),
            Some("MANY") => Ok(Self::Many),
            _ => Err(Refusal(format!("cardinality is `ONE` or `MANY`, not {spec}"))),
        }
    }

    fn apply(self, data: &mut Value) {
        match (self, &mut *data) {
            (Self::One, Value::Array(items)) => {
                *data = if items.is_empty() { Value::Null } else { items.swap_remove(0) };
            }
            (Self::Many, Value::Array(_)) | (Self::One, _) => {}
            (Self::Many, Value::Null) => *data = Value::Array(Vec::new()),
            (Self::Many, single) => *data = Value::Array(vec![std::mem::replace(single, Value::Null)]),
        }
    }
}

impl Cardinality {
    pub fn parse(spec: &Value) -> Result<Self, Refusal> {
        let object = spec.as_object().ok_or_else(|| Refusal("the `spec` of cardinality is an object".into()))?;
        let mut level = Self { itself: None, entries: Vec::new() };
        for (key, value) in object {
            if key == "@" {
                level.itself = Some(Count::parse(value)?);
                continue;
            }
            let below = match value {
                Value::Object(_) => CountOrLevel::Level(Self::parse(value)?),
                _ => CountOrLevel::Count(Count::parse(value)?),
            };
            level.entries.push((Pattern::parse(key)?, below));
        }
        level.entries.sort_by_key(|(pattern, _)| pattern.rank("").0);
        Ok(level)
    }

    pub fn apply(&self, data: &mut Value) {
        if let Some(count) = self.itself {
            count.apply(data);
        }
        let below = |key: &str, value: &mut Value| {
            let found = self.entries.iter().find(|(pattern, _)| pattern.catch(key, &[]).is_some());
            match found {
                Some((_, CountOrLevel::Count(count))) => count.apply(value),
                Some((_, CountOrLevel::Level(level))) => level.apply(value),
                None => {}
            }
        };
        match data {
            Value::Object(object) => object.iter_mut().for_each(|(key, value)| below(key, value)),
            Value::Array(items) => {
                items.iter_mut().enumerate().for_each(|(index, value)| below(&index.to_string(), value));
            }
            _ => {}
        }
    }
}
