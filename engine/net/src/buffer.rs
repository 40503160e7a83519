//! Buffers that a shard lends: last in first out, so that the one that is warm in the cache is used again.

use std::cell::{Cell, RefCell};

use bytes::BytesMut;

/// A class of buffers.
struct Class {
    /// Capacity of each.
    bytes: usize,
    /// How many are kept at most when nobody uses them.
    kept_max: usize,
    kept: RefCell<Vec<BytesMut>>,
}

/// What a read of a head or a small body uses.
const SMALL_BYTES: usize = 16 * 1024;
/// What bulk bodies use: through 16 KiB a body of 100 KiB costs a third more than through this.
const LARGE_BYTES: usize = 128 * 1024;

/// 16 MiB.
const SMALL_KEPT_MAX: usize = 1024;
/// What is kept of them when connections became quiet: 128 KiB.
const SMALL_KEPT_QUIET: usize = 8;
/// 8 MiB.
const LARGE_KEPT_MAX: usize = 64;

/// The buffers of a shard. What is kept has a bound; what is lent is bounded by who borrows (connections and their
/// limits).
pub struct Buffers {
    small: Class,
    large: Class,
    taken: Cell<u64>,
    made: Cell<u64>,
    returned: Cell<u64>,
    dropped: Cell<u64>,
}

/// Figures for metrics; all but `kept` and `kept_bytes` only grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuffersCount {
    /// Buffers that wait to be lent.
    pub kept: usize,
    /// Their capacity.
    pub kept_bytes: usize,
    /// Buffers lent.
    pub taken: u64,
    /// Of these, how many had to be allocated.
    pub made: u64,
    /// Buffers that came back, whether kept or dropped.
    pub returned: u64,
    /// Of these, how many were dropped: of no class, shared, or more than are kept.
    pub dropped: u64,
}

impl Buffers {
    pub(crate) fn new() -> Self {
        let class = |bytes, kept_max| Class { bytes, kept_max, kept: RefCell::new(Vec::with_capacity(kept_max)) };
        Self {
            small: class(SMALL_BYTES, SMALL_KEPT_MAX),
            large: class(LARGE_BYTES, LARGE_KEPT_MAX),
            taken: Cell::new(0),
            made: Cell::new(0),
            returned: Cell::new(0),
            dropped: Cell::new(0),
        }
    }

    /// An empty buffer of 16 KiB.
    pub fn take(&self) -> BytesMut {
        self.take_of(&self.small)
    }

    /// An empty buffer of 128 KiB, for bulk bodies.
    pub fn take_large(&self) -> BytesMut {
        self.take_of(&self.large)
    }

    /// Takes a buffer back. Its contents are forgotten; one that was advanced or split and is whole again is repaired
    /// without an allocation; one that is shared, or was never of a class, is dropped.
    pub fn put(&self, mut buffer: BytesMut) {
        if buffer.capacity() == 0 {
            return;
        }
        self.returned.set(self.returned.get() + 1);
        buffer.clear();
        for class in [&self.large, &self.small] {
            if !buffer.try_reclaim(class.bytes) {
                continue;
            }
            let mut kept = class.kept.borrow_mut();
            // A buffer that grew past its class would break the bound in bytes.
            if buffer.capacity() <= class.bytes + class.bytes / 8 && kept.len() < class.kept_max {
                kept.push(buffer);
                return;
            }
            break;
        }
        self.dropped.set(self.dropped.get() + 1);
    }

    /// Drops small buffers that nobody uses but the warmest few: connections that became quiet have given theirs back, and may not come
    /// again.
    pub fn trim(&self) {
        let mut kept = self.small.kept.borrow_mut();
        let surplus = kept.len().saturating_sub(SMALL_KEPT_QUIET);
        kept.drain(..surplus);
    }

    /// Figures.
    pub fn count(&self) -> BuffersCount {
        let classes = [&self.small, &self.large];
        BuffersCount {
            kept: classes.iter().map(|class| class.kept.borrow().len()).sum(),
            kept_bytes: classes.iter().map(|class| class.kept.borrow().len() * class.bytes).sum(),
            taken: self.taken.get(),
            made: self.made.get(),
            returned: self.returned.get(),
            dropped: self.dropped.get(),
        }
    }

    fn take_of(&self, class: &Class) -> BytesMut {
        self.taken.set(self.taken.get() + 1);
        if let Some(buffer) = class.kept.borrow_mut().pop() {
            return buffer;
        }
        self.made.set(self.made.get() + 1);
        BytesMut::with_capacity(class.bytes)
    }
}

#[cfg(test)]
mod tests {
    use bytes::{Buf, BytesMut};

    use super::{Buffers, LARGE_BYTES, SMALL_BYTES, SMALL_KEPT_MAX};

    #[test]
    fn the_last_one_back_is_the_first_one_lent() {
        let buffers = Buffers::new();
        let (first, second) = (buffers.take(), buffers.take());
        let address = second.as_ptr();
        buffers.put(first);
        buffers.put(second);
        assert_eq!(buffers.take().as_ptr(), address);
        assert_eq!(buffers.count().made, 2);
    }

    #[test]
    fn an_advanced_buffer_comes_back_whole() {
        let buffers = Buffers::new();
        let mut buffer = buffers.take();
        buffer.extend_from_slice(&[7; 1000]);
        buffer.advance(900);
        let address = buffer.as_ptr() as usize;
        buffers.put(buffer);
        let again = buffers.take();
        assert_eq!((again.len(), again.capacity(), again.as_ptr() as usize), (0, SMALL_BYTES, address - 900));
    }

    #[test]
    fn a_split_buffer_is_kept_only_when_it_is_whole_again() {
        let buffers = Buffers::new();
        let mut buffer = buffers.take();
        buffer.extend_from_slice(b"head");
        let head = buffer.split();
        buffers.put(buffer);
        assert_eq!((buffers.count().kept, buffers.count().dropped), (0, 1), "the other half is still out");
        buffers.put(head);
        assert_eq!(buffers.count().kept, 1, "the only half left is the whole");
    }

    #[test]
    fn buffers_of_no_class_and_of_too_many_are_dropped() {
        let buffers = Buffers::new();
        buffers.put(BytesMut::with_capacity(100));
        buffers.put(BytesMut::with_capacity(LARGE_BYTES * 2));
        buffers.put(BytesMut::new());
        assert_eq!((buffers.count().kept, buffers.count().dropped), (0, 2));
        let many: Vec<_> = (0..SMALL_KEPT_MAX + 3).map(|_| buffers.take()).collect();
        many.into_iter().for_each(|buffer| buffers.put(buffer));
        assert_eq!((buffers.count().kept, buffers.count().dropped), (SMALL_KEPT_MAX, 5));
    }
}
