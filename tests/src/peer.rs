//! One end of a connection that says and expects exactly what a test writes down.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use crate::deadline::DEADLINE;
use crate::head::Head;

/// How long something in a stream is waited for that goes on and on: with heartbeats no silence tells that it will not come.
const UNTIL_DEADLINE: Duration = Duration::from_secs(240);

/// A connection, what it has received and not yet looked at, and the whole conversation for the report of a failure.
#[derive(Debug)]
pub struct Peer {
    stream: TcpStream,
    /// Received and not yet taken by an expectation.
    pending: Vec<u8>,
    transcript: String,
    /// What a line that this end says begins with: `>` for a client, `<` for a backend.
    says: char,
}

impl Peer {
    pub(crate) fn client(stream: TcpStream) -> Peer {
        Peer::new(stream, '>')
    }

    pub(crate) fn backend(stream: TcpStream) -> Peer {
        Peer::new(stream, '<')
    }

    fn new(stream: TcpStream, says: char) -> Peer {
        stream.set_nodelay(true).expect("a socket option");
        stream.set_read_timeout(Some(DEADLINE)).expect("a socket option");
        stream.set_write_timeout(Some(DEADLINE)).expect("a socket option");
        Peer { stream, pending: Vec::new(), transcript: String::new(), says }
    }

    /// The connection itself, for what no method says.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Plays a conversation, a line at a time.
    ///
    /// ```text
    /// > GET /orders HTTP/1.1         said by the client: sent by a `Client`, expected by a `Backend`
    /// > Host: a
    /// >
    /// < HTTP/1.1 200 OK              said by the other side
    /// < ...                          any lines, up to the one that follows
    /// < content-length: 2            names of fields compare without case
    /// < ...
    /// <
    /// < ok\                          a line that ends with `\` has no line end
    /// ```
    #[track_caller]
    pub fn talk(&mut self, conversation: &str) {
        let mut skip = false;
        let mut said = Vec::new();
        for line in conversation.lines().map(str::trim_start).filter(|line| !line.is_empty()) {
            let (side, text) = line.split_at(1);
            let text = text.strip_prefix(' ').unwrap_or(text);
            assert!(side == ">" || side == "<", "a conversation is made of `>` and `<` lines, not {line:?}");
            let (text, end) = text.strip_suffix('\\').map_or((text, "\r\n"), |text| (text, ""));
            if side.starts_with(self.says) {
                said.extend_from_slice(text.as_bytes());
                said.extend_from_slice(end.as_bytes());
                continue;
            }
            self.send(std::mem::take(&mut said));
            if text == "..." {
                skip = true;
            } else if end.is_empty() {
                self.expect(text.as_bytes());
            } else {
                self.expect_line(text, std::mem::take(&mut skip));
            }
        }
        self.send(&said);
    }

    /// Sends bytes. A peer that has gone away is noticed by what is expected next, not here.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        if !bytes.is_empty() {
            self.note(self.says, bytes);
            let _ = self.stream.write_all(bytes);
        }
    }

    /// Sends bytes and tells whether the other end took them.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Ends this direction: the other end reads its end.
    pub fn shut_write(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The next head block.
    #[track_caller]
    pub fn head(&mut self) -> Head {
        let block = self.until(b"\r\n\r\n");
        Head::parse(&block[..block.len() - 4])
    }

    /// The next head block, or nothing when the connection ends before its first byte.
    #[track_caller]
    pub fn next_head(&mut self) -> Option<Head> {
        if self.pending.is_empty() && !self.fill() {
            return None;
        }
        Some(self.head())
    }

    /// The body that `head` announces, by length, in chunks, or up to the end of the connection for a response.
    #[track_caller]
    pub fn body(&mut self, head: &Head) -> Vec<u8> {
        self.try_body(head).unwrap_or_else(|| self.fail("the connection ended in the middle of a body"))
    }

    /// The body that `head` announces; nothing when the connection ends before it is whole.
    #[track_caller]
    pub fn try_body(&mut self, head: &Head) -> Option<Vec<u8>> {
        if head.has("transfer-encoding", "chunked") {
            return self.try_chunks().map(|(body, _)| body);
        }
        if let Some(length) = head.field("content-length") {
            return self.try_exactly(length.parse().expect("a length"));
        }
        let bodiless = !head.start.starts_with("HTTP/") || matches!(head.status(), 100..=199 | 204 | 304);
        Some(if bodiless { Vec::new() } else { self.rest() })
    }

    /// A chunked body and its trailers.
    #[track_caller]
    pub fn chunks(&mut self) -> (Vec<u8>, Head) {
        self.try_chunks().unwrap_or_else(|| self.fail("the connection ended in the middle of a chunked body"))
    }

    #[track_caller]
    fn try_chunks(&mut self) -> Option<(Vec<u8>, Head)> {
        let mut body = Vec::new();
        loop {
            let line = self.try_until(b"\r\n")?;
            let size = std::str::from_utf8(&line[..line.len() - 2]).unwrap_or("?").split(';').next().unwrap_or("?");
            let Ok(size) = usize::from_str_radix(size, 16) else { self.fail(&format!("no chunk size: {line:?}")) };
            if size == 0 {
                break;
            }
            body.extend_from_slice(&self.try_exactly(size)?);
            self.expect(b"\r\n");
        }
        let mut trailers = Vec::new();
        loop {
            let line = self.try_until(b"\r\n")?;
            if line == b"\r\n" {
                return Some((body, Head::parse(&[b"\r\n", trailers.as_slice()].concat())));
            }
            trailers.extend_from_slice(&line);
        }
    }

    /// A whole response: head and body.
    #[track_caller]
    pub fn response(&mut self) -> (Head, Vec<u8>) {
        let head = self.head();
        let body = self.body(&head);
        (head, body)
    }

    /// Everything up to and with `mark`, which has to come within [`UNTIL_DEADLINE`], however much comes meanwhile.
    #[track_caller]
    pub fn until(&mut self, mark: &[u8]) -> Vec<u8> {
        let found = self.try_until(mark);
        found.unwrap_or_else(|| self.fail(&format!("the connection ended before {:?}", String::from_utf8_lossy(mark))))
    }

    #[track_caller]
    fn try_until(&mut self, mark: &[u8]) -> Option<Vec<u8>> {
        let mut seen = 0;
        let end = Instant::now() + UNTIL_DEADLINE;
        loop {
            if Instant::now() > end {
                self.fail(&format!("{UNTIL_DEADLINE:?} passed without {:?}", String::from_utf8_lossy(mark)));
            }
            let found = self.pending[seen..].windows(mark.len()).position(|window| window == mark);
            if let Some(at) = found {
                return Some(self.take(seen + at + mark.len()));
            }
            seen = (self.pending.len() + 1).saturating_sub(mark.len());
            if !self.fill() {
                return None;
            }
        }
    }

    /// The next `count` bytes.
    #[track_caller]
    pub fn exactly(&mut self, count: usize) -> Vec<u8> {
        let taken = self.try_exactly(count);
        taken.unwrap_or_else(|| self.fail(&format!("the connection ended {} bytes early", count - self.pending.len())))
    }

    /// The next `count` bytes; nothing when the connection ends before them.
    #[track_caller]
    pub fn try_exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.pending.len() < count {
            if !self.fill() {
                return None;
            }
        }
        Some(self.take(count))
    }

    /// Fails unless exactly `bytes` come next.
    #[track_caller]
    pub fn expect(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let got = self.exactly(bytes.len());
        if got != bytes {
            let (got, wanted) = (String::from_utf8_lossy(&got).into_owned(), String::from_utf8_lossy(bytes));
            self.fail(&format!("expected {wanted:?}, got {got:?}"));
        }
    }

    /// From now on the other side may be silent for as long as it likes: it is a program of measurements that pauses.
    pub fn wait_patiently(&self) {
        self.stream.set_read_timeout(None).expect("a socket option");
    }

    /// Everything up to the end of the connection, however it ends.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.fill() {}
        let all = self.pending.len();
        self.take(all)
    }

    /// Fails unless the connection ends now, with nothing more said.
    #[track_caller]
    pub fn expect_end(&mut self) {
        let rest = self.rest();
        if !rest.is_empty() {
            self.fail("expected the end of the connection");
        }
    }

    /// Whether nothing arrives within `quiet`. To be used for "nothing was sent", after a sign that the moment has passed.
    pub fn is_quiet(&mut self, quiet: Duration) -> bool {
        self.stream.set_read_timeout(Some(quiet)).expect("a socket option");
        let mut byte = [0];
        let arrived = self.stream.peek(&mut byte);
        self.stream.set_read_timeout(Some(DEADLINE)).expect("a socket option");
        self.pending.is_empty() && arrived.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    #[track_caller]
    fn expect_line(&mut self, wanted: &str, skip: bool) {
        loop {
            let line = self.until(b"\r\n");
            let line = String::from_utf8_lossy(&line[..line.len() - 2]).into_owned();
            if same_line(&line, wanted) {
                return;
            }
            if !skip || line.is_empty() {
                self.fail(&format!("expected the line {wanted:?}, got {line:?}"));
            }
        }
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let rest = self.pending.split_off(count);
        std::mem::replace(&mut self.pending, rest)
    }

    /// Receives more; false at the end of the connection.
    #[track_caller]
    fn fill(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(count) => {
                let other = if self.says == '>' { '<' } else { '>' };
                self.note(other, &buffer[..count]);
                self.pending.extend_from_slice(&buffer[..count]);
                true
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.fail("the other side stays silent"),
            Err(_) => false,
        }
    }

    fn note(&mut self, side: char, bytes: &[u8]) {
        const LINES: usize = 30;
        const BYTES: usize = 600;
        const TRANSCRIPT: usize = 20_000;
        if self.transcript.len() > TRANSCRIPT {
            return;
        }
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(BYTES)]);
        for line in shown.lines().take(LINES) {
            let _ = writeln!(self.transcript, "  {side} {line}");
        }
        if bytes.len() > BYTES || shown.lines().count() > LINES {
            let _ = writeln!(self.transcript, "  {side} ... {} bytes", bytes.len());
        }
    }

    #[track_caller]
    fn fail(&self, what: &str) -> ! {
        panic!("{what}, after\n{}", self.transcript);
    }
}

/// Whether two lines are the same, the names of fields taken without case.
fn same_line(line: &str, wanted: &str) -> bool {
    match (line.split_once(": "), wanted.split_once(": ")) {
        (Some((name, value)), Some((wanted_name, wanted_value))) => {
            name.eq_ignore_ascii_case(wanted_name) && value == wanted_value
        }
        _ => line == wanted,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::Peer;

    fn pair() -> (Peer, Peer) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (Peer::client(client), Peer::backend(listener.accept().unwrap().0))
    }

    const CONVERSATION: &str = "
        > POST / HTTP/1.1
        > Content-Length: 2
        >
        > hi\\
        < HTTP/1.1 200 OK
        < ...
        < Content-Length: 2
        < ...
        <
        < ok\\
    ";

    #[test]
    fn both_ends_can_play_the_same_conversation() {
        let (mut client, mut backend) = pair();
        client.send("POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\nhi");
        backend.talk(&CONVERSATION.replace("        < ...\n", ""));
        client.talk(&CONVERSATION.lines().filter(|line| !line.contains('>')).collect::<Vec<_>>().join("\n"));
    }

    #[test]
    #[should_panic(expected = "expected the line \"HTTP/1.1 200 OK\", got \"HTTP/1.1 500 No\"")]
    fn another_line_than_the_expected_one_fails() {
        let (mut client, mut backend) = pair();
        backend.send("HTTP/1.1 500 No\r\n\r\n");
        client.talk("< HTTP/1.1 200 OK");
    }

    #[test]
    #[should_panic(expected = "expected the end of the connection")]
    fn bytes_before_the_expected_end_fail() {
        let (mut client, mut backend) = pair();
        backend.send("x");
        drop(backend);
        client.expect_end();
    }

    #[test]
    fn chunks_come_with_their_trailers() {
        let (mut client, mut backend) = pair();
        backend.send("4;x=y\r\nWiki\r\n5\r\npedia\r\n0\r\nA: 1\r\nB: 2\r\n\r\n");
        let (body, trailers) = client.chunks();
        assert_eq!(
            (body.as_slice(), trailers.field("a"), trailers.field("b")),
            (&b"Wikipedia"[..], Some("1"), Some("2"))
        );
    }
}
