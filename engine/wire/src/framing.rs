//! What the fields say about framing and the connection: the rules that request smuggling lives from.

use crate::fields::Fields;
use crate::known::{self, Known};
use crate::syntax;
use crate::{Framing, Rejection, Version};

/// Options that one `Connection` may list, over all its lines.
const OPTIONS_MAX: usize = 32;

/// `Content-Length` and `Transfer-Encoding`, read together. `None` when neither is there.
///
/// Duplicates and lists are refused even where all values agree, which RFC 9112 section 6.3 allows a recipient to repair:
/// no honest client sends them, and repairing is where readers come to differ.
#[inline]
pub(crate) fn framing(fields: &Fields, version: Version) -> Result<Framing, Rejection> {
    let present = fields.present();
    if present & (Known::ContentLength.bit() | Known::TransferEncoding.bit()) == 0 {
        return Ok(Framing::None);
    }
    match (fields.known(Known::ContentLength), fields.known(Known::TransferEncoding)) {
        (Some(_), Some(_)) => Err(Rejection::LengthAndCoding),
        (None, None) => Ok(Framing::None),
        (Some(_), None) if fields.is_repeated(Known::ContentLength) => Err(Rejection::DuplicateContentLength),
        (Some(value), None) => content_length(value).map(Framing::Length),
        (None, Some(_)) if version == Version::Http10 => Err(Rejection::TransferEncodingInHttp10),
        (None, Some(_)) if fields.is_repeated(Known::TransferEncoding) => Err(Rejection::BadTransferEncoding),
        (None, Some(value)) => transfer_encoding(value),
    }
}

/// `1*19DIGIT`, at most 2^63 - 1: what every other implementation can count, too.
fn content_length(value: &[u8]) -> Result<u64, Rejection> {
    if value.contains(&b',') {
        return Err(Rejection::DuplicateContentLength);
    }
    if value.is_empty() || value.len() > 19 {
        return Err(Rejection::BadContentLength);
    }
    let mut length = 0u64;
    for byte in value {
        if !byte.is_ascii_digit() {
            return Err(Rejection::BadContentLength);
        }
        length = length * 10 + u64::from(byte - b'0');
    }
    if length > i64::MAX as u64 { Err(Rejection::BadContentLength) } else { Ok(length) }
}

/// The single word `chunked`. A list of other, well-formed codings is not implemented; anything that might be taken for
/// `chunked` by somebody is malformed.
fn transfer_encoding(value: &[u8]) -> Result<Framing, Rejection> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(Framing::Chunked);
    }
    let well_formed = value.split(|byte| *byte == b',').map(syntax::trim).all(syntax::is_token);
    let chunked_at = value.to_ascii_lowercase().windows(7).position(|word| word == b"chunked");
    match chunked_at {
        None if well_formed => Err(Rejection::UnsupportedTransferEncoding),
        _ => Err(Rejection::BadTransferEncoding),
    }
}

/// What `Connection` asks for (RFC 9110 section 7.6.1).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    pub(crate) upgrade: bool,
    /// Names other than those of hop-by-hop fields: their lines must go.
    nominates: bool,
    /// A word that is no token, or too many of them.
    malformed: bool,
    /// An end-to-end field is named.
    protected: bool,
}

impl Options {
    #[inline]
    pub(crate) fn read(fields: &Fields) -> Options {
        let mut options = Options::default();
        match fields.known(Known::Connection) {
            None => {}
            Some(_) if fields.is_repeated(Known::Connection) => options.read_lines(fields),
            Some(value) if value.eq_ignore_ascii_case(b"keep-alive") => options.keep_alive = true,
            Some(value) if value.eq_ignore_ascii_case(b"close") => options.close = true,
            Some(_) => options.read_lines(fields),
        }
        options
    }

    #[cold]
    fn read_lines(&mut self, fields: &Fields) {
        let mut count = 0;
        for option in fields.known_all(Known::Connection).flat_map(syntax::elements) {
            count += 1;
            if count > OPTIONS_MAX || !syntax::is_token(option) {
                self.malformed = true;
                return;
            }
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
                continue;
            }
            let id = known::classify(option);
            match Known::ALL.get(usize::from(id)) {
                Some(Known::KeepAlive) => self.keep_alive = true,
                Some(Known::Upgrade) => self.upgrade = true,
                Some(known) if known::PROTECTED & known.bit() != 0 => self.protected = true,
                Some(known) if known::HOP_BY_HOP & known.bit() != 0 => {}
                _ => self.nominates = true,
            }
        }
    }

    /// What a client may not ask.
    #[inline]
    pub(crate) fn check(self) -> Result<(), Rejection> {
        if self.malformed {
            Err(Rejection::BadConnection)
        } else if self.protected {
            Err(Rejection::ProtectedFieldNominated)
        } else {
            Ok(())
        }
    }

    /// A backend's `Connection` is only believed in part: what it names of the end-to-end fields stays, and nonsense closes.
    pub(crate) fn forgive(&mut self) {
        self.close |= self.malformed;
        self.nominates &= !self.malformed;
    }

    /// Removes the lines that `Connection` names, but for the hop-by-hop fields, which no encoder passes on anyway.
    #[inline]
    pub(crate) fn remove_nominated(self, fields: &mut Fields) {
        if self.nominates {
            remove_nominated(fields);
        }
    }
}

#[cold]
fn remove_nominated(fields: &mut Fields) {
    // The names stand in the very lines that are walked, so they are copied: 32 options at most, and a rare message.
    let names: Vec<Vec<u8>> =
        fields.known_all(Known::Connection).flat_map(syntax::elements).take(OPTIONS_MAX).map(<[u8]>::to_vec).collect();
    for name in names {
        let kept = Known::of(&name).is_some_and(|known| (known::HOP_BY_HOP | known::PROTECTED) & known.bit() != 0);
        if !kept {
            fields.remove_bytes(&name);
        }
    }
}

/// Whether `Expect` asks for a 100 (RFC 9110 section 10.1.1). HTTP/1.0 has none, and is to be ignored there.
#[inline]
pub(crate) fn expects_continue(fields: &Fields, version: Version) -> Result<bool, Rejection> {
    if fields.present() & Known::Expect.bit() == 0 {
        return Ok(false);
    }
    let all = fields.known_all(Known::Expect).all(|value| value.eq_ignore_ascii_case(b"100-continue"));
    if all { Ok(version == Version::Http11) } else { Err(Rejection::BadExpectation) }
}

/// Whether `Upgrade` lists protocols that may be passed on: `token ["/" token]`, and no h2c among them, which would hand the
/// client a connection to the backend that the gateway can't read (RFC 9110 section 7.8, RFC 9113 section 3.1).
pub(crate) fn is_upgrade(fields: &Fields) -> bool {
    let mut protocols = fields.known_all(Known::Upgrade).flat_map(syntax::elements).peekable();
    protocols.peek().is_some()
        && protocols.all(|protocol| {
            let mut parts = protocol.splitn(2, |byte| *byte == b'/');
            let name = parts.next().unwrap_or_default();
            let is_h2 = name.eq_ignore_ascii_case(b"h2c") || name.eq_ignore_ascii_case(b"h2");
            !is_h2 && syntax::is_token(name) && parts.next().is_none_or(syntax::is_token)
        })
}
