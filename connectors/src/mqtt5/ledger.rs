//! What was delivered and not acknowledged.
//!
//! Receipts come in any order; acknowledgements go out in the order of the messages (MQTT 5, section 4.6). A connection that breaks takes
//! nothing away: the broker sends what it has no acknowledgement for again, with the same packet identifier, and what is still on its way to a client is not delivered twice for that.

use std::collections::VecDeque;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use ringway_contract::{Position, Receipt};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Publish;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// On its way to a client.
    Out,
    /// A client has it.
    Settled,
    /// It could not be delivered.
    Returned,
}

struct Entry {
    /// 0: nothing is to be acknowledged.
    packet: u16,
    qos: QoS,
    print: u64,
    state: State,
    /// The connection that it came over last.
    connection: u32,
    /// Whether the broker had nothing before it left to send again. Not so of what it sends again because an acknowledgement got lost: that
    /// stands at the end here, and comes before what is older here.
    in_order: bool,
}

/// An acknowledgement that may go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The message's packet identifier.
    pub packet: u16,
    /// The message's QoS.
    pub qos: QoS,
}

/// The messages of one subscription that were delivered and not acknowledged, over all its connections.
#[derive(Default)]
pub struct Ledger {
    entries: VecDeque<Entry>,
    /// Position of the first entry.
    first: i64,
    connection: u32,
    returned: bool,
}

impl Ledger {
    /// There is a new connection. `resumed`: the broker knows of the last one.
    pub fn connected(&mut self, resumed: bool) {
        self.connection = self.connection.wrapping_add(1);
        self.returned = false;
        if !resumed {
            self.entries.iter_mut().for_each(|entry| entry.packet = 0);
        }
    }

    /// A message has come: the position under which it is to be delivered. `None`: it is on its way already.
    pub fn enter(&mut self, publish: &Publish) -> Option<Position> {
        let print = print(publish);
        // The DUP flag is not asked for: Mosquitto forgets it over a restart. An entry was never acknowledged, so the identifier is still its.
        let connection = self.connection;
        let known =
            |entry: &Entry| entry.packet == publish.pkid && entry.print == print && entry.connection != connection;
        if publish.pkid != 0
            && let Some((at, entry)) = self.entries.iter_mut().enumerate().find(|(_, entry)| known(entry))
        {
            entry.connection = self.connection;
            entry.in_order = true;
            let again = entry.state == State::Returned;
            if again {
                entry.state = State::Out;
            }
            return again.then(|| Position { part: 0, offset: self.first + at as i64 });
        }
        self.entries.push_back(Entry {
            packet: publish.pkid,
            qos: publish.qos,
            print,
            state: State::Out,
            connection: self.connection,
            in_order: !publish.dup,
        });
        Some(Position { part: 0, offset: self.first + self.entries.len() as i64 - 1 })
    }

    /// What became of a message.
    pub fn settle(&mut self, receipt: Receipt) {
        let (position, state) = match receipt {
            Receipt::Ack(position) => (position, State::Settled),
            Receipt::Nack(position) => (position, State::Returned),
        };
        let at = usize::try_from(position.offset - self.first).unwrap_or(usize::MAX);
        if let Some(entry) = self.entries.get_mut(at).filter(|entry| entry.state == State::Out) {
            entry.state = state;
            // What the broker would not send again is not waited for.
            self.returned |= state == State::Returned && entry.packet != 0;
            if state == State::Returned && entry.packet == 0 {
                entry.state = State::Settled;
            }
        }
    }

    /// The next acknowledgement.
    pub fn due(&mut self) -> Option<Due> {
        while self.entries.front()?.state == State::Settled {
            let (packet, qos, current) = {
                let entry = self.entries.front()?;
                (entry.packet, entry.qos, entry.connection == self.connection)
            };
            // The broker sends again in order: what it has left out it counts as acknowledged.
            let shows = |entry: &Entry| entry.connection == self.connection && entry.in_order;
            let outdated = || self.entries.iter().skip(1).any(shows);
            if packet != 0 && !current && !outdated() {
                return None;
            }
            self.entries.pop_front();
            self.first += 1;
            if packet != 0 && current {
                return Some(Due { packet, qos });
            }
        }
        None
    }

    /// Whether a message could not be delivered, so that the broker has to send it again: over a new connection.
    pub fn wants_again(&self) -> bool {
        self.returned
    }

    /// Whether nothing is left that the broker waits for.
    pub fn is_empty(&self) -> bool {
        self.entries.iter().all(|entry| entry.packet == 0)
    }
}

fn print(publish: &Publish) -> u64 {
    let mut hasher = DefaultHasher::new();
    publish.topic.hash(&mut hasher);
    publish.payload.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(packet: u16, content: &'static str, dup: bool) -> Publish {
        Publish { pkid: packet, dup, ..Publish::new("t", QoS::AtLeastOnce, content, None) }
    }

    fn due(ledger: &mut Ledger) -> Vec<u16> {
        std::iter::from_fn(|| ledger.due()).map(|due| due.packet).collect()
    }

    fn enter(ledger: &mut Ledger, packet: u16) -> Position {
        ledger.enter(&publish(packet, "x", false)).unwrap()
    }

    #[test]
    fn acknowledgements_go_out_in_the_order_of_the_messages() {
        let mut ledger = Ledger::default();
        ledger.connected(false);
        let positions: Vec<_> = (1..=4).map(|packet| enter(&mut ledger, packet)).collect();
        ledger.settle(Receipt::Ack(positions[2]));
        assert_eq!(due(&mut ledger), [0_u16; 0]);
        ledger.settle(Receipt::Ack(positions[0]));
        assert_eq!(due(&mut ledger), [1]);
        ledger.settle(Receipt::Ack(positions[1]));
        assert_eq!(due(&mut ledger), [2, 3]);
        assert!(!ledger.is_empty());
        ledger.settle(Receipt::Ack(positions[3]));
        assert_eq!(due(&mut ledger), [4]);
        assert!(ledger.is_empty() && !ledger.wants_again());
    }

    #[test]
    fn what_comes_again_over_a_new_connection_is_delivered_once() {
        let mut ledger = Ledger::default();
        ledger.connected(false);
        let positions: Vec<_> = (1..=3).map(|packet| enter(&mut ledger, packet)).collect();
        ledger.settle(Receipt::Ack(positions[0]));
        ledger.connected(true);
        assert_eq!(due(&mut ledger), [0_u16; 0], "before the broker has asked for it again");
        // The acknowledgement of 1 had arrived, so the broker begins with 2.
        assert_eq!(ledger.enter(&publish(2, "x", true)), None);
        assert_eq!(ledger.enter(&publish(3, "x", true)), None);
        // The identifier 1 is free: another message has it.
        let other = ledger.enter(&publish(1, "other", false)).unwrap();
        ledger.settle(Receipt::Ack(positions[2]));
        ledger.settle(Receipt::Ack(other));
        assert_eq!(due(&mut ledger), [0_u16; 0]);
        ledger.settle(Receipt::Ack(positions[1]));
        assert_eq!(due(&mut ledger), [2, 3, 1]);
    }

    #[test]
    fn a_lost_acknowledgement_does_not_make_others_count_as_arrived() {
        let mut ledger = Ledger::default();
        ledger.connected(false);
        let (first, second) = (enter(&mut ledger, 1), enter(&mut ledger, 2));
        ledger.settle(Receipt::Ack(first));
        assert_eq!(due(&mut ledger), [1]);
        ledger.connected(true);
        // The broker has not got it, and begins with 1.
        assert!(ledger.enter(&publish(1, "x", true)).is_some());
        ledger.settle(Receipt::Ack(second));
        assert_eq!(due(&mut ledger), [0_u16; 0]);
        assert_eq!(ledger.enter(&publish(2, "x", true)), None);
        assert_eq!(due(&mut ledger), [2]);
    }

    #[test]
    fn another_message_with_the_same_identifier_is_another_message() {
        let mut ledger = Ledger::default();
        ledger.connected(false);
        enter(&mut ledger, 1);
        ledger.connected(true);
        assert!(ledger.enter(&publish(1, "y", true)).is_some());
    }

    #[test]
    fn what_could_not_be_delivered_is_delivered_again_in_its_place() {
        let mut ledger = Ledger::default();
        ledger.connected(false);
        let (first, second) = (enter(&mut ledger, 1), enter(&mut ledger, 2));
        ledger.settle(Receipt::Nack(first));
        ledger.settle(Receipt::Ack(second));
        assert!(ledger.wants_again());
        ledger.connected(true);
        assert!(!ledger.wants_again());
        assert_eq!(ledger.enter(&publish(1, "x", true)), Some(first));
        assert_eq!(ledger.enter(&publish(2, "x", true)), None);
        ledger.settle(Receipt::Ack(first));
        assert_eq!(due(&mut ledger), [1, 2]);
    }

    #[test]
    fn a_broker_that_has_forgotten_the_session_waits_for_nothing() {
        let mut ledger = Ledger::default();
        ledger.connected(false);
        let (first, second) = (enter(&mut ledger, 1), enter(&mut ledger, 2));
        ledger.connected(false);
        assert!(ledger.is_empty());
        let third = enter(&mut ledger, 1);
        for position in [first, second, third] {
            ledger.settle(Receipt::Ack(position));
        }
        assert_eq!(due(&mut ledger), [1]);
    }
}
