//! One call for all who ask for the same while it is under way.
//!
//! ```text
//!   shard 1   leads ────────────── calls the backend ──▶ keeps it ──▶ lands
//!             waits ─┐                                                  │ woken
//!             waits ─┴──────────────────────────────────────────────────┘
//!   shard 2   leads ── the call is another shard's: looks again every few milliseconds ── finds it
//!             waits ──────────────────────────────────────────────────────── woken by its own
//! ```
//!
//! Within a shard those who wait are woken. A waker must not cross to another shard, so there one of those who wait looks into the store
//! again and again, and wakes the others.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use super::store::Store;
use crate::hashed::Key;

/// The calls that somebody of this shard waits for.
#[derive(Default)]
pub struct Flights {
    under_way: RefCell<HashMap<Key, Rc<Flight>>>,
}

/// A call that is under way.
#[derive(Default)]
pub struct Flight {
    landed: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
}

impl Flight {
    /// Waits until it landed, or `late` is.
    pub async fn landed(&self, mut late: Pin<Box<dyn Future<Output = ()>>>) {
        poll_fn(|cx| {
            if self.landed.get() || late.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let mut waiting = self.waiting.borrow_mut();
            if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                waiting.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }
}

/// What somebody has to do who finds nothing in the store.
pub enum Part {
    /// Call the backend; whoever comes later waits for it.
    Lead(Lead),
    /// Wait for the call of this shard.
    Wait(Rc<Flight>),
}

impl Flights {
    /// Takes part in the call for `key`.
    pub fn join(self: &Rc<Self>, key: Key) -> Part {
        let mut under_way = self.under_way.borrow_mut();
        if let Some(flight) = under_way.get(&key) {
            return Part::Wait(flight.clone());
        }
        let flight = Rc::new(Flight::default());
        under_way.insert(key, flight.clone());
        Part::Lead(Lead { flights: self.clone(), flight, key, store: None })
    }
}

/// Whoever leads. Dropped, the call is over, however it ended.
pub struct Lead {
    flights: Rc<Flights>,
    flight: Rc<Flight>,
    key: Key,
    /// Where the other shards see that it is under way.
    store: Option<Arc<Store>>,
}

impl Lead {
    /// What is called for.
    pub fn key(&self) -> Key {
        self.key
    }

    /// Whether no other shard is calling already; then they see that this one is.
    pub fn take_off(&mut self, store: &Arc<Store>) -> bool {
        match store.take_off(self.key) {
            Some(true) => self.store = Some(store.clone()),
            Some(false) => return false,
            None => {}
        }
        true
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if let Some(store) = &self.store {
            store.land(self.key);
        }
        self.flights.under_way.borrow_mut().remove(&self.key);
        self.flight.landed.set(true);
        for waker in self.flight.waiting.take() {
            waker.wake();
        }
    }
}
