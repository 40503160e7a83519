//! Ids of messages: how far a client has come, in every partition that it has seen a message of.
//!
//! ```text
//!   orders@0#17,2#4;payments@1#200        in base64, unless the definition says otherwise
//!   └topic┘ │ └offset └ the next partition of the topic
//!           └ partition
//! ```

use std::cell::RefCell;
use std::io::Write;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use ringway_contract::{Message, Origin};

use super::place::{Place, is_topic};

/// Longest id before it is encoded: base64 makes the contract's 4 KiB of it. Partitions that find no place in it are left out; a client
/// that comes back with it goes on where its group has come to there.
const TEXT_BYTES_MAX: usize = 3 * 1024;

/// Partitions in a cursor that is read.
const PLACES_MAX: usize = 1024;

/// Places behind which to go on.
///
/// # Errors
/// It is no cursor of this endpoint.
pub fn decode(cursor: &[u8], encoded: bool) -> Result<Vec<Place>, ()> {
    let text = match encoded {
        true => STANDARD.decode(cursor).map_err(|_| ())?,
        false => cursor.to_vec(),
    };
    if text.len() > TEXT_BYTES_MAX {
        return Err(());
    }
    let text = std::str::from_utf8(&text).map_err(|_| ())?;
    let mut places: Vec<Place> = Vec::new();
    for part in text.split(';') {
        let (topic, partitions) = part.split_once('@').filter(|(topic, _)| is_topic(topic)).ok_or(())?;
        let topic: Arc<str> = Arc::from(topic);
        for partition in partitions.split(',') {
            let (partition, offset) = partition.split_once('#').ok_or(())?;
            let (partition, offset) = (number(partition)?, number(offset)?);
            let place = Place::new(topic.clone(), i32::try_from(partition).map_err(|_| ())?, offset);
            if places.len() >= PLACES_MAX || places.iter().any(|known| known.is_beside(&place)) {
                return Err(());
            }
            places.push(place);
        }
    }
    Ok(places)
}

fn number(text: &str) -> Result<i64, ()> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain).ok_or(())
}

/// The partitions of a feed: what [`ringway_contract::Position::part`] counts. Grown by the consumer's thread, read by the shard.
#[derive(Clone, Default)]
pub struct Parts(Arc<Mutex<Vec<Part>>>);

/// A topic's name, and the number of one of its partitions.
type Part = (Arc<str>, i32);

impl Parts {
    /// The number of a partition, which is given one if it has none.
    pub fn number(&self, topic: &str, partition: i32) -> u32 {
        let mut parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = parts.iter().position(|(name, number)| *number == partition && **name == *topic);
        let at = known.unwrap_or_else(|| {
            let name = parts.iter().find(|(name, _)| **name == *topic).map(|(name, _)| name.clone());
            parts.push((name.unwrap_or_else(|| Arc::from(topic)), partition));
            parts.len() - 1
        });
        u32::try_from(at).unwrap_or(u32::MAX)
    }

    /// The partition of a number.
    pub fn get(&self, part: u32) -> Option<Part> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(part as usize).cloned()
    }
}

/// How far a feed has come.
pub struct Progress {
    parts: Parts,
    /// By the number of the part: topic, partition, offset of the last message; -1: there was none.
    known: Vec<(Arc<str>, i32, i64)>,
    /// The cursor that the feed began with: partitions that have not been heard of since stay where they were.
    began: Vec<Place>,
    encoded: bool,
    last: RefCell<Last>,
}

/// The last id. Messages come in rows of one partition, and the ids of a row differ in one number only.
#[derive(Default)]
struct Last {
    /// Whose it was; `None`: another partition has moved on since.
    part: Option<u32>,
    text: Vec<u8>,
    /// Where the offset stands in it.
    offset: Range<usize>,
    /// What stands before that, encoded as far as whole groups go; empty: not known.
    encoded: Vec<u8>,
}

/// Bytes that become [`ENCODED_BYTES`] characters of base64.
const GROUP_BYTES: usize = 3;
const ENCODED_BYTES: usize = 4;

impl Progress {
    /// At its beginning.
    pub fn new(parts: Parts, began: Vec<Place>, encoded: bool) -> Self {
        Self { parts, known: Vec::new(), began, encoded, last: RefCell::default() }
    }

    fn part(&self, message: &Message) -> Option<&(Arc<str>, i32, i64)> {
        self.known.get(message.position.part as usize)
    }

    fn write(&self, message: &Message, last: &mut Last) {
        let own = message.position.part as usize;
        let mut places: Vec<(&str, i32, i64)> = Vec::with_capacity(self.known.len() + self.began.len());
        places.extend(self.known.get(own).map(|(topic, partition, _)| (&**topic, *partition, message.position.offset)));
        let others = self.known.iter().enumerate().filter(|(at, (.., offset))| *at != own && *offset >= 0);
        places.extend(others.map(|(_, (topic, partition, offset))| (&**topic, *partition, *offset)));
        let heard = places.len();
        for place in &self.began {
            let known = places
                .iter()
                .take(heard)
                .any(|(topic, partition, _)| *partition == place.partition && *topic == &*place.topic);
            if !known {
                places.push((&place.topic, place.partition, place.offset));
            }
        }
        // What has to be left out is what stands last: never the message's own.
        let mut size = 0;
        places.retain(|(topic, ..)| {
            const NUMBERS: usize = 33;
            size += topic.len() + NUMBERS;
            size <= TEXT_BYTES_MAX
        });
        places.sort_unstable();
        let is_own = |topic: &str, partition: i32| {
            self.part(message).is_some_and(|(own, number, _)| **own == *topic && *number == partition)
        };
        let Last { part, text, offset: place, encoded } = last;
        (*part, *place) = (None, 0..0);
        text.clear();
        encoded.clear();
        let mut before = "";
        for (topic, partition, offset) in places {
            // A vector takes what it is given.
            let _ = if topic == before {
                write!(text, ",{partition}#")
            } else {
                let between = if text.is_empty() { "" } else { ";" };
                write!(text, "{between}{topic}@{partition}#")
            };
            let start = text.len();
            let _ = write!(text, "{offset}");
            if is_own(topic, partition) {
                (*part, *place) = (Some(message.position.part), start..text.len());
            }
            before = topic;
        }
    }

    /// Writes the text of `message` into `last`, whose own partition it was: only its offset changes.
    fn write_offset(message: &Message, last: &mut Last) {
        const DIGITS_MAX: usize = 20;
        let mut digits = [0; DIGITS_MAX];
        let mut at = DIGITS_MAX;
        let mut left = message.position.offset.unsigned_abs();
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (left % 10) as u8;
            left /= 10;
            at -= 1;
            if left == 0 {
                break;
            }
        }
        let digits = digits.get(at..).unwrap_or_default();
        match last.text.get_mut(last.offset.clone()) {
            Some(place) if place.len() == digits.len() => place.copy_from_slice(digits),
            _ => drop(last.text.splice(last.offset.clone(), digits.iter().copied())),
        }
        last.offset.end = last.offset.start + digits.len();
    }
}

impl Origin for Progress {
    fn passed(&mut self, message: &Message) {
        let at = message.position.part as usize;
        while self.known.len() <= at {
            let next = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
            let Some((topic, partition)) = self.parts.get(next) else { return };
            self.known.push((topic, partition, -1));
        }
        if let Some((.., offset)) = self.known.get_mut(at) {
            *offset = message.position.offset;
        }
        let last = self.last.get_mut();
        last.part = last.part.filter(|part| *part == message.position.part);
    }

    fn id(&self, message: &Message, out: &mut BytesMut) {
        let last = &mut *self.last.borrow_mut();
        if last.part == Some(message.position.part) && message.position.offset >= 0 {
            Self::write_offset(message, last);
        } else {
            self.write(message, last);
        }
        if !self.encoded {
            return out.extend_from_slice(&last.text);
        }
        let text = &*last.text;
        let whole = last.offset.start / GROUP_BYTES * GROUP_BYTES;
        let (before, rest) = text.split_at_checked(whole).unwrap_or((&[], text));
        if last.encoded.is_empty() {
            last.encoded.resize(before.len() / GROUP_BYTES * ENCODED_BYTES, 0);
            // It is as long as the bytes ask for, here and below.
            let _ = STANDARD.encode_slice(before, &mut last.encoded);
        }
        out.extend_from_slice(&last.encoded);
        let start = out.len();
        out.resize(start + rest.len().div_ceil(GROUP_BYTES) * ENCODED_BYTES, 0);
        let _ = STANDARD.encode_slice(rest, out.get_mut(start..).unwrap_or_default());
    }

    fn metadata(&self, message: &Message, each: &mut dyn FnMut(&str, &[u8])) {
        if let Some(key) = &message.key {
            each("key", key);
        }
        let Some((topic, partition, _)) = self.part(message) else { return };
        each("topic", topic.as_bytes());
        each("partition", partition.to_string().as_bytes());
        each("offset", message.position.offset.to_string().as_bytes());
        if message.timestamp_ms > 0 {
            each("timestamp", message.timestamp_ms.to_string().as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use ringway_contract::Position;

    use super::*;

    fn message(parts: &Parts, topic: &str, partition: i32, offset: i64) -> Message {
        let part = parts.number(topic, partition);
        Message { position: Position { part, offset }, ..Message::new("x") }
    }

    fn id(progress: &Progress, message: &Message) -> String {
        let mut out = BytesMut::new();
        progress.id(message, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn an_id_tells_how_far_every_partition_was_read() {
        let parts = Parts::default();
        let began = decode(b"a@7#3,0#1", false).unwrap();
        let mut progress = Progress::new(parts.clone(), began.clone(), false);
        let mut encoded = Progress::new(parts.clone(), began, true);
        let table = [
            (("b", 1, 5), "a@0#1,7#3;b@1#5"),
            (("a", 0, 9), "a@0#9,7#3;b@1#5"),
            (("b", 0, 0), "a@0#9,7#3;b@0#0,1#5"),
            (("b", 1, 6), "a@0#9,7#3;b@0#0,1#6"),
            (("b", 1, 99), "a@0#9,7#3;b@0#0,1#99"),
            (("b", 1, 1_000), "a@0#9,7#3;b@0#0,1#1000"),
            (("b", 1, 7), "a@0#9,7#3;b@0#0,1#7"),
            (("a", 7, 10), "a@0#9,7#10;b@0#0,1#7"),
            (("a", 7, 1_234), "a@0#9,7#1234;b@0#0,1#7"),
        ];
        for ((topic, partition, offset), wanted) in table {
            let message = message(&parts, topic, partition, offset);
            progress.passed(&message);
            assert_eq!(id(&progress, &message), wanted);
            encoded.passed(&message);
            assert_eq!(id(&encoded, &message), STANDARD.encode(wanted));
        }
    }

    #[test]
    fn an_id_is_read_back_in_either_form() {
        let text = "orders@0#17,2#4;payments@1#200";
        let places = decode(text.as_bytes(), false).unwrap();
        assert_eq!(places, decode(STANDARD.encode(text).as_bytes(), true).unwrap());
        let shown: Vec<_> = places.iter().map(|place| (&*place.topic, place.partition, place.offset)).collect();
        assert_eq!(shown, [("orders", 0, 17), ("orders", 2, 4), ("payments", 1, 200)]);
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        let long = format!("a@{}", (0..2_000).map(|at| format!("{at}#1")).collect::<Vec<_>>().join(","));
        let table = [
            "",
            "a",
            "a@",
            "a@0",
            "a@0#",
            "a@#1",
            "a@0#x",
            "a@-1#1",
            "a@0#-1",
            "a@0#+1",
            "a@0#1;",
            "a@0#1,",
            ";a@0#1",
            "a@0#1,0#2",
            "a@0#1;a@0#1",
            "a b@0#1",
            "@0#1",
            "a@0#99999999999999999999",
            "a@4294967296#1",
            "a@0#1\r\nb: c",
            &long,
        ];
        for text in table {
            assert_eq!(decode(text.as_bytes(), false), Err(()), "{text:?}");
            assert_eq!(decode(STANDARD.encode(text).as_bytes(), true), Err(()), "{text:?}");
        }
        assert_eq!(decode(b"a@0#1", true), Err(()), "not base64");
        assert_eq!(decode(&[0xff; 40], false), Err(()));
    }

    #[test]
    fn the_id_of_a_thousand_partitions_stays_short_and_holds_its_own_message() {
        let parts = Parts::default();
        let mut progress = Progress::new(parts.clone(), Vec::new(), true);
        for partition in 0..1_000 {
            let message = message(&parts, "a-topic-with-a-rather-long-name", partition, i64::MAX - 1);
            progress.passed(&message);
            let id = id(&progress, &message);
            assert!(id.len() <= 4 * 1024, "{}", id.len());
            let places = decode(id.as_bytes(), true).unwrap();
            assert!(places.iter().any(|place| place.partition == partition));
        }
    }
}
