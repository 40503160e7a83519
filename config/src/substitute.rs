//! Values from the environment and from files: `${NAME}`, `${NAME:-default}`, `${file:/path}`, and `file:/path` as a whole value.
//!
//! Substitution happens after parsing and on scalars only, so that no value can change the structure of a file. `$${` is written for a
//! literal `${`. What was substituted is marked, and never shown.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::node::{Node, Value};
use crate::problem::Problem;
use crate::walk;

/// The largest file that a value may be read from, in bytes: keys and certificates are far smaller.
pub const VALUE_FILE_BYTES_MAX: u64 = 1 << 20;

/// Where values come from.
pub trait Environment {
    /// The value of a variable.
    fn variable(&self, name: &str) -> Option<String>;

    /// The text of a file.
    ///
    /// # Errors
    /// It cannot be read, is too large or is not UTF-8.
    fn file(&self, path: &Path) -> io::Result<String>;
}

/// The environment of this process, and the files that it may read.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &Path) -> io::Result<String> {
        let mut text = String::new();
        std::fs::File::open(path)?.take(VALUE_FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
        if text.len() as u64 > VALUE_FILE_BYTES_MAX {
            return Err(io::Error::other(format!("larger than {VALUE_FILE_BYTES_MAX} bytes")));
        }
        Ok(text)
    }
}

/// No variable and no file: for text that somebody sent, who must not read what this process may read.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoEnvironment;

impl Environment for NoEnvironment {
    fn variable(&self, _name: &str) -> Option<String> {
        None
    }

    fn file(&self, _path: &Path) -> io::Result<String> {
        Err(io::Error::other("files cannot be named here"))
    }
}

/// What a `${` may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Always a substitution: in `ringway.yaml`.
    Strict,
    /// A substitution when the name is in upper case. Definitions hold text with a `${` of its own, such as templates and scripts of policies.
    UpperCase,
}

/// Substitutes in a tree. `folder` is that of the file, for relative paths; files that were read are added to `files`.
pub(crate) fn substitute(node: &mut Node, rule: Rule, folder: &Path, environment: &dyn Environment) -> Outcome {
    let mut run = Run { rule, folder, environment, outcome: Outcome::default() };
    walk::texts(node, &mut String::new(), &mut |node, pointer| run.node(node, pointer));
    run.outcome
}

/// What a substitution found.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// What is missing or malformed.
    pub(crate) problems: Vec<Problem>,
    /// Files that were read.
    pub(crate) files: Vec<PathBuf>,
}

struct Run<'a> {
    rule: Rule,
    folder: &'a Path,
    environment: &'a dyn Environment,
    outcome: Outcome,
}

impl Run<'_> {
    fn node(&mut self, node: &mut Node, pointer: &str) {
        let Value::String(text) = &node.value else { return };
        match self.text(text) {
            Ok(None) => {}
            Ok(Some((text, substituted))) => {
                node.value = Value::String(text);
                node.substituted |= substituted;
            }
            Err((message, hint)) => {
                self.outcome.problems.push(Problem::error(&node.span, pointer, message).maybe_hint(hint));
            }
        }
    }

    /// The text with its values, and whether there were any; `None` when it stays as it is.
    fn text(&mut self, text: &str) -> Result<Option<(String, bool)>, Wrong> {
        if let Some(path) = text.strip_prefix("file:").filter(|path| path.starts_with('/') || path.starts_with("./")) {
            return Ok(Some((self.file(path)?, true)));
        }
        if !text.contains("${") {
            return Ok(None);
        }
        let mut out = String::with_capacity(text.len());
        let mut substituted = false;
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let (before, from) = rest.split_at(at);
            if let Some(before) = before.strip_suffix('$') {
                out.push_str(before);
                out.push_str("${");
                rest = from.get(2..).unwrap_or_default();
                continue;
            }
            out.push_str(before);
            let inner = from.get(2..).unwrap_or_default();
            match inner.find('}').and_then(|end| inner.split_at_checked(end)) {
                Some((expression, after)) if self.is_ours(expression) => {
                    out.push_str(&self.value(expression)?);
                    substituted = true;
                    rest = after.get(1..).unwrap_or_default();
                }
                None if self.rule == Rule::Strict => {
                    return Err(("`${` without its `}`".into(), Some("write `$${` for a literal `${`".into())));
                }
                _ => {
                    out.push_str("${");
                    rest = inner;
                }
            }
        }
        out.push_str(rest);
        Ok(Some((out, substituted)))
    }

    fn is_ours(&self, expression: &str) -> bool {
        if self.rule == Rule::Strict || expression.starts_with("file:") {
            return true;
        }
        let name = expression.split_once(":-").map_or(expression, |(name, _)| name);
        let mut bytes = name.bytes();
        bytes.next().is_some_and(|first| first.is_ascii_uppercase() || first == b'_')
            && bytes.all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    }

    fn value(&mut self, expression: &str) -> Result<String, Wrong> {
        if let Some(path) = expression.strip_prefix("file:") {
            return self.file(path);
        }
        let (name, default) = match expression.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (expression, None),
        };
        let mut bytes = name.bytes();
        let valid = bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !valid {
            let message = format!("`{}` is not the name of a variable", name.escape_debug());
            return Err((message, Some("write `$${` for a literal `${`".into())));
        }
        // As in a shell, `:-` also stands in for a variable that is empty.
        let found = self.environment.variable(name).filter(|value| !(value.is_empty() && default.is_some()));
        found.or_else(|| default.map(str::to_owned)).ok_or_else(|| {
            let message = format!("the environment variable `{name}` is not set");
            (message, Some(format!("set it, or give a default: `${{{name}:-value}}`")))
        })
    }

    fn file(&mut self, path: &str) -> Result<String, Wrong> {
        let path = self.folder.join(path);
        self.outcome.files.push(path.clone());
        let text =
            self.environment.file(&path).map_err(|error| (format!("cannot read {}: {error}", path.display()), None))?;
        Ok(without_line_end(&text).to_owned())
    }
}

/// Editors and `echo` end a file with a line break that is no part of a password.
pub(crate) fn without_line_end(text: &str) -> &str {
    text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text))
}

/// A message and a hint.
type Wrong = (String, Option<String>);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Source;

    struct Fixed;

    impl Environment for Fixed {
        fn variable(&self, name: &str) -> Option<String> {
            match name {
                "HOST" => Some("a.test".into()),
                "PORT" => Some("80".into()),
                "lower" => Some("low".into()),
                "EMPTY" => Some(String::new()),
                "LOOP" => Some("${HOST}".into()),
                _ => None,
            }
        }

        fn file(&self, path: &Path) -> io::Result<String> {
            match path.to_str() {
                Some("/run/secret") => Ok("s3cret\n".into()),
                Some("/etc/ringway/./own") => Ok("own".into()),
                _ => Err(io::Error::other("no such file")),
            }
        }
    }

    fn run(text: &str, rule: Rule) -> Result<String, String> {
        let source = Source::new("a.json", serde_json::to_string(&[text]).unwrap());
        let mut node = crate::json::parse(&source).unwrap();
        let outcome = substitute(&mut node, rule, Path::new("/etc/ringway"), &Fixed);
        match outcome.problems.first() {
            Some(problem) => Err(problem.to_string()),
            None => Ok(node.items()[0].as_str().unwrap().to_owned()),
        }
    }

    #[test]
    fn values_are_substituted() {
        let table = [
            ("http://${HOST}:${PORT}/", "http://a.test:80/"),
            ("${NONE:-http://127.0.0.1:9000}", "http://127.0.0.1:9000"),
            ("${EMPTY:-x}${EMPTY}", "x"),
            ("${LOOP}", "${HOST}"),
            ("$${HOST} $HOST {HOST}", "${HOST} $HOST {HOST}"),
            ("${file:/run/secret}!", "s3cret!"),
            ("file:/run/secret", "s3cret"),
            ("file:./own", "own"),
            ("file:own", "file:own"),
        ];
        for (text, wanted) in table {
            assert_eq!(run(text, Rule::Strict).as_deref(), Ok(wanted), "{text}");
            assert_eq!(run(text, Rule::UpperCase).as_deref(), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn definitions_keep_the_templates_of_policies() {
        for text in ["${request.id}", "${lower}", "${", "${a ${b}", "a${}b"] {
            assert_eq!(run(text, Rule::UpperCase).as_deref(), Ok(text));
        }
        assert_eq!(run("${lower}", Rule::Strict).as_deref(), Ok("low"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let table = [
            (
                "${NONE}",
                "[0]: the environment variable `NONE` is not set (set it, or give a default: `${NONE:-value}`)",
            ),
            ("${a b}", "[0]: `a b` is not the name of a variable (write `$${` for a literal `${`)"),
            ("a${", "[0]: `${` without its `}` (write `$${` for a literal `${`)"),
            ("file:/none", "[0]: cannot read /none: no such file"),
        ];
        for (text, wanted) in table {
            assert_eq!(run(text, Rule::Strict), Err(format!("a.json:1:2: error: {wanted}")), "{text}");
        }
    }

    #[test]
    fn what_was_substituted_is_not_shown() {
        let mut node = crate::json::parse(&Source::new("a.json", "{\"a\": \"${HOST}\", \"b\": \"c\"}")).unwrap();
        substitute(&mut node, Rule::Strict, Path::new("/"), &Fixed);
        assert_eq!(format!("{node:?}"), r#"{"a": ***, "b": "c"}"#);
        assert_eq!(node.entries()[0].value.shown(), "the substituted value");
    }
}
