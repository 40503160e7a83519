//! Subscriptions whose messages the gateway sends: a task for each, on one shard of the process.
//!
//! ```text
//!   mod.rs      when a subscription runs: its beginning, its end, what a failing broker does to it
//!   flow.rs     messages under way, in order: taken, delivered, acknowledged
//!   parcel.rs   one message to its end: attempts, dead letters
//! ```

use std::borrow::Cow;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use ringway_config::api::{Moment, Operation};
use ringway_contract::{Attributes, Cause, Client, Courier, Exchange, Fault, PlanInfo, Qos, Subscriber, Terms};
use ringway_net::{Signal, sleep};

use super::passage::Passage;
use super::route::Route;
use super::scribe::Scribe;
use crate::chain::{Chain, Facing};
use crate::local::Local;
use crate::shared::{Status, SubscriptionShared};
use crate::site::ApiSite;

mod flow;
mod parcel;

use flow::Outcome;

/// The first pause after a broker has failed.
const BROKER_PAUSE: Duration = Duration::from_secs(5);
/// The longest.
const BROKER_PAUSE_MAX: Duration = Duration::from_secs(300);
/// The longest sleep in one piece.
const SLEEP_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A subscription that this shard serves.
pub struct Pushing {
    /// What other threads see of it.
    pub shared: Arc<SubscriptionShared>,
    /// Who consumes, as brokers know it.
    pub client: Rc<str>,
    /// What delivers.
    pub courier: Rc<dyn Courier>,
    /// The level that the definition gives the entrypoint.
    pub qos: Qos,
    /// When it begins.
    pub starting_at: Option<Moment>,
    /// When it ends.
    pub ending_at: Option<Moment>,
    /// Where refused messages go.
    pub dead_letters: Option<Route>,
    /// The flows of platform, plan and API.
    pub chain: Rc<Chain>,
    /// What those are chosen by.
    pub facing: PushFacing,
    /// Whether its task has begun.
    pub begun: Cell<bool>,
}

/// What the flows of a subscription are chosen by, and what its policies know.
pub struct PushFacing {
    /// Type of its entrypoint.
    pub entrypoint: &'static str,
    /// Its channel.
    pub channel: String,
    /// Its plan.
    pub plan: Rc<PlanInfo>,
    /// Who it is.
    pub subscriber: Rc<Subscriber>,
}

/// What a subscription's futures work with.
struct Run {
    local: Rc<Local>,
    pushing: Rc<Pushing>,
    api: Rc<ApiSite>,
    terms: Terms,
    attributes: Attributes,
    /// What its messages pass.
    passage: Passage,
}

impl Run {
    /// What policies see of the subscription: nobody has asked for its messages.
    fn exchange(&self) -> Exchange {
        exchange(&self.pushing, &self.api)
    }

    /// Where its messages come from.
    fn route(&self) -> Result<Route, Fault> {
        Route::first(&self.api.brokers).ok_or(Fault::new(Cause::NoEndpoint))
    }
}

fn exchange(pushing: &Pushing, api: &ApiSite) -> Exchange {
    let client = Client { address: None, tls: false, certificate: None };
    let mut exchange = Exchange::vacant(api.info.clone(), pushing.facing.plan.clone(), client);
    exchange.subscriber = Some(pushing.facing.subscriber.clone());
    exchange
}

/// Begins what has not begun yet.
pub fn begin(local: &Rc<Local>, api: &Rc<ApiSite>) {
    for pushing in &api.pushing {
        if !pushing.begun.replace(true) {
            ringway_net::spawn(run(local.clone(), api.clone(), pushing.clone()));
        }
    }
}

async fn run(local: Rc<Local>, api: Rc<ApiSite>, pushing: Rc<Pushing>) {
    let berth = Berth::take(&local, &pushing);
    // The same subscription of the definition before: what it has under way comes first.
    if let Some(before) = &berth.before {
        before.wait().await;
    }
    let mut terms = pushing.courier.terms();
    if matches!(pushing.qos, Qos::AtLeastOnce | Qos::AtMostOnce) {
        terms.window = 1;
    }
    let (local, pushing) = (local.clone(), pushing.clone());
    let PushFacing { entrypoint, channel, .. } = &pushing.facing;
    let facing = Facing { entrypoint, publishes: false, subscribes: true, channel: Some(channel) };
    let (mut matched, mut facts) = (Vec::new(), exchange(&pushing, &api));
    // What cannot be evaluated here could not be for any message.
    if [&api.platform, &*pushing.chain].iter().any(|chain| chain.select(&mut facts, &facing, &mut matched).is_err()) {
        pushing.shared.stand(Status::Failure, "no flow takes the subscription, or a condition cannot be evaluated");
        return;
    }
    let scribe = api.logging.as_ref().and_then(|logging| {
        Scribe::of((&local, logging), &facts, (&pushing.chain, &matched), entrypoint, Operation::Subscribe)
    });
    let passage = pushing.chain.subscribe(&matched).written_by(scribe);
    let attributes = Attributes::default();
    let run = Rc::new(Run { local, api, attributes, terms, passage, pushing: pushing.clone() });
    let ended = ringway_net::until_closing(live(&run)).await;
    let (status, cause) = ended.unwrap_or((Status::Stopped, "the gateway stops".into()));
    let (api, subscription) = (run.api.info.id.as_str(), pushing.shared.id.as_str());
    match status {
        Status::Failure => tracing::warn!(api, subscription, %cause, "the subscription failed"),
        _ => tracing::info!(api, subscription, %cause, "the subscription has ended"),
    }
    pushing.shared.stand(status, cause);
    berth.ended.set(true);
}

/// Serves a subscription until it ends; with which status, and why.
async fn live(run: &Rc<Run>) -> (Status, Cow<'static, str>) {
    let shared = &run.pushing.shared;
    if let Some(Moment(start)) = run.pushing.starting_at {
        shared.stand(Status::Stopped, "it has not begun yet");
        if Halt::new(run).unless(until(&run.local, start)).await.is_none() {
            return (Status::Stopped, halted(run).into());
        }
    }
    let mut pause = Pause::default();
    loop {
        let halt = Rc::new(Halt::new(run));
        let fault = match flow::consume(run, &halt, &mut pause).await {
            Outcome::Halted => return (Status::Stopped, halted(run).into()),
            Outcome::Complete => return (Status::Stopped, "there are no more messages".into()),
            Outcome::Stopped(cause) => return (Status::Failure, cause.into()),
            // Another may be there.
            Outcome::Away(fault) => {
                warn(run, &fault, Duration::ZERO, "the subscription goes to another broker");
                continue;
            }
            Outcome::Broker(fault) => fault,
        };
        let wait = pause.next();
        warn(run, &fault, wait, "the subscription has lost its broker");
        shared.stand(Status::Started, format!("{fault}; tried again within {} s", wait.as_secs()));
        if Halt::new(run).unless(sleep(wait)).await.is_none() {
            return (Status::Stopped, halted(run).into());
        }
    }
}

fn warn(run: &Run, fault: &Fault, wait: Duration, what: &'static str) {
    let again_s = wait.as_secs();
    tracing::warn!(api = run.api.info.id, subscription = run.pushing.shared.id, %fault, again_s, "{what}");
}

fn halted(run: &Run) -> &'static str {
    if run.local.draining() {
        "the gateway stops"
    } else if run.api.retired.is_set() {
        "the API is deployed anew"
    } else {
        "its time is over"
    }
}

async fn until(local: &Local, unix_ms: u64) {
    loop {
        let left = unix_ms.saturating_sub(local.shard.unix_ms());
        if left == 0 {
            return;
        }
        sleep(Duration::from_millis(left).min(SLEEP_MAX)).await;
    }
}

/// How long to leave a broker alone that has failed.
#[derive(Default)]
struct Pause(Option<Duration>);

impl Pause {
    fn next(&mut self) -> Duration {
        let next = self.0.map_or(BROKER_PAUSE, |last| (last * 2).min(BROKER_PAUSE_MAX));
        self.0 = Some(next);
        next
    }

    /// It works again.
    fn reset(&mut self) {
        self.0 = None;
    }
}

/// What ends the taking of messages: the gateway stops, the API is deployed anew, the subscription's time is over, or one of its messages
/// forbids to go on.
struct Halt {
    local: Rc<Local>,
    retired: Rc<Signal>,
    ending_at: Option<Moment>,
    stopped: Signal,
}

impl Halt {
    fn new(run: &Run) -> Self {
        Self {
            local: run.local.clone(),
            retired: run.api.retired.clone(),
            ending_at: run.pushing.ending_at,
            stopped: Signal::new(),
        }
    }

    fn stop(&self) {
        self.stopped.set();
    }

    async fn wait(&self) {
        let mut drained = pin!(self.local.drain.wait());
        let mut retired = pin!(self.retired.wait());
        let mut stopped = pin!(self.stopped.wait());
        let mut over = pin!(async {
            match self.ending_at {
                Some(Moment(end)) => until(&self.local, end).await,
                None => std::future::pending().await,
            }
        });
        poll_fn(|cx| {
            let halted = drained.as_mut().poll(cx).is_ready()
                || retired.as_mut().poll(cx).is_ready()
                || stopped.as_mut().poll(cx).is_ready()
                || over.as_mut().poll(cx).is_ready();
            if halted { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// `None` when it halts first.
    async fn unless<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut halted = pin!(self.wait());
        let mut future = pin!(future);
        poll_fn(|cx| {
            if halted.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            future.as_mut().poll(cx).map(Some)
        })
        .await
    }
}

/// A subscription's place among those of the shard: one of an id runs at a time.
struct Berth {
    local: Rc<Local>,
    pushing: Rc<Pushing>,
    before: Option<Rc<Signal>>,
    left: Rc<Signal>,
    /// Whether the task came to its own end.
    ended: Cell<bool>,
}

impl Berth {
    fn take(local: &Rc<Local>, pushing: &Rc<Pushing>) -> Self {
        let left = Rc::new(Signal::new());
        let before = local.pushing.borrow_mut().insert(pushing.client.clone(), left.clone());
        Self { local: local.clone(), pushing: pushing.clone(), before, left, ended: Cell::new(false) }
    }
}

impl Drop for Berth {
    fn drop(&mut self) {
        let mut pushing = self.local.pushing.borrow_mut();
        if pushing.get(&self.pushing.client).is_some_and(|present| Rc::ptr_eq(present, &self.left)) {
            pushing.remove(&self.pushing.client);
        }
        drop(pushing);
        self.left.set();
        if !self.ended.get() {
            self.pushing.shared.stand(Status::Failure, "internal error");
        }
    }
}
