//! Regular expressions of a configuration: of linear time, and of bounded size.

use regex::{Regex, RegexBuilder};
use ringway_contract::Refusal;

/// Bytes that a compiled expression, and each of its caches, may take.
const PATTERN_BYTES_MAX: usize = 1024 * 1024;

/// Compiles an expression that must fit the whole text.
///
/// # Errors
/// It is none, or it needs what takes more than linear time: look-around, back references, possessive quantifiers.
pub fn whole(field: &str, text: &str) -> Result<Regex, Refusal> {
    build(field, &format!(r"\A(?:{text})\z"), text, |builder| builder)
}

/// Compiles an expression that is looked for in a text.
///
/// # Errors
/// As [`whole`].
pub fn anywhere(field: &str, text: &str) -> Result<Regex, Refusal> {
    build(field, text, text, |builder| builder)
}

/// As [`whole`]; the dot takes line ends, too, so that nothing hides behind one.
///
/// # Errors
/// As [`whole`].
pub fn whole_with_lines(field: &str, text: &str, case_sensitive: bool) -> Result<Regex, Refusal> {
    build(field, &format!(r"\A(?:{text})\z"), text, |builder| {
        builder.dot_matches_new_line(true).case_insensitive(!case_sensitive)
    })
}

fn build(
    field: &str,
    expression: &str,
    shown: &str,
    options: impl FnOnce(&mut RegexBuilder) -> &mut RegexBuilder,
) -> Result<Regex, Refusal> {
    // Alone first: a parenthesis too many would close the group that `whole` puts around it.
    let alone = RegexBuilder::new(shown).size_limit(PATTERN_BYTES_MAX).build();
    let mut builder = RegexBuilder::new(expression);
    let builder = options(&mut builder).size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX);
    alone.and_then(|_| builder.build()).map_err(|error| {
        let reason = error.to_string();
        let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
        Refusal(format!("{field}: `{shown}` is not a regular expression that runs in linear time: {reason}"))
    })
}
