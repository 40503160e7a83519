//! Sessions that answer once: what was collected for a while, or that a message was published.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use http::StatusCode;
use ringway_contract::{Cause, Chunk, Delivery, Ending, Fault, Feed, Out, Parcel, Position, Receipt, Tick};
use ringway_wire::{Connection, Framing, Version};

use super::brokers::{Asked, Source};
use super::passage::Fate;
use super::route::Route;
use super::{Begun, Receipts};
use crate::annotate;
use crate::call::{self, Served};
use crate::carriage::Desk;
use crate::chain::Chain;
use crate::content;
use crate::exchange::{Next, Stage, Stop};
use crate::writer::Writer;

/// How long a broker's side has to take receipts.
const SETTLED_WITHIN: Duration = Duration::from_secs(5);

/// Serves a session whose answer is one response.
pub(super) async fn serve(
    stage: &mut Stage<'_>,
    desk: &mut Desk,
    chain: &Chain,
    matched: &[u16],
    mut begun: Begun<'_>,
) -> Result<Served, Stop> {
    let route = Route::of(&stage.exchange.attributes, &stage.api.brokers)?;
    let mut out = Out::default();
    let mut request_bytes = 0;
    let mut unread = stage.exchange.request.as_deref().is_some_and(|request| request.head.framing.has_content());
    if begun.outline.takes_body {
        let mut body = match stage.exchange.contents.request.take() {
            Some(held) => BytesMut::from(held),
            None => content::read(stage, desk, stage.site.message_bytes_max, Cause::MessageTooLarge).await?,
        };
        request_bytes = body.len() as u64;
        unread = false;
        begun.session.received(&mut body, &mut out)?;
    }
    if !out.publish.is_empty() {
        desk.total.arm(stage.site.timeouts.request);
        let published = async {
            for message in out.publish.drain(..) {
                let message = if begun.publish.is_idle() {
                    message
                } else {
                    match begun.publish.pass(stage.exchange, Parcel::from(message)).await {
                        Fate::On(parcel) => parcel.message,
                        Fate::Dropped => continue,
                        Fate::Refused(reply, _) => return Err(Stop::Reply(reply)),
                    }
                };
                route.publish(stage.local, message, begun.door.qos, &stage.exchange.attributes).await?;
                stage.api.counters.published.bump();
            }
            Ok(())
        };
        let published = desk.total.guard(published).await;
        desk.total.disarm();
        published.unwrap_or(Err(Fault::new(Cause::BrokerTimeout).into()))?;
    }
    let mut collected = None;
    if let Some(wish) = &begun.outline.subscribe {
        let (wish, receipts) = super::subscribe(stage.exchange, begun.door, wish);
        let asked = Asked { wish: &wish, attributes: &stage.exchange.attributes, renderer: None };
        let (_, source) = route.subscribe(stage.local, &asked, &desk.total).await?;
        let Source::Own(mut feed) = source else { return Err(Fault::new(Cause::Internal).into()) };
        let positions = collect(stage, desk, &mut begun, &mut feed, &mut out).await?;
        collected = Some((feed, positions, receipts));
    }
    let served = answer(stage, desk, chain, matched, begun, out, unread).await;
    if let Some((mut feed, positions, Receipts::OnWrite)) = collected {
        let arrived = served.as_ref().is_ok_and(|served| !served.aborted);
        for position in positions {
            feed.receipt(if arrived { Receipt::Ack(position) } else { Receipt::Nack(position) });
        }
        desk.total.arm(SETTLED_WITHIN);
        // What does not arrive in time comes again: the broker knows nothing of it.
        let _ = desk.total.guard(feed.settled()).await;
        desk.total.disarm();
    }
    served.map(|served| Served { request_bytes, ..served })
}

/// What a collection waits for.
enum Event {
    Delivery(Option<Delivery>),
    Gone,
    GoAway,
}

/// Collects until the session has enough, its time is up or the subscription ends. Positions of what was collected.
async fn collect(
    stage: &mut Stage<'_>,
    desk: &Desk,
    begun: &mut Begun<'_>,
    feed: &mut Feed,
    out: &mut Out,
) -> Result<Vec<Position>, Stop> {
    let mut positions = Vec::new();
    if let Some(deadline) = begun.outline.deadline {
        desk.total.arm(deadline);
    }
    let (local, connection) = (stage.local, stage.connection);
    let mut gone = pin!(call::gone(connection));
    let mut drained = pin!(local.drain.wait());
    let mut retired = pin!(stage.api.retired.wait());
    let outcome = loop {
        let event = desk.total.guard(poll_fn(|cx| {
            if let Poll::Ready(delivery) = feed.poll_next(cx) {
                return Poll::Ready(Event::Delivery(delivery));
            }
            if gone.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Event::Gone);
            }
            if drained.as_mut().poll(cx).is_ready() || retired.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Event::GoAway);
            }
            Poll::Pending
        }));
        let ending = match event.await {
            Ok(Event::Delivery(Some(Delivery::Message(message)))) => {
                positions.push(message.position);
                let weight = message.weight();
                let message = if begun.subscribe.is_idle() {
                    Some(message)
                } else {
                    match begun.subscribe.pass(stage.exchange, Parcel::of(message, &*feed.origin)).await {
                        Fate::On(parcel) => Some(parcel.message),
                        Fate::Dropped => None,
                        Fate::Refused(..) => {
                            stage.api.counters.push_refused.bump();
                            None
                        }
                    }
                };
                if let Some(message) = message {
                    if let Some(renderer) = &begun.renderer {
                        renderer.render(&message, &*feed.origin, &mut out.bytes);
                    }
                    stage.api.counters.delivered.bump();
                    begun.session.delivered(out);
                }
                // It is copied, and how much may be copied the session bounds.
                feed.grant(weight);
                None
            }
            // One that is away may be back before the answer's time is up.
            Ok(Event::Delivery(Some(Delivery::Ready | Delivery::Away(_)))) => None,
            Ok(Event::Delivery(Some(Delivery::Fault(fault)))) => Some(Ending::Fault(fault)),
            Ok(Event::Delivery(None)) => Some(Ending::Complete),
            Ok(Event::Gone) => break Err(Fault::new(Cause::ClientClosed).into()),
            Ok(Event::GoAway) => Some(Ending::GoAway),
            Err(_) => {
                begun.session.tick(Tick::Deadline, out);
                break Ok(positions);
            }
        };
        if let Some(ending) = ending {
            begun.session.stop(ending, out);
            break match ending {
                Ending::Fault(fault) if !out.finished => Err(fault.into()),
                _ => Ok(positions),
            };
        }
        if out.finished {
            break Ok(positions);
        }
    };
    desk.total.disarm();
    outcome
}

/// Writes the answer.
async fn answer(
    stage: &mut Stage<'_>,
    desk: &mut Desk,
    chain: &Chain,
    matched: &[u16],
    mut begun: Begun<'_>,
    out: Out,
    unread: bool,
) -> Result<Served, Stop> {
    let mut response = stage.local.services.responses.take();
    begun.session.head(&mut response);
    stage.exchange.response = Some(response);
    stage.exchange.contents.response = Some(out.bytes.freeze());
    for step in chain.response(matched) {
        if let Some(reply) = step.response(stage.exchange).await {
            return Err(step.stop(reply));
        }
    }
    let content = stage.exchange.contents.response.take().unwrap_or_default();
    annotate::response(stage);
    let keep_alive = stage.keep_alive && !stage.local.draining() && !unread;
    let connection = match (keep_alive, stage.version) {
        (true, Version::Http11) => Connection::Keep,
        (true, Version::Http10) => Connection::KeepAlive,
        (false, _) => Connection::Close,
    };
    let Some(response) = stage.exchange.response.as_deref() else { return Err(Fault::new(Cause::Internal).into()) };
    let status = response.status;
    let bodiless = status.is_informational() || status == StatusCode::NO_CONTENT;
    let mut writer = Writer::new(stage.connection, &stage.local.shard.buffers, &desk.write, stage.site.write_pace);
    let framing = if bodiless { Framing::None } else { Framing::Length(content.len() as u64) };
    response.encode(framing, connection, writer.gathered());
    let next = match (keep_alive, unread) {
        (true, _) => Next::KeepAlive,
        (false, true) => Next::Linger,
        (false, false) => Next::Close,
    };
    let mut served = Served::new(status, next);
    let sent = async {
        if !bodiless {
            writer.data(Chunk::Shared(content), false).await?;
        }
        writer.flush().await
    };
    if let Err(fault) = sent.await {
        served.fault = Some(fault);
        served.aborted = true;
        served.next = Next::Close;
        stage.connection.stream.abort();
    }
    served.response_bytes = writer.payload_bytes;
    Ok(served)
}
