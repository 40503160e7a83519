//! A group of endpoints.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;

use ringway_contract::Elsewhere;

use super::balance::{Balancer, Candidate};
use super::member::Member;

/// Most members that a group may have: those that an exchange has tried are a bit mask.
pub const MEMBERS_MAX: usize = 64;

/// Most places besides its members that a group keeps connections to; the one that was not asked for longest gives way.
const ELSEWHERE_MAX: usize = 32;

/// The members that an exchange has tried already.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tried(u64);

impl Tried {
    /// Marks a member.
    pub fn mark(&mut self, index: usize) {
        self.0 |= 1 << (index % MEMBERS_MAX);
    }

    /// All but one, which is the only one to be asked.
    pub fn all_but(index: usize) -> Self {
        Self(!(1 << (index % MEMBERS_MAX)))
    }

    /// Whether a member is marked.
    pub fn has(self, index: usize) -> bool {
        self.0 & (1 << (index % MEMBERS_MAX)) != 0
    }
}

/// Endpoints that serve the same exchanges.
pub struct Group {
    /// Its name.
    pub name: Rc<str>,
    members: Vec<Rc<Member>>,
    balancer: Balancer,
    /// Where policies have sent requests instead, the last one at the end; and whether only to public addresses.
    elsewhere: RefCell<VecDeque<(Elsewhere, bool, Rc<Member>)>>,
}

impl Group {
    /// A group of at most [`MEMBERS_MAX`] members.
    pub fn new(name: Rc<str>, members: Vec<Rc<Member>>, balancer: Balancer) -> Self {
        Self { name, members, balancer, elsewhere: RefCell::default() }
    }

    /// The next member to ask: a healthy one that was not tried, a secondary one if there is no other. When all were tried, the
    /// circle begins again, unless `fresh` insists on one that was not.
    pub fn choose(&self, tried: Tried, fresh: bool) -> Option<(usize, &Rc<Member>)> {
        let index = match self.members.len() {
            0 => return None,
            1 if !fresh => self.fit(0, false, Tried::default()).or_else(|| self.fit(0, true, Tried::default()))?.index,
            _ => self
                .pick(false, tried)
                .or_else(|| self.pick(true, tried))
                .or_else(|| if fresh { None } else { self.pick(false, Tried::default()) })
                .or_else(|| if fresh { None } else { self.pick(true, Tried::default()) })?,
        };
        self.members.get(index).map(|member| (index, member))
    }

    /// The member of this name.
    pub fn member(&self, name: &str) -> Option<(usize, &Rc<Member>)> {
        self.members.iter().enumerate().find(|(_, member)| &*member.name == name)
    }

    /// Another place, reached by the configuration of the first member. `None` if that one leads nowhere else.
    pub fn elsewhere(&self, place: &Elsewhere, public: bool) -> Option<Rc<Member>> {
        let mut known = self.elsewhere.borrow_mut();
        let at = known.iter().rposition(|(own, only_public, _)| own == place && *only_public == public);
        let entry = match at.and_then(|at| known.remove(at)) {
            Some(entry) => entry,
            None => {
                let first = self.members.first()?;
                let endpoint = first.endpoint().elsewhere(place, public)?;
                (place.clone(), public, Rc::new(first.beside(endpoint)))
            }
        };
        if known.len() >= ELSEWHERE_MAX {
            known.pop_front();
        }
        let member = entry.2.clone();
        known.push_back(entry);
        Some(member)
    }

    /// Drops lanes that have been idle for too long.
    pub fn sweep(&self, now: Instant) {
        self.members.iter().for_each(|member| member.sweep(now));
        self.elsewhere.borrow().iter().for_each(|(.., member)| member.sweep(now));
    }

    fn pick(&self, secondary: bool, tried: Tried) -> Option<usize> {
        self.balancer.choose((0..self.members.len()).filter_map(|index| self.fit(index, secondary, tried)))
    }

    fn fit(&self, index: usize, secondary: bool, tried: Tried) -> Option<Candidate> {
        let member = self.members.get(index)?;
        (member.secondary == secondary && !tried.has(index) && member.is_healthy()).then(|| Candidate {
            index,
            weight: member.weight,
            busy: member.busy(),
        })
    }
}
