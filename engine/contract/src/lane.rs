//! An endpoint's half of exchanges: one boxed future per backend connection, coupled by a pair of rings.
//!
//! ```text
//!   carriage                          lane's future
//!   Lane.outbox ══ Open, Data, End ══▶ LaneEnd.inbox
//!   Lane.inbox  ◀══ Reply, Data, End ══ LaneEnd.outbox
//! ```
//!
//! The carriage polls the lane inside its own task, so a push needs no wake-up: [`Lane::moves`] tells whether anything crossed since
//! the last look, and as long as something did, both halves are polled again. Dropping a lane cancels what it does.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use ringway_ring::{Extent, Receiver, Sender, link};

use crate::{Frame, Request};

/// Frames that a link holds in one direction.
pub const LANE_SLOTS: usize = 8;

/// Payload bytes that a link holds in one direction.
pub const LANE_WINDOW_BYTES: usize = 256 * 1024;

/// How much of a lane's future is asked for before its turn.
const WARM_BYTES: usize = 2816;

/// The engine's handle of a lane.
pub struct Lane {
    /// Frames to the endpoint.
    pub outbox: Sender<Frame>,
    /// Frames from the endpoint.
    pub inbox: Receiver<Frame>,
    future: Pin<Box<dyn Future<Output = ()>>>,
    ended: bool,
}

/// The endpoint's end of a lane.
pub struct LaneEnd {
    /// Frames from the client's half.
    pub inbox: Receiver<Frame>,
    /// Frames to the client's half.
    pub outbox: Sender<Frame>,
}

impl Lane {
    /// Makes a lane from the future that serves it. The future ends when its connection cannot be used again.
    pub fn new<F, Fut>(serve: F) -> Self
    where
        F: FnOnce(LaneEnd) -> Fut,
        Fut: Future<Output = ()> + 'static,
    {
        let (outbox, their_inbox) = link(LANE_SLOTS, LANE_WINDOW_BYTES);
        let (their_outbox, inbox) = link(LANE_SLOTS, LANE_WINDOW_BYTES);
        let future = Box::pin(serve(LaneEnd { inbox: their_inbox, outbox: their_outbox }));
        Self { outbox, inbox, future, ended: false }
    }

    /// What a poll that brings the response to `request` is going to touch: where a future waits, its state lies in front.
    pub fn upcoming(&self, request: &Request) -> [Extent; 4] {
        let [indices, slots] = self.inbox.extents();
        [Extent::of(&*self.future, WARM_BYTES), indices, slots, Extent::of(request, usize::MAX)]
    }

    /// Polls the endpoint's half once. `Ready` when the lane ended and cannot be used for another exchange.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.ended && self.future.as_mut().poll(cx).is_ready() {
            self.ended = true;
        }
        if self.ended { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl LaneEnd {
    /// Waits for the next frame of the client's half.
    pub async fn recv(&mut self) -> Frame {
        poll_fn(|_| match self.inbox.recv() {
            Some(frame) => Poll::Ready(frame),
            None => Poll::Pending,
        })
        .await
    }

    /// Waits until the link has room, then sends.
    pub async fn send(&mut self, frame: Frame) {
        send(&mut self.outbox, frame).await;
    }
}

/// Waits until the link has room, then sends. Only inside a lane or a carriage, whose halves poll each other.
pub async fn send(outbox: &mut Sender<Frame>, frame: Frame) {
    let weight = frame.weight();
    let mut frame = Some(frame);
    let mut waits = false;
    poll_fn(|_| match frame.take().map(|present| outbox.send(present, weight)) {
        Some(Err(full)) => {
            frame = Some(full.value);
            if !std::mem::replace(&mut waits, true) {
                note_wait();
            }
            Poll::Pending
        }
        _ => Poll::Ready(()),
    })
    .await
}

thread_local! {
    static WAITS: Cell<u64> = const { Cell::new(0) };
}

/// How often a half of an exchange found its link full, of all links of this thread: of a shard.
pub fn waits() -> u64 {
    WAITS.get()
}

/// Notes that a half begins to wait for room in its link.
pub fn note_wait() {
    WAITS.set(WAITS.get().wrapping_add(1));
}
