//! A subscription: from the broker into a feed, on the brokers' thread.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ringway_contract::{Cause, Delivery, Fault, Message, Receipt};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    Disconnect, DisconnectProperties, DisconnectReasonCode, Filter, LastWill, Packet, PubAck, PubComp, PubRec, Publish,
    RetainForwardRule, Subscribe, Unsubscribe,
};
use tokio::select;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::chance;
use super::connection::{Connection, End, Hello, Inbound, Target, connect};
use super::convert;
use super::lease::{self, Lease};
use super::ledger::{Due, Ledger};
use super::packets::PROPERTIES_MAX;
use crate::bridge::{RemoteFeed, backoff};

/// When a message is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settle {
    /// When a client has it.
    Receipt,
    /// Before it is delivered.
    Before,
    /// As it is delivered.
    HandOver,
}

/// What a subscription is.
pub struct Plan {
    /// Where.
    pub target: Arc<Target>,
    /// Filters as the broker gets them.
    pub filters: Vec<String>,
    /// The QoS that is asked for.
    pub qos: QoS,
    /// When messages are acknowledged.
    pub settle: Settle,
    /// Who the broker remembers. `None`: nobody, only what comes from now on matters.
    pub consumer: Option<String>,
    /// Whether it begins with a new session.
    pub clean_start: bool,
    /// How long the broker remembers the consumer, in seconds.
    pub expiry_s: u32,
    /// Messages that it sends ahead of acknowledgements.
    pub receive_maximum: u16,
    /// What the broker publishes if the gateway goes without saying so.
    pub will: Option<LastWill>,
}

/// Messages that are taken from the connection before they are delivered.
const WAITING_MAX: usize = 256;

/// How long after a message came back it is asked for again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// How long a broker has for the last words of a subscription.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

/// Packet identifiers of this client's own packets: there is one SUBSCRIBE or UNSUBSCRIBE at a time.
const OWN_PACKET: u16 = 1;

/// The session was taken over (MQTT 5, section 3.14.2.1).
const TAKEN_OVER: u8 = 0x8E;

struct Consumer {
    plan: Plan,
    feed: RemoteFeed,
    lease: Option<Lease>,
    live_id: String,
    ledger: Ledger,
    /// Messages of QoS 2 that were received and not released.
    received: HashSet<u16>,
    waiting: VecDeque<Waiting>,
    /// Whether the feed was told that it is ready.
    ready: bool,
    connected_before: bool,
}

struct Waiting {
    message: Message,
    weight: usize,
    /// What is acknowledged as it is delivered.
    due: Option<Due>,
}

/// Runs a subscription until its feed is gone or it has failed for good.
pub async fn run(plan: Plan, feed: RemoteFeed) {
    let mut consumer = Consumer {
        plan,
        feed,
        lease: None,
        live_id: format!("ringway-live-{:016x}", chance()),
        ledger: Ledger::default(),
        received: HashSet::new(),
        waiting: VecDeque::new(),
        ready: false,
        connected_before: false,
    };
    if let Some(fault) = consumer.run().await {
        consumer.feed.deliver(Delivery::Fault(fault)).await;
    }
}

impl Consumer {
    async fn run(&mut self) -> Option<Fault> {
        let mut failures = 0;
        loop {
            if let Some(consumer) = self.plan.consumer.as_ref().filter(|_| self.lease.is_none()) {
                let Target { host, port, .. } = &*self.plan.target;
                let consumer = format!("{consumer}@{host}:{port}");
                let lease = select! {
                    lease = lease::take(&consumer) => lease,
                    () = gone(&mut self.feed, &mut self.ledger) => return None,
                };
                self.lease = Some(lease);
            }
            let hello = self.hello();
            let connected = select! {
                connected = connect(&self.plan.target, hello) => connected,
                () = gone(&mut self.feed, &mut self.ledger) => return None,
            };
            let away = connected.is_err();
            let end = match connected {
                Ok((mut connection, accepted)) => {
                    let served = self.serve(&mut connection, accepted.session_present, &mut failures).await;
                    match served {
                        Ok(()) => {
                            self.leave(connection).await;
                            return None;
                        }
                        Err(Stop::Fault(fault)) => return Some(fault),
                        Err(Stop::End(end)) => end,
                    }
                }
                Err(end) => end,
            };
            if matches!(end, End::Again) {
                continue;
            }
            tracing::warn!(broker = self.plan.target.host, port = self.plan.target.port, %end, "a subscription has lost its broker");
            if let Some(fault) = end.lasting() {
                return Some(fault);
            }
            if matches!(end, End::Unresolved(_)) && !self.ready {
                return Some(Fault::new(Cause::BrokerUnreachable).detail("the broker's name does not resolve"));
            }
            if matches!(end, End::Told(TAKEN_OVER)) {
                self.taken_over();
            }
            if away {
                // Without room for it, it is told the next time.
                let _ = self.feed.send(Delivery::Away(Fault::new(Cause::BrokerUnreachable)));
                self.feed.ring();
            }
            let pause = backoff(failures);
            failures = failures.saturating_add(1);
            if self.plan.target.attempts_max.is_some_and(|most| failures > most) {
                return Some(Fault::new(Cause::BrokerUnreachable).detail("the attempts to connect are used up"));
            }
            select! {
                () = sleep(pause) => {}
                () = gone(&mut self.feed, &mut self.ledger) => return None,
            }
        }
    }

    fn hello(&self) -> Hello {
        let (client_id, clean_start, expiry_s) = match (&self.plan.consumer, &self.lease) {
            (Some(consumer), Some(lease)) => {
                let clean = self.plan.clean_start && !self.connected_before;
                (format!("{consumer}-{}", lease.number), clean, self.plan.expiry_s)
            }
            _ => (self.live_id.clone(), true, 0),
        };
        let (receive_maximum, will) = (self.plan.receive_maximum, self.plan.will.clone());
        Hello { client_id, clean_start, expiry_s, receive_maximum, will }
    }

    /// Another gateway serves the same consumer at the same time: this one goes on as another client, and what the other has got is its.
    fn taken_over(&mut self) {
        if let Some(mut lease) = self.lease.take() {
            lease.foreign = true;
            self.ledger.connected(false);
            self.received.clear();
        }
    }

    /// Serves a connection until the feed is gone.
    async fn serve(&mut self, connection: &mut Connection, resumed: bool, failures: &mut u32) -> Result<(), Stop> {
        let resumed = resumed && self.connected_before;
        self.connected_before = true;
        self.ledger.connected(resumed);
        if !resumed {
            self.received.clear();
        }
        // Also a session that goes on: Mosquitto restores one from its disk without its shared subscriptions.
        connection.queue(&Packet::Subscribe(self.subscription()))?;
        let mut again_at = None;
        loop {
            let gone = self.feed.is_gone();
            self.receipts(connection)?;
            if gone {
                return Ok(());
            }
            if self.ledger.wants_again() {
                // Mostly it is the end of the feed that brings messages back: it is waited for, and another try is not made at once.
                match again_at {
                    Some(at) if at <= Instant::now() => return Err(End::Again.into()),
                    Some(_) => {}
                    None => again_at = Some(Instant::now() + AGAIN_AFTER),
                }
            }
            let mut moved = self.deliver(connection)?;
            while self.waiting.len() < self.room() {
                let Some(packet) = connection.next()? else { break };
                self.take(packet, connection, failures)?;
                moved |= self.deliver(connection)?;
            }
            if !self.ready && self.waiting.len() >= self.room() {
                // Mosquitto 2.0 begins a session that goes on with more than may be under way: it forgets that some of it was already. The
                // answer to the subscription stands behind that; but what is subscribed to has come.
                self.begin();
                moved |= self.deliver(connection)?;
            }
            if moved {
                self.feed.ring();
            }
            // What has to be acknowledged first waits for the kernel, anything else for the feed.
            let flushes = self.plan.settle == Settle::Before && !connection.is_flushed();
            let blocked = self.waiting.front().map(|front| front.weight).filter(|_| self.ready && !flushes);
            let reads = self.waiting.is_empty() || (!self.ready && self.waiting.len() < self.room());
            let deadline = again_at.map_or(connection.deadline(), |at| at.min(connection.deadline()));
            select! {
                biased;
                moved = connection.io(reads) => moved?,
                waited = self.feed.ready(blocked) => waited.map_err(End::Closed)?,
                () = sleep_until(deadline) => connection.tick(reads)?,
            }
        }
    }

    /// Messages that may wait: more than one only where their acknowledgements go out together, and before the broker has answered: a session
    /// that goes on begins with messages.
    fn room(&self) -> usize {
        match (self.ready, self.plan.settle) {
            (false, _) => WAITING_MAX.max(usize::from(self.plan.receive_maximum) + 1),
            (true, Settle::Before) => WAITING_MAX,
            (true, _) => 1,
        }
    }

    fn subscription(&self) -> Subscribe {
        let retain_forward_rule = match (&self.plan.consumer, self.ready) {
            (Some(_), _) => RetainForwardRule::OnNewSubscribe,
            // Whoever listens has had them.
            (None, true) => RetainForwardRule::Never,
            (None, false) => RetainForwardRule::OnEverySubscribe,
        };
        let filter = |path: &String| Filter {
            retain_forward_rule: retain_forward_rule.clone(),
            ..Filter::new(path, self.plan.qos)
        };
        Subscribe { pkid: OWN_PACKET, filters: self.plan.filters.iter().map(filter).collect(), properties: None }
    }

    fn receipts(&mut self, connection: &mut Connection) -> Result<(), End> {
        while let Some(receipt) = self.feed.receipt() {
            self.ledger.settle(receipt);
        }
        while let Some(due) = self.ledger.due() {
            self.acknowledge(due, connection)?;
        }
        Ok(())
    }

    fn acknowledge(&mut self, due: Due, connection: &mut Connection) -> Result<(), End> {
        match due.qos {
            QoS::AtMostOnce => Ok(()),
            QoS::AtLeastOnce => connection.queue(&Packet::PubAck(PubAck::new(due.packet, None))),
            QoS::ExactlyOnce => {
                self.received.insert(due.packet);
                connection.queue(&Packet::PubRec(PubRec::new(due.packet, None)))
            }
        }
    }

    fn take(&mut self, packet: Inbound, connection: &mut Connection, failures: &mut u32) -> Result<(), Stop> {
        match packet {
            Inbound::Publish(publish) => self.arrived(publish, connection)?,
            Inbound::Overloaded(packet, qos) => self.left_out(packet, qos, connection)?,
            Inbound::PubRel(packet) => {
                self.received.remove(&packet);
                connection.queue(&Packet::PubComp(PubComp::new(packet, None)))?;
            }
            Inbound::SubAck(reasons) => {
                let refused = reasons.iter().copied().find(|reason| *reason >= 0x80);
                if let Some(reason) = refused {
                    tracing::warn!(broker = self.plan.target.host, filters = ?self.plan.filters, "a subscription is refused with reason 0x{reason:02x}");
                    return Err(Stop::Fault(subscription_fault(reason)));
                }
                *failures = 0;
                if !self.ready {
                    self.begin();
                }
            }
            Inbound::PubAck(..) | Inbound::PubRec(..) | Inbound::PubComp(_) | Inbound::UnsubAck => {}
        }
        Ok(())
    }

    /// The subscription is there.
    fn begin(&mut self) {
        self.ready = true;
        // The ring is empty.
        let _ = self.feed.send(Delivery::Ready);
        self.feed.ring();
    }

    fn arrived(&mut self, publish: Publish, connection: &mut Connection) -> Result<(), End> {
        let mut due = (publish.qos != QoS::AtMostOnce).then_some(Due { packet: publish.pkid, qos: publish.qos });
        if publish.qos == QoS::ExactlyOnce && self.received.contains(&publish.pkid) {
            // It was delivered; what got lost is that the broker may forget it.
            return connection.queue(&Packet::PubRec(PubRec::new(publish.pkid, None)));
        }
        let mut position = Default::default();
        match self.plan.settle {
            Settle::Receipt => {
                due = None;
                match self.ledger.enter(&publish) {
                    Some(given) => position = given,
                    None => return Ok(()),
                }
            }
            Settle::Before => {
                // It may have been delivered before the connection broke.
                let again = publish.dup;
                if let Some(due) = due.take() {
                    self.acknowledge(due, connection)?;
                }
                if again {
                    return Ok(());
                }
            }
            Settle::HandOver => {}
        }
        let message = Message { position, ..convert::inbound(publish) };
        self.waiting.push_back(Waiting { weight: message.weight(), message, due });
        Ok(())
    }

    /// A message that nobody is given. It is acknowledged in its turn, or it would come again for ever.
    fn left_out(&mut self, packet: u16, qos: QoS, connection: &mut Connection) -> Result<(), End> {
        tracing::warn!(broker = self.plan.target.host, filters = ?self.plan.filters, "a message with more than {PROPERTIES_MAX} properties is left out");
        let again = qos == QoS::ExactlyOnce && self.received.contains(&packet);
        if again || self.plan.settle != Settle::Receipt {
            return self.acknowledge(Due { packet, qos }, connection);
        }
        let empty = Publish { pkid: packet, ..Publish::new("", qos, "", None) };
        if let Some(position) = self.ledger.enter(&empty) {
            self.ledger.settle(Receipt::Ack(position));
        }
        self.receipts(connection)
    }

    /// Hands over what waits, as far as there is room. Whether the shard is to be woken.
    fn deliver(&mut self, connection: &mut Connection) -> Result<bool, End> {
        if !self.ready || (self.plan.settle == Settle::Before && !connection.is_flushed()) {
            return Ok(false);
        }
        let mut moved = false;
        while let Some(Waiting { message, weight, due }) = self.waiting.pop_front() {
            if let Err(Delivery::Message(message)) = self.feed.send(Delivery::Message(message)) {
                self.waiting.push_front(Waiting { message, weight, due });
                break;
            }
            moved = true;
            if let Some(due) = due {
                self.acknowledge(due, connection)?;
            }
        }
        Ok(moved)
    }

    /// Says goodbye. A first session stays with the broker until the consumer comes back; another goes, unless there are messages in it.
    async fn leave(&mut self, mut connection: Connection) {
        let by = Instant::now() + LEAVE_WITHIN;
        let mut expiry_s = None;
        if let Some(lease) = self.lease.as_mut().filter(|lease| lease.number > 0) {
            let filters = self.plan.filters.clone();
            let unsubscribe = Unsubscribe { pkid: OWN_PACKET, filters, properties: None };
            let queued = connection.queue(&Packet::Unsubscribe(unsubscribe));
            let mut left = !self.ledger.is_empty() || !self.waiting.is_empty() || !self.received.is_empty();
            let done = async {
                queued?;
                loop {
                    match connection.next()? {
                        Some(Inbound::UnsubAck) => return Ok::<_, End>(()),
                        Some(Inbound::Overloaded(_, qos)) => left |= qos != QoS::AtMostOnce,
                        Some(Inbound::Publish(publish)) => left |= publish.qos != QoS::AtMostOnce,
                        Some(_) => {}
                        None => connection.io(true).await?,
                    }
                }
            };
            left |= !matches!(timeout_at(by, done).await, Ok(Ok(())));
            lease.stranded = left;
            expiry_s = (!left).then_some(0);
        }
        let properties = expiry_s.map(|seconds| DisconnectProperties {
            session_expiry_interval: Some(seconds),
            reason_string: None,
            user_properties: Vec::new(),
            server_reference: None,
        });
        let reason_code = DisconnectReasonCode::NormalDisconnection;
        if connection.queue(&Packet::Disconnect(Disconnect { reason_code, properties })).is_ok() {
            connection.close(LEAVE_WITHIN).await;
        }
    }
}

/// Why a connection is not served any more.
enum Stop {
    End(End),
    Fault(Fault),
}

impl From<End> for Stop {
    fn from(end: End) -> Self {
        Self::End(end)
    }
}

/// Waits until the feed is gone; receipts are kept meanwhile.
async fn gone(feed: &mut RemoteFeed, ledger: &mut Ledger) {
    loop {
        let gone = feed.is_gone();
        while let Some(receipt) = feed.receipt() {
            ledger.settle(receipt);
        }
        if gone || feed.ready(None).await.is_err() {
            return;
        }
    }
}

/// A reason of SUBACK (MQTT 5, section 3.9.3).
fn subscription_fault(reason: u8) -> Fault {
    let (cause, detail) = match reason {
        0x87 => (Cause::BrokerRefused, "the broker does not allow the subscription"),
        0x8F => (Cause::SubscribeFailed, "the broker takes no such topic filter"),
        0x97 => (Cause::SubscribeFailed, "a quota of the broker is used up"),
        0x9E => (Cause::SubscribeFailed, "the broker has no shared subscriptions: set `consumer.shared` to false"),
        0xA2 => (Cause::SubscribeFailed, "the broker has no wildcards"),
        _ => (Cause::SubscribeFailed, "the broker does not take the subscription"),
    };
    Fault::new(cause).detail(detail)
}
