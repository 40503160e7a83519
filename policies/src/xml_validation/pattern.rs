//! Regular expressions of XML Schema (Part 2, appendix F), as those of the `regex` crate, which match in linear time.

use regex::Regex;
use ringway_contract::Refusal;

use crate::pattern;

const NAME_START: &str = r"[:_\p{L}\p{Nl}]";
const NAME: &str = r"[\-.:_·\p{L}\p{Nl}\p{Nd}\p{M}]";
const NO_NAME_START: &str = r"[^:_\p{L}\p{Nl}]";
const NO_NAME: &str = r"[^\-.:_·\p{L}\p{Nl}\p{Nd}\p{M}]";
const WORD: &str = r"[^\p{P}\p{Z}\p{C}]";
const NO_WORD: &str = r"[\p{P}\p{Z}\p{C}]";

/// Compiles a pattern; it must fit the whole of a value.
///
/// # Errors
/// It is none, or it names a block of Unicode (`\p{Is...}`).
pub fn compile(text: &str) -> Result<Regex, Refusal> {
    let translated = translate(text).map_err(|reason| Refusal(format!("xs:pattern `{text}`: {reason}")))?;
    pattern::whole("xs:pattern", &translated)
}

fn translate(text: &str) -> Result<String, &'static str> {
    let mut out = String::with_capacity(text.len() + 16);
    let mut characters = text.chars().peekable();
    // Classes that are open.
    let mut depth = 0_usize;
    let mut begins_class = false;
    let mut behind_range = false;
    while let Some(character) = characters.next() {
        let (begun, range) = (std::mem::take(&mut begins_class), std::mem::take(&mut behind_range));
        match (character, depth) {
            ('\\', _) => out.push_str(escape(&mut characters)?.as_str()),
            ('[', 0) => {
                depth = 1;
                begins_class = true;
                out.push('[');
            }
            ('[', _) => return Err("`[` in a class stands behind `-` only"),
            (']', 1..) => {
                depth -= 1;
                out.push(']');
            }
            ('-', 1..) if characters.peek() == Some(&'[') => {
                characters.next();
                depth += 1;
                begins_class = true;
                out.push_str("--[");
            }
            ('-', 1..) => {
                let is_range = !begun && !range && !matches!(characters.peek(), Some(']'));
                behind_range = is_range;
                out.push_str(if is_range { "-" } else { r"\-" });
            }
            ('^', 1..) if begun => {
                begins_class = true;
                out.push('^');
            }
            ('&' | '~' | '^', 1..) | ('^' | '$', 0) => {
                out.push('\\');
                out.push(character);
            }
            ('.', 0) => out.push_str(r"[^\n\r]"),
            ('(', 0) if characters.peek() == Some(&'?') => return Err("`(?` is no group"),
            ('?', 0) if out.ends_with(['?', '*', '+', '}']) && !out.ends_with(r"\?") => {
                return Err("a quantifier behind a quantifier");
            }
            _ => out.push(character),
        }
    }
    Ok(out)
}

/// Behind a backslash.
fn escape(characters: &mut std::iter::Peekable<std::str::Chars>) -> Result<String, &'static str> {
    let Some(character) = characters.next() else { return Err("a backslash at the end") };
    Ok(match character {
        'i' => NAME_START.to_owned(),
        'I' => NO_NAME_START.to_owned(),
        'c' => NAME.to_owned(),
        'C' => NO_NAME.to_owned(),
        'w' => WORD.to_owned(),
        'W' => NO_WORD.to_owned(),
        's' => r"[ \t\n\r]".to_owned(),
        'S' => r"[^ \t\n\r]".to_owned(),
        'd' => r"\p{Nd}".to_owned(),
        'D' => r"\P{Nd}".to_owned(),
        'p' | 'P' => {
            let property: String = characters.by_ref().take_while(|character| *character != '}').collect();
            let name = property.strip_prefix('{').unwrap_or_default();
            if name.starts_with("Is") {
                return Err("blocks of Unicode are not supported; write the range");
            }
            let is_category = (1..=2).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphabetic());
            if !is_category {
                return Err("no category of Unicode");
            }
            format!("\\{character}{{{name}}}")
        }
        'n' | 'r' | 't' | '\\' | '|' | '.' | '-' | '^' | '?' | '*' | '+' | '{' | '}' | '(' | ')' | '[' | ']' => {
            format!("\\{character}")
        }
        _ => return Err("an unknown escape"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_schemas_match_whole_values() {
        for (pattern, good, bad) in [
            ("[A-Z]{2}-\\d+", "AB-12", "xAB-12"),
            ("\\i\\c*", "a-b.c", "1a"),
            ("[a-z-[aeiou]]+", "xyz", "xaz"),
            ("[^a-c]", "d", "b"),
            ("[-a]+", "a-a", "b"),
            ("[a\\-&&b]", "&", "ab"),
            ("[+--]", ",", "."),
            ("^$", "^$", ""),
            ("a|b", "b", "ab"),
            (".", "x", "\n"),
            ("\\p{Lu}\\P{Lu}", "Aa", "AA"),
            ("\\w+", "a1", "a b"),
            ("(a+)+b", "aab", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
            ("[\\i-[:]][\\c-[:]]*", "a", ":a"),
        ] {
            let compiled = compile(pattern).unwrap();
            assert!(compiled.is_match(good), "{pattern} {good}");
            assert!(!compiled.is_match(bad), "{pattern} {bad}");
        }
        for pattern in ["(", "(?i)a", "[a[b]]", "\\q", "\\", "\\p{IsGreek}", "\\p{Lux}", "a*?", "[", "a{2,1}", "\\1"] {
            assert!(compile(pattern).is_err(), "{pattern}");
        }
    }
}
