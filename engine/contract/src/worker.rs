//! A boxed future that serves one job after another, so that a job costs no allocation.
//!
//! ```text
//!  owner                         worker's future
//!  assign(job) ───── desk ─────▶ jobs.next().await
//!  poll_outcome ◀─── desk ────── jobs.done(outcome)
//! ```
//!
//! The owner polls the worker inside its own task; the desk between them therefore needs no waker. Dropping the worker cancels its
//! job together with every operation that the job has under way.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use ringway_ring::Extent;

struct Desk<J, O> {
    job: Cell<Option<J>>,
    outcome: Cell<Option<O>>,
}

/// What a worker's turn is going to touch besides its own future.
pub type Upcoming = Rc<Cell<[Extent; 4]>>;

/// How much of a worker's future is asked for before its turn: where a future waits, its state lies in front.
const WARM_BYTES: usize = 3 * 1024;

/// The owner's handle: gives jobs, polls for outcomes.
pub struct Worker<J, O> {
    future: Pin<Box<dyn Future<Output = ()>>>,
    desk: Rc<Desk<J, O>>,
    upcoming: Upcoming,
}

impl<J: 'static, O: 'static> Worker<J, O> {
    /// Makes a worker from `serve`, whose future loops over [`Jobs::next`] and [`Jobs::done`].
    pub fn new<F, Fut>(serve: F) -> Self
    where
        F: FnOnce(Jobs<J, O>) -> Fut,
        Fut: Future<Output = ()> + 'static,
    {
        let upcoming = Upcoming::new(Cell::new([Extent::NONE; 4]));
        let desk = Rc::new(Desk { job: Cell::new(None), outcome: Cell::new(None) });
        let future = Box::pin(serve(Jobs { desk: desk.clone(), upcoming: upcoming.clone() }));
        Self { future, desk, upcoming }
    }

    /// Runs one job to its end. `None` when the worker ended instead of finishing it.
    pub async fn run(&mut self, job: J) -> Option<O> {
        self.desk.job.set(Some(job));
        poll_fn(|cx| self.poll_outcome(cx)).await
    }

    fn poll_outcome(&mut self, cx: &mut Context<'_>) -> Poll<Option<O>> {
        Extent::of(&*self.future, WARM_BYTES).prefetch();
        self.upcoming.get().into_iter().for_each(Extent::prefetch);
        let ended = self.future.as_mut().poll(cx).is_ready();
        match self.desk.outcome.take() {
            Some(outcome) => Poll::Ready(Some(outcome)),
            None if ended => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

/// The worker's side of the desk.
pub struct Jobs<J, O> {
    desk: Rc<Desk<J, O>>,
    upcoming: Upcoming,
}

impl<J, O> Jobs<J, O> {
    /// Waits for the next job.
    pub async fn next(&mut self) -> J {
        poll_fn(|_| match self.desk.job.take() {
            Some(job) => Poll::Ready(job),
            None => Poll::Pending,
        })
        .await
    }

    /// Where a job notes what its next turn is going to touch.
    pub fn upcoming(&self) -> Upcoming {
        self.upcoming.clone()
    }

    /// Hands the outcome of the present job to the owner.
    pub fn done(&mut self, outcome: O) {
        self.desk.outcome.set(Some(outcome));
    }
}
