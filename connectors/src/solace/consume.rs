//! A subscription: a receiving link whose credit is the feed's, made anew whenever it is lost.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

use fe2o3_amqp::Receiver;
use fe2o3_amqp::link::delivery::DeliveryInfo;
use fe2o3_amqp::link::receiver::CreditMode;
use fe2o3_amqp::link::{MessageDecodeError, RecvError};
use fe2o3_amqp::types::definitions::SenderSettleMode;
use fe2o3_amqp::types::messaging::message::Body;
use fe2o3_amqp::types::messaging::{Source, TerminusDurability, TerminusExpiryPolicy};
use fe2o3_amqp::types::primitives::Value;
use ringway_contract::feed::FEED_WINDOW_BYTES;
use ringway_contract::{Delivery, Fault, Message, Position, Receipt};
use tokio::time::sleep;

use super::convert;
use super::frames::MESSAGE_BYTES_MAX;
use super::link::{Target, Trouble, connect};
use crate::bridge::{RemoteFeed, backoff};

/// When the broker is told that a message need not come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settle {
    /// As it is handed over.
    HandOver,
    /// The broker settles it as it sends it (section 2.8.2, `settled`), and sends one at a time.
    Before,
    /// When its receipt comes.
    Receipt,
}

/// What a subscription reads.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The source's address.
    pub address: String,
    /// Name of the link, and of the subscription of a topic.
    pub name: String,
    /// Whether the broker keeps the subscription while nobody is there.
    pub durable: bool,
    /// Messages that the broker may send ahead.
    pub prefetch: u32,
    /// When messages are settled.
    pub settle: Settle,
}

enum End {
    Gone,
    Away(Fault),
    Lost,
    Fault(Fault),
}

impl End {
    fn of<E: std::fmt::Debug>(error: E) -> Self {
        match Trouble::of(&error) {
            Trouble::Refused(fault) => Self::Fault(fault),
            Trouble::Lost(_) => Self::Lost,
        }
    }
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

/// Serves a feed to its end.
pub async fn run(target: Arc<Target>, plan: Plan, mut remote: RemoteFeed) {
    let (mut ready, mut failures) = (false, 0);
    for number in 0.. {
        let outcome = session(&target, &plan, &mut remote, &mut ready, &mut failures, number).await;
        let Err(end) = outcome;
        match end {
            End::Gone => return,
            End::Fault(fault) => {
                remote.deliver(Delivery::Fault(fault)).await;
                return;
            }
            End::Away(fault) => {
                // Without room for it, it is told the next time.
                let _ = remote.send(Delivery::Away(fault));
                remote.ring();
            }
            End::Lost => tracing::debug!(address = plan.address, "a subscription is lost, and tried again"),
        }
        let wait = sleep(backoff(failures));
        failures += 1;
        tokio::pin!(wait);
        loop {
            tokio::select! {
                () = &mut wait => break,
                woken = idle(&mut remote) => if woken.is_err() { return },
            }
        }
    }
}

/// Between two links: receipts are of no use any more. An error: the feed is gone.
async fn idle(remote: &mut RemoteFeed) -> Result<(), End> {
    remote.ready(None).await?;
    while remote.receipt().is_some() {}
    if remote.is_gone() { Err(End::Gone) } else { Ok(()) }
}

async fn session(
    target: &Arc<Target>,
    plan: &Plan,
    remote: &mut RemoteFeed,
    ready: &mut bool,
    failures: &mut u32,
    number: u32,
) -> Result<std::convert::Infallible, End> {
    let mut line = connect(target, &plan.name).await.map_err(|trouble| match trouble {
        Trouble::Refused(fault) => End::Fault(fault),
        Trouble::Lost(fault) => End::Away(fault),
    })?;
    let mut source = Source::builder().address(plan.address.as_str());
    if plan.durable {
        source = source.durable(TerminusDurability::UnsettledState).expiry_policy(TerminusExpiryPolicy::Never);
    }
    let mode = if plan.settle == Settle::Before { SenderSettleMode::Settled } else { SenderSettleMode::Unsettled };
    let builder = Receiver::builder().name(plan.name.as_str()).source(source.build()).sender_settle_mode(mode);
    let builder = builder.credit_mode(CreditMode::Manual).auto_accept(false).max_message_size(MESSAGE_BYTES_MAX);
    let mut receiver = builder.attach(&mut line.session).await.map_err(End::of)?;
    *failures = 0;
    if !*ready {
        if !remote.deliver(Delivery::Ready).await {
            return Err(End::Gone);
        }
        *ready = true;
    }
    let outcome = receive(&mut receiver, plan, remote, number).await;
    if matches!(outcome, Err(End::Gone)) {
        // A topic's subscription stays when its link is only detached.
        match plan.durable {
            true => drop(receiver.detach().await),
            false => drop(receiver.close().await),
        }
        let _ = line.session.end().await;
        let _ = line.connection.close().await;
    }
    outcome
}

async fn receive(
    receiver: &mut Receiver,
    plan: &Plan,
    remote: &mut RemoteFeed,
    number: u32,
) -> Result<std::convert::Infallible, End> {
    let mut unsettled: BTreeMap<i64, DeliveryInfo> = BTreeMap::new();
    let mut waiting: VecDeque<(Message, Option<DeliveryInfo>)> = VecDeque::new();
    let mut count: i64 = 0;
    let ahead = if plan.settle == Settle::Before { 1 } else { plan.prefetch };
    loop {
        settle(receiver, remote, &mut unsettled, number).await?;
        if remote.is_gone() {
            settle(receiver, remote, &mut unsettled, number).await?;
            return Err(End::Gone);
        }
        let mut handed = false;
        while let Some((message, info)) = waiting.pop_front() {
            let position = message.position.offset;
            match remote.send(Delivery::Message(message)) {
                Ok(()) => handed = true,
                Err(Delivery::Message(message)) => {
                    waiting.push_front((message, info));
                    break;
                }
                Err(_) => {}
            }
            match (plan.settle, info) {
                (Settle::HandOver, Some(info)) => receiver.accept(info).await.map_err(End::of)?,
                (Settle::Receipt, Some(info)) => drop(unsettled.insert(position, info)),
                _ => {}
            }
        }
        if handed {
            remote.ring();
        }
        let held = u32::try_from(unsettled.len() + waiting.len()).unwrap_or(u32::MAX);
        let taken = plan.settle != Settle::Before || remote.credit() >= FEED_WINDOW_BYTES;
        let room = if taken { ahead.saturating_sub(held) } else { 0 };
        // In halves, so that a message does not cost a frame.
        if receiver.credit() < room && receiver.credit() <= room / 2 {
            receiver.set_credit(room).await.map_err(End::of)?;
        }
        let weight = match waiting.front() {
            Some((message, _)) => Some(message.weight()),
            None if !taken => Some(FEED_WINDOW_BYTES),
            None => None,
        };
        tokio::select! {
            delivery = receiver.recv::<Body<Value>>(), if waiting.is_empty() => {
                let (info, message) = match delivery {
                    Ok(delivery) => delivery.into_parts(),
                    // It would come again for ever.
                    Err(RecvError::MessageDecode(MessageDecodeError { info, source })) => {
                        tracing::warn!(address = plan.address, error = %source, "a message that is none is rejected");
                        receiver.reject(info, None).await.map_err(End::of)?;
                        continue;
                    }
                    Err(error) => return Err(End::of(error)),
                };
                count += 1;
                let position = Position { part: number, offset: count };
                match convert::received(message, position) {
                    Some(message) => {
                        let info = (plan.settle != Settle::Before).then_some(info);
                        waiting.push_back((message, info));
                    }
                    // Lists and maps, which nobody could be given.
                    None => receiver.reject(info, None).await.map_err(End::of)?,
                }
            }
            woken = remote.ready(weight) => woken?,
        }
    }
}

async fn settle(
    receiver: &Receiver,
    remote: &mut RemoteFeed,
    unsettled: &mut BTreeMap<i64, DeliveryInfo>,
    number: u32,
) -> Result<(), End> {
    let mut accepted = Vec::new();
    while let Some(receipt) = remote.receipt() {
        let (position, accepts) = match receipt {
            Receipt::Ack(position) => (position, true),
            Receipt::Nack(position) => (position, false),
        };
        // What an earlier link delivered comes again in any case.
        let Some(info) = (position.part == number).then(|| unsettled.remove(&position.offset)).flatten() else {
            continue;
        };
        if accepts {
            accepted.push(info);
        } else {
            receiver.release(info).await.map_err(End::of)?;
        }
    }
    if !accepted.is_empty() {
        receiver.accept_all(accepted).await.map_err(End::of)?;
    }
    Ok(())
}
