//! Simple types: which texts they allow.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::rc::Rc;

use regex::Regex;

use super::lexical::{self, Primitive, Value};

/// What becomes of spaces before a text is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Spaces {
    /// They stay.
    Preserve,
    /// Each becomes a blank.
    Replace,
    /// Runs become one blank, and none is left at the ends.
    Collapse,
}

/// What values are made of.
#[derive(Clone, Debug)]
pub enum Variety {
    /// Any text.
    Any,
    /// One value.
    Atomic(Primitive),
    /// Values with spaces between them.
    List(Rc<Simple>),
    /// A value of the first of these types that takes it.
    Union(Vec<Rc<Simple>>),
}

/// A restriction of values.
#[derive(Clone, Debug)]
pub enum Facet {
    /// `length`, `minLength` and `maxLength`: at least and at most so many.
    Length(usize, usize),
    /// One of the patterns of one restriction.
    Pattern(Vec<Regex>),
    /// One of these values.
    Enumeration(Vec<String>),
    /// Compared with this value, one of these.
    Compared(Value, &'static [Ordering], &'static str),
    /// Digits at most: in all, and behind the point.
    Digits(usize, usize),
    /// One that this function takes.
    Written(fn(&str) -> bool),
}

/// A simple type.
#[derive(Clone, Debug)]
pub struct Simple {
    /// What its values are made of.
    pub variety: Variety,
    /// What becomes of spaces.
    pub spaces: Spaces,
    /// All must hold.
    pub facets: Vec<Facet>,
    /// What must be unique in a document, or be there.
    pub identity: Option<Identity>,
}

/// `ID` and those that refer to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// `ID`
    Declares,
    /// `IDREF` and `IDREFS`
    Refers,
}

impl Simple {
    /// A type of any text.
    pub fn any() -> Self {
        Self { variety: Variety::Any, spaces: Spaces::Preserve, facets: Vec::new(), identity: None }
    }

    /// The type that XML Schema calls `name`; `None` if there is none, or it is not supported.
    pub fn builtin(name: &str) -> Option<Self> {
        let of = |primitive, facets| Self {
            variety: Variety::Atomic(primitive),
            spaces: Spaces::Collapse,
            facets,
            identity: None,
        };
        let string = |spaces, facets| Self { spaces, ..of(Primitive::String, facets) };
        let token = |is_one: fn(&str) -> bool| string(Spaces::Collapse, vec![Facet::Written(is_one)]);
        let integer = |min: &str, max: &str| {
            let mut facets = vec![Facet::Digits(usize::MAX, 0), Facet::Written(|text| !text.contains('.'))];
            let bound = |text: &str| Value::of(Primitive::Decimal, text);
            facets.extend(bound(min).map(|value| Facet::Compared(value, AT_LEAST, "minInclusive")));
            facets.extend(bound(max).map(|value| Facet::Compared(value, AT_MOST, "maxInclusive")));
            of(Primitive::Decimal, facets)
        };
        let list = |item: Self| Self {
            variety: Variety::List(Rc::new(item)),
            spaces: Spaces::Collapse,
            facets: vec![Facet::Length(1, usize::MAX)],
            identity: None,
        };
        let identity = |identity| Self { identity: Some(identity), ..token(is_ncname) };
        Some(match name {
            "anyType" | "anySimpleType" | "anyAtomicType" => Self::any(),
            "string" => string(Spaces::Preserve, Vec::new()),
            "normalizedString" => string(Spaces::Replace, Vec::new()),
            "token" => string(Spaces::Collapse, Vec::new()),
            "language" => token(is_language),
            "Name" => token(crate::xml::is_name),
            "NCName" => token(is_ncname),
            "NMTOKEN" => token(is_nmtoken),
            "NMTOKENS" => list(token(is_nmtoken)),
            "ID" => identity(Identity::Declares),
            "IDREF" => identity(Identity::Refers),
            "IDREFS" => list(identity(Identity::Refers)),
            "boolean" => of(Primitive::Boolean, Vec::new()),
            "decimal" => of(Primitive::Decimal, Vec::new()),
            "integer" => integer("", ""),
            "nonNegativeInteger" => integer("0", ""),
            "positiveInteger" => integer("1", ""),
            "nonPositiveInteger" => integer("", "0"),
            "negativeInteger" => integer("", "-1"),
            "long" => integer("-9223372036854775808", "9223372036854775807"),
            "int" => integer("-2147483648", "2147483647"),
            "short" => integer("-32768", "32767"),
            "byte" => integer("-128", "127"),
            "unsignedLong" => integer("0", "18446744073709551615"),
            "unsignedInt" => integer("0", "4294967295"),
            "unsignedShort" => integer("0", "65535"),
            "unsignedByte" => integer("0", "255"),
            "float" | "double" => of(Primitive::Float, Vec::new()),
            "duration" => of(Primitive::Duration, Vec::new()),
            "dateTime" => of(Primitive::DateTime, Vec::new()),
            "date" => of(Primitive::Date, Vec::new()),
            "time" => of(Primitive::Time, Vec::new()),
            "gYearMonth" => of(Primitive::YearMonth, Vec::new()),
            "gYear" => of(Primitive::Year, Vec::new()),
            "gMonthDay" => of(Primitive::MonthDay, Vec::new()),
            "gDay" => of(Primitive::Day, Vec::new()),
            "gMonth" => of(Primitive::Month, Vec::new()),
            "hexBinary" => of(Primitive::Hex, Vec::new()),
            "base64Binary" => of(Primitive::Base64, Vec::new()),
            "anyURI" => of(Primitive::Uri, Vec::new()),
            "QName" => of(Primitive::QName, Vec::new()),
            _ => return None,
        })
    }

    /// The primitive type of its values, if they have one.
    pub fn primitive(&self) -> Option<Primitive> {
        if let Variety::Atomic(primitive) = self.variety { Some(primitive) } else { None }
    }

    /// A text with its spaces as the type wants them.
    pub fn normalized<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let is_space = |character: char| matches!(character, ' ' | '\t' | '\n' | '\r');
        match self.spaces {
            Spaces::Preserve => Cow::Borrowed(text),
            Spaces::Replace => Cow::Owned(text.replace(is_space, " ")),
            Spaces::Collapse => {
                let trimmed = text.trim_matches(is_space);
                if !trimmed.contains(['\t', '\n', '\r']) && !trimmed.contains("  ") {
                    return Cow::Borrowed(trimmed);
                }
                let words = trimmed.split(is_space).filter(|word| !word.is_empty());
                Cow::Owned(words.collect::<Vec<_>>().join(" "))
            }
        }
    }

    /// Holds a text against the type; `seen` is told of identities.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, text: &str, seen: &mut dyn FnMut(Identity, &str)) -> Result<(), String> {
        let text = self.normalized(text);
        match &self.variety {
            Variety::Any => {}
            Variety::Atomic(primitive) => {
                if !lexical::is_written(*primitive, &text) {
                    return Err(format!("`{}` is no {}", shown(&text), format!("{primitive:?}").to_lowercase()));
                }
            }
            Variety::List(item) => {
                text.split(' ').filter(|word| !word.is_empty()).try_for_each(|word| item.check(word, seen))?;
            }
            Variety::Union(members) => {
                if !members.iter().any(|member| member.check(&text, &mut |_, _| {}).is_ok()) {
                    return Err(format!("`{}` fits no type of the union", shown(&text)));
                }
            }
        }
        if let Some(facet) = self.facets.iter().find(|facet| !self.holds(facet, &text)) {
            return Err(format!("`{}` does not fit {}", shown(&text), facet.name()));
        }
        if let Some(identity) = self.identity {
            seen(identity, &text);
        }
        Ok(())
    }

    fn holds(&self, facet: &Facet, text: &str) -> bool {
        let items = || text.split(' ').filter(|word| !word.is_empty()).count();
        match facet {
            Facet::Length(min, max) => {
                let length = match (&self.variety, self.primitive()) {
                    (Variety::List(_), _) => items(),
                    (_, Some(Primitive::Hex)) => text.len() / 2,
                    (_, Some(Primitive::Base64)) => lexical::base64_length(text).unwrap_or(0),
                    // Lengths of qualified names mean nothing.
                    (_, Some(Primitive::QName)) => return true,
                    _ => text.chars().count(),
                };
                (*min..=*max).contains(&length)
            }
            Facet::Pattern(patterns) => patterns.iter().any(|pattern| pattern.is_match(text)),
            Facet::Enumeration(values) => values.iter().any(|value| self.same(value, text)),
            Facet::Compared(bound, allowed, _) => {
                let value = self.primitive().and_then(|primitive| Value::of(primitive, text));
                value.and_then(|value| value.compare(bound)).is_some_and(|order| allowed.contains(&order))
            }
            Facet::Digits(total, fraction) => {
                let (all, behind) = lexical::digits(text);
                all <= *total && behind <= *fraction
            }
            Facet::Written(is_one) => is_one(text),
        }
    }

    /// Whether two texts are the same value.
    pub fn same(&self, one: &str, other: &str) -> bool {
        let boolean = |text: &str| matches!(text, "true" | "1");
        match self.primitive() {
            _ if one == other => true,
            Some(Primitive::Boolean) => boolean(one) == boolean(other),
            Some(primitive) => Value::of(primitive, one)
                .zip(Value::of(primitive, other))
                .is_some_and(|(one, other)| one.compare(&other) == Some(Ordering::Equal)),
            None => false,
        }
    }
}

/// Orders of a value that is not less than a bound.
pub const AT_LEAST: &[Ordering] = &[Ordering::Equal, Ordering::Greater];
/// Orders of a value that is not more than a bound.
pub const AT_MOST: &[Ordering] = &[Ordering::Equal, Ordering::Less];

impl Facet {
    fn name(&self) -> &'static str {
        match self {
            Self::Length(..) => "its length",
            Self::Pattern(_) => "its pattern",
            Self::Enumeration(_) => "its enumeration",
            Self::Compared(_, _, name) => name,
            Self::Digits(..) => "its number of digits",
            Self::Written(_) => "how its type is written",
        }
    }
}

/// The start of a text, for a message.
fn shown(text: &str) -> &str {
    const SHOWN_BYTES: usize = 40;
    let end = text.char_indices().map(|(at, _)| at).find(|at| *at >= SHOWN_BYTES).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

fn is_ncname(text: &str) -> bool {
    crate::xml::is_name(text) && !text.contains(':')
}

fn is_nmtoken(text: &str) -> bool {
    // What may stand in a name may stand behind a letter.
    !text.is_empty() && crate::xml::is_name(&format!("a{text}"))
}

fn is_language(text: &str) -> bool {
    let is_part = |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let first = text.split('-').next().unwrap_or_default();
    text.split('-').all(is_part) && first.bytes().all(|byte| byte.is_ascii_alphabetic())
}
