//! Values that are never shown.

use std::fmt;
use std::sync::Arc;

use crate::problem::Problem;
use crate::settings::Secret;

/// Shorter values are not looked for in texts: they are found in words that are no secrets.
const HIDDEN_BYTES_MIN: usize = 4;

/// What stands in the place of a value.
const MASK: &str = "***";

/// The secrets that were read, for those who write down what passes.
#[derive(Clone, Default, PartialEq)]
pub struct Hidden {
    /// The longest first, so that one that is a part of another leaves nothing of it.
    values: Arc<[Value]>,
}

/// A value, and how it is written in JSON.
#[derive(PartialEq)]
struct Value {
    raw: Secret,
    json: Secret,
}

impl Hidden {
    pub(super) fn of<'s>(values: impl Iterator<Item = &'s Secret>) -> Self {
        let mut values: Vec<Secret> =
            values.filter(|value| value.expose().len() >= HIDDEN_BYTES_MIN).cloned().collect();
        values.sort_by(|a, b| b.expose().len().cmp(&a.expose().len()).then_with(|| a.expose().cmp(b.expose())));
        values.dedup();
        let values = values.into_iter().map(|raw| Value { json: Secret::from(in_json(raw.expose()).as_str()), raw });
        Self { values: values.collect() }
    }

    /// Masks each of them in `text`.
    pub fn hide(&self, text: &mut String) {
        mask(text, self.values.iter().map(|value| &value.raw));
    }

    /// Masks each of them in the strings of a JSON text.
    pub fn hide_in_json(&self, text: &mut String) {
        mask(text, self.values.iter().map(|value| &value.json));
    }

    /// Masks each of them in what is told of problems: the pattern of a regular expression is quoted, for one.
    pub(crate) fn hide_in(&self, problems: &mut [Problem]) {
        for problem in problems {
            self.hide(&mut problem.message);
            problem.hint.iter_mut().for_each(|hint| self.hide(hint));
        }
    }
}

fn mask<'s>(text: &mut String, values: impl Iterator<Item = &'s Secret>) {
    for value in values.map(Secret::expose) {
        if text.contains(value) {
            *text = text.replace(value, MASK);
        }
    }
}

/// As a part of a string.
fn in_json(value: &str) -> String {
    let quoted = serde_json::Value::from(value).to_string();
    quoted.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or_default().to_owned()
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hidden({})", self.values.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_part_of_another_leaves_nothing_of_it() {
        let values = ["s3cret", "s3cret-and-more", "on", "s3cret"].map(Secret::from);
        let hidden = Hidden::of(values.iter());
        let mut text = "on s3cret-and-more, s3cret".to_owned();
        hidden.hide(&mut text);
        assert_eq!((text.as_str(), format!("{hidden:?}").as_str()), ("on ***, ***", "Hidden(2)"));
        let hidden = Hidden::of([Secret::from("a\"b\nc")].iter());
        let mut line = r#"{"a":"a\"b\nc"}"#.to_owned();
        hidden.hide_in_json(&mut line);
        assert_eq!(line, r#"{"a":"***"}"#);
    }
}
