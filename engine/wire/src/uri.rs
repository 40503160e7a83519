//! The path of a target in its one normal form, so that what is routed is what is forwarded.
//!
//! Routing, authorisation, rate limits and the backend must see the same path; where two of them normalise in different ways,
//! one of them guards a door that the other does not have. So there is one form, made once:
//!
//! * dot segments are removed (RFC 3986 section 5.2.4); a path that climbs above its root is refused, where the RFC would
//!   quietly stop at the root;
//! * empty segments are merged (`//` → `/`), unless the listener keeps them;
//! * percent-encoding is in upper case, unreserved characters are decoded (`%7e` → `~`), reserved ones stay as they are
//!   (`%3B` and `;` differ), and bytes that no URI holds are encoded (`{` → `%7B`);
//! * what some backend takes for another path than the one that was routed is refused, unless an option keeps it: encoded `/`,
//!   `\` plain and encoded, `;` plain and encoded (a servlet container drops it and what follows), and what is still
//!   percent-encoded when it is decoded once (`%252e`);
//! * what no honest client writes is always refused: encoded NUL, overlong or broken UTF-8, a dot segment behind a kept
//!   separator or before a parameter (`/..;x/`).
//!
//! A kept `%252e` stays `%252e`: it is the text `%2e`. To decode twice would make it another path than the one that was written.
//!
//! Queries are checked for bytes that no URI holds and otherwise left alone: their meaning is the application's.

use crate::Rejection;
use crate::syntax::{self, ENCODE, PATH_STOP, TARGET, UNRESERVED};

/// What a path may hold. The default is the safe choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UriOptions {
    /// Merges empty segments. Default true.
    pub merge_slashes: bool,
    /// Keeps `%2F` as data of a segment instead of refusing it. Default false: many backends decode before they split.
    pub keep_encoded_slash: bool,
    /// Keeps `\` and `%5C`, both as `%5C`, instead of refusing them. Default false: some backends take it for a slash.
    pub keep_backslash: bool,
    /// Keeps `;` and `%3B`, each as it is, instead of refusing them. Default false: some backends cut a segment there.
    pub keep_parameters: bool,
    /// Keeps `%25` before two hexadecimal digits instead of refusing it. Default false: some backends decode twice.
    pub keep_double_encoding: bool,
}

impl Default for UriOptions {
    fn default() -> Self {
        UriOptions {
            merge_slashes: true,
            keep_encoded_slash: false,
            keep_backslash: false,
            keep_parameters: false,
            keep_double_encoding: false,
        }
    }
}

/// What [`normalise`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalised {
    /// The path is in normal form; nothing was written.
    Unchanged,
    /// The normal form was appended.
    Rewritten,
}

/// Where the path of a target ends, and whether it is in normal form for any options.
pub(crate) struct Split {
    pub(crate) path_bytes: usize,
    pub(crate) is_normal: bool,
}

/// Looks once at every byte of an origin-form target, and twice at none of an ordinary one.
#[inline]
pub(crate) fn split(target: &str) -> Result<Split, Rejection> {
    let bytes = target.as_bytes();
    let mut is_normal = true;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if syntax::is(*byte, PATH_STOP) {
            match byte {
                b'?' => break,
                // `//`, `/.` and `/..` need the slow way; `/.well-known` takes it, too, and comes out as it was.
                b'/' => is_normal &= !matches!(bytes.get(at + 1), Some(b'/' | b'.')),
                _ if syntax::is(*byte, TARGET) => is_normal = false,
                _ => return Err(Rejection::BadTarget),
            }
        }
        at += 1;
    }
    if !syntax::all(bytes.get(at..).unwrap_or_default(), TARGET) {
        return Err(Rejection::BadTarget);
    }
    Ok(Split { path_bytes: at, is_normal })
}

/// Appends the normal form of `path`, which begins with a slash and has no query, to `out`, unless it is in it already.
///
/// # Errors
/// When the path is refused; `out` may then hold a part of it.
pub fn normalise(path: &str, options: &UriOptions, out: &mut String) -> Result<Normalised, Rejection> {
    let found = split(path)?;
    if found.path_bytes != path.len() || !path.starts_with('/') {
        return Err(Rejection::BadTarget);
    }
    if found.is_normal {
        return Ok(Normalised::Unchanged);
    }
    rewrite(path.as_bytes(), options, out)?;
    Ok(Normalised::Rewritten)
}

#[cold]
fn rewrite(path: &[u8], options: &UriOptions, out: &mut String) -> Result<(), Rejection> {
    let root = out.len();
    let mut segments = path.get(1..).unwrap_or_default().split(|byte| *byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        if segment.is_empty() && options.merge_slashes && !is_last {
            continue;
        }
        let start = out.len();
        out.push('/');
        write_segment(segment, options, out)?;
        match out.get(start + 1..) {
            Some(".") => out.truncate(start),
            Some("..") => {
                let parent = out.get(root..start).and_then(|kept| kept.rfind('/')).ok_or(Rejection::PathAboveRoot)?;
                out.truncate(root + parent);
            }
            Some(written) => {
                if hides_dots(written) {
                    return Err(Rejection::HiddenDotSegment);
                }
                if !options.keep_double_encoding && is_encoded_twice(written) {
                    return Err(Rejection::DoubleEncoding);
                }
                continue;
            }
            None => continue,
        }
        // A dot segment at the end leaves the slash before it.
        if is_last {
            out.push('/');
        }
    }
    Ok(())
}

/// Writes one segment with its percent-encoding in normal form.
fn write_segment(segment: &[u8], options: &UriOptions, out: &mut String) -> Result<(), Rejection> {
    let mut rest = segment;
    while let [byte, after @ ..] = rest {
        rest = after;
        match *byte {
            b'%' => rest = write_encoded(rest, options, out)?,
            b'\\' if options.keep_backslash => push_encoded(b'\\', out),
            b'\\' => return Err(Rejection::Backslash),
            b';' if !options.keep_parameters => return Err(Rejection::PathParameter),
            byte if syntax::is(byte, ENCODE) => push_encoded(byte, out),
            byte => out.push(char::from(byte)),
        }
    }
    Ok(())
}

/// Writes what stands behind a percent sign, with all bytes of its UTF-8 character, and returns what follows.
fn write_encoded<'a>(rest: &'a [u8], options: &UriOptions, out: &mut String) -> Result<&'a [u8], Rejection> {
    let (byte, mut rest) = decode(rest).ok_or(Rejection::BadPercentEncoding)?;
    match byte {
        0 => return Err(Rejection::EncodedNul),
        b'/' if !options.keep_encoded_slash => return Err(Rejection::EncodedSlash),
        b'\\' if !options.keep_backslash => return Err(Rejection::Backslash),
        b';' if !options.keep_parameters => return Err(Rejection::PathParameter),
        0x80.. => {
            let mut character = [byte, 0, 0, 0];
            let bytes = match byte {
                0xc2..=0xdf => 2,
                0xe0..=0xef => 3,
                0xf0..=0xf4 => 4,
                _ => return Err(Rejection::BadUtf8),
            };
            let character = character.get_mut(..bytes).unwrap_or_default();
            for slot in character.iter_mut().skip(1) {
                let encoded = rest.strip_prefix(b"%").ok_or(Rejection::BadUtf8)?;
                (*slot, rest) = decode(encoded).ok_or(Rejection::BadPercentEncoding)?;
            }
            if std::str::from_utf8(character).is_err() {
                return Err(Rejection::BadUtf8);
            }
            character.iter().for_each(|byte| push_encoded(*byte, out));
        }
        byte if syntax::is(byte, UNRESERVED) => out.push(char::from(byte)),
        byte => push_encoded(byte, out),
    }
    Ok(rest)
}

fn decode(rest: &[u8]) -> Option<(u8, &[u8])> {
    let [high, low, rest @ ..] = rest else { return None };
    Some((syntax::hex(*high)? << 4 | syntax::hex(*low)?, rest))
}

fn push_encoded(byte: u8, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    out.push(char::from(DIGITS[usize::from(byte >> 4)]));
    out.push(char::from(DIGITS[usize::from(byte & 15)]));
}

/// Whether a segment in normal form is percent-encoded still when it is decoded once.
fn is_encoded_twice(segment: &str) -> bool {
    segment.match_indices("%25").any(|(at, percent)| {
        let digits = segment.as_bytes().get(at + percent.len()..at + percent.len() + 2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

/// Whether a part of the segment is a dot segment to somebody who cuts parameters off (`..;x`), or who splits at encoded
/// separators that were kept (`a%2F..`).
fn hides_dots(segment: &str) -> bool {
    if !segment.contains(['.']) || !segment.contains([';', '%']) {
        return false;
    }
    let mut rest = segment;
    loop {
        let end = ["%2F", "%5C"].iter().filter_map(|separator| rest.find(separator)).min();
        let part = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        let name = part.get(..[";", "%3B"].iter().filter_map(|mark| part.find(mark)).min().unwrap_or(part.len()));
        if matches!(name, Some("." | "..")) {
            return true;
        }
        match end.and_then(|end| rest.get(end + 3..)) {
            Some(after) => rest = after,
            None => return false,
        }
    }
}
