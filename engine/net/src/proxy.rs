//! Reaching a backend through a proxy: HTTP CONNECT, SOCKS4 and SOCKS5.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::{BufMut, BytesMut};

use crate::shard::Shard;
use crate::stream::Stream;

/// A proxy, apart from its address.
#[derive(Clone)]
pub struct Proxy {
    /// What it speaks.
    pub kind: ProxyKind,
    /// The user. SOCKS4 has a user and no password.
    pub username: Option<String>,
    /// The password.
    pub password: Option<String>,
}

/// What a proxy speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyKind {
    /// CONNECT (RFC 9110 section 9.3.6), with Basic authentication (RFC 7617).
    Http,
    /// SOCKS 4, with names as in 4A.
    Socks4,
    /// SOCKS 5 (RFC 1928), with user and password (RFC 1929).
    Socks5,
}

/// Where a proxy is asked to connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// An address. SOCKS4 knows no IPv6.
    Address(SocketAddr),
    /// A name, which the proxy resolves.
    Name(&'a str, u16),
}

/// Passwords are not for logs.
impl std::fmt::Debug for Proxy {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Proxy").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// The longest reply of an HTTP proxy.
const REPLY_BYTES_MAX: usize = 8 * 1024;
/// A name in SOCKS is counted by a byte.
const NAME_BYTES_MAX: usize = 255;

/// Asks the proxy at the other end of `stream` for a connection to `target`. What comes back is that connection.
///
/// # Errors
/// [`TimedOut`](io::ErrorKind::TimedOut); [`PermissionDenied`](io::ErrorKind::PermissionDenied) when the proxy does not
/// know the user; [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) when it cannot or will not connect;
/// [`InvalidData`](io::ErrorKind::InvalidData) when it is no such proxy; [`InvalidInput`](io::ErrorKind::InvalidInput)
/// when it cannot be asked for the target.
pub async fn tunnel(stream: Stream, proxy: &Proxy, target: Target<'_>, timeout: Duration) -> io::Result<Stream> {
    check(target)?;
    let slot = Shard::current().timers.slot();
    slot.arm(timeout);
    let talk = Talk { stream: &stream, received: BytesMut::with_capacity(512) };
    let asked = async {
        match proxy.kind {
            ProxyKind::Http => http(talk, proxy, target).await,
            ProxyKind::Socks4 => socks4(talk, proxy, target).await,
            ProxyKind::Socks5 => socks5(talk, proxy, target).await,
        }
    };
    slot.guard(asked).await??;
    Ok(stream)
}

/// A name goes into a request line, a header field and a counted string as it is.
fn check(target: Target<'_>) -> io::Result<()> {
    let Target::Name(name, _) = target else { return Ok(()) };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(plain) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no host name"));
    }
    Ok(())
}

/// A conversation in which the proxy only ever answers.
struct Talk<'a> {
    stream: &'a Stream,
    received: BytesMut,
}

impl Talk<'_> {
    async fn say(&self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write(BytesMut::from(bytes)).await.0
    }

    /// Reads until `whole` says that the answer is, and how long it is. More than that is no answer.
    async fn hear(&mut self, whole: impl Fn(&[u8]) -> Option<usize>) -> io::Result<Vec<u8>> {
        self.received.clear();
        loop {
            let mut buffer = std::mem::take(&mut self.received);
            buffer.reserve(512);
            let (count, buffer) = self.stream.read(buffer).await;
            self.received = buffer;
            if count? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the proxy closed the connection"));
            }
            match whole(&self.received) {
                Some(length) if length == self.received.len() => return Ok(self.received.to_vec()),
                Some(_) => return Err(invalid("the proxy says more than it was asked")),
                None if self.received.len() > REPLY_BYTES_MAX => return Err(invalid("the proxy's reply has no end")),
                None => {}
            }
        }
    }
}

async fn http(mut talk: Talk<'_>, proxy: &Proxy, target: Target<'_>) -> io::Result<()> {
    let authority = match target {
        Target::Address(address) => address.to_string(),
        Target::Name(name, port) => format!("{name}:{port}"),
    };
    let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
    if let Some(username) = &proxy.username {
        let password = proxy.password.as_deref().unwrap_or_default();
        request.push_str("Proxy-Authorization: Basic ");
        request.push_str(&base64(format!("{username}:{password}").as_bytes()));
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    talk.say(request.as_bytes()).await?;
    let reply = talk.hear(head_end).await?;
    // "HTTP/1.1 200 OK": the version's digit and the reason may be anything.
    let status = match &*reply {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0'..=b'9', b' ', code @ ..] => code.get(..3),
        _ => None,
    };
    match status {
        Some([b'2', b'0'..=b'9', b'0'..=b'9']) => Ok(()),
        Some(b"407") => Err(denied()),
        Some([b'1'..=b'5', b'0'..=b'9', b'0'..=b'9']) => {
            let line = reply.split(|byte| *byte == b'\r').next().unwrap_or_default();
            Err(refused(format!("the proxy says {}", String::from_utf8_lossy(line))))
        }
        _ => Err(invalid("the proxy does not speak HTTP/1")),
    }
}

/// Where an HTTP head ends. A proxy that says so in one line has no fields.
fn head_end(reply: &[u8]) -> Option<usize> {
    reply.windows(4).position(|window| window == b"\r\n\r\n").map(|start| start + 4)
}

async fn socks4(mut talk: Talk<'_>, proxy: &Proxy, target: Target<'_>) -> io::Result<()> {
    // | 4 | 1 connect | port, 2 | address, 4 | user | 0 |    4A: address 0.0.0.1 and, after the user, | name | 0 |
    let mut request = vec![4, 1];
    let (port, address, name) = match target {
        Target::Address(SocketAddr::V4(address)) => (address.port(), address.ip().octets(), None),
        Target::Address(SocketAddr::V6(_)) => {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "SOCKS4 knows no IPv6"));
        }
        Target::Name(name, port) => (port, [0, 0, 0, 1], Some(name)),
    };
    request.put_u16(port);
    request.extend_from_slice(&address);
    let user = proxy.username.as_deref().unwrap_or_default();
    if user.as_bytes().contains(&0) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a NUL in the user"));
    }
    request.extend_from_slice(user.as_bytes());
    request.push(0);
    if let Some(name) = name {
        request.extend_from_slice(name.as_bytes());
        request.push(0);
    }
    talk.say(&request).await?;
    // | 0 | code | port, 2 | address, 4 |
    let reply = talk.hear(|reply| (reply.len() >= 8).then_some(8)).await?;
    match (reply[0], reply[1]) {
        (0, 90) => Ok(()),
        (0, 91) => Err(refused("the proxy refuses".to_owned())),
        (0, 92 | 93) => Err(denied()),
        _ => Err(invalid("the proxy does not speak SOCKS4")),
    }
}

async fn socks5(mut talk: Talk<'_>, proxy: &Proxy, target: Target<'_>) -> io::Result<()> {
    const NONE: u8 = 0;
    const PASSWORD: u8 = 2;
    let greeting: &[u8] = if proxy.username.is_some() { &[5, 2, NONE, PASSWORD] } else { &[5, 1, NONE] };
    talk.say(greeting).await?;
    let chosen = talk.hear(|reply| (reply.len() >= 2).then_some(2)).await?;
    match (chosen[0], chosen[1], &proxy.username) {
        (5, NONE, _) => {}
        (5, PASSWORD, Some(username)) => {
            login(&mut talk, username, proxy.password.as_deref().unwrap_or_default()).await?
        }
        (5, 0xff, _) => return Err(denied()),
        _ => return Err(invalid("the proxy does not speak SOCKS5")),
    }

    // | 5 | 1 connect | 0 | type | address | port, 2 |
    let mut request = vec![5, 1, 0];
    let port = match target {
        Target::Address(address) => {
            match address.ip() {
                IpAddr::V4(ip) => {
                    request.push(1);
                    request.extend_from_slice(&ip.octets());
                }
                IpAddr::V6(ip) => {
                    request.push(4);
                    request.extend_from_slice(&ip.octets());
                }
            }
            address.port()
        }
        Target::Name(name, port) => {
            request.push(3);
            counted(&mut request, name)?;
            port
        }
    };
    request.put_u16(port);
    talk.say(&request).await?;
    let reply = talk.hear(reply_end).await?;
    match (reply[0], reply[1]) {
        (5, 0) => Ok(()),
        (5, 2) => Err(denied()),
        (5, code) => Err(refused(format!("the proxy refuses with code {code} (RFC 1928 section 6)"))),
        _ => Err(invalid("the proxy does not speak SOCKS5")),
    }
}

async fn login(talk: &mut Talk<'_>, username: &str, password: &str) -> io::Result<()> {
    let mut request = vec![1];
    counted(&mut request, username)?;
    counted(&mut request, password)?;
    talk.say(&request).await?;
    let reply = talk.hear(|reply| (reply.len() >= 2).then_some(2)).await?;
    if reply[1] == 0 { Ok(()) } else { Err(denied()) }
}

/// `| 5 | code | 0 | type | address | port, 2 |`, with an address of 4, 16, or 1 and as many as that says.
fn reply_end(reply: &[u8]) -> Option<usize> {
    let length = match reply {
        // A refusal may be cut short behind its code; it is one all the same.
        [version, code, ..] if *version != 5 || *code != 0 => return Some(reply.len()),
        [_, _, _, 1, ..] => 4 + 4 + 2,
        [_, _, _, 4, ..] => 4 + 16 + 2,
        [_, _, _, 3, count, ..] => 4 + 1 + usize::from(*count) + 2,
        [_, _, _, 3] => return None,
        [_, _, _, _, ..] => return Some(reply.len()),
        _ => return None,
    };
    (reply.len() >= length).then_some(length)
}

/// A string behind a byte that counts it.
fn counted(request: &mut Vec<u8>, text: &str) -> io::Result<()> {
    let count = u8::try_from(text.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "too long for SOCKS5 (255 bytes)"))?;
    request.push(count);
    request.extend_from_slice(text.as_bytes());
    Ok(())
}

/// RFC 4648 section 4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let index = (bits >> (18 - 6 * place) & 63) as usize;
            text.push(if place <= group.len() { char::from(ALPHABET[index]) } else { '=' });
        }
    }
    text
}

fn denied() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, "the proxy does not accept the user")
}

fn refused(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionRefused, message)
}

fn invalid(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use super::base64;

    /// RFC 4648 section 10.
    #[test]
    fn base64_pads() {
        for (plain, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
        assert_eq!(base64(&[0xff, 0xef, 0xfe]), "/+/+");
    }
}
