//! Messages of a shard on their way to the broker, on the brokers' thread: one connection, many messages under way, and the broker's verdict
//! for each.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ringway_contract::{Cause, Fault, Retry};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Disconnect, DisconnectReasonCode, LastWill, Packet, PubRel, Publish};
use tokio::select;
use tokio::time::{Instant, sleep_until};

use super::chance;
use super::connection::{Accepted, Connection, End, Hello, Inbound, Target, connect};
use crate::bridge::{Claim, RemotePublisher, backoff};

/// Messages that the broker has and has not answered; it may allow fewer.
const UNDER_WAY_MAX: usize = 4 * 1024;

/// Bytes that are put together for one write.
const OUTPUT_BYTES_MAX: usize = 256 * 1024;

/// How long a message waits for a broker that is away.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// How long it does where another broker may take it.
pub const PATIENCE_AMONG_OTHERS: Duration = Duration::from_millis(500);

/// How long the broker remembers which messages of QoS 2 it has, in seconds.
const EXPIRY_S: u32 = 300;

/// How long a broker has for the last words.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

/// Where messages go.
pub struct Plan {
    /// The broker.
    pub target: Arc<Target>,
    /// What the broker publishes if the gateway goes without saying so.
    pub will: Option<LastWill>,
    /// How long a message waits for a broker that is away.
    pub patience: Duration,
}

struct Waiting {
    publish: Publish,
    claim: Claim,
    since: Instant,
    /// Whether a connection broke after it was sent: the broker may have it.
    doubtful: bool,
}

impl Waiting {
    /// A fault as it is told of this one.
    fn judged(&self, fault: Fault) -> Fault {
        if self.doubtful { fault } else { fault.retry(Retry::Safe) }
    }
}

struct Sent {
    publish: Publish,
    claim: Claim,
    since: Instant,
    /// QoS 2: the broker has it, and is asked to let it go.
    released: bool,
}

struct Producer {
    plan: Plan,
    remote: RemotePublisher<Publish>,
    /// Taken, and not sent over this connection.
    waiting: VecDeque<Waiting>,
    /// Sent and not answered, in their order.
    sent: VecDeque<Sent>,
    last_packet: u16,
}

/// Publishes until the shard has dropped its end.
pub async fn run(plan: Plan, remote: RemotePublisher<Publish>) {
    let mut producer = Producer { plan, remote, waiting: VecDeque::new(), sent: VecDeque::new(), last_packet: 0 };
    producer.run().await;
}

impl Producer {
    async fn run(&mut self) {
        let client_id = format!("ringway-publisher-{:016x}", chance());
        let mut failures = 0;
        let mut known = false;
        while self.wanted().await {
            let hello = Hello {
                client_id: client_id.clone(),
                clean_start: !known,
                expiry_s: EXPIRY_S,
                receive_maximum: u16::MAX,
                will: self.plan.will.clone(),
            };
            let target = self.plan.target.clone();
            let connected = select! {
                connected = connect(&target, hello) => connected,
                () = self.grow_old() => return,
            };
            let end = match connected {
                Ok((mut connection, accepted)) => {
                    let resumed = known && accepted.session_present;
                    known = true;
                    match self.serve(&mut connection, accepted, resumed, &mut failures).await {
                        Ok(()) => return leave(connection).await,
                        Err(end) => end,
                    }
                }
                Err(end) => end,
            };
            tracing::warn!(broker = target.host, port = target.port, %end, "a producer has lost its broker");
            let pause = backoff(failures);
            failures = failures.saturating_add(1);
            let given_up = target.attempts_max.is_some_and(|most| failures > most);
            let unreachable = Fault::new(Cause::BrokerUnreachable);
            let fault = match end {
                End::Told(reason @ (0x90 | 0x95 | 0x99)) => Some(fault(reason)),
                End::Unresolved(_) => Some(unreachable.detail("the broker's name does not resolve")),
                _ if given_up => Some(unreachable.detail("the attempts to connect are used up")),
                _ => end.lasting(),
            };
            if let Some(fault) = fault {
                self.fail(fault);
            }
            let until = Instant::now() + pause;
            select! {
                () = sleep_until(until) => {}
                () = self.grow_old() => return,
            }
        }
    }

    /// Waits until there is something to publish. `false`: there will be nothing any more.
    async fn wanted(&mut self) -> bool {
        loop {
            let gone = self.remote.is_gone();
            self.take_one();
            if !self.waiting.is_empty() || !self.sent.is_empty() {
                return true;
            }
            if gone || self.remote.ready().await.is_err() {
                return false;
            }
        }
    }

    /// While there is no connection: takes messages, and answers those that have waited for too long. Ends when the shard has gone and
    /// nothing waits.
    async fn grow_old(&mut self) {
        loop {
            let gone = self.remote.is_gone();
            while self.take_one() {}
            let now = Instant::now();
            let patience = self.plan.patience;
            let old = |since: &Instant| *since + patience <= now;
            let mut answered = false;
            while self.sent.front().is_some_and(|sent| old(&sent.since)) {
                let Some(sent) = self.sent.pop_front() else { break };
                let fault = Fault::new(Cause::BrokerClosed).detail("the broker has gone before it answered");
                self.remote.done(sent.claim, Err(fault));
                answered = true;
            }
            while self.waiting.front().is_some_and(|waiting| old(&waiting.since)) {
                let Some(waiting) = self.waiting.pop_front() else { break };
                let fault = waiting.judged(Fault::new(Cause::BrokerUnreachable));
                self.remote.done(waiting.claim, Err(fault));
                answered = true;
            }
            if answered {
                self.remote.ring();
            }
            let oldest = [self.sent.front().map(|sent| sent.since), self.waiting.front().map(|waiting| waiting.since)];
            let next = oldest.into_iter().flatten().min().map(|since| since + patience);
            match next {
                None if gone => return,
                None => {
                    if self.remote.ready().await.is_err() {
                        return;
                    }
                }
                Some(next) if gone => sleep_until(next).await,
                Some(next) => select! {
                    ready = self.remote.ready() => if ready.is_err() { return },
                    () = sleep_until(next) => {}
                },
            }
        }
    }

    /// Answers everything that is under way.
    fn fail(&mut self, fault: Fault) {
        for sent in self.sent.drain(..) {
            self.remote.done(sent.claim, Err(fault));
        }
        while self.take_one() {}
        for waiting in self.waiting.drain(..) {
            let fault = waiting.judged(fault);
            self.remote.done(waiting.claim, Err(fault));
        }
        self.remote.ring();
    }

    fn take_one(&mut self) -> bool {
        let Some(job) = self.remote.take() else { return false };
        let (_, publish, claim) = job.claim();
        self.waiting.push_back(Waiting { publish, claim, since: Instant::now(), doubtful: false });
        true
    }

    /// Serves a connection until the shard has gone and everything is answered.
    async fn serve(
        &mut self,
        connection: &mut Connection,
        accepted: Accepted,
        resumed: bool,
        failures: &mut u32,
    ) -> Result<(), End> {
        self.resume(connection, resumed)?;
        let under_way_max = accepted.receive_maximum.min(UNDER_WAY_MAX);
        loop {
            let mut answered = false;
            while let Some(packet) = connection.next()? {
                answered |= self.answer(packet, connection)?;
                *failures = 0;
            }
            let gone = self.remote.is_gone();
            let mut room = true;
            while room {
                room = connection.queued_bytes() < OUTPUT_BYTES_MAX && self.sent.len() < under_way_max;
                if !room || (self.waiting.is_empty() && !self.take_one()) {
                    break;
                }
                let Some(next) = self.waiting.pop_front() else { break };
                answered |= self.send(next, connection, &accepted)?;
            }
            if answered {
                self.remote.ring();
            }
            if gone && self.waiting.is_empty() && self.sent.is_empty() {
                return Ok(());
            }
            let deadline = connection.deadline();
            select! {
                biased;
                moved = connection.io(true) => moved?,
                ready = self.remote.ready(), if room && !gone => ready.map_err(End::Closed)?,
                () = sleep_until(deadline) => connection.tick(true)?,
            }
        }
    }

    /// Goes on where the last connection broke (MQTT 5, section 4.4).
    fn resume(&mut self, connection: &mut Connection, resumed: bool) -> Result<(), End> {
        if resumed {
            for sent in &mut self.sent {
                if sent.released {
                    connection.queue(&Packet::PubRel(PubRel::new(sent.publish.pkid, None)))?;
                } else {
                    sent.publish.dup = true;
                    connection.queue(&Packet::Publish(sent.publish.clone()))?;
                }
            }
            return Ok(());
        }
        let mut answered = false;
        while let Some(Sent { mut publish, claim, since, released }) = self.sent.pop_back() {
            if released {
                // The broker had it, and has forgotten that: sent again it might come twice.
                let fault = Fault::new(Cause::BrokerClosed).detail("the broker has forgotten a message of QoS 2");
                self.remote.done(claim, Err(fault));
                answered = true;
                continue;
            }
            (publish.pkid, publish.dup) = (0, false);
            self.waiting.push_front(Waiting { publish, claim, since, doubtful: true });
        }
        if answered {
            self.remote.ring();
        }
        Ok(())
    }

    /// Sends a message, or says why not. Whether one was answered.
    fn send(&mut self, next: Waiting, connection: &mut Connection, accepted: &Accepted) -> Result<bool, End> {
        let Waiting { mut publish, claim, since, .. } = next;
        let refusal = |detail| Err(Fault::new(Cause::PublishFailed).detail(detail));
        let acknowledged = publish.qos != QoS::AtMostOnce;
        if acknowledged {
            publish.pkid = self.packet();
        }
        let outcome = if publish.size() > accepted.packet_bytes_max {
            Err(Fault::new(Cause::MessageTooLarge).detail("the broker takes no packets of this size"))
        } else if publish.qos as u8 > accepted.qos_max {
            refusal("the broker does not have this QoS")
        } else if publish.retain && !accepted.retains {
            refusal("the broker does not retain messages")
        } else {
            let packet = Packet::Publish(publish);
            let queued = connection.queue(&packet);
            let Packet::Publish(publish) = packet else { return Ok(false) };
            match queued {
                Ok(()) if acknowledged => {
                    self.sent.push_back(Sent { publish, claim, since, released: false });
                    return Ok(false);
                }
                Ok(()) => Ok(()),
                Err(_) => Err(Fault::new(Cause::MessageTooLarge).detail("it does not fit into a packet")),
            }
        };
        self.remote.done(claim, outcome);
        Ok(true)
    }

    /// A packet identifier that is free (MQTT 5, section 2.2.1). There is one: fewer messages are under way than there are identifiers.
    fn packet(&mut self) -> u16 {
        loop {
            self.last_packet = self.last_packet.checked_add(1).unwrap_or(1);
            // In their order they are as good as sorted: what is behind the newest is seldom under way.
            if !self.sent.iter().any(|sent| sent.publish.pkid == self.last_packet) {
                return self.last_packet;
            }
        }
    }

    /// What the broker says of a message. Whether one was answered.
    fn answer(&mut self, packet: Inbound, connection: &mut Connection) -> Result<bool, End> {
        let (number, outcome) = match packet {
            Inbound::PubAck(number, reason) => (number, verdict(reason)),
            Inbound::PubRec(number, reason) => match verdict(reason) {
                Ok(()) => {
                    if let Some(sent) = self.sent.iter_mut().find(|sent| sent.publish.pkid == number) {
                        sent.released = true;
                    }
                    connection.queue(&Packet::PubRel(PubRel::new(number, None)))?;
                    return Ok(false);
                }
                Err(fault) => (number, Err(fault)),
            },
            // Whatever its reason: the broker does not have the identifier any more, so it has let the message go.
            Inbound::PubComp(number) => (number, Ok(())),
            _ => return Ok(false),
        };
        let Some(at) = self.sent.iter().position(|sent| sent.publish.pkid == number) else { return Ok(false) };
        let Some(sent) = self.sent.remove(at) else { return Ok(false) };
        self.remote.done(sent.claim, outcome);
        Ok(true)
    }
}

async fn leave(mut connection: Connection) {
    let goodbye = Disconnect { reason_code: DisconnectReasonCode::NormalDisconnection, properties: None };
    if connection.queue(&Packet::Disconnect(goodbye)).is_ok() {
        connection.close(LEAVE_WITHIN).await;
    }
}

/// A reason of PUBACK and PUBREC (MQTT 5, section 3.4.2.1). That nobody has subscribed (0x10) is no failure.
fn verdict(reason: u8) -> Result<(), Fault> {
    if reason < 0x80 { Ok(()) } else { Err(fault(reason)) }
}

fn fault(reason: u8) -> Fault {
    let (cause, detail) = match reason {
        0x87 => (Cause::BrokerRefused, "the broker does not allow to publish to the topic"),
        0x90 => (Cause::PublishFailed, "the broker takes no such topic"),
        0x95 => (Cause::MessageTooLarge, "the message is too large for the broker"),
        0x97 => (Cause::PublishFailed, "a quota of the broker is used up"),
        0x99 => (Cause::PublishFailed, "the payload is not what the broker expects"),
        _ => (Cause::PublishFailed, "the broker does not take the message"),
    };
    Fault::new(cause).detail(detail)
}
