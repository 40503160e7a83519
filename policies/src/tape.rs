//! Bodies, read with simd-json: all of the text becomes a tape of tokens at once, from which a tree is built.
//!
//! simd-json is the fast way, not the judge: what it refuses goes to the strict reader, which knows the place and also numbers that fit
//! no machine word. What it accepts, the strict reader accepts, too (`fuzz/fuzz_targets/json.rs` holds them against each other).

use std::cell::RefCell;
use std::slice::Iter;

use simd_json::{Buffers, Node, StaticNode};

use crate::json::{DEPTH_MAX, Object, Value, number_length};

/// Bodies shorter than this are left to the strict reader: up to 400 bytes simd-json was 0.8 to 1.2 times as fast.
const LENGTH_MIN: usize = 512;
/// Bytes of a body's copy that are kept for the next body, per thread. Buffers that grew beyond it are given back.
const KEPT_MAX: usize = 256 * 1024;

/// What is used again for the next body.
struct Scratch {
    /// simd-json resolves escapes in place: the body is copied once.
    text: Vec<u8>,
    buffers: Buffers,
}

impl Scratch {
    fn new() -> Self {
        Self { text: Vec::new(), buffers: Buffers::with_max_depth(0, DEPTH_MAX) }
    }
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::new());
}

/// A tree that is built from a tape.
pub trait Tree: Sized {
    /// Members of an object, of which the last of one name counts.
    type Members: Default;
    /// `null`, a boolean or a number; `digits` gives the number as it is written.
    fn leaf<'a>(node: StaticNode, digits: impl FnOnce() -> Option<&'a str>) -> Option<Self>;
    /// A string.
    fn string(text: &str) -> Self;
    /// An array.
    fn array(items: Vec<Self>) -> Self;
    /// Puts a member into an object.
    fn insert(members: &mut Self::Members, name: &str, value: Self);
    /// An object.
    fn object(members: Self::Members) -> Self;
}

/// A text as a tree of at most `depth_max` levels (and [`DEPTH_MAX`]); `None` leaves it to the strict reader.
pub fn read<T: Tree>(text: &[u8], depth_max: usize) -> Option<T> {
    if text.len() < LENGTH_MIN {
        return None;
    }
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.text.clear();
        scratch.text.extend_from_slice(text);
        let tape = simd_json::to_tape_with_buffers(&mut scratch.text, &mut scratch.buffers);
        let tree = tape.ok().and_then(|tape| {
            let mut numbers = Numbers { text, at: 0, met: 0, wanted: 0 };
            build(&mut tape.0.iter(), &mut numbers, depth_max.min(DEPTH_MAX))
        });
        if scratch.text.capacity() > KEPT_MAX {
            *scratch = Scratch::new();
        }
        tree
    })
}

/// Recursive, at most `levels` deep.
fn build<'a, T: Tree>(nodes: &mut Iter<'_, Node<'_>>, numbers: &mut Numbers<'a>, levels: usize) -> Option<T> {
    Some(match *nodes.next()? {
        Node::Static(node) => {
            if matches!(node, StaticNode::I64(_) | StaticNode::U64(_) | StaticNode::F64(_)) {
                numbers.wanted += 1;
            }
            T::leaf(node, || numbers.digits())?
        }
        Node::String(text) => T::string(text),
        Node::Array { len, .. } => {
            let levels = levels.checked_sub(1)?;
            // As many as the text has: no more than half its bytes.
            let mut items = Vec::with_capacity(len);
            for _ in 0..len {
                items.push(build(nodes, numbers, levels)?);
            }
            T::array(items)
        }
        Node::Object { len, .. } => {
            let levels = levels.checked_sub(1)?;
            let mut members = T::Members::default();
            for _ in 0..len {
                let Node::String(name) = *nodes.next()? else { return None };
                T::insert(&mut members, name, build(nodes, numbers, levels)?);
            }
            T::object(members)
        }
    })
}

/// The numbers of a text that is JSON: a tape does not say where they stand. Only as far into the text as one is asked for.
struct Numbers<'a> {
    text: &'a [u8],
    at: usize,
    /// Numbers before `at`.
    met: usize,
    /// Numbers of the tape so far.
    wanted: usize,
}

impl<'a> Numbers<'a> {
    /// The number that the tape came by last.
    fn digits(&mut self) -> Option<&'a str> {
        loop {
            match *self.text.get(self.at)? {
                b'"' => self.skip_string()?,
                b'-' | b'0'..=b'9' => {
                    let length = number_length(self.text.get(self.at..)?)?;
                    let digits = self.text.get(self.at..self.at + length)?;
                    self.at += length;
                    self.met += 1;
                    if self.met == self.wanted {
                        return std::str::from_utf8(digits).ok();
                    }
                }
                _ => self.at += 1,
            }
        }
    }

    /// At an opening quote; behind the closing one afterwards.
    fn skip_string(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            match *self.text.get(self.at)? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Some(())
    }
}

impl Tree for Value {
    type Members = Object;

    fn leaf<'a>(node: StaticNode, digits: impl FnOnce() -> Option<&'a str>) -> Option<Self> {
        Some(match node {
            StaticNode::Null => Self::Null,
            StaticNode::Bool(value) => Self::Bool(value),
            StaticNode::U64(number) => Self::Number(number.to_string().into()),
            // JSON writes a whole number in one way only, but for `-0`.
            StaticNode::I64(number) if number != 0 => Self::Number(number.to_string().into()),
            _ => Self::Number(digits()?.into()),
        })
    }

    fn string(text: &str) -> Self {
        Self::String(text.to_owned())
    }

    fn array(items: Vec<Self>) -> Self {
        Self::Array(items)
    }

    fn insert(members: &mut Object, name: &str, value: Self) {
        members.insert(name.to_owned(), value);
    }

    fn object(members: Object) -> Self {
        Self::Object(members)
    }
}

impl Tree for serde_json::Value {
    type Members = serde_json::Map<String, Self>;

    fn leaf<'a>(node: StaticNode, _: impl FnOnce() -> Option<&'a str>) -> Option<Self> {
        Some(match node {
            StaticNode::Null => Self::Null,
            StaticNode::Bool(value) => Self::Bool(value),
            StaticNode::U64(number) => number.into(),
            StaticNode::I64(0) => (-0.0).into(),
            StaticNode::I64(number) => number.into(),
            StaticNode::F64(number) => Self::Number(serde_json::Number::from_f64(number)?),
        })
    }

    fn string(text: &str) -> Self {
        Self::String(text.to_owned())
    }

    fn array(items: Vec<Self>) -> Self {
        Self::Array(items)
    }

    fn insert(members: &mut Self::Members, name: &str, value: Self) {
        members.insert(name.to_owned(), value);
    }

    fn object(members: Self::Members) -> Self {
        Self::Object(members)
    }
}
