//! One connection to a directory (RFC 4511): one operation at a time.

use std::io;
use std::rc::Rc;

use bytes::BytesMut;
use ringway_contract::{ByteStream, Remote};

use super::ber::{self, BOOLEAN, ENUMERATED, INTEGER, OCTETS, Reader, SEQUENCE, nest, number, put};

/// Bytes of one message of the directory.
const MESSAGE_BYTES_MAX: usize = 256 * 1024;
/// Messages that answer one search.
const ANSWERS_MAX: usize = 64;
/// Values of one attribute that are kept.
const VALUES_MAX: usize = 256;
const READ_BYTES: usize = 4096;

const BIND: u8 = 0x60;
const BOUND: u8 = 0x61;
const SEARCH: u8 = 0x63;
const ENTRY: u8 = 0x64;
const DONE: u8 = 0x65;
const REFERENCE: u8 = 0x73;
const EXTENDED: u8 = 0x77;
const EXTENSION: u8 = 0x78;
/// Of an extended operation.
const REQUEST_NAME: u8 = 0x80;
const START_TLS: &[u8] = b"1.3.6.1.4.1.1466.20037";
/// A password in clear.
const SIMPLE: u8 = 0x80;
/// The whole subtree.
const SUBTREE: u32 = 2;
const ALWAYS_FOLLOW_ALIASES: u32 = 3;

/// How an operation ended (RFC 4511 appendix A).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(pub u32);

impl Code {
    /// It did.
    pub const SUCCESS: Self = Self(0);
    /// More was found than was asked for.
    pub const SIZE_LIMIT_EXCEEDED: Self = Self(4);
    /// Where it was to look, there is nothing.
    pub const NO_SUCH_OBJECT: Self = Self(32);

    /// Whether the directory will not let this user in, rather than cannot.
    pub fn refuses(self) -> bool {
        // constraintViolation, noSuchObject, inappropriateAuthentication, invalidCredentials, insufficientAccessRights, unwillingToPerform.
        matches!(self.0, 19 | 32 | 48 | 49 | 50 | 53)
    }
}

/// An entry.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its distinguished name.
    pub name: String,
    /// Its attributes that were asked for, with their values.
    pub attributes: Vec<(String, Vec<String>)>,
}

/// What is searched.
pub struct Search<'a> {
    /// Where.
    pub base: &'a str,
    /// The filter, as a message has it.
    pub filter: &'a [u8],
    /// Attributes that are wanted.
    pub attributes: &'a [String],
    /// Entries at most.
    pub entries_max: u32,
    /// Seconds that the directory may take.
    pub limit_s: u32,
}

/// A connection.
pub struct Connection {
    stream: Rc<dyn ByteStream>,
    buffer: BytesMut,
    last: u32,
}

impl Connection {
    pub fn new(stream: Rc<dyn ByteStream>) -> Self {
        Self { stream, buffer: BytesMut::new(), last: 0 }
    }

    /// Begins TLS (RFC 4511 section 4.14).
    ///
    /// # Errors
    /// The directory does not, or says something before that nothing protects; or as [`bind`](Self::bind).
    pub async fn start_tls(mut self, remote: &Remote) -> io::Result<Self> {
        let sent = self.send(EXTENDED, |out| put(out, REQUEST_NAME, START_TLS));
        sent.await?;
        match self.receive().await? {
            (EXTENSION, Code::SUCCESS, _) if self.buffer.is_empty() => {}
            (EXTENSION, Code(code), _) if code != 0 => {
                return Err(io::Error::other(format!("the directory does not begin TLS: {code}")));
            }
            _ => return Err(malformed()),
        }
        let Self { stream, buffer, last } = self;
        Ok(Self { stream: stream.secured(remote).await?, buffer, last })
    }

    /// Is from here on whom this name and password are of, or nobody.
    ///
    /// # Errors
    /// The connection is gone, or what is at its other end does not speak LDAP.
    pub async fn bind(&mut self, name: &str, password: &str) -> io::Result<Code> {
        let sent = self.send(BIND, |out| {
            number(out, INTEGER, 3);
            put(out, OCTETS, name.as_bytes());
            put(out, SIMPLE, password.as_bytes());
        });
        sent.await?;
        match self.receive().await? {
            (BOUND, code, _) => Ok(code),
            _ => Err(malformed()),
        }
    }

    /// What is found; not more than was asked for.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub async fn search(&mut self, search: &Search<'_>) -> io::Result<(Code, Vec<Entry>)> {
        let sent = self.send(SEARCH, |out| {
            put(out, OCTETS, search.base.as_bytes());
            number(out, ENUMERATED, SUBTREE);
            number(out, ENUMERATED, ALWAYS_FOLLOW_ALIASES);
            number(out, INTEGER, search.entries_max);
            number(out, INTEGER, search.limit_s);
            put(out, BOOLEAN, &[0]);
            out.extend_from_slice(search.filter);
            nest(out, SEQUENCE, |out| {
                // `1.1`: none (RFC 4511 section 4.5.1.8).
                let none = search.attributes.is_empty().then_some("1.1");
                let names = search.attributes.iter().map(String::as_str).chain(none);
                names.for_each(|name| put(out, OCTETS, name.as_bytes()));
            });
        });
        sent.await?;
        let mut entries = Vec::new();
        for _ in 0..ANSWERS_MAX {
            match self.receive().await? {
                (DONE, code, _) => return Ok((code, entries)),
                (ENTRY, _, Some(entry)) if entries.len() < search.entries_max as usize => entries.push(entry),
                // Elsewhere is not looked.
                (REFERENCE, ..) => {}
                _ => return Err(malformed()),
            }
        }
        Err(malformed())
    }

    async fn send(&mut self, operation: u8, fill: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        self.last = (self.last + 1) & i32::MAX as u32;
        let mut out = Vec::new();
        nest(&mut out, SEQUENCE, |out| {
            number(out, INTEGER, self.last);
            nest(out, operation, fill);
        });
        self.stream.write(BytesMut::from(&*out)).await
    }

    /// The next message that answers the last one sent: its kind, how the operation ended, and the entry.
    async fn receive(&mut self) -> io::Result<(u8, Code, Option<Entry>)> {
        let length = loop {
            if let Some(length) = ber::measure(&self.buffer, MESSAGE_BYTES_MAX).map_err(io::Error::other)? {
                break length;
            }
            let mut buffer = std::mem::take(&mut self.buffer);
            buffer.reserve(READ_BYTES);
            let (count, buffer) = self.stream.read(buffer).await;
            self.buffer = buffer;
            if count? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        let message = self.buffer.split_to(length);
        read(&message)
            .filter(|(id, ..)| *id == self.last)
            .map(|(_, kind, code, entry)| (kind, code, entry))
            .ok_or_else(malformed)
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the directory does not answer as LDAP does")
}

/// A message: its number, its kind, how the operation ended (of a result), and the entry (of an entry).
fn read(message: &[u8]) -> Option<(u32, u8, Code, Option<Entry>)> {
    let mut outer = Reader(Reader(message).expect(SEQUENCE)?);
    let id = outer.number(INTEGER)?;
    let (kind, content) = outer.next()?;
    let mut inner = Reader(content);
    Some(match kind {
        BOUND | DONE | EXTENSION => (id, kind, Code(inner.number(ENUMERATED)?), None),
        ENTRY => (id, kind, Code::SUCCESS, Some(entry(inner)?)),
        _ => (id, kind, Code::SUCCESS, None),
    })
}

fn entry(mut inner: Reader<'_>) -> Option<Entry> {
    let name = String::from_utf8(inner.expect(OCTETS)?.to_vec()).ok()?;
    let (mut list, mut attributes) = (Reader(inner.expect(SEQUENCE)?), Vec::new());
    while let Some((SEQUENCE, attribute)) = list.next() {
        let mut attribute = Reader(attribute);
        let kind = String::from_utf8_lossy(attribute.expect(OCTETS)?).into_owned();
        let (_, set) = attribute.next()?;
        let mut values = Reader(set);
        let values = std::iter::from_fn(|| values.expect(OCTETS)).take(VALUES_MAX);
        attributes.push((kind, values.map(|value| String::from_utf8_lossy(value).into_owned()).collect()));
    }
    Some(Entry { name, attributes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        nest(&mut out, SEQUENCE, |out| {
            number(out, INTEGER, 7);
            nest(out, kind, fill);
        });
        out
    }

    #[test]
    fn messages_are_read_and_others_are_not() {
        let bound = message(BOUND, |out| {
            number(out, ENUMERATED, 49);
            put(out, OCTETS, b"");
            put(out, OCTETS, b"no");
        });
        assert_eq!(read(&bound), Some((7, BOUND, Code(49), None)));
        let entry = message(ENTRY, |out| {
            put(out, OCTETS, b"uid=ada,dc=x");
            nest(out, SEQUENCE, |out| {
                nest(out, SEQUENCE, |out| {
                    put(out, OCTETS, b"cn");
                    nest(out, 0x31, |out| put(out, OCTETS, b"Ada"));
                });
            });
        });
        let wanted = Entry { name: "uid=ada,dc=x".into(), attributes: vec![("cn".into(), vec!["Ada".into()])] };
        assert_eq!(read(&entry), Some((7, ENTRY, Code::SUCCESS, Some(wanted))));
        // Whatever is changed in a message, it is read or refused.
        for whole in [bound, entry] {
            for at in 0..whole.len() {
                for value in [0, 1, 0x7f, 0x80, 0x84, 0xff] {
                    let mut other = whole.clone();
                    other[at] = value;
                    let _ = read(&other);
                    let _ = read(&other[..at]);
                }
            }
        }
    }
}
