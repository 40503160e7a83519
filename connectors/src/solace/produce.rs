//! Publishing: a sending link, made anew whenever it is lost. One for each shard and endpoint.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use fe2o3_amqp::Sender;
use fe2o3_amqp::link::SendError;
use fe2o3_amqp::types::messaging::Outcome;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use ringway_contract::{Cause, Fault, Qos, Retry};
use tokio::time::sleep;

use super::convert;
use super::link::{Target, Trouble, connect};
use crate::bridge::{Claim, Job, RemotePublisher, backoff};

/// Messages that the broker has not answered.
const UNSETTLED_MAX: usize = 1024;
/// Bytes of them.
const UNSETTLED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Where messages go.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The target's address.
    pub address: String,
    /// Name of the link.
    pub name: String,
    /// Whether the broker keeps them.
    pub durable: bool,
}

/// What became of a message; the claim is there if somebody is still to be told.
struct Verdict {
    claim: Option<Claim>,
    bytes: usize,
    outcome: Result<Outcome, SendError>,
}

type Unsettled = FuturesUnordered<Pin<Box<dyn Future<Output = Verdict> + Send>>>;

/// Publishes until the shard has dropped its end and everything is out.
pub async fn run(target: Arc<Target>, plan: Plan, mut remote: RemotePublisher<()>) {
    let mut failures = 0;
    loop {
        match session(&target, &plan, &mut remote, &mut failures).await {
            None => return,
            Some(fault) => {
                let wait = sleep(backoff(failures));
                failures += 1;
                tokio::pin!(wait);
                if refuse(&mut remote, fault, wait).await {
                    return;
                }
            }
        }
    }
}

/// Answers everything with a fault until something happens. Whether the shard has dropped its end.
async fn refuse(remote: &mut RemotePublisher<()>, fault: Fault, until: impl Future<Output = ()>) -> bool {
    tokio::pin!(until);
    loop {
        while let Some(job) = remote.take() {
            let (_, (), claim) = job.claim();
            // The broker has seen nothing of it.
            remote.done(claim, Err(fault.retry(Retry::Safe)));
        }
        remote.ring();
        if remote.is_gone() {
            return true;
        }
        tokio::select! {
            () = &mut until => return false,
            woken = remote.ready() => if woken.is_err() { return true },
        }
    }
}

/// A link's life. `None`: everything is out, and there will be nothing more.
async fn session(
    target: &Arc<Target>,
    plan: &Plan,
    remote: &mut RemotePublisher<()>,
    failures: &mut u32,
) -> Option<Fault> {
    let mut line = match connect(target, &plan.name).await {
        Ok(line) => line,
        Err(trouble) => return Some(trouble.fault()),
    };
    let mut sender = match Sender::attach(&mut line.session, plan.name.as_str(), plan.address.as_str()).await {
        Ok(sender) => sender,
        Err(error) => return Some(Trouble::of(&error).fault()),
    };
    *failures = 0;
    let (mut unsettled, mut bytes, mut lost) = (Unsettled::new(), 0, None);
    loop {
        while lost.is_none() && unsettled.len() < UNSETTLED_MAX && bytes < UNSETTLED_BYTES_MAX {
            let Some(job) = remote.take() else { break };
            lost = publish(&mut sender, plan, job, remote, &mut unsettled, &mut bytes).await.err();
        }
        remote.ring();
        if unsettled.is_empty() {
            if lost.is_some() {
                return lost;
            }
            if remote.is_gone() {
                let _ = sender.close().await;
                let _ = line.session.end().await;
                let _ = line.connection.close().await;
                return None;
            }
        }
        let takes =
            lost.is_none() && unsettled.len() < UNSETTLED_MAX && bytes < UNSETTLED_BYTES_MAX && !remote.is_gone();
        tokio::select! {
            Some(verdict) = unsettled.next() => settle(verdict, remote, &mut bytes),
            woken = remote.ready(), if takes => if woken.is_err() { return None },
            error = sender.on_detach(), if lost.is_none() => lost = Some(Trouble::of(&error).fault()),
        }
        while let Some(Some(verdict)) = unsettled.next().now_or_never() {
            settle(verdict, remote, &mut bytes);
        }
    }
}

/// Hands a message to the link, which may have to wait for the broker's credit; verdicts go on meanwhile.
async fn publish(
    sender: &mut Sender,
    plan: &Plan,
    job: Job<()>,
    remote: &mut RemotePublisher<()>,
    unsettled: &mut Unsettled,
    bytes: &mut usize,
) -> Result<(), Fault> {
    let waits = job.qos != Qos::None;
    let (message, (), claim) = job.claim();
    let size = message.content.len();
    if sender.max_message_size().is_some_and(|max| max > 0 && size as u64 > max) {
        remote.done(claim, Err(Fault::new(Cause::MessageTooLarge).detail("larger than the broker takes")));
        return Ok(());
    }
    let claim = match waits {
        true => Some(claim),
        false => {
            remote.done(claim, Ok(()));
            None
        }
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let message = convert::sent(&message, plan.durable, i64::try_from(now).unwrap_or(i64::MAX));
    let sent = {
        let sending = sender.send_batchable(message);
        tokio::pin!(sending);
        loop {
            tokio::select! {
                sent = &mut sending => break sent,
                Some(verdict) = unsettled.next() => {
                    settle(verdict, remote, bytes);
                    remote.ring();
                }
            }
        }
    };
    match sent {
        Ok(outcome) => {
            *bytes += size;
            unsettled.push(Box::pin(async move { Verdict { claim, bytes: size, outcome: outcome.await } }));
            Ok(())
        }
        Err(error) => {
            let fault = Trouble::of(&error).fault();
            if let Some(claim) = claim {
                remote.done(claim, Err(fault));
            }
            Err(fault)
        }
    }
}

fn settle(verdict: Verdict, remote: &mut RemotePublisher<()>, bytes: &mut usize) {
    *bytes = bytes.saturating_sub(verdict.bytes);
    let Some(claim) = verdict.claim else { return };
    let failed = |detail| Err(Fault::new(Cause::PublishFailed).detail(detail));
    remote.done(
        claim,
        match verdict.outcome {
            Ok(Outcome::Accepted(_)) => Ok(()),
            Ok(Outcome::Rejected(_)) => failed("the broker has rejected it"),
            Ok(Outcome::Released(_) | Outcome::Modified(_)) => {
                failed("the broker did not take it: nothing is there to keep it")
            }
            Err(error) => Err(Trouble::of(&error).fault()),
        },
    );
}
