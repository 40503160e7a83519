//! The call of an endpoint: choose one, hand it the request over a lane, bring its response to the client; again elsewhere where that
//! is safe.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use ringway_contract::{Cause, Chunk, Fault, Frame, Request, Retry, Tapped};
use ringway_net::{Peek, Stream};
use ringway_wire::{Connection as ConnectionOption, Framing, Known, ResponseHead, Version};

use crate::annotate;
use crate::around;
use crate::body::{self, BodyReader, Part};
use crate::carriage::Desk;
use crate::chain::Chain;
use crate::connection::Connection;
use crate::content;
use crate::coupling::{Coupled, Gate, Received};
use crate::exchange::{Next, Stage, Stop};
use crate::messages::stream::Streaming;
use crate::tunnel::Opened;
use crate::upstream::group::Tried;
use crate::upstream::target::Target;
use crate::writer::Writer;

/// How an exchange went.
pub struct Served {
    /// The final status.
    pub status: StatusCode,
    /// What becomes of the client's connection.
    pub next: Next,
    /// Payload bytes from the client.
    pub request_bytes: u64,
    /// Payload bytes to the client.
    pub response_bytes: u64,
    /// What failed, if something did.
    pub fault: Option<Fault>,
    /// Whether the response broke off, or never came.
    pub aborted: bool,
    /// The backend's side of the tunnel that the response began.
    pub opened: Option<Box<Opened>>,
    /// The session that goes on behind the response's head.
    pub streaming: Option<Box<Streaming>>,
    /// When the call was over, if there was one.
    pub ended: Option<Instant>,
}

impl Served {
    /// One of `status`, without payload and without fault.
    pub fn new(status: StatusCode, next: Next) -> Self {
        Self {
            status,
            next,
            request_bytes: 0,
            response_bytes: 0,
            fault: None,
            aborted: false,
            opened: None,
            streaming: None,
            ended: None,
        }
    }
}

/// After this long without a response it is worth asking whether the client is still there.
const LOOK_AFTER: Duration = Duration::from_millis(200);

/// How one attempt ended.
enum Attempt {
    Served(Served),
    /// No response; the request is here again and may go elsewhere.
    Failed(Box<Request>, Fault),
    /// No response, and no way to try again.
    Lost(Stop),
    /// A response that is dropped; the call is made once more after this long.
    Again(Duration),
    /// A response in whose place the exchange has another one; and whether the lane is free again.
    Replaced(bool),
}

/// Calls an endpoint of the API's group.
pub async fn call(stage: &mut Stage<'_>, desk: &mut Desk, chain: &Chain, matched: &[u16]) -> Result<Served, Stop> {
    let api = stage.api;
    let target = Target::of(stage.exchange, &api.groups, &stage.site.limits.uri)?;
    if let Some(request) = stage.exchange.request.as_deref() {
        body::check(request.head.framing, &desk.input, stage.site)?;
    }
    let mut tried = Tried::default();
    let mut attempts = 0;
    let mut stale = false;
    loop {
        if !std::mem::take(&mut stage.swift) {
            stage.now = stage.local.shard.now();
        }
        let now = stage.now;
        let leave = match &api.failover {
            Some(failover) => Some(failover.breaker.admit(now).ok_or(Fault::new(Cause::CircuitOpen))?),
            None => None,
        };
        let fresh = attempts > 0 && api.failover.as_ref().is_some_and(|failover| failover.force_next);
        let Some((index, member)) = target.choose(tried, fresh) else {
            return Err(Fault::new(Cause::NoEndpoint).into());
        };
        let mut holding = pin!(member.hold());
        let mut held = match poll_fn(|cx| Poll::Ready(holding.as_mut().poll(cx))).await {
            Poll::Ready(held) => held?,
            Poll::Pending => {
                let (pending, left) = (stage.site.timeouts.pending, stage.left(now));
                desk.total.arm(pending.min(left));
                let held = desk.total.guard(holding).await;
                desk.total.disarm();
                stage.now = stage.local.shard.now();
                let late = if left < pending { Cause::RequestTimeout } else { Cause::PendingTimeout };
                held.map_err(|_| Fault::new(late))??
            }
        };

        member.endpoint().prepare(stage.exchange)?;
        let patience = Patience::begin(stage, now);
        let attempt = attempt(stage, desk, chain, matched, &mut held).await;
        let ended = stage.local.shard.now();
        let attempt = patience.end(stage, attempt, ended);
        let took = ended.saturating_duration_since(now);
        member.counters.duration.observe(took);
        let verdict = match &attempt {
            Attempt::Served(served) => Some(is_backends(served.fault)),
            Attempt::Again(_) | Attempt::Replaced(_) => Some(false),
            Attempt::Failed(_, fault) => Some(is_backends(Some(*fault))),
            Attempt::Lost(Stop::Fault(fault)) if is_backends(Some(*fault)) => Some(true),
            Attempt::Lost(_) => None,
        };
        if let (Some(leave), Some(failed)) = (leave, verdict) {
            leave.ended(failed, took, ended);
        }
        match attempt {
            Attempt::Served(mut served) => {
                served.ended = Some(ended);
                if let Some(opened) = &mut served.opened {
                    opened.seat = held.into_seat();
                } else if served.fault.is_none() && served.next != Next::Linger {
                    held.give_back(ended);
                } else if let Some(fault) = served.fault
                    && is_backends(Some(fault))
                {
                    member.counters.faults.bump();
                }
                return Ok(served);
            }
            Attempt::Replaced(free) => {
                if free {
                    held.give_back(ended);
                }
                return around::own(stage, desk, chain, matched).await;
            }
            Attempt::Again(delay) => {
                drop(held);
                around::wait(stage, delay).await;
                (tried, attempts) = (Tried::default(), 0);
            }
            Attempt::Lost(Stop::Fault(fault)) if fault.cause.side() != ringway_contract::Side::Client => {
                around::judge(stage, Some(fault))?;
                return Err(fault.into());
            }
            Attempt::Lost(stop) => return Err(stop),
            Attempt::Failed(request, fault) => {
                member.counters.faults.bump();
                drop(held);
                let idempotent = request.head.framing == Framing::None && request.head.method.is_idempotent();
                stage.exchange.request = Some(request);
                let again = match fault.retry {
                    // The pool gave out a connection that its backend was closing: once more, over another one.
                    Retry::Idempotent if idempotent && !stale => {
                        stale = true;
                        true
                    }
                    Retry::Safe => retries(stage, attempts),
                    _ => idempotent && retries(stage, attempts),
                };
                if !again || stage.left(ended).is_zero() {
                    let Some(delay) = around::judge(stage, Some(fault))? else { return Err(fault.into()) };
                    around::wait(stage, delay).await;
                    (tried, attempts) = (Tried::default(), 0);
                    continue;
                }
                if fault.retry != Retry::Idempotent {
                    tried.mark(index);
                    attempts += 1;
                }
                stage.local.counters.retries.bump();
            }
        }
    }
}

/// How long one call may take, where a policy says so; the request is kept for the case that the lane does not give it back.
struct Patience {
    /// When the exchange's own time ends.
    until: Option<Instant>,
    spare: Option<Box<Request>>,
}

impl Patience {
    fn begin(stage: &mut Stage<'_>, now: Instant) -> Self {
        stage.calls += 1;
        let until = stage.until;
        let own = stage.exchange.arounds.iter().filter_map(|around| around.patience()).min();
        let Some(ends) = own.and_then(|own| now.checked_add(own)) else { return Self { until, spare: None } };
        stage.until = Some(until.map_or(ends, |until| until.min(ends)));
        Self { until, spare: stage.exchange.request.clone() }
    }

    fn end(self, stage: &mut Stage<'_>, attempt: Attempt, now: Instant) -> Attempt {
        stage.until = self.until;
        match (attempt, self.spare) {
            (Attempt::Lost(Stop::Fault(fault)), Some(request))
                if fault.cause == Cause::RequestTimeout && !stage.left(now).is_zero() =>
            {
                Attempt::Failed(request, Fault::new(Cause::BackendTimeout).detail("longer than a policy lets it take"))
            }
            (attempt, _) => attempt,
        }
    }
}

fn retries(stage: &Stage<'_>, attempts: u32) -> bool {
    stage.api.failover.as_ref().is_some_and(|failover| attempts < failover.retries_max)
}

fn is_backends(fault: Option<Fault>) -> bool {
    fault.is_some_and(|fault| fault.cause.side() == ringway_contract::Side::Backend)
}

async fn attempt(
    stage: &mut Stage<'_>,
    desk: &mut Desk,
    chain: &Chain,
    matched: &[u16],
    held: &mut crate::upstream::Held,
) -> Attempt {
    let (Some(request), Some(lane)) = (stage.exchange.request.take(), held.lane()) else {
        return Attempt::Lost(Fault::new(Cause::Internal).into());
    };
    let framing = request.head.framing;
    let local = stage.local;
    desk.upcoming.set(lane.upcoming(&request));
    let coupled = Coupled::new(lane, &local.counters);
    coupled.send(Frame::Open(request)).await;
    // Two functions, pinned where they are made: what a request's body needs must not lie between the lines that every turn of one without
    // goes through.
    match framing {
        Framing::None => pin!(attempt_bodiless(stage, desk, chain, matched, &coupled)).await,
        _ => pin!(attempt_with_body(stage, desk, chain, matched, &coupled, framing)).await,
    }
}

async fn attempt_bodiless(
    stage: &mut Stage<'_>,
    desk: &mut Desk,
    chain: &Chain,
    matched: &[u16],
    coupled: &Coupled<'_>,
) -> Attempt {
    coupled.send(Frame::End).await;
    let Desk { write, total, unsent, .. } = desk;
    let mut writer = Writer::new(stage.connection, &stage.local.shard.buffers, write, stage.site.write_pace);
    let attempt = down(stage, chain, matched, coupled, total, &mut writer, &std::cell::Cell::new(true)).await;
    *unsent = writer.rest();
    attempt
}

async fn attempt_with_body(
    stage: &mut Stage<'_>,
    desk: &mut Desk,
    chain: &Chain,
    matched: &[u16],
    coupled: &Coupled<'_>,
    framing: Framing,
) -> Attempt {
    let connection = stage.connection;
    let Desk { input, write, total, unsent, .. } = desk;
    let buffers = &stage.local.shard.buffers;
    let held = stage.exchange.contents.request.clone();
    // A body that is held was read already: what is in the input is the next request.
    let unread = if held.is_some() { Framing::None } else { framing };
    let mut reader = BodyReader::new(connection, buffers, input, (unread, stage.body_bytes_max()), stage.site);

    let received = std::cell::Cell::new(false);
    let mut tapped = stage.exchange.request_tapped.take();
    let joined = {
        let mut writer = Writer::new(connection, buffers, write, stage.site.write_pace);
        let up = up(coupled, held, &mut reader, (&received, &mut tapped));
        let down = down(stage, chain, matched, coupled, total, &mut writer, &received);
        let joined = coupled.join(up, down).await;
        *unsent = writer.rest();
        joined
    };
    match joined {
        Ok(Attempt::Served(mut served)) => {
            served.request_bytes = reader.payload_bytes;
            // An early response: the rest of the request's body is still to come, and to close upon it would reset the connection
            // before the client has read the answer.
            if !received.get() && matches!(served.next, Next::KeepAlive | Next::Close) && served.fault.is_none() {
                served.next = Next::Linger;
            }
            Attempt::Served(served)
        }
        Ok(other) => other,
        // `down` was cut off. If it had begun to answer, nothing can be said any more.
        Err(fault) => match stage.exchange.response.as_ref() {
            Some(response) => Attempt::Served(Served {
                request_bytes: reader.payload_bytes,
                fault: Some(fault),
                aborted: true,
                ..Served::new(response.status, Next::Close)
            }),
            None => Attempt::Lost(fault.into()),
        },
    }
}

/// Bytes of a held body that cross at once.
const PIECE_BYTES: usize = 64 * 1024;

/// The client's body, to the lane.
async fn up(
    coupled: &Coupled<'_>,
    held: Option<Bytes>,
    reader: &mut BodyReader<'_>,
    (received, tapped): (&std::cell::Cell<bool>, &mut Tapped),
) -> Result<(), Fault> {
    received.set(held.is_some());
    coupled.opened(Gate::Body).await;
    let mut held = held.unwrap_or_default();
    while !held.is_empty() {
        let piece = held.split_to(held.len().min(PIECE_BYTES));
        if !coupled.send(Frame::Data(Chunk::Shared(piece))).await {
            return Ok(());
        }
    }
    while let Some(part) = reader.next().await? {
        let taken = match part {
            Part::Data(piece) => {
                tapped.data(&piece);
                coupled.send(Frame::Data(Chunk::Pooled(piece))).await
            }
            Part::Trailers(trailers) => coupled.send(Frame::Trailers(trailers)).await,
        };
        if !taken {
            return Ok(());
        }
    }
    received.set(true);
    tapped.end();
    coupled.send(Frame::End).await;
    Ok(())
}

/// The lane's response to the client.
async fn down(
    stage: &mut Stage<'_>,
    chain: &Chain,
    matched: &[u16],
    coupled: &Coupled<'_>,
    total: &ringway_net::Slot,
    writer: &mut Writer<'_>,
    received: &std::cell::Cell<bool>,
) -> Attempt {
    let (request, response) = loop {
        match reply(stage, coupled, total).await {
            Ok(Frame::Ready) => coupled.open(Gate::Body),
            Ok(Frame::Interim(mut interim)) => {
                // RFC 9110 section 15.2: HTTP/1.0 knows no interim responses.
                if stage.version == Version::Http11 {
                    interim.encode(Framing::None, ConnectionOption::Keep, writer.gathered());
                }
                interim.clear();
                stage.local.services.responses.put(interim);
                if let Err(fault) = writer.flush().await {
                    return Attempt::Lost(fault.into());
                }
                stage.now = stage.local.shard.now();
            }
            Ok(Frame::Reply(request, response)) => break (request, response),
            Ok(Frame::Fail(request, fault)) => return Attempt::Failed(request, fault),
            Ok(_) => return Attempt::Lost(Fault::new(Cause::Internal).detail("a frame before the reply").into()),
            Err(fault) => return Attempt::Lost(fault.into()),
        }
    };
    stage.exchange.request = Some(request);
    stage.exchange.response = Some(response);
    match around::judge(stage, None) {
        Ok(None) => {}
        Ok(Some(delay)) => {
            around::forget(stage);
            return Attempt::Again(delay);
        }
        Err(stop) => {
            stage.exchange.response = None;
            return Attempt::Lost(stop);
        }
    }
    if stage.exchange.contents.response.is_some() {
        return Attempt::Replaced(matches!(coupled.recv().await, Some(Frame::End)));
    }

    if let Some(logging) = &stage.api.logging {
        logging.answered(stage.exchange);
    }
    let held = match answered(stage, chain, matched, coupled).await {
        Ok(held) => held,
        Err(stop) => {
            stage.exchange.response = None;
            return Attempt::Lost(stop);
        }
    };
    annotate::response(stage);
    if let Some(logging) = &stage.api.logging {
        logging.returning(stage.exchange, held.as_deref());
    }
    let Some(plan) = Delivery::plan(stage, received.get()) else {
        return Attempt::Lost(Fault::new(Cause::Internal).into());
    };
    plan.encode(stage, writer);
    let mut served = Served::new(plan.status, plan.next());
    // Where the end of the connection is the end of the body, an end for any other reason has to look different.
    let is_end = plan.framing == Framing::UntilClose;
    if is_end {
        stage.connection.stream.end_by_reset(true);
    }
    let mut tapped = stage.exchange.tapped.take();
    let relayed = match (plan.tunnel, held) {
        (true, _) => upgraded(coupled, writer).await.map(|opened| served.opened = Some(Box::new(opened))),
        (false, Some(content)) => deliver(writer, content, plan.keep_alive).await,
        (false, None) => relay(coupled, writer, &plan, &mut tapped).await,
    };
    if is_end && relayed.is_ok() {
        stage.connection.stream.end_by_reset(false);
    }
    if let Err(fault) = relayed {
        served.fault = Some(fault);
        served.aborted = true;
        served.next = Next::Close;
        stage.connection.stream.abort();
    }
    served.response_bytes = writer.payload_bytes;
    Attempt::Served(served)
}

/// The next frame before the reply, within the exchange's deadline, as long as the client is there.
async fn reply(stage: &Stage<'_>, coupled: &Coupled<'_>, total: &ringway_net::Slot) -> Result<Frame, Fault> {
    let lost = || Fault::new(Cause::BackendClosed).detail("the lane ended without a reply");
    if let Received::Frame(frame) = coupled.try_recv().await {
        return Ok(frame);
    }
    total.arm(LOOK_AFTER.min(stage.left(stage.now)));
    let early = total.guard(coupled.recv_later()).await;
    total.disarm();
    if let Ok(frame) = early {
        return frame.ok_or_else(lost);
    }
    // It takes long: from here on the client's going away ends the exchange.
    total.arm(stage.left(stage.local.shard.now()));
    let outcome = total
        .guard(async {
            let mut frame = pin!(coupled.recv());
            let mut gone = pin!(gone(stage.connection));
            poll_fn(|cx| {
                if let Poll::Ready(frame) = frame.as_mut().poll(cx) {
                    return Poll::Ready(frame.ok_or_else(lost));
                }
                gone.as_mut().poll(cx).map(|()| Err(Fault::new(Cause::ClientClosed)))
            })
            .await
        })
        .await;
    total.disarm();
    outcome.unwrap_or(Err(Fault::new(Cause::RequestTimeout)))
}

/// Ready when the client has closed. A client that sends its body or pipelines is there, and is not looked after any more.
pub(crate) async fn gone(connection: &Connection) {
    let idle = matches!(connection.stream.peek(), Peek::Quiet);
    if idle {
        let _ = connection.stream.readable().await;
    }
    if !matches!(connection.stream.peek(), Peek::Closed) {
        std::future::pending::<()>().await;
    }
}

/// What a response says of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    /// Nothing: it stays, as HTTP/1.1 has it.
    Keep,
    /// That it stays, to a client of HTTP/1.0.
    KeepAlive,
    Close,
    Upgrade,
}

/// How a response is framed for this client.
pub struct Delivery {
    /// The status.
    pub status: StatusCode,
    framing: Framing,
    closing: Closing,
    keep_alive: bool,
    tunnel: bool,
}

impl Delivery {
    /// Writes the head of the exchange's response.
    pub fn encode(&self, stage: &Stage<'_>, writer: &mut Writer<'_>) {
        let Some(response) = stage.exchange.response.as_deref() else { return };
        let connection = match self.closing {
            Closing::Keep => ConnectionOption::Keep,
            Closing::KeepAlive => ConnectionOption::KeepAlive,
            Closing::Close => ConnectionOption::Close,
            Closing::Upgrade => ConnectionOption::Upgrade(response.fields.known(Known::Upgrade).unwrap_or_default()),
        };
        response.encode(self.framing, connection, writer.gathered());
    }

    /// What becomes of the client's connection, if all goes well.
    pub fn next(&self) -> Next {
        if self.keep_alive { Next::KeepAlive } else { Next::Close }
    }

    /// For the response that the exchange has; `received`: whether the request's body was read.
    pub fn plan(stage: &Stage<'_>, received: bool) -> Option<Self> {
        let request = &stage.exchange.request.as_deref()?.head;
        let response: &ResponseHead = stage.exchange.response.as_deref()?;
        let status = response.status;
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Some(Self {
                status,
                framing: Framing::None,
                closing: Closing::Upgrade,
                keep_alive: false,
                tunnel: true,
            });
        }
        let old = request.version == Version::Http10;
        // RFC 9112 section 7.1: no chunked coding to a client of HTTP/1.0; its body ends with the connection.
        let framing = match response.framing {
            Framing::Chunked | Framing::UntilClose if old => Framing::UntilClose,
            Framing::UntilClose => Framing::Chunked,
            framing => framing,
        };
        // The body of an early response's request may or may not come: no further request can be told apart from it. An early
        // success may belong to a conversation in both directions, whose body is through when the response is.
        let early = !received && (request.expect_continue || !status.is_success());
        let keep_alive = stage.keep_alive && !stage.local.draining() && framing != Framing::UntilClose && !early;
        let closing = match (keep_alive, old) {
            (true, false) => Closing::Keep,
            (true, true) => Closing::KeepAlive,
            (false, _) => Closing::Close,
        };
        Some(Self { status, framing, closing, keep_alive, tunnel: false })
    }
}

/// The policies of the response; its body as they left it, if it is held.
async fn answered(
    stage: &mut Stage<'_>,
    chain: &Chain,
    matched: &[u16],
    coupled: &Coupled<'_>,
) -> Result<Option<Bytes>, Stop> {
    if matched.is_empty() {
        return Ok(None);
    }
    let status = stage.exchange.response.as_deref().map(|response| response.status);
    let may_have_content = status.is_some_and(|status| content::may_have_content(stage.is_head, status));
    let mut sent = None;
    for step in chain.response(matched) {
        if step.content && sent.is_none() && may_have_content {
            content::hold_response(stage, coupled).await?;
            sent.clone_from(&stage.exchange.contents.response);
        }
        if let Some(reply) = step.response(stage.exchange).await {
            return Err(step.stop(reply));
        }
    }
    let Some(sent) = sent else { return Ok(None) };
    content::settle_response(stage.exchange, &sent);
    Ok(stage.exchange.contents.response.take())
}

/// A body that was held.
pub async fn deliver(writer: &mut Writer<'_>, content: Bytes, kept: bool) -> Result<(), Fault> {
    if !content.is_empty() {
        writer.data(Chunk::Shared(content), false).await?;
    }
    writer.finish(kept).await
}

/// The body, frame by frame. What is gathered leaves as soon as the lane has nothing more at hand.
async fn relay(
    coupled: &Coupled<'_>,
    writer: &mut Writer<'_>,
    plan: &Delivery,
    tapped: &mut Tapped,
) -> Result<(), Fault> {
    let chunked = plan.framing == Framing::Chunked;
    loop {
        let frame = match coupled.try_recv().await {
            Received::Frame(frame) => Some(frame),
            Received::Ended => None,
            Received::Nothing => {
                writer.flush().await?;
                coupled.recv().await
            }
        };
        match frame {
            Some(Frame::Data(piece)) => {
                let weight = piece.len();
                tapped.data(piece.as_slice());
                writer.data(piece, chunked).await?;
                coupled.grant(weight);
            }
            Some(Frame::Trailers(trailers)) => {
                if chunked {
                    writer.last_chunk(Some(&trailers));
                    end(coupled, writer).await?;
                    tapped.end();
                    return Ok(());
                }
            }
            Some(Frame::End) => {
                tapped.end();
                if chunked {
                    writer.last_chunk(None);
                }
                return writer.finish(plan.keep_alive).await;
            }
            Some(Frame::Abort(fault)) => {
                // What is complete goes out; the missing end tells the client.
                writer.flush().await?;
                return Err(fault);
            }
            Some(_) => return Err(Fault::new(Cause::Internal).detail("a frame after the reply")),
            None => return Err(Fault::new(Cause::BackendClosed).detail("the lane ended in the body")),
        }
    }
}

/// Sends the 101, and takes the connection that the lane gives up.
async fn upgraded(coupled: &Coupled<'_>, writer: &mut Writer<'_>) -> Result<Opened, Fault> {
    writer.flush().await?;
    let upgraded = match coupled.recv().await {
        Some(Frame::Upgraded(upgraded)) => *upgraded,
        Some(Frame::Abort(fault)) => return Err(fault),
        _ => return Err(Fault::new(Cause::BackendClosed).detail("the lane ended with the upgrade")),
    };
    let stream = upgraded.connection.downcast::<Stream>();
    let stream = *stream.map_err(|_| Fault::new(Cause::Internal).detail("an upgraded connection of another kind"))?;
    Ok(Opened { stream, early: upgraded.early, idle: upgraded.idle, seat: None })
}

/// Waits for the end that follows trailers, then flushes.
async fn end(coupled: &Coupled<'_>, writer: &mut Writer<'_>) -> Result<(), Fault> {
    match coupled.recv().await {
        Some(Frame::End) => writer.flush().await,
        Some(Frame::Abort(fault)) => Err(fault),
        _ => Err(Fault::new(Cause::BackendClosed)),
    }
}
