//! The head of a request: parsed once, strictly, and asked for what it means.

use std::mem::MaybeUninit;
use std::ops::Range;

use bytes::BytesMut;
use http::Method;

use crate::fields::{FIELDS_MAX, Fields, offset};
use crate::framing::{self, Options};
use crate::head::{Found, Scan, diagnose};
use crate::host::Authority;
use crate::known::{self, Known};
use crate::syntax::{self, TARGET};
use crate::uri::{self, Normalised};
use crate::{Framing, Limits, Parsed, Rejection, Version};

/// The longest method that is read. All registered ones are shorter.
const METHOD_BYTES_MAX: usize = 32;

/// The fields that say more of a request than its start line does; most have none of them.
const SPEAKING: known::Set = Known::ContentLength.bit()
    | Known::TransferEncoding.bit()
    | Known::Connection.bit()
    | Known::Expect.bit()
    | Known::Te.bit();

/// The four forms of a request target (RFC 9112 section 3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetForm {
    /// `/path?query`
    #[default]
    Origin,
    /// `http://host/path?query`: its authority replaces `Host`.
    Absolute,
    /// `host:port`, only of CONNECT.
    Authority,
    /// `*`, only of OPTIONS.
    Asterisk,
}

/// The head of a request.
///
/// One value is used for one request after another; [`clear`](Self::clear) keeps its buffers. Its public fields are what the
/// client said and may be edited before [`encode`](Self::encode).
///
/// ```text
///  raw   GET /a/./b?c=d HTTP/1.1␍␊Host: Example.com:80␍␊…     the bytes, in `fields`
///  text  │/a/b?c=d│                                           path and query as they are routed and forwarded
///  host  │example.com│                                        as it is routed
/// ```
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    /// The method; case matters (RFC 9110 section 9.1).
    pub method: Method,
    /// The version.
    pub version: Version,
    /// The field lines. `Host` is among them; framing and hop-by-hop lines are too, but are never encoded.
    pub fields: Fields,
    /// How the content ends. Never [`Framing::UntilClose`].
    pub framing: Framing,
    /// Whether the client wants the connection to stay open (RFC 9112 section 9.3).
    pub persistent: bool,
    /// Whether the client waits for a 100 before it sends its content (RFC 9110 section 10.1.1). Where it can't, because no content
    /// comes or the version is HTTP/1.0, the field line is gone, too.
    pub expect_continue: bool,
    /// Whether the client asks for another protocol, and for one that may be passed on: `Connection: upgrade` and a valid
    /// `Upgrade` without h2c. It is still HTTP until the backend has answered 101.
    pub upgrade: bool,
    /// Whether the client takes trailers (`TE: trailers`, RFC 9110 section 10.1.4).
    pub te_trailers: bool,
    form: TargetForm,
    target: Range<u16>,
    text: String,
    path: Range<u32>,
    query: Option<Range<u32>>,
    host: String,
    port: Option<u16>,
    /// The `Host` value that `host` and `port` were read from, when they were. Clients ask the same host again and again, and a
    /// compare is cheaper than a parse; so this outlives [`clear`](Self::clear).
    host_line: Vec<u8>,
    has_host: bool,
    scan: Scan,
}

impl RequestHead {
    /// An empty head, without buffers.
    #[must_use]
    pub fn new() -> Self {
        RequestHead::default()
    }

    /// Reads a head from the front of `input`.
    ///
    /// When it is complete its bytes are taken out of `input` and what follows them stays. The two buffers may have been
    /// swapped: give both the capacity of one class, and `reserve` before each receive.
    ///
    /// # Errors
    /// When the head is refused; what is left in `input` means nothing then. The connection must be closed after the answer.
    /// [`raw_target`](Self::raw_target) may still tell what was asked for.
    pub fn parse(&mut self, input: &mut BytesMut, limits: &Limits) -> Result<Parsed, Rejection> {
        let has_end = self.scan.is_resumed();
        if has_end && self.scan.advance(input)? == Found::Nothing {
            return self.partial(input, limits);
        }
        let mut lines = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; FIELDS_MAX];
        let mut request = httparse::Request::new(&mut []);
        let room = lines.get_mut(..limits.fields()).unwrap_or_default();
        let head_bytes = match request.parse_with_uninit_headers(input, room) {
            Ok(httparse::Status::Complete(head_bytes)) => head_bytes,
            Ok(httparse::Status::Partial) => {
                // An end of the head that httparse does not see: there is nothing before it.
                if has_end || self.scan.advance(input)? == Found::End {
                    return Err(Rejection::BadRequestLine);
                }
                return self.partial(input, limits);
            }
            Err(httparse::Error::Version) => return Err(bad_version(input)),
            Err(error) => return Err(diagnose(input, error)),
        };
        if head_bytes > limits.head_bytes() {
            return Err(Rejection::HeaderTooLarge);
        }
        self.read(input, head_bytes, &request, limits)?;
        self.fields.take(input, head_bytes);
        self.scan = Scan::default();
        self.interpret()?;
        Ok(Parsed::Complete)
    }

    /// Forgets the request and keeps the buffers, and the method until another is read.
    pub fn clear(&mut self) {
        self.version = Version::Http11;
        self.fields.clear();
        self.framing = Framing::None;
        self.persistent = false;
        self.expect_continue = false;
        self.upgrade = false;
        self.te_trailers = false;
        self.form = TargetForm::Origin;
        self.target = 0..0;
        self.text.clear();
        self.path = 0..0;
        self.query = None;
        self.has_host = false;
        self.scan = Scan::default();
    }

    /// Which form the target had.
    #[must_use]
    pub fn form(&self) -> TargetForm {
        self.form
    }

    /// Whether this is `OPTIONS *`: about the server, not about a resource.
    #[must_use]
    pub fn is_asterisk(&self) -> bool {
        self.form == TargetForm::Asterisk
    }

    /// The path in its one normal form: what is routed, what policies see and what is forwarded. `*` of `OPTIONS *`, empty for
    /// CONNECT.
    #[must_use]
    pub fn path(&self) -> &str {
        slice(&self.text, &self.path)
    }

    /// The query without its question mark, byte for byte as it came.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.query.as_ref().map(|query| slice(&self.text, query))
    }

    /// The target as it came.
    #[must_use]
    pub fn raw_target(&self) -> &str {
        let target = self.fields.raw().get(usize::from(self.target.start)..usize::from(self.target.end));
        std::str::from_utf8(target.unwrap_or_default()).unwrap_or_default()
    }

    /// The host that is asked for, in lower case, without port and final dot; IPv6 in brackets. An absolute target's wins over
    /// `Host`. Empty only when an HTTP/1.0 client gave none.
    #[must_use]
    pub fn host(&self) -> &str {
        if self.has_host { &self.host } else { "" }
    }

    /// The field lines to be changed, beside the host and port that are asked for.
    pub fn fields_and_authority(&mut self) -> (&mut Fields, &str, Option<u16>) {
        let (host, port) = if self.has_host { (self.host.as_str(), self.port) } else { ("", None) };
        (&mut self.fields, host, port)
    }

    /// The port that is asked for, when one was given.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        if self.has_host { self.port } else { None }
    }

    /// Replaces the path by the normal form of `path`, which begins with a slash.
    ///
    /// # Errors
    /// When it is not a path that a client could have sent; then nothing has changed.
    pub fn set_path(&mut self, path: &str, options: &crate::UriOptions) -> Result<(), Rejection> {
        if !path.starts_with('/') || path.contains('?') {
            return Err(Rejection::BadTarget);
        }
        let from = self.text.len();
        match uri::normalise(path, options, &mut self.text) {
            Ok(Normalised::Unchanged) => self.text.push_str(path),
            Ok(Normalised::Rewritten) => {}
            Err(rejection) => {
                self.text.truncate(from);
                return Err(rejection);
            }
        }
        self.path = from as u32..self.text.len() as u32;
        Ok(())
    }

    /// Replaces the query, without its question mark, or removes it.
    ///
    /// # Errors
    /// When it has a byte that no query has; then nothing has changed.
    pub fn set_query(&mut self, query: Option<&str>) -> Result<(), Rejection> {
        let Some(query) = query else {
            self.query = None;
            return Ok(());
        };
        if !syntax::all(query.as_bytes(), TARGET) {
            return Err(Rejection::BadTarget);
        }
        let from = self.text.len() as u32;
        self.text.push_str(query);
        self.query = Some(from..self.text.len() as u32);
        Ok(())
    }

    /// Removes the fields that speak of the connection, so that nobody behind sees them. Encoding never writes them anyway.
    pub fn strip_hop_by_hop(&mut self) {
        self.fields.remove_set(known::HOP_BY_HOP);
    }

    fn partial(&self, input: &[u8], limits: &Limits) -> Result<Parsed, Rejection> {
        // Method, two spaces, version and line ends of the start line beside the target.
        if self.scan.in_start_line() && input.len() > limits.target_bytes_max.saturating_add(METHOD_BYTES_MAX + 16) {
            Err(Rejection::TargetTooLong)
        } else if input.len() >= limits.head_bytes() {
            Err(Rejection::HeaderTooLarge)
        } else {
            Ok(Parsed::Partial)
        }
    }

    /// Reads the start line and marks the field lines of the first `head_bytes` of `input`.
    #[inline]
    fn read(
        &mut self,
        input: &[u8],
        head_bytes: usize,
        request: &httparse::Request<'_, '_>,
        limits: &Limits,
    ) -> Result<(), Rejection> {
        let method = request.method.unwrap_or_default();
        let target = request.path.unwrap_or_default();
        let fields_start = request.headers.first().map_or(head_bytes - 2, |line| offset(input, line.name.as_bytes()));
        check_lines(input, offset(input, method.as_bytes()), fields_start, head_bytes)?;
        self.fields.read(input, request.headers, head_bytes - 2)?;
        if limits.refuse_underscores && request.headers.iter().any(|line| line.name.contains('_')) {
            return Err(Rejection::UnderscoreInName);
        }
        if self.fields.is_shadowed() {
            return Err(Rejection::ShadowedField);
        }
        let start = offset(input, target.as_bytes());
        self.target = start as u16..(start + target.len()) as u16;
        self.version = if request.version == Some(1) { Version::Http11 } else { Version::Http10 };
        // Most requests repeat the method of the one before; and to build a `Method` only to move it stalls on its own stores.
        if self.method.as_str() != method {
            self.method = read_method(method)?;
        }
        self.read_target(target, limits)
    }

    /// Tells the form of the target and brings its parts into `text`.
    #[inline]
    fn read_target(&mut self, target: &str, limits: &Limits) -> Result<(), Rejection> {
        if target.len() > limits.target_bytes_max {
            return Err(Rejection::TargetTooLong);
        }
        self.text.clear();
        self.query = None;
        self.has_host = false;
        if target.starts_with('/') && self.method != Method::CONNECT {
            self.form = TargetForm::Origin;
            return self.read_path(target, limits);
        }
        self.read_other_form(target, limits)
    }

    /// `/path?query`
    #[inline]
    fn read_path(&mut self, target: &str, limits: &Limits) -> Result<(), Rejection> {
        let from = self.text.len();
        let split = uri::split(target)?;
        let path_bytes = if split.is_normal {
            self.text.push_str(target);
            split.path_bytes
        } else {
            let (path, query) = target.split_at_checked(split.path_bytes).ok_or(Rejection::BadTarget)?;
            if uri::normalise(path, &limits.uri, &mut self.text)? == Normalised::Unchanged {
                self.text.push_str(path);
            }
            let path_bytes = self.text.len() - from;
            self.text.push_str(query);
            path_bytes
        };
        let (path_end, end) = ((from + path_bytes) as u32, self.text.len() as u32);
        self.path = from as u32..path_end;
        self.query = if path_end < end { Some(path_end + 1..end) } else { None };
        Ok(())
    }

    #[cold]
    fn read_other_form(&mut self, target: &str, limits: &Limits) -> Result<(), Rejection> {
        self.path = 0..0;
        if self.method == Method::CONNECT {
            self.form = TargetForm::Authority;
            self.read_authority(target)?;
            // RFC 9112 section 3.2.3: "host and port number ... separated by a colon".
            return if self.port().is_some() { Ok(()) } else { Err(Rejection::BadTarget) };
        }
        if target == "*" {
            if self.method != Method::OPTIONS {
                return Err(Rejection::BadTarget);
            }
            self.form = TargetForm::Asterisk;
            self.text.push('*');
            self.path = 0..1;
            return Ok(());
        }
        let (scheme, rest) = target.split_once("://").ok_or(Rejection::BadTarget)?;
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return Err(Rejection::BadTarget);
        }
        self.form = TargetForm::Absolute;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at_checked(end).ok_or(Rejection::BadTarget)?;
        self.read_authority(authority)?;
        if target.is_empty() && self.method == Method::OPTIONS {
            // RFC 9112 section 3.2.4: the last proxy writes `*` again.
            self.form = TargetForm::Asterisk;
            let from = self.text.len() as u32;
            self.text.push('*');
            self.path = from..from + 1;
            return Ok(());
        }
        if target.starts_with('/') {
            return self.read_path(target, limits);
        }
        // An empty path is `/` (RFC 9110 section 4.2.3).
        self.read_path(&format!("/{target}"), limits)
    }

    fn read_authority(&mut self, authority: &str) -> Result<(), Rejection> {
        self.host_line.clear();
        self.host.clear();
        self.port = Authority::parse(authority.as_bytes(), &mut self.host).ok_or(Rejection::BadHost)?.port;
        self.has_host = true;
        Ok(())
    }

    /// Reads what the fields say of the request, now that they are in their own buffer.
    #[inline]
    fn interpret(&mut self) -> Result<(), Rejection> {
        self.read_host()?;
        if self.fields.present() & SPEAKING == 0 {
            self.framing = Framing::None;
            self.expect_continue = false;
            self.persistent = self.version == Version::Http11;
            self.upgrade = false;
            self.te_trailers = false;
            return Ok(());
        }
        self.framing = framing::framing(&self.fields, self.version)?;
        self.expect_continue = framing::expects_continue(&self.fields, self.version)? && self.framing.has_content();
        if !self.expect_continue {
            // A backend that says 100 to a request without content, or waits for what HTTP/1.0 never promised, would be out of step.
            self.fields.remove_known(Known::Expect);
        }
        let options = Options::read(&self.fields);
        options.check()?;
        self.persistent = match self.version {
            Version::Http11 => !options.close,
            Version::Http10 => options.keep_alive && !options.close,
        };
        self.upgrade = options.upgrade && self.version == Version::Http11 && framing::is_upgrade(&self.fields);
        self.te_trailers = self.fields.present() & Known::Te.bit() != 0 && takes_trailers(&self.fields);
        options.remove_nominated(&mut self.fields);
        Ok(())
    }

    /// Exactly one valid `Host`, which only HTTP/1.0 may leave out; a target with an authority overrides it (RFC 9112 section
    /// 3.2), in the field lines, too.
    #[inline]
    fn read_host(&mut self) -> Result<(), Rejection> {
        let Some(line) = self.fields.known(Known::Host) else {
            return match self.version {
                Version::Http11 => Err(Rejection::MissingHost),
                Version::Http10 => self.replace_host(),
            };
        };
        if self.fields.is_repeated(Known::Host) {
            return Err(Rejection::DuplicateHost);
        }
        if self.has_host {
            // It is overridden, but must be valid all the same.
            let mut ignored = String::new();
            Authority::parse(line, &mut ignored).ok_or(Rejection::BadHost)?;
            return self.replace_host();
        }
        if line.is_empty() || line != self.host_line {
            self.host_line.clear();
            self.host.clear();
            self.port = Authority::parse(line, &mut self.host).ok_or(Rejection::BadHost)?.port;
            self.host_line.extend_from_slice(line);
        }
        self.has_host = true;
        Ok(())
    }

    /// Makes the `Host` line say what the target's authority said.
    #[cold]
    fn replace_host(&mut self) -> Result<(), Rejection> {
        if !self.has_host {
            return Ok(());
        }
        let host = match self.port {
            Some(port) => format!("{}:{port}", self.host()),
            None => self.host().to_owned(),
        };
        self.fields.set("host", host).map_err(|_| Rejection::HeaderTooLarge)
    }
}

/// The method begins the head, or follows one empty line (RFC 9112 section 2.2); httparse skips any number, and takes LF for
/// CRLF everywhere.
#[inline]
fn check_lines(input: &[u8], method_start: usize, fields_start: usize, head_bytes: usize) -> Result<(), Rejection> {
    if method_start != 0 && !(method_start == 2 && input.starts_with(b"\r\n")) {
        return Err(Rejection::BadRequestLine);
    }
    if input.get(fields_start.wrapping_sub(2)) == Some(&b'\r') && input.get(head_bytes.wrapping_sub(2)) == Some(&b'\r')
    {
        Ok(())
    } else {
        Err(Rejection::BareLineFeed)
    }
}

#[cold]
fn read_method(method: &str) -> Result<Method, Rejection> {
    if method.len() > METHOD_BYTES_MAX {
        return Err(Rejection::MethodTooLong);
    }
    Method::from_bytes(method.as_bytes()).map_err(|_| Rejection::BadRequestLine)
}

/// 505 for a version that could be one, 400 for anything else.
#[cold]
fn bad_version(input: &[u8]) -> Rejection {
    let line = input.strip_prefix(b"\r\n").unwrap_or(input);
    let line = line.split(|byte| *byte == b'\r' || *byte == b'\n').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ').skip(2);
    match (words.next(), words.next()) {
        (Some([b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9']), None) => Rejection::UnsupportedVersion,
        _ => Rejection::BadRequestLine,
    }
}

#[cold]
fn takes_trailers(fields: &Fields) -> bool {
    fields.known_all(Known::Te).flat_map(syntax::elements).any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
}

#[inline]
fn slice<'a>(text: &'a str, range: &Range<u32>) -> &'a str {
    text.get(range.start as usize..range.end as usize).unwrap_or_default()
}
