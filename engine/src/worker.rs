//! The shard's own task: it listens, takes orders from the control side, and keeps house.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc;
use std::task::Poll;
use std::time::{Duration, Instant};

use ringway_contract::Client;
use ringway_net::{
    Accepted, BoundListener, Doorbell, Listener, Lot, ServerTls, Shard, give_back, pause, spawn, until_closing,
    yield_now,
};
use ringway_ring::{Consumer, Sleeper};

use crate::access_log::AccessLog;
use crate::balance::{Desk, Inbox, Peers};
use crate::connection::{self, Connection};
use crate::local::{Counted, Local};
use crate::memory;
use crate::messages::push;
use crate::parking;
use crate::router::RouteTable;
use crate::site::{Deployment, Site};
use crate::telemetry::ShardCounters;
use crate::welcome;

/// What the control side tells a shard. A deployment is first built and then put in force, so that every shard has built it before
/// any of them serves it.
pub enum Order {
    /// Build a site; nothing changes yet.
    Prepare(Box<Deployment>),
    /// Put the site that was built in force.
    Commit,
    /// Forget the site that was built.
    Discard,
    /// Serve what is under way, and close connections after it; steer new ones to a successor.
    Drain,
    /// End now.
    Stop,
}

/// What a shard answers.
pub enum Report {
    /// The site is built, or why not.
    Prepared(Result<(), String>),
    /// The site is in force. The route tables of the one before go back: freeing a large one would hold the shard up.
    Committed(Vec<RouteTable>),
    /// Connections that were still open when the shard ended.
    Ended(usize),
}

/// A listener of this shard.
pub struct Opening {
    /// The socket.
    pub bound: BoundListener,
    /// Index of the server in `ringway.yaml`.
    pub server: u16,
    /// Whether connections begin with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// TLS, when the server speaks it.
    pub tls: Option<Arc<ServerTls>>,
}

/// Everything that a shard starts with.
pub struct Setup {
    /// Its listeners.
    pub openings: Vec<Opening>,
    /// Orders from the control side.
    pub orders: Consumer<Order>,
    /// Rung when there are orders.
    pub sleeper: Sleeper,
    /// Answers to the control side.
    pub reports: mpsc::Sender<Report>,
    /// What it counts.
    pub counters: Arc<ShardCounters>,
    /// Makes the shard's end of the access log.
    pub access_log: Box<dyn FnOnce(Rc<Shard>) -> AccessLog + Send>,
    /// Shards of the process.
    pub shards: usize,
    /// Its place among the other shards, if there are any.
    pub desk: Option<Desk>,
    /// The first site.
    pub deployment: Box<Deployment>,
}

/// How often a shard keeps house: drops idle lanes, hands over log lines, updates gauges.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// Runs a shard until it is told to stop, or has drained.
pub async fn run(shard: Rc<Shard>, setup: Setup) {
    if let Some(local) = serve(shard, setup).await {
        local.end();
    }
}

/// The same; what the shard's tasks share.
async fn serve(shard: Rc<Shard>, setup: Setup) -> Option<Rc<Local>> {
    let Setup { openings, mut orders, sleeper, reports, counters, access_log, shards, desk, deployment } = setup;
    let (peers, inbox) = match desk {
        Some(Desk { peers, inbox, sleeper }) => (Some(peers), Some(Doorbell::new(sleeper).map(|bell| (inbox, bell)))),
        None => (None, None),
    };
    let (mut bell, inbox) = match Doorbell::new(sleeper).and_then(|bell| Ok((bell, inbox.transpose()?))) {
        Ok(bells) => bells,
        Err(error) => {
            let _ = reports.send(Report::Prepared(Err(format!("doorbell: {error}"))));
            return None;
        }
    };
    let services = deployment.services(shards);
    let site = match Site::build(*deployment, None, &services, shard.id).await {
        Ok(site) => site,
        Err(reason) => {
            let _ = reports.send(Report::Prepared(Err(reason)));
            return None;
        }
    };
    counters.revision.set(site.revision);
    let parked = match Lot::new() {
        Ok(parked) => parked,
        Err(error) => {
            let _ = reports.send(Report::Prepared(Err(format!("epoll: {error}"))));
            return None;
        }
    };
    let local = Rc::new(Local::new(shard.clone(), services, counters, access_log(shard.clone()), parked, peers, site));
    let mut gates = Vec::with_capacity(openings.len());
    for opening in openings {
        let server = opening.server;
        gates.push(Gate { server, proxy_protocol: opening.proxy_protocol, tls: opening.tls.clone() });
        match Listener::from_bound(opening.bound) {
            Ok(listener) => {
                let listening = Listening::new(local.clone());
                spawn(accept(listening, listener, server, opening.proxy_protocol, opening.tls));
            }
            Err(error) => {
                let _ = reports.send(Report::Prepared(Err(format!("listener of server {server}: {error}"))));
                return None;
            }
        }
    }
    if let (Some(peers), Some((inbox, bell))) = (&local.peers, inbox) {
        peers.take(true);
        spawn(receive(local.clone(), inbox, bell, gates));
    }
    spawn(housekeeping(local.clone()));
    spawn(keep_parked(local.clone()));
    let _ = reports.send(Report::Prepared(Ok(())));
    begin(&local);

    let mut built: Option<Site> = None;
    loop {
        while let Some(order) = orders.pop() {
            match order {
                Order::Prepare(deployment) => {
                    let outcome = Site::build(*deployment, Some(&local.site()), &local.services, shard.id).await;
                    let report = outcome.map(|site| built = Some(site));
                    let _ = reports.send(Report::Prepared(report));
                }
                Order::Commit => {
                    let mut old = Vec::new();
                    if let Some(site) = built.take() {
                        local.counters.revision.set(site.revision);
                        local.counters.reloads.bump();
                        // An exchange that still holds the old site frees it when it ends.
                        local.site().retire(&site);
                        old = Rc::try_unwrap(local.swap(site)).map(Site::into_routes).unwrap_or_default();
                        parking::dismiss(&local);
                        begin(&local);
                    }
                    let _ = reports.send(Report::Committed(old));
                }
                Order::Discard => built = None,
                Order::Drain => {
                    local.drain.set();
                    tracing::info!(shard = local.shard.id, "shard draining");
                    if let Some(peers) = &local.peers {
                        peers.take(false);
                    }
                    parking::close_idle(&local);
                    parking::dismiss(&local);
                    let local = local.clone();
                    let reports = reports.clone();
                    spawn(async move {
                        if drained(&local).await {
                            let _ = reports.send(Report::Ended(0));
                        }
                    });
                }
                Order::Stop => {
                    local.access_log.flush();
                    let _ = reports.send(Report::Ended(local.connections_due()));
                    return Some(local);
                }
            }
        }
        if orders.is_closed() && orders.is_empty() {
            return Some(local);
        }
        if bell.wait(|| orders.is_empty() && !orders.is_closed()).await.is_err() {
            return Some(local);
        }
    }
}

/// Begins the subscriptions of the site in force that have not begun, and asks for its dictionaries.
fn begin(local: &Rc<Local>) {
    let site = local.site();
    site.apis.iter().for_each(|api| push::begin(local, api));
    site.ask(&local.services, local.shard.id);
}

/// Waits until nothing is open and nobody can come any more. `false` when the shard ends before.
async fn drained(local: &Local) -> bool {
    // What was on its way to the listeners when they were told is served too.
    let mut wait = DIVERT_FOR;
    while local.connections_due() > 0 || !local.pushing.borrow().is_empty() || wait == DIVERT_FOR {
        if !pause(wait).await {
            return false;
        }
        wait = DRAIN_LOOK;
    }
    local.retire.set();
    while local.connections_due() > 0 || local.listening.get() > 0 {
        if !pause(DRAIN_LOOK).await {
            return false;
        }
    }
    local.access_log.flush();
    true
}

/// How often a draining shard looks whether it is done.
const DRAIN_LOOK: Duration = Duration::from_millis(20);

/// Counts a listener for as long as it may get connections.
struct Listening(Rc<Local>);

impl Listening {
    fn new(local: Rc<Local>) -> Self {
        local.listening.set(local.listening.get() + 1);
        Self(local)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.listening.set(self.0.listening.get().saturating_sub(1));
    }
}

/// Accepts connections. When the shard drains, they are steered to a successor that listens on the same port; those that come here all
/// the same are served. A listener that still gets some after a while has no successor, and is closed, as is one whose shard has
/// nothing else to do; see [`Listener::refuse`] for how that loses nobody.
async fn accept(
    listening: Listening,
    listener: Listener,
    server: u16,
    proxy_protocol: bool,
    tls: Option<Arc<ServerTls>>,
) {
    let local = &listening.0;
    let welcome = |accepted| {
        if let Some(accepted) = keep(local, accepted, server) {
            welcome_one(local, accepted, server, proxy_protocol, tls.clone());
        }
    };
    accept_each(local, &listener, server, welcome).await;
    if local.draining() {
        while let Ok(Some(accepted)) = listener.try_accept() {
            welcome(accepted);
        }
    }
    ring(local);
    drop(listener);
}

/// How far the end of a listener is.
#[derive(Clone, Copy)]
enum Ending {
    /// It serves.
    Not,
    /// Connections are steered to a successor, if there is one.
    Diverted(Instant),
    /// It gets none any more but those that have begun to connect.
    Refusing,
}

async fn accept_each(local: &Rc<Local>, listener: &Listener, server: u16, welcome: impl Fn(Accepted)) {
    let shards = local.services.shards as u32;
    let mut ending = Ending::Not;
    // Begins when it is first waited for.
    let mut settled = pin!(pause(DIVERT_FOR));
    loop {
        let accepted = {
            let mut next = pin!(match ending {
                Ending::Not => local.drain.wait(),
                Ending::Diverted(_) | Ending::Refusing => local.retire.wait(),
            });
            let mut accept = pin!(listener.accept());
            poll_fn(|cx| {
                let next = match ending {
                    Ending::Refusing => settled.as_mut().poll(cx).map(drop),
                    _ => next.as_mut().poll(cx),
                };
                if next.is_ready() {
                    return Poll::Ready(None);
                }
                let polled = accept.as_mut().poll(cx);
                if polled.is_pending() {
                    ring(local);
                }
                polled.map(Some)
            })
            .await
        };
        let next = match accepted {
            Some(Ok(accepted)) => {
                welcome(accepted);
                // Still some: there is no successor.
                matches!(ending, Ending::Diverted(since) if local.shard.now().duration_since(since) > DIVERT_FOR)
            }
            Some(Err(error)) if error.kind() == std::io::ErrorKind::Interrupted => return,
            Some(Err(error)) => {
                tracing::error!(shard = local.shard.id, server, %error, "the listener failed");
                return;
            }
            None => true,
        };
        match ending {
            _ if !next => {}
            Ending::Not => {
                // A Unix socket has no such group: its successor replaces the file.
                let _ = listener.divert(shards);
                ending = Ending::Diverted(local.shard.now());
            }
            Ending::Diverted(_) => {
                // One that is closed leaves its place in the group to another.
                let _ = listener.divert_to_first(shards);
                let _ = listener.refuse();
                ending = Ending::Refusing;
            }
            Ending::Refusing => return,
        }
    }
}

/// Hands a new connection to the least loaded shard when this one has more than its share. `None`: it is gone.
fn keep(local: &Local, accepted: Accepted, server: u16) -> Option<Accepted> {
    let Some(peers) = &local.peers else { return Some(accepted) };
    let Some(shard) = peers.choose(local.site().connections_max) else { return Some(accepted) };
    let back = peers.hand_over(shard, accepted, server).err();
    if back.is_none() {
        local.counters.handed_over.bump();
    }
    back
}

/// Wakes the shards that got something, once for all that was accepted in a row.
fn ring(local: &Local) {
    local.peers.as_ref().map(Peers::ring).unwrap_or_default();
}

/// What a listener asks of those who come to it; for connections that another shard's listener of the same server has accepted.
struct Gate {
    server: u16,
    proxy_protocol: bool,
    tls: Option<Arc<ServerTls>>,
}

/// Connections that are taken from other shards in a row before the rest of the shard has its turn.
const RECEIVED_MAX: usize = 64;

/// Serves what other shards hand over, until the shard ends; what then is still on its way is closed with the inbox.
async fn receive(local: Rc<Local>, mut inbox: Inbox, mut bell: Doorbell, gates: Vec<Gate>) {
    while !local.shard.closing().is_set() {
        for _ in 0..RECEIVED_MAX {
            let Some(arrival) = inbox.pop() else { break };
            let Some(gate) = gates.iter().find(|gate| gate.server == arrival.server) else { continue };
            local.counters.received.bump();
            let (accepted, inbound) = arrival.into_parts();
            welcome_one(&local, accepted, gate.server, gate.proxy_protocol, gate.tls.clone());
            // Now it is counted here, or refused.
            drop(inbound);
        }
        if !inbox.is_empty() {
            yield_now().await;
            continue;
        }
        let rung = {
            let mut closing = pin!(local.shard.closing().wait());
            let mut rung = pin!(bell.wait(|| inbox.is_empty()));
            poll_fn(
                |cx| if closing.as_mut().poll(cx).is_ready() { Poll::Ready(Ok(())) } else { rung.as_mut().poll(cx) },
            )
            .await
        };
        if let Err(error) = rung {
            tracing::error!(shard = local.shard.id, %error, "the doorbell failed: no more connections are taken from other shards");
            return;
        }
    }
}

/// How long a draining listener takes whatever comes, and how long a connection may take to be made by then.
const DIVERT_FOR: Duration = Duration::from_millis(250);

fn welcome_one(local: &Rc<Local>, accepted: Accepted, server: u16, proxy_protocol: bool, tls: Option<Arc<ServerTls>>) {
    let site = local.site();
    let address = accepted.peer.socket_addr().map(|address| address.ip());
    let Some(counted) = Counted::admit(local, site.connections_max, address, site.connections_per_address_max) else {
        return;
    };
    let client = Client { address: accepted.peer.socket_addr(), tls: tls.is_some(), certificate: None };
    let stream = match accepted.open() {
        Ok(stream) => stream,
        Err(error) => return tracing::warn!(shard = local.shard.id, server, %error, "a new connection was closed"),
    };
    let timer = local.shard.timers.slot();
    let connection =
        Box::new(Connection { timer, client, stream, requests: 0, server, early: None, pieces: 0, counted });
    let local = local.clone();
    if !proxy_protocol && tls.is_none() {
        spawn(connection::run(local, connection));
        return;
    }
    spawn(async move {
        // Boxed: the connection idles for longer than it shakes hands, and need not keep the room for it.
        let welcomed = Box::pin(welcome::welcome(&local, connection, proxy_protocol, tls)).await;
        if let Some(connection) = welcomed {
            connection::run(local, connection).await;
        }
    });
}

async fn keep_parked(local: Rc<Local>) {
    until_closing(parking::keep(local.clone())).await;
    parking::clear(&local);
}

/// For how many rounds after connections became quiet memory is given back: the allocator keeps it for a second first.
const GIVE_BACK_ROUNDS: u32 = 3;

async fn housekeeping(local: Rc<Local>) {
    let (mut quiet, mut rounds) = (0, 0);
    while pause(HOUSEKEEPING).await {
        let now = local.shard.now();
        let site = local.site();
        for api in &site.apis {
            for group in &api.groups {
                group.sweep(now);
            }
            api.pushing.iter().for_each(|pushing| pushing.courier.sweep());
        }
        local.memory_is_short.set(memory::resident_bytes() > site.memory_max);
        local.access_log.flush();
        local.counters.panics.set(local.shard.panics());
        local.counters.ring_waits.set(ringway_contract::lane::waits());
        local.counters.parked.set(local.parked.len() as u64);
        // Parked, or not there any more: either way their tasks and buffers are free.
        let now_quiet = local.parked.len().wrapping_sub(local.connections.get());
        rounds = if now_quiet == quiet { rounds } else { GIVE_BACK_ROUNDS };
        quiet = now_quiet;
        if rounds > 0 {
            rounds -= 1;
            local.shard.buffers.trim();
            give_back();
        }
        local.counters.buffer_bytes.set(local.shard.buffers.count().kept_bytes as u64);
    }
}
