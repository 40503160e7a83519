//! A subscription's thread: it owns the client, hands messages over in batches, and commits what it may.
//!
//! ```text
//!   poll ─▶ pending ─▶ feed ─▶ receipts ─▶ ledger ─▶ commit            at least once, and as the client's acknowledgements come
//!   poll ─▶ pending ─▶ commit ─▶ feed                                  at most once
//!   poll ─▶ pending ─▶ feed                                            live: outside of any group
//! ```
//!
//! When the feed takes nothing for a while, its partitions are paused: the client goes on living in its group, and fetches nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use regex::Regex;
use ringway_contract::{Cause, Delivery, FEED_WINDOW_BYTES, Fault, Message, Position, Receipt};

use super::config::OffsetReset;
use super::cursor::Parts;
use super::fault;
use super::intake::Intake;
use super::lookup::{fitting, partitions};
use super::native::{BATCH_MAX, Consumer, Failure, Place, Rebalance, code};
use super::outlet::{Outlet, Read};
use super::settings::{Settings, Token};
use crate::bridge::RemoteFeed;

/// How often what was acknowledged is committed.
const COMMIT_EVERY: Duration = Duration::from_millis(500);

/// How long a feed may take nothing before its partitions are paused.
const PAUSE_AFTER: Duration = Duration::from_millis(200);

/// Credit at which paused partitions are fetched again.
const RESUME_AT_BYTES: usize = FEED_WINDOW_BYTES / 2;

/// How often topics of a pattern and new partitions are looked for.
const LOOK_UP_EVERY: Duration = Duration::from_secs(30);

/// How long a question to the brokers may take, in milliseconds.
const ANSWER_WITHIN_MS: i32 = 5_000;

/// How long the first ones may take: what else is told meanwhile (wrong credentials) is looked at in between.
const FIRST_ANSWER_WITHIN_MS: i32 = 1_000;

/// Between two questions that nobody answered.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(250);

/// The thread looks around after so long, whatever bells say.
const LOOK_AROUND: Duration = Duration::from_secs(5);

/// Which offsets are committed, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commits {
    /// None: there is no group.
    Never,
    /// Before messages are handed over.
    Before,
    /// As they are handed over.
    HandedOver,
    /// When they are acknowledged.
    Acknowledged,
}

/// What to read, and how.
pub struct Plan {
    /// Settings of the client.
    pub settings: Settings,
    /// The token that the client shows.
    pub token: Option<Token>,
    /// Topics by name.
    pub topics: Vec<Arc<str>>,
    /// Topics by pattern, instead.
    pub pattern: Option<Regex>,
    /// Where to begin without a place.
    pub reset: OffsetReset,
    /// Places behind which to begin.
    pub began: Vec<Place>,
    /// What is committed.
    pub commits: Commits,
    /// Whether the header of Confluent's serializers is removed.
    pub strips_header: bool,
    /// Whether topics are looked up first.
    pub checks_topics: bool,
}

/// Serves a feed until it is gone, or fails.
pub fn run(plan: Plan, mut remote: RemoteFeed, parts: Parts) {
    let consumer = match Consumer::new(&plan.settings, plan.token.clone(), remote.waker()) {
        Ok(consumer) => consumer,
        Err(error) => {
            tracing::error!(error, "a Kafka consumer cannot be made");
            let _ = remote.send(Delivery::Fault(Fault::new(Cause::BrokerRefused).detail("the client cannot be made")));
            return remote.ring();
        }
    };
    let outlet = Outlet { remote, read: Vec::new() };
    let now = Instant::now();
    let mut reader = Reader {
        topics: plan.topics.clone(),
        intake: Intake::new(parts.clone(), plan.strips_header),
        plan,
        consumer,
        outlet,
        parts,
        assigned: Vec::new(),
        pending: VecDeque::new(),
        committed: 0,
        returned: Vec::new(),
        is_ready: false,
        is_paused: false,
        blocked_since: None,
        room: (0, 0),
        commit_again: None,
        last_commit: now,
        last_look_up: now,
    };
    if let Err(fault) = reader.serve() {
        let _ = reader.outlet.remote.send(Delivery::Fault(fault));
        reader.outlet.remote.ring();
    }
    reader.finish();
}

struct Reader {
    plan: Plan,
    consumer: Consumer,
    outlet: Outlet,
    parts: Parts,
    intake: Intake,
    topics: Vec<Arc<str>>,
    assigned: Vec<Place>,
    /// Polled, and not handed over yet.
    pending: VecDeque<Message>,
    /// How many of them are committed already: these will be handed over whatever happens.
    committed: usize,
    /// What was committed ahead and came back.
    returned: Vec<Position>,
    is_ready: bool,
    is_paused: bool,
    /// Since when nothing can be handed over, and nobody takes what was.
    blocked_since: Option<Instant>,
    /// Free slots and credit when this was looked at last.
    room: (usize, usize),
    /// When a commit that failed is tried again.
    commit_again: Option<Instant>,
    last_commit: Instant,
    last_look_up: Instant,
}

impl Reader {
    /// Ends without a fault when the feed is gone.
    fn serve(&mut self) -> Result<(), Fault> {
        self.begin()?;
        while !self.outlet.remote.is_gone() {
            self.receipts();
            self.commit_acknowledged();
            self.look_up_again();
            self.hand_over();
            self.pace();
            let polls = self.pending.is_empty() || self.is_paused;
            let came = polls && self.poll()?;
            if !came {
                self.wait(polls)?;
            }
        }
        Ok(())
    }

    fn is_grouped(&self) -> bool {
        self.plan.commits != Commits::Never
    }

    /// Asks until there is an answer, or one that says that there will be none. `None`: the feed is gone.
    fn ask<T>(&mut self, question: impl Fn(&Consumer) -> Result<T, Failure>) -> Result<Option<T>, Fault> {
        while !self.outlet.remote.is_gone() {
            match question(&self.consumer) {
                Ok(answer) => return Ok(Some(answer)),
                Err(failure) => {
                    tracing::debug!(%failure, "Kafka does not answer");
                    if let Some(fault) = fault::subscribing(failure.code) {
                        return Err(fault);
                    }
                }
            }
            // Nothing is read yet; but why there is no answer is told here.
            self.poll()?;
            self.outlet.remote.wait(None, Some(ASK_AGAIN_AFTER)).map_err(|_| Fault::new(Cause::Internal))?;
        }
        Ok(None)
    }

    fn begin(&mut self) -> Result<(), Fault> {
        if let Some(pattern) = self.plan.pattern.clone() {
            let Some(topics) = self.ask(|consumer| fitting(consumer, &pattern, FIRST_ANSWER_WITHIN_MS))? else {
                return Ok(());
            };
            self.topics = topics;
        }
        if self.is_grouped() && !self.plan.checks_topics {
            return self.join();
        }
        let topics = self.topics.clone();
        let Some(places) = self.ask(|consumer| partitions(consumer, &topics, FIRST_ANSWER_WITHIN_MS))? else {
            return Ok(());
        };
        if self.is_grouped() {
            return self.join();
        }
        let Some(mut places) = self.ask(|consumer| consumer.ends(&places, FIRST_ANSWER_WITHIN_MS))? else {
            return Ok(());
        };
        self.go_on_from_cursor(&mut places);
        self.consumer.assign(&places).map_err(|failure| refused(&failure))?;
        self.take(places);
        self.ready();
        Ok(())
    }

    fn join(&mut self) -> Result<(), Fault> {
        if self.topics.is_empty() {
            // No topic fits the pattern yet.
            self.ready();
            return Ok(());
        }
        self.consumer.subscribe(&self.topics).map_err(|failure| refused(&failure))
    }

    fn ready(&mut self) {
        if !self.is_ready {
            self.is_ready = true;
            let _ = self.outlet.remote.send(Delivery::Ready);
            self.outlet.remote.ring();
        }
    }

    /// Looks for topics and partitions that were not there before.
    fn look_up_again(&mut self) {
        let grows = self.plan.pattern.is_some() || !self.is_grouped();
        if !grows || self.last_look_up.elapsed() < LOOK_UP_EVERY {
            return;
        }
        self.last_look_up = Instant::now();
        if let Err(failure) = self.grow() {
            tracing::debug!(%failure, "Kafka does not tell of new topics and partitions");
        }
    }

    fn grow(&mut self) -> Result<(), Failure> {
        if let Some(pattern) = &self.plan.pattern {
            let topics = fitting(&self.consumer, pattern, ANSWER_WITHIN_MS)?;
            if self.is_grouped() {
                if topics != self.topics && !topics.is_empty() {
                    self.consumer.subscribe(&topics)?;
                    self.topics = topics;
                }
                return Ok(());
            }
            self.topics = topics;
        }
        let mut places = partitions(&self.consumer, &self.topics, ANSWER_WITHIN_MS)?;
        places.retain(|place| !self.assigned.iter().any(|known| known.is_beside(place)));
        if places.is_empty() {
            return Ok(());
        }
        // All that they hold came after this subscription.
        for place in &mut places {
            place.offset = Place::BEGINNING;
        }
        self.consumer.assign_more(&places)?;
        self.take(places);
        Ok(())
    }

    /// Takes what arrived, and hands it over where nothing has to be done before. Whether anything came.
    fn poll(&mut self) -> Result<bool, Fault> {
        let Self { consumer, intake, pending, outlet, .. } = self;
        let commits = self.plan.commits;
        let max = match outlet.remote.credit() / intake.weight() {
            _ if self.is_paused => 1,
            fit => fit.clamp(1, BATCH_MAX),
        };
        let (mut came, mut moved) = (false, false);
        consumer.poll(max, |record| {
            if record.error() != 0 {
                return intake.failure(&record);
            }
            came = true;
            let message = intake.message(record);
            if commits == Commits::Before || !pending.is_empty() {
                return pending.push_back(message);
            }
            match outlet.hand_over(message, commits) {
                Ok(()) => moved = true,
                Err(message) => pending.push_back(message),
            }
        });
        if moved {
            outlet.remote.ring();
        }
        let failures = intake.finish();
        for failure in failures {
            self.failed(&failure)?;
        }
        for failure in self.consumer.errors() {
            self.troubled(&failure)?;
        }
        for rebalance in self.consumer.rebalances() {
            came = true;
            match rebalance {
                Rebalance::Assign(places) => self.assign(places)?,
                Rebalance::Revoke(places) => self.revoke(&places),
            }
        }
        Ok(came)
    }

    /// A failure that concerns topic, group or partition.
    fn failed(&self, failure: &Failure) -> Result<(), Fault> {
        let of_group = failure.code == code::GROUP_UNAUTHORIZED;
        if of_group && !self.is_grouped() {
            return Ok(());
        }
        tracing::warn!(%failure, "a Kafka consumer");
        let ends = match failure.code {
            // A topic may come back.
            code::UNKNOWN_TOPIC_OR_PARTITION | code::UNKNOWN_TOPIC => !self.is_ready,
            _ => true,
        };
        match fault::subscribing(failure.code) {
            Some(fault) if ends => Err(fault),
            _ => Ok(()),
        }
    }

    /// A failure that concerns connections.
    fn troubled(&mut self, failure: &Failure) -> Result<(), Fault> {
        match failure.code {
            code::FATAL => {
                tracing::error!(%failure, "a Kafka consumer has ended");
                Err(Fault::new(Cause::SubscribeFailed).detail("the client has ended"))
            }
            // A broker that goes down may break a handshake off.
            code::SSL if self.is_ready => Ok(()),
            code => match fault::denied(code) {
                Some(fault) => {
                    tracing::error!(%failure, "a Kafka broker refuses the gateway");
                    Err(fault)
                }
                None => {
                    tracing::info!(%failure, "a Kafka broker is away");
                    if code == code::ALL_BROKERS_DOWN {
                        // Without room for it nobody waits for messages.
                        let _ = self.outlet.remote.send(Delivery::Away(Fault::new(Cause::BrokerUnreachable)));
                        self.outlet.remote.ring();
                    }
                    Ok(())
                }
            },
        }
    }

    fn assign(&mut self, mut places: Vec<Place>) -> Result<(), Fault> {
        if !places.is_empty() {
            self.place(&mut places)?;
        }
        self.consumer.assign(&places).map_err(|failure| refused(&failure))?;
        if self.is_paused {
            self.consumer.pause(&places);
        }
        self.take(places);
        self.ready();
        Ok(())
    }

    fn take(&mut self, places: Vec<Place>) {
        for place in places {
            let part = self.parts.number(&place.topic, place.partition) as usize;
            if self.outlet.read.len() <= part {
                self.outlet.read.resize_with(part + 1, Read::default);
            }
            if let Some(read) = self.outlet.read.get_mut(part) {
                if read.next != Some(place.offset) {
                    *read = Read::default();
                }
                read.is_ours = true;
            }
            self.assigned.retain(|known| !known.is_beside(&place));
            self.assigned.push(place);
        }
    }

    /// Sets where each is read from: an offset, so that whatever is published after the subscription was accepted will come.
    fn place(&mut self, places: &mut Vec<Place>) -> Result<(), Fault> {
        match self.consumer.committed(places, ANSWER_WITHIN_MS) {
            Ok(committed) => *places = committed,
            Err(failure) => {
                tracing::warn!(%failure, "Kafka does not tell what a group has committed");
                places.iter_mut().for_each(|place| place.offset = Place::STORED);
            }
        }
        self.go_on_here(places);
        let is_new = |place: &Place| place.offset == Place::UNKNOWN;
        let new: Vec<Place> = places.iter().filter(|place| is_new(place)).cloned().collect();
        let mut begun = Vec::new();
        if !new.is_empty() {
            match self.plan.reset {
                OffsetReset::Earliest => {
                    places.iter_mut().filter(|place| is_new(place)).for_each(|place| place.offset = Place::BEGINNING);
                }
                OffsetReset::None if self.plan.began.is_empty() => {
                    return Err(fault::subscribing(code::NO_OFFSET).unwrap_or(Fault::new(Cause::SubscribeFailed)));
                }
                OffsetReset::None => {}
                OffsetReset::Latest => match self.consumer.ends(&new, ANSWER_WITHIN_MS) {
                    Ok(ends) => begun = ends,
                    Err(failure) => tracing::warn!(%failure, "Kafka does not tell where partitions end"),
                },
            }
        }
        for end in &begun {
            places.iter_mut().filter(|place| place.is_beside(end)).for_each(|place| place.offset = end.offset);
        }
        // The group's place is where it began from now on, also if nothing is delivered to it before it comes again.
        let seeks = self.go_on_from_cursor(places);
        begun.retain(|end| !seeks.iter().any(|seek| seek.is_beside(end)));
        begun.extend(seeks);
        if !begun.is_empty()
            && let Err(failure) = self.consumer.commit(&begun, true)
        {
            tracing::warn!(%failure, "where a Kafka consumer begins was not committed");
        }
        Ok(())
    }

    /// A partition that comes back is read on where it was left, unless its group is further: what this client has already needs not to be
    /// sent to it again only because somebody else came or went.
    fn go_on_here(&mut self, places: &mut [Place]) {
        if self.plan.commits == Commits::Before {
            return;
        }
        for place in places.iter_mut().filter(|place| place.offset != Place::STORED) {
            let part = self.parts.number(&place.topic, place.partition) as usize;
            let Some(read) = self.outlet.read.get_mut(part) else { continue };
            if let Some(next) = read.next.filter(|next| place.offset <= *next) {
                if place.offset >= 0 {
                    read.ledger.raise(place.offset);
                }
                place.offset = next;
            }
        }
    }

    /// Moves places behind those of the cursor, each once. The moved ones.
    fn go_on_from_cursor(&mut self, places: &mut [Place]) -> Vec<Place> {
        let mut moved = Vec::new();
        self.plan.began.retain(|began| {
            let Some(place) = places.iter_mut().find(|place| place.is_beside(began)) else { return true };
            place.offset = began.offset.saturating_add(1);
            moved.push(place.clone());
            false
        });
        moved
    }

    fn revoke(&mut self, places: &[Place]) {
        self.receipts();
        if !self.consumer.is_lost() {
            self.commit(Some(places), true);
        }
        for place in places {
            let part = self.parts.number(&place.topic, place.partition);
            if let Some(read) = self.outlet.read.get_mut(part as usize) {
                read.is_ours = false;
            }
            // Whoever reads on gets them, unless they were committed already.
            let mut at = 0;
            let committed = self.committed;
            self.pending.retain(|message| {
                at += 1;
                at <= committed || message.position.part != part
            });
        }
        self.assigned.retain(|known| !places.iter().any(|place| place.is_beside(known)));
        if let Err(failure) = self.consumer.unassign(places) {
            tracing::warn!(%failure, "a Kafka consumer cannot give partitions up");
        }
    }

    fn receipts(&mut self) {
        while let Some(receipt) = self.outlet.remote.receipt() {
            let position = match receipt {
                Receipt::Ack(position) => position,
                // The feed was dropped before this was taken.
                Receipt::Nack(position) if self.plan.commits == Commits::Before => {
                    self.returned.push(position);
                    continue;
                }
                // What was not delivered is not committed, so it comes again to whoever reads on.
                Receipt::Nack(_) => continue,
            };
            if let Some(read) = self.outlet.read.get_mut(position.part as usize) {
                read.ledger.acknowledged(position.offset);
            }
        }
    }

    fn commit_acknowledged(&mut self) {
        if self.last_commit.elapsed() >= COMMIT_EVERY && self.is_due() {
            self.commit(None, false);
            self.last_commit = Instant::now();
        }
    }

    fn is_due(&self) -> bool {
        self.outlet.read.iter().any(|read| read.is_ours && read.ledger.is_due())
    }

    /// Commits what was acknowledged, of these partitions or all.
    fn commit(&mut self, only: Option<&[Place]>, last: bool) {
        let mut due = Vec::new();
        for (part, read) in (0..).zip(&mut self.outlet.read).filter(|(_, read)| read.is_ours) {
            let Some((topic, partition)) = self.parts.get(part) else { continue };
            let mut place = Place::new(topic, partition, 0);
            if only.is_some_and(|only| !only.iter().any(|known| known.is_beside(&place))) {
                continue;
            }
            let offset = if last { read.ledger.last_due() } else { read.ledger.take_due() };
            if let Some(offset) = offset {
                place.offset = offset;
                due.push(place);
            }
        }
        if !due.is_empty()
            && let Err(failure) = self.consumer.commit(&due, last)
        {
            tracing::warn!(%failure, "offsets were not committed: messages will come again");
        }
    }

    /// Hands over as much as there is room for.
    fn hand_over(&mut self) {
        let waits = self.commit_again.is_some_and(|at| at > Instant::now());
        if self.plan.commits == Commits::Before && self.committed == 0 && !waits && !self.pending.is_empty() {
            self.commit_ahead();
            // A feed that went meanwhile takes nothing; what was committed for it is given back.
            if self.outlet.remote.is_gone() {
                return;
            }
        }
        let mut moved = false;
        while let Some(message) = self.pending.pop_front() {
            let commits = self.plan.commits;
            let waits = commits == Commits::Before && self.committed == 0;
            if let Err(message) = if waits { Err(message) } else { self.outlet.hand_over(message, commits) } {
                self.pending.push_front(message);
                break;
            }
            moved = true;
            self.committed = self.committed.saturating_sub(1);
        }
        if moved {
            self.outlet.remote.ring();
        }
        let room = (self.outlet.remote.free(), self.outlet.remote.credit());
        let taken = std::mem::replace(&mut self.room, room) != room;
        self.blocked_since = match self.pending.is_empty() {
            true => None,
            false if moved || taken => Some(Instant::now()),
            false => self.blocked_since.or_else(|| Some(Instant::now())),
        };
    }

    /// Commits as many of the pending messages as there is room for. What could not be committed waits: it comes again with the next turn,
    /// or goes to somebody else with its partition.
    fn commit_ahead(&mut self) {
        let (mut credit, free) = (self.outlet.remote.credit(), self.outlet.remote.free());
        let mut places: Vec<Place> = Vec::new();
        let mut count = 0;
        for message in self.pending.iter().take(free) {
            let weight = message.weight();
            // One that is heavier than the window passes alone.
            let fits = weight <= credit || (count == 0 && credit == FEED_WINDOW_BYTES);
            if !fits {
                break;
            }
            credit = credit.saturating_sub(weight);
            count += 1;
            let Some((topic, partition)) = self.parts.get(message.position.part) else { continue };
            let place = Place::new(topic, partition, message.position.offset + 1);
            match places.iter_mut().find(|known| known.is_beside(&place)) {
                Some(known) => known.offset = place.offset,
                None => places.push(place),
            }
        }
        if count == 0 {
            return;
        }
        match self.consumer.commit(&places, true) {
            Ok(()) => {
                self.committed = count;
                self.commit_again = None;
            }
            Err(failure) => {
                tracing::warn!(%failure, "offsets were not committed: messages wait");
                self.commit_again = Some(Instant::now() + ASK_AGAIN_AFTER);
            }
        }
    }

    /// The feed is gone: what was committed and nobody has taken is for the next one.
    fn give_back(&mut self) {
        let pending = self.pending.iter().take(self.committed).map(|message| message.position);
        let mut places: Vec<Place> = Vec::new();
        for position in self.returned.iter().copied().chain(pending) {
            let is_ours = self.outlet.read.get(position.part as usize).is_some_and(|read| read.is_ours);
            let Some((topic, partition)) = self.parts.get(position.part).filter(|_| is_ours) else { continue };
            let place = Place::new(topic, partition, position.offset);
            // The first one of a partition comes first.
            if !places.iter().any(|known| known.is_beside(&place)) {
                places.push(place);
            }
        }
        if !places.is_empty()
            && let Err(failure) = self.consumer.commit(&places, true)
        {
            tracing::warn!(%failure, "messages were committed and not delivered");
        }
    }

    /// Pauses and resumes.
    fn pace(&mut self) {
        let blocked = self.blocked_since.is_some_and(|since| since.elapsed() >= PAUSE_AFTER);
        if blocked && !self.is_paused {
            self.is_paused = true;
            self.consumer.pause(&self.assigned);
            tracing::debug!(topics = ?self.topics, "nobody takes messages: partitions are paused");
        } else if self.is_paused && self.pending.is_empty() && self.outlet.remote.credit() >= RESUME_AT_BYTES {
            self.is_paused = false;
            self.consumer.resume(&self.assigned);
        }
    }

    fn wait(&mut self, polls: bool) -> Result<(), Fault> {
        let mut timeout = LOOK_AROUND;
        if self.is_due() {
            timeout = timeout.min(COMMIT_EVERY.saturating_sub(self.last_commit.elapsed()));
        } else if self.outlet.read.iter().any(|read| read.is_ours && read.ledger.is_waiting()) {
            // Nobody wakes the thread for a receipt.
            timeout = timeout.min(COMMIT_EVERY);
        }
        if let Some(since) = self.blocked_since.filter(|_| !self.is_paused) {
            timeout = timeout.min(PAUSE_AFTER.saturating_sub(since.elapsed()));
        }
        let until_commit = self.commit_again.map(|at| at.saturating_duration_since(Instant::now()));
        let waits_for_broker = until_commit.is_some_and(|until| !until.is_zero()) && !self.pending.is_empty();
        if waits_for_broker {
            timeout = timeout.min(until_commit.unwrap_or_default());
        }
        let weight = match self.pending.front() {
            Some(_) if waits_for_broker => None,
            Some(message) => Some(message.weight()),
            None => self.is_paused.then_some(RESUME_AT_BYTES),
        };
        let Self { outlet: Outlet { remote, .. }, consumer, .. } = self;
        // Rounded up: a wait of nothing would turn around until the time has come.
        let timeout = timeout.max(Duration::from_millis(1));
        remote
            .wait_while(weight, Some(timeout), || !polls || consumer.is_idle())
            .map_err(|_| Fault::new(Cause::Internal).detail("a bell cannot be waited for"))
    }

    fn finish(mut self) {
        self.receipts();
        let grouped = self.is_grouped();
        if grouped && !self.consumer.is_lost() {
            self.commit(None, true);
            self.give_back();
        }
        self.pending.clear();
        let Self { outlet, consumer, intake, .. } = self;
        // Messages in the ring lie in the client's memory.
        drop((outlet, intake));
        if grouped {
            consumer.close();
        }
    }
}

fn refused(failure: &Failure) -> Fault {
    tracing::error!(%failure, "a Kafka consumer cannot subscribe");
    fault::subscribing(failure.code).unwrap_or(Fault::new(Cause::SubscribeFailed))
}
