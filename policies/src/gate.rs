//! How much of something a step may have under way at once.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// A shard's places of one step.
pub struct Gate {
    free: Cell<usize>,
    waiting: RefCell<VecDeque<Waker>>,
}

impl Gate {
    /// A shard's part of `most` places of the whole process; every shard has one at least.
    pub fn new(most: usize, shards: usize) -> Rc<Self> {
        Rc::new(Self { free: Cell::new((most / shards.max(1)).max(1)), waiting: RefCell::default() })
    }

    /// A place, if one is free.
    pub fn try_enter(self: &Rc<Self>) -> Option<Pass> {
        let left = self.free.get().checked_sub(1)?;
        self.free.set(left);
        Some(Pass { gate: self.clone() })
    }

    /// A place, as soon as one is free. Those who wait are exchanges, of which there is a bound.
    pub async fn enter(self: &Rc<Self>) -> Pass {
        poll_fn(|cx| match self.try_enter() {
            Some(pass) => Poll::Ready(pass),
            None => {
                let mut waiting = self.waiting.borrow_mut();
                if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                    waiting.push_back(cx.waker().clone());
                }
                Poll::Pending
            }
        })
        .await
    }
}

/// A place. Dropped, it is free.
pub struct Pass {
    gate: Rc<Gate>,
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.gate.free.set(self.gate.free.get() + 1);
        // Whoever went away without its place has left its waker: all are woken, and the first to come has it.
        let waiting = std::mem::take(&mut *self.gate.waiting.borrow_mut());
        waiting.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::Context;

    use super::*;

    #[test]
    fn a_place_that_is_left_is_taken_again() {
        let gate = Gate::new(2, 1);
        let first = gate.try_enter().unwrap();
        let _second = gate.try_enter().unwrap();
        assert!(gate.try_enter().is_none());
        let mut cx = Context::from_waker(Waker::noop());
        let mut third = pin!(gate.enter());
        assert!(third.as_mut().poll(&mut cx).is_pending());
        drop(first);
        assert!(third.as_mut().poll(&mut cx).is_ready());
        assert_eq!(Gate::new(20, 64).free.get(), 1, "every shard has one");
        assert_eq!(Gate::new(20, 0).free.get(), 20);
    }
}
