//! `#secrets.get('/provider/path:key')`: read once, when a text is deployed, and never by an evaluation.
//!
//! It happens in the text, before anything is compiled from it: an expression that is constant then gives way to its value, and in any other
//! one the value stands as a literal. So no evaluation meets a secret as anything else than a text, and a field that holds no expressions
//! at all can have one, too.

use std::fmt;

use crate::code::Code;
use crate::context::Nothing;
use crate::lexer::{Lexer, Token};
use crate::template::begin;
use crate::{Template, Vocabulary};

/// A text with its secrets in place.
#[derive(Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The text.
    pub text: String,
    /// Whether a value makes an expression of the text around it, or is one itself: it must not be compiled.
    pub opens: bool,
}

impl fmt::Debug for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What a call says, and where it stands in the text.
struct Call {
    start: usize,
    end: usize,
    name: String,
    key: Option<String>,
}

/// Puts secrets in the place of the calls that read them. `read` is told the name and, of a call with two arguments, the key; it says what
/// the secret is. `None` when the text reads none. A call whose arguments are no constant texts is left, for
/// [`Template::compile`] to refuse.
///
/// # Errors
/// The first one of `read`.
pub fn resolve<E>(
    text: &str,
    mut read: impl FnMut(&str, Option<&str>) -> Result<String, E>,
) -> Result<Option<Resolved>, E> {
    let mut out = String::new();
    let mut values = Vec::new();
    let mut is_any = false;
    let mut from = 0;
    while let Some(start) = begin(text, from) {
        let Some((calls, end)) = calls(text, start + 1) else { break };
        out.push_str(text.get(from..start).unwrap_or_default());
        from = end;
        is_any |= !calls.is_empty();
        let mut expression = String::new();
        let mut at = start;
        for call in &calls {
            expression.push_str(text.get(at..call.start).unwrap_or_default());
            expression.push_str(&literal(&read(&call.name, call.key.as_deref())?));
            at = call.end;
        }
        expression.push_str(text.get(at..end).unwrap_or_default());
        match constant(&expression).filter(|_| !calls.is_empty()) {
            Some(value) => {
                values.push(out.len()..out.len() + value.len());
                out.push_str(&value);
            }
            None => out.push_str(&expression),
        }
    }
    if !is_any {
        return Ok(None);
    }
    out.push_str(text.get(from..).unwrap_or_default());
    let mut opens = false;
    let mut next = begin(&out, 0);
    while let Some(at) = next {
        // What opens one is at most three bytes long, and any of them may be the value's.
        opens |= values.iter().any(|value| at < value.end && at + 3 > value.start);
        next = begin(&out, at + 1);
    }
    Ok(Some(Resolved { text: out, opens }))
}

/// The calls in the expression that begins at `at`, and where the text goes on behind its brace; `None` if it is no expression.
fn calls(text: &str, at: usize) -> Option<(Vec<Call>, usize)> {
    let mut lexer = Lexer::new(text, at);
    let mut calls = Vec::new();
    let mut depth = 0_usize;
    let mut next = lexer.next().ok()?;
    loop {
        let (at, token) = next;
        match token {
            Token::End => return None,
            Token::Symbol("}") if depth == 0 => return Some((calls, lexer.at())),
            Token::Symbol("}") => depth -= 1,
            Token::Symbol("{") => depth += 1,
            Token::Symbol("#") => {
                let behind = lexer.at();
                match call(text, at as usize, behind) {
                    Some(call) => {
                        lexer = Lexer::new(text, call.end);
                        calls.push(call);
                    }
                    None => lexer = Lexer::new(text, behind),
                }
            }
            _ => {}
        }
        next = lexer.next().ok()?;
    }
}

/// The call that begins with the `#` at `start`, if it is one.
fn call(text: &str, start: usize, behind: usize) -> Option<Call> {
    let mut lexer = Lexer::new(text, behind);
    let wanted = [Token::Word("secrets"), Token::Symbol("."), Token::Word("get"), Token::Symbol("(")];
    for wanted in wanted {
        lexer.next().ok().filter(|(_, token)| *token == wanted)?;
    }
    let (_, Token::Text(name)) = lexer.next().ok()? else { return None };
    let mut key = None;
    let mut token = lexer.next().ok()?.1;
    if token == Token::Symbol(",") {
        let (_, Token::Text(text)) = lexer.next().ok()? else { return None };
        key = Some(text.into_owned());
        token = lexer.next().ok()?.1;
    }
    (token == Token::Symbol(")")).then(|| Call { start, end: lexer.at(), name: name.into_owned(), key })
}

/// In parentheses, so that an expression that begins with it is one still.
fn literal(value: &str) -> String {
    format!("('{}')", value.replace('\'', "''"))
}

/// What an expression gives, if that is always the same.
fn constant(expression: &str) -> Option<String> {
    let template = Template::compile(expression, &Vocabulary::none()).ok()?;
    let mut out = String::new();
    matches!(template.alone()?, Code::Const(_)).then(|| template.render(&Nothing, &mut out).ok())??;
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> Result<Option<Resolved>, String> {
        resolve(text, |name, key| match (name, key) {
            ("/files/a:b", None) | ("/files/a", Some("b")) => Ok("s3'cret".to_owned()),
            ("/files/opens", None) => Ok("x{#request.id}".to_owned()),
            ("/files/half", None) => Ok("#request.id}".to_owned()),
            _ => Err(format!("no {name}")),
        })
    }

    #[test]
    fn a_constant_expression_gives_way_to_its_value() {
        for (text, wanted) in [
            ("{#secrets.get('/files/a:b')}", "s3'cret"),
            ("{#secrets.get(\"/files/a\", 'b')}", "s3'cret"),
            ("Bearer {#secrets . get( '/files/a:b' )}!", "Bearer s3'cret!"),
            ("{#secrets.get('/files/a:b').toUpperCase()}", "S3'CRET"),
            ("{#secrets.get('/files/a:b') == 'x'}", "false"),
            ("{#request.id} {#secrets.get('/files/a:b')}", "{#request.id} s3'cret"),
        ] {
            assert_eq!(run(text), Ok(Some(Resolved { text: wanted.to_owned(), opens: false })), "{text}");
        }
    }

    #[test]
    fn in_any_other_expression_the_value_is_a_literal() {
        for (text, wanted) in [
            ("{#request.headers['x'][0] == #secrets.get('/files/a:b')}", "{#request.headers['x'][0] == ('s3''cret')}"),
            ("{#secrets.get('/files/a:b') == #request.id}", "{('s3''cret') == #request.id}"),
            ("{#secrets.get('/files/opens') == #request.id}", "{('x{#request.id}') == #request.id}"),
            ("{#request.id == {'}', #secrets.get('/files/a:b')}}", "{#request.id == {'}', ('s3''cret')}}"),
        ] {
            assert_eq!(run(text), Ok(Some(Resolved { text: wanted.to_owned(), opens: false })), "{text}");
            assert!(Template::compile(wanted, &Vocabulary::request()).is_ok(), "{wanted}");
        }
    }

    #[test]
    fn a_value_is_never_an_expression() {
        for text in ["{#secrets.get('/files/opens')}", "{{#secrets.get('/files/half')}"] {
            assert!(run(text).unwrap().is_some_and(|resolved| resolved.opens), "{text}");
        }
    }

    #[test]
    fn what_reads_no_secret_is_left() {
        for text in [
            "",
            "#secrets.get('/files/a:b')",
            "{#request.headers['#secrets.get(1)']}",
            "{#secrets.get(#request.id)}",
            "{#secrets.get('/files/' + 'a:b')}",
            "{#secrets['/files/a:b']}",
            "{#secrets.get('/files/a:b'",
            "{#secrets.get('/files/a:b') ~}",
        ] {
            assert_eq!(run(text), Ok(None), "{text}");
        }
        assert_eq!(run("{#secrets.get('/none/a')}"), Err("no /none/a".to_owned()));
    }
}
