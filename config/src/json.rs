//! A strict JSON parser (RFC 8259) that keeps positions.
//!
//! YAML parsers take most of JSON, but not surrogate pairs in escapes, nor tabs everywhere, and they take much that is not JSON.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use crate::node::{DEPTH_MAX, Entry, NODES_MAX, Node, Number, Source, Span, Value};
use crate::problem::Problem;

/// Reads a text.
///
/// # Errors
/// The first place where it is not JSON, is nested too deeply, or names a key twice.
pub(crate) fn parse(source: &Arc<Source>) -> Result<Node, Problem> {
    let text = source.text.strip_prefix('\u{feff}').unwrap_or(&source.text);
    let mut parser = Parser { source, text, at: 0, line: 1, column: (0, 1).into(), depth: 0, nodes: 0 };
    parser.space();
    let node = parser.value()?;
    parser.space();
    if parser.at < text.len() {
        return Err(parser.wrong("unexpected text behind the end of the JSON value"));
    }
    Ok(node)
}

/// Whether `text` is a number (RFC 8259 section 6).
pub(crate) fn is_number(text: &str) -> bool {
    number_bytes(text.as_bytes()) == Some(text.len())
}

/// Bytes of the number that `text` begins with; `None` if there is none.
fn number_bytes(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| text.iter().skip(from).take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = usize::from(text.first() == Some(&b'-'));
    match digits(at) {
        0 => return None,
        _ if text.get(at) == Some(&b'0') => at += 1,
        count => at += count,
    }
    if text.get(at) == Some(&b'.') {
        match digits(at + 1) {
            0 => return None,
            count => at += 1 + count,
        }
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        match digits(at + 1 + sign) {
            0 => return None,
            count => at += 1 + sign + count,
        }
    }
    Some(at)
}

struct Parser<'a> {
    source: &'a Arc<Source>,
    text: &'a str,
    /// Bytes read.
    at: usize,
    line: u32,
    /// A byte of this line that was looked at, and its column: columns count on from there, because a file may be one long line.
    column: Cell<(usize, u32)>,
    depth: usize,
    nodes: usize,
}

impl Parser<'_> {
    fn span(&self) -> Span {
        let (from, column) = self.column.get();
        let since = self.text.get(from..self.at).unwrap_or_default().chars().count();
        let column = column.saturating_add(u32::try_from(since).unwrap_or(u32::MAX));
        self.column.set((self.at, column));
        Span { source: self.source.clone(), line: self.line, column }
    }

    fn wrong(&self, message: impl Into<String>) -> Problem {
        Problem::error(&self.span(), "", message)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn space(&mut self) {
        while let Some(byte @ (b' ' | b'\t' | b'\r' | b'\n')) = self.peek() {
            self.at += 1;
            if byte == b'\n' {
                self.line = self.line.saturating_add(1);
                self.column.set((self.at, 1));
            }
        }
    }

    fn take(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self) -> Result<Node, Problem> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(self.wrong(format!("more than {NODES_MAX} values in one file")));
        }
        let span = self.span();
        let value = match self.peek() {
            Some(b'{') => self.nested(Self::map)?,
            Some(b'[') => self.nested(Self::seq)?,
            Some(b'"') => Value::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(_) => self.word()?,
            None => return Err(self.wrong("unexpected end of the file: a value is missing")),
        };
        Ok(Node::new(value, span))
    }

    fn nested(&mut self, parse: fn(&mut Self) -> Result<Value, Problem>) -> Result<Value, Problem> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.wrong(format!("nested more than {DEPTH_MAX} levels deep")));
        }
        let value = parse(self);
        self.depth -= 1;
        value
    }

    fn map(&mut self) -> Result<Value, Problem> {
        self.at += 1;
        let mut entries: Vec<Entry> = Vec::new();
        let mut keys = Keys::default();
        self.space();
        while !self.take(b'}') {
            if !entries.is_empty() {
                self.comma('}')?;
            }
            let span = self.span();
            if self.peek() != Some(b'"') {
                return Err(self.wrong("expected a key in double quotes"));
            }
            let key = self.string()?;
            keys.insert(&entries, &key, &span)?;
            self.space();
            if !self.take(b':') {
                return Err(self.wrong("expected `:` behind the key"));
            }
            self.space();
            let value = self.value()?;
            entries.push(Entry { key, span, value });
            self.space();
        }
        Ok(Value::Map(entries))
    }

    fn seq(&mut self) -> Result<Value, Problem> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        while !self.take(b']') {
            if !items.is_empty() {
                self.comma(']')?;
            }
            items.push(self.value()?);
            self.space();
        }
        Ok(Value::Seq(items))
    }

    /// The comma between two items.
    fn comma(&mut self, end: char) -> Result<(), Problem> {
        if !self.take(b',') {
            return Err(self.wrong(match self.peek() {
                None => format!("unexpected end of the file: `{end}` is missing"),
                Some(_) => format!("expected `,` or `{end}`"),
            }));
        }
        self.space();
        match self.peek() {
            Some(b'}' | b']') => Err(self.wrong("a comma must be followed by another item")),
            _ => Ok(()),
        }
    }

    fn number(&mut self) -> Result<Value, Problem> {
        let rest = self.rest();
        let length = number_bytes(rest.as_bytes()).ok_or_else(|| self.wrong("not a number"))?;
        let text = rest.get(..length).unwrap_or_default().to_owned();
        if rest.as_bytes().get(length).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'.') {
            return Err(self.wrong("not a number"));
        }
        self.at += length;
        Ok(Value::Number(Number::json(text)))
    }

    fn word(&mut self) -> Result<Value, Problem> {
        let rest = self.rest();
        let length = rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
        let value = match rest.get(..length).unwrap_or_default() {
            "null" => Value::Null,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "" => return Err(self.wrong("expected a value")),
            _ => return Err(self.wrong("expected a value: text is written in double quotes")),
        };
        self.at += length;
        Ok(value)
    }

    fn string(&mut self) -> Result<String, Problem> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = self.rest();
            let plain = rest.bytes().position(|byte| byte == b'"' || byte == b'\\' || byte < 0x20);
            let Some(plain) = plain else {
                self.at = self.text.len();
                return Err(self.wrong("unexpected end of the file: `\"` is missing"));
            };
            out.push_str(rest.get(..plain).unwrap_or_default());
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => self.escape(&mut out)?,
                _ => {
                    return Err(
                        self.wrong("a line break or control character in text: write it as an escape such as `\\n`")
                    );
                }
            }
        }
    }

    fn escape(&mut self, out: &mut String) -> Result<(), Problem> {
        let wrong = |parser: &Self| parser.wrong("not a valid escape");
        let escape = self.text.as_bytes().get(self.at + 1).copied().ok_or_else(|| wrong(self))?;
        let plain = match escape {
            b'"' | b'\\' | b'/' => char::from(escape),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.hex(2).ok_or_else(|| wrong(self))?;
                let (code, length) = match first {
                    // A character beyond the basic plane is a pair of surrogates (RFC 8259 section 7).
                    0xd800..=0xdbff => {
                        let second = self.hex(8).filter(|second| (0xdc00..=0xdfff).contains(second));
                        let second =
                            second.filter(|_| self.rest().get(6..8) == Some("\\u")).ok_or_else(|| wrong(self))?;
                        (0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00), 12)
                    }
                    _ => (first, 6),
                };
                out.push(char::from_u32(code).ok_or_else(|| wrong(self))?);
                self.at += length;
                return Ok(());
            }
            _ => return Err(wrong(self)),
        };
        out.push(plain);
        self.at += 2;
        Ok(())
    }

    /// Four hexadecimal digits, `offset` bytes ahead.
    fn hex(&self, offset: usize) -> Option<u32> {
        let digits = self.rest().get(offset..offset + 4)?;
        digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
    }
}

/// Finds a key that occurs twice. Small maps are searched, large ones hashed: a map of a million keys must not cost a million squared.
#[derive(Default)]
pub(crate) struct Keys {
    hashed: HashMap<String, u32>,
}

impl Keys {
    const SEARCHED_MAX: usize = 16;

    pub(crate) fn insert(&mut self, before: &[Entry], key: &str, span: &Span) -> Result<(), Problem> {
        let known = if before.len() <= Self::SEARCHED_MAX {
            before.iter().find(|entry| entry.key == key).map(|entry| entry.span.line)
        } else {
            if self.hashed.is_empty() {
                self.hashed = before.iter().map(|entry| (entry.key.clone(), entry.span.line)).collect();
            }
            self.hashed.get(key).copied()
        };
        match known {
            Some(line) => Err(Problem::error(
                span,
                "",
                format!("the key `{}` was given before, in line {line}", key.escape_debug()),
            )),
            None => {
                if !self.hashed.is_empty() {
                    self.hashed.insert(key.to_owned(), span.line);
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, String> {
        parse(&Source::new("a.json", text)).map(|node| format!("{node:?}")).map_err(|problem| problem.to_string())
    }

    #[test]
    fn json_is_read() {
        let table = [
            (
                "{\"a\": [1, -2.5e+3, true, false, null], \"b\": {}}",
                r#"{"a": [1, -2.5e+3, true, false, null], "b": {}}"#,
            ),
            ("\t[\r\n\t\"\\u00e9\\ud83d\\ude00\\/\\n\"\n]", r#"["é😀/\n"]"#),
            ("\u{feff}[]", "[]"),
            ("0", "0"),
        ];
        for (text, wanted) in table {
            assert_eq!(read(text).as_deref(), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn what_is_not_json_is_refused_where_it_stands() {
        let deep = "[".repeat(DEPTH_MAX + 1);
        let table = [
            ("", "1:1: error: unexpected end of the file: a value is missing"),
            ("{\"a\": 1,}", "1:9: error: a comma must be followed by another item"),
            ("[1 2]", "1:4: error: expected `,` or `]`"),
            ("[1", "1:3: error: unexpected end of the file: `]` is missing"),
            ("{a: 1}", "1:2: error: expected a key in double quotes"),
            ("{\"a\" 1}", "1:6: error: expected `:` behind the key"),
            ("{\n  \"é\": 1, \"é\": 2}", "2:11: error: the key `é` was given before, in line 2"),
            ("[01]", "1:2: error: not a number"),
            ("[-]", "1:2: error: not a number"),
            ("[1.]", "1:2: error: not a number"),
            ("[NaN]", "1:2: error: expected a value: text is written in double quotes"),
            ("\"\\ud83d\"", "1:2: error: not a valid escape"),
            ("\"\\x\"", "1:2: error: not a valid escape"),
            ("\"a\nb\"", "1:3: error: a line break or control character in text: write it as an escape such as `\\n`"),
            ("\"a", "1:3: error: unexpected end of the file: `\"` is missing"),
            ("[] []", "1:4: error: unexpected text behind the end of the JSON value"),
            (&deep, "1:129: error: nested more than 128 levels deep"),
        ];
        for (text, wanted) in table {
            assert_eq!(read(text), Err(format!("a.json:{wanted}")), "{text}");
        }
    }

    #[test]
    fn a_key_given_twice_is_found_in_large_maps_too() {
        for keys in [2, 17, 18, 40] {
            let entries: Vec<String> = (0..keys).chain([keys / 2]).map(|key| format!("\"{key}\": 0")).collect();
            let problem = read(&format!("{{{}}}", entries.join(",\n"))).unwrap_err();
            let wanted = format!("the key `{}` was given before, in line {}", keys / 2, keys / 2 + 1);
            assert!(problem.ends_with(&wanted), "{problem}");
        }
    }
}
