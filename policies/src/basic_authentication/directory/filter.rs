//! Filters of searches (RFC 4515), with a place for the name that a client shows.
//!
//! A filter is parsed once, without the name; the name is then put into the message as the octets of a value. Whatever stands in it, it is
//! never read as a part of the filter: there is nothing to escape.

use super::ber::{OCTETS, SEQUENCE, nest, put};

/// How deep filters lie in each other.
const DEPTH_MAX: usize = 16;
/// The place of the name.
const PLACE: &str = "{0}";

/// A filter.
#[derive(Debug, PartialEq, Eq)]
pub enum Filter {
    /// All, or one of them.
    Several(u8, Vec<Filter>),
    /// Not so.
    Not(Box<Filter>),
    /// A comparison of an attribute with a value.
    Compares(u8, String, Text),
    /// The attribute is there.
    Present(String),
    /// Pieces of a value in their order; the first and the last may be empty.
    Pieces(String, Vec<Text>),
}

const AND: u8 = 0xa0;
const OR: u8 = 0xa1;
const NOT: u8 = 0xa2;
const EQUAL: u8 = 0xa3;
const PIECES: u8 = 0xa4;
const GREATER: u8 = 0xa5;
const LESS: u8 = 0xa6;
const PRESENT: u8 = 0x87;
const ALIKE: u8 = 0xa8;

/// A value: octets, and `None` where the name stands.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Text(Vec<Option<Vec<u8>>>);

impl Text {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn has_place(&self) -> bool {
        self.0.iter().any(Option::is_none)
    }

    fn with(&self, name: &[u8]) -> Vec<u8> {
        self.0.iter().flat_map(|part| part.as_deref().unwrap_or(name)).copied().collect()
    }

    /// A value of a filter, with its escapes.
    fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        for (at, literal) in text.split(PLACE).enumerate() {
            if at > 0 {
                parts.push(None);
            }
            let (mut octets, mut rest) = (Vec::new(), literal.bytes());
            while let Some(byte) = rest.next() {
                let octet = if byte == b'\\' {
                    let digits = [rest.next(), rest.next()].map(|digit| digit.and_then(|it| (it as char).to_digit(16)));
                    let [Some(high), Some(low)] = digits else {
                        return Err("`\\` stands before two hexadecimal digits".into());
                    };
                    (high * 16 + low) as u8
                } else {
                    byte
                };
                octets.push(octet);
            }
            if !octets.is_empty() {
                parts.push(Some(octets));
            }
        }
        Ok(Self(parts))
    }
}

impl Filter {
    /// Reads a filter; the outermost parentheses may be left out.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if !text.starts_with('(') {
            return Self::comparison(text);
        }
        match Self::enclosed(text, DEPTH_MAX)? {
            (filter, rest) if rest.trim().is_empty() => Ok(filter),
            (_, rest) => Err(format!("`{rest}` stands behind the filter")),
        }
    }

    /// Whether the name stands somewhere in it.
    pub fn has_place(&self) -> bool {
        match self {
            Self::Several(_, filters) => filters.iter().any(Self::has_place),
            Self::Not(filter) => filter.has_place(),
            Self::Compares(_, _, text) => text.has_place(),
            Self::Present(_) => false,
            Self::Pieces(_, pieces) => pieces.iter().any(Text::has_place),
        }
    }

    fn enclosed(text: &str, depth: usize) -> Result<(Self, &str), String> {
        if depth == 0 {
            return Err(format!("filters lie in each other, more than {DEPTH_MAX} deep"));
        }
        let inner = text.trim_start().strip_prefix('(').ok_or_else(|| format!("`(` is missing before `{text}`"))?;
        let several = |tag, inner: &str| -> Result<(Self, usize), String> {
            let (mut filters, mut rest) = (Vec::new(), inner);
            while rest.trim_start().starts_with('(') {
                let (filter, next) = Self::enclosed(rest, depth - 1)?;
                filters.push(filter);
                rest = next;
            }
            if filters.is_empty() {
                return Err("there is no filter behind `&` or `|`".into());
            }
            Ok((Self::Several(tag, filters), rest.len()))
        };
        let (filter, left) = match inner.trim_start().split_at_checked(1) {
            Some(("&", rest)) => several(AND, rest)?,
            Some(("|", rest)) => several(OR, rest)?,
            Some(("!", rest)) => {
                let (filter, rest) = Self::enclosed(rest, depth - 1)?;
                (Self::Not(Box::new(filter)), rest.len())
            }
            _ => {
                // Parentheses of a value are escaped.
                let end = inner.find([')', '(']).unwrap_or(inner.len());
                (Self::comparison(inner.get(..end).unwrap_or_default())?, inner.len() - end)
            }
        };
        let rest = text.get(text.len() - left..).unwrap_or_default().trim_start();
        let rest = rest.strip_prefix(')').ok_or_else(|| format!("`)` is missing before `{rest}`"))?;
        Ok((filter, rest))
    }

    fn comparison(text: &str) -> Result<Self, String> {
        let (attribute, value) = text.split_once('=').ok_or_else(|| format!("`=` is missing in `{text}`"))?;
        let (attribute, tag) = match attribute.strip_suffix(['~', '>', '<']) {
            Some(attribute) if text.starts_with(&format!("{attribute}~")) => (attribute, ALIKE),
            Some(attribute) if text.starts_with(&format!("{attribute}>")) => (attribute, GREATER),
            Some(attribute) => (attribute, LESS),
            None => (attribute, EQUAL),
        };
        let attribute = attribute.trim();
        let plain = |character: char| character.is_ascii_alphanumeric() || ".-;".contains(character);
        if attribute.ends_with(':') {
            return Err(format!("extensible matches such as `{attribute}=` are not carried"));
        }
        if attribute.is_empty() || !attribute.chars().all(plain) {
            return Err(format!("`{attribute}` is no name of an attribute"));
        }
        let attribute = attribute.to_owned();
        if tag != EQUAL || !value.contains('*') {
            return Ok(Self::Compares(tag, attribute, Text::parse(value)?));
        }
        if value == "*" {
            return Ok(Self::Present(attribute));
        }
        let pieces: Vec<Text> = value.split('*').map(Text::parse).collect::<Result<_, _>>()?;
        let inner = pieces.len().saturating_sub(2);
        if pieces.iter().skip(1).take(inner).any(Text::is_empty) || pieces.iter().all(Text::is_empty) {
            return Err("there is nothing between two `*`".into());
        }
        Ok(Self::Pieces(attribute, pieces))
    }

    /// Appends it as the message has it (RFC 4511 section 4.5.1.7).
    pub fn write(&self, out: &mut Vec<u8>, name: &[u8]) {
        match self {
            Self::Several(tag, filters) => {
                nest(out, *tag, |out| filters.iter().for_each(|filter| filter.write(out, name)));
            }
            Self::Not(filter) => nest(out, NOT, |out| filter.write(out, name)),
            Self::Compares(tag, attribute, text) => nest(out, *tag, |out| {
                put(out, OCTETS, attribute.as_bytes());
                put(out, OCTETS, &text.with(name));
            }),
            Self::Present(attribute) => put(out, PRESENT, attribute.as_bytes()),
            Self::Pieces(attribute, pieces) => nest(out, PIECES, |out| {
                put(out, OCTETS, attribute.as_bytes());
                nest(out, SEQUENCE, |out| {
                    let last = pieces.len().saturating_sub(1);
                    for (at, piece) in pieces.iter().enumerate().filter(|(_, piece)| !piece.is_empty()) {
                        let tag = if at == 0 {
                            0x80
                        } else if at == last {
                            0x82
                        } else {
                            0x81
                        };
                        put(out, tag, &piece.with(name));
                    }
                });
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(filter: &str, name: &str) -> String {
        let mut out = Vec::new();
        Filter::parse(filter).unwrap().write(&mut out, name.as_bytes());
        out.escape_ascii().to_string()
    }

    #[test]
    fn filters_are_written_as_messages_have_them() {
        for (filter, wanted) in [
            ("uid={0}", r"\xa3\n\x04\x03uid\x04\x03ada"),
            ("(uid={0})", r"\xa3\n\x04\x03uid\x04\x03ada"),
            ("(mail={0}@x.y)", r"\xa3\x0f\x04\x04mail\x04\x07ada@x.y"),
            ("(&(a=1)(!(b>=2)))", r"\xa0\x12\xa3\x06\x04\x01a\x04\x011\xa2\x08\xa5\x06\x04\x01b\x04\x012"),
            (
                "(|(a=1)(b~=2)(c<=3))",
                r"\xa1\x18\xa3\x06\x04\x01a\x04\x011\xa8\x06\x04\x01b\x04\x012\xa6\x06\x04\x01c\x04\x013",
            ),
            ("(a=*)", r"\x87\x01a"),
            ("(a=x*y*z)", r"\xa4\x0e\x04\x01a0\t\x80\x01x\x81\x01y\x82\x01z"),
            ("(a=*y*)", r"\xa4\x08\x04\x01a0\x03\x81\x01y"),
            (r"(a=\28\2a\29)", r"\xa3\x08\x04\x01a\x04\x03(*)"),
            (" ( & ( a=1 ) ) ", r"\xa0\t\xa3\x07\x04\x01a\x04\x021 "),
        ] {
            assert_eq!(written(filter, "ada"), wanted, "{filter}");
        }
    }

    #[test]
    fn a_name_is_a_value_whatever_stands_in_it() {
        for name in ["*", "ada)(uid=*", "a*b", r"\2a", "*)(|(objectClass=*", "{0}"] {
            let mut wanted = Vec::new();
            nest(&mut wanted, EQUAL, |out| {
                put(out, OCTETS, b"uid");
                put(out, OCTETS, name.as_bytes());
            });
            assert_eq!(written("(uid={0})", name), wanted.escape_ascii().to_string(), "{name}");
        }
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        let deep = format!("{}a=1{}", "(!".repeat(40) + "(", ")".repeat(41));
        for filter in [
            "", "uid", "(uid=1", "(uid=1))", "(&)", "(!a=1)", "=1", "(a b=1)", "(a:=1)", r"(a=\2)", "(a=**)",
            "(a=x**y)", "(a=(b)", &deep,
        ] {
            assert!(Filter::parse(filter).is_err(), "{filter}");
        }
        assert!(!Filter::parse("(uid=admin)").unwrap().has_place());
        assert!(Filter::parse("(&(a=1)(uid={0}*))").unwrap().has_place());
    }
}
