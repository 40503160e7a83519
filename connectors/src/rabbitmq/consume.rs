//! A subscription: a channel with a queue and one consumer, made anew whenever it is lost.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;

use futures_util::{FutureExt, StreamExt};
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ErrorKind};
use ringway_contract::feed::FEED_WINDOW_BYTES;
use ringway_contract::{Cause, Delivery, Fault, Message, Receipt};
use tokio::sync::watch;
use tokio::time::sleep;

use super::config::Exchange;
use super::convert;
use super::link::{Link, State, Trouble};
use crate::bridge::{RemoteFeed, backoff};

/// Lost channels in a row on a connection that stands, after which waits grow no further.
const FAILURES_MAX: u32 = 16;

/// When the broker is told that a message need not come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settle {
    /// As it is handed over: nobody will ask for it again.
    HandOver,
    /// Before it is handed over, and the broker has heard it: it must not come again. One after the other, so that a client that leaves
    /// takes one with it at most.
    Before,
    /// When its receipt comes.
    Receipt,
}

/// What a subscription declares and reads.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The exchange that the queue is bound to.
    pub exchange: Option<Exchange>,
    /// Whether the exchange has to be there already, however it was declared.
    pub foreign: bool,
    /// The key that the queue is bound with.
    pub routing_key: String,
    /// The queue.
    pub queue: String,
    /// How the queue is declared.
    pub options: QueueDeclareOptions,
    /// Messages that the broker sends ahead of acknowledgements.
    pub prefetch: u16,
    /// When messages are acknowledged.
    pub settle: Settle,
}

enum End {
    /// The shard has dropped the feed.
    Gone,
    /// The channel is lost, and so is what was not acknowledged: it will come again.
    Lost,
    Fault(Fault),
}

impl From<lapin::Error> for End {
    fn from(error: lapin::Error) -> Self {
        tracing::debug!(%error, "a subscription's channel is lost");
        Self::Lost
    }
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

/// Serves a feed to its end.
pub async fn run(link: Arc<Link>, plan: Plan, mut remote: RemoteFeed) {
    let mut state = link.state();
    let mut ready = false;
    let mut failures = 0;
    for number in 0.. {
        let connection = match connected(&mut state, &mut remote).await {
            Ok(connection) => connection,
            Err(None) => return,
            Err(Some(fault)) => return faulted(&mut remote, fault).await,
        };
        let began = ready;
        let Err(end) = session(&connection, &plan, &mut remote, &mut ready, number).await;
        match end {
            End::Gone => return,
            End::Fault(fault) => return faulted(&mut remote, fault).await,
            End::Lost if began => failures = (failures + 1).min(FAILURES_MAX),
            End::Lost => {}
        }
        let wait = sleep(backoff(failures));
        tokio::pin!(wait);
        loop {
            tokio::select! {
                () = &mut wait => break,
                woken = idle(&mut remote) => if woken.is_err() { return },
            }
        }
    }
}

async fn faulted(remote: &mut RemoteFeed, fault: Fault) {
    remote.deliver(Delivery::Fault(fault)).await;
}

/// Waits for the connection. `None`: the feed is gone.
async fn connected(
    state: &mut watch::Receiver<State>,
    remote: &mut RemoteFeed,
) -> Result<Arc<Connection>, Option<Fault>> {
    loop {
        match state.borrow_and_update().clone() {
            State::Up(connection) if connection.status().connected() => return Ok(connection),
            State::Refused(fault) => return Err(Some(fault)),
            State::Down(fault) => {
                // Without room for it, it is told the next time.
                let _ = remote.send(Delivery::Away(fault));
                remote.ring();
            }
            State::Up(_) | State::Connecting => {}
        }
        tokio::select! {
            changed = state.changed() => if changed.is_err() { return Err(None) },
            woken = idle(remote) => if woken.is_err() { return Err(None) },
        }
    }
}

/// Between two channels: receipts are of no use any more. An error: the feed is gone.
async fn idle(remote: &mut RemoteFeed) -> Result<(), End> {
    remote.ready(None).await?;
    while remote.receipt().is_some() {}
    if remote.is_gone() { Err(End::Gone) } else { Ok(()) }
}

/// Declares, and consumes until it ends.
async fn session(
    connection: &Connection,
    plan: &Plan,
    remote: &mut RemoteFeed,
    ready: &mut bool,
    number: u32,
) -> Result<std::convert::Infallible, End> {
    let channel = connection.create_channel().await?;
    declare(&channel, plan).await.map_err(|error| {
        tracing::warn!(queue = plan.queue, %error, "a subscription was not accepted");
        // The connection that had it exclusively may be one of ours, whose end the broker has not noticed.
        let own = plan.options.exclusive
            && matches!(error.kind(), ErrorKind::ProtocolError(error) if error.get_id() == LOCKED);
        match Trouble::of(&error, Cause::BrokerClosed) {
            Trouble::Refused(fault) if !own => End::Fault(fault),
            _ => End::Lost,
        }
    })?;
    let options = BasicConsumeOptions::default();
    let consuming = channel.basic_consume((*plan.queue).into(), "".into(), options, FieldTable::default()).await;
    let mut consumer = consuming.map_err(|error| match Trouble::of(&error, Cause::BrokerClosed) {
        Trouble::Refused(fault) => End::Fault(fault),
        Trouble::Lost(_) => End::Lost,
    })?;
    if !*ready {
        if !remote.deliver(Delivery::Ready).await {
            return Err(End::Gone);
        }
        *ready = true;
    }
    let mut waiting: VecDeque<(u64, Message)> = VecDeque::new();
    let mut tags = Tags::new();
    let mut next = None;
    loop {
        settle(&channel, remote, &mut tags, number, plan.settle).await?;
        if remote.is_gone() {
            // What was on its way when it went.
            settle(&channel, remote, &mut tags, number, plan.settle).await?;
            let _ = channel.close(200, "OK".into()).await;
            return Err(End::Gone);
        }
        let mut handed = None;
        while let Some((tag, message)) = waiting.pop_front() {
            if plan.settle == Settle::Before {
                if remote.credit() < FEED_WINDOW_BYTES {
                    waiting.push_front((tag, message));
                    break;
                }
                acknowledge(&channel, tag, true).await?;
                // Answered behind the acknowledgement, so the broker has heard that: what follows is not sent again.
                channel.basic_qos(plan.prefetch, BasicQosOptions::default()).await?;
            }
            if let Err(Delivery::Message(back)) = remote.send(Delivery::Message(message)) {
                waiting.push_front((tag, back));
                break;
            }
            handed = Some(tag);
        }
        if let Some(tag) = handed {
            remote.ring();
            if plan.settle == Settle::HandOver {
                acknowledge(&channel, tag, true).await?;
            }
        }
        let weight = waiting.front().map(|(_, message)| match plan.settle {
            // When the one before was taken.
            Settle::Before => FEED_WINDOW_BYTES,
            _ => message.weight(),
        });
        tokio::select! {
            delivery = consumer.next(), if waiting.is_empty() => next = Some(delivery),
            woken = remote.ready(weight) => woken?,
        }
        // All that has come already, at once.
        while let Some(delivery) = next.take() {
            let delivery = delivery.ok_or(End::Lost)??;
            waiting.push_back((delivery.delivery_tag, convert::received(delivery, number)));
            if waiting.len() < usize::from(plan.prefetch) {
                next = consumer.next().now_or_never();
            }
        }
    }
}

/// `RESOURCE_LOCKED`.
const LOCKED: u16 = 405;

async fn declare(channel: &Channel, plan: &Plan) -> Result<(), lapin::Error> {
    let queue = || plan.queue.as_str().into();
    channel.basic_qos(plan.prefetch, BasicQosOptions::default()).await?;
    if let Some(exchange) = &plan.exchange {
        let mut options = exchange.options();
        options.passive = plan.foreign;
        let kind = exchange.kind().unwrap_or_default();
        channel.exchange_declare((*exchange.name).into(), kind, options, FieldTable::default()).await?;
    }
    channel.queue_declare(queue(), plan.options, FieldTable::default()).await?;
    if let Some(exchange) = &plan.exchange {
        let key = (*plan.routing_key).into();
        let options = QueueBindOptions::default();
        channel.queue_bind(queue(), (*exchange.name).into(), key, options, FieldTable::default()).await?;
    }
    Ok(())
}

async fn acknowledge(channel: &Channel, tag: u64, multiple: bool) -> Result<(), lapin::Error> {
    channel.basic_ack(tag, BasicAckOptions { multiple }).await
}

/// Tells the broker of receipts, as few words as that takes.
async fn settle(
    channel: &Channel,
    remote: &mut RemoteFeed,
    tags: &mut Tags,
    number: u32,
    by: Settle,
) -> Result<(), lapin::Error> {
    let mut acknowledged = Vec::new();
    let mut back = Vec::new();
    while let Some(receipt) = remote.receipt() {
        let (position, list) = match receipt {
            Receipt::Ack(position) => (position, &mut acknowledged),
            Receipt::Nack(position) => (position, &mut back),
        };
        // What an earlier channel delivered comes again in any case, and what is acknowledged already is not given back.
        if position.part == number && by == Settle::Receipt {
            list.push(position.offset.cast_unsigned());
        }
    }
    // First, so that no acknowledgement of many covers them.
    for tag in back {
        channel.basic_nack(tag, BasicNackOptions { requeue: true, multiple: false }).await?;
        tags.gone(tag);
    }
    let (through, single) = tags.settle(acknowledged);
    if let Some(tag) = through {
        acknowledge(channel, tag, true).await?;
    }
    for tag in single {
        acknowledge(channel, tag, false).await?;
    }
    Ok(())
}

/// Which delivery tags are settled: they count from 1 on each channel (AMQP 0-9-1, `delivery-tag`).
struct Tags {
    /// The lowest that is not settled.
    next: u64,
    /// Those beyond it that are.
    ahead: BTreeSet<u64>,
}

impl Tags {
    fn new() -> Self {
        Self { next: 1, ahead: BTreeSet::new() }
    }

    /// One that was given back.
    fn gone(&mut self, tag: u64) {
        self.ahead.insert(tag);
        self.catch_up();
    }

    fn catch_up(&mut self) {
        while self.ahead.remove(&self.next) {
            self.next += 1;
        }
    }

    /// Settles tags: the one up to which everything is settled by that, and those that have to be told one by one.
    fn settle(&mut self, mut settled: Vec<u64>) -> (Option<u64>, Vec<u64>) {
        settled.sort_unstable();
        let (mut through, mut single) = (None, Vec::new());
        for tag in settled {
            if tag == self.next {
                through = Some(tag);
                self.next += 1;
                self.catch_up();
            } else if tag > self.next && self.ahead.insert(tag) {
                single.push(tag);
            }
        }
        (through, single)
    }
}

#[cfg(test)]
mod tests {
    use super::Tags;

    #[test]
    fn what_is_contiguous_is_acknowledged_at_once_and_the_rest_one_by_one() {
        let mut tags = Tags::new();
        assert_eq!(tags.settle(vec![2, 1, 3, 6]), (Some(3), vec![6]));
        assert_eq!(tags.settle(vec![5]), (None, vec![5]));
        // 5 and 6 are settled already: 4 closes the gap.
        assert_eq!(tags.settle(vec![4, 7]), (Some(7), vec![]));
        assert_eq!(tags.settle(vec![8, 8, 3]), (Some(8), vec![]));
    }

    #[test]
    fn what_was_given_back_leaves_no_gap() {
        let mut tags = Tags::new();
        tags.gone(1);
        tags.gone(3);
        assert_eq!(tags.settle(vec![2]), (Some(2), vec![]));
        assert_eq!(tags.settle(vec![4]), (Some(4), vec![]));
    }
}
