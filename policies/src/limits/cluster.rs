//! Counts that several gateways share, in a Redis.
//!
//! ```text
//!   limit 100      every use asks                     node ── 1 ──▶ Redis: 37 of 100
//!   limit 50,000   uses are leased in batches         node ── 125 ─▶ Redis: 12,375 of 50,000
//!                  and taken from the lease           use, use, use … (no round trip)
//! ```
//!
//! What is leased counts as used, so that no window ever lets more through than its limit. What it may let through *less* is what other
//! nodes have leased and do not use: see [`NODE_PART`] and [`NODE_USES_MAX`]. A lease ends with its window, which ends by Redis' clock.
//! While Redis is away, the node counts for itself (`store`).

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::hash::BuildHasherDefault;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Poll, Waker};

use bytes::Bytes;
use ring::rand::{SecureRandom, SystemRandom};
use ringway_contract::Refusal;
use ringway_contract::kind::Services;

use super::store::{CLOCK_SLACK_MS, Use, Verdict};
use crate::hashed::{Hashed, Key};
use crate::redis::{Away, Redis, Reply, Server};

/// A smaller limit is counted use by use: exactly.
const LEASED_LIMIT_MIN: u64 = 1024;
/// A node leases this part of a limit at most ...
const NODE_PART: u64 = 100;
/// ... and so many uses.
const NODE_USES_MAX: u64 = 1024;
/// Windows that a shard has leases of, or knows to be used up; those beyond are asked about each time.
const LEASES_MAX: usize = 1 << 16;
/// How often one waits for another's batch before it asks for itself.
const WAITS_MAX: usize = 8;
/// Rounds of waiting and asking for one use.
const ROUNDS_MAX: usize = 16;
/// Larger numbers are not whole in a script.
const LIMIT_MAX: u64 = 1 << 53;

/// Takes from a window, which begins with the first use: at least `need` (else nothing), at most `want`, and less where little is left,
/// so that the last uses go to whoever asks. `back` were leased by the node in the window `lease` and are not needed.
/// Answers what was taken, what is left, the milliseconds until the window ends, and which window it is.
const SCRIPT: &str = "\
local limit, span, need, want, back = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local known = redis.call('HMGET', KEYS[1], 'used', 'window')
local used, window = tonumber(known[1] or '0'), known[2] or ARGV[6]
if back > 0 and known[2] == ARGV[7] then
  used = math.max(0, used - back)
  redis.call('HSET', KEYS[1], 'used', string.format('%.0f', used))
end
local left = math.max(0, limit - used)
local taken = math.min(left, want, math.max(need, math.floor(left / 16)))
if taken < need then taken = 0 end
local ends = span
if taken > 0 then
  redis.call('HSET', KEYS[1], 'used', string.format('%.0f', used + taken), 'window', window)
  if not known[2] then redis.call('PEXPIRE', KEYS[1], span) end
end
if known[2] then ends = redis.call('PTTL', KEYS[1]) end
return {taken, left - taken, ends, window}";

static SCRIPTS: [&str; 1] = [SCRIPT];

/// A shard's part of the counting.
pub struct Cluster {
    redis: Rc<Redis>,
    /// SHA-1 of the script, by which it is called.
    script: String,
    prefix: String,
    shards: u64,
    leases: RefCell<HashMap<Key, Lease, BuildHasherDefault<Hashed>>>,
    swept_ms: Cell<u64>,
    /// Windows that begin here are told apart by these: random, and counted on.
    seed: u64,
    begun: Cell<u64>,
}

/// What a shard has of a window.
struct Lease {
    limit: u64,
    starts_ms: u64,
    ends_ms: u64,
    /// Taken from Redis and not used.
    budget: u64,
    /// What Redis had left when it was asked last.
    left: u64,
    window: Bytes,
    /// The connection that told so.
    connection: u64,
    /// Somebody fetches a batch; the others wait.
    flight: Option<Rc<Flight>>,
}

impl Lease {
    fn empty(of: &Use) -> Self {
        let (limit, starts_ms) = (of.limit, of.now_ms);
        Self { limit, starts_ms, ends_ms: 0, budget: 0, left: 0, window: Bytes::new(), connection: 0, flight: None }
    }

    fn covers(&self, now_ms: u64) -> bool {
        now_ms.saturating_add(CLOCK_SLACK_MS) >= self.starts_ms && now_ms < self.ends_ms
    }
}

#[derive(Default)]
struct Flight {
    landed: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
}

impl Flight {
    async fn landed(&self) {
        poll_fn(|cx| {
            if self.landed.get() {
                return Poll::Ready(());
            }
            // Those who wait are exchanges, of which there is a bound.
            self.waiting.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// Whoever fetches a batch. Dropped, it has landed, however it ended.
struct Fetching(Rc<Flight>);

impl Drop for Fetching {
    fn drop(&mut self) {
        self.0.landed.set(true);
        self.0.waiting.take().into_iter().for_each(Waker::wake);
    }
}

thread_local! {
    /// The shard's own: it outlives a reload, and with it the leases.
    static SHARED: RefCell<std::rc::Weak<Cluster>> = const { RefCell::new(std::rc::Weak::new()) };
}

impl Cluster {
    /// The shard's own; `None`: each gateway counts for itself.
    ///
    /// # Errors
    /// The Redis can never be reached.
    pub fn shared(services: &Services) -> Result<Option<Rc<Self>>, Refusal> {
        let Some(settings) = &services.counts else { return Ok(None) };
        if let Some(known) = SHARED.with_borrow(std::rc::Weak::upgrade) {
            return Ok(Some(known));
        }
        let mut seed = [0; 8];
        SystemRandom::new().fill(&mut seed).map_err(|_| Refusal("the system gives no random numbers".into()))?;
        let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, SCRIPT.as_bytes());
        let cluster = Rc::new(Self {
            redis: Redis::shared(Server::of_settings(settings, &SCRIPTS)?, services)?,
            script: digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect(),
            prefix: format!("{}limit:", settings.key_prefix),
            shards: services.shards.max(1) as u64,
            leases: RefCell::default(),
            swept_ms: Cell::new(0),
            seed: u64::from_be_bytes(seed),
            begun: Cell::new(0),
        });
        SHARED.with_borrow_mut(|shared| *shared = Rc::downgrade(&cluster));
        Ok(Some(cluster))
    }

    /// Whether this use has to be counted without it, because it is away.
    pub fn leaves_alone(&self) -> bool {
        let away = self.redis.is_away();
        if away {
            self.redis.figures().alone.fetch_add(1, Relaxed);
        }
        away
    }

    /// The word on a use, where no one need be asked.
    pub fn take(&self, of: &Use) -> Option<Verdict> {
        let mut leases = self.leases.borrow_mut();
        let lease = leases.get_mut(&of.key).filter(|lease| lease.covers(of.now_ms) && lease.limit == of.limit)?;
        if let Some(budget) = lease.budget.checked_sub(of.weight) {
            lease.budget = budget;
            return Some(Verdict {
                within: true,
                remaining: lease.left.saturating_add(budget),
                ends_ms: lease.ends_ms,
            });
        }
        // Nothing comes back to Redis but what another limit has no use for, or when it begins anew.
        (lease.left == 0 && lease.connection == self.redis.connection()).then_some(Verdict {
            within: false,
            remaining: lease.budget,
            ends_ms: lease.ends_ms,
        })
    }

    /// The word on a use, which Redis knows as `name`. `None`: it is away, and the use has to be counted without it.
    pub async fn ask(&self, name: Key, of: &Use) -> Option<Verdict> {
        let mut verdict = None;
        for rounds in 0..ROUNDS_MAX {
            verdict = self.take(of);
            if verdict.is_some() || self.redis.is_away() {
                break;
            }
            let flight = self.leases.borrow().get(&of.key).and_then(|lease| lease.flight.clone());
            match flight.filter(|flight| !flight.landed.get() && rounds < WAITS_MAX) {
                Some(flight) => flight.landed().await,
                None => match self.fetch(name, of).await {
                    Ok(said) => {
                        verdict = Some(said);
                        // What was there when it was asked for was another window's, and enough is there now.
                        if said.within || said.remaining < of.weight {
                            break;
                        }
                    }
                    Err(Away) => {
                        verdict = None;
                        break;
                    }
                },
            }
        }
        if verdict.is_none() {
            self.redis.figures().alone.fetch_add(1, Relaxed);
        }
        verdict
    }

    async fn fetch(&self, name: Key, of: &Use) -> Result<Verdict, Away> {
        let batch = self.batch(of);
        let (mut budget, mut back, mut window, mut fetching) = (0, 0, Bytes::new(), None);
        if let Some(lease) = self.leases.borrow_mut().get_mut(&of.key) {
            let left = std::mem::take(&mut lease.budget);
            if lease.covers(of.now_ms) {
                window = lease.window.clone();
                // What was leased of another limit goes back; Redis has counted it as used.
                *(if lease.limit == of.limit { &mut budget } else { &mut back }) = left;
            }
        }
        if batch > 1 {
            let flight = Rc::new(Flight::default());
            let mut leases = self.leases.borrow_mut();
            leases.entry(of.key).or_insert_with(|| Lease::empty(of)).flight = Some(flight.clone());
            fetching = Some(Fetching(flight));
        }
        let need = of.weight.saturating_sub(budget).max(1);
        let taken = self.call(name, of, need, need.max(batch), back, &window).await?;
        let verdict = self.settle(of, taken, budget, &window);
        // Those who wait look at what is there now.
        drop(fetching);
        Ok(verdict)
    }

    /// Takes the use from what was taken, and keeps the rest.
    fn settle(&self, of: &Use, taken: Taken, budget: u64, before: &[u8]) -> Verdict {
        let Taken { uses, left, ends_ms, window } = taken;
        let connection = self.redis.connection();
        // Of a window that has ended nothing is left.
        let budget = if window == before { budget } else { 0 };
        let mut leases = self.leases.borrow_mut();
        // What somebody else has fetched meanwhile.
        let other = leases.get(&of.key).filter(|lease| lease.window == window && lease.limit == of.limit);
        let there = budget.saturating_add(uses).saturating_add(other.map_or(0, |lease| lease.budget));
        let (within, budget) = there.checked_sub(of.weight).map_or((false, there), |rest| (true, rest));
        let verdict = Verdict { within, remaining: left.saturating_add(budget), ends_ms };
        if budget == 0 && left > 0 {
            // The next use asks, whatever is remembered.
            leases.remove(&of.key);
        } else if leases.contains_key(&of.key) || self.room(&mut leases, of.now_ms) {
            leases.insert(of.key, Lease { ends_ms, budget, left, window, connection, ..Lease::empty(of) });
        }
        verdict
    }

    /// How many uses are fetched at once.
    fn batch(&self, of: &Use) -> u64 {
        if of.limit < LEASED_LIMIT_MIN {
            return 1;
        }
        let mut leases = self.leases.borrow_mut();
        if !leases.contains_key(&of.key) && !self.room(&mut leases, of.now_ms) {
            return 1;
        }
        ((of.limit / NODE_PART).min(NODE_USES_MAX) / self.shards).max(1)
    }

    /// Whether there is room for one lease more. Ended ones are let go, not more often than once per second.
    fn room(&self, leases: &mut HashMap<Key, Lease, BuildHasherDefault<Hashed>>, now_ms: u64) -> bool {
        if leases.len() >= LEASES_MAX && now_ms.abs_diff(self.swept_ms.get()) >= 1000 {
            self.swept_ms.set(now_ms);
            leases.retain(|_, lease| lease.covers(now_ms));
        }
        leases.len() < LEASES_MAX
    }

    async fn call(&self, name: Key, of: &Use, need: u64, want: u64, back: u64, lease: &[u8]) -> Result<Taken, Away> {
        let begun = self.begun.get();
        self.begun.set(begun + 1);
        let fresh = format!("{:016x}{begun:x}", self.seed);
        let span = of.ends_ms.saturating_sub(of.now_ms).clamp(1, LIMIT_MAX);
        let [limit, span_text, need, want_text, back] = [of.limit, span, need, want, back].map(whole);
        let key = format!("{}{}", self.prefix, name.text());
        let parts: [&[u8]; 11] = [
            b"EVALSHA",
            self.script.as_bytes(),
            b"1",
            key.as_bytes(),
            limit.as_bytes(),
            span_text.as_bytes(),
            need.as_bytes(),
            want_text.as_bytes(),
            back.as_bytes(),
            fresh.as_bytes(),
            lease,
        ];
        let reply = self.redis.ask(&parts).await?;
        taken(reply, want, span, of.now_ms).ok_or(Away)
    }
}

fn whole(number: u64) -> String {
    number.min(LIMIT_MAX).to_string()
}

/// What Redis answers.
#[derive(Debug, PartialEq, Eq)]
struct Taken {
    uses: u64,
    left: u64,
    /// Reckoned from before it was asked, so that no lease outlives its window.
    ends_ms: u64,
    window: Bytes,
}

/// `None`: it is no answer to the script.
fn taken(reply: Reply, want: u64, span_ms: u64, asked_ms: u64) -> Option<Taken> {
    let Reply::List(parts) = reply else { return None };
    let [Reply::Int(uses), Reply::Int(left), Reply::Int(ms), Reply::Bytes(window)] = parts.as_slice() else {
        return None;
    };
    let (uses, left) = (u64::try_from(*uses).ok()?, u64::try_from(*left).ok()?);
    let ms = u64::try_from(*ms).unwrap_or(0).min(span_ms);
    (uses <= want && window.len() <= 64).then(|| Taken {
        uses,
        left,
        ends_ms: asked_ms.saturating_add(ms),
        window: Bytes::copy_from_slice(window),
    })
}

#[cfg(test)]
#[path = "cluster_tests.rs"]
mod tests;
