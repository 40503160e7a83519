//! A tree of values that remembers where each one was written.
//!
//! Definitions and settings are read into it first, from YAML or JSON, and everything else (aliases, substitution, checks, typed
//! models) works on it. So each problem has a line and a column, whichever step finds it; serde's own positions are wrong inside of tagged
//! enums, because it buffers those.

use std::fmt;
use std::sync::Arc;

use crate::problem::Problem;

/// The deepest nesting of maps and sequences in a file.
pub const DEPTH_MAX: usize = 128;

/// The most values in a file, those of expanded aliases included.
pub const NODES_MAX: usize = 4_000_000;

/// The most values that the aliases of a YAML file may expand to: what a "billion laughs" file runs into.
pub const ALIASED_NODES_MAX: usize = 100_000;

/// A file that was read, or a text that came from elsewhere.
#[derive(PartialEq, Eq)]
pub struct Source {
    /// Its name for problems: the path as the operator gave it.
    pub name: String,
    /// What it said, before substitution.
    pub text: String,
}

impl Source {
    /// A text and its name.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { name: name.into(), text: text.into() })
    }

    /// Line `line` (from 1) without its end; empty beyond the last.
    pub fn line(&self, line: u32) -> &str {
        let at = usize::try_from(line).unwrap_or(usize::MAX).saturating_sub(1);
        self.text.lines().nth(at).unwrap_or_default()
    }
}

/// The text may hold secrets, and is never shown whole.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({:?}, {} bytes)", self.name, self.text.len())
    }
}

/// Where a value or a key begins.
#[derive(Clone, PartialEq, Eq)]
pub struct Span {
    /// The file.
    pub source: Arc<Source>,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl Span {
    /// The beginning of a file.
    pub fn start(source: Arc<Source>) -> Self {
        Self { source, line: 1, column: 1 }
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.source.name, self.line, self.column)
    }
}

/// A value and where it was written.
#[derive(Clone)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it begins.
    pub span: Span,
    /// Whether it came, whole or in part, from the environment or another file. Then it may be a secret and is never shown, and may stand for a
    /// number or a boolean although it is text.
    pub substituted: bool,
}

/// A value.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// `null`, and nothing at all in YAML.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// Text.
    String(String),
    /// A sequence.
    Seq(Vec<Node>),
    /// A map, in the order of the file; no key occurs twice.
    Map(Vec<Entry>),
}

/// An entry of a map.
#[derive(Clone)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key begins.
    pub span: Span,
    /// The value.
    pub value: Node,
}

/// A number as it was written, so that none loses digits.
#[derive(Clone)]
pub struct Number {
    text: String,
    /// Written without quotes in YAML, where a version such as `1.10` is easily meant as text.
    plain: bool,
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Number {
    /// A number of a JSON text, checked by the parser.
    pub(crate) fn json(text: String) -> Self {
        Self { text, plain: false }
    }

    /// A number of a YAML text, checked by the parser.
    pub(crate) fn yaml(text: String) -> Self {
        Self { text, plain: true }
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it may be taken as text where text is wanted.
    pub fn is_plain(&self) -> bool {
        self.plain
    }

    /// As an unsigned integer, when it is one. `1e3` and `2.0` are integers too (JSON Schema, section 6.1.1 of the core).
    pub fn as_u64(&self) -> Option<u64> {
        if let Ok(value) = self.digits().parse() {
            return Some(value);
        }
        if let Some(hex) = self.text.strip_prefix("0x") {
            return u64::from_str_radix(hex, 16).ok();
        }
        if let Some(octal) = self.text.strip_prefix("0o") {
            return u64::from_str_radix(octal, 8).ok();
        }
        // Beyond 2^53 a float has lost digits: such a number must be written as an integer.
        let float = self.as_f64();
        (float.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&float)).then_some(float as u64)
    }

    /// As a signed integer, when it is one.
    pub fn as_i64(&self) -> Option<i64> {
        if let Ok(value) = self.digits().parse() {
            return Some(value);
        }
        match self.as_u64() {
            Some(value) => i64::try_from(value).ok(),
            None => {
                let float = self.as_f64();
                (float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0).then_some(float as i64)
            }
        }
    }

    pub(crate) fn to_f64(&self) -> Option<f64> {
        Some(self.as_f64())
    }

    /// As a float.
    pub fn as_f64(&self) -> f64 {
        match self.text.strip_prefix("0x").or_else(|| self.text.strip_prefix("0o")) {
            Some(_) => self.as_radix().map_or(f64::INFINITY, |value| value as f64),
            None => self.digits().parse().unwrap_or(f64::INFINITY),
        }
    }

    fn as_radix(&self) -> Option<u64> {
        let (radix, digits) = match self.text.split_at_checked(2)? {
            ("0x", digits) => (16, digits),
            (_, digits) => (8, digits),
        };
        u64::from_str_radix(digits, radix).ok()
    }

    fn digits(&self) -> &str {
        self.text.strip_prefix('+').unwrap_or(&self.text)
    }
}

impl Node {
    /// Reads a JSON text; `name` stands for it in problems.
    ///
    /// # Errors
    /// The first place where it is not JSON, is nested too deeply, or names a key twice.
    pub fn parse_json(name: &str, text: &str) -> Result<Self, Problem> {
        crate::json::parse(&Source::new(name, text))
    }

    /// Reads the documents of a YAML text, empty ones left out; `name` stands for it in problems.
    ///
    /// # Errors
    /// The first place that cannot be read.
    pub fn parse_yaml(name: &str, text: &str) -> Result<Vec<Self>, Problem> {
        crate::yaml::parse(&Source::new(name, text))
    }

    /// A value at a place.
    pub fn new(value: Value, span: Span) -> Self {
        Self { value, span, substituted: false }
    }

    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Seq(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// Whether nothing was said.
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// Whether it is null, an empty list or an empty map.
    pub fn is_empty(&self) -> bool {
        match &self.value {
            Value::Null => true,
            Value::Seq(items) => items.is_empty(),
            Value::Map(entries) => entries.iter().all(|entry| entry.value.is_null()),
            _ => false,
        }
    }

    /// Its text, if it is a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// Its text where text is wanted: a number that YAML read from unquoted text counts.
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            Value::Number(number) if number.is_plain() => Some(number.text()),
            _ => None,
        }
    }

    /// Its truth, if it is a boolean, or substituted text that spells one.
    pub fn as_bool(&self) -> Option<bool> {
        match &self.value {
            Value::Bool(value) => Some(*value),
            Value::String(text) if self.substituted => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// Its number, if it is one, or substituted text that spells one.
    pub fn as_number(&self) -> Option<Number> {
        match &self.value {
            Value::Number(number) => Some(number.clone()),
            Value::String(text) if self.substituted => {
                crate::json::is_number(text.trim()).then(|| Number::json(text.trim().to_owned()))
            }
            _ => None,
        }
    }

    /// Its items; none if it is no sequence.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::Seq(items) => items,
            _ => &[],
        }
    }

    /// Its entries; none if it is no map.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The entry of a key. An entry that is null counts: see [`Node::field`].
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The value of a key. Null is the same as absent: exports write it for what was never set.
    pub fn field(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value).filter(|value| !value.is_null())
    }

    /// The value for messages: shortened, and hidden where it may be a secret.
    pub fn shown(&self) -> String {
        const SHOWN_CHARS_MAX: usize = 40;
        if self.substituted {
            return "the substituted value".to_owned();
        }
        match &self.value {
            Value::Bool(value) => format!("`{value}`"),
            Value::Number(number) => format!("`{}`", number.text()),
            Value::String(text) if text.chars().count() > SHOWN_CHARS_MAX => {
                format!("`{}…`", text.chars().take(SHOWN_CHARS_MAX).collect::<String>().escape_debug())
            }
            Value::String(text) => format!("`{}`", text.escape_debug()),
            _ => self.kind().to_owned(),
        }
    }

    /// The same values without positions. Numbers that JSON can't hold become null, as in `serde_json`.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(value), _) => value.into(),
                (None, Some(value)) => value.into(),
                (None, None) => number.as_f64().into(),
            },
            Value::String(text) => Json::String(text.clone()),
            Value::Seq(items) => items.iter().map(Node::to_json).collect(),
            Value::Map(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.value.to_json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }

    /// A node of values that were never written in a file; every position is `span`.
    pub fn from_json(value: &serde_json::Value, span: &Span) -> Self {
        use serde_json::Value as Json;
        let value = match value {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => Value::Number(Number::json(number.to_string())),
            Json::String(text) => Value::String(text.clone()),
            Json::Array(items) => Value::Seq(items.iter().map(|item| Self::from_json(item, span)).collect()),
            Json::Object(map) => Value::Map(
                map.iter()
                    .map(|(key, value)| Entry {
                        key: key.clone(),
                        span: span.clone(),
                        value: Self::from_json(value, span),
                    })
                    .collect(),
            ),
        };
        Self::new(value, span.clone())
    }

    /// This map with the values of `over` laid over it: maps are merged key by key, everything else is replaced. Null says nothing.
    ///
    /// So `sharedConfigurationOverride` of an endpoint changes single fields of its group's `sharedConfiguration`.
    #[must_use]
    pub fn overlaid(&self, over: &Node) -> Node {
        let (Value::Map(below), Value::Map(above)) = (&self.value, &over.value) else {
            return if over.is_null() { self.clone() } else { over.clone() };
        };
        let mut merged = below.clone();
        for entry in above {
            match merged.iter_mut().find(|known| known.key == entry.key) {
                Some(known) => *known = Entry { value: known.value.overlaid(&entry.value), ..entry.clone() },
                None => merged.push(entry.clone()),
            }
        }
        Node { value: Value::Map(merged), span: over.span.clone(), substituted: false }
    }
}

/// Two nodes are equal when their values are, wherever they stand.
impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.value == other.value
    }
}

/// What was substituted may be a secret, and is not shown.
impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            _ if self.substituted => f.write_str("***"),
            Value::Null => f.write_str("null"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::Number(number) => f.write_str(number.text()),
            Value::String(text) => write!(f, "{text:?}"),
            Value::Seq(items) => f.debug_list().entries(items).finish(),
            Value::Map(entries) => {
                f.debug_map().entries(entries.iter().map(|entry| (&entry.key, &entry.value))).finish()
            }
        }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {:?}", self.key, self.value)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "Null",
            Self::Bool(_) => "Bool",
            Self::Number(_) => "Number",
            Self::String(_) => "String",
            Self::Seq(_) => "Seq",
            Self::Map(_) => "Map",
        })
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
