//! An endpoint's publishing thread, one per shard: messages come over a ring, go into the client's batches, and what becomes of them goes back
//! in batches, with one bell for each.
//!
//! A shard has a client of its own, as it has its own connections to everything else: its messages keep their order without a lock between
//! shards. The price is a connection per shard to each broker that leads one of the topics, from the first message on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ringway_contract::{Cause, Fault, Retry};

use super::fault;
use super::native::{Code, Producer, Shipment, code};
use super::settings::{Settings, Token};
use crate::bridge::{Claim, RemotePublisher};

/// Between two attempts to make a client, and between two clients of which the first was refused.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The thread looks around after so long, whatever bells say.
const LOOK_AROUND: Duration = Duration::from_secs(5);

/// Messages that are handed to the client before it is asked for reports.
const TURN_MAX: usize = 256;

/// What goes with a message.
pub struct Detail {
    /// Its topic.
    pub topic: Arc<str>,
    /// Its partition; `None`: by its key.
    pub partition: Option<i32>,
}

/// How to publish.
pub struct Plan {
    /// Settings of the client.
    pub settings: Settings,
    /// The token that the client shows.
    pub token: Option<Token>,
}

/// Serves a publisher until it is gone.
pub fn run(plan: &Plan, mut remote: RemotePublisher<Detail>) {
    loop {
        let fault = match Producer::new(&plan.settings, plan.token.clone(), remote.waker()) {
            Ok(client) => {
                let mut writer = Writer { client, remote, waiting: None, is_down: false, refused: None, failed: None };
                writer.serve();
                let Writer { client, remote: back, refused, failed, waiting, is_down } = writer;
                remote = back;
                let fault = refused.or(failed);
                for report in client.close() {
                    answer(&mut remote, report.claim, (report.code, report.unsent), is_down, fault);
                }
                if let Some(shipment) = waiting {
                    answer(&mut remote, shipment.claim, (code::PURGED, true), is_down, fault);
                }
                fault
            }
            Err(error) => {
                tracing::error!(error, "a Kafka producer cannot be made");
                Some(Fault::new(Cause::BrokerRefused).detail("the client cannot be made"))
            }
        };
        let Some(fault) = fault else { return remote.ring() };
        // Whatever comes in the meantime has failed, too.
        let again = Instant::now() + AGAIN_AFTER;
        while let Some(left) = again.checked_duration_since(Instant::now()) {
            while let Some(job) = remote.take() {
                let (_, _, claim) = job.claim();
                remote.done(claim, Err(fault));
            }
            remote.ring();
            if remote.is_gone() || remote.wait(Some(left)).is_err() {
                return;
            }
        }
    }
}

struct Writer {
    client: Producer,
    remote: RemotePublisher<Detail>,
    /// One that the client has no room for.
    waiting: Option<Box<Shipment>>,
    /// Whether no broker could be reached when one was last tried.
    is_down: bool,
    /// Brokers do not let the gateway in.
    refused: Option<Fault>,
    /// The client has ended.
    failed: Option<Fault>,
}

impl Writer {
    /// Ends when the publisher is gone and everything is reported, or with a fault.
    fn serve(&mut self) {
        while self.refused.is_none() && self.failed.is_none() {
            let moved = self.take() | self.report();
            let is_done = self.remote.is_gone() && self.waiting.is_none() && self.client.under_way() == 0;
            if is_done && !moved {
                return;
            }
            if moved {
                continue;
            }
            let Self { client, remote, waiting, .. } = self;
            // Gone, and not done: only reports are waited for.
            let jobs = waiting.is_none() && !remote.is_gone();
            if remote.wait_while(jobs, Some(LOOK_AROUND), || client.is_idle()).is_err() {
                self.failed = Some(Fault::new(Cause::Internal).detail("a bell cannot be waited for"));
            }
        }
    }

    /// Hands messages to the client.
    fn take(&mut self) -> bool {
        let mut moved = false;
        for _ in 0..TURN_MAX {
            let shipment = match self.waiting.take() {
                Some(waiting) => *waiting,
                None => {
                    let Some(job) = self.remote.take() else { break };
                    let (message, Detail { topic, partition }, claim) = job.claim();
                    Shipment { topic, partition, message, claim }
                }
            };
            match self.client.send(shipment) {
                Ok(()) => moved = true,
                Err((shipment, code::QUEUE_FULL)) => {
                    self.waiting = Some(shipment);
                    break;
                }
                Err((shipment, code)) => {
                    moved = true;
                    answer(&mut self.remote, shipment.claim, (code, true), self.is_down, None);
                    self.remote.ring();
                }
            }
        }
        moved
    }

    /// Passes on what has become of messages.
    fn report(&mut self) -> bool {
        let reports = self.client.poll();
        let moved = !reports.is_empty();
        for failure in self.client.errors() {
            match failure.code {
                code::ALL_BROKERS_DOWN => {
                    tracing::warn!(%failure, "no Kafka broker can be reached");
                    self.is_down = true;
                }
                code::FATAL => {
                    tracing::error!(%failure, "a Kafka producer has ended, and is made anew");
                    self.failed = Some(Fault::new(Cause::PublishFailed).detail("the client has ended"));
                }
                code => match fault::denied(code) {
                    // A broker that goes down may break a handshake off: what is under way is tried again until its time is up.
                    Some(fault) if code != code::SSL => {
                        tracing::error!(%failure, "a Kafka broker refuses the gateway");
                        self.refused = Some(fault);
                    }
                    _ => tracing::info!(%failure, "a Kafka broker is away"),
                },
            }
        }
        for report in reports {
            if report.code == code::NONE {
                self.is_down = false;
            }
            answer(&mut self.remote, report.claim, (report.code, report.unsent), self.is_down, None);
        }
        if moved {
            self.remote.ring();
        }
        moved
    }
}

/// Tells what became of a message, and whether it is certain that no broker has it. `instead`: why everything that is under way was given up.
fn answer(
    remote: &mut RemotePublisher<Detail>,
    claim: Claim,
    (code, unsent): (Code, bool),
    is_down: bool,
    instead: Option<Fault>,
) {
    let outcome = match code {
        code::NONE => Ok(()),
        code::PURGED | code::PURGED_INFLIGHT => Err(instead.unwrap_or(fault::publishing(code, is_down))),
        code => Err(fault::publishing(code, is_down)),
    };
    let outcome =
        outcome.map_err(|fault| if unsent && fault::is_brokers(&fault) { fault.retry(Retry::Safe) } else { fault });
    if let Err(fault) = outcome {
        tracing::debug!(code, %fault, "a message was not published");
    }
    remote.done(claim, outcome);
}
