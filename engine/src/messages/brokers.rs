//! The brokers of an API: which one serves a session, and which sessions share a subscription.
//!
//! A broker that failed rests: it is asked again when no other is left, or after a while, which grows from failure to failure.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use ringway_contract::{Attributes, Broker, Cause, Delivery, Fault, Feed, Render, Side, Subscribe};
use ringway_net::Slot;

use super::topic::{Reader, Topic};
use crate::telemetry::EndpointCounters;
use crate::upstream::balance::{Balancer, Candidate};
use crate::upstream::group::Tried;

/// How long a broker has to accept a subscription.
pub const READY_WITHIN: Duration = Duration::from_secs(10);

/// How long a broker rests that has failed.
const REST: Duration = Duration::from_secs(5);
/// The longest rest.
const REST_MAX: Duration = Duration::from_secs(300);

/// One broker.
pub struct Member {
    /// Its name in the definition.
    pub name: Rc<str>,
    /// What speaks to it.
    pub broker: Rc<dyn Broker>,
    weight: u32,
    secondary: bool,
    topics: RefCell<HashMap<String, Weak<Topic>>>,
    standing: Standing,
}

/// What a member is made of.
pub struct Seed<'a> {
    /// Its name in the definition.
    pub name: &'a str,
    /// Its share of the sessions.
    pub weight: u32,
    /// Whether it serves only when no other does.
    pub secondary: bool,
    /// What speaks to it.
    pub broker: Rc<dyn Broker>,
    /// Told to whoever asks how endpoints stand; all shards write it.
    pub healthy: Arc<AtomicBool>,
    /// Counters of this shard.
    pub counters: Arc<EndpointCounters>,
}

/// How a broker was found last.
struct Standing {
    /// Until when it rests.
    until: Cell<Option<Instant>>,
    /// Its next rest.
    rest: Cell<Duration>,
    healthy: Arc<AtomicBool>,
    counters: Arc<EndpointCounters>,
}

/// The brokers of a group.
pub struct Brokers {
    /// Its name in the definition.
    pub name: Rc<str>,
    members: Vec<Rc<Member>>,
    balancer: Balancer,
}

/// Where a session's messages come from.
pub enum Source {
    /// A subscription of its own.
    Own(Box<Feed>),
    /// One that it shares.
    Shared(Reader),
}

/// A subscription that is wished for.
pub struct Asked<'a> {
    /// What is wished for.
    pub wish: &'a Subscribe,
    /// Context attributes.
    pub attributes: &'a Attributes,
    /// Who makes bytes of messages, if they may be for others, too.
    pub renderer: Option<&'a Rc<dyn Render>>,
}

impl Member {
    /// A member of a group.
    pub fn new(seed: Seed<'_>) -> Self {
        seed.counters.healthy.set(1);
        Self {
            name: Rc::from(seed.name),
            weight: seed.weight.max(1),
            secondary: seed.secondary,
            broker: seed.broker,
            topics: RefCell::default(),
            standing: Standing {
                until: Cell::new(None),
                rest: Cell::new(REST),
                healthy: seed.healthy,
                counters: seed.counters,
            },
        }
    }

    /// It serves.
    pub fn well(&self) {
        if self.standing.rest.replace(REST) > REST {
            self.standing.until.set(None);
            self.stand(true);
            tracing::info!(endpoint = &*self.name, "the broker serves again");
        }
    }

    /// It does not: others are asked before it for a while.
    pub fn failed(&self, fault: &Fault, now: Instant) {
        self.standing.counters.faults.bump();
        let away = matches!(
            fault.cause,
            Cause::BrokerUnreachable | Cause::BrokerClosed | Cause::BrokerTimeout | Cause::BrokerRefused
        );
        // All that were under way fail together, and that is one failure.
        if !away || self.rests(now) {
            return;
        }
        let rest = self.standing.rest.get();
        self.standing.until.set(now.checked_add(rest));
        self.standing.rest.set((rest * 2).min(REST_MAX));
        self.stand(false);
        tracing::warn!(endpoint = &*self.name, %fault, rest_s = rest.as_secs(), "the broker fails");
    }

    fn stand(&self, healthy: bool) {
        self.standing.healthy.store(healthy, Relaxed);
        self.standing.counters.healthy.set(u64::from(healthy));
    }

    fn rests(&self, now: Instant) -> bool {
        self.standing.until.get().is_some_and(|until| until > now)
    }

    /// Subscribes, and waits until the broker has accepted it; shares a subscription where the wish and the format allow it. Where the broker
    /// is not the last hope, one that is away is not waited for.
    ///
    /// # Errors
    /// The broker refuses it, is away, or did not accept it within [`READY_WITHIN`].
    pub async fn subscribe(&self, asked: &Asked<'_>, last_hope: bool, slot: &Slot) -> Result<Source, Fault> {
        slot.arm(READY_WITHIN);
        let outcome = slot.guard(self.subscribed(asked, last_hope)).await;
        slot.disarm();
        outcome.unwrap_or(Err(Fault::new(Cause::BrokerTimeout).detail("the subscription was not accepted in time")))
    }

    async fn subscribed(&self, asked: &Asked<'_>, last_hope: bool) -> Result<Source, Fault> {
        let Asked { wish, attributes, renderer } = asked;
        let shared = renderer.and_then(|renderer| Some((renderer, renderer.format()?)));
        if let Some((renderer, format)) = shared
            && let Some(subject) = self.broker.subject(wish, attributes)
        {
            let topic = self.topic(subject, wish, attributes)?;
            topic.opened(last_hope).await?;
            return Ok(Source::Shared(topic.read(renderer, format)));
        }
        let mut feed = Box::new(self.broker.subscribe(wish, attributes)?);
        loop {
            return match feed.next().await {
                Some(Delivery::Ready) => Ok(Source::Own(feed)),
                Some(Delivery::Away(_)) if last_hope => continue,
                Some(Delivery::Away(fault) | Delivery::Fault(fault)) => Err(fault),
                Some(Delivery::Message(_)) => {
                    Err(Fault::new(Cause::Internal).detail("a message before the subscription"))
                }
                None => Err(Fault::new(Cause::SubscribeFailed)),
            };
        }
    }

    fn topic(&self, subject: String, wish: &Subscribe, attributes: &Attributes) -> Result<Rc<Topic>, Fault> {
        let mut topics = self.topics.borrow_mut();
        if let Some(topic) = topics.get(&subject).and_then(Weak::upgrade).filter(|topic| topic.is_alive()) {
            return Ok(topic);
        }
        let topic = Topic::start(self.broker.subscribe(wish, attributes)?);
        topics.retain(|_, topic| topic.strong_count() > 0);
        topics.insert(subject, Rc::downgrade(&topic));
        Ok(topic)
    }
}

impl Brokers {
    /// A group.
    pub fn new(name: Rc<str>, members: Vec<Rc<Member>>, balancer: Balancer) -> Self {
        Self { name, members, balancer }
    }

    /// The place of the member of this name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.members.iter().position(|member| &*member.name == name)
    }

    /// The next member to ask: one that does not rest before one that does, and a secondary one only where there is no other.
    pub fn choose(&self, tried: Tried, now: Instant) -> Option<(usize, &Rc<Member>)> {
        let index = self.awake(tried, now).or_else(|| {
            let any = |secondary| self.pick(tried, |member| member.secondary == secondary);
            any(false).or_else(|| any(true))
        })?;
        self.members.get(index).map(|member| (index, member))
    }

    /// The same, without those that rest.
    pub fn choose_awake(&self, tried: Tried, now: Instant) -> Option<(usize, &Rc<Member>)> {
        let index = self.awake(tried, now)?;
        self.members.get(index).map(|member| (index, member))
    }

    /// Whether there is a member that was not tried.
    pub fn has_other(&self, tried: Tried) -> bool {
        (0..self.members.len()).any(|index| !tried.has(index))
    }

    fn awake(&self, tried: Tried, now: Instant) -> Option<usize> {
        let awake = |secondary| self.pick(tried, |member| member.secondary == secondary && !member.rests(now));
        awake(false).or_else(|| awake(true))
    }

    fn pick(&self, tried: Tried, fits: impl Fn(&Member) -> bool + Clone) -> Option<usize> {
        let candidates = self.members.iter().enumerate().filter(|(index, member)| !tried.has(*index) && fits(member));
        self.balancer.choose(candidates.map(|(index, member)| Candidate {
            index,
            weight: member.weight,
            busy: member.topics.borrow().len(),
        }))
    }
}

/// Whether another broker may do better.
pub(super) fn is_brokers(fault: &Fault) -> bool {
    fault.cause.side() != Side::Client
}
