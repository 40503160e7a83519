//! As much HTTP/1.1 as an embedded backend needs, which only the gateway in front of it talks to.

use std::io::{self, BufRead, Read, Write};

/// Bytes that a request's head may take.
const HEAD_BYTES_MAX: u64 = 64 * 1024;
/// Bytes of a body that are kept; the rest is read and counted.
pub const BODY_KEPT_MAX: usize = 16 * 1024;

/// A request.
#[derive(Debug, Default)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    /// The first [`BODY_KEPT_MAX`] bytes of the body.
    pub body: Vec<u8>,
    /// Bytes of the whole body.
    pub body_bytes: u64,
}

impl Request {
    /// Reads the next request of a connection; `None` when the peer closed it between two.
    pub fn read(stream: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut head = stream.by_ref().take(HEAD_BYTES_MAX);
        let Some(first) = line(&mut head)? else { return Ok(None) };
        let mut words = first.split(' ').map(str::to_owned);
        let (Some(method), Some(target)) = (words.next(), words.next()) else { return Err(invalid("request line")) };
        let mut request = Self { method, target, ..Self::default() };
        loop {
            let line = line(&mut head)?.ok_or_else(|| invalid("head"))?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| invalid("header"))?;
            request.headers.push((name.to_owned(), value.trim().to_owned()));
        }
        request.read_body(stream)?;
        Ok(Some(request))
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The target without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    fn read_body(&mut self, stream: &mut impl BufRead) -> io::Result<()> {
        if self.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            loop {
                let size = line(stream)?.ok_or_else(|| invalid("chunk"))?;
                let size = size.split(';').next().unwrap_or_default().trim();
                let size = u64::from_str_radix(size, 16).map_err(|_| invalid("chunk size"))?;
                if size == 0 {
                    break;
                }
                self.take_body(stream, size)?;
                line(stream)?;
            }
            while line(stream)?.is_some_and(|trailer| !trailer.is_empty()) {}
            return Ok(());
        }
        let length = self.header("content-length").map_or(Ok(0), str::parse).map_err(|_| invalid("Content-Length"))?;
        self.take_body(stream, length)
    }

    fn take_body(&mut self, stream: &mut impl BufRead, count: u64) -> io::Result<()> {
        let room = (BODY_KEPT_MAX - self.body.len()) as u64;
        let kept = stream.by_ref().take(count.min(room)).read_to_end(&mut self.body)? as u64;
        let dropped = io::copy(&mut stream.by_ref().take(count - kept), &mut io::sink())?;
        if kept + dropped < count {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.body_bytes += count;
        Ok(())
    }
}

/// Writes a whole response.
pub fn respond(stream: &mut impl Write, status: &str, kind: &str, body: &[u8], head_only: bool) -> io::Result<()> {
    let length = body.len();
    write!(stream, "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n")?;
    if !head_only {
        stream.write_all(body)?;
    }
    stream.flush()
}

/// One line without its end; `None` at the end of the stream.
fn line(stream: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    stream.by_ref().take(HEAD_BYTES_MAX).read_until(b'\n', &mut bytes)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    if bytes.pop() != Some(b'\n') {
        return Err(invalid("line"));
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    String::from_utf8(bytes).map(Some).map_err(|_| invalid("line"))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not a valid {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> io::Result<Option<Request>> {
        Request::read(&mut text.as_bytes())
    }

    #[test]
    fn bodies_of_both_framings_are_read_whole_and_the_next_request_follows() {
        let mut stream = "POST /a?b HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc\
                          PUT /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n1;z\r\n!\r\n0\r\nT: 1\r\n\r\n"
            .as_bytes();
        let first = Request::read(&mut stream).unwrap().unwrap();
        assert_eq!((first.method.as_str(), first.path(), first.body.as_slice()), ("POST", "/a", b"abc".as_slice()));
        let second = Request::read(&mut stream).unwrap().unwrap();
        assert_eq!((second.target.as_str(), second.body.as_slice()), ("/c", b"xy!".as_slice()));
        assert!(Request::read(&mut stream).unwrap().is_none());
    }

    #[test]
    fn a_long_body_is_counted_and_not_kept() {
        let body = "x".repeat(BODY_KEPT_MAX + 5);
        let request =
            read(&format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len())).unwrap().unwrap();
        assert_eq!((request.body.len(), request.body_bytes), (BODY_KEPT_MAX, body.len() as u64));
    }

    #[test]
    fn what_is_cut_short_or_malformed_is_refused() {
        for text in [
            "GET",
            "GET / HTTP/1.1\r\n",
            "GET / HTTP/1.1\r\nno colon\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc",
            "POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ] {
            assert!(read(text).is_err(), "{text:?}");
        }
    }
}
