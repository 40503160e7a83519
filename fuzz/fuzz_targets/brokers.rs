//! Brokers: what definitions say of them, and what they send: packets of MQTT 5, how the client library reads them and which of them are acknowledged
//! when, frames of AMQP 0-9-1 and the headers in them. AMQP 1.0 has a target of its own.
//!
//! The connectors' own files without their crate, whose brokers' client libraries take minutes to build.
#![no_main]
#![allow(dead_code, unused_imports)]

use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::parsing::parse_field_table;
use lapin::types::{AMQPValue, FieldTable};
use ringway_contract::kind::{Part, decode};
use ringway_contract::{Attributes, Message, Node, Problem, Qos, Receipt, Refusal};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

#[path = "../../connectors/src/sifter.rs"]
mod sifter;

#[path = "../shared/sifted.rs"]
mod sifted;

#[path = "../shared/oracle.rs"]
mod oracle;

#[path = "../../connectors/src/tls"]
mod tls {
    pub mod config;
    pub use config::{BrokerSsl, SslConfig, Store, StoreKind};

    impl SslConfig {
        /// Certificates and keys are read by the crate of all TLS, which is not here.
        pub fn problems(&self, _: &super::Node, _: &str) -> Vec<super::Problem> {
            Vec::new()
        }
    }
}

#[path = "../../connectors/src/mqtt5"]
mod mqtt5 {
    pub mod config;
    pub mod convert;
    pub mod examine;
    pub mod ledger;
    pub mod packets;
    pub use config::{Auth, Consumer, EndpointConfig, Producer, SharedConfig};
}

#[path = "../../connectors/src/rabbitmq"]
mod rabbitmq {
    pub mod config;
    pub mod convert;
    pub mod examine;
    pub mod frames;
}

#[path = "../../connectors/src/solace"]
mod solace {
    pub mod config;
    pub mod words;
}

use mqtt5::ledger::Ledger;
use mqtt5::packets::{Ended, Inbound, Packets};
use rabbitmq::frames::{self, Frames};
use sifted::sifted;

/// Inputs that are read byte by byte, too.
const BYTEWISE_MAX: usize = 1024;

/// A part of a configuration, if it fits its schema: then it can be read, too.
fn read<T: DeserializeOwned + JsonSchema>(node: &Node) -> Option<T> {
    if (Part::of::<T>().check)(node).iter().any(Problem::is_error) {
        return None;
    }
    Some(decode(Some(node)).unwrap_or_else(|refusal: Refusal| panic!("it fits its schema: {refusal}")))
}

/// What is examined without an error is not refused, and the other way round.
fn agree(problems: &[Problem], refused: Option<Refusal>) {
    let found = problems.iter().filter(|problem| problem.is_error()).count();
    assert_eq!(found > 0, refused.is_some(), "{problems:?} and {refused:?}");
}

fn configurations(endpoint: &Node, shared: &Node) {
    let both = (Some(endpoint), Some(shared));
    if let (Some(own), Some(inherited)) = (read::<mqtt5::EndpointConfig>(endpoint), read::<mqtt5::SharedConfig>(shared))
    {
        let refused = mqtt5::examine::refuse(&own, &inherited).err();
        if refused.is_none() {
            mqtt(&inherited);
        }
        agree(&mqtt5::examine::examine(both.0, both.1), refused);
        let _ = mqtt5::examine::files(both.0, both.1);
    }
    if let (Some(own), Some(inherited)) =
        (read::<rabbitmq::config::EndpointConfig>(endpoint), read::<rabbitmq::config::SharedConfig>(shared))
    {
        let refused = rabbitmq::examine::refuse(&own, &inherited).err();
        if refused.is_none() {
            let exchanges = inherited.producer.iter().filter(|it| it.enabled).filter_map(|it| it.exchange.as_ref());
            exchanges.for_each(|exchange| assert!(exchange.kind().is_some() && exchange.name.len() < 256));
        }
        agree(&rabbitmq::examine::examine(both.0, both.1), refused);
        let _ = rabbitmq::examine::files(both.0, both.1);
    }
    if let (Some(own), Some(inherited)) =
        (read::<solace::config::EndpointConfig>(endpoint), read::<solace::config::SharedConfig>(shared))
    {
        let refused = solace::config::refuse(&own, &inherited);
        if let Ok(place) = &refused {
            let plain = |c: char| !c.is_whitespace() && !matches!(c, '/' | '@' | '[' | ']');
            assert!(place.port > 0 && !place.host.is_empty() && place.host.chars().all(plain), "{place:?}");
            if own.protocol == solace::config::Protocol::Mqtt {
                let said = solace::words::shared(&inherited).expect("what was examined");
                let endpoint = mqtt5::EndpointConfig { server_host: place.host.clone(), server_port: place.port };
                let refused = mqtt5::examine::refuse(&endpoint, &said).err();
                assert!(refused.is_none(), "over MQTT: {refused:?}");
                mqtt(&said);
            }
        }
        agree(&solace::config::examine(both.0, both.1), refused.err());
        let _ = solace::config::files(both.0, both.1);
    }
}

/// What a sound configuration asks for can be said to a broker.
fn mqtt(config: &mqtt5::SharedConfig) {
    if let Some(consumer) = config.consumer.as_ref().filter(|consumer| consumer.enabled) {
        consumer.filters().for_each(|filter| assert!(!filter.is_empty() && filter.len() <= 65_535));
    }
    if let Some(producer) = config.producer.as_ref().filter(|producer| producer.enabled) {
        let publish = mqtt5::convert::outbound(&Message::new("x"), Qos::Auto, &Attributes::default(), producer);
        again(publish.expect("a message to its topic"));
    }
}

/// A message that is published is read as what it is.
fn again(mut publish: rumqttc::v5::mqttbytes::v5::Publish) {
    publish.pkid = 1;
    let payload = publish.payload.clone();
    let mut packets = Packets::default();
    Packet::Publish(publish).write(packets.buffer(), None).expect("a packet");
    match packets.next() {
        Ok(Some(Inbound::Publish(publish))) => assert_eq!(publish.payload, payload),
        other => panic!("{other:?}"),
    }
}

/// What a broker of MQTT says in these pieces, and how it ends.
fn heard<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<String>, Option<Ended>) {
    let (mut packets, mut all) = (Packets::default(), Vec::new());
    for piece in pieces {
        packets.buffer().extend_from_slice(piece);
        loop {
            match packets.next() {
                Ok(Some(inbound)) => {
                    all.push(format!("{inbound:?}"));
                    if let Inbound::Publish(publish) = inbound {
                        let message = mqtt5::convert::inbound(publish);
                        let producer = mqtt5::Producer { topic: Some("a".into()), ..mqtt5::Producer::default() };
                        let publish = mqtt5::convert::outbound(&message, Qos::Auto, &Attributes::default(), &producer);
                        publish.into_iter().for_each(again);
                    }
                }
                Ok(None) => break,
                Err(ended) => return (all, Some(ended)),
            }
        }
        assert!(packets.buffer().capacity() <= 2 * mqtt5::packets::PACKET_BYTES_MAX);
    }
    (all, None)
}

fn depth(value: &AMQPValue) -> usize {
    match value {
        AMQPValue::FieldArray(items) => 1 + items.as_slice().iter().map(depth).max().unwrap_or(0),
        AMQPValue::FieldTable(table) => 1 + deepest(table),
        _ => 0,
    }
}

fn deepest(table: &FieldTable) -> usize {
    table.inner().values().map(depth).max().unwrap_or(0)
}

/// The headers of a message, as the library reads them behind what is looked at before.
fn headers(table: &[u8]) {
    let sized = [&(table.len() as u32).to_be_bytes(), table].concat();
    let payload = [&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0][..], &sized].concat();
    let frame = [&[2, 0, 1][..], &(payload.len() as u32).to_be_bytes(), &payload, &[0xCE]].concat();
    let (out, malformed) = sifted::<Frames>(std::iter::once(&*frame));
    if malformed.is_some() {
        // Whatever it is, it ends before it gets deep.
        if table.len() < 1024 {
            assert!(parse_field_table(&*sized).is_err(), "{malformed:?}");
        }
        return;
    }
    assert_eq!(out.len(), frame.len());
    let Ok((_, read)) = parse_field_table(&out[frame.len() - 1 - sized.len()..frame.len() - 1]) else { return };
    assert!(deepest(&read) <= frames::DEPTH_MAX, "{} deep", deepest(&read));
    let count = read.inner().len();
    let mut delivery = Delivery::mock(1, "e".into(), "k".into(), false, table.to_vec());
    delivery.properties = BasicProperties::default().with_headers(read);
    let message = rabbitmq::convert::received(delivery, 1);
    assert_eq!(message.headers.len(), count);
    let (properties, bytes) = rabbitmq::convert::properties(&message, true, 7);
    let back = properties.headers().as_ref().map_or(0, |table| table.inner().len());
    assert!(back <= count && bytes <= 64 * frame.len() + 64 * 1024, "{back} of {count} headers, {bytes} bytes");
}

/// Messages of a few identifiers, receipts and lost connections in any order: what is acknowledged has come over this connection, and as often as that.
fn acknowledged(steps: &[u8]) {
    let (mut ledger, mut given, mut come) = (Ledger::default(), Vec::new(), [0_u32; 4]);
    ledger.connected(false);
    for step in steps {
        let number = usize::from(step >> 3);
        match step & 7 {
            0 => {
                ledger.connected(number % 4 != 0);
                come = [0; 4];
            }
            1 | 2 => {
                let receipt = if step & 7 == 1 { Receipt::Ack } else { Receipt::Nack };
                if let Some(position) = given.get(number % given.len().max(1)) {
                    ledger.settle(receipt(*position));
                }
            }
            _ => {
                let packet = number % 4;
                let content = if number & 4 == 0 { "a" } else { "b" };
                let publish = Publish::new("t", QoS::AtLeastOnce, content, None);
                let dup = number & 8 != 0;
                // As brokers have it: none comes twice over one connection before it was acknowledged.
                if come[packet] == 0 {
                    come[packet] += 1;
                    given.extend(ledger.enter(&Publish { pkid: packet as u16 + 1, dup, ..publish }));
                }
            }
        }
        while let Some(due) = ledger.due() {
            let open = &mut come[usize::from(due.packet) - 1];
            assert!(*open > 0, "{} is acknowledged once more than it came", due.packet);
            *open -= 1;
        }
    }
    given.into_iter().for_each(|position| ledger.settle(Receipt::Ack(position)));
    while ledger.due().is_some() {}
    assert!(ledger.is_empty() || steps.iter().any(|step| step & 7 == 0 || step & 7 == 2), "all are settled");
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (first, second) = data.split_at(data.iter().position(|byte| *byte == 0).unwrap_or(data.len()));
    if let (Ok(first), Ok(second)) =
        (std::str::from_utf8(first), std::str::from_utf8(second.get(1..).unwrap_or_default()))
    {
        let parsed = |text: &str| match text.starts_with('{') {
            true => Node::parse_json("fuzz/a.json", text).ok(),
            false => Node::parse_yaml("fuzz/a.yaml", text).ok().and_then(|all| all.into_iter().next()),
        };
        if let (Some(endpoint), Some(shared)) = (parsed(first), parsed(second)) {
            configurations(&endpoint, &shared);
        }
    }
    let (said, frames) = (heard(std::iter::once(data)), sifted::<Frames>(std::iter::once(data)));
    let size = data.len() % 61 + 2;
    assert_eq!(heard(data.chunks(size)), said, "in pieces");
    assert_eq!(sifted::<Frames>(data.chunks(size)), frames, "in pieces");
    if data.len() <= BYTEWISE_MAX {
        assert_eq!(heard(data.chunks(1)), said, "byte by byte");
        assert_eq!(sifted::<Frames>(data.chunks(1)), frames, "byte by byte");
    }
    let mut first = Packets::default();
    first.buffer().extend_from_slice(data);
    let _ = first.accepted();
    oracle::stream(data, size);
    oracle::stream(&oracle::crowded(data), 7 * size);
    headers(data);
    acknowledged(data);
});
