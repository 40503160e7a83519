//! JAAS lines, in which Kafka's Java client has its credentials.
//!
//! ```text
//! org.apache.kafka.common.security.plain.PlainLoginModule required username="alice" password="it's \"hers\"";
//! └──────────── module, flag: not looked at ────────────┘ └────────────── options ──────────────────────────┘
//! ```

/// The value of an option; names are compared as they are.
///
/// # Errors
/// The line is none.
pub fn option(line: &str, name: &str) -> Result<Option<String>, &'static str> {
    let mut rest = line.trim();
    let mut found = None;
    loop {
        rest = rest.trim_start_matches(|at: char| at.is_whitespace() || at == ';');
        if rest.is_empty() {
            return Ok(found);
        }
        let end = rest.find(|at: char| at.is_whitespace() || at == '=' || at == ';').unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let Some(after) = after.trim_start().strip_prefix('=') else {
            // The module's name, or its flag.
            rest = after;
            continue;
        };
        if word.is_empty() {
            return Err("a `=` without a name");
        }
        let (value, after) = value(after.trim_start())?;
        if word == name {
            found = Some(value);
        }
        rest = after;
    }
}

fn value(text: &str) -> Result<(String, &str), &'static str> {
    let Some(quote) = text.chars().next().filter(|first| *first == '"' || *first == '\'') else {
        let end = text.find(|at: char| at.is_whitespace() || at == ';').unwrap_or(text.len());
        let (value, after) = text.split_at(end);
        return Ok((value.to_owned(), after));
    };
    let mut value = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            _ if character == quote => return Ok((value, text.get(at + 1..).unwrap_or_default())),
            _ => value.push(character),
        }
    }
    Err("a quote that does not end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_found_whatever_stands_around_them() {
        let plain = "org.apache.kafka.common.security.plain.PlainLoginModule required\n  username=\"al=ice\" \
                     password='it\\'s; \"hers\"';";
        let table = [
            (plain, "username", Ok(Some("al=ice"))),
            (plain, "password", Ok(Some("it's; \"hers\""))),
            (plain, "token", Ok(None)),
            ("username = bob password= p ;", "username", Ok(Some("bob"))),
            ("username = bob password= p ;", "password", Ok(Some("p"))),
            ("access_token=\"a.b.c\"", "access_token", Ok(Some("a.b.c"))),
            ("", "username", Ok(None)),
            ("=x", "username", Err("a `=` without a name")),
            ("username=\"x", "username", Err("a quote that does not end")),
            ("username=\"x\\", "username", Err("a quote that does not end")),
        ];
        for (line, name, wanted) in table {
            assert_eq!(option(line, name), wanted.map(|value| value.map(str::to_owned)), "{line}: {name}");
        }
    }
}
