//! Sessions that go on: server-sent events, WebSockets. The carriage sends the head; after that a session has a task of its own, which holds
//! no buffer while nothing happens, and not even the task while it rests in the [audience](super::audience) of a shared subscription.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use ringway_contract::{
    Answer, Attributes, Cause, Chunk, Ending, Fault, Message, Out, Parcel, Qos, Render, Session, Subscribe, Tick,
};
use ringway_net::{Buffers, Pace, Peek, Signal};
use ringway_wire::{Connection as Hop, Framing, Known, Version};

use super::brokers::{Asked, Source};
use super::outbox::{Outbox, Terms, Told};
use super::passage::{Fate, Passage};
use super::relay::{catch_up, finish, put, relay, send};
use super::rest::{Stir, rest};
use super::route::{Choice, Route};
use super::topic::{Found, Reader};
use super::{Begun, Receipts};
use crate::annotate;
use crate::call::Served;
use crate::carriage::{self, Desk};
use crate::chain::Chain;
use crate::connection::Connection;
use crate::exchange::{Next, Stage, Stop};
use crate::local::Local;
use crate::parking::PARK_AFTER;
use crate::tunnel::Record;
use crate::writer::Writer;

/// How long a session that is over waits for a broker that answers nothing.
const PUBLISHED_WITHIN: Duration = Duration::from_secs(5);

/// Room of a read at least.
const ROOM_BYTES_MIN: usize = 1024;

/// What of a session outlives the exchange that began it.
pub struct Streaming {
    pub(super) session: Box<dyn Session>,
    pub(super) renderer: Option<Rc<dyn Render>>,
    pub(super) source: Option<Source>,
    path: Box<Path>,
    publish: Passage,
    pub(super) subscribe: Passage,
    qos: Qos,
    pub(super) receipts: Receipts,
    pub(super) idle: Option<Duration>,
    pub(super) answer: Answer,
    pub(super) chunked: bool,
    pub(super) retired: Rc<Signal>,
    pub(super) pace: Pace,
    /// Whether the session puts messages out.
    publishes: bool,
    /// Whether it may rest: not when its socket cannot be watched by the [`Lot`](ringway_net::Lot).
    rests: bool,
    /// Its number in the lot, while it rests.
    pub(super) seat: Option<u32>,
    /// When something went either way last, besides what the audience was told.
    pub(super) moved: Instant,
}

impl Streaming {
    /// Whether the request is asked for while it goes on.
    pub fn sees_request(&self) -> bool {
        !self.publish.is_idle() || !self.subscribe.is_idle()
    }

    /// Whether the exchange is asked for while it goes on.
    fn needs_exchange(&self) -> bool {
        self.publishes || self.sees_request() || matches!(self.path.elsewhere, Elsewhere::Go(_))
    }

    /// Whether it has everything that there is, and nobody has anything to tell it.
    fn may_rest(&self, local: &Local) -> bool {
        let reads_all = matches!(&self.source, Some(Source::Shared(reader)) if reader.is_idle());
        let goes_on = !local.draining() && !self.retired.is_set() && !local.shard.closing().is_set();
        self.rests && reads_all && goes_on
    }

    pub(super) fn reader(&mut self) -> Option<&mut Reader> {
        match &mut self.source {
            Some(Source::Shared(reader)) => Some(reader),
            _ => None,
        }
    }
}

/// Where a session's messages come from and go to.
struct Path {
    route: Route,
    /// The broker that it began with, or has gone to since.
    choice: Choice,
    elsewhere: Elsewhere,
}

/// What becomes of a subscription whose broker is away.
enum Elsewhere {
    /// It waits: there is no other.
    Stay,
    /// It goes to another, with this wish.
    Go(Box<Subscribe>),
    /// It ends: its client knows better where it was.
    Leave,
}

/// A session on its own.
pub struct Live {
    /// The client.
    pub client: Box<Connection>,
    /// What the client said behind its request.
    pub early: BytesMut,
    /// The session.
    pub streaming: Box<Streaming>,
    /// What is written down at the end.
    pub record: Record,
}

/// Subscribes, and sends the head.
pub(super) async fn open(
    stage: &mut Stage<'_>,
    desk: &mut Desk,
    chain: &Chain,
    matched: &[u16],
    mut begun: Begun<'_>,
) -> Result<Served, Stop> {
    let route = Route::of(&stage.exchange.attributes, &stage.api.brokers)?;
    let (mut receipts, mut elsewhere) = (Receipts::None, Elsewhere::Stay);
    let (choice, source) = match &begun.outline.subscribe {
        None => (route.begin(stage.local)?, None),
        Some(wish) => {
            let (wish, receipt) = super::subscribe(stage.exchange, begun.door, wish);
            receipts = receipt;
            // Bytes are for all only where nothing is done to messages for one.
            let shared = begun.renderer.as_ref().filter(|_| begun.subscribe.is_idle());
            let asked = Asked { wish: &wish, attributes: &stage.exchange.attributes, renderer: shared };
            let (choice, source) = route.subscribe(stage.local, &asked, &desk.total).await?;
            if route.has_other(choice.index) {
                let remembers = begun.door.recovers && begun.door.qos == Qos::AtLeastOnce;
                elsewhere = if remembers { Elsewhere::Leave } else { Elsewhere::Go(Box::new(wish)) };
            }
            (choice, Some(source))
        }
    };

    let mut response = stage.local.services.responses.take();
    begun.session.head(&mut response);
    stage.exchange.response = Some(response);
    // A stream has no body that could be held: what these policies see of it is its head.
    for step in chain.response(matched) {
        if let Some(reply) = step.response(stage.exchange).await {
            return Err(step.stop(reply));
        }
    }
    annotate::response(stage);
    let Some(response) = stage.exchange.response.as_deref() else { return Err(Fault::new(Cause::Internal).into()) };
    let chunked = begun.outline.answer == Answer::Stream && stage.version == Version::Http11;
    let (framing, hop) = match begun.outline.answer {
        Answer::Upgrade => (Framing::None, Hop::Upgrade(response.fields.known(Known::Upgrade).unwrap_or_default())),
        _ if chunked => (Framing::Chunked, Hop::Keep),
        _ => (Framing::UntilClose, Hop::Close),
    };
    // Where the end of the connection is the end of the body, an end for any other reason has to look different.
    if framing == Framing::UntilClose {
        stage.connection.stream.end_by_reset(true);
    }
    let mut writer = Writer::new(stage.connection, &stage.local.shard.buffers, &desk.write, stage.site.write_pace);
    response.encode(framing, hop, writer.gathered());
    let mut out = Out::default();
    begun.session.begin(&mut out);
    let mut served = Served::new(response.status, Next::Tunnel);
    let sent = async {
        writer.data(Chunk::Shared(out.bytes.freeze()), chunked).await?;
        writer.flush().await
    };
    if let Err(fault) = sent.await {
        return Ok(Served { fault: Some(fault), aborted: true, next: Next::Close, ..served });
    }
    served.response_bytes = writer.payload_bytes;
    served.streaming = Some(Box::new(Streaming {
        session: begun.session,
        renderer: begun.renderer,
        source,
        path: Box::new(Path { route, choice, elsewhere }),
        publish: begun.publish,
        subscribe: begun.subscribe,
        qos: begun.door.qos,
        receipts,
        idle: begun.outline.idle,
        answer: begun.outline.answer,
        chunked,
        retired: stage.api.retired.clone(),
        pace: stage.site.write_pace,
        publishes: begun.outline.publish,
        rests: true,
        seat: None,
        moved: stage.local.shard.now(),
    }));
    Ok(served)
}

/// Serves a session to its end, or until it rests.
pub async fn run(local: Rc<Local>, mut live: Box<Live>) {
    local.counters.streams.bump();
    if !live.streaming.needs_exchange() {
        live.record.forget();
    }
    go_on(local, live, Stir::Begins).await;
}

pub(super) async fn go_on(local: Rc<Local>, mut live: Box<Live>, stir: Stir) {
    let mut stir = stir;
    let fault = loop {
        match drive(&local, &mut live, stir).await {
            End::Over(fault) => break fault,
            End::Rest(wait) => match rest(&local, live, wait) {
                Ok(()) => return,
                Err(back) => live = back,
            },
        }
        live.streaming.rests = false;
        stir = Stir::News;
    };
    end(&local, *live, fault).await;
}

async fn end(local: &Local, live: Live, fault: Option<Fault>) {
    let Live { client, mut record, streaming, .. } = live;
    local.counters.streams.drop_one();
    if fault.is_some() {
        client.stream.abort();
    } else if streaming.answer == Answer::Upgrade {
        // What the client still sends, an answer to the last words perhaps, must not turn into a reset that overtakes them.
        Box::pin(carriage::linger(&client)).await;
    } else {
        if !streaming.chunked {
            client.stream.end_by_reset(false);
        }
        let _ = Box::pin(client.stream.shutdown()).await;
    }
    let status = match streaming.answer {
        Answer::Upgrade => http::StatusCode::SWITCHING_PROTOCOLS,
        _ => http::StatusCode::OK,
    };
    let served = Served {
        request_bytes: record.request_bytes + record.up.get(),
        response_bytes: record.down.get(),
        fault,
        aborted: fault.is_some(),
        ..Served::new(status, Next::Close)
    };
    record.close(local, &served);
}

/// How a session's task ends.
enum End {
    /// With the session.
    Over(Option<Fault>),
    /// There is nothing to do, and it may be quiet for so long.
    Rest(Option<Duration>),
}

/// What a session waits for.
enum Event {
    /// The gateway or the API goes.
    GoAway,
    /// Whether a subscription of its own has something, or has ended.
    Delivery(bool),
    /// Bytes of a shared one.
    Found(Found),
    /// What has become of the oldest message under way.
    Published(Told),
    /// The client says something, or has gone.
    Readable,
}

async fn drive(local: &Rc<Local>, live: &mut Live, stir: Stir) -> End {
    let Live { client, early, streaming, record } = live;
    let stream = &client.stream;
    let slot = &client.timer;
    let retired = streaming.retired.clone();
    let mut readable = pin!(stream.readable());
    let mut drained = pin!(local.drain.wait());
    let mut retired = pin!(retired.wait());
    let mut outbox = Outbox::new(streaming.path.choice.clone());
    let mut out = Out::default();
    let mut reads = true;
    let mut spoke = false;
    let mut input = std::mem::take(early);
    let upgraded = streaming.answer == Answer::Upgrade;
    // A client that talks, or whose bytes are made for it alone, would be roused as soon as it rests.
    let lively = upgraded || stream.tls().is_some();
    let mut quiet_since = local.shard.now();
    // When a session that settles has done so.
    let mut settled: Option<Instant> = None;
    if !matches!(stir, Stir::Begins | Stir::News) {
        streaming.moved = quiet_since;
    }
    match stir {
        Stir::Begins if upgraded && !input.is_empty() => {
            record.up.set(record.up.get() + input.len() as u64);
            // An upgraded connection has no refusals.
            let _ = streaming.session.received(&mut input, &mut out);
        }
        Stir::Unsent(bytes) => {
            if let Err(fault) = send(local, client, streaming.pace, Chunk::Shared(bytes), false).await {
                return End::Over(Some(fault));
            }
        }
        Stir::Spoke => spoke = true,
        Stir::Quiet => streaming.session.tick(Tick::Idle, &mut out),
        Stir::Begins | Stir::News => {}
    }
    if input.is_empty() {
        local.shard.buffers.put(std::mem::take(&mut input));
    }
    loop {
        if streaming.publish.is_idle() {
            let none = Attributes::default();
            let terms = terms(local, streaming, record, &none);
            out.publish.drain(..).for_each(|message| outbox.push(message, &terms));
        } else if !out.publish.is_empty() {
            // Boxed: most sessions have no policies on messages, and all of them would carry their future.
            Box::pin(publish_all(local, streaming, record, &mut out.publish, &mut outbox)).await;
        }
        if !out.bytes.is_empty() {
            let bytes = std::mem::take(&mut out.bytes).freeze();
            if let Err(fault) = put(local, client, streaming, record, bytes).await {
                return End::Over(Some(fault));
            }
        }
        if out.finished && outbox.is_empty() {
            return End::Over(finish(local, client, streaming).await);
        }
        let now = local.shard.now();
        if let Some(settles) = out.settles.take() {
            settled.get_or_insert(now + settles);
        }
        // Not left to the timer: a topic that always has something would never let it be looked at.
        if settled.take_if(|settled| *settled <= now).is_some() && !out.finished {
            streaming.session.tick(Tick::Idle, &mut out);
            continue;
        }
        let left = streaming.idle.map(|idle| idle.saturating_sub(now.saturating_duration_since(streaming.moved)));
        let may_rest = reads
            && !spoke
            && !out.finished
            && settled.is_none()
            && input.is_empty()
            && outbox.is_at_rest(&streaming.path.choice)
            && streaming.may_rest(local);
        if may_rest && (!lively || now.saturating_duration_since(quiet_since) >= PARK_AFTER) {
            return End::Rest(left);
        }
        let wait = match left {
            _ if out.finished => Some(PUBLISHED_WITHIN),
            _ if let Some(settled) = settled => Some(settled.saturating_duration_since(now)),
            Some(left) if may_rest => Some(left.min(PARK_AFTER)),
            None if may_rest => Some(PARK_AFTER),
            left => left,
        };
        match wait {
            Some(wait) => slot.arm(wait),
            None => slot.disarm(),
        }
        let listens = reads && outbox.has_room() && !out.finished;
        let none = Attributes::default();
        let event = slot.guard(poll_fn(|cx| {
            if !out.finished && (drained.as_mut().poll(cx).is_ready() || retired.as_mut().poll(cx).is_ready()) {
                return Poll::Ready(Event::GoAway);
            }
            if let Poll::Ready(told) = outbox.poll(cx, &terms(local, streaming, record, &none)) {
                return Poll::Ready(Event::Published(told));
            }
            if listens && (std::mem::take(&mut spoke) || readable.as_mut().poll(cx).is_ready()) {
                return Poll::Ready(Event::Readable);
            }
            match &mut streaming.source {
                Some(Source::Own(feed)) if !out.finished => feed.poll_ready(cx).map(Event::Delivery),
                Some(Source::Shared(reader)) if !out.finished => reader.poll_next(cx).map(Event::Found),
                _ => Poll::Pending,
            }
        }));
        let event = event.await;
        let now = local.shard.now();
        // The wait was for a rest only.
        if event.is_err() && may_rest && left.is_none_or(|left| left > PARK_AFTER) {
            continue;
        }
        streaming.moved = now;
        let ending = match event {
            Err(_) if out.finished => return End::Over(finish(local, client, streaming).await),
            Err(_) => {
                streaming.session.tick(Tick::Idle, &mut out);
                None
            }
            Ok(Event::Published(Told { outcome, sent })) => {
                if outcome.is_ok() && sent {
                    record.counters.published.bump();
                }
                streaming.session.published(outcome, &mut out);
                None
            }
            Ok(Event::Readable) => {
                quiet_since = now;
                readable.set(stream.readable());
                if !upgraded {
                    // A request behind a stream that does not end is none: only that its client goes matters.
                    match stream.peek() {
                        Peek::Closed => return End::Over(Some(Fault::new(Cause::ClientClosed))),
                        Peek::Quiet => {}
                        Peek::Bytes => reads = false,
                    }
                    continue;
                }
                make_room(&local.shard.buffers, &mut input);
                match stream.read_now(&mut input) {
                    Ok(Some(0)) | Err(_) => return End::Over(Some(Fault::new(Cause::ClientClosed))),
                    Ok(Some(count)) => {
                        record.up.set(record.up.get() + count as u64);
                        let _ = streaming.session.received(&mut input, &mut out);
                    }
                    Ok(None) => {}
                }
                if input.is_empty() {
                    local.shard.buffers.put(std::mem::take(&mut input));
                }
                None
            }
            Ok(Event::Found(Found::Segment(segment))) => {
                if stream.tls().is_some() {
                    quiet_since = now;
                }
                if let Err(fault) = catch_up(local, client, streaming, record, segment).await {
                    return End::Over(Some(fault));
                }
                None
            }
            Ok(Event::Found(Found::Lagged)) => Some(Ending::Lagged),
            Ok(Event::Found(Found::Away(fault))) => {
                // Boxed: see `relay::send`.
                let mut leaving = Box::pin(leave(local, client, streaming, record, fault));
                poll_fn(|cx| {
                    if drained.as_mut().poll(cx).is_ready() || retired.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(Some(Ending::GoAway));
                    }
                    leaving.as_mut().poll(cx)
                })
                .await
            }
            Ok(Event::Found(Found::Ended(fault))) => Some(fault.map_or(Ending::Complete, Ending::Fault)),
            Ok(Event::Delivery(true)) => {
                // Boxed: see `relay::send`.
                let relayed = Box::pin(async {
                    let (ending, away) = relay(local, client, streaming, record, &mut out).await?;
                    match away {
                        Some(fault) if ending.is_none() => Ok(leave(local, client, streaming, record, fault).await),
                        _ => Ok::<_, Fault>(ending),
                    }
                });
                match relayed.await {
                    Ok(ending) => ending,
                    Err(fault) => return End::Over(Some(fault)),
                }
            }
            Ok(Event::Delivery(false)) => Some(Ending::Complete),
            Ok(Event::GoAway) => Some(Ending::GoAway),
        };
        if let Some(ending) = ending {
            streaming.session.stop(ending, &mut out);
            // What the client has sent before is still published.
            out.finished = true;
        }
    }
}

/// Makes room to read. What a session has left there is the begin of something, and what it has taken out may still be in use: then a
/// fresh buffer is better than the rest of this one.
fn make_room(buffers: &Buffers, input: &mut BytesMut) {
    if input.is_empty() || input.capacity() - input.len() < ROOM_BYTES_MIN {
        let mut roomy = buffers.take();
        roomy.extend_from_slice(input);
        roomy.reserve(ROOM_BYTES_MIN);
        buffers.put(std::mem::replace(input, roomy));
    }
}

/// `none`: the attributes of a session that does not publish.
fn terms<'a>(local: &'a Local, streaming: &'a Streaming, record: &'a Record, none: &'a Attributes) -> Terms<'a> {
    let attributes = record.exchange.as_ref().map_or(none, |exchange| &exchange.attributes);
    Terms { local, route: &streaming.path.route, qos: streaming.qos, attributes }
}

/// Takes the client's messages through the policies and hands them to the broker. One that is dropped was published, as far as its client
/// knows.
async fn publish_all(
    local: &Local,
    streaming: &Streaming,
    record: &mut Record,
    messages: &mut Vec<Message>,
    outbox: &mut Outbox,
) {
    let none = Attributes::default();
    for message in messages.drain(..) {
        let weight = message.weight();
        // It is kept for them, see `needs_exchange`.
        let Some(exchange) = record.exchange.as_deref_mut() else { return };
        match streaming.publish.pass(exchange, Parcel::from(message)).await {
            Fate::On(parcel) => outbox.push(parcel.message, &terms(local, streaming, record, &none)),
            Fate::Dropped => outbox.keep(weight, None),
            Fate::Refused(..) => outbox.keep(weight, Some(Fault::new(Cause::MessageRefused))),
        }
    }
}

/// Leaves a broker that is away for another, if there is one that can be had. Otherwise it is waited for.
async fn leave(
    local: &Local,
    client: &Connection,
    streaming: &mut Streaming,
    record: &Record,
    fault: Fault,
) -> Option<Ending> {
    let Path { choice, route, elsewhere } = &mut *streaming.path;
    choice.member.failed(&fault, local.shard.now());
    let wish = match elsewhere {
        Elsewhere::Stay => return None,
        Elsewhere::Leave => return route.has_awake(choice.index, local).then_some(Ending::GoAway),
        Elsewhere::Go(wish) => wish,
    };
    let shared = streaming.renderer.as_ref().filter(|_| streaming.subscribe.is_idle());
    // It is kept for this, see `needs_exchange`.
    let attributes = &record.exchange.as_ref()?.attributes;
    let asked = Asked { wish, attributes, renderer: shared };
    let (choice, source) = route.resubscribe(local, choice, &asked, &client.timer).await?;
    tracing::info!(endpoint = &*choice.member.name, "a stream goes on at another broker");
    streaming.path.choice = choice;
    streaming.source = Some(source);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, B, F: FnOnce(A, B) -> Fut, Fut: Future>(_: F) -> usize {
        size_of::<Fut>()
    }

    /// There may be tens of thousands of them: this bounds what a session holds while it waits.
    #[test]
    fn a_session_that_waits_is_small() {
        let rests = [size_of::<Live>(), size_of::<Connection>(), size_of::<Streaming>(), size_of::<Path>()];
        assert!(rests.iter().sum::<usize>() <= 700, "{rests:?}");
        let waits = size_of_future(run);
        assert!(waits <= 1_200, "{waits}");
    }
}
