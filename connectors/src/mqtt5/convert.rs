//! Messages of the gateway and messages of the protocol.
//!
//! | message | MQTT 5 |
//! |---|---|
//! | header `Content-Type` | content type |
//! | header `Response-Topic` | response topic |
//! | header `Correlation-Data` | correlation data |
//! | any other header | user property |
//! | metadata (inbound) | topic, QoS, retain flag, DUP flag, remaining expiry |

use bytes::Bytes;
use ringway_contract::{Attributes, Cause, Fault, Message, Qos};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Publish, PublishProperties};

use super::config::{self, Producer};
use super::examine::{self, TEXT_BYTES_MAX};

/// The attribute that names another topic.
pub const TOPIC: &str = "mqtt5.topic";

const CONTENT_TYPE: &str = "Content-Type";
const RESPONSE_TOPIC: &str = "Response-Topic";
const CORRELATION_DATA: &str = "Correlation-Data";

/// What a broker's message says.
pub fn inbound(publish: Publish) -> Message {
    let mut message = Message::new(publish.payload);
    let flag = |flag: bool| Bytes::from_static(if flag { b"true" } else { b"false" });
    message.metadata = vec![
        ("topic", publish.topic),
        ("qos", Bytes::from_static([&b"0"[..], b"1", b"2"][publish.qos as usize % 3])),
        ("retain", flag(publish.retain)),
    ];
    if publish.dup {
        message.metadata.push(("duplicate", flag(true)));
    }
    let Some(properties) = publish.properties else { return message };
    message.headers = Vec::with_capacity(properties.user_properties.len());
    for (name, value) in properties.user_properties {
        message.headers.push((name.into(), value.into()));
    }
    let named = [(CONTENT_TYPE, properties.content_type), (RESPONSE_TOPIC, properties.response_topic)];
    for (name, value) in named {
        message.headers.extend(value.map(|value| (Bytes::from_static(name.as_bytes()), value.into())));
    }
    let correlation = properties.correlation_data;
    message.headers.extend(correlation.map(|data| (Bytes::from_static(CORRELATION_DATA.as_bytes()), data)));
    if let Some(seconds) = properties.message_expiry_interval {
        message.metadata.push(("messageExpiryInterval", seconds.to_string().into()));
    }
    message
}

/// A message as the broker gets it; its packet identifier is still to come.
///
/// # Errors
/// Its topic is none, or something of it is larger than the protocol allows.
pub fn outbound(message: &Message, level: Qos, attributes: &Attributes, producer: &Producer) -> Result<Publish, Fault> {
    let named = message.attributes.as_ref().and_then(|own| own.get(TOPIC)).or_else(|| attributes.get(TOPIC));
    let topic = match named.filter(|topic| !topic.is_empty()) {
        Some(topic) if examine::topic(topic).is_some() => {
            return Err(Fault::new(Cause::PublishFailed).detail("`mqtt5.topic` is no topic to publish to"));
        }
        Some(topic) => topic,
        None => producer.topic.as_deref().unwrap_or_default(),
    };
    let mut properties = PublishProperties {
        message_expiry_interval: u32::try_from(producer.message_expiry_interval).ok(),
        response_topic: producer.response_topic.clone(),
        content_type: producer.content_type.clone(),
        ..PublishProperties::default()
    };
    for (name, value) in &message.headers {
        if name.len() > TEXT_BYTES_MAX || value.len() > TEXT_BYTES_MAX {
            return Err(Fault::new(Cause::MessageTooLarge).detail("a header of more than 65,535 bytes"));
        }
        if name.eq_ignore_ascii_case(CORRELATION_DATA.as_bytes()) {
            properties.correlation_data = Some(value.clone());
            continue;
        }
        let value = text(value);
        if name.eq_ignore_ascii_case(CONTENT_TYPE.as_bytes()) {
            properties.content_type = Some(value);
        } else if name.eq_ignore_ascii_case(RESPONSE_TOPIC.as_bytes()) {
            if examine::topic(&value).is_some() {
                return Err(Fault::new(Cause::PublishFailed).detail("`Response-Topic` is no topic to publish to"));
            }
            properties.response_topic = Some(value);
        } else {
            properties.user_properties.push((text(name), value));
        }
    }
    let qos = if level == Qos::None { QoS::AtMostOnce } else { config::qos(producer.qos) };
    let payload = message.content.clone();
    Ok(Publish { retain: producer.retained, ..Publish::new(topic, qos, payload, Some(properties)) })
}

/// Text as the protocol has it (MQTT 5, section 1.5.4): UTF-8 without U+0000. What is not becomes U+FFFD.
fn text(bytes: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    if text.contains('\0') {
        text = text.replace('\0', "\u{FFFD}");
    }
    while text.len() > TEXT_BYTES_MAX {
        text.pop();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> Vec<(Bytes, Bytes)> {
        pairs.iter().map(|(name, value)| (Bytes::from_static(name.as_bytes()), Bytes::from(*value))).collect()
    }

    #[test]
    fn headers_and_properties_are_the_same_both_ways() {
        let all =
            [("X-One", "1"), ("Content-Type", "text/plain"), ("Response-Topic", "r/t"), ("Correlation-Data", "c")];
        let message = Message { headers: headers(&all), ..Message::new("payload") };
        let producer = Producer { topic: Some("a/b".into()), content_type: Some("x/y".into()), ..Producer::default() };
        let publish = outbound(&message, Qos::Auto, &Attributes::default(), &producer).unwrap();
        let properties = publish.properties.clone().unwrap();
        assert_eq!(properties.user_properties, [("X-One".to_owned(), "1".to_owned())]);
        assert_eq!(properties.content_type.as_deref(), Some("text/plain"));
        let back = inbound(publish);
        assert_eq!(back.headers, message.headers);
        assert_eq!(back.metadata[0], ("topic", Bytes::from("a/b")));
    }

    #[test]
    fn an_attribute_of_the_message_names_the_topic_before_one_of_the_request() {
        let producer = Producer { topic: Some("configured".into()), ..Producer::default() };
        let mut request = Attributes::default();
        let topic = |message: &Message, request: &Attributes| {
            outbound(message, Qos::None, request, &producer).map(|publish| publish.topic)
        };
        let mut message = Message::new("x");
        assert_eq!(topic(&message, &request).unwrap(), "configured");
        request.set("gravitee.attribute.mqtt5.topic", "of/the/request");
        assert_eq!(topic(&message, &request).unwrap(), "of/the/request");
        let mut own = Attributes::default();
        own.set("mqtt5.topic", "of/the/message");
        message.attributes = Some(Box::new(own));
        assert_eq!(topic(&message, &request).unwrap(), "of/the/message");
        request.set("mqtt5.topic", "with/#");
        assert!(topic(&Message::new("x"), &request).is_err());
    }

    #[test]
    fn what_is_too_long_for_the_protocol_is_refused_and_what_is_no_text_is_made_one() {
        let producer = Producer { topic: Some("t".into()), ..Producer::default() };
        let with = |value: Vec<u8>| {
            let message = Message { headers: vec![("x".into(), value.into())], ..Message::new("") };
            outbound(&message, Qos::Auto, &Attributes::default(), &producer)
        };
        assert_eq!(with(vec![b'x'; 65_536]).unwrap_err().cause, Cause::MessageTooLarge);
        let odd = with(b"\xFFa\0".to_vec()).unwrap();
        assert_eq!(odd.properties.unwrap().user_properties[0].1, "\u{FFFD}a\u{FFFD}");
        assert!(with(vec![0xFF; 65_535]).unwrap().properties.unwrap().user_properties[0].1.len() <= TEXT_BYTES_MAX);
    }
}
