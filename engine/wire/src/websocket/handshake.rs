//! The opening handshake (RFC 6455 section 4.2): what a request must say, and what the 101 says.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use sha1::{Digest, Sha1};

use super::compression::{self, Agreement, Malformed, Preferences};
use crate::{FieldError, Fields, Known, RequestHead, syntax};

/// What is hashed behind a key (RFC 6455 section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// A key: 16 bytes in base64.
const KEY_CHARS: usize = 24;
/// 20 bytes in base64.
const ACCEPT_CHARS: usize = 28;
/// Subprotocols that a request may offer.
const PROTOCOLS_MAX: usize = 64;

/// The value of `Upgrade`.
const UPGRADE: &[u8] = b"websocket";

/// The answer to a key.
pub type Accept = [u8; ACCEPT_CHARS];

/// Why a request does not open a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// It is another request: no `Upgrade: websocket`, or HTTP/1.0.
    NotAnUpgrade,
    /// The method is not GET (section 4.2.1).
    NotGet,
    /// It has content, whose end and the first frame could not be told apart by everybody.
    HasContent,
    /// `Sec-WebSocket-Version` is not 13 (section 4.4).
    Version,
    /// `Sec-WebSocket-Key` is not once 16 bytes in base64 (section 4.2.1).
    Key,
    /// `Sec-WebSocket-Protocol` is not a list of different tokens (section 4.1).
    Protocols,
    /// `Sec-WebSocket-Extensions` is not a list of extensions (section 9.1).
    Extensions,
}

impl Refusal {
    /// What the client is answered.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Refusal::NotAnUpgrade | Refusal::Version => StatusCode::UPGRADE_REQUIRED,
            Refusal::NotGet => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::HasContent | Refusal::Key | Refusal::Protocols | Refusal::Extensions => StatusCode::BAD_REQUEST,
        }
    }

    /// Fields that the answer must have: what would be accepted. `Upgrade` is a field of the connection (RFC 9110 section 7.8).
    #[must_use]
    pub fn fields(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Refusal::NotAnUpgrade => &[("upgrade", "websocket")],
            Refusal::Version => &[("upgrade", "websocket"), ("sec-websocket-version", "13")],
            Refusal::NotGet => &[("allow", "GET")],
            _ => &[],
        }
    }

    /// What is wrong, and which section of which RFC says so.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Refusal::NotAnUpgrade => "the request does not ask for a WebSocket (RFC 6455 section 4.2.1)",
            Refusal::NotGet => "the method of a WebSocket handshake is GET (RFC 6455 section 4.2.1)",
            Refusal::HasContent => "a WebSocket handshake has no content (RFC 6455 section 4.2.1)",
            Refusal::Version => "Sec-WebSocket-Version is not 13 (RFC 6455 section 4.4)",
            Refusal::Key => "Sec-WebSocket-Key is not once 16 bytes in base64 (RFC 6455 section 4.2.1)",
            Refusal::Protocols => "Sec-WebSocket-Protocol is not a list of different tokens (RFC 6455 section 4.1)",
            Refusal::Extensions => "Sec-WebSocket-Extensions is not a list of extensions (RFC 6455 section 9.1)",
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for Refusal {}

impl From<Malformed> for Refusal {
    fn from(_: Malformed) -> Self {
        Refusal::Extensions
    }
}

/// A request that opens a WebSocket. Host, path and `Origin` are for others to judge.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    fields: &'a Fields,
    key: &'a [u8],
}

impl<'a> Opening<'a> {
    /// Whether the request asks for a WebSocket, well or badly.
    #[must_use]
    pub fn is_meant(request: &RequestHead) -> bool {
        request.upgrade
            && request.fields.known_all(Known::Upgrade).flat_map(syntax::elements).any(|protocol| {
                // A version may follow (RFC 9110 section 7.8), and none is known of WebSocket.
                protocol.eq_ignore_ascii_case(UPGRADE)
            })
    }

    /// Judges a request (section 4.2.1). [`RequestHead::upgrade`] has seen that `Connection` says `upgrade`, in HTTP/1.1.
    ///
    /// # Errors
    /// When it does not open a WebSocket; the first reason of all.
    pub fn read(request: &'a RequestHead) -> Result<Self, Refusal> {
        let fields = &request.fields;
        if !Opening::is_meant(request) {
            return Err(Refusal::NotAnUpgrade);
        }
        if request.method != Method::GET {
            return Err(Refusal::NotGet);
        }
        if request.framing.has_content() {
            return Err(Refusal::HasContent);
        }
        if fields.known(Known::SecWebSocketVersion) != Some(b"13") || fields.is_repeated(Known::SecWebSocketVersion) {
            return Err(Refusal::Version);
        }
        let key = fields.known(Known::SecWebSocketKey).filter(|key| is_key(key)).ok_or(Refusal::Key)?;
        if fields.is_repeated(Known::SecWebSocketKey) {
            return Err(Refusal::Key);
        }
        check_protocols(fields)?;
        Ok(Opening { fields, key })
    }

    /// The first subprotocol of the client's list, which is in the order of its preference, that is among `supported`.
    #[must_use]
    pub fn protocol<'s>(&self, supported: &[&'s str]) -> Option<&'s str> {
        protocols(self.fields)
            .find_map(|offered| supported.iter().find(|protocol| protocol.as_bytes() == offered).copied())
    }

    /// What can be agreed about compression; `None` is none.
    ///
    /// # Errors
    /// When the field is malformed.
    pub fn compression(&self, preferences: &Preferences) -> Result<Option<Agreement>, Refusal> {
        Ok(compression::negotiate(self.fields.known_all(Known::SecWebSocketExtensions), preferences)?)
    }

    /// The value of `Sec-WebSocket-Accept` for this request.
    #[must_use]
    pub fn accept(&self) -> Accept {
        accept(self.key)
    }
}

/// Sets the fields of a 101 (section 4.2.2); `Connection` is written by who encodes the head.
///
/// # Errors
/// When a line can't be added: the subprotocol is not a token, or there are too many lines.
pub fn answer(
    accept: &Accept,
    protocol: Option<&str>,
    compression: Option<&Agreement>,
    fields: &mut Fields,
) -> Result<(), FieldError> {
    fields.set("upgrade", UPGRADE)?;
    fields.set("sec-websocket-accept", accept)?;
    if let Some(protocol) = protocol {
        fields.set("sec-websocket-protocol", protocol)?;
    }
    if let Some(agreement) = compression {
        fields.set("sec-websocket-extensions", agreement.answer())?;
    }
    Ok(())
}

/// The value of `Sec-WebSocket-Accept` for a key: base64 of SHA-1 of the key and a fixed text (section 4.2.2). It proves that the
/// server speaks WebSocket, nothing else, so the weakness of SHA-1 does not matter.
#[must_use]
pub fn accept(key: &[u8]) -> Accept {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let mut text = [0; ACCEPT_CHARS];
    // 20 bytes are 28 characters, so the slice is never too short.
    let written = STANDARD.encode_slice(digest, &mut text);
    debug_assert_eq!(written, Ok(ACCEPT_CHARS));
    text
}

/// Whether this can be the name of a subprotocol: a token (section 4.1).
#[must_use]
pub fn is_protocol(name: &str) -> bool {
    syntax::is_token(name.as_bytes())
}

fn is_key(key: &[u8]) -> bool {
    let mut bytes = [0; KEY_CHARS];
    key.len() == KEY_CHARS && STANDARD.decode_slice(key, &mut bytes) == Ok(16)
}

/// The subprotocols that are offered, in order. An empty field is no list (section 11.3.4), but an empty element is skipped.
fn protocols(fields: &Fields) -> impl Iterator<Item = &[u8]> {
    fields.known_all(Known::SecWebSocketProtocol).flat_map(syntax::elements)
}

fn check_protocols(fields: &Fields) -> Result<(), Refusal> {
    let mut seen: [&[u8]; PROTOCOLS_MAX] = [&[]; PROTOCOLS_MAX];
    for (at, protocol) in protocols(fields).enumerate() {
        let earlier = seen.get(..at).ok_or(Refusal::Protocols)?;
        if !syntax::is_token(protocol) || earlier.contains(&protocol) {
            return Err(Refusal::Protocols);
        }
        *seen.get_mut(at).ok_or(Refusal::Protocols)? = protocol;
    }
    Ok(())
}
