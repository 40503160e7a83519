//! The messages of a subscription that are under way: taken while there is room, delivered beside each other, acknowledged in their order.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use ringway_contract::{Cause, Delivery, Fault, Feed, Message, Parcel, Position, Qos, Receipt, Subscribe};

use super::parcel::{self, End};
use super::{Halt, Pause, Run};
use crate::messages::brokers::{Asked, Source};
use crate::messages::route::Choice;
use crate::shared::Status;

/// How long a broker's side has to take the last receipts.
const SETTLED_WITHIN: Duration = Duration::from_secs(5);

/// Why no more messages are taken.
pub(super) enum Outcome {
    /// It was told to.
    Halted,
    /// The broker has no more.
    Complete,
    /// A message could not be delivered, and nothing may pass it.
    Stopped(String),
    /// The broker has failed.
    Broker(Fault),
    /// It is away, and there is another.
    Away(Fault),
}

/// A message under way.
struct Flight {
    position: Position,
    weight: usize,
    state: State,
}

enum State {
    Going(Pin<Box<dyn Future<Output = End>>>),
    /// It need not come again.
    Settled,
    /// It shall come again, and with it all behind it.
    Open,
}

/// Subscribes, and serves what comes until something ends it.
pub(super) async fn consume(run: &Rc<Run>, halt: &Rc<Halt>, pause: &mut Pause) -> Outcome {
    let (chosen, mut feed, receipts) = match halt.unless(subscribe(run)).await {
        None => return Outcome::Halted,
        Some(Ok(subscribed)) => subscribed,
        Some(Err(fault)) => return Outcome::Broker(fault),
    };
    run.pushing.shared.stand(Status::Started, "");
    let outcome = relay(run, halt, &chosen, &mut feed, receipts, pause).await;
    // One that is away hears nothing.
    if receipts && !matches!(outcome, Outcome::Away(_)) {
        let slot = run.local.shard.timers.slot();
        slot.arm(SETTLED_WITHIN);
        // What does not arrive in time comes again: the broker knows nothing of it.
        let _ = slot.guard(feed.settled()).await;
    }
    outcome
}

async fn subscribe(run: &Run) -> Result<(Choice, Box<Feed>, bool), Fault> {
    let receipts = matches!(run.pushing.qos, Qos::Auto | Qos::AtLeastOnce);
    let wish = Subscribe {
        qos: run.pushing.qos,
        live: run.pushing.qos == Qos::None,
        cursor: None,
        client: run.pushing.client.clone(),
        receipts,
    };
    let slot = run.local.shard.timers.slot();
    let asked = Asked { wish: &wish, attributes: &run.attributes, renderer: None };
    match run.route()?.subscribe(&run.local, &asked, &slot).await? {
        (chosen, Source::Own(feed)) => Ok((chosen, feed, receipts)),
        (_, Source::Shared(_)) => Err(Fault::new(Cause::Internal)),
    }
}

enum Event {
    Delivery(Option<Delivery>),
    Landed,
    Halted,
    /// Nothing is under way, and nothing more is taken.
    Empty,
}

async fn relay(
    run: &Rc<Run>,
    halt: &Rc<Halt>,
    chosen: &Choice,
    feed: &mut Feed,
    receipts: bool,
    pause: &mut Pause,
) -> Outcome {
    let mut flights: VecDeque<Flight> = VecDeque::new();
    let mut halted = pin!(halt.wait());
    let mut outcome: Option<Outcome> = None;
    loop {
        let event = poll_fn(|cx| {
            let mut landed = false;
            for flight in &mut flights {
                landed |= flight.poll(cx, halt, &mut outcome);
            }
            if landed {
                return Poll::Ready(Event::Landed);
            }
            if outcome.is_none() && halted.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Event::Halted);
            }
            if outcome.is_none() && flights.len() < run.terms.window {
                return feed.poll_next(cx).map(Event::Delivery);
            }
            let is_over = outcome.is_some() && !flights.iter().any(Flight::is_going);
            if is_over { Poll::Ready(Event::Empty) } else { Poll::Pending }
        });
        match event.await {
            Event::Delivery(Some(Delivery::Message(message))) => {
                flights.push_back(Flight::start(run, halt, feed, message))
            }
            Event::Delivery(Some(Delivery::Ready)) => {}
            Event::Delivery(Some(Delivery::Away(fault))) => {
                chosen.member.failed(&fault, run.local.shard.now());
                if run.route().is_ok_and(|route| route.has_awake(chosen.index, &run.local)) {
                    outcome = Some(Outcome::Away(fault));
                    halt.stop();
                }
            }
            Event::Delivery(Some(Delivery::Fault(fault))) => {
                outcome = Some(Outcome::Broker(fault));
                halt.stop();
            }
            // What is under way may still be delivered and acknowledged.
            Event::Delivery(None) => outcome = Some(Outcome::Complete),
            Event::Landed => {
                if settle(feed, &mut flights, receipts) {
                    pause.reset();
                }
            }
            Event::Halted => outcome = Some(Outcome::Halted),
            Event::Empty => return outcome.unwrap_or(Outcome::Halted),
        }
    }
}

/// Acknowledges what is settled with nothing open before it. Whether there was anything.
fn settle(feed: &mut Feed, flights: &mut VecDeque<Flight>, receipts: bool) -> bool {
    let mut settled = false;
    while let Some(Flight { state: State::Settled, position, weight }) = flights.front() {
        if receipts {
            feed.receipt(Receipt::Ack(*position));
        }
        feed.grant(*weight);
        settled = true;
        flights.pop_front();
    }
    if settled && receipts {
        feed.ring();
    }
    settled
}

impl Flight {
    fn start(run: &Rc<Run>, halt: &Rc<Halt>, feed: &Feed, message: Message) -> Self {
        let (position, weight) = (message.position, message.weight());
        let parcel = Parcel::of(message, &*feed.origin);
        Self { position, weight, state: State::Going(Box::pin(parcel::serve(run.clone(), halt.clone(), parcel))) }
    }

    fn is_going(&self) -> bool {
        matches!(self.state, State::Going(_))
    }

    /// Whether it has just landed. One that may not be passed by others halts them.
    fn poll(&mut self, cx: &mut Context<'_>, halt: &Halt, outcome: &mut Option<Outcome>) -> bool {
        let State::Going(going) = &mut self.state else { return false };
        let Poll::Ready(end) = going.as_mut().poll(cx) else { return false };
        self.state = match end {
            End::Settled => State::Settled,
            End::Abandoned => State::Open,
            End::Stop(cause) => {
                // The first cause counts.
                if !matches!(outcome, Some(Outcome::Stopped(_))) {
                    *outcome = Some(Outcome::Stopped(cause));
                }
                halt.stop();
                State::Open
            }
        };
        true
    }
}
