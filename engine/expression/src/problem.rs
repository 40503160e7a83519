//! What is wrong with an expression: when it is compiled, and when it is evaluated.

use std::fmt;

/// Why a text cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problem {
    /// Where: an offset in bytes from the begin of the text.
    pub at: usize,
    /// What is wrong.
    pub message: String,
    /// What to write instead, such as the nearest valid name.
    pub hint: Option<String>,
}

impl Problem {
    pub(crate) fn new(at: u32, message: impl Into<String>) -> Self {
        Self { at: at as usize, message: message.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Proposes the nearest of `names` to `name`, or lists them all.
    pub(crate) fn nearest<'a>(self, name: &str, names: impl Iterator<Item = &'a str> + Clone) -> Self {
        if let Some(near) = nearest(name, names.clone()) {
            return self.hint(format!("did you mean `{near}`?"));
        }
        let mut names: Vec<&str> = names.collect();
        names.sort_unstable();
        names.dedup();
        if names.is_empty() { self } else { self.hint(format!("known are {}", list(&names))) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: {}", self.at, self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, " ({hint})"))
    }
}

/// Why an evaluation failed: operands of a type that an operator or method does not take, a number out of range, or a passed bound.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at}: {message}")]
pub struct EvalError {
    /// Where: an offset in bytes from the begin of the template's text.
    pub at: u32,
    /// What failed, with the operands' types but not their values: those may be secret.
    pub message: String,
}

impl EvalError {
    pub(crate) fn new(at: u32, message: impl Into<String>) -> Self {
        Self { at, message: message.into() }
    }
}

/// How unlike two names may be for one to be proposed in place of the other: edits per character.
const EDITS_PER_CHAR_MAX: f64 = 0.4;

fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > 64 {
        return None;
    }
    let wanted = name.to_ascii_lowercase();
    names
        .map(|known| (strsim::damerau_levenshtein(&wanted, &known.to_ascii_lowercase()), known))
        .filter(|(edits, known)| (*edits as f64) <= EDITS_PER_CHAR_MAX * known.len().max(2) as f64)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, known)| known)
}

/// Names in a sentence.
pub(crate) fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
