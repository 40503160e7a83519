//! The negotiation of compression: `Sec-WebSocket-Extensions` (RFC 6455 section 9.1, RFC 7692 section 7.1).
//!
//! ```text
//!   permessage-deflate; client_max_window_bits; server_max_window_bits=10, permessage-deflate
//!   ╰─ first offer: declined if one parameter can't be met ─────────────╯  ╰─ the fall-back ─╯
//! ```

use super::compression::{Agreement, WINDOW_BITS_MAX, WINDOW_BITS_MIN};
use crate::syntax::{self, TOKEN};

const EXTENSION: &[u8] = b"permessage-deflate";

/// What this side wants of compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preferences {
    /// Forget each message before the next is deflated: no memory per connection, less compression.
    pub server_no_context_takeover: bool,
    /// Have the client do so: no memory per connection to inflate with between two messages.
    pub client_no_context_takeover: bool,
    /// The largest window to deflate with, as a power of two, 9 to 15.
    pub server_max_window_bits: u8,
    /// The largest window that the client may deflate with, as a power of two, 9 to 15; clients that can't be told use 15. It costs
    /// clients memory and spares this side none.
    pub client_max_window_bits: u8,
}

impl Default for Preferences {
    fn default() -> Self {
        Preferences {
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_max_window_bits: WINDOW_BITS_MAX,
            client_max_window_bits: WINDOW_BITS_MAX,
        }
    }
}

/// The field is not a list of extensions (RFC 6455 section 9.1): the handshake is to be refused with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sec-WebSocket-Extensions is not a list of extensions (RFC 6455 section 9.1)")
    }
}

impl std::error::Error for Malformed {}

/// Answers the offers of all `lines`, in their order: the first that can be met is agreed on. `None` when there is none, and the
/// connection does without.
///
/// # Errors
/// When a line is malformed, whatever the others say.
pub fn negotiate<'a>(
    lines: impl IntoIterator<Item = &'a [u8]>,
    preferences: &Preferences,
) -> Result<Option<Agreement>, Malformed> {
    let mut agreed = None;
    for line in lines {
        let mut rest = Rest(line);
        loop {
            rest.skip_space();
            if rest.0.is_empty() {
                break;
            }
            // A list may have empty elements (RFC 9110 section 5.6.1).
            if !rest.eat(b',') {
                let offer = Offer::read(&mut rest)?;
                agreed = agreed.or_else(|| offer.meet(preferences));
                rest.skip_space();
                if !rest.0.is_empty() && !rest.eat(b',') {
                    return Err(Malformed);
                }
            }
        }
    }
    Ok(agreed)
}

/// One element of the list. Whatever makes it one that must be declined is in `declined`.
#[derive(Debug, Default)]
struct Offer {
    declined: bool,
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// The inner is the value, which may be left out.
    client_max_window_bits: Option<Option<u8>>,
}

impl Offer {
    fn read(rest: &mut Rest<'_>) -> Result<Offer, Malformed> {
        let mut offer = Offer { declined: rest.token()? != EXTENSION, ..Offer::default() };
        loop {
            rest.skip_space();
            if !rest.eat(b';') {
                return Ok(offer);
            }
            rest.skip_space();
            let name = rest.token()?;
            rest.skip_space();
            let value = if rest.eat(b'=') {
                rest.skip_space();
                Some(rest.value()?)
            } else {
                None
            };
            offer.parameter(name, value);
        }
    }

    /// RFC 7692 section 7.1: a parameter that is unknown, comes twice or has a value that it can't have declines the offer.
    fn parameter(&mut self, name: &[u8], value: Option<&[u8]>) {
        let bits = value.map(window_bits);
        let fine = match (name, bits) {
            (b"server_no_context_takeover", None) => !std::mem::replace(&mut self.server_no_context_takeover, true),
            (b"client_no_context_takeover", None) => !std::mem::replace(&mut self.client_no_context_takeover, true),
            (b"server_max_window_bits", Some(Some(bits))) => self.server_max_window_bits.replace(bits).is_none(),
            (b"client_max_window_bits", None) => self.client_max_window_bits.replace(None).is_none(),
            (b"client_max_window_bits", Some(bits @ Some(_))) => self.client_max_window_bits.replace(bits).is_none(),
            _ => false,
        };
        self.declined |= !fine;
    }

    fn meet(&self, preferences: &Preferences) -> Option<Agreement> {
        let server = self.server_max_window_bits.unwrap_or(WINDOW_BITS_MAX);
        // A window of 2^8 is more than zlib can promise.
        if self.declined || server < WINDOW_BITS_MIN {
            return None;
        }
        let client = match self.client_max_window_bits {
            None => WINDOW_BITS_MAX,
            Some(hint) => hint.unwrap_or(WINDOW_BITS_MAX).min(window(preferences.client_max_window_bits)),
        };
        Some(Agreement {
            server_no_context_takeover: self.server_no_context_takeover || preferences.server_no_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover || preferences.client_no_context_takeover,
            server_max_window_bits: server.min(window(preferences.server_max_window_bits)),
            client_max_window_bits: client,
            names_server_window: self.server_max_window_bits.is_some(),
        })
    }
}

fn window(bits: u8) -> u8 {
    bits.clamp(WINDOW_BITS_MIN, WINDOW_BITS_MAX)
}

/// 8 to 15, without leading zeros (RFC 7692 section 7.1.2.1).
fn window_bits(value: &[u8]) -> Option<u8> {
    // In a quoted value each character may have a backslash before it.
    let mut digits = value.iter().filter(|byte| **byte != b'\\');
    match (digits.next(), digits.next(), digits.next()) {
        (Some(digit @ b'8'..=b'9'), None, None) => Some(digit - b'0'),
        (Some(b'1'), Some(digit @ b'0'..=b'5'), None) => Some(10 + digit - b'0'),
        _ => None,
    }
}

/// What is left of a line.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn skip_space(&mut self) {
        while let [b' ' | b'\t', rest @ ..] = self.0 {
            self.0 = rest;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        match self.0 {
            [first, rest @ ..] if *first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn token(&mut self) -> Result<&'a [u8], Malformed> {
        let end = self.0.iter().position(|byte| !syntax::is(*byte, TOKEN)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        if token.is_empty() { Err(Malformed) } else { Ok(token) }
    }

    /// A token, or a quoted string that is a token once its quotes and backslashes are gone; backslashes stay in what is returned.
    fn value(&mut self) -> Result<&'a [u8], Malformed> {
        if !self.eat(b'"') {
            return self.token();
        }
        let mut at = 0;
        loop {
            match self.0.get(at..).unwrap_or_default() {
                [b'"', rest @ ..] if at > 0 => {
                    let value = self.0.get(..at).unwrap_or_default();
                    self.0 = rest;
                    return Ok(value);
                }
                [b'\\', escaped, ..] if syntax::is(*escaped, TOKEN) => at += 2,
                [byte, ..] if syntax::is(*byte, TOKEN) => at += 1,
                _ => return Err(Malformed),
            }
        }
    }
}
