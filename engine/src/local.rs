//! What the tasks of one shard share: its site, its counters, its carriages.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use ringway_contract::Services;
use ringway_net::{Shard, Signal};

use crate::access_log::AccessLog;
use crate::annotate::Ids;
use crate::carriage::{CARRIAGES_KEPT_MAX, Carriage};
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
    /// Connections that are open.
    pub connections: Cell<usize>,
    /// Ids of requests.
    pub ids: Ids,
    /// Name of the plan before the guards ran.
    pub no_plan: Rc<str>,
    site: RefCell<Rc<Site>>,
}

impl Local {
    /// A shard that serves `site`.
    pub fn new(
        shard: Rc<Shard>,
        services: Services,
        counters: Arc<ShardCounters>,
        access_log: AccessLog,
        site: Site,
    ) -> Self {
        // Two shards, and two starts, differ in one of these at least.
        let seed = shard.unix_ms().rotate_left(20) ^ (u64::from(std::process::id()) << 8) ^ shard.id as u64;
        Self {
            shard,
            services,
            counters,
            access_log,
            carriages: RefCell::default(),
            drain: Signal::new(),
            connections: Cell::new(0),
            ids: Ids::new(seed),
            no_plan: Rc::from(""),
            site: RefCell::new(Rc::new(site)),
        }
    }

    /// The site in force. An exchange holds on to the one that it began with.
    pub fn site(&self) -> Rc<Site> {
        self.site.borrow().clone()
    }

    /// Puts another site in force and gives back the one before.
    pub fn swap(&self, site: Site) -> Rc<Site> {
        self.site.replace(Rc::new(site))
    }

    /// Whether the process is ending.
    pub fn draining(&self) -> bool {
        self.drain.is_set()
    }

    /// Keeps a carriage for the next connection with something to read.
    pub fn keep(&self, carriage: Carriage) {
        let mut kept = self.carriages.borrow_mut();
        if kept.len() < CARRIAGES_KEPT_MAX {
            kept.push(carriage);
        }
    }
}

/// Counts a connection for as long as it lives.
pub struct Counted(Rc<Local>);

impl Counted {
    /// One more; `None` when the shard has as many as it may.
    pub fn admit(local: &Rc<Local>, connections_max: usize) -> Option<Self> {
        let open = local.connections.get();
        if open >= connections_max {
            local.counters.refused.bump();
            return None;
        }
        local.connections.set(open + 1);
        local.counters.accepted.bump();
        local.counters.connections.set(open as u64 + 1);
        Some(Self(local.clone()))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let open = self.0.connections.get().saturating_sub(1);
        self.0.connections.set(open);
        self.0.counters.connections.set(open as u64);
    }
}
