//! From the client library's messages to ours.

use bytes::{Bytes, BytesMut};
use ringway_contract::{Message, Position};

use super::cursor::Parts;
use super::native::{Failure, Record};

/// Payloads up to here are copied, one behind the other into a page: a message that is held where it lies holds everything that was fetched
/// with it, a megabyte or more.
const COPIED_BYTES_MAX: usize = 4 * 1024;

/// Size of a page. It lives as long as the last message in it, which is no longer than the feed's window is.
const PAGE_BYTES: usize = 64 * 1024;

/// Bytes by which Confluent's serializers name a schema: a zero, and its number.
const CONFLUENT_HEADER_BYTES: usize = 5;

/// Makes messages of what is polled.
pub struct Intake {
    parts: Parts,
    strips_header: bool,
    /// Where the next bytes are copied to.
    page: BytesMut,
    failures: Vec<Failure>,
    /// Topic and partition of the last message, and their number. Only within a batch: what marks a topic may mean another one later.
    last: Option<(usize, i32, u32)>,
    /// Messages of this batch, and what they weigh together.
    batch: (usize, usize),
    /// What messages weighed on average in the last batch.
    weight: usize,
}

impl Intake {
    /// Nothing yet.
    pub fn new(parts: Parts, strips_header: bool) -> Self {
        const WEIGHT: usize = 1024;
        Self {
            parts,
            strips_header,
            page: BytesMut::with_capacity(PAGE_BYTES),
            failures: Vec::new(),
            last: None,
            batch: (0, 0),
            weight: WEIGHT,
        }
    }

    /// What a message weighs, as far as is known.
    pub fn weight(&self) -> usize {
        self.weight.max(1)
    }

    /// A failure stands in the place of a message; [`Intake::finish`] tells it.
    pub fn failure(&mut self, record: &Record<'_>) {
        self.failures.push(Failure { code: record.error(), words: record.words() });
    }

    /// The message of a record that is no failure.
    #[inline(always)]
    pub fn message(&mut self, record: Record<'_>) -> Message {
        let (mark, partition) = (record.topic_mark(), record.partition());
        let part = match self.last {
            Some((known, number, part)) if known == mark && number == partition => part,
            _ => self.parts.number(record.topic(), partition),
        };
        self.last = Some((mark, partition, part));
        let position = Position { part, offset: record.offset() };
        let timestamp_ms = record.timestamp_ms();
        let page = &mut self.page;
        let key = record.key().map(|key| copy(page, key));
        let mut headers = Vec::new();
        record.headers(|name, value| headers.push((copy(page, name), copy(page, value))));
        let payload = record.payload();
        let strips = self.strips_header && payload.len() >= CONFLUENT_HEADER_BYTES && payload.first() == Some(&0);
        let skip = if strips { CONFLUENT_HEADER_BYTES } else { 0 };
        let content = match payload.get(skip..) {
            Some(payload) if payload.len() <= COPIED_BYTES_MAX => copy(page, payload),
            _ => record.into_payload(skip),
        };
        let message = Message { content, key, headers, timestamp_ms, position, ..Message::default() };
        self.batch = (self.batch.0 + 1, self.batch.1 + message.weight());
        message
    }

    /// Ends a batch. Failures that stood between its messages.
    pub fn finish(&mut self) -> Vec<Failure> {
        self.last = None;
        let (count, weight) = std::mem::take(&mut self.batch);
        if let Some(weight) = weight.checked_div(count) {
            self.weight = weight;
        }
        std::mem::take(&mut self.failures)
    }
}

/// A copy in the page, or in a fresh one where this has no room.
fn copy(page: &mut BytesMut, bytes: &[u8]) -> Bytes {
    if bytes.is_empty() {
        return Bytes::new();
    }
    page.extend_from_slice(bytes);
    page.split().freeze()
}
