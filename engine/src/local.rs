//! What the tasks of one shard share: its site, its counters, its carriages.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use ringway_contract::{PlanInfo, Services};
use ringway_net::{Lot, Shard, Signal, process_id};

use crate::access_log::AccessLog;
use crate::annotate::Ids;
use crate::balance::Peers;
use crate::carriage::{CARRIAGES_KEPT_MAX, Carriage};
use crate::parking::Parked;
use crate::site::Site;
use crate::telemetry::ShardCounters;

/// One per shard, on its thread.
pub struct Local {
    /// Buffers, timers, resolver.
    pub shard: Rc<Shard>,
    /// What extensions are lent.
    pub services: Services,
    /// What is counted.
    pub counters: Arc<ShardCounters>,
    /// Lines for the access log.
    pub access_log: AccessLog,
    /// Carriages that are not in use.
    pub carriages: RefCell<Vec<Carriage>>,
    /// Set when the process is to end: no request after the present one.
    pub drain: Signal,
    /// Set when everything else is done in a drain: the listeners are to end.
    pub retire: Signal,
    /// Listeners that may get connections.
    pub listening: Cell<usize>,
    /// Exchanges that are under way.
    pub exchanges: Cell<usize>,
    /// Whether the process has all but used up its memory.
    pub memory_is_short: Cell<bool>,
    /// Connections that are open. Changed by [`Counted`] only.
    pub connections: Cell<usize>,
    /// The other shards, if there are any.
    pub peers: Option<Peers>,
    /// The same by address, where that is limited.
    by_address: RefCell<HashMap<IpAddr, usize>>,
    /// Connections that have been silent for long.
    pub parked: Lot<Parked>,
    /// Ids of requests.
    pub ids: Ids,
    /// Subscriptions whose messages are sent, by consumer: set when they have ended.
    pub pushing: RefCell<HashMap<Rc<str>, Rc<Signal>>>,
    /// Name of the plan before the guards ran.
    pub no_plan: Rc<PlanInfo>,
    site: RefCell<Rc<Site>>,
    /// Whether the shard is ending: see [`end`](Self::end).
    ended: Cell<bool>,
}

impl Local {
    /// A shard that serves `site`.
    pub fn new(
        shard: Rc<Shard>,
        services: Services,
        counters: Arc<ShardCounters>,
        access_log: AccessLog,
        parked: Lot<Parked>,
        peers: Option<Peers>,
        site: Site,
    ) -> Self {
        services.dictionaries.put(site.dictionaries.iter().cloned());
        // Two shards, and two starts, differ in one of these at least.
        let seed = shard.unix_ms().rotate_left(20) ^ (u64::from(process_id()) << 8) ^ shard.id as u64;
        Self {
            shard,
            services,
            counters,
            access_log,
            carriages: RefCell::default(),
            drain: Signal::new(),
            retire: Signal::new(),
            listening: Cell::new(0),
            exchanges: Cell::new(0),
            memory_is_short: Cell::new(false),
            connections: Cell::new(0),
            peers,
            by_address: RefCell::default(),
            parked,
            ids: Ids::new(seed),
            pushing: RefCell::default(),
            no_plan: Rc::default(),
            site: RefCell::new(Rc::new(site)),
            ended: Cell::new(false),
        }
    }

    /// The site in force. An exchange holds on to the one that it began with.
    pub fn site(&self) -> Rc<Site> {
        self.site.borrow().clone()
    }

    /// Puts another site in force and gives back the one before.
    pub fn swap(&self, site: Site) -> Rc<Site> {
        self.services.dictionaries.put(site.dictionaries.iter().cloned());
        self.site.replace(Rc::new(site))
    }

    /// Connections that are open here, and those that are on their way from other shards.
    pub fn connections_due(&self) -> usize {
        self.connections.get() + self.peers.as_ref().map_or(0, Peers::inbound)
    }

    fn set_connections(&self, open: usize) {
        self.connections.set(open);
        self.counters.connections.set(open as u64);
        if let Some(peers) = &self.peers {
            peers.publish(open);
        }
    }

    /// Whether the process is ending.
    pub fn draining(&self) -> bool {
        self.drain.is_set()
    }

    fn count(&self, exchanges: usize) {
        self.exchanges.set(exchanges);
        self.counters.exchanges.set(exchanges as u64);
    }

    /// Keeps a carriage for the next connection with something to read.
    pub fn keep(&self, carriage: Carriage) {
        let mut kept = self.carriages.borrow_mut();
        if kept.len() < CARRIAGES_KEPT_MAX && !self.ended.get() {
            kept.push(carriage);
        }
    }

    /// The shard ends. Carriages hold on to what they belong to: those that are kept would hold it, and all that it holds, for ever.
    pub fn end(&self) {
        self.ended.set(true);
        drop(self.carriages.take());
    }
}

/// Exchanges that a shard serves even when memory is short: what it gives back must not depend on an allocator that keeps what it has.
const EXCHANGES_KEPT_UP: usize = 32;

/// Counts an exchange for as long as it lives.
pub struct UnderWay<'a>(&'a Local);

impl<'a> UnderWay<'a> {
    /// One more; `None` when the shard has as many as it may, or no memory for more.
    #[inline]
    pub fn admit(local: &'a Local, exchanges_max: usize) -> Option<Self> {
        let count = local.exchanges.get();
        let max = if local.memory_is_short.get() { exchanges_max.min(EXCHANGES_KEPT_UP) } else { exchanges_max };
        if count >= max {
            return None;
        }
        local.count(count + 1);
        Some(Self(local))
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.count(self.0.exchanges.get().saturating_sub(1));
    }
}

/// Counts a connection for as long as it lives.
pub struct Counted {
    local: Rc<Local>,
    /// Counted by address too, where that is limited. Boxed: as a rule it is not, and an idle connection is to be small.
    address: Option<Box<IpAddr>>,
}

impl Counted {
    /// One more; `None` when the shard has as many as it may, or as many of that address. `per_address_max` 0: any number.
    pub fn admit(
        local: &Rc<Local>,
        connections_max: usize,
        address: Option<IpAddr>,
        per_address_max: usize,
    ) -> Option<Self> {
        let open = local.connections.get();
        let address = address.filter(|_| per_address_max > 0);
        let mut by_address = local.by_address.borrow_mut();
        let of_address = address.map_or(0, |address| by_address.get(&address).copied().unwrap_or(0));
        if open >= connections_max || (address.is_some() && of_address >= per_address_max) {
            local.counters.refused.bump();
            return None;
        }
        if let Some(address) = address {
            by_address.insert(address, of_address + 1);
        }
        drop(by_address);
        local.set_connections(open + 1);
        local.counters.accepted.bump();
        Some(Self { local: local.clone(), address: address.map(Box::new) })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let local = &self.local;
        local.set_connections(local.connections.get().saturating_sub(1));
        if let Some(address) = self.address.as_deref() {
            let mut by_address = local.by_address.borrow_mut();
            match by_address.get_mut(address) {
                Some(count) if *count > 1 => *count -= 1,
                _ => drop(by_address.remove(address)),
            }
        }
    }
}
