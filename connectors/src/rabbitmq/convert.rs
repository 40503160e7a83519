//! Messages to AMQP 0-9-1 and back.

use bytes::Bytes;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use lapin::{BasicProperties, protocol};
use ringway_contract::{Message, Position};
use serde_json::{Value, json};

/// Bytes of the properties and headers of a message that is published. They have to fit into one frame (section 4.2.6.1), and brokers
/// close the connection of who sends more than their frames hold (RabbitMQ: 128 KiB).
pub const HEADERS_BYTES_MAX: usize = 64 * 1024;

/// Tables in tables that are read; what is deeper is left out.
const DEPTH_MAX: usize = 8;

/// The message of a delivery. Its position is the channel's number and the delivery tag.
pub fn received(delivery: Delivery, channel: u32) -> Message {
    let Delivery { delivery_tag, exchange, routing_key, redelivered, properties, data, .. } = delivery;
    let headers = properties.headers().as_ref().map(headers).unwrap_or_default();
    let mut metadata = vec![
        ("exchange", short(&exchange)),
        ("routingKey", short(&routing_key)),
        ("redelivered", Bytes::from_static(if redelivered { b"true" } else { b"false" })),
    ];
    let texts = [
        ("contentType", properties.content_type()),
        ("contentEncoding", properties.content_encoding()),
        ("correlationId", properties.correlation_id()),
        ("replyTo", properties.reply_to()),
        ("expiration", properties.expiration()),
        ("messageId", properties.message_id()),
        ("type", properties.kind()),
        ("userId", properties.user_id()),
        ("appId", properties.app_id()),
    ];
    metadata.extend(texts.into_iter().filter_map(|(name, text)| Some((name, short(text.as_ref()?)))));
    if let Some(priority) = properties.priority() {
        metadata.push(("priority", priority.to_string().into()));
    }
    let seconds = properties.timestamp().unwrap_or_default();
    if seconds > 0 {
        metadata.push(("timestamp", seconds.to_string().into()));
    }
    Message {
        headers,
        metadata,
        timestamp_ms: seconds.saturating_mul(1_000),
        position: Position { part: channel, offset: delivery_tag.cast_signed() },
        ..Message::new(data)
    }
}

fn short(text: &ShortString) -> Bytes {
    Bytes::copy_from_slice(text.as_str().as_bytes())
}

fn headers(table: &FieldTable) -> Vec<(Bytes, Bytes)> {
    table.inner().iter().map(|(name, value)| (short(name), text(value))).collect()
}

/// A header's value as text: as it is where it is text, else as JSON.
fn text(value: &AMQPValue) -> Bytes {
    match value {
        AMQPValue::LongString(text) => Bytes::copy_from_slice(text.as_bytes()),
        AMQPValue::ByteArray(bytes) => Bytes::copy_from_slice(bytes.as_slice()),
        AMQPValue::Void => Bytes::new(),
        other => match json(other, 0) {
            Value::String(text) => text.into(),
            other => other.to_string().into(),
        },
    }
}

fn json(value: &AMQPValue, depth: usize) -> Value {
    if depth > DEPTH_MAX {
        return Value::Null;
    }
    match value {
        AMQPValue::Boolean(value) => json!(value),
        AMQPValue::ShortShortInt(value) => json!(value),
        AMQPValue::ShortShortUInt(value) => json!(value),
        AMQPValue::ShortInt(value) => json!(value),
        AMQPValue::ShortUInt(value) => json!(value),
        AMQPValue::LongInt(value) => json!(value),
        AMQPValue::LongUInt(value) => json!(value),
        AMQPValue::LongLongInt(value) => json!(value),
        AMQPValue::Timestamp(value) => json!(value),
        AMQPValue::Float(value) => json!(value),
        AMQPValue::Double(value) => json!(value),
        AMQPValue::DecimalValue(value) => json!(f64::from(value.value) / 10f64.powi(i32::from(value.scale))),
        AMQPValue::ShortString(text) => json!(text.as_str()),
        AMQPValue::LongString(text) => json!(String::from_utf8_lossy(text.as_bytes())),
        AMQPValue::ByteArray(bytes) => json!(String::from_utf8_lossy(bytes.as_slice())),
        AMQPValue::FieldArray(items) => items.as_slice().iter().map(|item| json(item, depth + 1)).collect(),
        AMQPValue::FieldTable(table) => {
            let entries = table.inner().iter().map(|(name, value)| (name.to_string(), json(value, depth + 1)));
            Value::Object(entries.collect())
        }
        AMQPValue::Void => Value::Null,
    }
}

/// The properties of a message that is published at `now_s` seconds since 1970, and their bytes. Headers that the protocol has a place for
/// go there if their value fits it: `Content-Type`, `Content-Encoding`, `Correlation-Id`, `Reply-To`, `Message-Id`, `Expiration` and
/// `Priority`; metadata of the same names as [`received`] gives them, too, which count first.
pub fn properties(message: &Message, persistent: bool, now_s: u64) -> (BasicProperties, usize) {
    let mut properties = BasicProperties::default()
        .with_delivery_mode(if persistent { PERSISTENT } else { TRANSIENT })
        .with_timestamp(if message.timestamp_ms > 0 { message.timestamp_ms / 1_000 } else { now_s });
    let mut table = FieldTable::default();
    let mut bytes = 0;
    let mut taken = 0_u8;
    for (name, value) in &message.metadata {
        if let Some(place) = Place::ALL.into_iter().find(|place| place.metadata() == *name)
            && place.set(&mut properties, value)
        {
            taken |= 1 << place as u8;
            bytes += value.len();
        }
    }
    for (name, value) in &message.headers {
        bytes += name.len() + value.len();
        let place = Place::ALL.into_iter().find(|place| place.header().as_bytes().eq_ignore_ascii_case(name));
        if let Some(place) = place {
            if taken & (1 << place as u8) != 0 {
                continue;
            }
            if place.set(&mut properties, value) {
                taken |= 1 << place as u8;
                continue;
            }
        }
        let Some(name) = std::str::from_utf8(name).ok().and_then(|name| ShortString::try_new(name).ok()) else {
            continue;
        };
        let mut whole = value.to_vec();
        // A table has each name once; a list of values is how HTTP has them in one field (RFC 9110 section 5.3).
        if let Some(AMQPValue::LongString(before)) = table.inner().get(&name) {
            whole = [before.as_bytes(), b", ", value].concat();
        }
        table.insert(name, AMQPValue::LongString(LongString::from(whole)));
    }
    if !table.inner().is_empty() {
        properties = properties.with_headers(table);
    }
    (properties, bytes)
}

/// Values of `delivery-mode`.
const TRANSIENT: u8 = 1;
const PERSISTENT: u8 = 2;

/// A property that a header may be.
#[derive(Clone, Copy)]
enum Place {
    ContentType,
    ContentEncoding,
    CorrelationId,
    ReplyTo,
    MessageId,
    Expiration,
    Priority,
}

impl Place {
    const ALL: [Self; 7] = [
        Self::ContentType,
        Self::ContentEncoding,
        Self::CorrelationId,
        Self::ReplyTo,
        Self::MessageId,
        Self::Expiration,
        Self::Priority,
    ];

    fn header(self) -> &'static str {
        match self {
            Self::ContentType => "content-type",
            Self::ContentEncoding => "content-encoding",
            Self::CorrelationId => "correlation-id",
            Self::ReplyTo => "reply-to",
            Self::MessageId => "message-id",
            Self::Expiration => "expiration",
            Self::Priority => "priority",
        }
    }

    fn metadata(self) -> &'static str {
        match self {
            Self::ContentType => "contentType",
            Self::ContentEncoding => "contentEncoding",
            Self::CorrelationId => "correlationId",
            Self::ReplyTo => "replyTo",
            Self::MessageId => "messageId",
            Self::Expiration => "expiration",
            Self::Priority => "priority",
        }
    }

    /// Whether the value fits; if so it is set.
    fn set(self, properties: &mut BasicProperties, value: &[u8]) -> bool {
        let Some(text) = std::str::from_utf8(value).ok().and_then(|text| ShortString::try_new(text).ok()) else {
            return false;
        };
        let whole = std::mem::take(properties);
        let (set, fits) = match self {
            Self::ContentType => (whole.with_content_type(text), true),
            Self::ContentEncoding => (whole.with_content_encoding(text), true),
            Self::CorrelationId => (whole.with_correlation_id(text), true),
            Self::ReplyTo => (whole.with_reply_to(text), true),
            Self::MessageId => (whole.with_message_id(text), true),
            // Milliseconds; brokers close the channel at anything else.
            Self::Expiration => match text.as_str().parse::<u32>() {
                Ok(_) => (whole.with_expiration(text), true),
                Err(_) => (whole, false),
            },
            Self::Priority => match text.as_str().parse() {
                Ok(priority) => (whole.with_priority(priority), true),
                Err(_) => (whole, false),
            },
        };
        *properties = set;
        fits
    }
}

/// The limit that a broker names when it closes a channel because of a message that was too large for it.
pub fn size_limit(error: &protocol::AMQPError) -> Option<usize> {
    // RabbitMQ: "PRECONDITION_FAILED - message size 70000 is larger than configured max size 65536"
    let (_, limit) = error.get_message().as_str().split_once("larger than configured max size ")?;
    limit.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use lapin::protocol::{AMQPError, AMQPErrorKind, AMQPSoftError};

    use super::*;

    fn delivery(properties: BasicProperties) -> Delivery {
        let mut delivery = Delivery::mock(7, "orders".into(), "eu.new".into(), true, b"{}".to_vec());
        delivery.properties = properties;
        delivery
    }

    fn header(name: &'static str, value: &'static str) -> (Bytes, Bytes) {
        (Bytes::from_static(name.as_bytes()), Bytes::from_static(value.as_bytes()))
    }

    #[test]
    fn a_delivery_tells_where_it_came_from_and_what_it_is() {
        let mut table = FieldTable::default();
        table.insert("text".into(), AMQPValue::LongString("a".into()));
        table.insert("count".into(), AMQPValue::LongLongInt(-3));
        let mut death = FieldTable::default();
        death.insert("queue".into(), AMQPValue::LongString("q".into()));
        table.insert("x-death".into(), AMQPValue::FieldArray(vec![AMQPValue::FieldTable(death)].into()));
        let properties = BasicProperties::default()
            .with_headers(table)
            .with_content_type("application/json".into())
            .with_timestamp(1_700_000_000)
            .with_priority(4);
        let message = received(delivery(properties), 2);
        assert_eq!((message.position, message.timestamp_ms), (Position { part: 2, offset: 7 }, 1_700_000_000_000));
        assert_eq!(message.header("text"), Some(&b"a"[..]));
        assert_eq!(message.header("count"), Some(&b"-3"[..]));
        assert_eq!(message.header("x-death"), Some(&br#"[{"queue":"q"}]"#[..]));
        for (name, value) in [
            ("exchange", "orders"),
            ("routingKey", "eu.new"),
            ("redelivered", "true"),
            ("contentType", "application/json"),
            ("priority", "4"),
            ("timestamp", "1700000000"),
        ] {
            assert!(message.metadata.iter().any(|(known, is)| *known == name && *is == value), "{name}");
        }
    }

    #[test]
    fn headers_become_the_properties_that_the_protocol_has_for_them() {
        let message = Message {
            headers: vec![
                header("Content-Type", "text/plain"),
                header("expiration", "soon"),
                header("priority", "9"),
                header("x-a", "1"),
                header("x-a", "2"),
            ],
            metadata: vec![("replyTo", Bytes::from_static(b"back"))],
            ..Message::new("x")
        };
        let (properties, bytes) = properties(&message, true, 5);
        assert_eq!(properties.content_type().as_ref().map(ShortString::as_str), Some("text/plain"));
        assert_eq!(properties.reply_to().as_ref().map(ShortString::as_str), Some("back"));
        assert_eq!((properties.priority(), properties.delivery_mode()), (&Some(9), &Some(PERSISTENT)));
        assert_eq!((properties.timestamp(), properties.expiration()), (&Some(5), &None));
        let back = received(delivery(properties), 0);
        assert_eq!(back.header("x-a"), Some(&b"1, 2"[..]));
        // What does not fit its property stays what it was.
        assert_eq!(back.header("expiration"), Some(&b"soon"[..]));
        assert_eq!(back.header("content-type"), None);
        assert_eq!(bytes, 22 + 14 + 9 + 4 + 4 + 4);
    }

    #[test]
    fn a_broker_tells_how_large_a_message_may_be() {
        let error = |text: &str| AMQPError::new(AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED), text.into());
        let told = "PRECONDITION_FAILED - message size 70000 is larger than configured max size 65536";
        assert_eq!(size_limit(&error(told)), Some(65_536));
        assert_eq!(size_limit(&error("PRECONDITION_FAILED - unknown delivery tag 3")), None);
    }
}
