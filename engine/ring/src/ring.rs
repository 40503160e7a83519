//! A bounded lock-free ring of owned values for one producer and one consumer.
//!
//! ```text
//!             head (consumer)            tail (producer)
//!               │                          │
//!   ┌─────┬─────┼─────┬─────┬─────┬─────┬──┼──┬─────┐
//!   │     │     │  a  │  b  │  c  │  d  │     │     │     slot of index i: i & (capacity - 1)
//!   └─────┴─────┴─────┴─────┴─────┴─────┴─────┴─────┘
//!                                 │
//!                     tail_seen: the consumer's copy, renewed only when it has caught up with it
//! ```
//!
//! Indices only ever grow (and wrap as integers do), so `tail - head` is the length, and full and empty need no spare
//! slot. Each side writes its own index with release and reads the other's with acquire, and keeps a copy of the
//! other's to leave that cache line alone. On one thread all of this is plain moves.

use std::fmt;
use std::mem::MaybeUninit;

use crate::prefetch::Extent;
use crate::sync::{Arc, AtomicBool, AtomicUsize, Ordering, UnsafeCell, fence};

/// The most slots a ring may have; [`ring`] gives no more, however many it is asked for.
pub const SLOTS_MAX: usize = 1 << 20;

/// Makes a ring of at least `slots` slots: rounded up to a power of two, within 1 and [`SLOTS_MAX`].
///
/// Both ends may go to other threads when `T` may, and stay on one thread when it may not.
pub fn ring<T>(slots: usize) -> (Producer<T>, Consumer<T>) {
    let capacity = slots.clamp(1, SLOTS_MAX).next_power_of_two();
    let shared = Arc::new(Shared {
        producer: Line(ProducerLine {
            tail: AtomicUsize::new(0),
            waits: AtomicBool::new(false),
            waits_for: AtomicUsize::new(0),
            gone: AtomicBool::new(false),
        }),
        consumer: Line(ConsumerLine {
            head: AtomicUsize::new(0),
            granted: AtomicUsize::new(0),
            gone: AtomicBool::new(false),
        }),
        slots: (0..capacity).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect(),
    });
    let producer = Producer { shared: Arc::clone(&shared), tail: 0, head_seen: 0 };
    (producer, Consumer { shared, head: 0, tail_seen: 0 })
}

/// The end that pushes. Dropping it publishes what was staged and closes the ring.
pub struct Producer<T> {
    shared: Arc<Shared<T>>,
    /// Index of the next slot to fill; at or ahead of the published one by what is staged.
    tail: usize,
    /// The consumer's index as last seen: never ahead of the real one, so room is never overestimated.
    head_seen: usize,
}

/// The end that pops. Dropping it drops what is in the ring and closes it.
pub struct Consumer<T> {
    shared: Arc<Shared<T>>,
    /// Index of the next slot to empty; at or ahead of the published one by what a batch has taken.
    head: usize,
    /// The producer's index as last seen: never ahead of the real one.
    tail_seen: usize,
}

/// Values taken one after another whose slots go back to the producer together, when this is dropped.
pub struct Batch<'a, T> {
    consumer: &'a mut Consumer<T>,
    left: usize,
}

/// A slot that nothing is in.
pub(crate) struct Vacancy<'a, T> {
    slot: &'a UnsafeCell<MaybeUninit<T>>,
    tail: &'a mut usize,
}

impl<T> Vacancy<'_, T> {
    /// Stages a value in it.
    #[inline(always)]
    pub(crate) fn fill(self, value: T) {
        self.slot.with_mut(|slot| {
            // SAFETY: `tail - head < capacity` when this was made, so the consumer has given the slot back (its release of `head` was
            // acquired then or earlier), and it does not read it before `publish`. There is no other producer, and none has staged since:
            // `&mut`.
            unsafe { (*slot).write(value) };
        });
        *self.tail = self.tail.wrapping_add(1);
    }
}

impl<T> Producer<T> {
    /// Appends a value and lets the consumer see it.
    ///
    /// # Errors
    /// The value comes back when every slot is taken. A ring whose consumer is gone fills up like any other:
    /// ask [`is_closed`](Self::is_closed).
    #[inline]
    pub fn push(&mut self, value: T) -> Result<(), T> {
        self.stage(value)?;
        self.publish();
        Ok(())
    }

    /// Appends a value that the consumer does not see before the next [`publish`](Self::publish).
    ///
    /// # Errors
    /// The value comes back when every slot is taken.
    #[inline]
    pub fn stage(&mut self, value: T) -> Result<(), T> {
        match self.vacancy() {
            Some(vacancy) => {
                vacancy.fill(value);
                Ok(())
            }
            None => Err(value),
        }
    }

    /// The next free slot. A large value is better asked for room before it is made than moved about to be given back.
    #[inline(always)]
    pub(crate) fn vacancy(&mut self) -> Option<Vacancy<'_, T>> {
        if self.tail.wrapping_sub(self.head_seen) == self.capacity() {
            self.head_seen = self.shared.consumer.0.head.load(Ordering::Acquire);
            if self.tail.wrapping_sub(self.head_seen) == self.capacity() {
                return None;
            }
        }
        // Looked for before there is a value: nothing that might fail stands between a value and its place.
        Some(Vacancy { slot: self.shared.slot(self.tail), tail: &mut self.tail })
    }

    /// Lets the consumer see everything that was staged, with one store.
    #[inline]
    pub fn publish(&mut self) {
        self.shared.producer.0.tail.store(self.tail, Ordering::Release);
    }

    /// Appends what fits, publishes once, and says how many values that were. The rest stays in the iterator.
    pub fn push_batch(&mut self, values: &mut impl Iterator<Item = T>) -> usize {
        let before = self.tail;
        while let Some(vacancy) = self.vacancy() {
            let Some(value) = values.next() else { break };
            vacancy.fill(value);
        }
        self.publish();
        self.tail.wrapping_sub(before)
    }

    /// Slots of the ring.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.shared.slots.len()
    }

    /// Values in the ring, staged ones included. The consumer may be taking some right now: at most this many.
    #[inline]
    pub fn len(&self) -> usize {
        self.tail.wrapping_sub(self.shared.consumer.0.head.load(Ordering::Acquire))
    }

    /// Whether nothing is in the ring, nor staged.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Slots that can be filled now: at least this many pushes succeed.
    #[inline]
    pub fn free(&self) -> usize {
        self.capacity() - self.len()
    }

    /// Whether the consumer is gone: what is pushed now is dropped with the ring.
    ///
    /// Asked behind a full fence after a push ([`Ringer::ring`](crate::Ringer::ring) has one), `false` is a promise: the consumer takes
    /// what was pushed, or drops it when it goes. So a value that keeps somebody waiting is never stuck in a ring that nobody reads: when
    /// this says `true`, drop the producer, and the ring with it.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.shared.consumer.0.gone.load(Ordering::Acquire)
    }

    /// A number that changes whenever either side moved. See [`Consumer::moves`].
    #[inline]
    pub fn moves(&self) -> usize {
        self.shared.moves()
    }

    /// Says how many free slots the producer waits for; 0: it does not (`link` only).
    #[inline]
    pub(crate) fn set_waits(&mut self, slots: usize) {
        let ProducerLine { waits, waits_for, .. } = &self.shared.producer.0;
        if slots == 0 && !waits.load(Ordering::Relaxed) {
            return;
        }
        let head = self.tail.wrapping_sub(self.capacity()).wrapping_add(slots.min(self.capacity()));
        waits_for.store(head, Ordering::Relaxed);
        waits.store(slots > 0, Ordering::Relaxed);
        // Between the stores above and the loads of `head` and `granted` that follow; pairs with the fence in `producer_waits`.
        fence(Ordering::SeqCst);
    }

    /// The consumer's count of granted bytes (`link` only).
    #[inline]
    pub(crate) fn granted(&self) -> usize {
        self.shared.consumer.0.granted.load(Ordering::Acquire)
    }
}

impl<T> Consumer<T> {
    /// Where the ring lies in memory: its indices and its slots.
    pub fn extents(&self) -> [Extent; 2] {
        [Extent::of(&*self.shared, usize::MAX), Extent::of(&*self.shared.slots, usize::MAX)]
    }

    /// Takes the oldest value and gives its slot back.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        let value = self.take()?;
        self.release();
        Some(value)
    }

    /// Takes up to `max` values one after another; their slots go back with one store when the batch is dropped.
    #[inline]
    pub fn pop_batch(&mut self, max: usize) -> Batch<'_, T> {
        Batch { consumer: self, left: max }
    }

    /// Slots of the ring.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.shared.slots.len()
    }

    /// Values that can be taken now: at least this many pops succeed.
    #[inline]
    pub fn len(&self) -> usize {
        self.shared.producer.0.tail.load(Ordering::Acquire).wrapping_sub(self.head)
    }

    /// Whether there is nothing to take.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Slots that hold nothing. The producer may be filling some right now: at most this many.
    #[inline]
    pub fn free(&self) -> usize {
        self.capacity() - self.len()
    }

    /// Whether the producer is gone. What it published is still there: a `None` of [`pop`](Self::pop) *after* this said
    /// true is the end.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.shared.producer.0.gone.load(Ordering::Acquire)
    }

    /// A number that changes whenever either side moved: pushed, popped, granted credit, or went away.
    ///
    /// It is for two halves that one task polls in turn: as long as the number changes, the other half has a reason to
    /// be polled again. Only equality means something. It is not for two threads, which need a
    /// [`doorbell`](crate::doorbell()).
    #[inline]
    pub fn moves(&self) -> usize {
        self.shared.moves()
    }

    /// Whether the producer waits, and for no more slots than are free (`link` only).
    #[inline]
    pub(crate) fn producer_waits(&self) -> bool {
        let ProducerLine { waits, waits_for, .. } = &self.shared.producer.0;
        // Between the stores of `head` and `granted` before and the loads below; pairs with the fence in `set_waits`.
        fence(Ordering::SeqCst);
        waits.load(Ordering::Relaxed) && self.head.wrapping_sub(waits_for.load(Ordering::Relaxed)).cast_signed() >= 0
    }

    /// Sets the count of granted bytes (`link` only).
    #[inline]
    pub(crate) fn set_granted(&mut self, granted: usize) {
        self.shared.consumer.0.granted.store(granted, Ordering::Release);
    }

    #[inline]
    fn take(&mut self) -> Option<T> {
        if self.head == self.tail_seen {
            self.tail_seen = self.shared.producer.0.tail.load(Ordering::Acquire);
            if self.head == self.tail_seen {
                return None;
            }
        }
        let value = self.shared.slot(self.head).with(|slot| {
            // SAFETY: `head` is behind a published `tail` that was acquired, so the slot was written and the producer
            // leaves it alone until `release` passes it. `head` moves on below, so it is read once. There is no other
            // consumer: `&mut self`.
            unsafe { (*slot).assume_init_read() }
        });
        self.head = self.head.wrapping_add(1);
        Some(value)
    }

    #[inline]
    fn release(&mut self) {
        self.shared.consumer.0.head.store(self.head, Ordering::Release);
    }
}

impl<T> Iterator for Batch<'_, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        self.consumer.take()
    }
}

// A batch that is leaked keeps its slots only until the next release, which covers them.
impl<T> Drop for Batch<'_, T> {
    fn drop(&mut self) {
        self.consumer.release();
    }
}

impl<T> Drop for Producer<T> {
    fn drop(&mut self) {
        self.publish();
        self.shared.producer.0.gone.store(true, Ordering::Release);
    }
}

impl<T> Drop for Consumer<T> {
    fn drop(&mut self) {
        self.shared.consumer.0.gone.store(true, Ordering::Release);
        // Between the store above and the load of `tail` below; pairs with the fence of a producer that has pushed and then asks
        // `is_closed`: one of the two sees the other.
        fence(Ordering::SeqCst);
        // Payloads are freed now, not when the producer finds out. What it pushes meanwhile goes with `Shared`: to wait
        // for the end of that would have no bound.
        self.pop_batch(self.len()).for_each(drop);
    }
}

impl<T> fmt::Debug for Producer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("len", &self.len()).field("capacity", &self.capacity()).finish()
    }
}

impl<T> fmt::Debug for Consumer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("len", &self.len()).field("capacity", &self.capacity()).finish()
    }
}

/// What both ends point to. Two lines that are written, each by one side, and the slots.
struct Shared<T> {
    producer: Line<ProducerLine>,
    consumer: Line<ConsumerLine>,
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
}

// 128 and not 64 bytes: x86 prefetches lines in pairs, and some aarch64 cores have lines of 128.
#[repr(align(128))]
struct Line<T>(T);

struct ProducerLine {
    tail: AtomicUsize,
    /// Whether it waits for slots (`link` only), and which `head` gives it as many as it wants.
    waits: AtomicBool,
    waits_for: AtomicUsize,
    gone: AtomicBool,
}

struct ConsumerLine {
    head: AtomicUsize,
    /// Bytes of credit granted so far. It lives here for `link`: whoever grants has just popped, so the line is at
    /// hand.
    granted: AtomicUsize,
    gone: AtomicBool,
}

impl<T> Shared<T> {
    #[inline(always)]
    fn slot(&self, index: usize) -> &UnsafeCell<MaybeUninit<T>> {
        // A power of two is at least 1, so the mask is always within bounds.
        &self.slots[index & (self.slots.len() - 1)]
    }

    /// All terms only grow, so the sum changes when one of them does (short of 2^64 moves between two looks).
    fn moves(&self) -> usize {
        let ProducerLine { tail, gone: producer_gone, .. } = &self.producer.0;
        let ConsumerLine { head, granted, gone: consumer_gone } = &self.consumer.0;
        tail.load(Ordering::Relaxed)
            .wrapping_add(head.load(Ordering::Relaxed))
            .wrapping_add(granted.load(Ordering::Relaxed))
            .wrapping_add(usize::from(producer_gone.load(Ordering::Relaxed)))
            .wrapping_add(usize::from(consumer_gone.load(Ordering::Relaxed)))
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        let tail = self.producer.0.tail.load(Ordering::Relaxed);
        let mut head = self.consumer.0.head.load(Ordering::Relaxed);
        while head != tail {
            self.slot(head).with_mut(|slot| {
                // SAFETY: both ends are gone and published their indices as they went, so exactly the slots of
                // `head..tail` hold values.
                unsafe { (*slot).assume_init_drop() };
            });
            head = head.wrapping_add(1);
        }
    }
}

// SAFETY: an end moves values of `T` between threads and shares none of them; the indices are atomics and every access
// to a slot is ordered by them, as the blocks above argue and the loom models check.
unsafe impl<T: Send> Send for Producer<T> {}

// SAFETY: as for `Producer`.
unsafe impl<T: Send> Send for Consumer<T> {}
