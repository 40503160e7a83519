//! Executable documents of GraphQL (October 2021, section 2): what of them tells how much they ask for.

use std::fmt;

/// Tokens of a document.
pub const TOKENS_MAX: usize = 20_000;
/// Selections, and lists and objects in values, inside of one another.
pub const LEVELS_MAX: usize = 100;

/// A text that is no executable document.
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

/// A document.
#[derive(Debug, Default)]
pub struct Document<'a> {
    /// Operations, in order.
    pub operations: Vec<Operation<'a>>,
    /// Fragments by name.
    pub fragments: Vec<(&'a str, Vec<Selection<'a>>)>,
}

/// An operation.
#[derive(Debug)]
pub struct Operation<'a> {
    /// Its name.
    pub name: Option<&'a str>,
    /// Variables that have a number as default.
    pub defaults: Vec<(&'a str, i64)>,
    /// What it asks for.
    pub selections: Vec<Selection<'a>>,
}

/// A part of what is asked for.
#[derive(Debug)]
pub struct Selection<'a> {
    /// What it is.
    pub kind: Kind<'a>,
    /// Directives on it.
    pub directives: u64,
    /// What is asked for in it.
    pub inner: Vec<Selection<'a>>,
}

/// Kinds of selections.
#[derive(Debug)]
pub enum Kind<'a> {
    /// A field.
    Field {
        /// Its name in the schema.
        name: &'a str,
        /// Whether it goes by another name.
        aliased: bool,
        /// How many of it are asked for, if it says so.
        counts: Vec<Count<'a>>,
    },
    /// `... on Type { }`
    Inline,
    /// `...Name`
    Spread(&'a str),
}

/// `first: 10`, `last: $count`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count<'a> {
    /// A number.
    Number(i64),
    /// A variable.
    Variable(&'a str),
}

/// Arguments that say how many are asked for.
const COUNTS: &[&str] = &["first", "last", "limit"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Name(&'a str),
    Int(i64),
    /// A number with a fraction, a string.
    Value,
    /// `!`, `$`, `(`, `)`, `:`, `=`, `@`, `[`, `]`, `{`, `|`, `}`, `&`, and `.` for `...`.
    Mark(u8),
    End,
}

struct Parser<'a> {
    text: &'a str,
    /// Behind the token that is looked at.
    at: usize,
    token: Token<'a>,
    tokens: usize,
    levels: usize,
}

type Parsed<T> = Result<T, Malformed>;

impl<'a> Document<'a> {
    /// Reads a document.
    ///
    /// # Errors
    /// It is none, or it has more than [`TOKENS_MAX`] tokens or [`LEVELS_MAX`] levels.
    pub fn parse(text: &'a str) -> Parsed<Self> {
        let mut parser = Parser { text, at: 0, token: Token::End, tokens: 0, levels: 0 };
        parser.advance()?;
        let mut document = Self::default();
        loop {
            match parser.token {
                Token::End if document.operations.is_empty() => return parser.wrong("no operation"),
                Token::End => return Ok(document),
                Token::Mark(b'{') => {
                    let selections = parser.selections()?;
                    document.operations.push(Operation { name: None, defaults: Vec::new(), selections });
                }
                Token::Name("query" | "mutation" | "subscription") => {
                    parser.advance()?;
                    document.operations.push(parser.operation()?);
                }
                Token::Name("fragment") => {
                    parser.advance()?;
                    let name = parser.name()?;
                    if name == "on" || document.fragments.iter().any(|(known, _)| *known == name) {
                        return parser.wrong("a fragment that has no name of its own");
                    }
                    if !parser.take_name("on")? {
                        return parser.wrong("a fragment without a type");
                    }
                    parser.name()?;
                    parser.directives()?;
                    let selections = parser.selections()?;
                    document.fragments.push((name, selections));
                }
                _ => return parser.wrong("what is neither an operation nor a fragment"),
            }
        }
    }
}

impl<'a> Parser<'a> {
    fn wrong<T>(&self, what: &'static str) -> Parsed<T> {
        Err(Malformed { offset: self.at, what })
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn operation(&mut self) -> Parsed<Operation<'a>> {
        let name = if let Token::Name(name) = self.token { Some(name) } else { None };
        if name.is_some() {
            self.advance()?;
        }
        let mut defaults = Vec::new();
        if self.take(b'(')? {
            while !self.take(b')')? {
                self.expect(b'$')?;
                let variable = self.name()?;
                self.expect(b':')?;
                self.a_type()?;
                if self.take(b'=')? {
                    if let Token::Int(number) = self.token {
                        defaults.push((variable, number));
                    }
                    self.value()?;
                }
                self.directives()?;
            }
        }
        self.directives()?;
        Ok(Operation { name, defaults, selections: self.selections()? })
    }

    fn a_type(&mut self) -> Parsed<()> {
        self.deeper(|parser| {
            if parser.take(b'[')? {
                parser.a_type()?;
                parser.expect(b']')?;
            } else {
                parser.name()?;
            }
            parser.take(b'!').map(|_| ())
        })
    }

    fn selections(&mut self) -> Parsed<Vec<Selection<'a>>> {
        self.deeper(|parser| {
            parser.expect(b'{')?;
            let mut selections = Vec::new();
            while !parser.take(b'}')? {
                selections.push(parser.selection()?);
            }
            if selections.is_empty() { parser.wrong("a selection of nothing") } else { Ok(selections) }
        })
    }

    fn selection(&mut self) -> Parsed<Selection<'a>> {
        if self.take(b'.')? {
            if let Token::Name(name) = self.token
                && name != "on"
            {
                self.advance()?;
                let directives = self.directives()?;
                return Ok(Selection { kind: Kind::Spread(name), directives, inner: Vec::new() });
            }
            if self.take_name("on")? {
                self.name()?;
            }
            let directives = self.directives()?;
            return Ok(Selection { kind: Kind::Inline, directives, inner: self.selections()? });
        }
        let mut name = self.name()?;
        let aliased = self.take(b':')?;
        if aliased {
            name = self.name()?;
        }
        let mut counts = Vec::new();
        if self.take(b'(')? {
            while !self.take(b')')? {
                let argument = self.name()?;
                self.expect(b':')?;
                let is_count = COUNTS.contains(&argument);
                match self.token {
                    Token::Int(number) if is_count => counts.push(Count::Number(number)),
                    Token::Mark(b'$') if is_count => {
                        self.advance()?;
                        counts.push(Count::Variable(self.name()?));
                        continue;
                    }
                    _ => {}
                }
                self.value()?;
            }
        }
        let directives = self.directives()?;
        let inner = if self.token == Token::Mark(b'{') { self.selections()? } else { Vec::new() };
        Ok(Selection { kind: Kind::Field { name, aliased, counts }, directives, inner })
    }

    fn directives(&mut self) -> Parsed<u64> {
        let mut count = 0;
        while self.take(b'@')? {
            self.name()?;
            if self.take(b'(')? {
                while !self.take(b')')? {
                    self.name()?;
                    self.expect(b':')?;
                    self.value()?;
                }
            }
            count += 1;
        }
        Ok(count)
    }

    fn value(&mut self) -> Parsed<()> {
        self.deeper(|parser| match parser.token {
            Token::Name(_) | Token::Int(_) | Token::Value => parser.advance(),
            Token::Mark(b'$') => {
                parser.advance()?;
                parser.name().map(|_| ())
            }
            Token::Mark(b'[') => {
                parser.advance()?;
                while !parser.take(b']')? {
                    parser.value()?;
                }
                Ok(())
            }
            Token::Mark(b'{') => {
                parser.advance()?;
                while !parser.take(b'}')? {
                    parser.name()?;
                    parser.expect(b':')?;
                    parser.value()?;
                }
                Ok(())
            }
            _ => parser.wrong("no value"),
        })
    }

    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.levels += 1;
        if self.levels > LEVELS_MAX {
            return self.wrong("more levels than are allowed");
        }
        let parsed = parse(self);
        self.levels -= 1;
        parsed
    }

    fn take(&mut self, mark: u8) -> Parsed<bool> {
        let is_there = self.token == Token::Mark(mark);
        if is_there {
            self.advance()?;
        }
        Ok(is_there)
    }

    fn expect(&mut self, mark: u8) -> Parsed<()> {
        if self.take(mark)? { Ok(()) } else { self.wrong("something unexpected") }
    }

    fn take_name(&mut self, name: &str) -> Parsed<bool> {
        let is_there = self.token == Token::Name(name);
        if is_there {
            self.advance()?;
        }
        Ok(is_there)
    }

    fn name(&mut self) -> Parsed<&'a str> {
        let Token::Name(name) = self.token else { return self.wrong("no name") };
        self.advance()?;
        Ok(name)
    }

    /// Looks at the next token.
    fn advance(&mut self) -> Parsed<()> {
        self.tokens += 1;
        if self.tokens > TOKENS_MAX {
            return self.wrong("more tokens than are allowed");
        }
        loop {
            let trimmed = self.rest().trim_start_matches([' ', '\t', '\n', '\r', ',', '\u{feff}']);
            self.at = self.text.len() - trimmed.len();
            if !trimmed.starts_with('#') {
                break;
            }
            self.at += trimmed.find(['\n', '\r']).unwrap_or(trimmed.len());
        }
        let rest = self.rest();
        let Some(first) = rest.bytes().next() else {
            self.token = Token::End;
            return Ok(());
        };
        let (token, length) = match first {
            b'!' | b'$' | b'(' | b')' | b':' | b'=' | b'@' | b'[' | b']' | b'{' | b'|' | b'}' | b'&' => {
                (Token::Mark(first), 1)
            }
            b'.' if rest.starts_with("...") => (Token::Mark(b'.'), 3),
            b'"' => (Token::Value, self.string(rest)?),
            b'-' | b'0'..=b'9' => self.number(rest)?,
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => {
                let length = rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
                (Token::Name(rest.get(..length).unwrap_or_default()), length)
            }
            _ => return self.wrong("an unexpected character"),
        };
        self.token = token;
        self.at += length;
        Ok(())
    }

    fn number(&self, rest: &'a str) -> Parsed<(Token<'a>, usize)> {
        let Some(length) = crate::json::number_length(rest.as_bytes()) else {
            return self.wrong("a malformed number");
        };
        let behind = rest.as_bytes().get(length);
        if behind.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.')) {
            return self.wrong("a malformed number");
        }
        let number = rest.get(..length).unwrap_or_default();
        if number.contains(['.', 'e', 'E']) {
            return Ok((Token::Value, length));
        }
        // What no number here holds is a very large or a very small one.
        let clamped = if number.starts_with('-') { i64::MIN } else { i64::MAX };
        Ok((Token::Int(number.parse().unwrap_or(clamped)), length))
    }

    /// Bytes of a string with its quotes.
    fn string(&self, rest: &str) -> Parsed<usize> {
        let block = rest.starts_with("\"\"\"");
        let mut at = if block { 3 } else { 1 };
        loop {
            let here = rest.get(at..).unwrap_or_default();
            let step = match here.bytes().next() {
                None => return self.wrong("a string without an end"),
                Some(b'"') if !block => return Ok(at + 1),
                Some(b'"') if here.starts_with("\"\"\"") => return Ok(at + 3),
                Some(b'\\') if block => {
                    if here.starts_with("\\\"\"\"") {
                        4
                    } else {
                        1
                    }
                }
                Some(b'\\') => 1 + here.chars().nth(1).map_or(0, char::len_utf8),
                Some(b'\n' | b'\r') if !block => return self.wrong("a string without an end"),
                Some(_) => here.chars().next().map_or(1, char::len_utf8),
            };
            at += step;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_read() {
        let text = r##"
            # a comment { ( "
            query Q($n: [Int!]! = 3 @d, $s: String = "a\"}", $o: I = {a: [1, {b: $n}]}) @x(a: """ " \""" """) {
                a: b(first: 10, filter: {first: 99, s: "{"}) @include(if: $s) { ...F, ... on T @y { c } ... { d(last: $n) } }
            }
            fragment F on T { e }
            { g }
        "##;
        let document = Document::parse(text).unwrap();
        assert_eq!(document.operations.len(), 2);
        let query = &document.operations[0];
        assert_eq!((query.name, query.defaults.as_slice()), (Some("Q"), &[("n", 3)][..]));
        let field = &query.selections[0];
        assert!(
            matches!(&field.kind, Kind::Field { name: "b", aliased: true, counts } if counts == &[Count::Number(10)])
        );
        assert_eq!((field.directives, field.inner.len()), (1, 3));
        let counted = &field.inner[2].inner[0];
        assert!(matches!(&counted.kind, Kind::Field { counts, .. } if counts == &[Count::Variable("n")]));
        assert_eq!(document.fragments[0].0, "F");
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for text in [
            "",
            "{",
            "{}",
            "{a",
            "{a}}",
            "{a(}",
            "{a(b)}",
            "{a(b:)}",
            "{a(b:\"c)}",
            "{a(b:01)}",
            "{a(b:1x)}",
            "{...}",
            "{a:}",
            "{1}",
            "{é}",
            "query ($a) {b}",
            "query ($a:) {b}",
            "fragment F on T {a}",
            "fragment on on T {a} {b}",
            "fragment F {a} {b}",
            "fragment F on T {a} fragment F on T {a} {b}",
            "type T { a: Int }",
            "{a(b:\"\n\")}",
            "{a(b:\"\\",
        ] {
            assert!(Document::parse(text).is_err(), "{text}");
        }
        for (open, close) in [("{a", "}"), ("{a(b:[", "])}"), ("query($a:[", "]) {b}")] {
            let deep = format!("{}{}", open.repeat(LEVELS_MAX + 1), close.repeat(LEVELS_MAX + 1));
            assert!(Document::parse(&deep).is_err(), "{open}");
        }
        let deep = format!("{}{}", "{a".repeat(LEVELS_MAX), "}".repeat(LEVELS_MAX));
        assert!(Document::parse(&deep).is_ok());
        let long = format!("{{{}}}", "a ".repeat(TOKENS_MAX));
        assert!(Document::parse(&long).is_err());
    }
}
