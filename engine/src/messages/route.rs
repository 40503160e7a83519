//! Where the messages of a session come from and go to: a group of brokers, or one of them.

use std::rc::Rc;

use ringway_contract::{Attributes, Cause, Fault, Message, Qos, Retry};
use ringway_net::Slot;

use super::brokers::{Asked, Brokers, Member, Source, is_brokers};
use crate::local::Local;
use crate::upstream::group::Tried;

/// The attribute by which a policy names a group or an endpoint, as for requests: `name`, `name:` or `name:/path`, of which the path says
/// nothing here.
const ATTRIBUTE: &str = "request.endpoint";

/// Brokers that may serve.
#[derive(Clone)]
pub struct Route {
    brokers: Rc<Brokers>,
    /// Members of the group that may not.
    closed: Tried,
}

/// A broker of a route, and its place in the group.
#[derive(Clone)]
pub struct Choice {
    /// Its place.
    pub index: usize,
    /// The broker.
    pub member: Rc<Member>,
}

impl Route {
    /// The route of an exchange: the first group, unless a policy named another one or an endpoint.
    ///
    /// # Errors
    /// There is no group or endpoint of that name.
    pub fn of(attributes: &Attributes, groups: &[Rc<Brokers>]) -> Result<Self, Fault> {
        let none = Fault::new(Cause::NoEndpoint);
        let Some(value) = attributes.get(ATTRIBUTE) else { return Self::first(groups).ok_or(none) };
        let name = value.split_once(':').map_or(value, |(name, _)| name);
        Self::named(groups, name).ok_or(none.detail("a policy names an endpoint that is not there"))
    }

    /// The route of what no policy chooses for.
    pub fn first(groups: &[Rc<Brokers>]) -> Option<Self> {
        groups.first().map(|brokers| Self { brokers: brokers.clone(), closed: Tried::default() })
    }

    /// To a group, or to an endpoint and no other.
    pub fn named(groups: &[Rc<Brokers>], name: &str) -> Option<Self> {
        let group = groups.iter().find(|group| &*group.name == name);
        group.map(|brokers| Self { brokers: brokers.clone(), closed: Tried::default() }).or_else(|| {
            groups.iter().find_map(|brokers| {
                let index = brokers.position(name)?;
                Some(Self { brokers: brokers.clone(), closed: Tried::all_but(index) })
            })
        })
    }

    /// A broker by the balancer.
    ///
    /// # Errors
    /// There is none.
    pub fn begin(&self, local: &Local) -> Result<Choice, Fault> {
        let chosen = self.brokers.choose(self.closed, local.shard.now());
        let (index, member) = chosen.ok_or(Fault::new(Cause::NoEndpoint))?;
        Ok(Choice { index, member: member.clone() })
    }

    /// Whether there is another broker than this one.
    pub fn has_other(&self, index: usize) -> bool {
        self.has_left(self.but(index))
    }

    /// Whether there is a broker that was not tried.
    pub fn has_left(&self, tried: Tried) -> bool {
        self.brokers.has_other(tried)
    }

    /// Those that are not to be asked when this one has failed.
    pub fn but(&self, index: usize) -> Tried {
        let mut tried = self.closed;
        tried.mark(index);
        tried
    }

    /// The next broker for what those that were tried have left.
    pub fn next(&self, tried: Tried, local: &Local) -> Option<Choice> {
        let (index, member) = self.brokers.choose(tried, local.shard.now())?;
        Some(Choice { index, member: member.clone() })
    }

    /// Whether there is a broker besides this one that was not found away lately.
    pub fn has_awake(&self, index: usize, local: &Local) -> bool {
        self.brokers.choose_awake(self.but(index), local.shard.now()).is_some()
    }

    /// Subscribes at the first broker that accepts it. Nothing has been delivered by those that do not.
    ///
    /// # Errors
    /// None does: the last one's fault.
    pub async fn subscribe(&self, local: &Local, asked: &Asked<'_>, slot: &Slot) -> Result<(Choice, Source), Fault> {
        let (mut tried, mut last) = (self.closed, Fault::new(Cause::NoEndpoint));
        while let Some(Choice { index, member }) = self.next(tried, local) {
            tried.mark(index);
            match member.subscribe(asked, !self.brokers.has_other(tried), slot).await {
                Ok(source) => {
                    member.well();
                    return Ok((Choice { index, member }, source));
                }
                Err(fault) if is_brokers(&fault) => {
                    member.failed(&fault, local.shard.now());
                    last = fault;
                }
                Err(fault) => return Err(fault),
            }
        }
        Err(last)
    }

    /// The same at another broker than the one that is away, if there is one of which nobody has found the same lately.
    pub async fn resubscribe(
        &self,
        local: &Local,
        away: &Choice,
        asked: &Asked<'_>,
        slot: &Slot,
    ) -> Option<(Choice, Source)> {
        let mut tried = self.but(away.index);
        while let Some((index, member)) = self.brokers.choose_awake(tried, local.shard.now()) {
            let choice = Choice { index, member: member.clone() };
            tried.mark(index);
            match choice.member.subscribe(asked, false, slot).await {
                Ok(source) => {
                    choice.member.well();
                    return Some((choice, source));
                }
                Err(fault) => choice.member.failed(&fault, local.shard.now()),
            }
        }
        None
    }

    /// Publishes a message at the first broker that takes it; another is asked only when it is certain that the one before has not got it.
    ///
    /// # Errors
    /// None takes it, or it is not certain.
    pub async fn publish(
        &self,
        local: &Local,
        message: Message,
        qos: Qos,
        attributes: &Attributes,
    ) -> Result<(), Fault> {
        let (mut tried, mut last) = (self.closed, Fault::new(Cause::NoEndpoint));
        let mut next = Some(message);
        while let Some(message) = next.take() {
            let Some(Choice { index, member }) = self.next(tried, local) else { break };
            tried.mark(index);
            let spare = self.brokers.has_other(tried).then(|| message.clone());
            match member.broker.publish(message, qos, attributes).await {
                Ok(()) => {
                    member.well();
                    return Ok(());
                }
                Err(fault) => {
                    if is_brokers(&fault) {
                        member.failed(&fault, local.shard.now());
                    }
                    last = fault;
                    next = spare.filter(|_| fault.retry == Retry::Safe);
                }
            }
        }
        Err(last)
    }
}
