//! Ant patterns for paths: `?` is one character, `*` any number of them in one segment, `**` any number of segments, `{name}` a segment
//! or a part of one, and `{name:regex}` one that fits an expression.

use std::borrow::Cow;

use regex::Regex;
use ringway_contract::Refusal;

use crate::{pattern, query};

/// Segments that one pattern may have.
const SEGMENTS_MAX: usize = 256;

/// A compiled pattern.
#[derive(Debug)]
pub struct Ant {
    parts: Box<[Part]>,
    /// Whether it ends with a slash: then only a path does that ends with one, too.
    trailing: bool,
}

#[derive(Debug)]
enum Part {
    /// `**`
    Any,
    Literal(Box<str>),
    /// With `?` and `*`.
    Glob(Box<[char]>),
    Regex(Regex),
}

impl Ant {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// A brace is not closed, an expression is none, or there are too many segments.
    pub fn new(field: &str, text: &str) -> Result<Self, Refusal> {
        let parts = split(text).map(|segment| Part::new(field, segment)).collect::<Result<Vec<_>, _>>()?;
        if parts.len() > SEGMENTS_MAX {
            return Err(Refusal(format!("{field}: a pattern has at most {SEGMENTS_MAX} segments")));
        }
        Ok(Self { parts: parts.into(), trailing: text.ends_with('/') })
    }

    /// Whether a path fits. `lenient`: a slash at its end makes no difference.
    pub fn fits<'p>(&self, path: impl Iterator<Item = &'p str> + Clone, ends_with_slash: bool, lenient: bool) -> bool {
        let (mut at, mut path) = (0, path);
        // Where to go on when a segment does not fit: behind the last `**`, one segment later. Earlier ones need not be tried again.
        let mut retry = None;
        loop {
            let mut after = path.clone();
            match (self.parts.get(at), after.next()) {
                (Some(Part::Any), _) => {
                    retry = Some((at + 1, path.clone()));
                    at += 1;
                    continue;
                }
                (Some(part), Some(segment)) if part.fits(segment) => {
                    (at, path) = (at + 1, after);
                    continue;
                }
                // `/a/*` takes `/a/`: the segment may be empty.
                (Some(Part::Glob(glob)), None) if at + 1 == self.parts.len() && **glob == ['*'] && ends_with_slash => {
                    return true;
                }
                (None, None) => {
                    let is_open = matches!(self.parts.last(), Some(Part::Any));
                    return lenient || is_open || self.trailing == ends_with_slash;
                }
                _ => {}
            }
            match &mut retry {
                Some((behind, rest)) => {
                    if rest.next().is_none() {
                        return false;
                    }
                    (at, path) = (*behind, rest.clone());
                }
                None => return false,
            }
        }
    }
}

impl Part {
    fn new(field: &str, segment: &str) -> Result<Self, Refusal> {
        if segment == "**" {
            return Ok(Self::Any);
        }
        if !segment.contains('{') {
            return Ok(if segment.contains(['*', '?']) {
                Self::Glob(segment.chars().collect())
            } else {
                Self::Literal(decoded(segment).into())
            });
        }
        let (mut expression, mut rest) = (String::new(), segment);
        while let Some(character) = rest.chars().next() {
            let end = closing(rest);
            match (character, end) {
                ('{', None) => return Err(Refusal(format!("{field}: a brace of `{segment}` is not closed"))),
                ('{', Some(end)) => {
                    let inner = rest.get(1..end).unwrap_or_default();
                    let inner = inner.split_once(':').map_or(".*", |(_, expression)| expression);
                    expression.push_str(&format!("(?:{inner})"));
                    rest = rest.get(end + 1..).unwrap_or_default();
                    continue;
                }
                ('*', _) => expression.push_str(".*"),
                ('?', _) => expression.push('.'),
                (other, _) => expression.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
            }
            rest = rest.get(character.len_utf8()..).unwrap_or_default();
        }
        pattern::whole_with_lines(field, &expression, true).map(Self::Regex)
    }

    fn fits(&self, segment: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Literal(literal) => **literal == *segment,
            Self::Glob(glob) => glob_fits(glob, segment),
            Self::Regex(regex) => regex.is_match(segment),
        }
    }
}

/// Where the brace at the front is closed.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return Some(at),
            b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// Whether `text` fits `glob`, with `?` and `*`: at most as many steps as the product of their lengths.
pub fn glob_fits(glob: &[char], text: &str) -> bool {
    let (mut at, mut text) = (0, text.chars());
    let mut retry = None;
    loop {
        let mut after = text.clone();
        match (glob.get(at), after.next()) {
            (Some('*'), _) => {
                retry = Some((at + 1, text.clone()));
                at += 1;
                continue;
            }
            (Some(wanted), Some(found)) if *wanted == '?' || *wanted == found => {
                (at, text) = (at + 1, after);
                continue;
            }
            (None, None) => return true,
            _ => {}
        }
        match &mut retry {
            Some((behind, rest)) => {
                if rest.next().is_none() {
                    return false;
                }
                (at, text) = (*behind, rest.clone());
            }
            None => return false,
        }
    }
}

/// The segments of a path; empty ones do not count.
pub fn split(path: &str) -> impl Iterator<Item = &str> + Clone {
    path.split('/').filter(|segment| !segment.is_empty())
}

/// A segment without its percent encoding, so that `%7B` and `{` are the same to a pattern.
pub fn decoded(segment: &str) -> Cow<'_, str> {
    query::decoded(segment, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, path: &str) -> bool {
        Ant::new("pattern", pattern).unwrap().fits(split(path), path.ends_with('/'), false)
    }

    #[test]
    fn patterns_take_what_ant_patterns_take() {
        for (pattern, path) in [
            ("/**", "/"),
            ("/**", "/a/b"),
            ("/a/**", "/a"),
            ("/a/**", "/a/"),
            ("/a/**", "/a/b/c/"),
            ("/**/c", "/a/b/c"),
            ("/**/c", "/c"),
            ("/a/**/d/**/e", "/a/b/d/c/d/x/e"),
            ("/a/*", "/a/b"),
            ("/a/*", "/a/"),
            ("/a/*.json", "/a/b.json"),
            ("/a/?", "/a/é"),
            ("/a/b*d*f", "/a/bcdef"),
            ("/{any}/b", "/a/b"),
            ("/v{major:[0-9]+}/b", "/v12/b"),
            ("/{code:[a-z]{2}}/b", "/xy/b"),
            ("/a/", "/a/"),
        ] {
            assert!(fits(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("/a", "/a/"),
            ("/a/", "/a"),
            ("/a", "/A"),
            ("/a/*", "/a"),
            ("/a/*", "/a/b/c"),
            ("/a/?", "/a/bc"),
            ("/a/**/d", "/a/b/c"),
            ("/**/c", "/a/b/c/d"),
            ("/v{major:[0-9]+}/b", "/v/b"),
            ("/v{major:[0-9]+}/b", "/v1x/b"),
            ("/{code:[a-z]{2}}/b", "/xyz/b"),
        ] {
            assert!(!fits(pattern, path), "{pattern} {path}");
        }
        assert!(Ant::new("pattern", "/a{b").is_err());
        assert!(Ant::new("pattern", "/{a:(}").is_err());
    }

    #[test]
    fn a_hostile_path_costs_no_more_than_a_product() {
        let pattern = "/**/a".repeat(60);
        let path = "/a".repeat(4_000) + "/b";
        assert!(!fits(&pattern, &path));
        let glob: Vec<char> = "*a".repeat(60).chars().chain(['b']).collect();
        assert!(!glob_fits(&glob, &"a".repeat(8_000)));
    }
}
