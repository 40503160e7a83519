//! What request and response heads share: versions, framing, limits, and how a head that has not fully arrived is looked at.

use crate::{Rejection, UriOptions};

/// The version of a message. Any other is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: closes by default, knows no transfer coding.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
}

/// How the end of a message's content is told (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// There is no content.
    #[default]
    None,
    /// This many bytes.
    Length(u64),
    /// Chunks; see [`chunk`](crate::chunk).
    Chunked,
    /// All that comes until the connection closes. Responses only: such a request could not be answered.
    UntilClose,
}

impl Framing {
    /// Whether bytes of content may follow the head.
    #[must_use]
    pub fn has_content(self) -> bool {
        !matches!(self, Framing::None | Framing::Length(0))
    }
}

/// How large a head may be, and what else a listener allows.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a head, from its first byte to the empty line. Default 32 KiB; at most 65,535 whatever is set.
    pub head_bytes_max: usize,
    /// Field lines. Default 100; at most 256 whatever is set.
    pub fields_max: usize,
    /// Bytes of a request target. Default 8 KiB.
    pub target_bytes_max: usize,
    /// Refuses field names with an underscore, which CGI-like backends can't tell from a hyphen. Default false; a
    /// name that would be one of framing or identity with a hyphen is refused even so.
    pub refuse_underscores: bool,
    /// What a path may hold.
    pub uri: UriOptions,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            head_bytes_max: 32 * 1024,
            fields_max: 100,
            target_bytes_max: 8 * 1024,
            refuse_underscores: false,
            uri: UriOptions::default(),
        }
    }
}

impl Limits {
    pub(crate) fn head_bytes(&self) -> usize {
        self.head_bytes_max.min(crate::fields::BLOCK_BYTES_MAX)
    }

    pub(crate) fn fields(&self) -> usize {
        self.fields_max.min(crate::fields::FIELDS_MAX)
    }
}

/// Whether a head has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The input was left as it is: call again with more bytes behind it.
    Partial,
    /// The head was taken out of the input; what follows it stays there.
    Complete,
}

/// How far a head that has not fully arrived was looked at, so that the work stays linear when it comes byte by byte.
///
/// The first bytes go straight to httparse, which takes nearly every head in one piece. Only when it asks for more are
/// lines looked for, each byte once; httparse sees the head again when the empty line is there.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scan {
    /// Bytes that were searched for line ends.
    searched: usize,
    /// Past the last line end; 0 in the start line.
    line_start: usize,
}

/// What a look at a partial head found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// No end yet.
    Nothing,
    /// The empty line.
    End,
}

impl Scan {
    /// Whether a look was taken before.
    #[inline]
    pub(crate) fn is_resumed(self) -> bool {
        self.searched > 0
    }

    /// Whether the start line has not ended in what was searched.
    pub(crate) fn in_start_line(self) -> bool {
        self.line_start <= 2
    }

    /// Searches what has come since the last look.
    pub(crate) fn advance(&mut self, input: &[u8]) -> Result<Found, Rejection> {
        let from = self.searched;
        for at in memchr::memchr_iter(b'\n', input.get(from..).unwrap_or_default()) {
            let feed = from + at;
            if feed == 0 || input.get(feed - 1) != Some(&b'\r') {
                return Err(Rejection::BareLineFeed);
            }
            let empty = feed - 1 == self.line_start;
            let leading = self.line_start == 0;
            self.line_start = feed + 1;
            if empty && !leading {
                self.searched = self.line_start;
                return Ok(Found::End);
            }
        }
        self.searched = input.len();
        Ok(Found::Nothing)
    }
}

/// Tells a client what exactly is wrong with a head that httparse refuses. Cold: it reads the lines again.
#[cold]
pub(crate) fn diagnose(head: &[u8], error: httparse::Error) -> Rejection {
    match error {
        httparse::Error::TooManyHeaders => return Rejection::TooManyFields,
        httparse::Error::Version => return Rejection::UnsupportedVersion,
        httparse::Error::Status => return Rejection::BadStatusLine,
        httparse::Error::NewLine if has_bare_line_feed(head) => return Rejection::BareLineFeed,
        httparse::Error::Token | httparse::Error::NewLine => return Rejection::BadRequestLine,
        _ => {}
    }
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        let line = match line {
            [] | [b'\r'] => continue,
            [b' ' | b'\t', ..] => return Rejection::FoldedLine,
            [line @ .., b'\r'] | line => line,
        };
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        if !crate::syntax::is_token(name) {
            let spaced = colon < line.len() && crate::syntax::is_token(crate::syntax::trim(name));
            return if spaced { Rejection::SpaceBeforeColon } else { Rejection::BadFieldName };
        }
        if !crate::syntax::all(value, crate::syntax::VALUE) {
            return Rejection::BadFieldValue;
        }
    }
    if matches!(error, httparse::Error::HeaderValue) { Rejection::BadFieldValue } else { Rejection::BadFieldName }
}

fn has_bare_line_feed(head: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', head).any(|at| at > 0 && head.get(at - 1) != Some(&b'\r'))
}
