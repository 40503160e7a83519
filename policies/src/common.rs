//! What all shards of the process have in common of a step or a resource.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::hashed::Key;

/// Values by what they belong to. One lives as long as a shard has it; it outlives a reload that keeps what it belongs to.
pub struct Common<T>(Mutex<Option<HashMap<Key, Weak<T>>>>);

impl<T> Common<T> {
    /// None yet.
    pub const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// The one of `key`, made if there is none.
    pub fn of(&self, key: Key, make: impl FnOnce() -> T) -> Arc<T> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get_or_insert_default();
        if let Some(value) = known.get(&key).and_then(Weak::upgrade) {
            return value;
        }
        known.retain(|_, value| value.strong_count() > 0);
        let value = Arc::new(make());
        known.insert(key, Arc::downgrade(&value));
        value
    }
}
