//! Tags and text.

use std::borrow::Cow;

/// A piece of a document.
pub enum Token<'a> {
    /// Text, without character references.
    Text(Cow<'a, str>),
    /// The beginning of an element.
    Start(Tag<'a>),
    /// The end of one: its name in lower case.
    End(String),
}

/// The beginning of an element.
pub struct Tag<'a> {
    /// In lower case.
    pub name: String,
    /// Names in lower case; the first of a name counts.
    pub attributes: Vec<(String, Cow<'a, str>)>,
}

/// Attributes of an element; more are left out.
const ATTRIBUTES_MAX: usize = 256;

/// Reads a document from the front; every byte is looked at a bounded number of times.
pub struct Scanner<'a> {
    rest: &'a str,
    /// The element whose content is text up to its own end.
    raw: Option<&'static str>,
}

/// Elements whose content is text, and whether it has character references.
const RAW: &[(&str, bool)] = &[
    ("iframe", false),
    ("noembed", false),
    ("noframes", false),
    ("script", false),
    ("style", false),
    ("textarea", true),
    ("title", true),
    ("xmp", false),
];

impl<'a> Scanner<'a> {
    /// At the beginning of a document.
    pub fn new(text: &'a str) -> Self {
        Self { rest: text.strip_prefix('\u{feff}').unwrap_or(text), raw: None }
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    /// The next piece; `None` at the end.
    pub fn next(&mut self) -> Option<Token<'a>> {
        if let Some(name) = self.raw.take()
            && let Some(token) = self.raw_text(name)
        {
            return Some(token);
        }
        loop {
            if self.rest.is_empty() {
                return None;
            }
            let bytes = self.rest.as_bytes();
            match (bytes.first(), bytes.get(1)) {
                (Some(b'<'), Some(b'!' | b'?')) => self.skip_comment(),
                (Some(b'<'), Some(b'/')) if bytes.get(2).is_some_and(u8::is_ascii_alphabetic) => {
                    self.take(2);
                    let name = self.name();
                    // Attributes of an end are passed over.
                    self.attributes();
                    return Some(Token::End(name));
                }
                (Some(b'<'), Some(b'/')) => {
                    let length = self.rest.find('>').map_or(self.rest.len(), |at| at + 1);
                    self.take(length);
                }
                (Some(b'<'), Some(byte)) if byte.is_ascii_alphabetic() => {
                    self.take(1);
                    let name = self.name();
                    let attributes = self.attributes();
                    self.raw = RAW.iter().find(|(known, _)| *known == name).map(|(known, _)| *known);
                    return Some(Token::Start(Tag { name, attributes }));
                }
                _ => {
                    // A `<` that begins nothing is text.
                    let length = bytes.iter().skip(1).position(|byte| *byte == b'<').map_or(bytes.len(), |at| at + 1);
                    return Some(Token::Text(decoded(self.take(length))));
                }
            }
        }
    }

    fn skip_comment(&mut self) {
        let is_comment = self.rest.starts_with("<!--");
        let end = if is_comment { self.rest.get(4..).and_then(|rest| rest.find("-->")).map(|at| at + 7) } else { None };
        let end = if is_comment { end } else { self.rest.find('>').map(|at| at + 1) };
        self.take(end.unwrap_or(self.rest.len()));
    }

    fn raw_text(&mut self, name: &str) -> Option<Token<'a>> {
        let mut end = 0;
        let length = loop {
            let Some(at) = self.rest.get(end..).and_then(|rest| rest.find("</")) else { break self.rest.len() };
            let behind = self.rest.get(end + at + 2..).unwrap_or_default();
            if behind.get(..name.len()).is_some_and(|word| word.eq_ignore_ascii_case(name))
                && !behind.as_bytes().get(name.len()).is_some_and(u8::is_ascii_alphanumeric)
            {
                break end + at;
            }
            end += at + 2;
        };
        let text = self.take(length);
        match RAW.iter().find(|(known, _)| *known == name) {
            // A program is no text.
            Some((_, true)) if !text.is_empty() => Some(Token::Text(decoded(text))),
            _ => None,
        }
    }

    fn name(&mut self) -> String {
        let length = self.rest.find(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>'));
        self.take(length.unwrap_or(self.rest.len())).to_ascii_lowercase()
    }

    /// Attributes up to the end of a tag, which is taken.
    fn attributes(&mut self) -> Vec<(String, Cow<'a, str>)> {
        let mut attributes: Vec<(String, Cow<'a, str>)> = Vec::new();
        loop {
            self.skip(|c| c.is_ascii_whitespace() || c == '/');
            match self.rest.chars().next() {
                None => return attributes,
                Some('>') => {
                    self.take(1);
                    return attributes;
                }
                Some(first) => {
                    // A `=` in front belongs to the name.
                    let skip = first.len_utf8();
                    let behind = self.rest.get(skip..).unwrap_or_default();
                    let length = behind.find(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>' | '='));
                    let name = self.take(length.map_or(self.rest.len(), |length| skip + length)).to_ascii_lowercase();
                    self.skip(|c| c.is_ascii_whitespace());
                    let value = if self.rest.starts_with('=') {
                        self.take(1);
                        self.skip(|c| c.is_ascii_whitespace());
                        self.value()
                    } else {
                        Cow::Borrowed("")
                    };
                    if attributes.len() < ATTRIBUTES_MAX && !attributes.iter().any(|(known, _)| *known == name) {
                        attributes.push((name, value));
                    }
                }
            }
        }
    }

    fn skip(&mut self, passes: impl Fn(char) -> bool) {
        self.rest = self.rest.trim_start_matches(passes);
    }

    fn value(&mut self) -> Cow<'a, str> {
        match self.rest.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                self.take(1);
                let length = self.rest.find(quote).unwrap_or(self.rest.len());
                let value = self.take(length);
                self.take(1);
                decoded(value)
            }
            _ => {
                let length = self.rest.find(|c: char| c.is_ascii_whitespace() || c == '>').unwrap_or(self.rest.len());
                decoded(self.take(length))
            }
        }
    }
}

/// Bytes of the longest name in [`NAMED`], or of a number.
const REFERENCE_BYTES_MAX: usize = 10;

/// Names of characters that are in use; others stay as they are written.
const NAMED: &[(&str, char)] = &[
    ("AMP", '&'),
    ("Auml", 'Ä'),
    ("GT", '>'),
    ("LT", '<'),
    ("Ouml", 'Ö'),
    ("QUOT", '"'),
    ("Uuml", 'Ü'),
    ("aacute", 'á'),
    ("agrave", 'à'),
    ("amp", '&'),
    ("apos", '\''),
    ("auml", 'ä'),
    ("bull", '•'),
    ("ccedil", 'ç'),
    ("cent", '¢'),
    ("copy", '©'),
    ("deg", '°'),
    ("eacute", 'é'),
    ("ecirc", 'ê'),
    ("egrave", 'è'),
    ("euro", '€'),
    ("frac12", '½'),
    ("gt", '>'),
    ("hellip", '…'),
    ("iacute", 'í'),
    ("laquo", '«'),
    ("larr", '←'),
    ("ldquo", '“'),
    ("lsquo", '‘'),
    ("lt", '<'),
    ("mdash", '—'),
    ("middot", '·'),
    ("nbsp", '\u{a0}'),
    ("ndash", '–'),
    ("ntilde", 'ñ'),
    ("oacute", 'ó'),
    ("ouml", 'ö'),
    ("plusmn", '±'),
    ("pound", '£'),
    ("quot", '"'),
    ("raquo", '»'),
    ("rarr", '→'),
    ("rdquo", '”'),
    ("reg", '®'),
    ("rsquo", '’'),
    ("sect", '§'),
    ("shy", '\u{ad}'),
    ("szlig", 'ß'),
    ("times", '×'),
    ("trade", '™'),
    ("uacute", 'ú'),
    ("uuml", 'ü'),
    ("yen", '¥'),
];

/// A text without character references.
fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('&') {
        out.push_str(before);
        match reference(behind) {
            Some((character, length)) => {
                out.push(character);
                rest = behind.get(length..).unwrap_or_default();
            }
            None => {
                out.push('&');
                rest = behind;
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The character that is named behind a `&`, and how long its name is.
fn reference(text: &str) -> Option<(char, usize)> {
    let mark = usize::from(text.starts_with('#'));
    let bytes = text.as_bytes().get(mark..).unwrap_or_default();
    let length = bytes.iter().take(REFERENCE_BYTES_MAX).take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let name = text.get(mark..mark + length)?;
    let end = mark + length + usize::from(bytes.get(length) == Some(&b';'));
    if mark == 0 {
        // Without its `;` only what was always allowed so.
        let is_whole = end > length || matches!(name, "amp" | "lt" | "gt" | "quot" | "nbsp" | "copy" | "reg");
        let (_, character) = NAMED.iter().find(|(known, _)| *known == name).filter(|_| is_whole)?;
        return Some((*character, end));
    }
    let number = match name.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => name.parse().ok()?,
    };
    Some((char::from_u32(number).filter(|character| *character != '\0').unwrap_or('\u{fffd}'), end))
}
