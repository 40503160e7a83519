//! A world without a kernel: in-memory connections, a virtual clock, and one thread that runs every task in an order that a seed
//! decides. Only with the feature `sim`; production code has none of it.
//!
//! ```text
//!   World ── tasks      polled one at a time, the next one chosen by the seed
//!         ── events     what happens at a time: a delivery, the end of a sleep
//!         ── clock      moves to the next event when no task can go on
//!         ── wires      connections: bytes on their way, bytes that have arrived, ends, resets, tears
//! ```
//!
//! The engine runs in it as it is: where a [`World`] is entered, the sockets, listeners, timers and tasks of this crate are the
//! world's. What the peers do (`Conn`, [`listen`](World::listen), [`connect`](World::connect)) is a task of the same world. The same
//! seed gives the same run to the byte; [`World::fingerprint`] says so.

mod executor;
mod wire;

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use self::executor::Executor;
pub use self::wire::{Conn, Manners};
use crate::address::Peer;
use crate::driver::Driver;
use crate::listen::BoundListener;
use crate::shard::{Shard, ShardOptions};

thread_local! {
    static WORLD: RefCell<Option<Rc<World>>> = const { RefCell::new(None) };
}

/// Turns in which nothing happens that takes time, before the world is said to be stuck.
const TURNS_MAX: u32 = 1_000_000;

/// How long a world goes on when its shard is closed.
const AFTERMATH: Duration = Duration::from_secs(1);

/// When the clock begins: 2023-11-14, in milliseconds since 1970.
pub(crate) const UNIX_MS: u64 = 1_700_000_000_000;

/// See the module.
pub struct World {
    random: Cell<u64>,
    now: Cell<Duration>,
    base: Instant,
    executor: Executor,
    events: RefCell<BinaryHeap<Reverse<Event>>>,
    next_event: Cell<u64>,
    listeners: RefCell<HashMap<SocketAddr, Rc<Listening>>>,
    /// Connections that a listener has accepted and no shard has opened yet.
    accepted: RefCell<HashMap<u64, Conn>>,
    /// Ends that a shard holds, by what stands for their descriptor.
    held: RefCell<HashMap<i32, Conn>>,
    /// See [`dials_with`](Self::dials_with).
    dials: RefCell<Option<Box<dyn FnMut() -> Manners>>>,
    next_id: Cell<u64>,
    /// Until when it was asked, and the answer.
    worked: Cell<(Duration, Duration)>,
    fingerprint: Cell<u64>,
}

/// What a closed shard still holds: of each nothing, if all is well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Tasks.
    pub tasks: usize,
    /// Connected sockets.
    pub sockets: usize,
    /// Places in the table of deadlines.
    pub deadlines: usize,
}

/// What happens at a time; nothing when it was called off.
type Action = Rc<RefCell<Option<Box<dyn FnOnce()>>>>;

struct Event {
    at: Duration,
    number: u64,
    action: Action,
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for Event {}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Event {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// A listening socket of the world.
pub(crate) struct Listening {
    queue: RefCell<Vec<(Conn, SocketAddr)>>,
    wakers: RefCell<Vec<Waker>>,
    backlog: usize,
    open: Cell<bool>,
    /// See [`Listener::refuse`](crate::Listener::refuse).
    refuses: Cell<bool>,
}

impl World {
    /// A world of this seed.
    pub fn new(seed: u64) -> Rc<Self> {
        Rc::new(Self {
            // Neighbouring seeds must not begin alike.
            random: Cell::new(mix(seed ^ 0x9e37_79b9_7f4a_7c15) | 1),
            now: Cell::new(Duration::ZERO),
            base: Instant::now(),
            executor: Executor::default(),
            events: RefCell::default(),
            next_event: Cell::new(0),
            listeners: RefCell::default(),
            accepted: RefCell::default(),
            held: RefCell::default(),
            dials: RefCell::default(),
            next_id: Cell::new(1),
            worked: Cell::default(),
            fingerprint: Cell::new(seed),
        })
    }

    /// The time since the world began.
    pub fn elapsed(&self) -> Duration {
        self.now.get()
    }

    /// How long its processor has worked: as a rule it always does.
    pub(crate) fn worked(&self) -> Duration {
        let (before, worked) = self.worked.get();
        let share = if self.once_in(8) { u32::try_from(self.below(101)).unwrap_or_default() } else { 100 };
        let worked = worked + (self.now.get() - before) * share / 100;
        self.worked.set((self.now.get(), worked));
        worked
    }

    /// A random number: xorshift64*.
    pub fn random(&self) -> u64 {
        let mut x = self.random.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.random.set(x);
        x.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// One below `bound`, which is at least 1.
    pub fn below(&self, bound: u64) -> u64 {
        (self.random() >> 16) % bound.max(1)
    }

    /// Whether something happens that does so once in `times`.
    pub fn once_in(&self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// Says what happened so far: two runs with the same figure were the same.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint.get()
    }

    /// Adds something that has happened to the fingerprint.
    pub fn note(&self, what: u64) {
        let now = u64::try_from(self.now.get().as_nanos()).unwrap_or(u64::MAX);
        self.fingerprint.set(mix(self.fingerprint.get() ^ mix(what) ^ now.rotate_left(17)));
    }

    /// Runs a task of the world: a peer's, not the shard's.
    pub fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        self.executor.spawn(Box::pin(future));
    }

    /// Runs `future` for at most `limit`.
    pub async fn within<F: Future>(self: &Rc<Self>, limit: Duration, future: F) -> Option<F::Output> {
        let (mut future, mut late) = (pin!(future), pin!(self.sleep(limit)));
        poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => late.as_mut().poll(context).map(|()| None),
        })
        .await
    }

    /// Sleeps.
    pub async fn sleep(self: &Rc<Self>, duration: Duration) {
        Sleep { world: Rc::clone(self), until: self.now.get().saturating_add(duration), event: None }.await;
    }

    /// Runs a shard in this world to the end of `main`, and closes it; `main`'s output, and what the shard still held then.
    ///
    /// # Panics
    /// When nothing can ever happen again and `main` is not done, or something goes on for ever without taking time.
    pub fn run<F, Fut>(self: &Rc<Self>, options: &ShardOptions, main: F) -> (Fut::Output, Left)
    where
        F: FnOnce(Rc<Shard>) -> Fut + 'static,
        Fut: Future + 'static,
        Fut::Output: 'static,
    {
        let _entered = Entered::new(self);
        let output = Rc::new(RefCell::new(None));
        let (id, options) = (options.id, options.clone());
        self.spawn({
            let output = Rc::clone(&output);
            async move {
                let shard = Shard::simulated(&options);
                let done = main(Rc::clone(&shard)).await;
                shard.close().await;
                let left = Left { tasks: shard.tasks(), sockets: shard.sockets(), deadlines: shard.timers.slots() };
                // The peers shall hear of it.
                crate::clock::sleep(AFTERMATH).await;
                *output.borrow_mut() = Some((done, left));
            }
        });
        let mut turns = 0;
        while output.borrow().is_none() {
            if self.executor.turn(|ready| self.below(ready as u64) as usize) {
                turns += 1;
                assert!(turns < TURNS_MAX, "shard {id}: something goes on without end and takes no time");
            } else {
                turns = 0;
                assert!(self.advance(), "shard {id}: every task waits, and nothing is going to happen");
            }
        }
        // What is left of the tasks is dropped in this world, not after it.
        self.executor.clear();
        self.events.take();
        self.listeners.take();
        self.accepted.take();
        self.held.take();
        match output.take() {
            Some(output) => output,
            None => unreachable!("the loop above ends with one"),
        }
    }

    /// Goes to the next event. `false` when there is none.
    fn advance(&self) -> bool {
        loop {
            let Some(Reverse(event)) = self.events.borrow_mut().pop() else { return false };
            let Some(action) = event.action.borrow_mut().take() else { continue };
            self.now.set(self.now.get().max(event.at));
            action();
            return true;
        }
    }

    /// Has `action` done after `delay`.
    fn after(&self, delay: Duration, action: impl FnOnce() + 'static) -> Action {
        let action: Action = Rc::new(RefCell::new(Some(Box::new(action))));
        let number = self.next_event.get();
        self.next_event.set(number + 1);
        let at = self.now.get().saturating_add(delay);
        self.events.borrow_mut().push(Reverse(Event { at, number, action: Rc::clone(&action) }));
        action
    }

    fn id(&self) -> u64 {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        id
    }

    /// Listens: for a shard, which takes the listener as any other.
    pub fn bind(&self, address: SocketAddr, backlog: usize) -> BoundListener {
        self.listening(address, backlog);
        BoundListener::simulated(address)
    }

    /// Listens: for a peer. Each connection is given to `serve`, whose future is a task of the world.
    pub fn listen<Fut: Future<Output = ()> + 'static>(
        self: &Rc<Self>,
        address: SocketAddr,
        mut serve: impl FnMut(Conn) -> Fut + 'static,
    ) {
        let (world, listening) = (Rc::clone(self), self.listening(address, usize::MAX));
        self.spawn(async move {
            loop {
                listening.readable().await;
                while let Some((conn, _)) = listening.take() {
                    world.spawn(serve(conn));
                }
            }
        });
    }

    fn listening(&self, address: SocketAddr, backlog: usize) -> Rc<Listening> {
        let listening = Rc::new(Listening {
            queue: RefCell::default(),
            wakers: RefCell::default(),
            backlog,
            open: Cell::new(true),
            refuses: Cell::new(false),
        });
        self.listeners.borrow_mut().insert(address, Rc::clone(&listening));
        listening
    }

    /// Connects to whoever listens at `address`. The wire has the manners of `manners`.
    ///
    /// # Errors
    /// Nobody does. A listener that refuses or is full never answers.
    pub async fn connect(self: &Rc<Self>, address: SocketAddr, from: SocketAddr, manners: Manners) -> io::Result<Conn> {
        self.sleep(manners.latency * 2).await;
        let listening = self.listeners.borrow().get(&address).cloned();
        let Some(listening) = listening.filter(|listening| listening.open.get()) else {
            self.note(1);
            return Err(io::ErrorKind::ConnectionRefused.into());
        };
        if manners.is_dead || listening.refuses.get() || listening.queue.borrow().len() >= listening.backlog {
            std::future::pending::<()>().await;
        }
        let (near, far) = wire::pair(self, manners, from, address);
        listening.queue.borrow_mut().push((far, from));
        listening.wake();
        self.note(2);
        Ok(near)
    }

    pub(crate) fn listening_at(&self, address: SocketAddr) -> Option<Rc<Listening>> {
        self.listeners.borrow().get(&address).cloned()
    }

    /// Says what the wires are like that the shard's own connections go over; asked for each.
    pub fn dials_with(&self, manners: impl FnMut() -> Manners + 'static) {
        *self.dials.borrow_mut() = Some(Box::new(manners));
    }

    /// Connects for the shard.
    pub(crate) async fn dial(self: &Rc<Self>, address: SocketAddr) -> io::Result<Conn> {
        let manners = self.dials.borrow_mut().as_mut().map_or_else(Manners::default, |manners| manners());
        self.connect(address, SocketAddr::from(([127, 0, 0, 1], 1)), manners).await
    }

    pub(crate) fn hold(&self, conn: &Conn) -> i32 {
        // Beyond what a descriptor table holds.
        let id = (1 << 30) + self.id() as i32;
        self.held.borrow_mut().insert(id, conn.clone());
        id
    }

    pub(crate) fn release(&self, id: i32) -> Option<Conn> {
        self.held.borrow_mut().remove(&id)
    }

    pub(crate) fn held(&self, id: i32) -> Option<Conn> {
        self.held.borrow().get(&id).cloned()
    }

    /// Takes a connection from the queue, for [`open`](Self::open).
    pub(crate) fn accept(&self, address: SocketAddr) -> Option<(u64, Peer)> {
        let (conn, from) = self.listening_at(address)?.take()?;
        let id = self.id();
        self.accepted.borrow_mut().insert(id, conn);
        Some((id, Peer::Tcp(from)))
    }

    pub(crate) fn open(&self, id: u64) -> Option<Conn> {
        self.accepted.borrow_mut().remove(&id)
    }

    /// What was accepted and is not wanted.
    pub(crate) fn discard(&self, id: u64) {
        drop(self.open(id));
    }
}

impl Listening {
    fn take(&self) -> Option<(Conn, SocketAddr)> {
        let mut queue = self.queue.borrow_mut();
        (!queue.is_empty()).then(|| queue.remove(0))
    }

    pub(crate) fn refuse(&self) {
        self.refuses.set(true);
    }

    pub(crate) async fn readable(&self) {
        poll_fn(|context| {
            if !self.queue.borrow().is_empty() {
                return Poll::Ready(());
            }
            self.wakers.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn wake(&self) {
        self.wakers.take().into_iter().for_each(Waker::wake);
    }

    /// Closes it: who is in the queue is reset.
    pub(crate) fn close(&self) {
        self.open.set(false);
        for (conn, _) in self.queue.take() {
            conn.reset();
        }
    }
}

struct Sleep {
    world: Rc<World>,
    until: Duration,
    event: Option<Action>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: std::pin::Pin<&mut Self>, context: &mut std::task::Context<'_>) -> Poll<()> {
        let now = self.world.now.get();
        if now >= self.until {
            return Poll::Ready(());
        }
        if let Some(old) = self.event.take() {
            old.borrow_mut().take();
        }
        let waker = context.waker().clone();
        self.event = Some(self.world.after(self.until - now, move || waker.wake()));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(event) = self.event.take() {
            event.borrow_mut().take();
        }
    }
}

/// This thread is in a world.
struct Entered;

impl Entered {
    fn new(world: &Rc<World>) -> Self {
        WORLD.with(|current| current.replace(Some(Rc::clone(world))));
        Self
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        Shard::leave();
        WORLD.with(|current| current.take());
    }
}

/// The world that this thread is in, if it is in one.
pub(crate) fn current() -> Option<Rc<World>> {
    WORLD.try_with(|world| world.borrow().clone()).ok().flatten()
}

/// The time, where it is the world's.
pub(crate) fn now() -> Option<Instant> {
    WORLD.try_with(|world| world.borrow().as_ref().map(|world| world.base + world.now.get())).ok().flatten()
}

/// The driver that a simulated shard says it has: sockets that do not block, and no ring.
pub(crate) const DRIVER: Driver = Driver::Epoll;

/// splitmix64's finish.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
