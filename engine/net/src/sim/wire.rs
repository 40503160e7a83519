//! Connections of the world.
//!
//! ```text
//!   write ─▶ [ on its way: bytes, end ] ── latency ──▶ [ arrived ] ─▶ read
//!            └────────── at most `room` bytes ─────────┘
//! ```
//!
//! An end that is dropped sends an end behind what it wrote; with something unread, or by [`Conn::reset`], it sends a reset, and so
//! does one to which bytes come after it was dropped (RFC 9293 section 3.10.7, RFC 9112 section 9.6). A reset makes what has arrived
//! and was not read unreadable where [`Manners::is_harsh`]: systems differ there, and the worst case is the one to survive.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::World;

/// What a connection is like.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    /// How long a segment takes.
    pub latency: Duration,
    /// By how much longer it may take.
    pub jitter: Duration,
    /// Bytes that one direction holds, on its way or unread.
    pub room: usize,
    /// Bytes that a write takes and a read brings at most.
    pub piece: usize,
    /// When the wire tears: from then on nothing arrives any more, and nobody is told.
    pub tears_after: Option<Duration>,
    /// After how long both ends give up a torn wire on which they have sent something: `TCP_USER_TIMEOUT`.
    pub gives_up_after: Duration,
    /// Whether a reset destroys what has arrived and was not read.
    pub is_harsh: bool,
    /// Whether not even connecting gets an answer.
    pub is_dead: bool,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            latency: Duration::from_micros(100),
            jitter: Duration::ZERO,
            room: 64 * 1024,
            piece: usize::MAX,
            tears_after: None,
            gives_up_after: Duration::from_secs(10),
            is_harsh: false,
            is_dead: false,
        }
    }
}

/// What is on its way.
enum Segment {
    Bytes(Vec<u8>),
    End,
    Reset,
}

#[derive(Default)]
struct Half {
    /// Bytes on their way.
    flying: Cell<usize>,
    arrived: RefCell<VecDeque<u8>>,
    /// Nothing more will arrive.
    ended: Cell<bool>,
    /// All that has arrived.
    delivered: Cell<u64>,
    /// When the last segment arrives: the next one is not earlier.
    last: Cell<Duration>,
    readers: RefCell<Vec<Waker>>,
    writers: RefCell<Vec<Waker>>,
}

/// What one end has done, and what was done to it.
#[derive(Default)]
struct Side {
    /// Nobody holds this end any more.
    gone: Cell<bool>,
    /// It has said its last.
    shut: Cell<bool>,
    /// It reads no more.
    deaf: Cell<bool>,
    /// See [`Conn::end_by_reset`].
    by_reset: Cell<bool>,
    /// A reset has arrived; it is an error once, and an end from then on.
    error: Cell<bool>,
    dead: Cell<bool>,
}

struct Wire {
    world: Weak<World>,
    manners: Manners,
    born: Duration,
    number: u64,
    addresses: [SocketAddr; 2],
    /// `halves[side]` is what arrives at `side`.
    halves: [Half; 2],
    sides: [Side; 2],
}

/// One end of a connection. Clones are the same end, which is dropped with the last of them.
#[derive(Clone)]
pub struct Conn {
    end: Rc<End>,
}

struct End {
    wire: Rc<Wire>,
    side: usize,
}

pub(super) fn pair(world: &Rc<World>, manners: Manners, from: SocketAddr, to: SocketAddr) -> (Conn, Conn) {
    let wire = Rc::new(Wire {
        world: Rc::downgrade(world),
        manners,
        born: world.elapsed(),
        number: world.id(),
        addresses: [from, to],
        halves: Default::default(),
        sides: Default::default(),
    });
    let end = |side| Conn { end: Rc::new(End { wire: Rc::clone(&wire), side }) };
    (end(0), end(1))
}

impl Wire {
    fn is_torn(&self, now: Duration) -> bool {
        self.manners.tears_after.is_some_and(|after| now >= self.born + after)
    }

    /// Sends a segment to `side`.
    fn send(self: &Rc<Self>, side: usize, segment: Segment) {
        let Some(world) = self.world.upgrade() else { return };
        let jitter = u64::try_from(self.manners.jitter.as_micros()).unwrap_or_default();
        let delay = self.manners.latency + Duration::from_micros(world.below(jitter + 1));
        let half = &self.halves[side];
        let at = half.last.get().max(world.elapsed() + delay);
        half.last.set(at);
        if let Segment::Bytes(bytes) = &segment {
            half.flying.set(half.flying.get() + bytes.len());
            if self.manners.tears_after.is_some() {
                let (wire, due) = (Rc::clone(self), half.delivered.get() + half.flying.get() as u64);
                world.after(self.manners.gives_up_after, move || wire.give_up(side, due));
            }
        }
        let wire = Rc::clone(self);
        world.after(at - world.elapsed(), move || wire.arrive(side, segment));
    }

    fn arrive(self: &Rc<Self>, side: usize, segment: Segment) {
        let Some(world) = self.world.upgrade() else { return };
        if self.is_torn(world.elapsed()) {
            return;
        }
        let (half, here) = (&self.halves[side], &self.sides[side]);
        if here.dead.get() {
            return;
        }
        match segment {
            Segment::Bytes(bytes) => {
                half.flying.set(half.flying.get() - bytes.len());
                world.note(self.number << 32 | (bytes.len() as u64) << 2 | side as u64);
                half.delivered.set(half.delivered.get() + bytes.len() as u64);
                // Linux resets also when it was shut down for reading and has said its last.
                if here.gone.get() || here.deaf.get() {
                    return self.kill(side);
                }
                half.arrived.borrow_mut().extend(bytes);
            }
            Segment::End => {
                world.note(self.number << 32 | 2 | side as u64);
                half.ended.set(true);
            }
            Segment::Reset => {
                world.note(self.number << 32 | 3 << 8 | side as u64);
                here.error.set(true);
                here.dead.set(true);
                half.ended.set(true);
                if self.manners.is_harsh {
                    half.arrived.borrow_mut().clear();
                }
                wake(&self.halves[1 - side].writers);
            }
        }
        wake(&half.readers);
    }

    /// Whoever sends to `side` gives the wire up, if it is torn and not so much has arrived.
    fn give_up(&self, side: usize, due: u64) {
        let there = &self.sides[1 - side];
        let torn = self.world.upgrade().is_some_and(|world| self.is_torn(world.elapsed()));
        if torn && self.halves[side].delivered.get() < due && !there.dead.replace(true) {
            there.error.set(true);
            self.halves[1 - side].ended.set(true);
            wake(&self.halves[1 - side].readers);
            wake(&self.halves[side].writers);
        }
    }

    /// Ends everything from `side`, and tells the other one.
    fn kill(self: &Rc<Self>, side: usize) {
        let here = &self.sides[side];
        if !here.dead.replace(true) {
            self.halves[side].ended.set(true);
            self.send(1 - side, Segment::Reset);
            wake(&self.halves[side].readers);
            wake(&self.halves[1 - side].writers);
        }
    }
}

fn wake(wakers: &RefCell<Vec<Waker>>) {
    wakers.take().into_iter().for_each(Waker::wake);
}

fn wait<T>(wakers: &RefCell<Vec<Waker>>, context: &Context<'_>) -> Poll<T> {
    let mut wakers = wakers.borrow_mut();
    if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
        wakers.push(context.waker().clone());
    }
    Poll::Pending
}

impl Conn {
    fn half(&self) -> &Half {
        &self.end.wire.halves[self.end.side]
    }

    fn side(&self) -> &Side {
        &self.end.wire.sides[self.end.side]
    }

    fn piece(&self) -> usize {
        let max = self.end.wire.manners.piece;
        match self.end.wire.world.upgrade() {
            Some(world) if max < usize::MAX => 1 + world.below(max as u64) as usize,
            _ => max,
        }
    }

    /// Whether a read would not wait.
    pub fn is_readable(&self) -> bool {
        let half = self.half();
        half.ended.get() || self.side().deaf.get() || !half.arrived.borrow().is_empty()
    }

    /// Waits until a read would not.
    pub async fn readable(&self) {
        poll_fn(|context| if self.is_readable() { Poll::Ready(()) } else { wait(&self.half().readers, context) }).await;
    }

    /// Reads what is there into `out`, and takes it away unless it only `peek`s. `None` when nothing is there, 0 at the end.
    ///
    /// # Errors
    /// Once, when the connection was reset.
    pub fn read_now(&self, out: &mut [u8], peek: bool) -> io::Result<Option<usize>> {
        let (half, side) = (self.half(), self.side());
        let mut arrived = half.arrived.borrow_mut();
        if arrived.is_empty() || side.deaf.get() {
            drop(arrived);
            if side.error.replace(false) {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            return Ok(self.is_readable().then_some(0));
        }
        let count = out.len().min(arrived.len()).min(self.piece());
        for (place, byte) in out.iter_mut().zip(arrived.iter()).take(count) {
            *place = *byte;
        }
        if !peek {
            arrived.drain(..count);
            drop(arrived);
            wake(&half.writers);
        }
        Ok(Some(count))
    }

    /// Waits, and reads at most as much as `max`; empty at the end.
    ///
    /// # Errors
    /// Once, when the connection was reset.
    pub async fn read(&self, max: usize) -> io::Result<Vec<u8>> {
        self.readable().await;
        let mut out = vec![0; max.min(self.half().arrived.borrow().len())];
        let count = self.read_now(&mut out, false)?.unwrap_or_default();
        out.truncate(count);
        Ok(out)
    }

    /// Writes what goes in now, and says how much.
    ///
    /// # Errors
    /// When the connection was reset, or this direction ended.
    pub fn write_now(&self, bytes: &[u8]) -> io::Result<Option<usize>> {
        let (wire, side) = (&self.end.wire, self.side());
        if side.error.replace(false) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if side.dead.get() || side.shut.get() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let there = &wire.halves[1 - self.end.side];
        let room = wire.manners.room.saturating_sub(there.flying.get() + there.arrived.borrow().len());
        let count = bytes.len().min(room).min(self.piece());
        if count == 0 {
            return Ok((bytes.is_empty()).then_some(0));
        }
        wire.send(1 - self.end.side, Segment::Bytes(bytes.get(..count).unwrap_or_default().to_vec()));
        Ok(Some(count))
    }

    /// Writes once, when something goes in.
    ///
    /// # Errors
    /// As [`write_now`](Self::write_now).
    pub async fn write_some(&self, bytes: &[u8]) -> io::Result<usize> {
        poll_fn(|context| match self.write_now(bytes) {
            Ok(Some(count)) => Poll::Ready(Ok(count)),
            Ok(None) => wait(&self.end.wire.halves[1 - self.end.side].writers, context),
            Err(error) => Poll::Ready(Err(error)),
        })
        .await
    }

    /// Writes everything.
    ///
    /// # Errors
    /// As [`write_now`](Self::write_now).
    pub async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = self.write_some(bytes).await?;
            bytes = bytes.get(count..).unwrap_or_default();
        }
        Ok(())
    }

    /// Says that nothing more comes.
    pub fn shut_write(&self) {
        if !self.side().dead.get() && !self.side().shut.replace(true) {
            self.end.wire.send(1 - self.end.side, Segment::End);
        }
    }

    /// Ends both directions: every wait on this end is over.
    pub(crate) fn shut_both(&self) {
        if self.side().by_reset.get() {
            return self.reset();
        }
        self.shut_write();
        self.side().deaf.set(true);
        wake(&self.half().readers);
        wake(&self.end.wire.halves[1 - self.end.side].writers);
    }

    /// Whether this end goes with a reset.
    pub(crate) fn end_by_reset(&self, reset: bool) {
        self.side().by_reset.set(reset);
    }

    /// Whether this end has said its last, or nothing can be said any more.
    pub fn is_shut(&self) -> bool {
        self.side().shut.get() || self.side().dead.get()
    }

    /// Resets the connection.
    pub fn reset(&self) {
        self.end.wire.kill(self.end.side);
    }

    /// Takes what there is room for. An error is told once, and not here.
    pub(crate) fn send_now(&self, bytes: &[u8]) -> usize {
        if self.side().error.get() { 0 } else { self.write_now(bytes).ok().flatten().unwrap_or_default() }
    }

    /// Bytes that have arrived at the other end.
    pub fn delivered(&self) -> u64 {
        self.end.wire.halves[1 - self.end.side].delivered.get()
    }

    /// The address of this end.
    pub fn here(&self) -> SocketAddr {
        self.end.wire.addresses[self.end.side]
    }

    /// The address of the other end.
    pub fn there(&self) -> SocketAddr {
        self.end.wire.addresses[1 - self.end.side]
    }

    /// Whether the wire tears some day.
    pub fn tears(&self) -> bool {
        self.end.wire.manners.tears_after.is_some()
    }

    /// Bytes a second that the wire carries at most: what is on its way has its room until it has been read.
    pub fn bytes_per_second(&self) -> f64 {
        let manners = &self.end.wire.manners;
        manners.room as f64 / manners.latency.max(Duration::from_micros(1)).as_secs_f64()
    }

    /// Whether the other end is there and the wire whole, as nobody in the world can know.
    pub fn is_whole(&self) -> bool {
        let wire = &self.end.wire;
        let torn = wire.world.upgrade().is_none_or(|world| wire.is_torn(world.elapsed()));
        !torn && !wire.sides[1 - self.end.side].gone.get()
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let side = &self.wire.sides[self.side];
        side.gone.set(true);
        let unread = !self.wire.halves[self.side].arrived.borrow().is_empty();
        if unread || side.by_reset.get() {
            self.wire.kill(self.side);
        } else if !side.dead.get() && !side.shut.replace(true) {
            self.wire.send(1 - self.side, Segment::End);
        }
    }
}
