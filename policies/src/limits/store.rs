//! Counts that all shards of the process share: exact, bounded, and without a contended atomic on the busy ones.
//!
//! A [`Window`] is a budget of uses for a span of time. What is taken from it never comes back, so the limit holds whatever the order in
//! which shards get there. A busy window with a large limit is *leased*: each shard takes from a budget of its own, which it fills in
//! batches from the common one and, when that is empty, from those of the other shards. So the limit is reached, too: no
//! budget is lost while anybody asks. A window ends with all its leases.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::hashed::{Hashed, Key};

/// Keys that are counted at once, in the process.
pub const KEYS_MAX: usize = 1 << 20;
/// Windows that are leased at once, in the process; more are counted in one place.
pub const LEASED_MAX: usize = 1 << 14;
/// A window is leased from this limit on ...
const LEASED_LIMIT_MIN: u64 = 1024;
/// ... once it was used so often.
const LEASED_USES_MIN: u64 = 256;
/// Uses that a shard takes from the common budget at once at most.
const BATCH_MAX: u64 = 256;
/// Windows that a shard remembers per policy, to find them without a lock.
const REMEMBERED_MAX: usize = 4096;
const STRIPES: usize = 64;
const LEASES_MAX: usize = 64;
/// A clock that was set back by more than this begins a new window, instead of holding the old one for longer than its period.
pub const CLOCK_SLACK_MS: u64 = 1000;

type Windows = HashMap<Key, Arc<Window>, BuildHasherDefault<Hashed>>;

/// A shard's budget, alone on its cache line.
#[repr(align(64))]
#[derive(Default)]
struct Lease(AtomicU64);

/// A number of uses for a span of time.
struct Window {
    starts_ms: u64,
    ends_ms: u64,
    limit: u64,
    /// Uses before its begin, where the limit changed within the span.
    before: u64,
    /// What there was to take at the begin.
    capacity: u64,
    budget: AtomicU64,
    /// Set before the budget of a window that is replaced within its span is taken out.
    closed: AtomicBool,
    /// Nothing is left, and nothing will come.
    empty: AtomicBool,
    /// Held while budget moves from one place to another, so that whoever holds it sees all of it.
    moving: Mutex<()>,
    leases: OnceLock<Box<[Lease]>>,
    leased: Arc<AtomicUsize>,
}

impl Drop for Window {
    fn drop(&mut self) {
        if self.leases.get().is_some() {
            self.leased.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn take(from: &AtomicU64, at_most: u64) -> u64 {
    let taken =
        from.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| (left > 0).then(|| left - left.min(at_most)));
    taken.map_or(0, |left| left.min(at_most))
}

/// All of it or nothing.
fn take_all(from: &AtomicU64, amount: u64) -> bool {
    from.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(amount)).is_ok()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Window {
    fn covers(&self, now_ms: u64) -> bool {
        now_ms.saturating_add(CLOCK_SLACK_MS) >= self.starts_ms && now_ms < self.ends_ms
    }

    /// A use of this weight, if so much is left.
    fn take(&self, slot: usize, leases: usize, weight: u64) -> bool {
        if self.empty.load(Ordering::Acquire) {
            return false;
        }
        if let Some(leases) = self.leases.get() {
            return self.take_leased(slot, leases, weight);
        }
        if !take_all(&self.budget, weight) {
            // Another shard may just have leased the rest.
            return self.leases.get().is_some_and(|leases| self.take_leased(slot, leases, weight));
        }
        if self.limit >= LEASED_LIMIT_MIN && self.capacity - self.budget.load(Ordering::Relaxed) >= LEASED_USES_MIN {
            self.lease(leases);
        }
        true
    }

    #[cold]
    fn lease(&self, leases: usize) {
        let _moving = lock(&self.moving);
        if self.leases.get().is_none() && self.leased.load(Ordering::Relaxed) < LEASED_MAX {
            self.leased.fetch_add(1, Ordering::Relaxed);
            let _ = self.leases.set((0..leases).map(|_| Lease::default()).collect());
        }
    }

    fn take_leased(&self, slot: usize, leases: &[Lease], weight: u64) -> bool {
        let Some(Lease(own)) = leases.get(slot % leases.len().max(1)) else { return false };
        take_all(own, weight) || self.refill(own, leases, weight)
    }

    /// Takes a use and more for the next ones: from the common budget, else half of what other shards have.
    #[cold]
    fn refill(&self, own: &AtomicU64, leases: &[Lease], weight: u64) -> bool {
        let _moving = lock(&self.moving);
        let batch = (self.capacity / (16 * leases.len() as u64)).clamp(1, BATCH_MAX);
        // `own` is among the leases: it may have been filled meanwhile.
        let mut got = take(&self.budget, batch.max(weight));
        for Lease(other) in leases {
            if got >= weight {
                break;
            }
            got += take(other, other.load(Ordering::Relaxed).div_ceil(2).max(weight - got));
        }
        if got == 0 {
            self.empty.store(true, Ordering::Release);
        }
        // Too little for this use is left for lighter ones.
        let within = got >= weight;
        own.fetch_add(if within { got - weight } else { got }, Ordering::AcqRel);
        within
    }

    /// What is left at about this moment.
    fn remaining(&self) -> u64 {
        let leased = self.leases.get().into_iter().flatten().map(|Lease(lease)| lease.load(Ordering::Relaxed));
        leased.sum::<u64>() + self.budget.load(Ordering::Relaxed)
    }

    /// Takes out all that is left; whoever still holds the window finds it closed.
    fn close(&self) -> u64 {
        let _moving = lock(&self.moving);
        self.closed.store(true, Ordering::SeqCst);
        let leased = self.leases.get().into_iter().flatten().map(|Lease(lease)| lease.swap(0, Ordering::AcqRel));
        leased.sum::<u64>() + self.budget.swap(0, Ordering::AcqRel)
    }
}

/// What is counted, and how far.
#[derive(Clone, Copy, Debug)]
pub struct Use {
    /// Whose use it is.
    pub key: Key,
    /// Uses per window.
    pub limit: u64,
    /// Milliseconds since 1970.
    pub now_ms: u64,
    /// When a window that begins now ends.
    pub ends_ms: u64,
    /// As how many uses it counts: all of them are within the limit, or none is. At least 1.
    pub weight: u64,
}

/// The word on one use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it is within the limit. One that is not is not counted.
    pub within: bool,
    /// Uses that are left.
    pub remaining: u64,
    /// When the window ends, in milliseconds since 1970.
    pub ends_ms: u64,
}

/// No further key can be counted: there are [`KEYS_MAX`] whose windows have not ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

/// What one policy on one shard remembers of the store.
#[derive(Default)]
pub struct Local {
    slot: usize,
    windows: Windows,
}

impl Local {
    /// That of the calling thread.
    pub fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local!(static SLOT: usize = NEXT.fetch_add(1, Ordering::Relaxed));
        Self { slot: SLOT.with(|slot| *slot), windows: Windows::default() }
    }
}

#[derive(Default)]
struct Stripe {
    windows: Windows,
    /// Ended windows are let go when there are so many.
    sweep_at: usize,
    /// And when the stripe is full, though not more often than once per second.
    swept_ms: u64,
}

impl Stripe {
    /// Whether there is room for one more.
    fn room(&mut self, max: usize, now_ms: u64) -> bool {
        let count = self.windows.len();
        let due = if count >= max { now_ms.abs_diff(self.swept_ms) >= 1000 } else { count >= self.sweep_at.max(64) };
        if due {
            self.windows.retain(|_, window| window.covers(now_ms));
            self.swept_ms = now_ms;
            self.sweep_at = self.windows.len() * 2;
        }
        self.windows.len() < max
    }
}

/// The counts.
pub struct Store {
    stripes: Box<[Mutex<Stripe>]>,
    stripe_max: usize,
    leases: usize,
    leased: Arc<AtomicUsize>,
}

impl Store {
    /// For so many keys and shards.
    pub fn new(keys_max: usize, shards: usize) -> Self {
        Self {
            stripes: (0..STRIPES).map(|_| Mutex::default()).collect(),
            stripe_max: keys_max.div_ceil(STRIPES),
            leases: shards.next_power_of_two().min(LEASES_MAX),
            leased: Arc::default(),
        }
    }

    /// That of the process.
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<Store> = LazyLock::new(|| {
            Store::new(KEYS_MAX, std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
        });
        &SHARED
    }

    /// Counts one use.
    ///
    /// # Errors
    /// The key is new, and there is no room for it.
    pub fn count(&self, local: &mut Local, of: Use) -> Result<Verdict, Full> {
        if let Some(window) = local.windows.get(&of.key).filter(|it| it.covers(of.now_ms) && it.limit == of.limit) {
            let within = window.take(local.slot, self.leases, of.weight);
            if within || !window.closed.load(Ordering::SeqCst) {
                return Ok(verdict(window, within, of.weight));
            }
        }
        let (window, within) = self.find(local.slot, of)?;
        if local.windows.len() >= REMEMBERED_MAX {
            local.windows.clear();
        }
        let verdict = verdict(&window, within, of.weight);
        local.windows.insert(of.key, window);
        Ok(verdict)
    }

    fn find(&self, slot: usize, of: Use) -> Result<(Arc<Window>, bool), Full> {
        let stripe = of.key.high() as usize % self.stripes.len().max(1);
        let mut stripe = self.stripes.get(stripe).map(lock).ok_or(Full)?;
        let known = stripe.windows.get(&of.key).filter(|window| window.covers(of.now_ms)).cloned();
        let window = match known {
            Some(window) if window.limit == of.limit => window,
            Some(window) => {
                // Another limit than before: what was used stays used.
                let used = window.before + (window.capacity - window.close());
                self.window(of, window.starts_ms, window.ends_ms, used)
            }
            None if stripe.windows.contains_key(&of.key) || stripe.room(self.stripe_max, of.now_ms) => {
                self.window(of, of.now_ms, of.ends_ms, 0)
            }
            None => return Err(Full),
        };
        stripe.windows.insert(of.key, window.clone());
        // Taken under the lock: nobody replaces it meanwhile.
        let within = window.take(slot, self.leases, of.weight);
        Ok((window, within))
    }

    fn window(&self, of: Use, starts_ms: u64, ends_ms: u64, before: u64) -> Arc<Window> {
        let capacity = of.limit.saturating_sub(before);
        Arc::new(Window {
            starts_ms,
            ends_ms,
            limit: of.limit,
            before,
            capacity,
            budget: AtomicU64::new(capacity),
            closed: AtomicBool::new(false),
            empty: AtomicBool::new(false),
            moving: Mutex::new(()),
            leases: OnceLock::new(),
            leased: self.leased.clone(),
        })
    }

    /// Keys that are held.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.stripes.iter().map(|stripe| lock(stripe).windows.len()).sum()
    }
}

fn verdict(window: &Window, within: bool, weight: u64) -> Verdict {
    // Where one use is too much, nothing is left.
    let remaining = if within || weight > 1 { window.remaining() } else { 0 };
    Verdict { within, remaining, ends_ms: window.ends_ms }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
