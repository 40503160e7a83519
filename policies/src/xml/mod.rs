//! XML 1.0: a strict scanner without a tree. Documents with a document type are refused: no entity is ever declared, so nothing expands
//! and nothing is fetched.

use std::borrow::Cow;
use std::fmt;

pub mod tree;

/// A text that is not well-formed, or has a document type.
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

/// What is said of a `<!DOCTYPE`.
pub const DOCUMENT_TYPE: &str = "a document type";

/// What a [`Scanner`] comes by. Comments, processing instructions and the declaration are passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The start of an element; its attributes follow.
    Begin(&'a str),
    /// An attribute of the element that began last.
    Attribute(&'a str, Cow<'a, str>),
    /// Behind the last attribute.
    Inside,
    /// Text between two tags, comments, instructions or sections.
    Text {
        /// With references resolved.
        text: Cow<'a, str>,
        /// Whether it is a CDATA section.
        section: bool,
    },
    /// The end of the element that is open.
    End(&'a str),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Outside of tags.
    Content,
    /// In a start tag, behind the name or an attribute.
    Tag,
    /// Behind an empty element's `/>`.
    Empty,
}

/// Goes through a document once. Memory: one name per open element, those of the attributes of one element, and a copy of a text that
/// has references.
pub struct Scanner<'a> {
    text: &'a str,
    at: usize,
    place: Place,
    open: Vec<&'a str>,
    attributes: Vec<&'a str>,
    has_root: bool,
}

impl<'a> Scanner<'a> {
    /// A scanner of `text`, which may begin with a byte order mark.
    ///
    /// # Errors
    /// It is not UTF-8.
    pub fn new(text: &'a [u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(text)
            .map_err(|error| Malformed { offset: error.valid_up_to(), what: "bytes that are not UTF-8" })?;
        let at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        let mut scanner =
            Self { text, at, place: Place::Content, open: Vec::new(), attributes: Vec::new(), has_root: false };
        scanner.declaration()?;
        Ok(scanner)
    }

    /// Elements that are open.
    pub fn depth(&self) -> usize {
        self.open.len()
    }

    /// The next piece; `None` behind the one root element and what may follow it.
    ///
    /// # Errors
    /// The document is not well-formed, or has a document type.
    pub fn next(&mut self) -> Result<Option<Event<'a>>, Malformed> {
        match self.place {
            Place::Content => self.content(),
            Place::Tag => self.tag().map(Some),
            Place::Empty => {
                self.place = Place::Content;
                Ok(self.open.pop().map(Event::End))
            }
        }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn wrong<T>(&self, what: &'static str) -> Result<T, Malformed> {
        Err(Malformed { offset: self.at, what })
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        self.at += if found { token.len() } else { 0 };
        found
    }

    fn expect(&mut self, token: &str, what: &'static str) -> Result<(), Malformed> {
        if self.take(token) { Ok(()) } else { self.wrong(what) }
    }

    /// Everything before `end`; behind it afterwards.
    fn until(&mut self, end: &str, what: &'static str) -> Result<&'a str, Malformed> {
        let rest = self.rest();
        let Some(length) = rest.find(end) else { return self.wrong(what) };
        let found = rest.get(..length).unwrap_or_default();
        self.characters(found)?;
        self.at += length + end.len();
        Ok(found)
    }

    fn skip_space(&mut self) -> bool {
        let rest = self.rest();
        let trimmed = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        self.at += rest.len() - trimmed.len();
        rest.len() != trimmed.len()
    }

    /// `[2] Char` of the specification.
    fn characters(&self, text: &str) -> Result<(), Malformed> {
        let refused = |character: char| matches!(character, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}');
        if text.contains(refused) { self.wrong("a character that XML does not have") } else { Ok(()) }
    }

    fn name(&mut self) -> Result<&'a str, Malformed> {
        let rest = self.rest();
        let starts = |character: char| character.is_alphabetic() || matches!(character, '_' | ':');
        let goes_on = |character: char| {
            starts(character)
                || character.is_numeric()
                || matches!(character, '-' | '.' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}' | '\u{2040}')
        };
        if !rest.starts_with(starts) {
            return self.wrong("something that is no name");
        }
        let length = rest.find(|character| !goes_on(character)).unwrap_or(rest.len());
        self.at += length;
        Ok(rest.get(..length).unwrap_or_default())
    }

    fn declaration(&mut self) -> Result<(), Malformed> {
        if self.rest().starts_with("<?xml") && self.rest().as_bytes().get(5).is_some_and(u8::is_ascii_whitespace) {
            let declaration = self.until("?>", "a declaration without an end")?;
            let encoding = declaration
                .split_once("encoding")
                .map(|(_, value)| value.trim_start_matches(['=', ' ', '\t', '\r', '\n', '"', '\'']));
            let is_utf8 = |value: &str| {
                ["utf-8", "utf8", "us-ascii", "ascii"]
                    .iter()
                    .any(|known| value.get(..known.len()).is_some_and(|value| value.eq_ignore_ascii_case(known)))
            };
            if encoding.is_some_and(|value| !is_utf8(value)) {
                return self.wrong("an encoding other than UTF-8");
            }
        }
        Ok(())
    }

    fn content(&mut self) -> Result<Option<Event<'a>>, Malformed> {
        loop {
            if self.rest().is_empty() {
                return if self.has_root && self.open.is_empty() { Ok(None) } else { self.wrong("the end") };
            }
            if self.take("<!--") {
                self.until("--", "a comment without an end")?;
                self.expect(">", "two hyphens in a comment")?;
            } else if self.take("<?") {
                let target = self.name()?;
                if target.eq_ignore_ascii_case("xml") {
                    return self.wrong("a declaration that is not at the start");
                }
                self.until("?>", "an instruction without an end")?;
            } else if self.take("<![CDATA[") {
                if self.open.is_empty() {
                    return self.wrong("text outside of the root element");
                }
                let text = Cow::Borrowed(self.until("]]>", "a CDATA section without an end")?);
                return Ok(Some(Event::Text { text, section: true }));
            } else if self.rest().starts_with("<!") {
                return self.wrong(if self.rest().starts_with("<!DOCTYPE") {
                    DOCUMENT_TYPE
                } else {
                    "a misshaped tag"
                });
            } else if self.take("</") {
                let name = self.name()?;
                if self.open.pop() != Some(name) {
                    return self.wrong("an end tag of another element");
                }
                self.skip_space();
                self.expect(">", "a misshaped end tag")?;
                return Ok(Some(Event::End(name)));
            } else if self.take("<") {
                let name = self.name()?;
                if self.open.is_empty() && self.has_root {
                    return self.wrong("a second root element");
                }
                self.has_root = true;
                self.open.push(name);
                self.attributes.clear();
                self.place = Place::Tag;
                return Ok(Some(Event::Begin(name)));
            } else if self.open.is_empty() {
                if !self.skip_space() {
                    return self.wrong("text outside of the root element");
                }
            } else {
                let rest = self.rest();
                let text = rest.get(..rest.find('<').unwrap_or(rest.len())).unwrap_or_default();
                if text.contains("]]>") {
                    return self.wrong("an end of a CDATA section in text");
                }
                return Ok(Some(Event::Text { text: self.resolved(text)?, section: false }));
            }
        }
    }

    fn tag(&mut self) -> Result<Event<'a>, Malformed> {
        let spaced = self.skip_space();
        if self.take(">") {
            self.place = Place::Content;
            return Ok(Event::Inside);
        }
        if self.take("/>") {
            self.place = Place::Empty;
            return Ok(Event::Inside);
        }
        if !spaced {
            return self.wrong("a misshaped tag");
        }
        let name = self.name()?;
        self.attributes.push(name);
        self.skip_space();
        self.expect("=", "an attribute without a value")?;
        self.skip_space();
        let quote = if self.take("\"") { "\"" } else { "'" };
        if quote == "'" {
            self.expect("'", "a value without quotes")?;
        }
        let rest = self.rest();
        let Some(length) = rest.find(quote) else { return self.wrong("a value without an end") };
        let value = rest.get(..length).unwrap_or_default();
        if value.contains('<') {
            return self.wrong("`<` in a value");
        }
        let value = self.resolved(value)?;
        self.at += quote.len();
        Ok(Event::Attribute(name, value))
    }

    /// Whether two attributes of the element that began last have the same name; asked behind the last of them.
    pub fn has_twins(&mut self) -> bool {
        self.attributes.sort_unstable();
        self.attributes.windows(2).any(|pair| matches!(pair, [one, next] if one == next))
    }

    /// A text, which starts here, with its references resolved; behind it afterwards.
    fn resolved(&mut self, text: &'a str) -> Result<Cow<'a, str>, Malformed> {
        self.characters(text)?;
        if !text.contains('&') {
            self.at += text.len();
            return Ok(Cow::Borrowed(text));
        }
        let mut out = String::with_capacity(text.len());
        let mut pieces = text.split('&');
        let first = pieces.next().unwrap_or_default();
        out.push_str(first);
        self.at += first.len();
        for piece in pieces {
            let Some((reference, behind)) = piece.split_once(';') else {
                return self.wrong("`&` that begins no reference");
            };
            let Some(character) = character(reference) else {
                return self.wrong("a reference to what is not declared");
            };
            out.push(character);
            out.push_str(behind);
            self.at += 1 + piece.len();
        }
        Ok(Cow::Owned(out))
    }
}

fn character(reference: &str) -> Option<char> {
    let code = match reference {
        "lt" => return Some('<'),
        "gt" => return Some('>'),
        "amp" => return Some('&'),
        "apos" => return Some('\''),
        "quot" => return Some('"'),
        _ => reference.strip_prefix('#')?,
    };
    let (digits, radix) = code.strip_prefix('x').map_or((code, 10), |digits| (digits, 16));
    let number =
        digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, radix).ok())??;
    let allowed = matches!(number, 0x9 | 0xa | 0xd | 0x20..=0xd7ff | 0xe000..=0xfffd | 0x1_0000..=0x10_ffff);
    char::from_u32(number).filter(|_| allowed)
}

/// Whether the text is a name (XML 1.0 section 2.3).
pub fn is_name(text: &str) -> bool {
    let mut scanner =
        Scanner { text, at: 0, place: Place::Content, open: Vec::new(), attributes: Vec::new(), has_root: false };
    scanner.name().is_ok_and(|name| name.len() == text.len())
}

/// Whether an element may have this name: a colon stands between a prefix and a local name only (Namespaces in XML 1.0 section 4).
pub fn is_element_name(text: &str) -> bool {
    let (prefix, local) = text.split_once(':').unwrap_or(("_", text));
    is_name(prefix) && is_name(local) && !local.contains(':')
}

/// Appends `text` with references for the characters that mean something in XML; characters that XML does not have are left out.
pub fn escape(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            _ => out.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: &str) -> Result<Vec<String>, Malformed> {
        let mut scanner = Scanner::new(text.as_bytes())?;
        let mut events = Vec::new();
        while let Some(event) = scanner.next()? {
            if event == Event::Inside && scanner.has_twins() {
                return scanner.wrong("twins");
            }
            events.push(format!("{event:?}"));
        }
        Ok(events)
    }

    #[test]
    fn a_document_is_its_events() {
        let text = "\u{feff}<?xml version='1.0' encoding=\"UTF-8\"?>\n<!-- c --><a:b x='1' y=\"&lt;&#x41;\"><c/>t&amp;t<![CDATA[<&]]></a:b>\n<?pi x?>";
        let wanted = [
            "Begin(\"a:b\")",
            "Attribute(\"x\", \"1\")",
            "Attribute(\"y\", \"<A\")",
            "Inside",
            "Begin(\"c\")",
            "Inside",
            "End(\"c\")",
            "Text { text: \"t&t\", section: false }",
            "Text { text: \"<&\", section: true }",
            "End(\"a:b\")",
        ];
        assert_eq!(events(text), Ok(wanted.map(str::to_owned).to_vec()));
    }

    #[test]
    fn what_is_not_well_formed_is_refused() {
        for text in [
            "",
            " ",
            "a",
            "<a>",
            "<a",
            "<a/",
            "</a>",
            "<a></b>",
            "<a/><b/>",
            "<a/>x",
            "x<a/>",
            "<a>&",
            "<a>&b;</a>",
            "<a>&#0;</a>",
            "<a>&#xd800;</a>",
            "<a>&#x;</a>",
            "<a>&#+65;</a>",
            "<a>]]></a>",
            "<a>\u{1}</a>",
            "<a b/>",
            "<a b=c/>",
            "<a b=\"<\"/>",
            "<a b='1'c='2'/>",
            "<a b='1' b='2'/>",
            "<a b='1/>",
            "< a/>",
            "<1/>",
            "<a><!-- -- --></a>",
            "<a><!--></a>",
            "<!ELEMENT a>",
            "<!DOCTYPE a><a/>",
            "<a><![CDATA[</a>",
            "<![CDATA[x]]><a/>",
            "<a/><?xml version='1.0'?>",
            " <?xml version='1.0'?><a/>",
            "<?xml version='1.0' encoding='UTF-16'?><a/>",
            "<a><b></a></b>",
            "<a><?></a>",
        ] {
            assert!(events(text).is_err(), "{text}");
        }
        assert!(Scanner::new(b"\xff").is_err());
    }

    #[test]
    fn a_name_is_a_name() {
        assert!(is_name("soap:Envelope") && is_name("_a-1.b") && is_name("\u{e9}t\u{e9}"));
        assert!(is_element_name("soap:Envelope") && is_element_name("_a-1.b"));
        for name in ["", ":", ":a", "a:", "a:b:c", "a:1", "1:a"] {
            assert!(!is_element_name(name), "{name}");
        }
        assert!(!is_name("") && !is_name("1a") && !is_name("a b") && !is_name("a>") && !is_name("-a"));
    }
}
