//! Conversations with the broker, without sockets.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use rumqttc::v5::mqttbytes::QoS::{self, AtLeastOnce, AtMostOnce, ExactlyOnce};
use rumqttc::v5::mqttbytes::v5::{
    Connect, ConnectProperties, Disconnect, DisconnectReasonCode, Filter, LastWill, Packet, PubAck, PubAckReason,
    Publish, PublishProperties, Subscribe, SubscribeProperties, SubscribeReasonCode, Unsubscribe,
};

use super::broker::{Broker, Key};
use super::packet::reason;

/// A broker, and a clock that stands still.
struct Stage {
    broker: Broker,
    now: Instant,
}

impl Stage {
    fn new() -> Self {
        Self { broker: Broker::default(), now: Instant::now() }
    }

    /// A client that has introduced itself.
    fn client(&mut self, name: &str) -> Key {
        self.client_with(name, ConnectProperties::new(), None)
    }

    fn client_with(&mut self, name: &str, properties: ConnectProperties, will: Option<LastWill>) -> Key {
        let key = self.broker.opened(self.now);
        let connect =
            Connect { keep_alive: 10, client_id: name.to_owned(), clean_start: true, properties: Some(properties) };
        self.send(key, &Packet::Connect(connect, will, None));
        assert!(matches!(self.hear(key)[..], [Packet::ConnAck(_)]));
        key
    }

    fn send(&mut self, key: Key, packet: &Packet) {
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, None).unwrap();
        self.broker.received(key, &bytes, self.now);
    }

    /// What it has been sent.
    fn hear(&mut self, key: Key) -> Vec<Packet> {
        let mut packets = Vec::new();
        let mut bytes = BytesMut::from(self.broker.client(key).unwrap().output());
        self.broker.sent(key, bytes.len(), self.now);
        while !bytes.is_empty() {
            packets.push(Packet::read(&mut bytes, None).unwrap());
        }
        packets
    }

    /// The messages among what it has been sent, as `topic=content`.
    fn messages(&mut self, key: Key) -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let heard = self.hear(key).into_iter();
        let messages = heard.filter_map(|packet| match packet {
            Packet::Publish(publish) => Some(format!("{}={}", text(&publish.topic), text(&publish.payload))),
            _ => None,
        });
        messages.collect()
    }

    /// The reason for which it is sent away.
    fn sent_away(&mut self, key: Key) -> u8 {
        assert!(self.broker.client(key).unwrap().is_ending());
        let output = self.broker.client(key).unwrap().output();
        assert_eq!(output[output.len() - 3..output.len() - 1], [0xE0, 1]);
        output[output.len() - 1]
    }

    fn subscribe(&mut self, key: Key, filter: &str, qos: QoS) -> Vec<SubscribeReasonCode> {
        self.subscribe_with(key, Filter::new(filter, qos), None)
    }

    fn subscribe_with(&mut self, key: Key, filter: Filter, id: Option<usize>) -> Vec<SubscribeReasonCode> {
        let properties = id.map(|id| SubscribeProperties { id: Some(id), user_properties: Vec::new() });
        self.send(key, &Packet::Subscribe(Subscribe { pkid: 1, filters: vec![filter], properties }));
        let output = self.broker.client(key).unwrap().output();
        match Packet::read(&mut BytesMut::from(output), None) {
            Ok(Packet::SubAck(answer)) => {
                let count = Packet::SubAck(answer.clone()).size();
                self.broker.sent(key, count, self.now);
                answer.return_codes
            }
            other => panic!("{other:?}"),
        }
    }

    fn publish(&mut self, key: Key, topic: &str, content: &str) {
        self.send(key, &Packet::Publish(Publish::new(topic, AtMostOnce, content.to_owned(), None)));
    }

    fn retain(&mut self, key: Key, topic: &str, content: &str, expiry_s: Option<u32>) {
        let properties = PublishProperties { message_expiry_interval: expiry_s, ..Default::default() };
        let publish = Publish::new(topic, AtMostOnce, content.to_owned(), Some(properties));
        self.send(key, &Packet::Publish(Publish { retain: true, ..publish }));
    }

    fn later(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }
}

#[test]
fn a_message_goes_to_those_who_want_it() {
    let mut stage = Stage::new();
    let [a, b, c] = ["a", "b", "c"].map(|name| stage.client(name));
    assert_eq!(stage.subscribe(a, "x/+", AtMostOnce), [SubscribeReasonCode::Success(AtMostOnce)]);
    assert_eq!(stage.subscribe(b, "x/#", ExactlyOnce), [SubscribeReasonCode::Success(AtLeastOnce)]);
    assert_eq!(stage.subscribe(c, "x/#/y", AtMostOnce), [SubscribeReasonCode::TopicFilterInvalid]);
    stage.publish(c, "x/1", "one");
    stage.publish(c, "x/1/2", "two");
    assert_eq!(stage.messages(a), ["x/1=one"]);
    assert_eq!(stage.messages(b), ["x/1=one", "x/1/2=two"]);
    assert!(stage.messages(c).is_empty());
    stage.send(a, &Packet::Unsubscribe(Unsubscribe::new("x/+", None)));
    stage.publish(c, "x/1", "three");
    assert!(stage.messages(a).is_empty());
}

#[test]
fn several_subscriptions_of_a_client_are_one_copy() {
    let mut stage = Stage::new();
    let a = stage.client("a");
    stage.subscribe_with(a, Filter::new("x/#", AtMostOnce), Some(3));
    stage.subscribe_with(a, Filter::new("x/1", AtLeastOnce), Some(4));
    stage.subscribe_with(a, Filter { nolocal: true, ..Filter::new("y", AtMostOnce) }, None);
    stage.send(a, &Packet::Publish(Publish { pkid: 9, ..Publish::new("x/1", AtLeastOnce, "m", None) }));
    stage.publish(a, "y", "its own");
    let heard = stage.hear(a);
    let [Packet::Publish(copy), Packet::PubAck(PubAck { pkid: 9, reason: PubAckReason::Success, .. })] = &heard[..]
    else {
        panic!("{heard:?}")
    };
    assert_eq!(copy.qos, AtLeastOnce);
    assert_eq!(copy.properties.as_ref().unwrap().subscription_identifiers, [3, 4]);
}

#[test]
fn members_of_a_group_take_turns() {
    let mut stage = Stage::new();
    let [a, b, c] = ["a", "b", "c"].map(|name| stage.client(name));
    stage.subscribe(a, "$share/g/x", AtMostOnce);
    stage.subscribe(b, "$share/g/x", AtMostOnce);
    stage.subscribe(c, "$share/h/x", AtMostOnce);
    for number in 0..10 {
        stage.publish(c, "x", &number.to_string());
    }
    assert_eq!([a, b, c].map(|key| stage.messages(key).len()), [5, 5, 10]);
    stage.broker.closed(a, stage.now);
    stage.publish(c, "x", "last");
    assert_eq!(stage.messages(b), ["x=last"]);
}

#[test]
fn the_last_message_of_a_topic_waits_for_who_comes_later() {
    let mut stage = Stage::new();
    let a = stage.client("a");
    stage.retain(a, "x/1", "old", None);
    stage.retain(a, "x/1", "new", None);
    stage.retain(a, "x/2", "gone", None);
    stage.retain(a, "x/2", "", None);
    stage.retain(a, "x/3", "fades", Some(60));
    stage.later(20);
    let b = stage.client("b");
    stage.subscribe(b, "x/#", AtLeastOnce);
    let heard = stage.hear(b);
    let [Packet::Publish(first), Packet::Publish(second)] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!((&first.payload[..], first.retain, first.qos), (&b"new"[..], true, AtMostOnce));
    assert_eq!(second.properties.as_ref().unwrap().message_expiry_interval, Some(40));
    // What is published from here on does not say that it is retained.
    stage.retain(a, "x/1", "newest", None);
    let heard = stage.hear(b);
    assert!(matches!(&heard[..], [Packet::Publish(Publish { retain: false, .. })]), "{heard:?}");
    stage.later(60);
    let c = stage.client("c");
    stage.subscribe(c, "x/3", AtMostOnce);
    stage.subscribe(c, "$share/g/x/1", AtMostOnce);
    assert!(stage.messages(c).is_empty());
    let again = Filter {
        retain_forward_rule: rumqttc::v5::mqttbytes::v5::RetainForwardRule::OnNewSubscribe,
        ..Filter::new("x/1", AtMostOnce)
    };
    stage.subscribe_with(c, again.clone(), None);
    assert_eq!(stage.messages(c), ["x/1=newest"]);
    stage.subscribe_with(c, again, None);
    assert!(stage.messages(c).is_empty());
}

#[test]
fn messages_wait_for_acknowledgements() {
    let mut stage = Stage::new();
    let a = stage.client_with("a", ConnectProperties { receive_maximum: Some(2), ..ConnectProperties::new() }, None);
    let b = stage.client("b");
    stage.subscribe(a, "x", AtLeastOnce);
    for number in 1..=4 {
        let publish = Publish { pkid: number, ..Publish::new("x", AtLeastOnce, number.to_string(), None) };
        stage.send(b, &Packet::Publish(publish));
    }
    let heard = stage.hear(a);
    let [Packet::Publish(first), Packet::Publish(_)] = &heard[..] else { panic!("{heard:?}") };
    stage.send(a, &Packet::PubAck(PubAck::new(first.pkid, None)));
    assert_eq!(stage.messages(a), ["x=3"]);
}

#[test]
fn who_does_not_acknowledge_is_sent_away_in_the_end() {
    let mut stage = Stage::new();
    let a = stage.client_with("a", ConnectProperties { receive_maximum: Some(1), ..ConnectProperties::new() }, None);
    let b = stage.client("b");
    stage.subscribe(a, "x", AtLeastOnce);
    let content = "x".repeat(32 * 1024);
    for _ in 0..64 {
        stage.send(b, &Packet::Publish(Publish { pkid: 1, ..Publish::new("x", AtLeastOnce, content.clone(), None) }));
    }
    assert_eq!(stage.sent_away(a), reason::QUOTA_EXCEEDED);
    assert!(!stage.broker.client(b).unwrap().is_ending());
}

#[test]
fn who_does_not_read_misses_what_may_be_missed_and_is_not_read() {
    let mut stage = Stage::new();
    let [a, b] = ["a", "b"].map(|name| stage.client(name));
    stage.subscribe(a, "x", AtMostOnce);
    let content = "x".repeat(32 * 1024);
    for _ in 0..64 {
        stage.publish(b, "x", &content);
    }
    assert!(stage.broker.client(a).unwrap().output().len() <= super::client::OUTPUT_BYTES_MAX);
    for _ in 0..super::client::OUTPUT_BYTES_MAX {
        if !stage.broker.client(a).unwrap().reads() {
            break;
        }
        stage.send(a, &Packet::PingReq(rumqttc::v5::mqttbytes::v5::PingReq));
    }
    assert!(!stage.broker.client(a).unwrap().reads());
    assert!(stage.messages(a).len() > 8);
    assert!(stage.broker.client(a).unwrap().reads());
}

#[test]
fn a_will_is_published_unless_the_client_says_goodbye() {
    let mut stage = Stage::new();
    let watcher = stage.client("watcher");
    stage.subscribe(watcher, "#", AtMostOnce);
    let will = || Some(LastWill::new("wills", "gone", AtMostOnce, false, None));
    let polite = stage.client_with("polite", ConnectProperties::new(), will());
    let goodbye = Disconnect::new(DisconnectReasonCode::NormalDisconnection);
    stage.send(polite, &Packet::Disconnect(goodbye));
    stage.broker.closed(polite, stage.now);
    assert!(stage.messages(watcher).is_empty());
    let rude = stage.client_with("rude", ConnectProperties::new(), will());
    stage.broker.closed(rude, stage.now);
    assert_eq!(stage.messages(watcher), ["wills=gone"]);
}

#[test]
fn the_silent_the_doubled_and_the_rude_are_sent_away() {
    let mut stage = Stage::new();
    let silent = stage.client("silent");
    stage.later(16);
    assert!(stage.broker.tick(stage.now).is_empty());
    assert_eq!(stage.sent_away(silent), reason::KEEP_ALIVE);
    stage.later(3);
    assert_eq!(stage.broker.tick(stage.now), [silent]);

    let (first, _second) = (stage.client("same"), stage.client("same"));
    assert_eq!(stage.sent_away(first), reason::TAKEN_OVER);

    let message = |topic: &str| Publish { pkid: 1, ..Publish::new(topic, AtLeastOnce, "m", None) };
    let alias = PublishProperties { topic_alias: Some(1), ..Default::default() };
    let refused = [
        (Packet::Publish(message("x/+")), reason::TOPIC_INVALID),
        (Packet::Publish(message("")), reason::TOPIC_INVALID),
        (Packet::Publish(Publish { qos: ExactlyOnce, ..message("x") }), reason::QOS_UNSUPPORTED),
        (Packet::Publish(Publish { properties: Some(alias), ..message("x") }), reason::ALIAS_INVALID),
        (Packet::Connect(Connect { client_id: "again".into(), ..stranger() }, None, None), reason::PROTOCOL_ERROR),
    ];
    for (packet, wanted) in refused {
        let key = stage.client("rude");
        stage.send(key, &packet);
        assert_eq!(stage.sent_away(key), wanted, "{packet:?}");
        stage.broker.closed(key, stage.now);
    }
}

fn stranger() -> Connect {
    Connect { keep_alive: 0, client_id: String::new(), clean_start: true, properties: None }
}

#[test]
fn who_has_no_name_gets_one_and_who_says_nothing_goes() {
    let mut stage = Stage::new();
    let key = stage.broker.opened(stage.now);
    stage.send(key, &Packet::Connect(stranger(), None, None));
    let heard = stage.hear(key);
    let [Packet::ConnAck(answer)] = &heard[..] else { panic!("{heard:?}") };
    let told = answer.properties.as_ref().unwrap();
    assert!(told.assigned_client_identifier.is_some() && told.max_qos == Some(1), "{told:?}");

    let old = stage.broker.opened(stage.now);
    stage.broker.received(old, &[0x10, 12, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0, 0, 0], stage.now);
    let old = stage.broker.client(old).unwrap();
    assert_eq!((old.output(), old.is_ending()), (&[0x20, 3, 0, reason::VERSION_UNSUPPORTED, 0][..], true));

    let mute = stage.broker.opened(stage.now);
    stage.later(11);
    stage.broker.tick(stage.now);
    assert!(stage.broker.client(mute).unwrap().is_ending());
}
