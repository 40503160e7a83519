//! From the client library's messages to ours.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use ringway_contract::{Message, Position};

use super::cursor::Parts;
use super::native::{Failure, Record};

/// Payloads up to here are copied, all of a batch into one piece: a message that is held where it lies holds everything that was fetched
/// with it, a megabyte or more.
const COPIED_BYTES_MAX: usize = 4 * 1024;

/// Room for what is copied, of several batches: made at once, since a buffer that grows is moved again and again. It lives as long as the last
/// message in it, which is no longer than the feed's window is.
const PAGE_BYTES: usize = 64 * 1024;

/// Bytes by which Confluent's serializers name a schema: a zero, and its number.
const CONFLUENT_HEADER_BYTES: usize = 5;

/// A batch as it comes in.
pub struct Intake {
    parts: Parts,
    strips_header: bool,
    bytes: BytesMut,
    drafts: Vec<Draft>,
    failures: Vec<Failure>,
    /// Topic and partition of the last message, and their number. Only within a batch: what marks a topic may mean another one later.
    last: Option<(usize, i32, u32)>,
    /// What messages weighed on average in the last batch.
    weight: usize,
}

struct Draft {
    position: Position,
    timestamp_ms: u64,
    content: Content,
    key: Option<Range<usize>>,
    headers: Vec<(Range<usize>, Range<usize>)>,
}

enum Content {
    Copied(Range<usize>),
    Held(Bytes),
}

impl Intake {
    /// Nothing yet.
    pub fn new(parts: Parts, strips_header: bool) -> Self {
        const WEIGHT: usize = 1024;
        Self {
            parts,
            strips_header,
            bytes: BytesMut::with_capacity(PAGE_BYTES),
            drafts: Vec::new(),
            failures: Vec::new(),
            last: None,
            weight: WEIGHT,
        }
    }

    /// What a message weighs, as far as is known.
    pub fn weight(&self) -> usize {
        self.weight.max(1)
    }

    /// Takes one.
    pub fn add(&mut self, record: Record<'_>) {
        if record.error() != 0 {
            return self.failures.push(Failure { code: record.error(), words: record.words() });
        }
        let (mark, partition) = (record.topic_mark(), record.partition());
        let part = match self.last {
            Some((known, number, part)) if known == mark && number == partition => part,
            _ => self.parts.number(record.topic(), partition),
        };
        self.last = Some((mark, partition, part));
        let position = Position { part, offset: record.offset() };
        let timestamp_ms = record.timestamp_ms();
        let bytes = &mut self.bytes;
        let key = record.key().map(|key| copy(bytes, key));
        let mut headers = Vec::new();
        record.headers(|name, value| headers.push((copy(bytes, name), copy(bytes, value))));
        let payload = record.payload();
        let strips = self.strips_header && payload.len() >= CONFLUENT_HEADER_BYTES && payload.first() == Some(&0);
        let skip = if strips { CONFLUENT_HEADER_BYTES } else { 0 };
        let content = match payload.get(skip..) {
            Some(payload) if payload.len() <= COPIED_BYTES_MAX => Content::Copied(copy(bytes, payload)),
            _ => Content::Held(record.into_payload(skip)),
        };
        self.drafts.push(Draft { position, timestamp_ms, content, key, headers });
    }

    /// Puts the batch behind what is there. Failures that stood between its messages.
    pub fn finish(&mut self, out: &mut VecDeque<Message>) -> Vec<Failure> {
        self.last = None;
        if !self.drafts.is_empty() {
            let bytes = self.bytes.split().freeze();
            let (count, mut weight) = (self.drafts.len(), 0);
            for draft in self.drafts.drain(..) {
                let message = draft.message(&bytes);
                weight += message.weight();
                out.push_back(message);
            }
            self.weight = weight / count;
        }
        std::mem::take(&mut self.failures)
    }
}

fn copy(into: &mut BytesMut, bytes: &[u8]) -> Range<usize> {
    let start = into.len();
    into.extend_from_slice(bytes);
    start..into.len()
}

impl Draft {
    fn message(self, bytes: &Bytes) -> Message {
        Message {
            content: match self.content {
                Content::Copied(range) => bytes.slice(range),
                Content::Held(content) => content,
            },
            key: self.key.map(|range| bytes.slice(range)),
            headers: self.headers.into_iter().map(|(name, value)| (bytes.slice(name), bytes.slice(value))).collect(),
            timestamp_ms: self.timestamp_ms,
            position: self.position,
            ..Message::default()
        }
    }
}
