//! Topics and places in them, as texts and numbers.

use std::sync::Arc;

/// Longest name of a topic that brokers take.
const TOPIC_BYTES_MAX: usize = 249;

/// Whether brokers take it for the name of a topic.
pub fn is_topic(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !name.is_empty() && name.len() <= TOPIC_BYTES_MAX && name != "." && name != ".." && name.bytes().all(plain)
}

/// A place in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// Offset of a message, or one of the client library's numbers for others.
    pub offset: i64,
    /// What a call says of this partition; 0: nothing.
    pub error: i32,
}

impl Place {
    /// A place.
    pub fn new(topic: Arc<str>, partition: i32, offset: i64) -> Self {
        Self { topic, partition, offset, error: 0 }
    }

    /// Whether both are of one partition.
    pub fn is_beside(&self, other: &Self) -> bool {
        self.partition == other.partition && self.topic == other.topic
    }
}
