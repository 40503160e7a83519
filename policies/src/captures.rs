//! Texts that refer to what a regular expression has found: `{#group[0]}` is its first group, `{#groupName['name']}` one by its name.

use regex::{Captures, Regex};
use ringway_contract::{Exchange, Refusal, Reply};

use crate::text::Text;

/// A reference: its index, or its name in one of two kinds of quotes.
const REFERENCE: &str =
    r#"\{#\s*(?:group\s*\[\s*(\d{1,4})\s*\]|groupName\s*\[\s*(?:'(\w{1,64})'|"(\w{1,64})")\s*\])\s*\}"#;

/// A text with such references, and with expressions.
#[derive(Debug)]
pub struct Replacement(Box<[Part]>);

#[derive(Debug)]
enum Part {
    Text(Text),
    /// From 1, as expressions count.
    Group(usize),
    Named(Box<str>),
}

impl Replacement {
    /// Compiles a text with what `compile` makes of a text without references; `pattern` is the expression, when it is known already.
    ///
    /// # Errors
    /// An expression in it is none, or it refers to a group that there is not.
    pub fn new(
        field: &str,
        text: &str,
        pattern: Option<&Regex>,
        compile: fn(&str, &str) -> Result<Text, Refusal>,
    ) -> Result<Self, Refusal> {
        let references = Regex::new(REFERENCE).map_err(|error| Refusal(error.to_string()))?;
        let (mut parts, mut from) = (Vec::new(), 0);
        for found in references.captures_iter(text) {
            let Some(whole) = found.get(0) else { continue };
            push(&mut parts, field, text.get(from..whole.start()), compile)?;
            let name = found.get(2).or_else(|| found.get(3)).map(|name| name.as_str());
            let index = found.get(1).and_then(|index| index.as_str().parse::<usize>().ok()).unwrap_or_default() + 1;
            let exists = pattern.is_none_or(|pattern| match name {
                Some(name) => pattern.capture_names().flatten().any(|known| known == name),
                None => index < pattern.captures_len(),
            });
            if !exists {
                return Err(Refusal(format!("{field}: the expression has no group for `{}`", whole.as_str())));
            }
            parts.push(name.map_or(Part::Group(index), |name| Part::Named(name.into())));
            from = whole.end();
        }
        push(&mut parts, field, text.get(from..), compile)?;
        Ok(Self(parts.into()))
    }

    /// Its texts, for what they need.
    pub fn texts(&self) -> impl Iterator<Item = &Text> {
        self.0.iter().filter_map(|part| if let Part::Text(text) = part { Some(text) } else { None })
    }

    /// Appends the text. A group that took no part in the match is nothing.
    ///
    /// # Errors
    /// The answer, when an expression in it cannot be evaluated.
    pub fn expand(&self, found: &Captures<'_>, exchange: &Exchange, out: &mut String) -> Result<(), Box<Reply>> {
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(&text.render(exchange)?),
                Part::Group(index) => out.push_str(found.get(*index).map_or("", |group| group.as_str())),
                Part::Named(name) => out.push_str(found.name(name).map_or("", |group| group.as_str())),
            }
        }
        Ok(())
    }
}

fn push(
    parts: &mut Vec<Part>,
    field: &str,
    text: Option<&str>,
    compile: fn(&str, &str) -> Result<Text, Refusal>,
) -> Result<(), Refusal> {
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        parts.push(Part::Text(compile(field, text)?));
    }
    Ok(())
}
