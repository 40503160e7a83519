//! What a broker does, without I/O and without a clock: clients, subscriptions, retained messages.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnAckProperties, Connect, ConnectReturnCode, LastWill, Packet, PingResp, PubAck, PubAckReason, Publish,
    PublishProperties, RetainForwardRule, SubAck, Subscribe, SubscribeReasonCode, UnsubAck, UnsubAckReason,
    Unsubscribe,
};

use super::client::Client;
use super::packet::{self, Inbound, PACKET_BYTES_MAX, reason};
use super::topic::{self, Wanted};

/// Subscriptions of all clients together.
const SUBSCRIPTIONS_MAX: usize = 1024;
/// Topics that have a retained message.
const RETAINED_MAX: usize = 256;
/// The highest QoS: messages of QoS 2 are refused, and clients are told so.
const QOS_MAX: QoS = QoS::AtLeastOnce;
/// Bytes of a client's own name for itself.
const NAME_BYTES_MAX: usize = 256;

/// A connection's number.
pub type Key = u64;

/// A broker.
#[derive(Default)]
pub struct Broker {
    clients: BTreeMap<Key, Client>,
    subscriptions: Vec<Subscription>,
    retained: BTreeMap<String, Retained>,
    last_key: Key,
    /// Messages that were given to members of groups.
    shared: u64,
}

struct Subscription {
    client: Key,
    wanted: Wanted,
    qos: QoS,
    /// Its own messages do not come back.
    no_local: bool,
    /// Messages say that they are retained as their publisher did.
    keeps_retain: bool,
    identifier: Option<usize>,
    /// Of a group: when it had its last message, in messages of all groups.
    served: u64,
}

struct Retained {
    message: Publish,
    /// When nobody wants it any more.
    until: Option<Instant>,
}

/// A copy of a message for a client.
struct Copy {
    qos: QoS,
    retain: bool,
    identifiers: Vec<usize>,
}

impl Broker {
    /// A client has connected.
    pub fn opened(&mut self, now: Instant) -> Key {
        self.last_key += 1;
        self.clients.insert(self.last_key, Client::new(now));
        self.last_key
    }

    /// A client.
    pub fn client(&self, key: Key) -> Option<&Client> {
        self.clients.get(&key)
    }

    /// When [`Broker::tick`] wants to be called.
    pub fn deadline(&self) -> Option<Instant> {
        self.clients.values().filter_map(Client::deadline).min()
    }

    /// Ends whose patience is over; names those that are to be cut off.
    pub fn tick(&mut self, now: Instant) -> Vec<Key> {
        let late = |client: &Client| client.deadline().is_some_and(|deadline| deadline <= now);
        let late: Vec<Key> = self.clients.iter().filter(|(_, client)| late(client)).map(|(key, _)| *key).collect();
        let (cut, silent): (Vec<Key>, Vec<Key>) =
            late.into_iter().partition(|key| self.clients.get(key).is_none_or(Client::is_ending));
        for key in silent {
            self.end(key, reason::KEEP_ALIVE, now);
        }
        cut
    }

    /// A client has sent something.
    pub fn received(&mut self, key: Key, bytes: &[u8], now: Instant) {
        if let Some(client) = self.clients.get_mut(&key) {
            client.heard(now);
            client.input.extend_from_slice(bytes);
        }
        self.look(key, now);
    }

    /// The kernel has taken some of what a client is sent.
    pub fn sent(&mut self, key: Key, count: usize, now: Instant) {
        if let Some(client) = self.clients.get_mut(&key) {
            client.sent(count);
        }
        self.look(key, now);
    }

    /// A connection is gone.
    pub fn closed(&mut self, key: Key, now: Instant) {
        self.forget(key);
        let client = self.clients.remove(&key);
        if let Some(will) = client.and_then(|client| client.will) {
            self.publish(&last_message(will), None, now);
        }
    }

    /// Publishes a message to everybody who wants it, and says whether it could be kept, if that was asked for.
    pub fn publish(&mut self, message: &Publish, from: Option<Key>, now: Instant) -> bool {
        let Ok(name) = std::str::from_utf8(&message.topic) else { return false };
        let kept = !message.retain || self.retain(name, message, now);
        let mut overflown = Vec::new();
        for (key, copy) in self.copies(name, from) {
            let message = copy.of(message, copy.retain && message.retain, None);
            if self.clients.get_mut(&key).is_some_and(|client| client.deliver(message).is_err()) {
                overflown.push(key);
            }
        }
        for key in overflown {
            self.end(key, reason::QUOTA_EXCEEDED, now);
        }
        kept
    }

    /// Who gets a message.
    fn copies(&mut self, name: &str, from: Option<Key>) -> Vec<(Key, Copy)> {
        let mut copies: BTreeMap<Key, Copy> = BTreeMap::new();
        // Of each group, who has waited longest.
        let mut groups: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for (at, subscription) in self.subscriptions.iter().enumerate() {
            let Wanted { group, filter } = &subscription.wanted;
            if !topic::matches(filter, name) || (subscription.no_local && from == Some(subscription.client)) {
                continue;
            }
            match group {
                None => copies.entry(subscription.client).or_insert_with(Copy::none).join(subscription),
                Some(group) => {
                    let first = groups.entry((group, filter)).or_insert(at);
                    if self.subscriptions.get(*first).is_some_and(|first| subscription.served < first.served) {
                        *first = at;
                    }
                }
            }
        }
        let chosen: Vec<usize> = groups.into_values().collect();
        let mut copies: Vec<(Key, Copy)> = copies.into_iter().collect();
        for at in chosen {
            let Some(subscription) = self.subscriptions.get_mut(at) else { continue };
            self.shared += 1;
            subscription.served = self.shared;
            let mut copy = Copy::none();
            copy.join(subscription);
            copies.push((subscription.client, copy));
        }
        copies
    }

    fn retain(&mut self, name: &str, message: &Publish, now: Instant) -> bool {
        // Section 3.3.1.3: one without content takes it away.
        if message.payload.is_empty() {
            self.retained.remove(name);
            return true;
        }
        self.retained.retain(|_, retained| retained.until.is_none_or(|until| now < until));
        if self.retained.len() >= RETAINED_MAX && !self.retained.contains_key(name) {
            return false;
        }
        let expiry_s = message.properties.as_ref().and_then(|properties| properties.message_expiry_interval);
        let until = expiry_s.map(|seconds| now + Duration::from_secs(u64::from(seconds)));
        self.retained.insert(name.to_owned(), Retained { message: message.clone(), until });
        true
    }

    /// Looks at what a client has sent, as far as it takes its answers.
    fn look(&mut self, key: Key, now: Instant) {
        while let Some(client) = self.clients.get_mut(&key).filter(|client| client.reads()) {
            match packet::take(&mut client.input) {
                Ok(Some(packet)) => {
                    if let Err(reason) = self.obey(key, packet, now) {
                        self.end(key, reason, now);
                    }
                }
                Ok(None) => return,
                Err(reason) => self.end(key, reason, now),
            }
        }
    }

    fn obey(&mut self, key: Key, packet: Inbound, now: Instant) -> Result<(), u8> {
        let Some(client) = self.clients.get_mut(&key) else { return Ok(()) };
        match packet {
            Inbound::Connect(connect, will) if client.name.is_none() => self.introduce(key, connect, will, now),
            // Its first packet, and no other, is CONNECT (section 3.1).
            Inbound::Connect(..) => Err(reason::PROTOCOL_ERROR),
            _ if client.name.is_none() => Err(reason::PROTOCOL_ERROR),
            Inbound::Publish(publish) => self.take(key, publish, now),
            Inbound::PubAck(packet) => {
                client.acknowledged(packet);
                Ok(())
            }
            Inbound::Subscribe(subscribe) => self.subscribe(key, subscribe, now),
            Inbound::Unsubscribe(unsubscribe) => {
                self.unsubscribe(key, &unsubscribe);
                Ok(())
            }
            Inbound::Ping => {
                client.answer(&Packet::PingResp(PingResp));
                Ok(())
            }
            Inbound::Disconnect(with_will) => {
                client.will = client.will.take().filter(|_| with_will);
                client.leave(now);
                self.forget(key);
                Ok(())
            }
        }
    }

    fn introduce(&mut self, key: Key, connect: Connect, will: Option<LastWill>, now: Instant) -> Result<(), u8> {
        let asked = connect.properties.as_ref();
        if asked.is_some_and(|asked| asked.authentication_method.is_some()) {
            return Err(reason::METHOD_UNKNOWN);
        }
        if connect.client_id.len() > NAME_BYTES_MAX {
            return Err(reason::QUOTA_EXCEEDED);
        }
        if let Some(will) = &will {
            let named = std::str::from_utf8(&will.topic).is_ok_and(topic::is_topic);
            (named).then_some(()).ok_or(reason::TOPIC_INVALID)?;
            (will.qos <= QOS_MAX).then_some(()).ok_or(reason::QOS_UNSUPPORTED)?;
        }
        let assigned = connect.client_id.is_empty().then(|| format!("client-{key}"));
        let name = assigned.clone().unwrap_or(connect.client_id);
        let earlier =
            self.clients.iter().find(|(_, client)| client.name.as_ref() == Some(&name) && !client.is_ending());
        if let Some(earlier) = earlier.map(|(key, _)| *key) {
            self.end(earlier, reason::TAKEN_OVER, now);
        }
        let Some(client) = self.clients.get_mut(&key) else { return Ok(()) };
        (client.name, client.will) = (Some(name), will);
        client.keep_alive(connect.keep_alive);
        if let Some(most) = asked.and_then(|asked| asked.receive_maximum) {
            client.receive_maximum = usize::from(most.max(1));
        }
        if let Some(bytes) = asked.and_then(|asked| asked.max_packet_size) {
            client.packet_bytes_max = bytes as usize;
        }
        // Sessions end with their connections.
        let lasting = asked.and_then(|asked| asked.session_expiry_interval).is_some_and(|seconds| seconds > 0);
        client.answer(&Packet::ConnAck(accepted(lasting.then_some(0), assigned)));
        Ok(())
    }

    fn take(&mut self, key: Key, publish: Publish, now: Instant) -> Result<(), u8> {
        if publish.qos > QOS_MAX {
            return Err(reason::QOS_UNSUPPORTED);
        }
        let properties = publish.properties.as_ref();
        if properties.is_some_and(|properties| properties.topic_alias.is_some()) {
            return Err(reason::ALIAS_INVALID);
        }
        if properties.is_some_and(|properties| !properties.subscription_identifiers.is_empty()) {
            return Err(reason::PROTOCOL_ERROR);
        }
        if !std::str::from_utf8(&publish.topic).is_ok_and(topic::is_topic) {
            return Err(reason::TOPIC_INVALID);
        }
        let kept = self.publish(&own(&publish), Some(key), now);
        if let Some(client) = self.clients.get_mut(&key).filter(|_| publish.qos == QoS::AtLeastOnce) {
            let reason = if kept { PubAckReason::Success } else { PubAckReason::QuotaExceeded };
            client.answer(&Packet::PubAck(PubAck { pkid: publish.pkid, reason, properties: None }));
        }
        Ok(())
    }

    fn subscribe(&mut self, key: Key, subscribe: Subscribe, now: Instant) -> Result<(), u8> {
        let identifier = subscribe.properties.as_ref().and_then(|properties| properties.id);
        if subscribe.pkid == 0 || identifier == Some(0) {
            return Err(reason::PROTOCOL_ERROR);
        }
        let mut answers = Vec::with_capacity(subscribe.filters.len());
        let mut remembered = Vec::new();
        for filter in subscribe.filters {
            let Some(wanted) = topic::wanted(&filter.path) else {
                answers.push(SubscribeReasonCode::TopicFilterInvalid);
                continue;
            };
            // Section 3.8.3.1: it would be shared with whoever published.
            if wanted.group.is_some() && filter.nolocal {
                return Err(reason::PROTOCOL_ERROR);
            }
            let earlier = self.subscriptions.iter().position(|other| other.client == key && other.wanted == wanted);
            if earlier.is_none() && self.subscriptions.len() >= SUBSCRIPTIONS_MAX {
                answers.push(SubscribeReasonCode::QuotaExceeded);
                continue;
            }
            if let Some(earlier) = earlier {
                self.subscriptions.swap_remove(earlier);
            }
            let qos = least(filter.qos, QOS_MAX);
            answers.push(SubscribeReasonCode::Success(qos));
            let tells = match filter.retain_forward_rule {
                RetainForwardRule::OnEverySubscribe => true,
                RetainForwardRule::OnNewSubscribe => earlier.is_none(),
                RetainForwardRule::Never => false,
            };
            // Section 4.8.2: members of a group do not get them.
            if tells && wanted.group.is_none() {
                remembered.push((wanted.filter.clone(), qos));
            }
            self.subscriptions.push(Subscription {
                client: key,
                wanted,
                qos,
                no_local: filter.nolocal,
                keeps_retain: filter.preserve_retain,
                identifier,
                served: self.shared,
            });
        }
        if let Some(client) = self.clients.get_mut(&key) {
            let answer = SubAck { pkid: subscribe.pkid, return_codes: answers, properties: None };
            client.answer(&Packet::SubAck(answer));
        }
        for (filter, qos) in remembered {
            self.remember(key, &filter, qos, identifier, now)?;
        }
        Ok(())
    }

    /// Sends what is kept for those who come later.
    fn remember(
        &mut self,
        key: Key,
        filter: &str,
        qos: QoS,
        identifier: Option<usize>,
        now: Instant,
    ) -> Result<(), u8> {
        let Some(client) = self.clients.get_mut(&key) else { return Ok(()) };
        for (name, Retained { message, until }) in &self.retained {
            if !topic::matches(filter, name) || until.is_some_and(|until| until <= now) {
                continue;
            }
            let copy = Copy { qos, retain: true, identifiers: identifier.into_iter().collect() };
            // Section 3.3.2.3.3: it says how long it is still wanted.
            let left_s = until.map(|until| (until - now).as_secs() as u32);
            client.deliver(copy.of(message, true, left_s)).map_err(|_| reason::QUOTA_EXCEEDED)?;
        }
        Ok(())
    }

    fn unsubscribe(&mut self, key: Key, unsubscribe: &Unsubscribe) {
        let mut reasons = Vec::with_capacity(unsubscribe.filters.len());
        for filter in &unsubscribe.filters {
            let wanted = topic::wanted(filter);
            let before = self.subscriptions.len();
            self.subscriptions.retain(|other| other.client != key || Some(&other.wanted) != wanted.as_ref());
            reasons.push(match (wanted, self.subscriptions.len() < before) {
                (None, _) => UnsubAckReason::TopicFilterInvalid,
                (_, true) => UnsubAckReason::Success,
                (_, false) => UnsubAckReason::NoSubscriptionExisted,
            });
        }
        if let Some(client) = self.clients.get_mut(&key) {
            client.answer(&Packet::UnsubAck(UnsubAck { pkid: unsubscribe.pkid, reasons, properties: None }));
        }
    }

    fn end(&mut self, key: Key, reason: u8, now: Instant) {
        if let Some(client) = self.clients.get_mut(&key) {
            client.end(reason, now);
        }
        self.forget(key);
    }

    /// Nothing is sent to it any more.
    fn forget(&mut self, key: Key) {
        self.subscriptions.retain(|subscription| subscription.client != key);
    }
}

impl Copy {
    fn none() -> Self {
        Self { qos: QoS::AtMostOnce, retain: false, identifiers: Vec::new() }
    }

    /// Section 3.3.4: one copy for all subscriptions of a client, at the highest QoS.
    fn join(&mut self, subscription: &Subscription) {
        if subscription.qos > self.qos {
            self.qos = subscription.qos;
        }
        self.retain |= subscription.keeps_retain;
        self.identifiers.extend(subscription.identifier);
    }

    fn of(&self, message: &Publish, retain: bool, left_s: Option<u32>) -> Publish {
        let mut properties = message.properties.clone();
        if !self.identifiers.is_empty() {
            properties.get_or_insert_default().subscription_identifiers.clone_from(&self.identifiers);
        }
        if let (Some(properties), Some(left_s)) = (&mut properties, left_s) {
            properties.message_expiry_interval = Some(left_s);
        }
        Publish { dup: false, qos: least(self.qos, message.qos), retain, pkid: 0, properties, ..message.clone() }
    }
}

fn least(a: QoS, b: QoS) -> QoS {
    if a < b { a } else { b }
}

/// A message that does not hold on to the buffer that it was read into.
fn own(publish: &Publish) -> Publish {
    let copied = |bytes: &Bytes| Bytes::copy_from_slice(bytes);
    let properties = publish.properties.as_ref().map(|properties| PublishProperties {
        correlation_data: properties.correlation_data.as_ref().map(copied),
        ..properties.clone()
    });
    Publish { topic: copied(&publish.topic), payload: copied(&publish.payload), properties, ..publish.clone() }
}

fn last_message(will: LastWill) -> Publish {
    let properties = will.properties.map(|told| PublishProperties {
        payload_format_indicator: told.payload_format_indicator,
        message_expiry_interval: told.message_expiry_interval,
        response_topic: told.response_topic,
        correlation_data: told.correlation_data,
        user_properties: told.user_properties,
        content_type: told.content_type,
        ..PublishProperties::default()
    });
    let LastWill { topic, message, qos, retain, .. } = will;
    own(&Publish { dup: false, qos, retain, topic, pkid: 0, payload: message, properties })
}

fn accepted(session_expiry_interval: Option<u32>, assigned_client_identifier: Option<String>) -> ConnAck {
    let properties = ConnAckProperties {
        session_expiry_interval,
        receive_max: None,
        max_qos: Some(QOS_MAX as u8),
        retain_available: None,
        max_packet_size: Some(PACKET_BYTES_MAX as u32),
        assigned_client_identifier,
        topic_alias_max: None,
        reason_string: None,
        user_properties: Vec::new(),
        wildcard_subscription_available: None,
        subscription_identifiers_available: None,
        shared_subscription_available: None,
        server_keep_alive: None,
        response_information: None,
        server_reference: None,
        authentication_method: None,
        authentication_data: None,
    };
    ConnAck { session_present: false, code: ConnectReturnCode::Success, properties: Some(properties) }
}
