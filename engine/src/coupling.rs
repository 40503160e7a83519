//! Carriage and lane, polled by one task.
//!
//! ```text
//!   up:    client ─▶ body frames ─▶ outbox ══▶ ┐
//!                                              lane (the endpoint's future)
//!   down:  client ◀─ response    ◀─ inbox  ◀══ ┘
//! ```
//!
//! Whoever waits for a ring polls the lane first; a push therefore needs no wake-up. [`Coupled::join`] polls both directions again
//! for as long as a ring moved.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};

use ringway_contract::lane::note_wait;
use ringway_contract::{Fault, Frame, Lane};

use crate::telemetry::ShardCounters;

/// A lane in use by one exchange.
pub struct Coupled<'a> {
    lane: RefCell<&'a mut Lane>,
    gate: Cell<Gate>,
    counters: &'a ShardCounters,
}

/// How far the lane is: what may flow towards it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gate {
    /// Only the head: until there is a connection, the request can still go elsewhere.
    Shut,
    /// The body.
    Body,
}

impl<'a> Coupled<'a> {
    /// Couples with `lane`, which was just taken from its pool.
    pub fn new(lane: &'a mut Lane, counters: &'a ShardCounters) -> Self {
        Self { lane: RefCell::new(lane), gate: Cell::new(Gate::Shut), counters }
    }

    /// Lets more flow towards the lane.
    pub fn open(&self, gate: Gate) {
        self.gate.set(gate);
    }

    /// Waits until `gate` is open.
    pub async fn opened(&self, gate: Gate) {
        poll_fn(|_| if self.gate.get() >= gate { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// Sends a frame, waiting for room. `false` when the lane ended: nobody will take it.
    pub async fn send(&self, frame: Frame) -> bool {
        let weight = frame.weight();
        let mut frame = Some(frame);
        let mut waited = false;
        poll_fn(|cx| {
            let mut ended = false;
            // Once before and once after the lane had a chance to make room.
            for _ in 0..2 {
                let Some(present) = frame.take() else { return Poll::Ready(true) };
                let mut lane = self.lane.borrow_mut();
                match lane.outbox.send(present, weight) {
                    Ok(()) => {
                        self.counters.ring_frames.bump();
                        return Poll::Ready(true);
                    }
                    Err(full) => frame = Some(full.value),
                }
                if ended {
                    return Poll::Ready(false);
                }
                ended = lane.poll(cx).is_ready();
            }
            if ended {
                return Poll::Ready(false);
            }
            if !std::mem::replace(&mut waited, true) {
                note_wait();
            }
            Poll::Pending
        })
        .await
    }

    /// The next frame of the lane. `None` when it ended without one.
    pub async fn recv(&self) -> Option<Frame> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The next frame, behind a [`try_recv`](Self::try_recv) that found nothing: the lane is not asked again before something has woken
    /// the task.
    pub async fn recv_later(&self) -> Option<Frame> {
        let mut asked = true;
        poll_fn(|cx| match std::mem::take(&mut asked) {
            true => Poll::Pending,
            false => self.poll_next(cx),
        })
        .await
    }

    /// The next frame, or [`Received::Nothing`] when the lane has none without waiting.
    pub async fn try_recv(&self) -> Received {
        poll_fn(|cx| Poll::Ready(self.poll_recv(cx))).await
    }

    /// Gives credit back for payload that has left.
    pub fn grant(&self, bytes: usize) {
        self.lane.borrow_mut().inbox.grant(bytes);
    }

    /// Polls both directions until `down` is done, or `up` failed.
    ///
    /// # Errors
    /// The fault of `up`; `down` is dropped wherever it is.
    pub async fn join<D>(
        &self,
        up: impl Future<Output = Result<(), Fault>>,
        down: impl Future<Output = D>,
    ) -> Result<D, Fault> {
        let mut up = pin!(up);
        let mut down = pin!(down);
        let mut complete = false;
        poll_fn(|cx| {
            loop {
                let before = (self.moves(), self.gate.get(), complete);
                if !complete && let Poll::Ready(result) = up.as_mut().poll(cx) {
                    if let Err(fault) = result {
                        return Poll::Ready(Err(fault));
                    }
                    complete = true;
                }
                if let Poll::Ready(outcome) = down.as_mut().poll(cx) {
                    return Poll::Ready(Ok(outcome));
                }
                if before == (self.moves(), self.gate.get(), complete) {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Frame>> {
        match self.poll_recv(cx) {
            Received::Frame(frame) => Poll::Ready(Some(frame)),
            Received::Ended => Poll::Ready(None),
            Received::Nothing => Poll::Pending,
        }
    }

    fn poll_recv(&self, cx: &mut Context<'_>) -> Received {
        let mut lane = self.lane.borrow_mut();
        let (frame, ended) = match lane.inbox.recv() {
            None => {
                let ended = lane.poll(cx).is_ready();
                (lane.inbox.recv(), ended)
            }
            some => (some, false),
        };
        match frame {
            Some(frame) => {
                self.counters.ring_frames.bump();
                Received::Frame(frame)
            }
            None if ended => Received::Ended,
            None => Received::Nothing,
        }
    }

    fn moves(&self) -> usize {
        let lane = self.lane.borrow();
        lane.inbox.moves().wrapping_add(lane.outbox.moves())
    }
}

/// What [`Coupled::try_recv`] found.
pub enum Received {
    /// A frame.
    Frame(Frame),
    /// Nothing yet.
    Nothing,
    /// Nothing any more: the lane ended.
    Ended,
}
