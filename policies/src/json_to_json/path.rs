//! The keys and paths of a specification: literals, wildcards and references to what was walked through.

use regex::Regex;
use ringway_contract::Refusal;

use crate::json::Value;

/// A step of the walk: the key that matched, what its wildcards caught, the data there, and how many of its children matched.
pub struct Walked<'v> {
    pub caught: Vec<String>,
    pub data: Option<&'v Value>,
    pub matches: usize,
}

/// `&(up,group)` and `$(up,group)`: a key that was walked through.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyRef {
    pub up: usize,
    pub group: usize,
}

impl KeyRef {
    pub fn of<'w>(self, walked: &'w [Walked<'_>]) -> Option<&'w str> {
        walked.iter().nth_back(self.up)?.caught.get(self.group).map(String::as_str)
    }
}

/// `@(up,path)`: data that was walked through, or something in it.
#[derive(Clone, Debug, Default)]
pub struct DataRef {
    pub up: usize,
    pub path: Vec<Vec<Part>>,
}

impl DataRef {
    pub fn of<'v>(&self, walked: &[Walked<'v>]) -> Option<&'v Value> {
        let mut data = walked.iter().nth_back(self.up)?.data?;
        for key in &self.path {
            data = child(data, &joined(key, walked)?)?;
        }
        Some(data)
    }
}

/// The member or item of this key.
pub fn child<'v>(data: &'v Value, key: &str) -> Option<&'v Value> {
    match data {
        Value::Object(object) => object.get(key),
        Value::Array(items) => items.get(index(key)?),
        _ => None,
    }
}

/// A key that is the index of an array.
pub fn index(key: &str) -> Option<usize> {
    key.bytes().all(|byte| byte.is_ascii_digit()).then(|| key.parse().ok())?
}

/// A piece of a key.
#[derive(Clone, Debug)]
pub enum Part {
    Text(String),
    Key(KeyRef),
    Data(DataRef),
    /// `#n`: how many children of the step `n` above matched. In brackets only.
    Matches(usize),
}

/// The key that these parts make.
pub fn joined(parts: &[Part], walked: &[Walked<'_>]) -> Option<String> {
    let mut key = String::new();
    for part in parts {
        match part {
            Part::Text(text) => key.push_str(text),
            Part::Key(reference) => key.push_str(reference.of(walked)?),
            Part::Matches(up) => key.push_str(&walked.iter().nth_back(*up)?.matches.to_string()),
            Part::Data(reference) => match reference.of(walked)? {
                Value::String(text) => key.push_str(text),
                Value::Object(_) | Value::Array(_) | Value::Null => return None,
                scalar => key.push_str(&scalar.to_string()),
            },
        }
    }
    Some(key)
}

/// A cursor over the text of a key or a path.
pub struct Reader<'t> {
    text: &'t str,
    rest: &'t str,
}

impl<'t> Reader<'t> {
    pub fn new(text: &'t str) -> Self {
        Self { text, rest: text }
    }

    pub fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    pub fn take(&mut self, wanted: char) -> bool {
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    pub fn wrong(&self, what: &str) -> Refusal {
        Refusal(format!("`{}`: {what}", self.text))
    }

    fn number(&mut self) -> Option<usize> {
        let length = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        digits.parse().ok()
    }

    /// Behind `&` or `$`: nothing, a number, `(up)` or `(up,group)`.
    pub fn key_ref(&mut self) -> Result<KeyRef, Refusal> {
        if !self.take('(') {
            return Ok(KeyRef { up: self.number().unwrap_or(0), group: 0 });
        }
        let up = self.number().ok_or_else(|| self.wrong("a number is needed in the parentheses"))?;
        let group = if self.take(',') { self.number() } else { Some(0) };
        let group = group.ok_or_else(|| self.wrong("a number is needed behind the comma"))?;
        if self.take(')') { Ok(KeyRef { up, group }) } else { Err(self.wrong("a parenthesis is missing")) }
    }

    /// Behind `@`: nothing, a number, `(up)`, `(up,path)`, `(path)`, or a key.
    pub fn data_ref(&mut self) -> Result<DataRef, Refusal> {
        if self.take('(') {
            let ahead = self.rest.bytes().take_while(u8::is_ascii_digit).count();
            let is_number = ahead > 0 && matches!(self.rest.as_bytes().get(ahead), Some(b',' | b')'));
            let up = if is_number { self.number().unwrap_or(0) } else { 0 };
            let path = if !is_number || self.take(',') { self.path(true)? } else { Vec::new() };
            return if self.take(')') { Ok(DataRef { up, path }) } else { Err(self.wrong("a parenthesis is missing")) };
        }
        if self.peek().is_some_and(|character| character.is_ascii_digit()) {
            return Ok(DataRef { up: self.number().unwrap_or(0), path: Vec::new() });
        }
        let ends = self.peek().is_none_or(|character| ".[]".contains(character));
        let path = if ends { Vec::new() } else { vec![self.key(false)?] };
        Ok(DataRef { up: 0, path })
    }

    /// Keys with dots or brackets between them.
    fn path(&mut self, inside: bool) -> Result<Vec<Vec<Part>>, Refusal> {
        let mut path = Vec::new();
        loop {
            if inside && self.peek() == Some(',') {
                return Err(self.wrong("a comma too much"));
            }
            if self.take('[') {
                path.push(self.key(inside)?);
                if !self.take(']') {
                    return Err(self.wrong("a bracket is missing"));
                }
            } else if self.peek().is_none_or(|character| character == ')' && inside) {
                return Ok(path);
            } else if !self.take('.') || path.is_empty() {
                path.push(self.key(inside)?);
                if self.peek().is_some_and(|character| character == ']') {
                    return Err(self.wrong("a bracket too much"));
                }
            }
        }
    }

    /// One key, up to a dot or a bracket (inside of parentheses also up to their end).
    pub fn key(&mut self, inside: bool) -> Result<Vec<Part>, Refusal> {
        let mut parts = Vec::new();
        let mut text = String::new();
        while let Some(character) = self.peek() {
            if ".[]".contains(character) || (inside && ",)".contains(character)) {
                break;
            }
            self.take(character);
            let part = match character {
                '\\' => {
                    let escaped = self.peek().ok_or_else(|| self.wrong("nothing behind the backslash"))?;
                    self.take(escaped);
                    text.push(escaped);
                    continue;
                }
                '&' => Part::Key(self.key_ref()?),
                '@' => Part::Data(self.data_ref()?),
                _ => {
                    text.push(character);
                    continue;
                }
            };
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text)));
            }
            parts.push(part);
        }
        if !text.is_empty() || parts.is_empty() {
            parts.push(Part::Text(text));
        }
        Ok(parts)
    }

    pub fn matches_ref(&mut self) -> Part {
        Part::Matches(self.number().unwrap_or(0))
    }
}

/// A key on the left side that is matched against keys of the data.
#[derive(Clone, Debug)]
pub enum Pattern {
    Literal(String),
    /// With `&`: known only during the walk.
    Computed(Vec<Part>),
    /// With `*`, which catches one character at least and as few as possible.
    Star(Regex),
}

impl Pattern {
    /// # Errors
    /// A reference in it is malformed.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        if text.contains('\\') || !text.contains(['*', '&']) {
            let mut characters = text.chars();
            let mut literal = String::new();
            while let Some(character) = characters.next() {
                literal.push(if character == '\\' { characters.next().unwrap_or('\\') } else { character });
            }
            return Ok(Self::Literal(literal));
        }
        if text.contains('*') {
            let pieces: Vec<String> = text.split('*').map(regex::escape).collect();
            let pattern = format!("(?s)^{}$", pieces.join("(.+?)"));
            let pattern = if text == "*" { "(?s)^(.*)$".to_owned() } else { pattern };
            return Regex::new(&pattern).map(Self::Star).map_err(|error| Refusal(format!("`{text}`: {error}")));
        }
        // Dots and brackets of a key are no path.
        let mut reader = Reader::new(text);
        let mut parts = Vec::new();
        while let Some(character) = reader.peek() {
            if ".[]".contains(character) {
                reader.take(character);
                parts.push(Part::Text(character.to_string()));
            } else {
                parts.extend(reader.key(false)?);
            }
        }
        Ok(Self::Computed(parts))
    }

    /// What it catches of `key`: the key and what each star stands for.
    pub fn catch(&self, key: &str, walked: &[Walked<'_>]) -> Option<Vec<String>> {
        match self {
            Self::Literal(literal) => (literal == key).then(|| vec![key.to_owned()]),
            Self::Computed(parts) => joined(parts, walked).filter(|joined| joined == key).map(|key| vec![key]),
            Self::Star(regex) => {
                let captures = regex.captures(key)?;
                Some(captures.iter().flatten().map(|caught| caught.as_str().to_owned()).collect())
            }
        }
    }

    /// The order in which patterns are tried: literals, references, stars with more around them.
    pub fn rank(&self, text: &str) -> (u8, std::cmp::Reverse<usize>) {
        let kind = match self {
            Self::Literal(_) => 0,
            Self::Computed(_) => 1,
            Self::Star(_) if text == "*" => 3,
            Self::Star(_) => 2,
        };
        (kind, std::cmp::Reverse(text.len()))
    }
}
