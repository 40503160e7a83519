//! One exchange, stage by stage.

use std::rc::Rc;
use std::time::{Duration, Instant};

use http::StatusCode;
use ringway_contract::guard::OPEN;
use ringway_contract::{Cause, Coupling, Exchange, Fault, Reply, Request};
use ringway_net::Peek;
use ringway_wire::{Framing, Version};

use crate::annotate;
use crate::around;
use crate::call::{self, Served};
use crate::carriage::{Desk, Open};
use crate::chain::{Chain, Facing, settle};
use crate::connection::Connection;
use crate::content;
use crate::local::{Local, UnderWay};
use crate::max_forwards;
use crate::messages::{self, Door};
use crate::plan;
use crate::report;
use crate::site::{ApiSite, Site};
use crate::tunnel::Record;

/// What becomes of the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The next request may come.
    KeepAlive,
    /// Closed at once.
    Close,
    /// Closed after reading what the client still sends.
    Linger,
    /// It goes on without the carriage: see [`Desk::opened`].
    Tunnel,
}

/// Why an exchange ends before its endpoint answered.
pub enum Stop {
    /// A refusal, or an answer of the gateway's own.
    Reply(Box<Reply>),
    /// The same, and the platform's flows on the way back are over.
    Last(Box<Reply>),
    /// A failure.
    Fault(Fault),
}

impl From<Box<Reply>> for Stop {
    fn from(reply: Box<Reply>) -> Self {
        Stop::Reply(reply)
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Stop::Fault(fault)
    }
}

/// Everything that the stages of one exchange work on.
pub struct Stage<'a> {
    /// The shard.
    pub local: &'a Rc<Local>,
    /// The site that the exchange began with; it ends with it too.
    pub site: &'a Site,
    /// The API.
    pub api: &'a ApiSite,
    /// The client's connection.
    pub connection: &'a Connection,
    /// The request and response.
    pub exchange: &'a mut Exchange,
    /// Whether the client's connection may serve another request after this one.
    pub keep_alive: bool,
    /// The client's version of HTTP.
    pub version: Version,
    /// Whether the request is a HEAD, wherever it is now: its response has no body (RFC 9110 section 9.3.2).
    pub is_head: bool,
    /// When the response's head must be there. `None`: whenever it comes.
    pub until: Option<Instant>,
    /// Calls of an endpoint that were begun.
    pub calls: u32,
    /// How many of them those around the call were asked about.
    pub judged: u32,
    /// The time when it was last asked for.
    pub now: Instant,
    /// Whether that is now: nothing that takes time has been done since.
    pub swift: bool,
}

impl Stage<'_> {
    /// Bytes that the request's body may have: as the gateway, and as a policy says.
    pub fn body_bytes_max(&self) -> u64 {
        self.exchange.request_bytes_max.map_or(self.site.body_bytes_max, |max| max.min(self.site.body_bytes_max))
    }

    /// What is left of the exchange's time, however often it was tried and whatever interim responses came.
    pub fn left(&self, now: Instant) -> Duration {
        self.until.map_or(Duration::MAX, |until| until.saturating_duration_since(now))
    }
}

/// Serves the request on the desk.
pub async fn run(local: &Rc<Local>, desk: &mut Desk, connection: &mut Connection) -> Next {
    let started = local.shard.now();
    local.counters.requests.bump();
    connection.requests = connection.requests.saturating_add(1);

    let site = local.site();
    let Some(mut request) = desk.request.take() else { return Next::Close };
    let expects_more = request.head.persistent;
    let keep_alive = expects_more && !local.draining() && connection.requests < site.requests_max;

    let Some(_under_way) = UnderWay::admit(local, site.exchanges_max) else {
        let next = report::shed(local, &site, connection, desk, &request, keep_alive).await;
        desk.request = Some(request);
        return next;
    };
    if is_misdirected(&request, connection, &site) {
        let next = report::misdirected(local, &site, connection, desk, &request, keep_alive).await;
        desk.request = Some(request);
        return next;
    }
    let Some(found) = site.find(&request.head, connection.server) else {
        let next = report::unrouted(local, &site, connection, desk, &request, keep_alive).await;
        desk.request = Some(request);
        return next;
    };
    request.context_path_len = found.prefix_len;
    let (version, is_head) = (request.head.version, request.head.method == http::Method::HEAD);
    let mut exchange = Exchange::new(request, found.api.info.clone(), local.no_plan.clone(), connection.client.clone());
    exchange.attributes = std::mem::take(&mut desk.attributes);
    let draft = local.access_log.draft(&exchange, &found.api.secrets, started);
    let until = started.checked_add(site.timeouts.request);
    let mut stage = Stage {
        local,
        site: &site,
        api: found.api,
        connection,
        exchange: &mut exchange,
        keep_alive,
        version,
        is_head,
        until,
        calls: 0,
        judged: 0,
        now: started,
        swift: false,
    };
    let mut served = match stages(&mut stage, desk).await {
        Ok(served) => served,
        Err(stop) => report::stop(&mut stage, desk, stop).await,
    };
    if let Some(logging) = &found.api.logging {
        logging.finish(local, &mut exchange, &served, local.shard.now().saturating_duration_since(started));
    }

    // What the exchange held goes back to where the next one takes it from.
    let streaming = served.streaming.take();
    desk.request = match streaming.as_ref().is_some_and(|streaming| streaming.sees_request()) {
        // Policies on its messages may ask what the request said.
        true => Some(Box::default()),
        false => exchange.request.take(),
    };
    if let Some(mut response) = exchange.response.take() {
        response.clear();
        local.services.responses.put(response);
    }
    let counters = &found.api.counters;
    let opened = served.opened.take().map(Open::Tunnel).or(streaming.map(Open::Stream));
    if let Some(opened) = opened {
        let (counters, request_bytes) = (counters.clone(), served.request_bytes);
        let draft = local.access_log.keep(draft);
        desk.opened = Some((opened, Record::new(exchange, draft, counters, started, request_bytes)));
        return Next::Tunnel;
    }
    let took = served.ended.unwrap_or_else(|| local.shard.now()).saturating_duration_since(started);
    counters.ended(&served, took);
    local.counters.ended(&served, took);
    local.access_log.finish(draft, &exchange, &served, took);
    exchange.attributes.clear();
    desk.attributes = exchange.attributes;
    let is_whole = served.fault.is_none() && !served.aborted;
    if served.next == Next::Close && is_whole && (expects_more || says_more(desk, connection)) {
        // Closed with something unread, the connection would be reset, and the reset might overtake the response.
        return Next::Linger;
    }
    served.next
}

/// Whether something of the client waits behind its request, though it said that this is the last.
fn says_more(desk: &Desk, connection: &Connection) -> bool {
    !desk.input.is_empty() || connection.stream.peek() == Peek::Bytes
}

/// Whether the host's certificate is another one than the client was shown (RFC 9110 section 7.4). A trusted proxy may carry the
/// requests of many hosts over one connection.
fn is_misdirected(request: &Request, connection: &Connection, site: &Site) -> bool {
    let tls = connection.stream.tls();
    tls.is_some_and(|tls| tls.is_misdirected(request.head.host())) && !site.annotations.trusts(&connection.client)
}

/// Router to endpoint and back; the order is the architecture's.
async fn stages(stage: &mut Stage<'_>, desk: &mut Desk) -> Result<Served, Stop> {
    let api = stage.api;
    desk.matched.clear();
    // The request is on the exchange until the call hands it to a lane.
    let Some(request) = stage.exchange.request.as_deref_mut() else { return Err(Fault::new(Cause::Internal).into()) };
    acceptable(&request.head.method, request.head.framing, stage.site)?;
    max_forwards::check(&mut request.head)?;
    if let Some(reply) = api.cors.preflight(&request.head) {
        if let Some(chain) = &api.preflight {
            // Boxed: few requests are preflights, and fewer pass anything.
            Box::pin(preflight(stage, desk, chain)).await?;
        }
        return Err(reply.into());
    }
    let Some(door) = api.doors.iter().find(|door| door.entrypoint.matches(request)) else {
        return Err(refusal(
            StatusCode::NOT_FOUND,
            "GATEWAY_NO_ENTRYPOINT",
            "No entrypoint of this API takes the request.",
        ));
    };

    if let Some(logging) = &api.logging {
        logging.began(stage.exchange);
    }
    if !api.platform.is_idle() {
        // Boxed: most APIs have nothing around them.
        Box::pin(platform(stage, desk, &door.facing())).await?;
    }
    let plan = plan::admit(&api.plans, stage.exchange).await?;
    stage.swift = api.platform.is_idle()
        && plan.chain.is_idle()
        && matches!(api.plans.as_slice(), [only] if only.guard.rank() == OPEN);

    let mut matched = std::mem::take(&mut desk.matched);
    let outcome = passed(stage, desk, (door, plan), &mut matched).await;
    desk.matched = matched;
    outcome
}

/// The platform's flows on the way to the endpoint: nobody has been asked yet who is calling.
async fn platform(stage: &mut Stage<'_>, desk: &mut Desk, facing: &Facing<'_>) -> Result<(), Stop> {
    let mut matched = std::mem::take(&mut desk.matched);
    let api = stage.api;
    let chain = &api.platform;
    let outcome = match choose(stage, desk, chain, facing, &mut matched).await {
        Ok(()) => steps(stage, desk, chain, &matched).await,
        Err(stop) => Err(stop),
    };
    desk.matched = matched;
    outcome
}

/// What a preflight passes before it is answered.
async fn preflight(stage: &mut Stage<'_>, desk: &mut Desk, chain: &Chain) -> Result<(), Stop> {
    platform(stage, desk, &Facing::default()).await?;
    let mut matched = std::mem::take(&mut desk.matched);
    let outcome = onward(stage, desk, chain, &Facing::default(), &mut matched).await;
    desk.matched = matched;
    outcome
}

/// The chain on both ways, and the call between them.
async fn passed(
    stage: &mut Stage<'_>,
    desk: &mut Desk,
    (door, plan): (&Door, &plan::Plan),
    matched: &mut Vec<u16>,
) -> Result<Served, Stop> {
    onward(stage, desk, &plan.chain, &door.facing(), matched).await?;
    annotate::request(stage);
    if !stage.exchange.arounds.is_empty() {
        let arounds = stage.exchange.arounds.clone();
        for around in arounds.iter().rev() {
            if let Some(reply) = settle(around.before(stage.exchange)).await.reply() {
                return Err(reply.into());
            }
            if stage.exchange.response.is_some() {
                return around::own(stage, desk, &plan.chain, matched).await;
            }
        }
    }
    if let Some(logging) = &stage.api.logging {
        logging.calling(stage.exchange);
    }
    match door.entrypoint.coupling() {
        Coupling::Transparent => call::call(stage, desk, &plan.chain, matched).await,
        // Boxed: a session's future is larger than a call's, and most shards never see one.
        Coupling::Messages => Box::pin(messages::serve(stage, desk, &plan.chain, matched, door)).await,
    }
}

/// The chain on the way to the endpoint; which of its flows take part is added to `matched`.
async fn onward(
    stage: &mut Stage<'_>,
    desk: &mut Desk,
    chain: &Chain,
    facing: &Facing<'_>,
    matched: &mut Vec<u16>,
) -> Result<(), Stop> {
    if chain.is_idle() && matched.is_empty() {
        if let Some(recording) = stage.exchange.recording.as_deref_mut() {
            recording.is_masked = true;
        }
        return Ok(());
    }
    choose(stage, desk, chain, facing, matched).await?;
    if let Some(recording) = stage.exchange.recording.as_deref_mut() {
        chain.mask(matched, recording);
    }
    steps(stage, desk, chain, matched).await?;
    if chain.keeps_request(matched) && stage.exchange.contents.request.is_none() {
        content::hold_request(stage, desk).await?;
    }
    content::settle_request(stage.exchange);
    if chain.response(matched).any(|step| step.content)
        && let Some(request) = stage.exchange.request.as_deref_mut()
    {
        content::ask_for_plain(&mut request.head.fields);
    }
    Ok(())
}

/// Adds the flows of a chain that the request takes to `matched`.
async fn choose(
    stage: &mut Stage<'_>,
    desk: &mut Desk,
    chain: &Chain,
    facing: &Facing<'_>,
    matched: &mut Vec<u16>,
) -> Result<(), Stop> {
    if chain.request_content && stage.exchange.contents.request.is_none() {
        content::hold_request(stage, desk).await?;
    }
    Ok(chain.select(stage.exchange, facing, matched)?)
}

/// The steps of a chain on the way to the endpoint.
async fn steps(stage: &mut Stage<'_>, desk: &mut Desk, chain: &Chain, matched: &[u16]) -> Result<(), Stop> {
    for step in chain.request(matched) {
        if step.content && stage.exchange.contents.request.is_none() {
            content::hold_request(stage, desk).await?;
        }
        if let Some(reply) = step.request(stage.exchange).await {
            return Err(reply.into());
        }
    }
    Ok(())
}

/// What no API is asked to take.
fn acceptable(method: &http::Method, framing: Framing, site: &Site) -> Result<(), Stop> {
    if *method == http::Method::CONNECT {
        return Err(refusal(StatusCode::METHOD_NOT_ALLOWED, "INVALID_HTTP_METHOD", "CONNECT is not served here."));
    }
    // TRACE would show a client the fields that the gateway adds for the backend (RFC 9110 section 9.3.8).
    if *method == http::Method::TRACE {
        return Err(refusal(StatusCode::METHOD_NOT_ALLOWED, "INVALID_HTTP_METHOD", "TRACE is not served here."));
    }
    match framing {
        Framing::Length(length) if length > site.body_bytes_max => Err(Fault::new(Cause::ClientBodyTooLarge).into()),
        _ => Ok(()),
    }
}

fn refusal(status: StatusCode, key: &'static str, message: &'static str) -> Stop {
    Stop::Reply(Box::new(Reply::refusal(status, key, message)))
}
