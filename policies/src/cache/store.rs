//! Responses that all shards of the process share: bounded in number and in bytes, with the ones that are asked for kept longest.
//!
//! Eviction is a second chance: entries stand in a queue, oldest first; what was asked for since it came to the front goes to the back once
//! more, everything else goes. Each of both is constant work, and a hit writes one bit.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasherDefault;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::stored::Stored;
use crate::clock::now_ms;
use crate::common::Common;
use crate::hashed::{Hashed, Key};

/// Bytes of all responses of one resource, fields included.
pub const STORE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Entries of one resource, whatever its configuration says.
pub const ENTRIES_MAX: usize = 1 << 20;
/// Bytes that an entry takes besides its response.
const ENTRY_BYTES: usize = 256;
/// Calls of one resource that others wait for; further ones are made without anybody waiting.
const FLIGHTS_MAX: usize = 4096;
/// After this long nobody waits for a call any more, whatever became of it.
pub const FLIGHT_MS: u64 = 10_000;

type Table<V> = HashMap<Key, V, BuildHasherDefault<Hashed>>;

/// What a key leads to.
#[derive(Clone, Debug)]
pub enum Value {
    /// A response.
    Response(Arc<Stored>),
    /// Responses that differ by these fields of the request: each has a key of its own.
    Varies(Arc<[Box<str>]>),
    /// Answers that could not be kept: nobody waits for the next one.
    Passes,
}

impl Value {
    fn bytes(&self) -> usize {
        ENTRY_BYTES
            + match self {
                Self::Response(stored) => stored.bytes(),
                Self::Varies(names) => names.iter().map(|name| name.len()).sum(),
                Self::Passes => 0,
            }
    }
}

struct Entry {
    value: Value,
    bytes: usize,
    /// When it goes, and how long after it was asked for last; 0: it does not go for that.
    ends_ms: u64,
    idle_ms: u64,
    asked_ms: u64,
    asked: bool,
    /// Its place in the queue; other places of this key are old.
    turn: u64,
}

impl Entry {
    fn is_over(&self, now_ms: u64) -> bool {
        now_ms >= self.ends_ms || (self.idle_ms > 0 && now_ms.saturating_sub(self.asked_ms) >= self.idle_ms)
    }
}

#[derive(Default)]
struct Inner {
    entries: Table<Entry>,
    queue: VecDeque<(Key, u64)>,
    bytes: usize,
    turns: u64,
    /// Calls that are under way, and when each was begun.
    flights: Table<u64>,
}

impl Inner {
    fn remove(&mut self, key: Key) {
        if let Some(entry) = self.entries.remove(&key) {
            self.bytes -= entry.bytes;
        }
    }

    /// Lets one entry go, or gives it its second chance.
    fn evict(&mut self, now_ms: u64) {
        let Some((key, turn)) = self.queue.pop_front() else { return };
        let Some(entry) = self.entries.get_mut(&key).filter(|entry| entry.turn == turn) else { return };
        if entry.asked && !entry.is_over(now_ms) {
            entry.asked = false;
            self.queue.push_back((key, turn));
        } else {
            self.remove(key);
        }
    }
}

/// The bounds of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bounds {
    /// Most entries.
    pub entries_max: usize,
    /// How long an entry is kept at most; 0: as long as it is fresh.
    pub live_ms: u64,
    /// How long it is kept when nobody asks for it; 0: as long as it is fresh.
    pub idle_ms: u64,
}

/// The responses of one resource.
pub struct Store {
    bounds: Bounds,
    inner: Mutex<Inner>,
    /// Bytes of bodies that are not whole yet.
    reserved: AtomicUsize,
}

impl Store {
    /// The store of a resource, which every shard has and which outlives a reload: `place` tells the API, and other bounds are another
    /// store.
    pub fn shared(place: &str, name: &str, bounds: Bounds) -> Arc<Self> {
        static STORES: Common<Store> = Common::new();
        STORES.of(Key::of(&(place, name, bounds)), || Self::new(bounds))
    }

    fn new(bounds: Bounds) -> Self {
        Self { bounds, inner: Mutex::default(), reserved: AtomicUsize::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is there. It was asked for, then.
    pub fn get(&self, key: Key) -> Option<Value> {
        let now_ms = now_ms();
        let mut inner = self.lock();
        let entry = inner.entries.get_mut(&key)?;
        if entry.is_over(now_ms) {
            inner.remove(key);
            return None;
        }
        (entry.asked, entry.asked_ms) = (true, now_ms);
        Some(entry.value.clone())
    }

    /// Keeps a value for so long; other entries go where there is no room.
    pub fn put(&self, key: Key, value: Value, for_ms: u64) {
        let now_ms = now_ms();
        let bytes = value.bytes();
        let for_ms = if self.bounds.live_ms > 0 { for_ms.min(self.bounds.live_ms) } else { for_ms };
        let mut inner = self.lock();
        inner.remove(key);
        if bytes > STORE_BYTES_MAX || for_ms == 0 {
            return;
        }
        while inner.entries.len() >= self.bounds.entries_max || inner.bytes + bytes > STORE_BYTES_MAX {
            inner.evict(now_ms);
        }
        // Places of keys that were put again wait in the queue until they come to its front; there may be as many as entries.
        while inner.queue.len() >= 2 * self.bounds.entries_max {
            inner.evict(now_ms);
        }
        inner.turns += 1;
        let turn = inner.turns;
        let entry = Entry {
            value,
            bytes,
            ends_ms: now_ms.saturating_add(for_ms),
            idle_ms: self.bounds.idle_ms,
            asked_ms: now_ms,
            asked: false,
            turn,
        };
        inner.bytes += bytes;
        inner.entries.insert(key, entry);
        inner.queue.push_back((key, turn));
    }

    /// Room for a piece of a body that is on its way; such bodies may have as much as all that are kept.
    pub fn reserve(&self, bytes: usize) -> bool {
        let before = self.reserved.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.saturating_add(bytes) <= STORE_BYTES_MAX;
        if !fits {
            self.release(bytes);
        }
        fits
    }

    /// Gives such room back.
    pub fn release(&self, bytes: usize) {
        self.reserved.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Forgets what is there.
    pub fn remove(&self, key: Key) {
        self.lock().remove(key);
    }

    /// Whether the caller is the one who calls the backend, for all who wait. `None`: nobody has to wait for it.
    pub fn take_off(&self, key: Key) -> Option<bool> {
        let now_ms = now_ms();
        let mut inner = self.lock();
        if let Some(begun_ms) = inner.flights.get(&key)
            && now_ms.saturating_sub(*begun_ms) < FLIGHT_MS
        {
            return Some(false);
        }
        if inner.flights.len() >= FLIGHTS_MAX {
            return None;
        }
        inner.flights.insert(key, now_ms);
        Some(true)
    }

    /// Whether somebody calls the backend for it.
    pub fn is_under_way(&self, key: Key) -> bool {
        let begun_ms = self.lock().flights.get(&key).copied();
        begun_ms.is_some_and(|begun_ms| now_ms().saturating_sub(begun_ms) < FLIGHT_MS)
    }

    /// The call that the caller made is over.
    pub fn land(&self, key: Key) {
        self.lock().flights.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn store(entries_max: usize) -> Store {
        Store::new(Bounds { entries_max, live_ms: 0, idle_ms: 0 })
    }

    fn response(body: usize) -> Value {
        Value::Response(Arc::new(Stored { body: Bytes::from(vec![0; body]), ..Stored::default() }))
    }

    fn key(number: usize) -> Key {
        Key::of(&number)
    }

    #[test]
    fn what_is_asked_for_stays_and_nothing_passes_the_bounds() {
        let store = store(100);
        store.put(key(0), response(10), 60_000);
        for number in 1..10_000 {
            assert!(store.get(key(0)).is_some(), "asked for all the time: {number}");
            store.put(key(number), response(10), 60_000);
            let inner = store.lock();
            assert!(inner.entries.len() <= 100 && inner.queue.len() <= 200);
        }
        assert!(store.get(key(1)).is_none());
        // The same key again and again.
        for _ in 0..10_000 {
            store.put(key(0), response(10), 60_000);
        }
        let inner = store.lock();
        assert!(inner.queue.len() <= 200);
        assert_eq!(inner.bytes, inner.entries.values().map(|entry| entry.bytes).sum::<usize>());
    }

    #[test]
    fn bytes_are_bounded_too() {
        let store = store(1 << 20);
        for number in 0..200 {
            store.put(key(number), response(1024 * 1024), 60_000);
            assert!(store.lock().bytes <= STORE_BYTES_MAX);
        }
        assert!(store.get(key(199)).is_some());
        store.put(key(7), response(STORE_BYTES_MAX), 60_000);
        assert!(store.get(key(7)).is_none() && store.get(key(199)).is_some(), "what can never fit drives nothing out");
    }

    #[test]
    fn one_calls_and_the_others_wait() {
        let store = store(10);
        assert_eq!((store.take_off(key(1)), store.take_off(key(1))), (Some(true), Some(false)));
        store.land(key(1));
        assert_eq!(store.take_off(key(1)), Some(true));
        for number in 2..FLIGHTS_MAX + 1 {
            assert_eq!(store.take_off(key(number)), Some(true));
        }
        assert_eq!(store.take_off(key(9_999_999)), None);
    }

    #[test]
    fn a_resource_is_the_same_for_every_shard() {
        let bounds = Bounds { entries_max: 10, live_ms: 0, idle_ms: 0 };
        let first = Store::shared("api", "a", bounds);
        assert!(Arc::ptr_eq(&first, &Store::shared("api", "a", bounds)));
        assert!(!Arc::ptr_eq(&first, &Store::shared("api", "b", bounds)));
        assert!(!Arc::ptr_eq(&first, &Store::shared("other", "a", bounds)));
        assert!(!Arc::ptr_eq(&first, &Store::shared("api", "a", Bounds { entries_max: 11, ..bounds })));
    }
}
