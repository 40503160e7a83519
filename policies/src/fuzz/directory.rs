//! What fuzzers call: a directory that answers whatever it likes, and names and filters that are what they like.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use ringway_contract::dial::{Dialling, Reading, Writing};
use ringway_contract::{ByteStream, Remote};

use super::halves;
use crate::basic_authentication::directory::ber::{self, Reader};
use crate::basic_authentication::directory::connection::{Code, Connection, Entry, Search};
use crate::basic_authentication::directory::filter::Filter;

/// Entries that are asked for.
const ENTRIES_MAX: u32 = 2;
/// A name that no filter has.
const MARK: &str = "\u{1}a name that stands in no filter\u{2}";

/// A directory that says this, in pieces, whatever it is asked.
struct Saying {
    rest: RefCell<BytesMut>,
    piece: usize,
}

impl ByteStream for Saying {
    fn read(&self, mut buffer: BytesMut) -> Reading<'_> {
        let mut rest = self.rest.borrow_mut();
        let room = buffer.capacity() - buffer.len();
        let count = rest.len().min(self.piece).min(room);
        buffer.extend_from_slice(&rest.split_to(count));
        Box::pin(std::future::ready((Ok(count), buffer)))
    }

    fn write(&self, _: BytesMut) -> Writing<'_> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn secured(self: Rc<Self>, _: &Remote) -> Dialling {
        Box::pin(std::future::ready(Err(io::ErrorKind::Unsupported.into())))
    }
}

/// Nothing here waits for anything.
fn done<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("it waits"),
    }
}

/// What a directory that says this is understood as having said to two logins and two searches.
fn heard(answers: &[u8], piece: usize) -> (Vec<Code>, Vec<Entry>, Option<io::ErrorKind>) {
    let mut connection = Connection::new(Rc::new(Saying { rest: RefCell::new(answers.into()), piece }));
    let (mut codes, mut entries) = (Vec::new(), Vec::new());
    let attributes = ["cn".to_owned()];
    let filter = &[0x87, 1, b'a'];
    let conversation = async {
        for _ in 0..2 {
            codes.push(connection.bind("cn=reader", "secret").await?);
            let search = Search { base: "dc=x", filter, attributes: &attributes, entries_max: ENTRIES_MAX, limit_s: 1 };
            let (code, found) = connection.search(&search).await?;
            assert!(found.len() <= ENTRIES_MAX as usize, "{} entries", found.len());
            codes.push(code);
            entries.extend(found);
        }
        Ok::<_, io::Error>(())
    };
    let error = done(conversation).err().map(|error| error.kind());
    (codes, entries, error)
}

/// What a message of a filter consists of: tags, what lies in them, and the values.
#[derive(Debug, PartialEq, Eq)]
enum Shape {
    Value(u8, Vec<u8>),
    Holds(u8, Vec<Shape>),
}

fn shapes(bytes: &[u8]) -> Vec<Shape> {
    let (mut reader, mut shapes) = (Reader(bytes), Vec::new());
    while let Some((tag, content)) = reader.next() {
        shapes.push(match tag & 0x20 {
            0 => Shape::Value(tag, content.to_vec()),
            _ => Shape::Holds(tag, self::shapes(content)),
        });
    }
    assert!(reader.0.is_empty(), "what is written is read");
    shapes
}

/// The same with a name in the place of [`MARK`].
fn named(shapes: Vec<Shape>, name: &[u8]) -> Vec<Shape> {
    let put = |content: Vec<u8>| {
        let mut out = Vec::new();
        let mut rest = &*content;
        while let Some(at) = rest.windows(MARK.len()).position(|window| window == MARK.as_bytes()) {
            out.extend_from_slice(&rest[..at]);
            out.extend_from_slice(name);
            rest = &rest[at + MARK.len()..];
        }
        out.extend_from_slice(rest);
        out
    };
    let shape = |shape| match shape {
        Shape::Value(tag, content) => Shape::Value(tag, put(content)),
        Shape::Holds(tag, within) => Shape::Holds(tag, named(within, name)),
    };
    shapes.into_iter().map(shape).collect()
}

fn written(filter: &Filter, name: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    filter.write(&mut out, name);
    assert_eq!(ber::measure(&out, out.len()), Ok(Some(out.len())), "it is one element");
    out
}

/// A name in a filter as RFC 4515 section 3 has it, and all else that could mean something.
fn escaped(name: &[u8]) -> String {
    name.iter()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(*byte).into() } else { format!("\\{byte:02x}") })
        .collect()
}

/// The name is the value that it is, and no part of the filter.
fn filters(filter: &[u8], name: &[u8]) {
    let plain = Filter::parse("(uid={0})").expect("a filter");
    let spelled = Filter::parse(&format!("(uid={})", escaped(name))).expect("what is escaped is a value");
    if !name.is_empty() {
        assert_eq!(written(&plain, name), written(&spelled, b"another"), "{}", name.escape_ascii());
    }
    let Ok(text) = std::str::from_utf8(filter) else { return };
    let Ok(filter) = Filter::parse(text) else { return };
    if text.contains(MARK) || !filter.has_place() {
        assert_eq!(filter.has_place(), written(&filter, b"") != written(&filter, MARK.as_bytes()), "{text}");
        return;
    }
    let with_name = shapes(&written(&filter, name));
    assert_eq!(with_name, named(shapes(&written(&filter, MARK.as_bytes())), name), "{text}");
}

/// Answers of a directory; and a filter, and a name behind a zero.
pub fn directory(data: &[u8]) {
    let whole = heard(data, usize::MAX);
    assert_eq!(heard(data, data.len() % 61 + 2), whole, "in pieces");
    assert_eq!(heard(data, 1), whole, "byte by byte");
    let (filter, name) = halves(data);
    filters(filter, name);
}
