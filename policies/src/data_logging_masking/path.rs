//! The part of JSONPath (RFC 9535) by which places in a body are named: `$.a`, `$['a']`, `$.a[0]`, `$.a[*].b`, `$..b`.

use crate::json::Value;

/// Steps of a path.
const STEPS_MAX: usize = 32;

/// A path.
#[derive(Debug, PartialEq, Eq)]
pub struct Path(Box<[Step]>);

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Name(String),
    Index(usize),
    /// Every member or item.
    All,
    /// The value itself and everything in it.
    Deep,
}

impl Path {
    /// Reads one; `None`: it is none, or says more than places can be named by here.
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text.trim().strip_prefix('$')?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if let Some(behind) = rest.strip_prefix("..") {
                steps.push(Step::Deep);
                rest = behind;
                if !rest.starts_with('[') {
                    rest = plain(rest, &mut steps)?;
                }
            } else if let Some(behind) = rest.strip_prefix('.') {
                rest = plain(behind, &mut steps)?;
            } else {
                let (inner, behind) = rest.strip_prefix('[')?.split_once(']')?;
                steps.push(bracketed(inner.trim())?);
                rest = behind;
            }
        }
        (1..=STEPS_MAX).contains(&steps.len()).then(|| Self(steps.into()))
    }

    /// Gives every value that it names to `change`.
    pub fn visit(&self, whole: &mut Value, change: &mut dyn FnMut(&mut Value)) {
        visit(whole, &self.0, change);
    }
}

/// A name or a star behind a dot.
fn plain<'a>(text: &'a str, steps: &mut Vec<Step>) -> Option<&'a str> {
    let (name, rest) = text.split_at(text.find(['.', '[']).unwrap_or(text.len()));
    let is_name = !name.contains([' ', '(', ')', '?', '@', '*', ']', '\'', '"']) && !name.is_empty();
    steps.push(if name == "*" { Step::All } else { Step::Name(is_name.then(|| name.to_owned())?) });
    Some(rest)
}

fn bracketed(inner: &str) -> Option<Step> {
    let quoted = |quote: char| inner.strip_prefix(quote)?.strip_suffix(quote);
    if inner == "*" {
        return Some(Step::All);
    }
    match quoted('\'').or_else(|| quoted('"')) {
        Some(name) => (!name.contains(['\\', '\'', '"'])).then(|| Step::Name(name.to_owned())),
        None => inner.parse().ok().map(Step::Index),
    }
}

/// As deep as a body may be, and as a path.
fn visit(value: &mut Value, steps: &[Step], change: &mut dyn FnMut(&mut Value)) {
    let Some((step, rest)) = steps.split_first() else { return change(value) };
    match (step, value) {
        (Step::Name(name), Value::Object(members)) => {
            if let Some(member) = members.get_mut(name.as_str()) {
                visit(member, rest, change);
            }
        }
        (Step::Index(at), Value::Array(items)) => {
            if let Some(item) = items.get_mut(*at) {
                visit(item, rest, change);
            }
        }
        (Step::All, Value::Array(items)) => items.iter_mut().for_each(|item| visit(item, rest, change)),
        (Step::All, Value::Object(members)) => members.values_mut().for_each(|member| visit(member, rest, change)),
        (Step::Deep, value) => {
            match value {
                Value::Array(items) => items.iter_mut().for_each(|item| visit(item, steps, change)),
                Value::Object(members) => members.values_mut().for_each(|member| visit(member, steps, change)),
                _ => {}
            }
            visit(value, rest, change);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found() {
        let body = r#"{"a":{"b":[{"c":1},{"c":2,"d":{"c":3}}]},"c":4,"x y":5}"#;
        for (path, expected) in [
            ("$.c", r#"{"a":{"b":[{"c":1},{"c":2,"d":{"c":3}}]},"c":null,"x y":5}"#),
            ("$['x y']", r#"{"a":{"b":[{"c":1},{"c":2,"d":{"c":3}}]},"c":4,"x y":null}"#),
            ("$.a.b[1].c", r#"{"a":{"b":[{"c":1},{"c":null,"d":{"c":3}}]},"c":4,"x y":5}"#),
            ("$.a.b[*].c", r#"{"a":{"b":[{"c":null},{"c":null,"d":{"c":3}}]},"c":4,"x y":5}"#),
            ("$..c", r#"{"a":{"b":[{"c":null},{"c":null,"d":{"c":null}}]},"c":null,"x y":5}"#),
            ("$..b[0]", r#"{"a":{"b":[null,{"c":2,"d":{"c":3}}]},"c":4,"x y":5}"#),
            ("$.*", r#"{"a":null,"c":null,"x y":null}"#),
            ("$.none.c", body),
            ("$.a.b[9]", body),
        ] {
            let mut value = Value::parse(body.as_bytes()).unwrap();
            Path::parse(path).unwrap().visit(&mut value, &mut |found| *found = Value::Null);
            assert_eq!(value.to_string(), expected, "{path}");
        }
    }

    #[test]
    fn what_names_no_place_is_none() {
        let long = format!("${}", ".a".repeat(STEPS_MAX + 1));
        for text in [
            "",
            "$",
            "a",
            "/a/b",
            "$.",
            "$..",
            "$.a[",
            "$.a[-1]",
            "$.a[?(@.b)]",
            "$.a b",
            "$.a[0:2]",
            "$['a\\'b']",
            &long,
        ] {
            assert_eq!(Path::parse(text), None, "{text}");
        }
    }
}
