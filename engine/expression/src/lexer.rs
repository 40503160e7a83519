//! Tokens of an expression.

use std::borrow::Cow;

use crate::Problem;

/// A token.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token<'t> {
    End,
    Int(i64),
    Float(f64),
    Text(Cow<'t, str>),
    Word(&'t str),
    Symbol(&'static str),
}

/// Longer ones first.
const SYMBOLS: [&str; 35] = [
    "?.", "?:", "?[", "![", "^[", "$[", "==", "!=", "<=", ">=", "&&", "||", "++", "--", "#", "@", "(", ")", "[", "]",
    "{", "}", ",", ".", ":", "?", "!", "<", ">", "=", "+", "-", "*", "/", "%",
];

/// Reads tokens from a place of the text on.
pub(crate) struct Lexer<'t> {
    text: &'t str,
    /// Where the next token is looked for.
    at: usize,
}

impl<'t> Lexer<'t> {
    pub(crate) fn new(text: &'t str, at: usize) -> Self {
        Self { text, at }
    }

    /// Where the token that was read last ends.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Gives back the last byte of a symbol.
    pub(crate) fn give_back(&mut self) {
        self.at -= 1;
    }

    /// The next token and where it begins.
    pub(crate) fn next(&mut self) -> Result<(u32, Token<'t>), Problem> {
        let rest = self.text.get(self.at..).unwrap_or("");
        self.at += rest.len() - rest.trim_start().len();
        let start = self.at;
        let rest = self.text.get(start..).unwrap_or("");
        let place = place(start);
        let Some(first) = rest.chars().next() else { return Ok((place, Token::End)) };
        let token = if first == '\'' || first == '"' {
            self.literal(rest, first)?
        } else if first.is_ascii_digit() {
            self.number(rest)?
        } else if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            self.at += symbol.len();
            Token::Symbol(symbol)
        } else if first == '^' {
            self.at += 1;
            Token::Symbol("^")
        } else if is_word(first) {
            let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            self.at += length;
            Token::Word(rest.get(..length).unwrap_or(""))
        } else {
            return Err(Problem::new(place, format!("`{}` is not expected here", first.escape_default())));
        };
        Ok((place, token))
    }

    /// A text between quotes; a quote in it is written twice.
    fn literal(&mut self, rest: &'t str, quote: char) -> Result<Token<'t>, Problem> {
        let inner = rest.get(1..).unwrap_or("");
        let mut from = 0;
        let mut doubled = false;
        loop {
            let Some(end) = inner.get(from..).and_then(|more| more.find(quote)).map(|at| from + at) else {
                let problem = Problem::new(place(self.at), "the text that begins here does not end");
                return Err(problem.hint(format!("add a {quote}; inside of a text it is written twice")));
            };
            if inner.get(end + 1..).is_some_and(|more| more.starts_with(quote)) {
                doubled = true;
                from = end + 2;
                continue;
            }
            self.at += end + 2;
            let text = inner.get(..end).unwrap_or("");
            let quote = quote.to_string();
            let text = if doubled { text.replace(&quote.repeat(2), &quote).into() } else { Cow::Borrowed(text) };
            return Ok(Token::Text(text));
        }
    }

    fn number(&mut self, rest: &'t str) -> Result<Token<'t>, Problem> {
        let bytes = rest.as_bytes();
        let digits = |from: usize| {
            bytes.get(from..).unwrap_or(&[]).iter().take_while(|byte| byte.is_ascii_digit()).count() + from
        };
        let wrong = |what: &str| Problem::new(place(self.at), format!("the number is {what}"));
        let hexadecimal = rest.strip_prefix("0x").or_else(|| rest.strip_prefix("0X"));
        let (mut end, token) = if let Some(hexadecimal) = hexadecimal {
            let length = hexadecimal.bytes().take_while(u8::is_ascii_hexdigit).count();
            let text = hexadecimal.get(..length).unwrap_or("");
            let number = i64::from_str_radix(text, 16).map_err(|_| wrong("not a hexadecimal one of 64 bits"))?;
            (length + 2, Token::Int(number))
        } else {
            let mut end = digits(0);
            let mut is_float = false;
            if bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
                end = digits(end + 1);
                is_float = true;
            }
            if matches!(bytes.get(end), Some(b'e' | b'E')) {
                let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
                if bytes.get(end + 1 + sign).is_some_and(u8::is_ascii_digit) {
                    end = digits(end + 1 + sign);
                    is_float = true;
                }
            }
            let text = rest.get(..end).unwrap_or("");
            if is_float || matches!(bytes.get(end), Some(b'f' | b'F' | b'd' | b'D')) {
                (end, Token::Float(text.parse().map_err(|_| wrong("not one"))?))
            } else {
                (end, Token::Int(text.parse().map_err(|_| wrong("too large: 64 bits are known"))?))
            }
        };
        let suffixes: &[u8] = if matches!(token, Token::Int(_)) { b"lL" } else { b"fFdD" };
        end += usize::from(bytes.get(end).is_some_and(|suffix| suffixes.contains(suffix)));
        if rest.get(end..).and_then(|more| more.chars().next()).is_some_and(is_word) {
            return Err(wrong("followed by a letter"));
        }
        self.at += end;
        Ok(token)
    }
}

/// An offset as problems and errors carry it. Texts are shorter than [`crate::limits::TEMPLATE_BYTES_MAX`].
pub(crate) fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

impl Token<'_> {
    /// How it is shown in a problem.
    pub(crate) fn shown(&self) -> String {
        match self {
            Token::End => "the end of the text".into(),
            Token::Int(_) | Token::Float(_) => "a number".into(),
            Token::Text(_) => "a text".into(),
            Token::Word(word) => format!("`{word}`"),
            Token::Symbol(symbol) => format!("`{symbol}`"),
        }
    }
}
