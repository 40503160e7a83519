//! A flag that tasks of one shard can wait for: drain, reload, close.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::slots::Slots;

/// A flag with waiters. Set once, it stays set. Not for other threads: those ring a doorbell.
pub struct Signal {
    set: Cell<bool>,
    waiters: RefCell<Slots<Waker>>,
}

impl Default for Signal {
    fn default() -> Self {
        Self::new()
    }
}

impl Signal {
    /// A flag that is not set.
    pub const fn new() -> Self {
        Self { set: Cell::new(false), waiters: RefCell::new(Slots::new()) }
    }

    /// Sets the flag and wakes whoever waits.
    pub fn set(&self) {
        self.set.set(true);
        // Waking only queues tasks, so nobody borrows the table meanwhile.
        self.waiters.borrow().iter().for_each(Waker::wake_by_ref);
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        self.set.get()
    }

    /// Waits until it is set. Dropping the wait takes its waker back.
    pub fn wait(&self) -> Wait<'_> {
        Wait { signal: self, slot: None }
    }
}

/// See [`Signal::wait`].
pub struct Wait<'a> {
    signal: &'a Signal,
    slot: Option<u32>,
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.signal.is_set() {
            return Poll::Ready(());
        }
        let mut waiters = self.signal.waiters.borrow_mut();
        match self.slot.and_then(|slot| waiters.at(slot)) {
            Some(waker) => waker.clone_from(context.waker()),
            None => {
                let slot = waiters.insert(context.waker().clone());
                drop(waiters);
                self.slot = Some(slot);
            }
        }
        Poll::Pending
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            let waker = self.signal.waiters.borrow_mut().remove(slot);
            // Dropped outside the borrow: the last waker of a task drops the task.
            drop(waker);
        }
    }
}
