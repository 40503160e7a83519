//! The data plane as a whole, seen from the control side.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use ringway_config::Snapshot;
use ringway_contract::control::{
    ApiState, DataPlane, EndpointState, PublishError, ShardState, State, SubscriptionState,
};
use ringway_contract::kind::Registry;
use ringway_net::{
    AdmissionOptions, Dns, DnsOptions, ServerTls, Shard, ShardOptions, ShardThread, refuse_huge_pages, run_shard,
};
use ringway_ring::{Consumer, Producer, Ringer, doorbell, ring};

use crate::access_log::{self, AccessLog, BATCHES_MAX};
use crate::balance::desks;
use crate::dictionaries::{self, DictionaryShared};
use crate::servers;
use crate::shared::{ApiShared, SubscriptionShared, share};
use crate::site::Deployment;
use crate::telemetry::{ApiView, ShardCounters, ShardView, expose};
use crate::worker::{self, Order, Report, Setup};

/// Orders on their way to a shard.
const ORDERS_MAX: usize = 16;
/// The longest that a shard may take to build a site.
const BUILD_MAX: Duration = Duration::from_secs(60);

/// What the data plane starts with.
pub struct StartOptions {
    /// The first snapshot.
    pub snapshot: Arc<Snapshot>,
    /// The kinds of extensions.
    pub registry: Registry,
}

/// The data plane did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on, a thread not be made, or no I/O driver works.
    #[error("{what}: {error}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// The snapshot cannot be served.
    #[error("{0}")]
    Snapshot(String),
}

impl StartError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| Self::Io { what, error }
    }
}

/// The running data plane.
pub struct Engine {
    registry: Registry,
    inner: Mutex<Inner>,
    /// Where servers really listen: port 0 in the configuration is any free port.
    addresses: Vec<(String, String)>,
    tls: Vec<(String, Arc<ServerTls>)>,
    drained: AtomicBool,
    revision: AtomicU64,
}

struct Inner {
    shards: Vec<Handle>,
    apis: Vec<Arc<ApiShared>>,
    dictionaries: Vec<Arc<DictionaryShared>>,
    snapshot: Arc<Snapshot>,
    writer: Option<LogWriter>,
}

struct Handle {
    id: usize,
    core: Option<usize>,
    driver: String,
    counters: Arc<ShardCounters>,
    orders: Producer<Order>,
    ringer: Ringer,
    reports: Receiver<Report>,
    thread: Option<ShardThread<()>>,
}

impl Handle {
    /// A shard that has ended, or lags by [`ORDERS_MAX`], loses the order; the missing report then says so.
    fn order(&mut self, order: Order) {
        let _ = self.orders.push(order);
        self.ringer.ring();
    }

    /// The next report of the expected sort; others are those of an order that was given up.
    fn report<T>(&self, limit: Duration, pick: impl Fn(Report) -> Option<T>) -> Result<T, String> {
        let until = Instant::now() + limit;
        loop {
            match self.reports.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(report) => {
                    if let Some(picked) = pick(report) {
                        return Ok(picked);
                    }
                }
                Err(RecvTimeoutError::Timeout) => return Err(format!("shard {} did not answer in time", self.id)),
                Err(RecvTimeoutError::Disconnected) => return Err(format!("shard {} has ended", self.id)),
            }
        }
    }
}

fn prepared(report: Report) -> Option<Result<(), String>> {
    match report {
        Report::Prepared(outcome) => Some(outcome),
        _ => None,
    }
}

fn committed(report: Report) -> Option<()> {
    match report {
        Report::Committed(old) => {
            drop(old);
            Some(())
        }
        _ => None,
    }
}

/// Starts the shards. Returns when each one serves.
///
/// # Errors
/// Nothing is left running.
pub fn start(options: StartOptions) -> Result<Engine, StartError> {
    let StartOptions { snapshot, registry } = options;
    refuse_huge_pages();
    let settings = &snapshot.settings;
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let shards = settings.shards.count(cores);
    let servers = servers::bind(settings, shards)?;
    let apis = share(&snapshot, &[], shards);
    let dictionaries = dictionaries::share(&snapshot, &[]);
    let addresses = servers.addresses.clone();

    let (writer, sinks) = LogWriter::start(settings, shards)?;
    let dns = Dns::start(&DnsOptions::default())
        .inspect_err(|error| tracing::warn!(%error, "names of backends cannot be resolved; only addresses can be used"))
        .ok();
    let mut handles: Vec<Handle> = Vec::with_capacity(shards);
    let mut desks = desks(shards).map_err(StartError::io("doorbells between shards"))?.into_iter();
    let deployment = || Deployment::new(&snapshot, &apis, &dictionaries, registry).map_err(StartError::Snapshot);
    for (id, (openings, sink)) in servers.openings.into_iter().zip(sinks).enumerate() {
        let (orders, orders_in) = ring(ORDERS_MAX);
        let (ringer, sleeper) = doorbell().map_err(StartError::io("doorbell"))?;
        let (reports, reports_in) = mpsc::channel();
        let counters = Arc::new(ShardCounters::default());
        let counted = counters.clone();
        let setup = Setup {
            openings,
            orders: orders_in,
            sleeper,
            reports,
            counters: counters.clone(),
            access_log: Box::new(move |shard: std::rc::Rc<Shard>| match sink {
                Some(sink) => AccessLog::new(shard, counted, sink.format, sink.ring, sink.ringer),
                None => AccessLog::off(shard, counted),
            }),
            shards,
            desk: desks.next(),
            deployment: Box::new(deployment()?),
        };
        // A single shard beside other work of the machine is left to the scheduler; pinning pays when each core has one.
        let core = settings.pins(id, shards, cores);
        let options = ShardOptions {
            core,
            driver: servers::driver(settings),
            dns: dns.clone(),
            admission: match settings.limits.adaptive_concurrency {
                true => AdmissionOptions::default(),
                false => AdmissionOptions::UNLIMITED,
            },
            on_panic: |shard, message| tracing::error!(shard, message, "a connection's task panicked"),
            ..ShardOptions::new(id)
        };
        let thread = run_shard(options, move |shard| worker::run(shard, setup))
            .map_err(StartError::io(format!("shard {id}")))?;
        let driver = thread.driver.name().to_owned();
        tracing::info!(shard = id, core, driver, "shard started");
        handles.push(Handle { id, core, driver, counters, orders, ringer, reports: reports_in, thread: Some(thread) });
    }
    for handle in &handles {
        handle.report(BUILD_MAX, prepared).and_then(|outcome| outcome).map_err(StartError::Snapshot)?;
    }
    let revision = AtomicU64::new(snapshot.revision);
    Ok(Engine {
        registry,
        inner: Mutex::new(Inner { shards: handles, apis, dictionaries, snapshot, writer }),
        addresses,
        tls: servers.tls,
        drained: AtomicBool::new(false),
        revision,
    })
}

impl Engine {
    /// Each server's id and the address that it really listens on.
    pub fn addresses(&self) -> &[(String, String)] {
        &self.addresses
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl DataPlane for Engine {
    fn publish(&self, snapshot: Arc<Snapshot>) -> Result<(), PublishError> {
        let refuse = |reason: String| PublishError { reason };
        let mut inner = self.inner();
        let shards = inner.shards.len();
        let apis = share(&snapshot, &inner.apis, shards);
        let dictionaries = dictionaries::share(&snapshot, &inner.dictionaries);
        // Every deployment is compiled before the first shard hears of it.
        let deployments: Result<Vec<_>, _> = (0..shards)
            .map(|_| Deployment::new(&snapshot, &apis, &dictionaries, self.registry).map(Box::new))
            .collect();
        let deployments = deployments.map_err(refuse)?;
        let certificates = servers::certificates(&snapshot.settings, &self.tls).map_err(refuse)?;
        for (handle, deployment) in inner.shards.iter_mut().zip(deployments) {
            handle.order(Order::Prepare(deployment));
        }
        let outcomes: Vec<_> =
            inner.shards.iter().map(|handle| handle.report(BUILD_MAX, prepared).and_then(|outcome| outcome)).collect();
        if let Some(reason) = outcomes.into_iter().find_map(Result::err) {
            inner.shards.iter_mut().for_each(|handle| handle.order(Order::Discard));
            return Err(refuse(reason));
        }
        inner.shards.iter_mut().for_each(|handle| handle.order(Order::Commit));
        for handle in &inner.shards {
            handle.report(BUILD_MAX, committed).map_err(refuse)?;
        }
        for (tls, spec) in certificates {
            // Read a moment ago, so that only a file that changes right now can fail: the certificates before it stay.
            if let Err(error) = tls.reload(&spec) {
                tracing::error!(%error, "certificates were not reloaded");
            }
        }
        servers::warn_of_changes(&inner.snapshot.settings, &snapshot.settings);
        inner.apis = apis;
        inner.dictionaries = dictionaries;
        self.revision.store(snapshot.revision, Ordering::Relaxed);
        // The old snapshot and its APIs are freed here, not on a shard.
        inner.snapshot = snapshot;
        Ok(())
    }

    fn state(&self) -> State {
        let inner = self.inner();
        let shards = inner.shards.iter().map(|handle| ShardState {
            id: handle.id,
            core: handle.core,
            driver: handle.driver.clone(),
            connections: handle.counters.connections.read(),
            revision: handle.counters.revision.read(),
        });
        State {
            revision: self.revision.load(Ordering::Relaxed),
            shards: shards.collect(),
            apis: inner.apis.iter().map(|api| api_state(api)).collect(),
        }
    }

    fn metrics(&self, out: &mut String) {
        let inner = self.inner();
        let shards: Vec<_> = inner
            .shards
            .iter()
            .map(|handle| ShardView { id: handle.id, driver: handle.driver.clone(), counters: handle.counters.clone() })
            .collect();
        let apis: Vec<_> = inner
            .apis
            .iter()
            .map(|api| ApiView {
                id: api.id().to_owned(),
                name: api.name().to_owned(),
                shards: api.counters.clone(),
                endpoints: api.endpoints.iter().map(|e| (e.name.clone(), e.counters.clone())).collect(),
                subscriptions: api.subscriptions.iter().map(|subscription| subscription.stands().0).collect(),
            })
            .collect();
        expose(&shards, &apis, out);
        (self.registry.metrics)(out);
    }

    fn drain(&self, limit: Duration) -> usize {
        let mut inner = self.inner();
        if self.drained.swap(true, Ordering::Relaxed) {
            return 0;
        }
        let until = Instant::now() + limit;
        inner.shards.iter_mut().for_each(|handle| handle.order(Order::Drain));
        let ended = |report| matches!(report, Report::Ended(_)).then_some(());
        for handle in &inner.shards {
            let _ = handle.report(until.saturating_duration_since(Instant::now()), ended);
        }
        let mut cut = 0;
        for handle in &mut inner.shards {
            handle.order(Order::Stop);
            let left = |report| match report {
                Report::Ended(connections) => Some(connections),
                _ => None,
            };
            cut += handle.report(Duration::from_secs(1), left).unwrap_or(0);
        }
        for handle in &mut inner.shards {
            if let Some(thread) = handle.thread.take() {
                let _ = thread.join();
            }
        }
        if let Some(writer) = inner.writer.take() {
            writer.stop();
        }
        cut
    }
}

fn api_state(api: &ApiShared) -> ApiState {
    ApiState {
        id: api.id().to_owned(),
        name: api.name().to_owned(),
        version: api.api.api_version.clone(),
        paths: api.paths(),
        idle: api.api.idle.clone(),
        endpoints: api
            .endpoints
            .iter()
            .map(|endpoint| EndpointState {
                name: endpoint.name.clone(),
                healthy: endpoint.healthy.load(Ordering::Relaxed),
            })
            .collect(),
        subscriptions: api.subscriptions.iter().map(|subscription| subscription_state(subscription)).collect(),
    }
}

fn subscription_state(subscription: &SubscriptionShared) -> SubscriptionState {
    let (status, cause) = subscription.stands();
    SubscriptionState {
        id: subscription.id.clone(),
        plan: subscription.plan.clone(),
        application: subscription.application.clone(),
        status: status.name(),
        cause,
    }
}

/// A shard's way to the log writer.
struct Sink {
    format: access_log::Format,
    ring: Producer<BytesMut>,
    ringer: Ringer,
}

/// The thread that writes the access log.
struct LogWriter {
    stop: Arc<AtomicBool>,
    ringer: Ringer,
    thread: thread::JoinHandle<()>,
}

impl LogWriter {
    fn start(
        settings: &ringway_config::Settings,
        shards: usize,
    ) -> Result<(Option<Self>, Vec<Option<Sink>>), StartError> {
        let Some((format, path)) = servers::access_log(settings) else {
            return Ok((None, (0..shards).map(|_| None).collect()));
        };
        let mut out: Box<dyn Write + Send> = match &path {
            None => Box::new(io::stdout()),
            Some(path) => Box::new(
                OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(path)
                    .map_err(StartError::io(format!("access log {}", path.display())))?,
            ),
        };
        let (ringer, mut sleeper) = doorbell().map_err(StartError::io("doorbell"))?;
        let (sinks, mut rings): (Vec<_>, Vec<Consumer<BytesMut>>) = (0..shards)
            .map(|_| {
                let (producer, consumer) = ring(BATCHES_MAX);
                (Some(Sink { format, ring: producer, ringer: ringer.clone() }), consumer)
            })
            .unzip();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::Builder::new()
            .name("access-log".into())
            .spawn(move || {
                let written = access_log::write_batches(
                    &mut rings,
                    &mut || {
                        if sleeper.prepare_sleep(|| !stopped.load(Ordering::Acquire)) {
                            let _ = sleeper.wait(Some(Duration::from_millis(500)));
                            sleeper.awake();
                        }
                        !stopped.load(Ordering::Acquire)
                    },
                    &mut out,
                );
                if let Err(error) = written {
                    tracing::error!(%error, "the access log cannot be written; it is off until the next start");
                }
            })
            .map_err(StartError::io("access log thread"))?;
        Ok((Some(Self { stop, ringer, thread }), sinks))
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Release);
        self.ringer.ring();
        let _ = self.thread.join();
    }
}

/// The APIs by id; for [`share`] to find those that stay as they are.
pub(crate) fn by_id(apis: &[Arc<ApiShared>]) -> HashMap<&str, &Arc<ApiShared>> {
    apis.iter().map(|api| (api.id(), api)).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpStream;

    use ringway_config::settings::{Listen, Server, Shards};
    use ringway_config::{Hidden, Settings};

    use super::*;

    const NOTHING: Registry = Registry {
        entrypoints: &[],
        pushes: &[],
        endpoints: &[],
        brokers: &[],
        fetch: |_| None,
        dial: |_| None,
        metrics: |_| {},
        guards: &[],
        policies: &[],
        reshape: None,
    };

    /// Carriages and what they belong to hold each other; nothing of a shard may outlive it.
    #[test]
    fn a_shard_that_has_ended_holds_nothing() {
        let listen = Listen::Tcp(([127, 0, 0, 1], 0).into());
        let servers = vec![Server { listen, ..Server::default() }];
        let settings = Settings { shards: Shards::Count(1), servers, ..Settings::default() };
        let snapshot = Arc::new(Snapshot {
            settings,
            apis: Vec::new(),
            dictionaries: Vec::new(),
            hidden: Hidden::default(),
            revision: 1,
        });
        let engine = start(StartOptions { snapshot, registry: NOTHING }).unwrap();
        let counters = engine.inner().shards[0].counters.clone();
        let mut client = TcpStream::connect(&engine.addresses()[0].1).unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        assert_eq!(engine.drain(Duration::from_secs(20)), 0);
        // One is the engine's own view, one this test's.
        assert_eq!(Arc::strong_count(&counters), 2, "something of the shard is still there");
    }
}
