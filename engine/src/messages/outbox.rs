//! Messages of one client on their way to a broker: answered in their order, and published in it, also where the broker changes under them.
//!
//! ```text
//!   [ at A ][ at A ]                  A is away: the first goes to B, and what comes from now on is held
//!   [ at B ][ at A ][ held ][ held ]  until nothing before it is at A
//! ```

use std::collections::VecDeque;
use std::task::{Context, Poll};

use ringway_contract::{Attributes, Fault, Message, Publishing, Qos, Retry};

use super::brokers::is_brokers;
use super::route::{Choice, Route};
use crate::local::Local;
use crate::upstream::group::Tried;

/// Messages that a broker has not answered yet; a client with more is not read.
const MESSAGES_MAX: usize = 64;
/// Their bytes, one message more at the most.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// The messages of one client.
pub struct Outbox {
    /// Where they go at the moment.
    choice: Choice,
    pending: VecDeque<Pending>,
    bytes: usize,
}

/// How messages are published.
pub struct Terms<'a> {
    /// The shard.
    pub local: &'a Local,
    /// Where they may go.
    pub route: &'a Route,
    /// The level.
    pub qos: Qos,
    /// Context attributes.
    pub attributes: &'a Attributes,
}

struct Pending {
    weight: usize,
    state: State,
}

enum State {
    /// A broker has it.
    Sent {
        verdict: Publishing,
        /// The broker's place.
        index: usize,
        tried: Tried,
        /// For another broker, if there is one.
        spare: Option<Box<Message>>,
    },
    /// It waits for those before it.
    Held(Box<Message>),
    /// It goes nowhere, and this is what its client is told.
    Kept(Option<Fault>),
}

/// What a client is told of its oldest message.
pub struct Told {
    /// Whether it is published.
    pub outcome: Result<(), Fault>,
    /// Whether it went to a broker at all.
    pub sent: bool,
}

impl Outbox {
    /// An empty one.
    pub fn new(choice: Choice) -> Self {
        Self { choice, pending: VecDeque::new(), bytes: 0 }
    }

    /// Whether everything was answered.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Whether everything was answered, and what comes next goes to this broker.
    pub fn is_at_rest(&self, choice: &Choice) -> bool {
        self.is_empty() && self.choice.index == choice.index
    }

    /// Whether more of the client may be read.
    pub fn has_room(&self) -> bool {
        self.pending.len() < MESSAGES_MAX && self.bytes < BYTES_MAX
    }

    /// Publishes a message.
    pub fn push(&mut self, message: Message, terms: &Terms<'_>) {
        let weight = message.weight();
        // All before the last are where it is, or answered before it.
        let waits = match self.pending.back().map(|last| &last.state) {
            Some(State::Sent { index, .. }) => *index != self.choice.index,
            Some(State::Held(_)) => true,
            Some(State::Kept(_)) => self.pending.iter().any(|one| !one.is_at(self.choice.index)),
            None => false,
        };
        let state = match waits {
            true => State::Held(Box::new(message)),
            false => sent(message, &self.choice, terms.route.but(self.choice.index), terms),
        };
        self.add(weight, state);
    }

    /// Answers a message that is not to be published, when those before it are answered.
    pub fn keep(&mut self, weight: usize, fault: Option<Fault>) {
        self.add(weight, State::Kept(fault));
    }

    fn add(&mut self, weight: usize, state: State) {
        self.bytes += weight;
        self.pending.push_back(Pending { weight, state });
    }

    /// What has become of the oldest message.
    pub fn poll(&mut self, cx: &mut Context<'_>, terms: &Terms<'_>) -> Poll<Told> {
        loop {
            let Self { choice, pending, .. } = self;
            let Some(oldest) = pending.front_mut() else { return Poll::Pending };
            let told = match &mut oldest.state {
                State::Held(_) => {
                    self.release(terms);
                    continue;
                }
                State::Kept(fault) => Told { outcome: fault.map_or(Ok(()), Err), sent: false },
                State::Sent { verdict, index, tried, spare } => {
                    let Poll::Ready(outcome) = verdict.as_mut().poll(cx) else { return Poll::Pending };
                    match &outcome {
                        Ok(()) if *index == choice.index => choice.member.well(),
                        Err(fault) if is_brokers(fault) && *index == choice.index => {
                            choice.member.failed(fault, terms.local.shard.now());
                        }
                        _ => {}
                    }
                    if outcome.is_err_and(|fault| fault.retry == Retry::Safe)
                        && let Some(message) = spare.take()
                        && let Some(next) = another(choice, *tried, terms)
                    {
                        tried.mark(next.index);
                        oldest.state = sent(*message, &next, *tried, terms);
                        *choice = next;
                        continue;
                    }
                    Told { outcome, sent: true }
                }
            };
            if let Some(oldest) = pending.pop_front() {
                self.bytes -= oldest.weight;
            }
            self.release(terms);
            return Poll::Ready(told);
        }
    }

    /// Publishes what waits for nothing any more.
    fn release(&mut self, terms: &Terms<'_>) {
        for one in &mut self.pending {
            match std::mem::replace(&mut one.state, State::Kept(None)) {
                State::Held(message) => {
                    one.state = sent(*message, &self.choice, terms.route.but(self.choice.index), terms);
                }
                state => one.state = state,
            }
            if !one.is_at(self.choice.index) {
                return;
            }
        }
    }
}

impl Pending {
    fn is_at(&self, place: usize) -> bool {
        match &self.state {
            State::Sent { index, .. } => *index == place,
            State::Held(_) => false,
            State::Kept(_) => true,
        }
    }
}

/// Where a message goes that a broker has not got: where the others go already, if that was not tried.
fn another(choice: &Choice, tried: Tried, terms: &Terms<'_>) -> Option<Choice> {
    if !tried.has(choice.index) { Some(choice.clone()) } else { terms.route.next(tried, terms.local) }
}

fn sent(message: Message, choice: &Choice, tried: Tried, terms: &Terms<'_>) -> State {
    let spare = terms.route.has_left(tried).then(|| Box::new(message.clone()));
    let verdict = choice.member.broker.publish(message, terms.qos, terms.attributes);
    State::Sent { verdict, index: choice.index, tried, spare }
}
