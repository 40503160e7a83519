//! YAML 1.2 with the core schema, as a spanned tree.
//!
//! The events come from `saphyr-parser`. What YAML can do beyond JSON is kept small: aliases are copies within a budget, keys are scalars, and tags
//! other than those of the core schema are refused. `no` and `1_000` are text, as the core schema says.

use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, StrInput, Tag};

use crate::json::Keys;
use crate::node::{ALIASED_NODES_MAX, DEPTH_MAX, Entry, NODES_MAX, Node, Number, Source, Span, Value};
use crate::problem::Problem;

/// Reads all documents of a text; empty ones are left out.
///
/// # Errors
/// The first place that cannot be read.
pub(crate) fn parse(source: &Arc<Source>) -> Result<Vec<Node>, Problem> {
    let text = source.text.strip_prefix('\u{feff}').unwrap_or(&source.text);
    let mut builder =
        Builder { source, events: Parser::new_from_str(text), anchors: HashMap::new(), copied: 0, depth: 0, nodes: 0 };
    builder.stream()
}

struct Builder<'a> {
    source: &'a Arc<Source>,
    events: Parser<'a, StrInput<'a>>,
    /// What aliases may name, by the number that the parser gave.
    anchors: HashMap<usize, Node>,
    /// Values that were copied for anchors and aliases.
    copied: usize,
    depth: usize,
    nodes: usize,
}

type Place = saphyr_parser::Span;

impl<'a> Builder<'a> {
    fn span(&self, place: &Place) -> Span {
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Span {
            source: self.source.clone(),
            line: number(place.start.line().max(1)),
            column: number(place.start.col()).saturating_add(1),
        }
    }

    fn wrong(&self, place: &Place, message: impl Into<String>) -> Problem {
        Problem::error(&self.span(place), "", message)
    }

    fn next(&mut self) -> Result<(Event<'a>, Place), Problem> {
        match self.events.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(self.scan_error(&error)),
            None => Ok((Event::StreamEnd, Place::default())),
        }
    }

    fn scan_error(&self, error: &ScanError) -> Problem {
        let place = Place { start: *error.marker(), end: *error.marker() };
        let problem = self.wrong(&place, format!("not valid YAML: {}", error.info()));
        let line = self.source.line(problem.line);
        if line.trim_start_matches(' ').starts_with('\t') {
            return problem.hint("indent with spaces: YAML does not allow tabs");
        }
        if line.contains("${") {
            return problem.hint("put `${...}` in quotes within `{ }` and `[ ]`");
        }
        problem
    }

    fn stream(&mut self) -> Result<Vec<Node>, Problem> {
        let mut documents = Vec::new();
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(documents),
                (Event::StreamStart | Event::DocumentEnd | Event::Nothing, _) => {}
                (Event::DocumentStart(_), _) => {
                    self.anchors.clear();
                    let (event, place) = self.next()?;
                    if !matches!(event, Event::DocumentEnd) {
                        let node = self.node(event, &place)?;
                        if !node.is_null() {
                            documents.push(node);
                        }
                    }
                }
                (_, place) => return Err(self.wrong(&place, "unexpected text outside of a document")),
            }
        }
    }

    fn node(&mut self, event: Event<'a>, place: &Place) -> Result<Node, Problem> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(self.wrong(place, format!("more than {NODES_MAX} values in one file")));
        }
        let span = self.span(place);
        let (value, anchor) = match event {
            Event::Alias(anchor) => return self.alias(anchor, place),
            Event::Scalar(text, style, anchor, tag) => (self.scalar(&text, style, tag.as_deref(), place)?, anchor),
            Event::SequenceStart(anchor, tag) => {
                self.core_tag(tag.as_deref(), "seq", place)?;
                (self.nested(place, Self::seq)?, anchor)
            }
            Event::MappingStart(anchor, tag) => {
                self.core_tag(tag.as_deref(), "map", place)?;
                (self.nested(place, Self::map)?, anchor)
            }
            _ => return Err(self.wrong(place, "expected a value")),
        };
        let node = Node::new(value, span);
        if anchor > 0 {
            self.copy(&node, 0, place)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn alias(&mut self, anchor: usize, place: &Place) -> Result<Node, Problem> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            return Err(self.wrong(place, "an alias cannot stand inside of what it names"));
        };
        self.copy(&node, self.depth, place)?;
        Ok(node)
    }

    /// Counts the values of a copy that is made at `depth`.
    fn copy(&mut self, node: &Node, depth: usize, place: &Place) -> Result<(), Problem> {
        self.copied += 1;
        if self.copied > ALIASED_NODES_MAX {
            return Err(
                self.wrong(place, format!("anchors and aliases stand for more than {ALIASED_NODES_MAX} values"))
            );
        }
        if depth > DEPTH_MAX {
            return Err(self.wrong(place, format!("nested more than {DEPTH_MAX} levels deep")));
        }
        let items = node.items().iter().chain(node.entries().iter().map(|entry| &entry.value));
        for item in items {
            self.copy(item, depth + 1, place)?;
        }
        Ok(())
    }

    fn nested(&mut self, place: &Place, parse: fn(&mut Self) -> Result<Value, Problem>) -> Result<Value, Problem> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.wrong(place, format!("nested more than {DEPTH_MAX} levels deep")));
        }
        let value = parse(self);
        self.depth -= 1;
        value
    }

    fn seq(&mut self) -> Result<Value, Problem> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::Seq(items)),
                (event, place) => items.push(self.node(event, &place)?),
            }
        }
    }

    fn map(&mut self) -> Result<Value, Problem> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut keys = Keys::default();
        loop {
            let (event, place) = self.next()?;
            let (key, style) = match event {
                Event::MappingEnd => return Ok(Value::Map(entries)),
                Event::Scalar(text, style, _, _) => (text.into_owned(), style),
                _ => return Err(self.wrong(&place, "a key must be text")),
            };
            if key == "<<" && style == ScalarStyle::Plain {
                let hint = "name the fields, or use an alias for a whole value";
                return Err(self.wrong(&place, "merge keys are not part of YAML 1.2").hint(hint));
            }
            let span = self.span(&place);
            keys.insert(&entries, &key, &span)?;
            let (event, place) = self.next()?;
            let value = self.node(event, &place)?;
            entries.push(Entry { key, span, value });
        }
    }

    fn scalar(&self, text: &str, style: ScalarStyle, tag: Option<&Tag>, place: &Place) -> Result<Value, Problem> {
        let resolved = match style {
            ScalarStyle::Plain => resolve(text),
            _ => Value::String(text.to_owned()),
        };
        let Some(tag) = tag else { return Ok(resolved) };
        let wrong = |kind: &str| self.wrong(place, format!("this is not {kind}"));
        match tag.suffix.as_str() {
            _ if !tag.is_yaml_core_schema() => Err(self.unknown_tag(tag, place)),
            "str" => Ok(Value::String(text.to_owned())),
            "null" => Some(Value::Null).filter(|_| matches!(resolve(text), Value::Null)).ok_or_else(|| wrong("null")),
            "bool" => Some(resolve(text)).filter(|v| matches!(v, Value::Bool(_))).ok_or_else(|| wrong("a boolean")),
            "int" | "float" => {
                Some(resolve(text)).filter(|v| matches!(v, Value::Number(_))).ok_or_else(|| wrong("a number"))
            }
            _ => Err(self.unknown_tag(tag, place)),
        }
    }

    fn core_tag(&self, tag: Option<&Tag>, wanted: &str, place: &Place) -> Result<(), Problem> {
        match tag {
            Some(tag) if !(tag.is_yaml_core_schema() && tag.suffix == wanted) => Err(self.unknown_tag(tag, place)),
            _ => Ok(()),
        }
    }

    fn unknown_tag(&self, tag: &Tag, place: &Place) -> Problem {
        self.wrong(place, format!("the tag `{}{}` is not supported here", tag.handle, tag.suffix))
    }
}

/// The value of plain text by the core schema (YAML 1.2.2 section 10.3.2). Infinities and NaN are text: nothing here wants them.
pub(crate) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    if is_number(text) { Value::Number(Number::yaml(text.to_owned())) } else { Value::String(text.to_owned()) }
}

fn is_number(text: &str) -> bool {
    let all = |digits: &str, of: fn(&u8) -> bool| !digits.is_empty() && digits.bytes().all(|byte| of(&byte));
    if let Some(digits) = text.strip_prefix("0x") {
        return all(digits, u8::is_ascii_hexdigit) && digits.len() <= 16;
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return all(digits, |byte| (b'0'..=b'7').contains(byte)) && digits.len() <= 21;
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| all(exponent, u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, String> {
        let documents = parse(&Source::new("a.yaml", text)).map_err(|problem| problem.to_string())?;
        Ok(documents.iter().map(|node| format!("{node:?}")).collect::<Vec<_>>().join(" --- "))
    }

    #[test]
    fn yaml_is_read_by_the_core_schema() {
        let table = [
            ("a: 1\nb: [x, 'y', \"z\\n\"]", r#"{"a": 1, "b": ["x", "y", "z\n"]}"#),
            (
                "a: no\nb: ~\nc: True\nd: 1.10\ne: 0x1F\nf: 1_000\ng: .inf",
                r#"{"a": "no", "b": null, "c": true, "d": 1.10, "e": 0x1F, "f": "1_000", "g": ".inf"}"#,
            ),
            ("a: !!str 12", r#"{"a": "12"}"#),
            ("a: &x {b: 1}\nc: *x", r#"{"a": {"b": 1}, "c": {"b": 1}}"#),
            ("---\na: 1\n---\n---\nb: 2\n...\n", r#"{"a": 1} --- {"b": 2}"#),
            ("a: |\n  b\n  c\nd: >-\n  e\n  f", r#"{"a": "b\nc\n", "d": "e f"}"#),
            ("{\"a\": [1, true, null, \"b\"]}", r#"{"a": [1, true, null, "b"]}"#),
            ("", ""),
            ("# only a comment", ""),
        ];
        for (text, wanted) in table {
            assert_eq!(read(text).as_deref(), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn what_goes_beyond_is_refused_where_it_stands() {
        let deep = "[".repeat(DEPTH_MAX + 1);
        let table = [
            ("a: 1\nb: 2\na: 3", "a.yaml:3:1: error: the key `a` was given before, in line 1"),
            (
                "<<: {a: 1}",
                "a.yaml:1:1: error: merge keys are not part of YAML 1.2 (name the fields, or use an alias for a whole value)",
            ),
            ("a: !secret b", "a.yaml:1:4: error: the tag `!secret` is not supported here"),
            ("a: &a [*a]", "a.yaml:1:8: error: an alias cannot stand inside of what it names"),
            ("[a]: b", "a.yaml:1:1: error: a key must be text"),
            (&deep, "a.yaml:1:129: error: nested more than 128 levels deep"),
            ("a: !!int b", "a.yaml:1:4: error: this is not a number"),
        ];
        for (text, wanted) in table {
            assert_eq!(read(text), Err(wanted.to_owned()), "{text}");
        }
        let tabs = read("a:\n\tb: 1").unwrap_err();
        assert!(
            tabs.starts_with("a.yaml:2:") && tabs.ends_with("(indent with spaces: YAML does not allow tabs)"),
            "{tabs}"
        );
    }

    #[test]
    fn a_billion_laughs_are_cut_short() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..10 {
            let before = format!("*a{}, ", level - 1).repeat(10);
            text += &format!("a{level}: &a{level} [{before}]\n");
        }
        let problem = read(&text).unwrap_err();
        assert!(problem.contains("anchors and aliases stand for more than 100000 values"), "{problem}");
    }

    #[test]
    fn an_alias_chain_is_not_deeper_than_a_file_may_be() {
        let mut text = "a0: &a0 [x]\n".to_owned();
        for level in 1..200 {
            text += &format!("a{level}: &a{level} [*a{}]\n", level - 1);
        }
        let problem = read(&text).unwrap_err();
        assert!(problem.contains("nested more than 128 levels deep"), "{problem}");
    }
}
