//! Deadlines: a dense table of them, and one timer of the runtime that looks through it ten times a second while any is
//! armed.
//!
//! ```text
//!   slot      0      1      2      3        arm     = one store: tick + ticks of the duration
//!   deadline  812    MAX    0      790      disarm  = one store: MAX
//!   waker     task   -      task   task     expired = 0, written by the scan, which then wakes the task
//! ```
//!
//! A timer of the runtime per deadline would cost two operations on its wheel and a clock read for every wait of every
//! exchange. Here an exchange arms its connection's slot again and again with plain stores. A scan of 10,000 slots
//! reads 40 KB.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::clock;
use crate::shard::Shard;

/// How often the table is looked through.
const TICK: Duration = Duration::from_millis(100);
/// The deadline of a slot that is not armed. As ticks it would be 13 years away.
const DISARMED: u32 = u32::MAX;
/// The deadline of a slot whose time has come.
const EXPIRED: u32 = 0;
/// The longest wait: longer ones are cut to it (12 years).
const TICKS_MAX: u64 = 3_900_000_000;

/// The deadlines of a shard.
pub struct Timers {
    table: Rc<Table>,
}

struct Table {
    deadlines: RefCell<Vec<u32>>,
    wakers: RefCell<Vec<Option<Waker>>>,
    free: RefCell<Vec<u32>>,
    /// Ticks since `started` as of the last scan; never `EXPIRED`.
    tick: Cell<u32>,
    started: Instant,
    /// Whether scans are going on. If not, `tick` is old.
    scanning: Cell<bool>,
    scanner: RefCell<Option<Waker>>,
    stopped: Cell<bool>,
}

impl Timers {
    pub(crate) fn new() -> Self {
        Self {
            table: Rc::new(Table {
                deadlines: RefCell::default(),
                wakers: RefCell::default(),
                free: RefCell::default(),
                tick: Cell::new(1),
                started: clock::now(),
                scanning: Cell::new(false),
                scanner: RefCell::default(),
                stopped: Cell::new(false),
            }),
        }
    }

    /// Starts the scanner. Not through `spawn`: it is the shard's, and nothing in it can panic.
    pub(crate) fn start(&self) {
        clock::run(scan(Rc::clone(&self.table)));
    }

    pub(crate) fn stop(&self) {
        self.table.stopped.set(true);
        self.table.wake_scanner();
    }

    /// A slot of one's own, not armed.
    pub fn slot(&self) -> Slot {
        let table = &self.table;
        let index = table.free.borrow_mut().pop().unwrap_or_else(|| {
            let mut deadlines = table.deadlines.borrow_mut();
            deadlines.push(DISARMED);
            table.wakers.borrow_mut().push(None);
            u32::try_from(deadlines.len() - 1).unwrap_or(u32::MAX)
        });
        Slot { table: Rc::clone(table), index }
    }

    /// Slots in use, armed or not.
    pub fn slots(&self) -> usize {
        self.table.deadlines.borrow().len() - self.table.free.borrow().len()
    }
}

impl Table {
    fn clock(&self) -> u32 {
        let ticks = ticks(clock::now().saturating_duration_since(self.started)).min(TICKS_MAX);
        u32::try_from(ticks).unwrap_or(u32::MAX).saturating_add(1)
    }

    fn wake_scanner(&self) {
        if let Some(scanner) = self.scanner.take() {
            scanner.wake();
        }
    }

    /// Expires what is due. Whether anything is still armed.
    fn look_through(&self) -> bool {
        let now = self.clock();
        self.tick.set(now);
        let mut armed = false;
        let mut deadlines = self.deadlines.borrow_mut();
        let wakers = self.wakers.borrow();
        for (deadline, waker) in deadlines.iter_mut().zip(wakers.iter()) {
            if *deadline == DISARMED || *deadline == EXPIRED {
                continue;
            }
            if *deadline > now {
                armed = true;
                continue;
            }
            *deadline = EXPIRED;
            if let Some(waker) = waker {
                // Only queues the task.
                waker.wake_by_ref();
            }
        }
        armed
    }
}

async fn scan(table: Rc<Table>) {
    while !table.stopped.get() {
        poll_fn(|context| {
            if table.scanning.get() || table.stopped.get() {
                return Poll::Ready(());
            }
            *table.scanner.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
        clock::sleep(TICK).await;
        table.scanning.set(table.look_through());
    }
}

/// Whole ticks, rounded up.
fn ticks(duration: Duration) -> u64 {
    const TICK_NANOS: u32 = TICK.subsec_nanos();
    let part = duration.subsec_nanos().div_ceil(TICK_NANOS);
    duration.as_secs().saturating_mul(10).saturating_add(u64::from(part))
}

/// The same, at most the longest wait.
pub(crate) fn whole_ticks(duration: Duration) -> u32 {
    u32::try_from(ticks(duration).min(TICKS_MAX)).unwrap_or(u32::MAX)
}

/// Ticks of a second.
pub(crate) const TICKS_PER_SECOND: u32 = 10;

/// One deadline of the table. Given back when dropped.
pub struct Slot {
    table: Rc<Table>,
    index: u32,
}

/// The time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the deadline has passed")
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for std::io::Error {
    fn from(elapsed: Elapsed) -> Self {
        Self::new(std::io::ErrorKind::TimedOut, elapsed)
    }
}

impl Slot {
    /// Sets the deadline, instead of the one before. It passes after `duration` and at most two ticks (200 ms) more.
    /// The beginning is taken from the last scan, so that on a shard that is stuck for longer than a tick it may pass
    /// as much earlier.
    pub fn arm(&self, duration: Duration) {
        self.arm_ticks(whole_ticks(duration));
    }

    /// The same with a duration in ticks. The tick that it begins with.
    pub(crate) fn arm_ticks(&self, wait: u32) -> u32 {
        let table = &*self.table;
        if !table.scanning.get() {
            table.tick.set(table.clock());
            table.scanning.set(true);
            table.wake_scanner();
        }
        let tick = table.tick.get();
        // One more, because the current tick has begun already.
        self.store(tick.saturating_add(wait).saturating_add(1).min(DISARMED - 1));
        tick
    }

    /// The tick of the last scan. Up to date to a tick while the slot is armed.
    pub(crate) fn tick(&self) -> u32 {
        self.table.tick.get()
    }

    /// Takes the deadline away, passed or not.
    pub fn disarm(&self) {
        self.store(DISARMED);
    }

    /// Takes the deadline away, and forgets the task that last waited for one: what is forgotten keeps no ended task's memory.
    pub fn rest(&self) {
        self.disarm();
        let waker = self.table.wakers.borrow_mut().get_mut(self.index as usize).and_then(Option::take);
        // Outside the borrow: the last waker of a task drops the task, and with it perhaps another slot.
        drop(waker);
    }

    /// Whether the deadline has passed.
    pub fn expired(&self) -> bool {
        self.table.deadlines.borrow().get(self.index as usize) == Some(&EXPIRED)
    }

    /// Runs `future` until it is done or this slot's deadline, which may be moved meanwhile, has passed. While the slot
    /// is not armed it never passes. A slot serves one guard at a time.
    pub fn guard<F: Future>(&self, future: F) -> Guard<'_, F> {
        Guard { slot: self, future }
    }

    fn store(&self, deadline: u32) {
        if let Some(entry) = self.table.deadlines.borrow_mut().get_mut(self.index as usize) {
            *entry = deadline;
        }
    }

    fn register(&self, waker: &Waker) {
        let mut wakers = self.table.wakers.borrow_mut();
        let Some(entry) = wakers.get_mut(self.index as usize) else { return };
        match entry {
            Some(old) if old.will_wake(waker) => {}
            _ => {
                let old = entry.replace(waker.clone());
                drop(wakers);
                // Outside the borrow: the last waker of a task drops the task, and with it perhaps another slot.
                drop(old);
            }
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.rest();
        self.table.free.borrow_mut().push(self.index);
    }
}

/// See [`Slot::guard`].
pub struct Guard<'a, F> {
    slot: &'a Slot,
    future: F,
}

impl<F: Future> Future for Guard<'_, F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let slot = self.slot;
        // SAFETY: `future` is pinned with `self`: it is only ever polled in place.
        let future = unsafe { self.map_unchecked_mut(|guard| &mut guard.future) };
        if let Poll::Ready(output) = future.poll(context) {
            return Poll::Ready(Ok(output));
        }
        if slot.expired() {
            return Poll::Ready(Err(Elapsed));
        }
        slot.register(context.waker());
        Poll::Pending
    }
}

/// Sleeps, to the millisecond. For control tasks: what happens per exchange uses a [`Slot`].
pub async fn sleep(duration: Duration) {
    debug_assert!(Shard::try_current().is_some(), "only on a shard");
    #[cfg(feature = "sim")]
    if let Some(world) = crate::sim::current() {
        return world.sleep(duration).await;
    }
    let deadline = monoio::time::Instant::now() + duration;
    let mut timer = pin!(monoio::time::sleep_until(deadline));
    let mut sleeper: Option<Waker> = None;
    poll_fn(|context| {
        // monoio 0.2.4 wakes the task that has polled a timer first, for ever: a future that has gone from one task to another in the
        // middle of its sleep would not be woken.
        if sleeper.as_ref().is_some_and(|sleeper| !sleeper.will_wake(context.waker())) {
            timer.set(monoio::time::sleep_until(deadline));
            sleeper = None;
        }
        if sleeper.is_none() {
            sleeper = Some(context.waker().clone());
        }
        timer.as_mut().poll(context)
    })
    .await;
}

/// Runs `future` until it is done, or the shard closes: `None` then. For what goes on for as long as the shard does, which is not to
/// wait for it.
pub async fn until_closing<F: Future>(future: F) -> Option<F::Output> {
    let shard = Shard::current();
    let mut closing = pin!(shard.closing().wait());
    let mut future = pin!(future);
    poll_fn(|context| {
        if closing.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        future.as_mut().poll(context).map(Some)
    })
    .await
}

/// Sleeps, or until the shard closes: `false` then.
pub async fn pause(duration: Duration) -> bool {
    until_closing(sleep(duration)).await.is_some()
}
