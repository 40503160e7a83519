//! The head of a response.

use std::mem::MaybeUninit;
use std::ops::Range;

use bytes::BytesMut;
use http::{Method, StatusCode};

use crate::fields::{FIELDS_MAX, Fields, offset};
use crate::framing::{self, Options};
use crate::head::{Found, Scan, diagnose};
use crate::known;
use crate::{Framing, Limits, Parsed, Rejection, Version};

/// The head of a response: read from a backend, or made by the gateway.
///
/// One value is used for one response after another; [`clear`](Self::clear) keeps its buffers.
#[derive(Debug, Default)]
pub struct ResponseHead {
    /// The status. 100 to 199 are interim: another head follows, but for 101.
    pub status: StatusCode,
    /// The version.
    pub version: Version,
    /// The field lines.
    pub fields: Fields,
    /// How the content ends.
    pub framing: Framing,
    /// What `Content-Length` said, where [`framing`](Self::framing) is [`Framing::None`] all the same: of HEAD and 304 it tells
    /// the length that a GET would have.
    pub declared_bytes: Option<u64>,
    /// Whether the backend's connection may serve another request once the content is through: HTTP/1.1, no `close`, and no
    /// framing that it should not have had.
    pub persistent: bool,
    /// Whether the backend switches protocols: status 101 with `Connection: upgrade` and a valid `Upgrade` without h2c.
    pub upgrade: bool,
    reason: Range<u16>,
    scan: Scan,
}

impl ResponseHead {
    /// An empty head of a 200, without buffers.
    #[must_use]
    pub fn new() -> Self {
        ResponseHead::default()
    }

    /// Reads a head from the front of `input`. What is said of the buffers at
    /// [`RequestHead::parse`](crate::RequestHead::parse) holds here, too. `request_method` decides whether content follows.
    ///
    /// # Errors
    /// When the head is refused: a 502 to the client, and the end of the backend's connection.
    pub fn parse(
        &mut self,
        input: &mut BytesMut,
        limits: &Limits,
        request_method: &Method,
    ) -> Result<Parsed, Rejection> {
        let has_end = self.scan.is_resumed();
        if has_end && self.scan.advance(input)? == Found::Nothing {
            return partial(input, limits);
        }
        let mut lines = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; FIELDS_MAX];
        let mut response = httparse::Response::new(&mut []);
        let room = lines.get_mut(..limits.fields()).unwrap_or_default();
        let head_bytes =
            match httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, input, room) {
                Ok(httparse::Status::Complete(head_bytes)) => head_bytes,
                Ok(httparse::Status::Partial) => {
                    return match self.scan.advance(input)? {
                        Found::Nothing => partial(input, limits),
                        Found::End => Err(Rejection::BadStatusLine),
                    };
                }
                Err(httparse::Error::Token | httparse::Error::NewLine) => return Err(Rejection::BadStatusLine),
                Err(error) => return Err(diagnose(input, error)),
            };
        if head_bytes > limits.head_bytes() {
            return Err(Rejection::HeaderTooLarge);
        }
        self.read(input, head_bytes, &response)?;
        self.fields.take(input, head_bytes);
        self.scan = Scan::default();
        self.interpret(request_method)?;
        Ok(Parsed::Complete)
    }

    /// Forgets the response and keeps the buffers.
    pub fn clear(&mut self) {
        self.status = StatusCode::OK;
        self.version = Version::Http11;
        self.fields.clear();
        self.framing = Framing::None;
        self.declared_bytes = None;
        self.persistent = false;
        self.upgrade = false;
        self.reason = 0..0;
        self.scan = Scan::default();
    }

    /// The reason phrase as the backend wrote it; empty when it wrote none, and of a head that the gateway made.
    #[must_use]
    pub fn reason(&self) -> &[u8] {
        self.fields.raw().get(usize::from(self.reason.start)..usize::from(self.reason.end)).unwrap_or_default()
    }

    /// Whether another head of the same response follows: 1xx other than 101 (RFC 9110 section 15.2).
    #[must_use]
    pub fn is_interim(&self) -> bool {
        self.status.is_informational() && self.status != StatusCode::SWITCHING_PROTOCOLS
    }

    /// Answers another status than the backend's: its reason phrase goes, too.
    pub fn set_status(&mut self, status: StatusCode) {
        self.status = status;
        self.reason = 0..0;
    }

    /// Removes the fields that speak of the connection, so that nobody behind sees them. Encoding never writes them anyway.
    pub fn strip_hop_by_hop(&mut self) {
        self.fields.remove_set(known::HOP_BY_HOP);
    }

    /// Reads the status line and marks the field lines of the first `head_bytes` of `input`.
    fn read(
        &mut self,
        input: &[u8],
        head_bytes: usize,
        response: &httparse::Response<'_, '_>,
    ) -> Result<(), Rejection> {
        let fields_start = response.headers.first().map_or(head_bytes - 2, |line| offset(input, line.name.as_bytes()));
        // Nothing may stand before a status line: an answer that begins with an empty line is the end of another's content.
        if !input.starts_with(b"HTTP/1.") {
            return Err(Rejection::BadStatusLine);
        }
        let line_end = fields_start.wrapping_sub(2);
        if input.get(line_end) != Some(&b'\r') || input.get(head_bytes.wrapping_sub(2)) != Some(&b'\r') {
            return Err(Rejection::BareLineFeed);
        }
        self.fields.read(input, response.headers, head_bytes - 2)?;
        // "HTTP/1.1 200 reason"; some servers leave out the second space with the reason.
        let reason_start = "HTTP/1.1 200 ".len().min(line_end);
        self.reason = reason_start as u16..line_end as u16;
        self.version = if response.version == Some(1) { Version::Http11 } else { Version::Http10 };
        let code = response.code.unwrap_or_default();
        self.status = if code == 200 {
            StatusCode::OK
        } else {
            StatusCode::from_u16(code).map_err(|_| Rejection::BadStatusLine)?
        };
        Ok(())
    }

    /// Reads what the fields say of the response (RFC 9112 section 6.3).
    fn interpret(&mut self, request_method: &Method) -> Result<(), Rejection> {
        let declared = framing::framing(&self.fields, self.version)?;
        let mut options = Options::read(&self.fields);
        options.forgive();
        self.persistent = self.version == Version::Http11 && !options.close;
        self.declared_bytes = None;
        self.framing = match declared {
            // A server must not send framing here (RFC 9110 section 8.6, RFC 9112 section 6.1). If content does follow, it would be
            // taken for the next response.
            Framing::Chunked | Framing::Length(1..) if self.never_has_content() => {
                self.persistent = false;
                Framing::None
            }
            _ if self.never_has_content() => Framing::None,
            declared if *request_method == Method::HEAD || self.status == StatusCode::NOT_MODIFIED => {
                if let Framing::Length(bytes) = declared {
                    self.declared_bytes = Some(bytes);
                }
                Framing::None
            }
            _ if *request_method == Method::CONNECT && self.status.is_success() => Framing::None,
            Framing::None => {
                self.persistent = false;
                Framing::UntilClose
            }
            declared => declared,
        };
        self.upgrade = self.status == StatusCode::SWITCHING_PROTOCOLS
            && options.upgrade
            && self.version == Version::Http11
            && framing::is_upgrade(&self.fields);
        options.remove_nominated(&mut self.fields);
        Ok(())
    }

    fn never_has_content(&self) -> bool {
        self.status.is_informational() || self.status == StatusCode::NO_CONTENT
    }
}

fn partial(input: &[u8], limits: &Limits) -> Result<Parsed, Rejection> {
    if input.len() >= limits.head_bytes() { Err(Rejection::HeaderTooLarge) } else { Ok(Parsed::Partial) }
}
