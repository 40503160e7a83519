//! What is wrong with a file, and where: the shape that every check answers in.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::excerpt;
use crate::node::{Source, Span};

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is taken; what it says is not, or not wholly, acted on.
    Warning,
}

/// One problem of a file.
///
/// `{}` writes one line, `orders.yaml:12:7: error: flows[0].nam: unknown field (did you mean `name`?)`. `{:#}` adds the line of the file, a
/// caret and the hint below, as compilers do; [`Problem::coloured`] does so in colour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The file.
    pub file: String,
    /// Line, from 1; 0 when the whole file is meant.
    pub line: u32,
    /// Column in characters, from 1; 0 when the whole file is meant.
    pub column: u32,
    /// The field, such as `listeners[0].paths[0].path`; empty for the whole file.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
    /// What to do, such as the nearest valid name or the allowed values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    #[serde(skip)]
    source: Option<Arc<Source>>,
}

impl Problem {
    /// A problem at a place.
    pub fn new(severity: Severity, span: &Span, pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            severity,
            file: span.source.name.clone(),
            line: span.line,
            column: span.column,
            pointer: pointer.into(),
            message: message.into(),
            hint: None,
            source: Some(span.source.clone()),
        }
    }

    /// An error at a place.
    pub fn error(span: &Span, pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, span, pointer, message)
    }

    /// A warning at a place.
    pub fn warning(span: &Span, pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, span, pointer, message)
    }

    /// An error of a file as a whole, which could not be read.
    pub fn of_file(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            file: file.into(),
            line: 0,
            column: 0,
            pointer: String::new(),
            message: message.into(),
            hint: None,
            source: None,
        }
    }

    /// With a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With a hint, if there is one.
    #[must_use]
    pub fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    /// With its pointer below `prefix`: a node of its own knows nothing of the definition that it stands in.
    #[must_use]
    pub fn below(mut self, prefix: &str) -> Self {
        self.pointer = match (prefix, self.pointer.as_str()) {
            ("", _) => self.pointer,
            (_, "") => prefix.to_owned(),
            (_, inner) if inner.starts_with('[') => format!("{prefix}{inner}"),
            (_, inner) => format!("{prefix}.{inner}"),
        };
        self
    }

    /// Whether it forbids to go on.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// As `{:#}`, in colour.
    pub fn coloured(&self) -> impl fmt::Display + '_ {
        Coloured(self)
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, full: bool, ink: &Ink) -> fmt::Result {
        let Ink { bold, error, warning, hint, off } = ink;
        let (colour, word) = match self.severity {
            Severity::Error => (error, "error"),
            Severity::Warning => (warning, "warning"),
        };
        write!(f, "{bold}{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ":{off} {colour}{word}:{off} ")?;
        if !self.pointer.is_empty() {
            write!(f, "{}: ", self.pointer)?;
        }
        f.write_str(&self.message)?;
        if !full {
            return self.hint.as_ref().map_or(Ok(()), |hint| write!(f, " ({hint})"));
        }
        let excerpt = self.source.as_ref().map(|source| excerpt::around(source.line(self.line), self.column));
        if let Some((line, caret)) = excerpt.filter(|(line, _)| !line.is_empty()) {
            let number = self.line.to_string();
            let margin = " ".repeat(number.len());
            write!(f, "\n {number} | {line}\n {margin} | {}{colour}^{off}", " ".repeat(caret))?;
        }
        self.hint.as_ref().map_or(Ok(()), |text| write!(f, "\n   {hint}hint:{off} {text}"))
    }
}

struct Ink {
    bold: &'static str,
    error: &'static str,
    warning: &'static str,
    hint: &'static str,
    off: &'static str,
}

const PLAIN: Ink = Ink { bold: "", error: "", warning: "", hint: "", off: "" };
const COLOUR: Ink =
    Ink { bold: "\x1b[1m", error: "\x1b[1;31m", warning: "\x1b[1;33m", hint: "\x1b[1;36m", off: "\x1b[0m" };

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, f.alternate(), &PLAIN)
    }
}

struct Coloured<'a>(&'a Problem);

impl fmt::Display for Coloured<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, true, &COLOUR)
    }
}

/// Sorts by file and position; at one place errors come first.
pub fn sort(problems: &mut [Problem]) {
    problems.sort_by(by_place);
}

fn by_place(a: &Problem, b: &Problem) -> Ordering {
    let key = |problem: &Problem| (problem.line, problem.column, problem.severity);
    a.file.cmp(&b.file).then_with(|| key(a).cmp(&key(b))).then_with(|| a.pointer.cmp(&b.pointer))
}
