//! Publishing: a channel with publisher confirms, made anew whenever it is lost. One for each shard and endpoint.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Confirmation, Connection, ErrorKind, ExchangeKind};
use ringway_contract::{Cause, Fault, Qos, Retry};
use tokio::time::sleep;

use super::config::{NAME_BYTES_MAX, Producer};
use super::convert;
use super::link::{Link, State, Trouble};
use crate::bridge::{Claim, Job, RemotePublisher, backoff};

/// Messages that the broker has not confirmed.
const UNCONFIRMED_MAX: usize = 1024;
/// Bytes of them.
const UNCONFIRMED_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Exchanges besides the configured one that are known to be there.
const EXCHANGES_MAX: usize = 1024;

/// Where one message is to go, if not where the definition says.
#[derive(Debug, Default)]
pub struct Detail {
    /// The exchange.
    pub exchange: Option<String>,
    /// The routing key.
    pub routing_key: Option<String>,
}

/// What became of a message; the claim is there if somebody is still to be told.
struct Verdict {
    claim: Option<Claim>,
    bytes: usize,
    outcome: Result<Confirmation, lapin::Error>,
}

type Confirming = Pin<Box<dyn Future<Output = Verdict> + Send>>;

/// Publishes until the shard has dropped its end and everything is out.
pub async fn run(link: Arc<Link>, plan: Arc<Producer>, mut remote: RemotePublisher<Detail>) {
    let mut state = link.state();
    let mut bytes_max = None;
    let mut failures = 0;
    loop {
        let now = state.borrow_and_update().clone();
        let ended = match now {
            State::Up(connection) if connection.status().connected() => {
                match session(&connection, &plan, &mut remote, &mut bytes_max, &mut failures).await {
                    None => return,
                    Some(fault) => {
                        failures += 1;
                        let wait = sleep(backoff(failures));
                        tokio::pin!(wait);
                        refuse(&mut remote, fault, wait).await
                    }
                }
            }
            // Whoever publishes now waits: it is not known yet whether the broker is there.
            State::Up(_) | State::Connecting => state.changed().await.is_err(),
            State::Down(fault) | State::Refused(fault) => refuse(&mut remote, fault, state.changed()).await,
        };
        if ended {
            return;
        }
    }
}

/// Answers everything with a fault until something happens. Whether the shard has dropped its end.
async fn refuse<T>(remote: &mut RemotePublisher<Detail>, fault: Fault, until: impl Future<Output = T>) -> bool {
    tokio::pin!(until);
    loop {
        let mut answered = false;
        while let Some(job) = remote.take() {
            let (_, _, claim) = job.claim();
            // The broker has seen nothing of it.
            remote.done(claim, Err(fault.retry(Retry::Safe)));
            answered = true;
        }
        if answered {
            remote.ring();
        }
        if remote.is_gone() {
            return true;
        }
        tokio::select! {
            _ = &mut until => return false,
            woken = remote.ready() => if woken.is_err() { return true },
        }
    }
}

/// A channel's life. `None`: everything is out, and there will be nothing more.
async fn session(
    connection: &Connection,
    plan: &Producer,
    remote: &mut RemotePublisher<Detail>,
    bytes_max: &mut Option<usize>,
    failures: &mut u32,
) -> Option<Fault> {
    let channel = match open(connection, plan).await {
        Ok(channel) => channel,
        Err(error) => {
            tracing::warn!(%error, "nothing can be published");
            return Some(match Trouble::of(&error, Cause::BrokerClosed) {
                Trouble::Refused(fault) | Trouble::Lost(fault) => fault,
            });
        }
    };
    let mut session = Session {
        connection,
        channel,
        plan,
        known: HashSet::new(),
        confirming: FuturesUnordered::new(),
        bytes: 0,
        bytes_max,
        failures,
    };
    loop {
        while session.has_room() && session.channel.status().connected() {
            let Some(job) = remote.take() else { break };
            session.publish(job, remote).await;
        }
        remote.ring();
        if session.confirming.is_empty() {
            if !session.channel.status().connected() {
                return Some(Fault::new(Cause::BrokerClosed));
            }
            if remote.is_gone() {
                return None;
            }
        }
        let takes = session.has_room() && session.channel.status().connected() && !remote.is_gone();
        tokio::select! {
            Some(verdict) = session.confirming.next() => session.settle(verdict, remote),
            woken = remote.ready(), if takes => if woken.is_err() { return None },
        }
        while let Some(Some(verdict)) = session.confirming.next().now_or_never() {
            session.settle(verdict, remote);
        }
    }
}

async fn open(connection: &Connection, plan: &Producer) -> Result<Channel, lapin::Error> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    if let Some(exchange) = plan.exchange.as_ref().filter(|exchange| !exchange.name.is_empty()) {
        let (name, kind) = ((*exchange.name).into(), exchange.kind().unwrap_or_default());
        channel.exchange_declare(name, kind, exchange.options(), FieldTable::default()).await?;
    }
    Ok(channel)
}

struct Session<'a> {
    connection: &'a Connection,
    channel: Channel,
    plan: &'a Producer,
    /// Exchanges that are there.
    known: HashSet<String>,
    confirming: FuturesUnordered<Confirming>,
    /// Bytes that are not confirmed.
    bytes: usize,
    /// The largest message that the broker takes, once it has told.
    bytes_max: &'a mut Option<usize>,
    failures: &'a mut u32,
}

impl Session<'_> {
    fn has_room(&self) -> bool {
        self.confirming.len() < UNCONFIRMED_MAX && self.bytes < UNCONFIRMED_BYTES_MAX
    }

    async fn publish(&mut self, job: Job<Detail>, remote: &mut RemotePublisher<Detail>) {
        let waits = job.qos != Qos::None;
        let (message, detail, claim) = job.claim();
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let (properties, headers_bytes) = convert::properties(&message, self.plan.persistent, now_s);
        let bytes = message.content.len();
        if let Err(fault) = self.check(&detail, bytes, headers_bytes).await {
            return remote.done(claim, Err(fault));
        }
        let configured = self.plan.exchange.as_ref().map(|exchange| exchange.name.as_str());
        let exchange = detail.exchange.as_deref().or(configured).unwrap_or_default().into();
        let key = detail.routing_key.as_deref().unwrap_or(&self.plan.routing_key).into();
        let options = BasicPublishOptions { mandatory: self.plan.mandatory && waits, immediate: false };
        let claim = match waits {
            true => Some(claim),
            false => {
                remote.done(claim, Ok(()));
                None
            }
        };
        let (channel, content) = (self.channel.clone(), message.content);
        let mut confirming: Confirming = Box::pin(async move {
            let outcome = match channel.basic_publish(exchange, key, options, &content, properties).await {
                Ok(confirm) => confirm.await,
                Err(error) => Err(error),
            };
            Verdict { claim, bytes, outcome }
        });
        self.bytes += bytes;
        // The first step puts it into the channel's queue: in the order of the jobs.
        match confirming.as_mut().now_or_never() {
            Some(verdict) => self.settle(verdict, remote),
            None => self.confirming.push(confirming),
        }
    }

    /// What would make the broker close the channel, which takes everything with it that is not confirmed.
    async fn check(&mut self, detail: &Detail, bytes: usize, headers_bytes: usize) -> Result<(), Fault> {
        if self.connection.status().blocked() {
            let detail = "the broker is short of memory or disk, and takes no messages (connection.blocked)";
            return Err(Fault::new(Cause::PublishFailed).detail(detail));
        }
        if headers_bytes > convert::HEADERS_BYTES_MAX || self.bytes_max.is_some_and(|max| bytes > max) {
            return Err(Fault::new(Cause::MessageTooLarge).detail("larger than the broker takes"));
        }
        let names = [&detail.exchange, &detail.routing_key];
        if names.into_iter().flatten().any(|name| name.len() > NAME_BYTES_MAX) {
            return Err(Fault::new(Cause::PublishFailed).detail("an exchange or routing key of more than 255 bytes"));
        }
        let Some(exchange) = detail.exchange.as_ref().filter(|exchange| !exchange.is_empty()) else { return Ok(()) };
        let configured = self.plan.exchange.as_ref().is_some_and(|own| own.name == *exchange);
        if configured || self.known.contains(exchange) {
            return Ok(());
        }
        // On a channel of its own: it is closed when there is none.
        let asked = async {
            let channel = self.connection.create_channel().await?;
            let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
            let name = exchange.as_str().into();
            channel.exchange_declare(name, ExchangeKind::default(), options, FieldTable::default()).await?;
            channel.close(200, "OK".into()).await
        };
        asked.await.map_err(|error: lapin::Error| match Trouble::of(&error, Cause::BrokerClosed) {
            Trouble::Refused(fault) | Trouble::Lost(fault) => fault,
        })?;
        if self.known.len() < EXCHANGES_MAX {
            self.known.insert(exchange.clone());
        }
        Ok(())
    }

    fn settle(&mut self, verdict: Verdict, remote: &mut RemotePublisher<Detail>) {
        let Verdict { claim, bytes, outcome } = verdict;
        self.bytes = self.bytes.saturating_sub(bytes);
        if let Err(error) = &outcome
            && let ErrorKind::ProtocolError(error) = error.kind()
            && let Some(limit) = convert::size_limit(error)
        {
            *self.bytes_max = Some(limit);
        }
        if outcome.is_ok() {
            *self.failures = 0;
        }
        let Some(claim) = claim else {
            if let Err(error) = outcome {
                tracing::debug!(%error, "a message that nobody waits for may be lost");
            }
            return;
        };
        remote.done(claim, self.meaning(bytes, outcome));
    }

    fn meaning(&self, bytes: usize, outcome: Result<Confirmation, lapin::Error>) -> Result<(), Fault> {
        let failed = |detail| Err(Fault::new(Cause::PublishFailed).detail(detail));
        match outcome {
            Ok(Confirmation::Ack(None) | Confirmation::NotRequested) => Ok(()),
            Ok(Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_))) => {
                failed("no queue takes it, and it is mandatory (basic.return)")
            }
            Ok(Confirmation::Nack(None)) => failed("the broker could not take it (basic.nack)"),
            Err(error) => {
                let too_large =
                    matches!(error.kind(), ErrorKind::ProtocolError(error) if convert::size_limit(error).is_some());
                Err(match Trouble::of(&error, Cause::BrokerClosed) {
                    _ if too_large && self.bytes_max.is_some_and(|max| bytes > max) => {
                        Fault::new(Cause::MessageTooLarge).detail("larger than the broker takes")
                    }
                    _ if too_large => Fault::new(Cause::BrokerClosed)
                        .detail("another message was too large, and the broker closed the channel"),
                    Trouble::Refused(fault) | Trouble::Lost(fault) => fault,
                })
            }
        }
    }
}
