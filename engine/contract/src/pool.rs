//! A shard's store of boxed values that are used again and again.

use std::cell::RefCell;
use std::rc::Rc;

/// Most values that a pool keeps; what comes back beyond it is freed.
pub const POOL_KEPT_MAX: usize = 1024;

/// Last-in-first-out, so that the value handed out is the one that the cache still knows.
pub struct Pool<T> {
    kept: Rc<RefCell<Vec<Box<T>>>>,
}

impl<T: Default> Pool<T> {
    /// A cleared value: a kept one, or a new one.
    pub fn take(&self) -> Box<T> {
        self.kept.borrow_mut().pop().unwrap_or_default()
    }

    /// Gives a value back; the caller has cleared it.
    pub fn put(&self, value: Box<T>) {
        let mut kept = self.kept.borrow_mut();
        if kept.len() < POOL_KEPT_MAX {
            kept.push(value);
        }
    }
}

impl<T> Clone for Pool<T> {
    fn clone(&self) -> Self {
        Self { kept: self.kept.clone() }
    }
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self { kept: Rc::default() }
    }
}
