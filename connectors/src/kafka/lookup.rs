//! What topics and partitions there are.

use std::sync::Arc;

use regex::Regex;

use super::native::{Consumer, Failure, Place};

/// The topics whose whole name fits.
///
/// # Errors
/// No broker answered in time.
pub fn fitting(consumer: &Consumer, pattern: &Regex, within_ms: i32) -> Result<Vec<Arc<str>>, Failure> {
    let mut topics = consumer.topics(within_ms)?;
    // Brokers' own topics are nobody's business.
    topics.retain(|topic| pattern.is_match(topic) && !topic.starts_with("__"));
    Ok(topics)
}

/// Every partition of these topics.
///
/// # Errors
/// A topic is not there, or no broker answered in time.
pub fn partitions(consumer: &Consumer, topics: &[Arc<str>], within_ms: i32) -> Result<Vec<Place>, Failure> {
    let mut places = Vec::new();
    for topic in topics {
        let partitions = consumer.partitions(topic, within_ms)?;
        places.extend(partitions.into_iter().map(|partition| Place::new(topic.clone(), partition, Place::UNKNOWN)));
    }
    Ok(places)
}
