//! Messages that another thread publishes, and its verdicts.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};
use std::time::Duration;

use ringway_contract::{Cause, Fault, Message, Publishing, Qos};
use ringway_net::{Doorbell, spawn};
use ringway_ring::{Receiver, Ringer, Sender, doorbell, link};

use super::Bell;

/// Messages in the ring to the broker's side.
const JOBS: usize = 1024;

/// Messages that the broker's side has and whose verdicts the shard has not seen.
const UNSETTLED_MAX: usize = 8 * 1024;

/// Bytes of messages that the broker's side has and has not answered.
const JOBS_WINDOW_BYTES: usize = 8 * 1024 * 1024;

/// Messages that wait for room in the ring; more are refused, because the broker does not keep up.
const BACKLOG_MAX: usize = 16 * 1024;

/// A message to be published, and what the protocol says of it (`D`: topic, exchange, ...).
pub struct Job<D> {
    ticket: u32,
    /// The message.
    pub message: Message,
    /// The level of the session.
    pub qos: Qos,
    /// What the protocol says of it.
    pub detail: D,
}

struct Done {
    ticket: u32,
    outcome: Result<(), Fault>,
}

enum Place {
    Free,
    Waiting(Option<Waker>),
    Done(Result<(), Fault>),
    /// Nobody waits any more.
    Abandoned,
}

struct Inner<D> {
    // In this order: the ring is closed before its bell rings for the last time.
    outbox: RefCell<Sender<Job<D>>>,
    ringer: Ringer,
    backlog: RefCell<VecDeque<Job<D>>>,
    places: RefCell<Vec<Place>>,
    free: RefCell<Vec<u32>>,
}

/// The shard's end. Dropping it, and every [`Publishing`] of it, tells the broker's side to end.
pub struct Publisher<D>(Rc<Inner<D>>);

/// The broker's end. Dropping it fails what it has not answered.
pub struct RemotePublisher<D> {
    // In this order: the ring is closed before its bell rings for the last time.
    inbox: Receiver<Job<D>>,
    outbox: Sender<Done>,
    /// Jobs that were taken and not answered.
    taken: usize,
    ringer: Ringer,
    bell: Bell,
    waker: Ringer,
}

/// A publisher, and its other end for another thread. Only on a shard.
///
/// # Errors
/// The process is out of file descriptors.
pub fn publisher<D: Send + 'static>() -> io::Result<(Publisher<D>, RemotePublisher<D>)> {
    let (ringer, their_sleeper) = doorbell()?;
    let (their_ringer, sleeper) = doorbell()?;
    let bell = Doorbell::new(sleeper)?;
    let (outbox, their_inbox) = link(JOBS, JOBS_WINDOW_BYTES);
    let (their_outbox, inbox) = link(UNSETTLED_MAX, usize::MAX);
    let waker = ringer.clone();
    let inner = Rc::new(Inner {
        outbox: RefCell::new(outbox),
        ringer,
        backlog: RefCell::default(),
        places: RefCell::default(),
        free: RefCell::default(),
    });
    spawn(settle(Rc::downgrade(&inner), inbox, bell));
    let remote = RemotePublisher {
        inbox: their_inbox,
        outbox: their_outbox,
        taken: 0,
        ringer: their_ringer,
        bell: Bell::new(their_sleeper),
        waker,
    };
    Ok((Publisher(inner), remote))
}

impl<D: Send + 'static> Publisher<D> {
    /// Hands a message over at once; the future waits for the verdict only. Dropping it does not take the message back.
    pub fn publish(&self, message: Message, qos: Qos, detail: D) -> Publishing {
        let inner = self.0.clone();
        if inner.backlog.borrow().len() >= BACKLOG_MAX {
            return Box::pin(async { Err(Fault::new(Cause::Overloaded).detail("the broker does not keep up")) });
        }
        let ticket = inner.place();
        inner.backlog.borrow_mut().push_back(Job { ticket, message, qos, detail });
        inner.flush();
        let waiting = Ticket { inner, ticket };
        Box::pin(poll_fn(move |cx| waiting.poll(cx.waker())))
    }
}

/// Gives its place back, whatever became of the message.
struct Ticket<D> {
    inner: Rc<Inner<D>>,
    ticket: u32,
}

impl<D> Ticket<D> {
    fn poll(&self, waker: &Waker) -> Poll<Result<(), Fault>> {
        let mut places = self.inner.places.borrow_mut();
        match places.get_mut(self.ticket as usize) {
            Some(Place::Waiting(known)) => {
                match known {
                    Some(known) => known.clone_from(waker),
                    None => *known = Some(waker.clone()),
                }
                Poll::Pending
            }
            Some(Place::Done(outcome)) => Poll::Ready(*outcome),
            _ => Poll::Ready(Err(Fault::new(Cause::Internal))),
        }
    }
}

impl<D> Drop for Ticket<D> {
    fn drop(&mut self) {
        let mut places = self.inner.places.borrow_mut();
        let Some(place) = places.get_mut(self.ticket as usize) else { return };
        match place {
            Place::Waiting(_) => *place = Place::Abandoned,
            _ => {
                *place = Place::Free;
                self.inner.free.borrow_mut().push(self.ticket);
            }
        }
    }
}

impl<D> Inner<D> {
    fn place(&self) -> u32 {
        let mut places = self.places.borrow_mut();
        if let Some(ticket) = self.free.borrow_mut().pop()
            && let Some(place) = places.get_mut(ticket as usize)
        {
            *place = Place::Waiting(None);
            return ticket;
        }
        places.push(Place::Waiting(None));
        u32::try_from(places.len() - 1).unwrap_or(u32::MAX)
    }

    /// Moves what waits into the ring, as far as there is room.
    fn flush(&self) {
        let (mut outbox, mut backlog) = (self.outbox.borrow_mut(), self.backlog.borrow_mut());
        let mut moved = false;
        while let Some(job) = backlog.pop_front() {
            let weight = job.message.weight();
            if let Err(full) = outbox.send(job, weight) {
                backlog.push_front(full.value);
                break;
            }
            moved = true;
        }
        if moved {
            self.ringer.ring();
        }
    }

    fn done(&self, Done { ticket, outcome }: Done) {
        let mut places = self.places.borrow_mut();
        let Some(place) = places.get_mut(ticket as usize) else { return };
        match std::mem::replace(place, Place::Done(outcome)) {
            Place::Waiting(Some(waker)) => waker.wake(),
            Place::Abandoned => {
                *place = Place::Free;
                self.free.borrow_mut().push(ticket);
            }
            _ => {}
        }
    }

    /// The broker's side has gone: nothing will be answered any more.
    fn fail_all(&self) {
        self.backlog.borrow_mut().clear();
        let waiting = |place: &Place| matches!(place, Place::Waiting(_) | Place::Abandoned);
        let tickets: Vec<u32> = (0..)
            .zip(self.places.borrow().iter())
            .filter(|(_, place)| waiting(place))
            .map(|(ticket, _)| ticket)
            .collect();
        for ticket in tickets {
            self.done(Done { ticket, outcome: Err(Fault::new(Cause::BrokerClosed)) });
        }
    }
}

/// Brings verdicts to those who wait for them, until the broker's side has gone.
async fn settle<D>(inner: Weak<Inner<D>>, mut inbox: Receiver<Done>, mut bell: Doorbell) {
    loop {
        let closed = inbox.is_closed();
        // Not held over a wait: dropping the last publisher is what ends the broker's side.
        if let Some(inner) = inner.upgrade() {
            while let Some(done) = inbox.recv() {
                inner.done(done);
            }
            // The other side has taken something, so there may be room; and it may wait for room here.
            inner.flush();
            if inbox.sender_waits() {
                inner.ringer.ring();
            }
            if closed {
                inner.fail_all();
            }
        }
        if closed || bell.wait(|| inbox.is_empty() && !inbox.is_closed()).await.is_err() {
            return;
        }
    }
}

impl<D> RemotePublisher<D> {
    /// The next message; none either while too many are not settled.
    pub fn take(&mut self) -> Option<Job<D>> {
        // Every job that was taken has its place among the verdicts.
        if self.taken >= self.outbox.free() {
            return None;
        }
        let job = self.inbox.recv()?;
        self.taken += 1;
        Some(job)
    }

    /// Answers a job: the broker has its message, or why not. [`RemotePublisher::ring`] after a batch of them.
    pub fn done(&mut self, claim: Claim, outcome: Result<(), Fault>) {
        self.inbox.grant(claim.weight);
        self.taken = self.taken.saturating_sub(1);
        // There is room: see `take`.
        let _ = self.outbox.send(Done { ticket: claim.ticket, outcome }, 0);
    }

    /// Wakes the shard, if it sleeps.
    pub fn ring(&self) {
        self.ringer.ring();
    }

    /// Whether the shard has dropped its end. What is in the ring is still to be published: its sessions were told nothing.
    pub fn is_gone(&self) -> bool {
        self.inbox.is_closed()
    }

    /// Waits in the runtime until there is a message, or the publisher is gone.
    ///
    /// # Errors
    /// Of the kernel.
    pub async fn ready(&mut self) -> io::Result<()> {
        let Self { inbox, outbox, taken, bell, .. } = self;
        outbox.wait_for_room(usize::from(*taken >= outbox.free()));
        match bell.may_sleep(|| is_idle(inbox, outbox, *taken)) {
            true => self.bell.rung().await,
            false => Ok(()),
        }
    }

    /// The same on a thread of one's own, for `timeout` at most.
    ///
    /// # Errors
    /// Of the kernel.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.wait_while(true, timeout, || true)
    }

    /// The same for a thread that waits for something of its own, too: `idle_else` is asked after the sleep was announced, and whoever
    /// ends that idleness rings [`RemotePublisher::waker`] afterwards. `jobs`: whether a message ends the wait; one that cannot be taken
    /// on should not.
    ///
    /// # Errors
    /// Of the kernel.
    pub fn wait_while(
        &mut self,
        jobs: bool,
        timeout: Option<Duration>,
        idle_else: impl FnOnce() -> bool,
    ) -> io::Result<()> {
        let Self { inbox, outbox, taken, bell, .. } = self;
        outbox.wait_for_room(usize::from(*taken >= outbox.free()));
        bell.wait(timeout, || (!jobs || is_idle(inbox, outbox, *taken)) && idle_else())
    }

    /// Rings this side's own bell, from any thread.
    pub fn waker(&self) -> Ringer {
        self.waker.clone()
    }
}

fn is_idle<D>(inbox: &Receiver<Job<D>>, outbox: &Sender<Done>, taken: usize) -> bool {
    (inbox.is_empty() || taken >= outbox.free()) && !inbox.is_closed()
}

/// What is left of a job when its message was handed to a client library: enough to answer it later. One that is lost leaves its session
/// waiting until the session's own time is up.
#[derive(Debug)]
pub struct Claim {
    ticket: u32,
    weight: usize,
}

impl<D> Job<D> {
    /// The job's parts, and what it is answered by.
    pub fn claim(self) -> (Message, D, Claim) {
        let claim = Claim { ticket: self.ticket, weight: self.message.weight() };
        (self.message, self.detail, claim)
    }
}
