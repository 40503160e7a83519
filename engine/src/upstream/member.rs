//! One endpoint of a group on one shard, with its lanes.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use ringway_contract::{Cause, Endpoint, Fault, Lane};

use crate::telemetry::EndpointCounters;

/// An endpoint, its idle lanes (last in, first out: the warmest first) and those who wait for one.
pub struct Member {
    /// Name of the endpoint.
    pub name: Rc<str>,
    /// Weight in its group, at least 1.
    pub weight: u32,
    /// Whether it only serves when no other member can.
    pub secondary: bool,
    /// The verdict of the health checks; written by the one shard that probes, read by all.
    pub healthy: Arc<AtomicBool>,
    /// What is counted.
    pub counters: Arc<EndpointCounters>,
    endpoint: Rc<dyn Endpoint>,
    lanes_max: usize,
    pending_max: usize,
    idle_for: Duration,
    idle: RefCell<VecDeque<Idle>>,
    busy: Cell<usize>,
    waiting: RefCell<VecDeque<(u64, Waker)>>,
    tickets: Cell<u64>,
}

struct Idle {
    lane: Box<Lane>,
    since: Instant,
}

impl Member {
    /// A member without lanes yet. At most `pending_max` exchanges wait for a lane at a time.
    pub fn new(
        name: Rc<str>,
        weight: u32,
        secondary: bool,
        endpoint: Rc<dyn Endpoint>,
        pending_max: usize,
        healthy: Arc<AtomicBool>,
        counters: Arc<EndpointCounters>,
    ) -> Self {
        Self {
            name,
            weight: weight.max(1),
            secondary,
            healthy,
            counters,
            lanes_max: endpoint.lanes_max().max(1),
            pending_max,
            idle_for: Duration::from_millis(endpoint.idle_ms()),
            endpoint,
            idle: RefCell::default(),
            busy: Cell::new(0),
            waiting: RefCell::default(),
            tickets: Cell::new(0),
        }
    }

    /// One that leads elsewhere by the configuration of this one: not checked, and not counted among the endpoints.
    pub fn beside(&self, endpoint: Rc<dyn Endpoint>) -> Self {
        let healthy = Arc::new(AtomicBool::new(true));
        Self::new(self.name.clone(), 1, false, endpoint, self.pending_max, healthy, Arc::default())
    }

    /// The endpoint itself.
    pub fn endpoint(&self) -> &Rc<dyn Endpoint> {
        &self.endpoint
    }

    /// Exchanges under way.
    pub fn busy(&self) -> usize {
        self.busy.get()
    }

    /// Whether health checks let it take exchanges.
    pub fn is_healthy(&self) -> bool {
        self.healthy.load(Relaxed)
    }

    /// A lane for one exchange: an idle one whose backend is still there, a new one, or the next to become free.
    ///
    /// # Errors
    /// [`Cause::PendingFull`] when too many wait already. The caller bounds the wait itself.
    pub async fn hold(self: &Rc<Self>) -> Result<Held, Fault> {
        let mut place = Place { member: self, ticket: None };
        let lane = poll_fn(|cx| place.poll(cx)).await?;
        drop(place);
        self.busy.set(self.busy.get() + 1);
        self.counters.exchanges.bump();
        self.gauge();
        Ok(Held { member: Some(self.clone()), lane: Some(lane), given: None })
    }

    /// Drops the lanes that have been idle for too long, or whose backend has gone.
    pub fn sweep(&self, now: Instant) {
        let mut cx = Context::from_waker(Waker::noop());
        self.idle.borrow_mut().retain_mut(|idle| {
            now.saturating_duration_since(idle.since) < self.idle_for && idle.lane.poll(&mut cx).is_pending()
        });
        self.gauge();
    }

    /// A lane that is fit for use, if there is one or one may be made.
    fn available(&self, cx: &mut Context<'_>) -> Option<Box<Lane>> {
        // Not `while let` on the borrow: polling a lane must not run under it.
        loop {
            let Some(mut idle) = self.idle.borrow_mut().pop_back() else { break };
            if idle.lane.poll(cx).is_pending() {
                return Some(idle.lane);
            }
        }
        if self.busy.get() < self.lanes_max {
            self.counters.lanes_made.bump();
            return Some(Box::new(self.endpoint.clone().lane()));
        }
        None
    }

    fn release(&self, lane: Option<(Box<Lane>, Instant)>) {
        self.busy.set(self.busy.get().saturating_sub(1));
        if let Some((lane, since)) = lane
            && !self.idle_for.is_zero()
        {
            let mut idle = self.idle.borrow_mut();
            if idle.len() + self.busy.get() < self.lanes_max {
                idle.push_back(Idle { lane, since });
            }
        }
        self.gauge();
        self.wake_next();
    }

    fn wake_next(&self) {
        if let Some((_, waker)) = self.waiting.borrow_mut().pop_front() {
            waker.wake();
        }
    }

    fn gauge(&self) {
        self.counters.lanes_busy.set(self.busy.get() as u64);
        self.counters.lanes_idle.set(self.idle.borrow().len() as u64);
        self.counters.pending.set(self.waiting.borrow().len() as u64);
        self.counters.healthy.set(u64::from(self.is_healthy()));
    }
}

/// A place in the queue for a lane. Leaving it for any reason passes on a wake-up that was meant for it.
struct Place<'a> {
    member: &'a Member,
    ticket: Option<u64>,
}

impl Place<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Box<Lane>, Fault>> {
        let member = self.member;
        if let Some(lane) = member.available(cx) {
            self.leave();
            return Poll::Ready(Ok(lane));
        }
        let mut waiting = member.waiting.borrow_mut();
        let place = self.ticket.and_then(|ticket| place_of(&waiting, ticket));
        if let Some((_, waker)) = place.and_then(|at| waiting.get_mut(at)) {
            waker.clone_from(cx.waker());
            return Poll::Pending;
        }
        if waiting.len() >= member.pending_max {
            return Poll::Ready(Err(Fault::new(Cause::PendingFull)));
        }
        let ticket = member.tickets.get();
        member.tickets.set(ticket + 1);
        waiting.push_back((ticket, cx.waker().clone()));
        member.counters.pending.set(waiting.len() as u64);
        self.ticket = Some(ticket);
        Poll::Pending
    }

    /// Takes its own entry out of the queue; `false` when it was called already.
    fn leave(&mut self) -> bool {
        let Some(ticket) = self.ticket.take() else { return true };
        let mut waiting = self.member.waiting.borrow_mut();
        let found = place_of(&waiting, ticket).and_then(|at| waiting.remove(at));
        self.member.counters.pending.set(waiting.len() as u64);
        found.is_some()
    }
}

/// Where a ticket stands: they are given out in order, and a queue may be long.
fn place_of(waiting: &VecDeque<(u64, Waker)>, ticket: u64) -> Option<usize> {
    waiting.binary_search_by_key(&ticket, |(id, _)| *id).ok()
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.leave() {
            self.member.wake_next();
        }
    }
}

/// A lane in the hands of one exchange. Dropped, it takes the lane with it: its connection is closed.
pub struct Held {
    /// `None` when the place was given away.
    member: Option<Rc<Member>>,
    lane: Option<Box<Lane>>,
    /// When the lane was given back.
    given: Option<Instant>,
}

/// A place among the connections of a member, without a lane; free again when dropped.
pub struct Seat {
    member: Rc<Member>,
}

impl Held {
    /// The lane.
    pub fn lane(&mut self) -> Option<&mut Lane> {
        self.lane.as_deref_mut()
    }

    /// The lane has ended, but its connection lives on: its place stays taken.
    pub fn into_seat(mut self) -> Option<Seat> {
        self.member.take().map(|member| Seat { member })
    }

    /// The exchange is complete on both sides, since `now`: the lane may serve the next one.
    pub fn give_back(mut self, now: Instant) {
        self.given = Some(now);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(member) = &self.member {
            member.release(self.lane.take().zip(self.given));
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.member.release(None);
    }
}
