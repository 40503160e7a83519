//! The rule of a list that a path takes: a regular expression for the whole path, and a text that may refer to what it has found.

use std::cell::RefCell;

use regex::Regex;
use ringway_contract::{Exchange, Refusal, Reply};

use crate::captures::Replacement;
use crate::pattern;
use crate::text::Text;

/// A rule.
#[derive(Debug)]
pub struct Route {
    pattern: Pattern,
    to: Replacement,
}

#[derive(Debug)]
enum Pattern {
    Constant(Regex),
    /// With an expression in it; the last one is kept, so that what seldom changes is seldom compiled.
    Changing {
        field: String,
        text: Text,
        last: RefCell<Option<(String, Option<Regex>)>>,
    },
}

impl Route {
    /// Compiles a rule; `path_field` and `to_field` are where its parts stand.
    ///
    /// # Errors
    /// The path is no regular expression, an expression of the language is none, or `to` refers to a group that there is not.
    pub fn new(path_field: &str, path: &str, to_field: &str, to: &str) -> Result<Self, Refusal> {
        let text = Text::on_request(path_field, path)?;
        let pattern = match text.constant() {
            Some(text) => Pattern::Constant(pattern::whole(path_field, text)?),
            None => Pattern::Changing { field: path_field.to_owned(), text, last: RefCell::default() },
        };
        let known = if let Pattern::Constant(regex) = &pattern { Some(regex) } else { None };
        let to = Replacement::new(to_field, to, known, Text::on_request)?;
        Ok(Self { pattern, to })
    }

    /// Whether a text of it needs the body of the request.
    pub fn needs_content(&self) -> bool {
        let changing = if let Pattern::Changing { text, .. } = &self.pattern { Some(text) } else { None };
        self.to.texts().chain(changing).any(|text| text.needs().request_content)
    }

    /// Where a path leads; `None` if the rule does not take it. A changing expression that is none takes nothing.
    ///
    /// # Errors
    /// The answer, when an expression in it cannot be evaluated.
    pub fn apply(&self, path: &str, exchange: &Exchange) -> Result<Option<String>, Box<Reply>> {
        match &self.pattern {
            Pattern::Constant(regex) => self.with(regex, path, exchange),
            Pattern::Changing { field, text, last } => {
                let text = text.render(exchange)?;
                let mut last = last.borrow_mut();
                if last.as_ref().is_none_or(|(known, _)| *known != *text) {
                    let regex = pattern::whole(field, &text);
                    let regex =
                        regex.inspect_err(|error| tracing::warn!(api = exchange.api.id, %error, "a rule is skipped"));
                    *last = Some((text.into_owned(), regex.ok()));
                }
                match last.as_ref() {
                    Some((_, Some(regex))) => self.with(regex, path, exchange),
                    _ => Ok(None),
                }
            }
        }
    }

    fn with(&self, regex: &Regex, path: &str, exchange: &Exchange) -> Result<Option<String>, Box<Reply>> {
        let Some(found) = regex.captures(path) else { return Ok(None) };
        let mut out = String::new();
        self.to.expand(&found, exchange, &mut out)?;
        Ok(Some(out))
    }
}
