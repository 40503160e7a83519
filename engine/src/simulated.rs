//! One shard in a simulated world: what [`start`](crate::start) does around shards, without threads. Only with the feature `sim`.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};

use ringway_config::Snapshot;
use ringway_contract::kind::Registry;
use ringway_net::{BoundListener, Shard};
use ringway_ring::{Producer, Ringer, doorbell, ring};

use crate::access_log::AccessLog;
use crate::dictionaries::{self, DictionaryShared};
use crate::plane::{StartError, StartOptions};
use crate::shared::{ApiShared, share};
use crate::site::Deployment;
use crate::telemetry::{ApiView, ShardCounters, ShardView, expose};
use crate::worker::{self, Opening, Order, Report, Setup};

/// Orders on their way to the shard.
const ORDERS_MAX: usize = 16;

/// A shard that has not begun.
pub struct Simulated {
    setup: Setup,
}

/// What the control side sees of it.
pub struct Control {
    registry: Registry,
    orders: Producer<Order>,
    ringer: Ringer,
    reports: Receiver<Report>,
    counters: Arc<ShardCounters>,
    apis: Vec<Arc<ApiShared>>,
    dictionaries: Vec<Arc<DictionaryShared>>,
}

/// A shard that serves the snapshot's first server on `bound`.
///
/// # Errors
/// The snapshot cannot be served.
pub fn shard(options: StartOptions, bound: BoundListener) -> Result<(Simulated, Control), StartError> {
    let StartOptions { snapshot, registry } = options;
    let apis = share(&snapshot, &[], 1);
    let dictionaries = dictionaries::share(&snapshot, &[]);
    let deployment = Deployment::new(&snapshot, &apis, &dictionaries, registry).map_err(StartError::Snapshot)?;
    let (orders, orders_in) = ring(ORDERS_MAX);
    let (ringer, sleeper) = doorbell().map_err(StartError::io("doorbell"))?;
    let (reports, reports_in) = mpsc::channel();
    let counters = Arc::new(ShardCounters::default());
    let counted = counters.clone();
    let setup = Setup {
        openings: vec![Opening { bound, server: 0, proxy_protocol: false, tls: None }],
        orders: orders_in,
        sleeper,
        reports,
        counters: counters.clone(),
        access_log: Box::new(move |shard| AccessLog::off(shard, counted)),
        shards: 1,
        desk: None,
        deployment: Box::new(deployment),
    };
    let control = Control { registry, orders, ringer, reports: reports_in, counters, apis, dictionaries };
    Ok((Simulated { setup }, control))
}

impl Simulated {
    /// Serves until it is told to stop.
    pub async fn run(self, shard: Rc<Shard>) {
        worker::run(shard, self.setup).await;
    }
}

impl Control {
    /// Has another snapshot served.
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn publish(&mut self, snapshot: &Arc<Snapshot>) -> Result<(), String> {
        let apis = share(snapshot, &self.apis, 1);
        let dictionaries = dictionaries::share(snapshot, &self.dictionaries);
        let deployment = Deployment::new(snapshot, &apis, &dictionaries, self.registry)?;
        self.order(Order::Prepare(Box::new(deployment)));
        self.order(Order::Commit);
        self.apis = apis;
        self.dictionaries = dictionaries;
        Ok(())
    }

    /// Serve what is under way and no more.
    pub fn drain(&mut self) {
        self.order(Order::Drain);
    }

    /// End now.
    pub fn stop(&mut self) {
        self.order(Order::Stop);
    }

    fn order(&mut self, order: Order) {
        let _ = self.orders.push(order);
        self.ringer.ring();
    }

    /// Whether the shard has said since the last time that it is done, and what went wrong meanwhile.
    ///
    /// # Errors
    /// A site was not built.
    pub fn is_ended(&self) -> Result<bool, String> {
        let mut ended = false;
        for report in self.reports.try_iter() {
            match report {
                Report::Prepared(outcome) => outcome?,
                Report::Committed(_) => {}
                Report::Ended(_) => ended = true,
            }
        }
        Ok(ended)
    }

    /// Whether nothing of the shard holds its counters any more: it is gone, with all that belongs to it.
    pub fn is_alone(&self) -> bool {
        Arc::strong_count(&self.counters) == 1
    }

    /// Its metrics, as text.
    pub fn metrics(&self) -> String {
        let shards = [ShardView { id: 0, driver: "simulated".to_owned(), counters: self.counters.clone() }];
        let apis: Vec<_> = self
            .apis
            .iter()
            .map(|api| ApiView {
                id: api.id().to_owned(),
                name: api.name().to_owned(),
                shards: api.counters.clone(),
                endpoints: api.endpoints.iter().map(|e| (e.name.clone(), e.counters.clone())).collect(),
                subscriptions: Vec::new(),
            })
            .collect();
        let mut out = String::new();
        expose(&shards, &apis, &mut out);
        out
    }
}
