//! A client that waits: one request, one connection. It is used where everything waits for the answer anyway.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use http::{HeaderValue, Method};
use ringway_contract::{Secret, Vault};
use ringway_net::{ClientTls, ClientTlsSpec, Trust};
use ringway_wire::chunk::{Decoded, Decoder};
use ringway_wire::{Fields, Framing, Limits, Parsed, ResponseHead};
use serde_json::Value;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConnection, StreamOwned};

use crate::http_proxy::target::{Place, Target};

/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Bytes that are read at once.
const PIECE_BYTES: usize = 16 * 1024;

/// What was answered.
pub(super) struct Asked {
    pub(super) status: u16,
    /// Null where it is no JSON.
    pub(super) body: Value,
}

/// Asks one server.
pub(super) struct Client {
    target: Target,
    host: (String, u16),
    tls: Option<ClientTls>,
    namespace: Option<String>,
    timeout: Duration,
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

impl Client {
    pub(super) fn new(vault: &Vault) -> Result<Self, String> {
        let target = Target::parse(&vault.url).map_err(|error| format!("its `url`: {error}"))?;
        let Place::Host { name, port } = &target.place else { return Err("its `url` is a Unix socket".to_owned()) };
        let host = (name.clone(), *port);
        let trust = vault.ca.as_ref().map_or(Trust::System, |path| Trust::PemFiles(vec![path.clone()]));
        let spec = ClientTlsSpec { trust, ..ClientTlsSpec::default() };
        let tls = target.tls.then(|| ClientTls::new(&spec)).transpose().map_err(|error| format!("its TLS: {error}"))?;
        let namespace = vault.namespace.clone();
        if namespace.as_ref().is_some_and(|name| !is_value(name)) {
            return Err("its `namespace` has bytes that none may have".to_owned());
        }
        Ok(Self { target, host, tls, namespace, timeout: Duration::from_millis(vault.timeout_ms) })
    }

    /// Who is asked, for messages.
    pub(super) fn origin(&self) -> String {
        format!("{}://{}", if self.tls.is_some() { "https" } else { "http" }, self.target.authority)
    }

    /// Asks for a path below `/v1/`.
    pub(super) fn ask(
        &self,
        method: &str,
        path: &str,
        token: Option<&Secret>,
        body: Option<&Value>,
    ) -> Result<Asked, String> {
        let method = method.parse::<Method>().unwrap_or(Method::GET);
        if token.is_some_and(|token| !is_value(token.expose())) {
            return Err("its token has bytes that none may have".to_owned());
        }
        let request = self.request(&method, path, token, body);
        let answer = self.exchange(request.as_bytes(), &method);
        answer.map_err(|error| match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                format!("{} does not answer within {} ms", self.origin(), self.timeout.as_millis())
            }
            _ => format!("{} cannot be asked: {error}", self.origin()),
        })
    }

    fn request(&self, method: &Method, path: &str, token: Option<&Secret>, body: Option<&Value>) -> String {
        let Target { base, authority, .. } = &self.target;
        let mut request = format!("{method} {base}/v1/{} HTTP/1.1\r\nHost: {authority}\r\n", encoded(path));
        request.push_str("X-Vault-Request: true\r\nAccept: application/json\r\nConnection: close\r\n");
        if let Some(token) = token {
            let _ = write!(request, "X-Vault-Token: {}\r\n", token.expose());
        }
        if let Some(namespace) = &self.namespace {
            let _ = write!(request, "X-Vault-Namespace: {namespace}\r\n");
        }
        let body = body.map(Value::to_string);
        if let Some(body) = &body {
            let _ = write!(request, "Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        }
        request + "\r\n" + body.as_deref().unwrap_or_default()
    }

    fn exchange(&self, request: &[u8], method: &Method) -> io::Result<Asked> {
        let deadline = Instant::now() + self.timeout;
        let socket = self.connect(deadline)?;
        let mut stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(socket.try_clone()?),
            Some(tls) => {
                let name = ServerName::try_from(self.host.0.clone()).map_err(io::Error::other)?;
                let connection = ClientConnection::new(tls.config(), name).map_err(io::Error::other)?;
                Box::new(StreamOwned::new(connection, socket.try_clone()?))
            }
        };
        stream.write_all(request)?;
        stream.flush()?;
        let mut answer = Answer::new(method);
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            socket.set_read_timeout(Some(left(deadline)?))?;
            let read = match stream.read(&mut piece) {
                // Some close without saying so; whether something is missing the framing tells.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => 0,
                read => read?,
            };
            if let Some(asked) = answer.take(piece.get(..read).unwrap_or_default())? {
                return Ok(asked);
            }
        }
    }

    fn addresses(&self, deadline: Instant) -> io::Result<Vec<SocketAddr>> {
        let (name, port) = &self.host;
        match name.parse::<IpAddr>() {
            Ok(ip) => Ok(vec![SocketAddr::new(ip, *port)]),
            Err(_) => resolve(name.clone(), *port, left(deadline)?),
        }
    }

    /// The first of its addresses that takes a connection.
    fn connect(&self, deadline: Instant) -> io::Result<TcpStream> {
        let mut last = io::Error::from(ErrorKind::NotFound);
        for address in self.addresses(deadline)? {
            match TcpStream::connect_timeout(&address, left(deadline)?) {
                Ok(socket) => {
                    socket.set_read_timeout(Some(left(deadline)?))?;
                    socket.set_write_timeout(Some(left(deadline)?))?;
                    return Ok(socket);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// What waits for a resolver that does not answer is a thread, which ends when the system gives it up.
fn resolve(name: String, port: u16, within: Duration) -> io::Result<Vec<SocketAddr>> {
    let (tell, told) = mpsc::channel();
    thread::Builder::new().name("vault-name".to_owned()).spawn(move || {
        let found = (name.as_str(), port).to_socket_addrs();
        // Nobody waits any more where this fails.
        let _ = tell.send(found.map(Iterator::collect));
    })?;
    told.recv_timeout(within).unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// An answer that comes in pieces.
struct Answer {
    method: Method,
    head: ResponseHead,
    has_head: bool,
    input: BytesMut,
    body: BytesMut,
    decoder: Decoder,
}

impl Answer {
    fn new(method: &Method) -> Self {
        Self {
            method: method.clone(),
            head: ResponseHead::new(),
            has_head: false,
            input: BytesMut::new(),
            body: BytesMut::new(),
            decoder: Decoder::default(),
        }
    }

    /// Takes a piece, which is empty at the end of the connection; gives the answer once all of it is here.
    fn take(&mut self, piece: &[u8]) -> io::Result<Option<Asked>> {
        let is_end = piece.is_empty();
        if self.input.len() + self.body.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err(io::Error::other(format!("the answer has more than {ANSWER_BYTES_MAX} bytes")));
        }
        self.input.extend_from_slice(piece);
        while !self.has_head {
            let parsed = self.head.parse(&mut self.input, &Limits::default(), &self.method);
            match parsed.map_err(|_| io::Error::other("the answer is not HTTP"))? {
                Parsed::Complete if self.head.is_interim() => self.head.clear(),
                Parsed::Complete => self.has_head = true,
                Parsed::Partial if is_end => return Err(ErrorKind::UnexpectedEof.into()),
                Parsed::Partial => return Ok(None),
            }
        }
        let is_whole = match self.head.framing {
            Framing::None => true,
            Framing::Length(length) => {
                self.body.unsplit(self.input.split());
                self.body.len() as u64 >= length
            }
            Framing::UntilClose => {
                self.body.unsplit(self.input.split());
                is_end
            }
            Framing::Chunked => {
                let mut data = self.input.split();
                let decoded = self.decoder.decode(&mut data, &mut BytesMut::new(), &mut Fields::default());
                self.body.unsplit(data);
                decoded.map_err(|_| io::Error::other("the answer is not HTTP"))? == Decoded::End
            }
        };
        match (is_whole, is_end) {
            (true, _) => {
                let body = serde_json::from_slice(&self.body).unwrap_or_default();
                Ok(Some(Asked { status: self.head.status.as_u16(), body }))
            }
            (false, true) => Err(ErrorKind::UnexpectedEof.into()),
            (false, false) => Ok(None),
        }
    }
}

/// A path with every byte that might mean something else written as `%XX`.
fn encoded(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// Whether a text can be the value of a field.
fn is_value(text: &str) -> bool {
    HeaderValue::from_str(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an answer is, cut into pieces of this size and followed by the end of the connection.
    fn read(text: &str, piece: usize) -> Result<(u16, String), String> {
        let mut answer = Answer::new(&Method::GET);
        for piece in text.as_bytes().chunks(piece).chain([&[][..]]) {
            if let Some(asked) = answer.take(piece).map_err(|error| error.to_string())? {
                return Ok((asked.status, asked.body.to_string()));
            }
        }
        Err("nothing".to_owned())
    }

    #[test]
    fn an_answer_ends_where_its_framing_says() {
        for (text, wanted) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\":1}", Ok((200, r#"{"a":1}"#))),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n",
                Ok((200, r#"{"a":1}"#)),
            ),
            ("HTTP/1.1 404 Not Found\r\n\r\n{\"a\":1}", Ok((404, r#"{"a":1}"#))),
            ("HTTP/1.1 204 No Content\r\n\r\n", Ok((204, "null"))),
            ("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\n<p/>", Ok((502, "null"))),
            ("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{\"a\":1}", Err("unexpected end of file")),
            ("HTTP/1.1 200 OK\r\nContent-Le", Err("unexpected end of file")),
            ("SSH-2.0-OpenSSH\r\n\r\n", Err("the answer is not HTTP")),
        ] {
            let wanted = wanted.map(|(status, body)| (status, body.to_owned())).map_err(str::to_owned);
            for piece in [1, 5, text.len()] {
                assert_eq!(read(text, piece), wanted, "{text} by {piece}");
            }
        }
        let long = format!("HTTP/1.1 200 OK\r\n\r\n{}", "a".repeat(ANSWER_BYTES_MAX + 1));
        assert!(read(&long, PIECE_BYTES).is_err_and(|error| error.contains("more than")));
    }

    #[test]
    fn a_name_is_looked_up_within_its_time_and_one_that_is_none_is_an_error() {
        let found = resolve("localhost".to_owned(), 8200, Duration::from_secs(20)).unwrap();
        assert!(!found.is_empty() && found.iter().all(|at| at.ip().is_loopback() && at.port() == 8200), "{found:?}");
        // Refused before any resolver is asked, so that the machine's makes no difference.
        let error = resolve("no\0name".to_owned(), 8200, Duration::from_secs(20)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn a_path_stays_one() {
        assert_eq!(encoded("secret/data/a b?c#d%/é"), "secret/data/a%20b%3Fc%23d%25/%C3%A9");
        assert!(is_value("hvs.token") && !is_value("a\r\nb"));
    }
}
