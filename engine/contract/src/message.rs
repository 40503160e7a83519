//! What message APIs carry.

use bytes::Bytes;

use crate::Attributes;

/// One event of a message API: what a broker stores, what a client receives or sends.
///
/// It crosses threads by ownership; a clone is for a second try elsewhere. Its payload stays where the broker's client library or the shard's buffer put it.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// The payload.
    pub content: Bytes,
    /// What the broker keeps together: messages of one key stay in order. Empty is a key, too.
    pub key: Option<Bytes>,
    /// Headers in their order; a name may repeat. Names are compared without case where HTTP is involved.
    pub headers: Vec<(Bytes, Bytes)>,
    /// What the broker says about it (topic, QoS, exchange, ...), besides what its [`Origin`](crate::Origin) can tell.
    pub metadata: Vec<(&'static str, Bytes)>,
    /// When it was made, in milliseconds since 1970; 0: not known.
    pub timestamp_ms: u64,
    /// Where it stands in what it came from.
    pub position: Position,
    /// Whether it tells of a failure instead of an event.
    pub is_error: bool,
    /// Context attributes of its own; most messages have none.
    pub attributes: Option<Box<Attributes>>,
}

/// Where a message stands in what it came from. What the numbers mean is its [`Origin`](crate::Origin)'s business: partition and offset,
/// channel and delivery tag, ...
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Position {
    /// The part, such as an index of partitions.
    pub part: u32,
    /// The place in the part.
    pub offset: i64,
}

/// What a message takes of a link's credit besides its bytes: an empty one takes memory, too.
const MESSAGE_BYTES: usize = 128;

impl Message {
    /// One with this payload.
    pub fn new(content: impl Into<Bytes>) -> Self {
        Self { content: content.into(), ..Self::default() }
    }

    /// Bytes that it takes of a link's credit.
    #[inline]
    pub fn weight(&self) -> usize {
        let key = self.key.as_ref().map_or(0, Bytes::len);
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        let metadata: usize = self.metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
        MESSAGE_BYTES + self.content.len() + key + headers + metadata
    }

    /// Sets a header, in the place of all of this name.
    pub fn set_header(&mut self, name: &str, value: impl Into<Bytes>) {
        self.remove_header(name);
        self.append_header(name, value);
    }

    /// Adds a header behind those that are there.
    pub fn append_header(&mut self, name: &str, value: impl Into<Bytes>) {
        self.headers.push((Bytes::copy_from_slice(name.as_bytes()), value.into()));
    }

    /// Removes all headers of this name, compared without case.
    pub fn remove_header(&mut self, name: &str) {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name.as_bytes()));
    }

    /// The first header of this name, compared without case.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| &**value)
    }
}
