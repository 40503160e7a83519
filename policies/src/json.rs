//! JSON (RFC 8259): a strict scanner without a tree, and a tree that keeps the order of names and the digits of numbers.
//!
//! Bodies become trees by [`crate::tape`], and by the strict reader here where that cannot. The reader is iterative where the text decides how deep
//! it goes: no text can exhaust the stack.

use std::borrow::Cow;
use std::fmt::{self, Write};

use indexmap::IndexMap;

use crate::tape;

/// Levels that a tree may have; a deeper text is refused.
pub const DEPTH_MAX: usize = 256;

/// A text that is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Bytes before the place where it went wrong.
    pub offset: usize,
    /// What is wrong there.
    pub what: &'static str,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.offset)
    }
}

/// What a [`Scanner`] comes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// `{`
    BeginObject,
    /// `}`
    EndObject,
    /// `[`
    BeginArray,
    /// `]`
    EndArray,
    /// The name of a member, without escapes.
    Name(Cow<'a, str>),
    /// A string, without escapes.
    String(Cow<'a, str>),
    /// A number as it is written.
    Number(&'a str),
    /// `true` or `false`
    Bool(bool),
    /// `null`
    Null,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    Value,
    ValueOrEnd,
    Name,
    NameOrEnd,
    CommaOrEnd,
    Nothing,
}

/// Goes through a text once, token by token. Memory: one byte per open level, and a copy of a string that has escapes.
pub struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// `true`: an object.
    open: Vec<bool>,
    expected: Expected,
}

impl<'a> Scanner<'a> {
    /// A scanner of `text`.
    ///
    /// # Errors
    /// It is not UTF-8.
    pub fn new(text: &'a [u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(text)
            .map_err(|error| Malformed { offset: error.valid_up_to(), what: "bytes that are not UTF-8" })?;
        Ok(Self { text, at: 0, open: Vec::new(), expected: Expected::Value })
    }

    /// Objects and arrays that are open.
    pub fn depth(&self) -> usize {
        self.open.len()
    }

    /// Whether the object or array that is `up` levels above the innermost one is an array.
    pub fn is_in_array(&self, up: usize) -> bool {
        self.open.iter().nth_back(up) == Some(&false)
    }

    /// The next token; `None` behind the one value of the text.
    ///
    /// # Errors
    /// The text is not JSON.
    pub fn next(&mut self) -> Result<Option<Event<'a>>, Malformed> {
        loop {
            self.skip_space();
            let Some(&byte) = self.text.as_bytes().get(self.at) else {
                return if self.expected == Expected::Nothing { Ok(None) } else { Err(self.wrong("the end")) };
            };
            match (self.expected, byte) {
                (Expected::CommaOrEnd, b',') => {
                    self.at += 1;
                    self.expected = if self.in_object() { Expected::Name } else { Expected::Value };
                }
                (Expected::CommaOrEnd | Expected::NameOrEnd, b'}') if self.in_object() => {
                    return Ok(Some(self.close(Event::EndObject)));
                }
                (Expected::CommaOrEnd | Expected::ValueOrEnd, b']') if !self.in_object() => {
                    return Ok(Some(self.close(Event::EndArray)));
                }
                (Expected::Name | Expected::NameOrEnd, b'"') => {
                    let name = self.string()?;
                    self.skip_space();
                    if self.text.as_bytes().get(self.at) != Some(&b':') {
                        return Err(self.wrong("a name without a colon"));
                    }
                    self.at += 1;
                    self.expected = Expected::Value;
                    return Ok(Some(Event::Name(name)));
                }
                (Expected::Value | Expected::ValueOrEnd, _) => return self.value(byte).map(Some),
                (Expected::Nothing, _) => return Err(self.wrong("something behind the value")),
                _ => return Err(self.wrong("an unexpected character")),
            }
        }
    }

    fn value(&mut self, byte: u8) -> Result<Event<'a>, Malformed> {
        let event = match byte {
            b'{' | b'[' => {
                self.at += 1;
                self.open.push(byte == b'{');
                self.expected = if byte == b'{' { Expected::NameOrEnd } else { Expected::ValueOrEnd };
                return Ok(if byte == b'{' { Event::BeginObject } else { Event::BeginArray });
            }
            b'"' => Event::String(self.string()?),
            b't' => self.word("true", Event::Bool(true))?,
            b'f' => self.word("false", Event::Bool(false))?,
            b'n' => self.word("null", Event::Null)?,
            b'-' | b'0'..=b'9' => self.number()?,
            _ => return Err(self.wrong("an unexpected character")),
        };
        self.expected = self.behind_value();
        Ok(event)
    }

    fn close(&mut self, event: Event<'a>) -> Event<'a> {
        self.at += 1;
        self.open.pop();
        self.expected = self.behind_value();
        event
    }

    fn behind_value(&self) -> Expected {
        if self.open.is_empty() { Expected::Nothing } else { Expected::CommaOrEnd }
    }

    fn in_object(&self) -> bool {
        self.open.last() == Some(&true)
    }

    fn wrong(&self, what: &'static str) -> Malformed {
        Malformed { offset: self.at, what }
    }

    fn skip_space(&mut self) {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        self.at += rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
    }

    fn word(&mut self, word: &str, event: Event<'a>) -> Result<Event<'a>, Malformed> {
        if !self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            return Err(self.wrong("an unknown word"));
        }
        self.at += word.len();
        Ok(event)
    }

    fn number(&mut self) -> Result<Event<'a>, Malformed> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let length = number_length(rest.as_bytes()).ok_or_else(|| self.wrong("a malformed number"))?;
        self.at += length;
        Ok(Event::Number(rest.get(..length).unwrap_or_default()))
    }

    /// At its opening quote; behind its closing one afterwards.
    fn string(&mut self) -> Result<Cow<'a, str>, Malformed> {
        self.at += 1;
        let mut from = self.at;
        let mut decoded: Option<String> = None;
        loop {
            let byte = self.text.as_bytes().get(self.at).ok_or_else(|| self.wrong("a string without an end"))?;
            match byte {
                b'"' => {
                    let last = self.text.get(from..self.at).unwrap_or_default();
                    self.at += 1;
                    return Ok(match decoded {
                        None => Cow::Borrowed(last),
                        Some(text) => Cow::Owned(text + last),
                    });
                }
                b'\\' => {
                    let text = decoded.get_or_insert_default();
                    text.push_str(self.text.get(from..self.at).unwrap_or_default());
                    let character = self.escape()?;
                    decoded.get_or_insert_default().push(character);
                    from = self.at;
                }
                0..0x20 => return Err(self.wrong("a control character in a string")),
                _ => self.at += 1,
            }
        }
    }

    /// At a backslash; behind the escape afterwards.
    fn escape(&mut self) -> Result<char, Malformed> {
        let kind = self.text.as_bytes().get(self.at + 1).copied().unwrap_or_default();
        if kind == b'u' {
            let unit = self.hex(self.at + 2)?;
            self.at += 6;
            if !(0xd800..0xe000).contains(&unit) {
                return char::from_u32(unit).ok_or_else(|| self.wrong("an escape of no character"));
            }
            let is_pair = unit < 0xdc00 && self.text.as_bytes().get(self.at..self.at + 2) == Some(b"\\u");
            let low = if is_pair { self.hex(self.at + 2)? } else { 0 };
            if !(0xdc00..0xe000).contains(&low) {
                return Err(self.wrong("half of a surrogate pair"));
            }
            self.at += 6;
            let code = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
            return char::from_u32(code).ok_or_else(|| self.wrong("an escape of no character"));
        }
        let character = match kind {
            b'"' | b'\\' | b'/' => char::from(kind),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            _ => return Err(self.wrong("an unknown escape")),
        };
        self.at += 2;
        Ok(character)
    }

    fn hex(&self, at: usize) -> Result<u32, Malformed> {
        let digits = self.text.as_bytes().get(at..at + 4).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let unit = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        unit.ok_or_else(|| self.wrong("an escape without four digits"))
    }
}

/// Bytes of the number at the start of `text`, by the grammar of RFC 8259 section 6.
pub fn number_length(text: &[u8]) -> Option<usize> {
    let digits =
        |from: usize| text.get(from..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = usize::from(text.first() == Some(&b'-'));
    let whole = digits(at);
    if whole == 0 || (whole > 1 && text.get(at) == Some(&b'0')) {
        return None;
    }
    at += whole;
    if text.get(at) == Some(&b'.') {
        at += 1 + Some(digits(at + 1)).filter(|fraction| *fraction > 0)?;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        at += 1 + usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        at += Some(digits(at)).filter(|exponent| *exponent > 0)?;
    }
    Some(at)
}

/// Members in the order in which they came; of members of one name the last counts.
pub type Object = IndexMap<String, Value>;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number as it was written.
    Number(Box<str>),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Value>),
    /// An object.
    Object(Object),
}

impl Value {
    /// Reads a text.
    ///
    /// # Errors
    /// It is not JSON, or it is deeper than [`DEPTH_MAX`].
    pub fn parse(text: &[u8]) -> Result<Self, Malformed> {
        tape::read(text, DEPTH_MAX).map_or_else(|| Self::parse_strictly(text), Ok)
    }

    /// The same without simd-json.
    fn parse_strictly(text: &[u8]) -> Result<Self, Malformed> {
        let mut scanner = Scanner::new(text)?;
        // What is open, with the name under which it goes into what is around it.
        let mut open: Vec<(Value, Option<String>)> = Vec::new();
        let mut name = None;
        let mut whole = Value::Null;
        while let Some(event) = scanner.next()? {
            let done = match event {
                Event::BeginObject | Event::BeginArray => {
                    if open.len() >= DEPTH_MAX {
                        return Err(Malformed { offset: scanner.at, what: "more levels than are allowed" });
                    }
                    let empty = if event == Event::BeginObject {
                        Value::Object(Object::new())
                    } else {
                        Value::Array(Vec::new())
                    };
                    open.push((empty, name.take()));
                    continue;
                }
                Event::EndObject | Event::EndArray => {
                    let Some((value, under)) = open.pop() else { break };
                    name = under;
                    value
                }
                Event::Name(text) => {
                    name = Some(text.into_owned());
                    continue;
                }
                Event::String(text) => Value::String(text.into_owned()),
                Event::Number(digits) => Value::Number(digits.into()),
                Event::Bool(value) => Value::Bool(value),
                Event::Null => Value::Null,
            };
            match open.last_mut() {
                Some((Value::Object(object), _)) => {
                    object.insert(name.take().unwrap_or_default(), done);
                }
                Some((Value::Array(items), _)) => items.push(done),
                _ => whole = done,
            }
        }
        Ok(whole)
    }

    /// The object, if it is one.
    pub fn as_object(&self) -> Option<&Object> {
        if let Value::Object(object) = self { Some(object) } else { None }
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        if let Value::String(text) = self { Some(text) } else { None }
    }

    /// Appends it to `out` as text, without spaces.
    pub fn write(&self, out: &mut String) {
        match self {
            Value::Null => out.push_str("null"),
            Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Value::Number(digits) => out.push_str(digits),
            Value::String(text) => write_string(text, out),
            Value::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Value::Object(object) => {
                out.push('{');
                for (index, (name, value)) in object.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    write_string(name, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.write(&mut text);
        f.write_str(&text)
    }
}

/// Levels that an instance of a schema may have.
const INSTANCE_DEPTH_MAX: usize = 127;

/// A body to be held against a schema. Numbers are `i64`, `u64` or `f64`.
///
/// # Errors
/// It is not JSON, has more than 127 levels, or a number that no `f64` holds.
pub fn instance(text: &[u8]) -> Result<serde_json::Value, serde_json::Error> {
    tape::read(text, INSTANCE_DEPTH_MAX).map_or_else(|| serde_json::from_slice(text), Ok)
}

/// Holds the two readers against each other.
#[cfg(any(fuzzing, test))]
pub fn agree(text: &[u8]) {
    // So long that simd-json reads it.
    let long = [text, &[b' '; 1024]].concat();
    let strict = Value::parse_strictly(&long);
    if let Some(fast) = tape::read::<Value>(&long, DEPTH_MAX) {
        assert_eq!(Ok(&fast), strict.as_ref(), "{}", String::from_utf8_lossy(text));
    }
    let exact: Result<serde_json::Value, _> = serde_json::from_slice(&long);
    if let Some(fast) = tape::read::<serde_json::Value>(&long, INSTANCE_DEPTH_MAX) {
        assert_eq!(Some(fast), exact.ok(), "{}", String::from_utf8_lossy(text));
    }
}

/// Appends `text` in quotes, with the escapes that it needs.
pub fn write_string(text: &str, out: &mut String) {
    out.push('"');
    escape(text, out);
    out.push('"');
}

/// Appends `text` with the escapes that it needs inside of quotes.
pub fn escape(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            _ => out.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_keeps_order_and_digits() {
        let text =
            r#"{"b":[1e400,-0.10,12345678901234567890123],"a":{"":"\"\\\n\u0001é😀"},"b2":[true,false,null,[],{}]}"#;
        let value = Value::parse(text.as_bytes()).map(|value| value.to_string());
        assert_eq!(value.as_deref(), Ok(text));
        assert_eq!(Value::parse(br#"  "\ud83d\ude00\/" "#), Ok(Value::String("\u{1f600}/".into())));
        assert_eq!(Value::parse(br#"{"a":1,"a":2}"#).map(|value| value.to_string()).as_deref(), Ok(r#"{"a":2}"#));
    }

    #[test]
    fn a_long_text_is_read_like_a_short_one() {
        let text = format!(
            r#"{{"pad":"{}","n":["-1\\",-0,0,1.50,1E2,18446744073709551615,18446744073709551616,-9223372036854775808,
            -9223372036854775809,123456789012345678.9,0.1e-7],"d":1,"d":{{"\u00e9\n":null}},"e":[[],{{}},true,false,""]}}"#,
            r#"\"1,\\"#.repeat(200)
        );
        let fast = tape::read::<Value>(text.as_bytes(), DEPTH_MAX).expect("it is JSON");
        assert_eq!(Ok(&fast), Value::parse_strictly(text.as_bytes()).as_ref());
        let instance = tape::read::<serde_json::Value>(text.as_bytes(), DEPTH_MAX);
        assert_eq!(instance, serde_json::from_str(&text).ok());

        let large = text.replace("0.1e-7", "1e400");
        assert_eq!(tape::read::<Value>(large.as_bytes(), DEPTH_MAX), None, "no `f64` holds it");
        assert!(Value::parse(large.as_bytes()).is_ok());
        assert!(instance.is_some() && super::instance(large.as_bytes()).is_err());
        for levels in [DEPTH_MAX, DEPTH_MAX + 1] {
            let deep = format!("{}{}{}", "[".repeat(levels), " ".repeat(600), "]".repeat(levels));
            assert_eq!(tape::read::<Value>(deep.as_bytes(), DEPTH_MAX).is_some(), levels == DEPTH_MAX);
            assert_eq!(Value::parse(deep.as_bytes()).is_ok(), levels == DEPTH_MAX);
        }
    }

    #[test]
    fn escapes_are_resolved_wherever_they_stand() {
        for length in 0..100 {
            let before = "!".repeat(length);
            for escape in [r"\ud600", r"\n", r"\u0041", r"\u00e9", r"\ud83d\ude00", r"\\\u20ac\/"] {
                agree(format!(r#"{{":":"{before}{escape}"}}"#).as_bytes());
                agree(format!(r#"["{escape}{before}{escape}{before}"]"#).as_bytes());
            }
        }
    }

    #[test]
    fn what_is_not_json_is_refused() {
        let malformed: &[&[u8]] = &[
            b"",
            b" ",
            b"{",
            b"[",
            b"}",
            b"]",
            b"[}",
            b"{]",
            b"[1,]",
            b"[,1]",
            b"{,}",
            b"{\"a\"}",
            b"{\"a\":}",
            b"{\"a\":1,}",
            b"{a:1}",
            b"{1:1}",
            b"[1 2]",
            b"01",
            b"-",
            b"+1",
            b"1.",
            b".5",
            b"1e",
            b"1e+",
            b"--1",
            b"0x1",
            b"NaN",
            b"tru",
            b"truex",
            b"nul",
            b"'a'",
            b"\"",
            b"\"\\",
            b"\"\\x\"",
            b"\"\\u12\"",
            b"\"\\u12g4\"",
            b"\"\\ud800\"",
            b"\"\\udc00\"",
            b"\"\\ud800\\u0041\"",
            b"\"\n\"",
            b"\"\xff\"",
            b"1 1",
            b"{} {}",
            b"/**/1",
            b"\xef\xbb\xbf1",
            b"\"\\u+123\"",
        ];
        for text in malformed {
            assert!(Value::parse(text).is_err(), "{}", String::from_utf8_lossy(text));
            let long = [&b" ".repeat(600), *text].concat();
            assert!(Value::parse(&long).is_err() && instance(&long).is_err(), "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn a_deep_text_costs_a_byte_a_level() {
        let deep = "[".repeat(1_000_000);
        assert!(Value::parse(deep.as_bytes()).is_err());
        let mut scanner = Scanner::new(deep.as_bytes()).expect("ASCII");
        while let Ok(Some(_)) = scanner.next() {}
        assert_eq!(scanner.depth(), 1_000_000);
        let closed = format!("{}{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX));
        assert!(Value::parse(closed.as_bytes()).is_ok());
    }
}
