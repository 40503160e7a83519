//! Admission of exchanges: where the core is what is scarce, what is under way is finished before more is begun.
//!
//! With hundreds of exchanges under way, the state of each has left the caches of the core before its answer comes: the kernel's as well as the
//! program's. A shard that has a core's worth of work gains nothing from having begun them all, so it has only as many under way as
//! stay warm. Whether that holds for the traffic that it has, it finds out: see [`Concurrency`].
//!
//! Whoever has to wait does so with the idle connection's state and what was read of its request, and in the order of arrival.

mod concurrency;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use self::concurrency::{Concurrency, Sample, TICK};
use crate::clock;
use crate::shard::Shard;

/// How a shard admits exchanges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionOptions {
    /// How many are under way while it limits them; it considers that when twice as many are. `u32::MAX`: never.
    pub limit: u32,
    /// After how many arrivals in such a crowd it is asked whether they come fast enough for the shard to be watched.
    pub arrivals: u32,
}

impl AdmissionOptions {
    /// No limit, ever.
    pub const UNLIMITED: Self = Self { limit: u32::MAX, arrivals: u32::MAX };

    fn crowd(&self) -> u32 {
        self.limit.saturating_mul(2)
    }
}

impl Default for AdmissionOptions {
    fn default() -> Self {
        Self { limit: 64, arrivals: 64 }
    }
}

/// [`AdmissionOptions::arrivals`] within this time make it worth to watch the shard: 5,000 a second.
const DENSE_WITHIN: Duration = Duration::from_millis(12);
/// Who has waited for as many ticks has waited for too long: 48 ms.
const OVERDUE_TICKS: u32 = 12;

/// Who may begin.
pub(crate) struct Admission {
    options: AdmissionOptions,
    /// Exchanges under way.
    under_way: Cell<u32>,
    /// Those that were called and have not begun.
    coming: Cell<u32>,
    /// How many may be under way before the next has to wait.
    limit: Cell<u32>,
    /// Those who wait, in their order. `None`: gone meanwhile.
    queue: RefCell<VecDeque<Option<Waker>>>,
    /// How many have left the queue at its front: the ticket of who stands there now.
    called: Cell<u64>,
    /// Exchanges that have ended.
    ended: Cell<u64>,
    /// Arrivals in a crowd, and when they were last asked about.
    arrivals: Cell<u32>,
    asked: Cell<Option<Instant>>,
    watched: Cell<bool>,
    /// What was found out, and when the shard was last watched.
    concurrency: RefCell<Concurrency>,
    left: Cell<Option<Instant>>,
}

impl Admission {
    pub(crate) fn new(options: AdmissionOptions) -> Self {
        Self {
            options,
            under_way: Cell::new(0),
            coming: Cell::new(0),
            limit: Cell::new(u32::MAX),
            queue: RefCell::default(),
            called: Cell::new(0),
            ended: Cell::new(0),
            arrivals: Cell::new(0),
            asked: Cell::new(None),
            watched: Cell::new(false),
            concurrency: RefCell::default(),
            left: Cell::new(None),
        }
    }

    /// Exchanges under way.
    pub(crate) fn under_way(&self) -> u32 {
        self.under_way.get()
    }

    /// One more is under way.
    pub(crate) fn begin(&self) {
        self.under_way.set(self.under_way.get() + 1);
    }

    /// One has ended.
    pub(crate) fn end(&self) {
        self.under_way.set(self.under_way.get().saturating_sub(1));
        self.ended.set(self.ended.get() + 1);
        self.call();
    }

    fn set_limit(&self, limit: u32) {
        self.limit.set(limit);
        self.call();
    }

    fn has_room(&self) -> bool {
        self.under_way.get() + self.coming.get() < self.limit.get()
    }

    /// Calls as many as there is room for.
    fn call(&self) {
        while self.has_room() {
            let Some(next) = self.queue.borrow_mut().pop_front() else { return };
            self.called.set(self.called.get() + 1);
            if let Some(waker) = next {
                self.coming.set(self.coming.get() + 1);
                waker.wake();
            }
        }
    }

    fn queue_up(&self, waker: &Waker) -> u64 {
        let mut queue = self.queue.borrow_mut();
        queue.push_back(Some(waker.clone()));
        self.called.get() + queue.len() as u64 - 1
    }

    fn is_called(&self, ticket: u64) -> bool {
        ticket < self.called.get()
    }

    /// Who was called is here, or will not come.
    fn has_come(&self) {
        self.coming.set(self.coming.get().saturating_sub(1));
    }

    /// Who stands in the queue with a ticket that was not called: `None` leaves it.
    fn stand(&self, ticket: u64, waker: Option<Waker>) {
        let place = usize::try_from(ticket - self.called.get()).unwrap_or(usize::MAX);
        if let Some(standing) = self.queue.borrow_mut().get_mut(place) {
            *standing = waker;
        }
    }

    /// Tickets that were given out.
    fn tickets(&self) -> u64 {
        self.called.get() + self.queue.borrow().len() as u64
    }

    fn is_crowd(&self) -> bool {
        self.under_way.get() as usize + self.queue.borrow().len() >= self.options.crowd() as usize
    }

    /// Somebody begins in a crowd that nobody watches: whether that is to change. Asks for the time once in a while only.
    fn is_dense(&self) -> bool {
        let arrivals = self.arrivals.get() + 1;
        self.arrivals.set(arrivals);
        if arrivals < self.options.arrivals {
            return false;
        }
        self.arrivals.set(0);
        let now = clock::now();
        let before = self.asked.replace(Some(now));
        before.is_some_and(|before| now.saturating_duration_since(before) < DENSE_WITHIN)
    }
}

/// Leave to begin an exchange: see [`Shard::admit`]. Whether it had to be waited for.
pub struct Admit<'a> {
    shard: &'a Rc<Shard>,
    ticket: Option<u64>,
}

impl<'a> Admit<'a> {
    pub(crate) fn new(shard: &'a Rc<Shard>) -> Self {
        Self { shard, ticket: None }
    }
}

impl Future for Admit<'_> {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        let admission = &self.shard.admission;
        match self.ticket {
            None if admission.has_room() => {
                let unwatched = admission.under_way() >= admission.options.crowd() && !admission.watched.get();
                if unwatched && admission.is_dense() {
                    watch(self.shard);
                }
                Poll::Ready(false)
            }
            None => {
                self.ticket = Some(admission.queue_up(cx.waker()));
                Poll::Pending
            }
            Some(ticket) if admission.is_called(ticket) => {
                self.ticket = None;
                admission.has_come();
                Poll::Ready(true)
            }
            Some(ticket) => {
                admission.stand(ticket, Some(cx.waker().clone()));
                Poll::Pending
            }
        }
    }
}

impl Drop for Admit<'_> {
    fn drop(&mut self) {
        let admission = &self.shard.admission;
        match self.ticket {
            Some(ticket) if admission.is_called(ticket) => {
                admission.has_come();
                admission.call();
            }
            Some(ticket) => admission.stand(ticket, None),
            None => {}
        }
    }
}

/// A shard that is watched. However that ends, nobody waits any more.
struct Watched(Rc<Shard>);

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.admission.watched.set(false);
        self.0.admission.left.set(Some(clock::now()));
        self.0.admission.set_limit(u32::MAX);
    }
}

/// Watches a shard, and limits what is under way or does not, for as long as there is something to decide.
fn watch(shard: &Rc<Shard>) {
    shard.admission.watched.set(true);
    let watched = Watched(Rc::clone(shard));
    crate::spawn(async move {
        let admission = &watched.0.admission;
        let since = admission.left.get().map_or(Duration::ZERO, |left| clock::now().saturating_duration_since(left));
        admission.concurrency.borrow_mut().resume(since);
        let (mut at, mut worked, mut ended) = (clock::now(), clock::worked(), admission.ended.get());
        // Tickets up to `mark` were given out so many ticks ago.
        let (mut mark, mut age) = (admission.tickets(), 0);
        while admission.concurrency.borrow().is_undecided() {
            clock::sleep(TICK).await;
            let (now, works) = (clock::now(), clock::worked());
            let took = now.saturating_duration_since(at).max(Duration::from_micros(1)).as_secs_f64();
            (mark, age) = match admission.called.get() < mark {
                true => (mark, age + 1),
                false => (admission.tickets(), 0),
            };
            let is_limited = admission.concurrency.borrow_mut().tick(&Sample {
                rate: (admission.ended.get() - ended) as f64 / took,
                busy: works.saturating_sub(worked).as_secs_f64() / took,
                is_crowd: admission.is_crowd(),
                is_overdue: age >= OVERDUE_TICKS,
            });
            (at, worked, ended) = (now, works, admission.ended.get());
            admission.set_limit(if is_limited { admission.options.limit } else { u32::MAX });
        }
    });
}

#[cfg(test)]
mod tests;
