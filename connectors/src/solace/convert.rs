//! Messages to AMQP 1.0 and back.

use bytes::{Bytes, BytesMut};
use fe2o3_amqp::types::messaging::message::Body;
use fe2o3_amqp::types::messaging::{ApplicationProperties, Data, Header, MessageId, Properties};
use fe2o3_amqp::types::primitives::{Binary, SimpleValue, Symbol, Timestamp, Value};
use ringway_contract::{Message, Position};

/// A message as the client library has it.
pub type Received = fe2o3_amqp::types::messaging::Message<Body<Value>>;
/// A message as it is published.
pub type Sent = fe2o3_amqp::types::messaging::Message<Data>;

/// The message of a delivery. `None`: its body is no text and no bytes.
pub fn received(message: Received, position: Position) -> Option<Message> {
    let content = match message.body {
        Body::Data(sections) => {
            let mut content = BytesMut::new();
            sections.into_iter().for_each(|section| content.extend_from_slice(&section.0));
            content.freeze()
        }
        Body::Value(value) => match value.0 {
            Value::String(text) => text.into(),
            Value::Binary(bytes) => bytes.into_vec().into(),
            Value::Null => Bytes::new(),
            _ => return None,
        },
        Body::Empty => Bytes::new(),
        Body::Sequence(_) => return None,
    };
    let mut metadata = Vec::new();
    let mut timestamp_ms = 0;
    if let Some(properties) = message.properties {
        let texts = [
            ("messageId", properties.message_id.map(id)),
            ("correlationId", properties.correlation_id.map(id)),
            ("to", properties.to.map(Bytes::from)),
            ("replyTo", properties.reply_to.map(Bytes::from)),
            ("subject", properties.subject.map(Bytes::from)),
            ("contentType", properties.content_type.map(|text| text.0.into())),
            ("contentEncoding", properties.content_encoding.map(|text| text.0.into())),
            ("groupId", properties.group_id.map(Bytes::from)),
        ];
        metadata.extend(texts.into_iter().filter_map(|(name, text)| Some((name, text?))));
        timestamp_ms =
            properties.creation_time.map_or(0, |time| u64::try_from(time.milliseconds()).unwrap_or_default());
    }
    if let Some(header) = message.header {
        metadata.push(("priority", header.priority.0.to_string().into()));
        metadata.push(("redelivered", (header.delivery_count > 0).to_string().into()));
    }
    let headers = message.application_properties.map(|properties| properties.0).unwrap_or_default();
    let headers = headers.into_iter().filter_map(|(name, value)| Some((name.into(), text(value)?))).collect();
    Some(Message { headers, metadata, timestamp_ms, position, ..Message::new(content) })
}

fn id(id: MessageId) -> Bytes {
    match id {
        MessageId::String(text) => text.into(),
        MessageId::Binary(bytes) => bytes.into_vec().into(),
        MessageId::Ulong(number) => number.to_string().into(),
        MessageId::Uuid(uuid) => format!("{:032x}", u128::from_be_bytes(uuid.into_inner())).into(),
    }
}

fn text(value: SimpleValue) -> Option<Bytes> {
    Some(match value {
        SimpleValue::String(text) => text.into(),
        SimpleValue::Symbol(text) => text.0.into(),
        SimpleValue::Binary(bytes) => bytes.into_vec().into(),
        SimpleValue::Null => Bytes::new(),
        SimpleValue::Bool(value) => value.to_string().into(),
        SimpleValue::Ubyte(value) => value.to_string().into(),
        SimpleValue::Ushort(value) => value.to_string().into(),
        SimpleValue::Uint(value) => value.to_string().into(),
        SimpleValue::Ulong(value) => value.to_string().into(),
        SimpleValue::Byte(value) => value.to_string().into(),
        SimpleValue::Short(value) => value.to_string().into(),
        SimpleValue::Int(value) => value.to_string().into(),
        SimpleValue::Long(value) => value.to_string().into(),
        SimpleValue::Float(value) => value.to_string().into(),
        SimpleValue::Double(value) => value.to_string().into(),
        SimpleValue::Char(value) => value.to_string().into(),
        SimpleValue::Timestamp(value) => value.milliseconds().to_string().into(),
        _ => return None,
    })
}

/// A message to be published. Headers that the protocol has a place for go there.
pub fn sent(message: &Message, durable: bool, now_ms: i64) -> Sent {
    let mut properties =
        Properties { creation_time: Some(Timestamp::from_milliseconds(now_ms)), ..Properties::default() };
    let mut application = ApplicationProperties::default();
    for (name, value) in &message.headers {
        let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value)) else { continue };
        match name.to_ascii_lowercase().as_str() {
            "content-type" => properties.content_type = Some(Symbol::from(value)),
            "content-encoding" => properties.content_encoding = Some(Symbol::from(value)),
            "correlation-id" => properties.correlation_id = Some(MessageId::String(value.to_owned())),
            "message-id" => properties.message_id = Some(MessageId::String(value.to_owned())),
            "reply-to" => properties.reply_to = Some(value.to_owned()),
            _ => {
                application.0.insert(name.to_owned(), SimpleValue::String(value.to_owned()));
            }
        }
    }
    fe2o3_amqp::types::messaging::Message::builder()
        .header(Header { durable, ..Header::default() })
        .properties(properties)
        .application_properties(application)
        .data(Binary::from(message.content.to_vec()))
        .build()
}
