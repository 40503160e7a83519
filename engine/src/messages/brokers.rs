//! The brokers of an API: which one serves a session, and which sessions share a subscription.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::time::Duration;

use ringway_contract::{Attributes, Broker, Cause, Delivery, Fault, Feed, Render, Subscribe};
use ringway_net::Slot;

use super::topic::{Reader, Topic};
use crate::upstream::balance::{Balancer, Candidate};

/// How long a broker has to accept a subscription.
pub const READY_WITHIN: Duration = Duration::from_secs(10);

/// One broker.
pub struct Member {
    /// Its name in the definition.
    pub name: Rc<str>,
    weight: u32,
    secondary: bool,
    /// What speaks to it.
    pub broker: Rc<dyn Broker>,
    topics: RefCell<HashMap<String, Weak<Topic>>>,
}

/// The brokers of an API's group.
pub struct Brokers {
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

impl Member {
    /// A member of a group.
    pub fn new(name: Rc<str>, weight: u32, secondary: bool, broker: Rc<dyn Broker>) -> Self {
        Self { name, weight: weight.max(1), secondary, broker, topics: RefCell::default() }
    }

    /// Subscribes, and waits until the broker has accepted it; shares a subscription where the wish and the format allow it.
    ///
    /// # Errors
    /// The broker refuses it, or did not accept it within [`READY_WITHIN`].
    pub async fn subscribe(
        &self,
        wish: &Subscribe,
        attributes: &Attributes,
        renderer: Option<&Rc<dyn Render>>,
        slot: &Slot,
    ) -> Result<Source, Fault> {
        slot.arm(READY_WITHIN);
        let outcome = slot.guard(self.subscribed(wish, attributes, renderer)).await;
        slot.disarm();
        outcome.unwrap_or(Err(Fault::new(Cause::BrokerTimeout).detail("the subscription was not accepted in time")))
    }

    async fn subscribed(
        &self,
        wish: &Subscribe,
        attributes: &Attributes,
        renderer: Option<&Rc<dyn Render>>,
    ) -> Result<Source, Fault> {
        let shared = renderer.and_then(|renderer| Some((renderer, renderer.format()?)));
        if let Some((renderer, format)) = shared
            && let Some(subject) = self.broker.subject(wish, attributes)
        {
            let topic = self.topic(subject, wish, attributes)?;
            topic.opened().await?;
            return Ok(Source::Shared(topic.read(renderer, format)));
        }
        let mut feed = Box::new(self.broker.subscribe(wish, attributes)?);
        match feed.next().await {
            Some(Delivery::Ready) => Ok(Source::Own(feed)),
            Some(Delivery::Fault(fault)) => Err(fault),
            Some(Delivery::Message(_)) => Err(Fault::new(Cause::Internal).detail("a message before the subscription")),
            None => Err(Fault::new(Cause::SubscribeFailed)),
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
    pub fn new(members: Vec<Rc<Member>>, balancer: Balancer) -> Self {
        Self { members, balancer }
    }

    /// The member for a session; `tried` is a bit mask of those that failed it.
    pub fn choose(&self, tried: u64) -> Option<(usize, &Rc<Member>)> {
        let index = self.pick(false, tried).or_else(|| self.pick(true, tried))?;
        self.members.get(index).map(|member| (index, member))
    }

    fn pick(&self, secondary: bool, tried: u64) -> Option<usize> {
        self.balancer.choose(self.members.iter().enumerate().filter_map(|(index, member)| {
            (member.secondary == secondary && tried & (1 << (index % 64)) == 0).then_some(Candidate {
                index,
                weight: member.weight,
                busy: member.topics.borrow().len(),
            })
        }))
    }
}
