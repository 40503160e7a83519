//! Dictionaries: tables of texts that expressions read. All shards read the same table; who changes it replaces it whole.

use std::cell::{Cell, Ref, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

/// The entries of a dictionary.
pub type Entries = HashMap<String, String>;

/// A dictionary, as all shards share it.
#[derive(Debug, Default)]
pub struct Dictionary {
    /// How often it was replaced. Shards look at this alone, until it changes.
    version: AtomicU64,
    entries: Mutex<Arc<Entries>>,
}

impl Dictionary {
    /// One with these entries.
    pub fn new(entries: Entries) -> Self {
        Self { version: AtomicU64::new(0), entries: Mutex::new(Arc::new(entries)) }
    }

    /// Gives it other entries.
    pub fn replace(&self, entries: Entries) {
        *self.lock() = Arc::new(entries);
        self.version.fetch_add(1, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Entries>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The dictionaries that a shard's expressions see. Clones are the same.
#[derive(Clone, Default)]
pub struct Dictionaries(Rc<RefCell<HashMap<String, Seen>>>);

/// A dictionary as the shard last saw it.
struct Seen {
    dictionary: Arc<Dictionary>,
    version: Cell<u64>,
    entries: RefCell<Arc<Entries>>,
}

impl Seen {
    fn new(dictionary: Arc<Dictionary>) -> Self {
        // The version first: entries that are newer than it are only read once more.
        let version = Cell::new(dictionary.version.load(Ordering::Acquire));
        let entries = RefCell::new(dictionary.lock().clone());
        Self { dictionary, version, entries }
    }

    /// The entries as they are now.
    fn entries(&self) -> Ref<'_, Arc<Entries>> {
        let version = self.dictionary.version.load(Ordering::Acquire);
        if version != self.version.get() {
            // The only lock, and only after a change: whoever holds it swaps or copies one pointer.
            let entries = self.dictionary.lock().clone();
            self.entries.replace(entries);
            self.version.set(version);
        }
        self.entries.borrow()
    }
}

impl Dictionaries {
    /// Puts these in the place of those before.
    pub fn put(&self, dictionaries: impl IntoIterator<Item = (String, Arc<Dictionary>)>) {
        let seen = dictionaries.into_iter().map(|(id, dictionary)| (id, Seen::new(dictionary))).collect();
        self.0.replace(seen);
    }

    /// An entry; `None` when there is none.
    pub fn text(&self, id: &str, key: &str) -> Option<String> {
        self.0.borrow().get(id)?.entries().get(key).cloned()
    }

    /// The names of all, in their order.
    pub fn ids(&self) -> Vec<String> {
        let mut ids: Vec<String> = self.0.borrow().keys().cloned().collect();
        ids.sort_unstable();
        ids
    }

    /// The keys of one, in their order; `None` when there is no such.
    pub fn keys(&self, id: &str) -> Option<Vec<String>> {
        let mut keys: Vec<String> = self.0.borrow().get(id)?.entries().keys().cloned().collect();
        keys.sort_unstable();
        Some(keys)
    }
}

impl fmt::Debug for Dictionaries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.borrow().keys()).finish()
    }
}

/// The entries that a JSON document has: an object of texts, or a list of objects with `key` and `value`. What is no text is taken as its
/// JSON; null is no entry.
///
/// # Errors
/// It is something else: what.
pub fn entries(json: &[u8]) -> Result<Entries, String> {
    let said: Value = serde_json::from_slice(json).map_err(|error| format!("the answer is no JSON: {error}"))?;
    let text = |value: Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    };
    match said {
        Value::Object(fields) => Ok(fields.into_iter().filter_map(|(key, value)| Some((key, text(value)?))).collect()),
        Value::Array(items) => {
            let mut entries = Entries::with_capacity(items.len());
            for mut item in items {
                let mut field = |name: &str| item.get_mut(name).map(Value::take).and_then(text);
                let Some(key) = field("key") else { return Err("an item of the answer has no `key`".into()) };
                if let Some(value) = field("value") {
                    entries.insert(key, value);
                }
            }
            Ok(entries)
        }
        _ => Err("the answer is neither an object nor a list".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<const N: usize>(pairs: [(&str, &str); N]) -> Entries {
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn what_is_replaced_is_seen_at_the_next_look() {
        let shared = Arc::new(Dictionary::new(of([("FR", "France")])));
        let (one, other) = (Dictionaries::default(), Dictionaries::default());
        for shard in [&one, &other] {
            shard.put([("countries".to_owned(), shared.clone())]);
        }
        let lent = one.clone();
        assert_eq!(lent.text("countries", "FR").as_deref(), Some("France"));
        assert_eq!((lent.ids(), lent.keys("countries")), (vec!["countries".to_owned()], Some(vec!["FR".to_owned()])));
        shared.replace(of([("DE", "Germany")]));
        for shard in [&one, &other] {
            assert_eq!(shard.keys("countries"), Some(vec!["DE".to_owned()]));
            assert_eq!((shard.text("countries", "FR"), shard.keys("cities")), (None, None));
            assert_eq!(shard.text("countries", "DE").as_deref(), Some("Germany"));
        }
        one.put([]);
        assert_eq!((lent.text("countries", "DE"), other.text("cities", "DE")), (None, None));
    }

    #[test]
    fn answers_are_objects_or_lists_of_entries() {
        let read = |json: &str| entries(json.as_bytes());
        assert_eq!(
            read(r#"{"a": "1", "b": 2, "c": null, "d": [true]}"#),
            Ok(of([("a", "1"), ("b", "2"), ("d", "[true]")]))
        );
        assert_eq!(
            read(r#"[{"key": "a", "value": "1"}, {"key": 7, "value": "x", "more": 1}, {"key": "n"}]"#),
            Ok(of([("a", "1"), ("7", "x")]))
        );
        for (json, reason) in
            [("{", "no JSON"), ("7", "neither"), ("[1]", "no `key`"), (r#"[{"value": 1}]"#, "no `key`")]
        {
            assert!(read(json).is_err_and(|told| told.contains(reason)), "{json}");
        }
    }
}
