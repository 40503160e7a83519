//! The line of a file that a problem is shown with: cut to what fits a terminal, values that look like secrets blanked.

/// The most characters of a line that are shown; a definition in one line of JSON may have megabytes.
const SHOWN_CHARS_MAX: usize = 100;

/// How many of them stand in front of the caret when the line is cut.
const LEAD_CHARS: usize = 60;

/// Keys whose values are blanked: compared without case.
const SECRET_KEYS: [&str; 7] = ["password", "passwd", "secret", "token", "apikey", "api-key", "credential"];

/// The part of `line` around `column` (from 1, in characters), and where the caret stands in it (from 0).
pub(crate) fn around(line: &str, column: u32) -> (String, usize) {
    let column = usize::try_from(column).unwrap_or(usize::MAX).saturating_sub(1);
    let blanked = blank_secrets(line);
    // A tab takes more than one cell: a space keeps the caret below its character.
    let chars: Vec<char> = blanked.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let column = column.min(chars.len());
    if chars.len() <= SHOWN_CHARS_MAX {
        return (chars.iter().collect::<String>().trim_end().to_owned(), column);
    }
    let start = column.saturating_sub(LEAD_CHARS).min(chars.len().saturating_sub(SHOWN_CHARS_MAX));
    let end = (start + SHOWN_CHARS_MAX).min(chars.len());
    let mut shown = String::new();
    let mut caret = column - start;
    if start > 0 {
        shown.push('…');
        caret += 1;
    }
    shown.extend(chars.get(start..end).unwrap_or_default());
    if end < chars.len() {
        shown.push('…');
    }
    (shown, caret)
}

/// Blanks the value behind each key that names a secret. Characters keep their columns.
fn blank_secrets(line: &str) -> String {
    let folded = line.to_ascii_lowercase();
    if !SECRET_KEYS.iter().any(|key| folded.contains(key)) {
        return line.to_owned();
    }
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find(':') {
        let (key, value) = rest.split_at(at + 1);
        out.push_str(key);
        rest = value;
        if !names_secret(key) {
            continue;
        }
        let start = value.len() - value.trim_start().len();
        let (lead, value) = value.split_at(start);
        out.push_str(lead);
        let end = end_of_scalar(value, out.contains(['{', '[']));
        let (hidden, after) = value.split_at(end);
        out.extend(hidden.chars().map(|_| '*'));
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Whether the last word of `text`, which ends in a colon, names a secret.
fn names_secret(text: &str) -> bool {
    let key = text.trim_end_matches(':').trim_end().trim_end_matches(['"', '\'']);
    let start = key.rfind(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-')).map_or(0, |at| at + 1);
    let word = key.get(start..).unwrap_or(key).to_ascii_lowercase();
    SECRET_KEYS.iter().any(|secret| word.contains(secret))
}

/// Where the scalar at the beginning of `text` ends. Maps, lists, references and the names of keys are no scalars to hide.
fn end_of_scalar(text: &str, in_flow: bool) -> usize {
    match text.chars().next() {
        None | Some('{' | '[' | '#' | '|' | '>' | '&' | '*' | '$') => 0,
        Some(quote @ ('"' | '\'')) => {
            let mut escaped = false;
            for (at, c) in text.char_indices().skip(1) {
                match c {
                    _ if escaped => escaped = false,
                    '\\' if quote == '"' => escaped = true,
                    c if c == quote => return at + 1,
                    _ => {}
                }
            }
            text.len()
        }
        Some(_) if in_flow => text.find([',', '}', ']']).unwrap_or(text.len()),
        Some(_) => text.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_blanked_in_place() {
        let table = [
            ("  password: hunter2", "  password: *******"),
            (
                "{\"user\": \"a\", \"keyPassword\": \"hu\\\"nt\", \"x\": 1}",
                "{\"user\": \"a\", \"keyPassword\": ********, \"x\": 1}",
            ),
            ("{clientSecret: 'a b', token: c, x: d}", "{clientSecret: *****, token: *, x: d}"),
            ("password: a, b", "password: ****"),
            ("password: ${PASSWORD}", "password: ${PASSWORD}"),
            ("target: http://a:80/secret", "target: http://a:80/secret"),
            ("secrets: [a]", "secrets: [a]"),
        ];
        for (line, shown) in table {
            assert_eq!(around(line, 1).0, shown, "{line}");
        }
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let line = format!("{}X{}", "a".repeat(1000), "b".repeat(1000));
        let (shown, caret) = around(&line, 1001);
        assert_eq!(shown.chars().nth(caret), Some('X'));
        assert_eq!(shown.chars().count(), SHOWN_CHARS_MAX + 2);
        let (shown, caret) = around("\tname: ä", 8);
        assert_eq!((shown.as_str(), caret), (" name: ä", 7));
    }
}
