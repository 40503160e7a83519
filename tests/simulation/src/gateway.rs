//! The gateway in the middle, its operator, and the end of it all.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringway_config::{Catalogue, Hidden, Loader, Node, Settings, Snapshot, Source, Span, decode};
use ringway_contract::kind::Registry;
use ringway_engine::StartOptions;
use ringway_engine::simulated::{self, Control};
use ringway_management::kinds::catalogue;
use ringway_net::Shard;
use ringway_net::sim::World;
use serde_json::Value;

use crate::ledger::Ledger;
use crate::plan::{Plan, behind, front};
use crate::{backend, client};

const REGISTRY: Registry = Registry {
    pushes: &[],
    fetch: |_| None,
    dial: |_| None,
    metrics: |_| {},
    entrypoints: ringway_connectors::ENTRYPOINTS,
    endpoints: ringway_connectors::ENDPOINTS,
    brokers: ringway_connectors::BROKERS,
    guards: ringway_policies::GUARDS,
    policies: ringway_policies::POLICIES,
    reshape: None,
};

/// How long after the last client has gone the gateway may still hold something of it.
const SETTLES_IN: Duration = Duration::from_secs(20);

fn node(value: &Value) -> Node {
    Node::from_json(value, &Span::start(Source::new("simulation", "")))
}

fn snapshot(plan: &Plan, version: u64) -> Arc<Snapshot> {
    thread_local! {
        static CATALOGUE: Catalogue = catalogue(&REGISTRY);
    }
    let settings: Settings = decode(&node(&plan.settings())).expect("settings");
    let mut all = Vec::new();
    for (number, api) in plan.apis(version).into_iter().enumerate() {
        let (apis, problems) = CATALOGUE.with(|catalogue| {
            let name = format!("{number}.json");
            Loader::default().catalogue(catalogue).definition(&name, &api.to_string(), &settings)
        });
        assert!(problems.is_empty(), "{problems:?}");
        all.extend(apis.into_iter().map(Arc::new));
    }
    Arc::new(Snapshot { settings, apis: all, dictionaries: Vec::new(), hidden: Hidden::default(), revision: version })
}

/// Runs everything to the end; what the control side has left.
pub async fn run(world: Rc<World>, plan: Rc<Plan>, ledger: Rc<Ledger>, shard: Rc<Shard>) -> Alone {
    let bound = world.bind(front(), 1_000);
    let options = StartOptions { snapshot: snapshot(&plan, 1), registry: REGISTRY };
    let (gateway, control) = simulated::shard(options, bound).expect("a snapshot that can be served");
    let control = Rc::new(RefCell::new(control));
    plan.dials(&world);
    for number in 0..plan.backends {
        if !plan.is_calm && world.once_in(8) {
            continue;
        }
        let parts = (Rc::downgrade(&world), Rc::clone(&plan), Rc::clone(&ledger));
        world.listen(behind(number), move |conn| {
            let (world, plan, ledger) = (parts.0.upgrade(), Rc::clone(&parts.1), Rc::clone(&parts.2));
            async move {
                if let Some(world) = world {
                    backend::serve(world, plan, ledger, conn).await;
                }
            }
        });
    }
    let living = Rc::new(Cell::new(plan.clients));
    for number in 0..plan.clients {
        let (world_, plan, ledger, living) =
            (Rc::clone(&world), Rc::clone(&plan), Rc::clone(&ledger), Rc::clone(&living));
        world.spawn(async move {
            client::live(world_, plan, ledger, number).await;
            living.set(living.get() - 1);
        });
    }
    let operator = Operator { world: Rc::clone(&world), plan, ledger, control: Rc::clone(&control) };
    world.spawn(async move { operator.work(living).await });
    gateway.run(shard).await;
    Alone(control)
}

/// What the control side still sees of the shard.
pub struct Alone(Rc<RefCell<Control>>);

impl Alone {
    /// See [`Control::is_alone`].
    pub fn is_alone(&self) -> bool {
        self.0.borrow().is_alone()
    }
}

struct Operator {
    world: Rc<World>,
    plan: Rc<Plan>,
    ledger: Rc<Ledger>,
    control: Rc<RefCell<Control>>,
}

impl Operator {
    async fn work(self, living: Rc<Cell<usize>>) {
        let (world, plan) = (&self.world, &self.plan);
        let (mut drained, mut reloaded) = (false, false);
        while living.get() > 0 {
            world.sleep(Duration::from_millis(20)).await;
            let is_due = |at: Option<Duration>| at.is_some_and(|at| world.elapsed() >= at);
            if !reloaded && is_due(plan.reloads_at) {
                reloaded = true;
                self.ledger.tell(|| "the definitions are replaced".to_owned());
                self.ledger.dismisses();
                self.control.borrow_mut().publish(&snapshot(plan, 2)).expect("a snapshot that can be served");
            }
            if !drained && is_due(plan.drains_at) {
                drained = true;
                self.ledger.tell(|| "the gateway drains".to_owned());
                self.ledger.dismisses();
                self.control.borrow_mut().drain();
            }
            if is_due(plan.stops_at) {
                self.ledger.tell(|| "the gateway stops".to_owned());
                self.ledger.stops();
                // What is under way is cut, and the shard has to give it up.
                return self.control.borrow_mut().stop();
            }
        }
        // Some read very slowly, and have room for little.
        self.settles(SETTLES_IN * 4, "every client has gone", || match self.ledger.listening() {
            0 => Vec::new(),
            backends => vec![format!("{backends} backends wait for the end of a tunnel")],
        })
        .await;
        self.settles(SETTLES_IN, "everybody has gone", || {
            let gauges = [
                "ringway_connections",
                "ringway_connections_parked",
                "ringway_exchanges",
                "ringway_streams",
                "ringway_endpoint_connections_busy",
                "ringway_endpoint_pending",
            ];
            let left = gauges.into_iter().filter(|gauge| self.sum(gauge) != 0.0);
            left.map(|gauge| format!("{gauge} is {}", self.sum(gauge))).collect()
        })
        .await;
        self.adds_up();
        if !drained {
            self.control.borrow_mut().drain();
        }
        self.settles(SETTLES_IN, "it was drained", || match self.control.borrow().is_ended() {
            Ok(true) => Vec::new(),
            Ok(false) => vec!["the gateway has not ended".to_owned()],
            Err(error) => vec![error],
        })
        .await;
        self.control.borrow_mut().stop();
    }

    /// Waits until nothing is left of `what`.
    async fn settles(&self, within: Duration, when: &str, what: impl Fn() -> Vec<String>) {
        let until = self.world.elapsed() + within;
        loop {
            let left = what();
            if left.is_empty() {
                return;
            }
            if self.world.elapsed() > until {
                return self.ledger.breach(format!("{within:?} after {when}, {}", left.join(", ")));
            }
            self.world.sleep(Duration::from_millis(100)).await;
        }
    }

    fn adds_up(&self) {
        let requests = self.sum("ringway_requests_total");
        let ended: f64 = [
            "ringway_api_responses_total",
            "ringway_api_aborted_total",
            "ringway_requests_rejected_total",
            "ringway_requests_shed_total",
        ]
        .into_iter()
        .map(|counter| self.sum(counter))
        .sum();
        if requests != ended {
            self.ledger.breach(format!("{requests} requests, and {ended} that were answered, refused or aborted"));
        }
        let held_back = self.sum("ringway_requests_held_back_total");
        self.ledger.count(|figures| figures.held_back += held_back as u64);
        let published = self.sum("ringway_api_messages_published_total");
        let (given, taken) = self.ledger.published();
        if published < taken as f64 || published > given as f64 {
            self.ledger.breach(format!(
                "{published} messages were published, of {given} that clients sent, {taken} of them to a close that was answered"
            ));
        }
        if self.sum("ringway_panics_total") != 0.0 {
            self.ledger.breach("a task panicked".to_owned());
        }
    }

    /// The sum of a metric over its labels.
    fn sum(&self, metric: &str) -> f64 {
        let text = self.control.borrow().metrics();
        let values = text.lines().filter_map(|line| {
            let rest = line.strip_prefix(metric)?;
            let value =
                rest.strip_prefix('{').map_or(Some(rest), |rest| rest.rsplit_once('}').map(|(_, value)| value))?;
            value.strip_prefix(' ')?.trim().parse::<f64>().ok()
        });
        values.sum()
    }
}
