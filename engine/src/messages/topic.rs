//! One subscription for many clients: what comes in is made into bytes once for each format, and every client gets the same bytes at its
//! own pace.
//!
//! ```text
//!   feed ─▶ feeder (a task) ─▶ log of a format: segment segment segment ◀── reader (a client's task, at a segment's number)
//!                          │                          └────────▶ audience: clients that have read all, and have no task
//!                          └─▶ log of another format ...
//! ```
//!
//! A log is bounded: a reader that falls out of it is cut, and the others never wait for it. It keeps segments only for readers that are
//! behind.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::ops::Deref;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use ringway_contract::{Cause, Delivery, Fault, Feed, Message, Origin, Render};
use ringway_net::{now, pause, spawn, yield_now};

use super::audience::Audience;
use super::segment::{Page, Segment};

/// Most bytes that a log of one format keeps for readers that are behind.
pub const LOG_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Messages that are rendered before the readers have their turn.
const BATCH_MAX: usize = 256;

/// How long a subscription stays when its last reader has gone: the next is often the same client again.
const LINGER: Duration = Duration::from_secs(5);

/// A shared subscription.
pub struct Topic {
    logs: RefCell<Vec<Weak<Log>>>,
    readers: Cell<usize>,
    state: Cell<State>,
    changed: Waiters,
    /// How often the broker was found away, and how the last time.
    away: Cell<(u32, Option<Fault>)>,
    /// Set when the last reader has gone.
    left: Waiters,
    /// Readers that fell out of a log.
    pub lagged: Cell<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The broker has not accepted it yet.
    Opening,
    Open,
    /// It has ended, with a fault or without.
    Ended(Option<Fault>),
}

/// What was rendered in one format.
struct Log {
    format: u64,
    renderer: Rc<dyn Render>,
    segments: RefCell<VecDeque<Segment>>,
    /// Number of the oldest segment.
    first: Cell<u64>,
    bytes: Cell<usize>,
    page: RefCell<Page>,
    /// Readers that come for their segments themselves.
    walking: Cell<usize>,
    /// Whether those who rest are being told of a segment.
    telling: Cell<bool>,
    /// When there was something last.
    grown_at: Cell<Instant>,
    grown: Waiters,
    audience: Rc<Audience>,
}

/// Tasks that wait for something that happens again and again.
#[derive(Default)]
struct Waiters(RefCell<Vec<Waker>>);

impl Waiters {
    fn add(&self, cx: &Context<'_>) {
        self.0.borrow_mut().push(cx.waker().clone());
    }

    fn wake(&self) {
        // Waking only queues tasks, but dropping a waker may drop a task, and that a reader.
        let woken = std::mem::take(&mut *self.0.borrow_mut());
        woken.iter().for_each(Waker::wake_by_ref);
        drop(woken);
    }
}

/// What a reader finds.
#[derive(Debug)]
pub enum Found {
    /// More bytes; whole messages.
    Segment(Segment),
    /// What it had still to read is gone.
    Lagged,
    /// The broker is away, and is tried again. Told once for each attempt.
    Away(Fault),
    /// There will be no more.
    Ended(Option<Fault>),
}

/// Somebody's interest in a topic: without any it ends.
struct Stake(Rc<Topic>);

/// One client's place in a log.
pub struct Reader {
    topic: Stake,
    log: Rc<Log>,
    /// Number of the next segment.
    next: u64,
    /// How often it was told that the broker is away.
    aways: u32,
    rests: bool,
}

impl Topic {
    /// Starts a topic on a feed. It ends by itself some time after its last reader has gone.
    pub fn start(feed: Feed) -> Rc<Self> {
        let topic = Rc::new(Self {
            logs: RefCell::default(),
            readers: Cell::new(0),
            state: Cell::new(State::Opening),
            changed: Waiters::default(),
            away: Cell::default(),
            left: Waiters::default(),
            lagged: Cell::new(0),
        });
        spawn(feed_all(topic.clone(), feed));
        topic
    }

    /// Whether it still brings messages.
    pub fn is_alive(&self) -> bool {
        !matches!(self.state.get(), State::Ended(_))
    }

    /// Waits until the broker has accepted the subscription. Where it is not the last hope, one that is away is not waited for.
    ///
    /// # Errors
    /// It has not.
    pub async fn opened(self: &Rc<Self>, last_hope: bool) -> Result<(), Fault> {
        // Whoever waits for it counts as a reader: it must not end because nobody has read yet.
        let _waits = Stake::new(self);
        poll_fn(|cx| match self.state.get() {
            State::Opening => match self.away.get() {
                (_, Some(fault)) if !last_hope => Poll::Ready(Err(fault)),
                _ => {
                    self.changed.add(cx);
                    Poll::Pending
                }
            },
            State::Open => Poll::Ready(Ok(())),
            State::Ended(fault) => Poll::Ready(Err(fault.unwrap_or(Fault::new(Cause::SubscribeFailed)))),
        })
        .await
    }

    /// A reader of what is rendered from now on, in a format that is not one client's own.
    pub fn read(self: &Rc<Self>, renderer: &Rc<dyn Render>, format: u64) -> Reader {
        let mut logs = self.logs.borrow_mut();
        let known = logs.iter().filter_map(Weak::upgrade).find(|log| log.format == format);
        let log = known.unwrap_or_else(|| {
            let log = Rc::new(Log {
                format,
                renderer: renderer.clone(),
                segments: RefCell::default(),
                first: Cell::new(0),
                bytes: Cell::new(0),
                page: RefCell::default(),
                walking: Cell::new(0),
                telling: Cell::new(false),
                grown_at: Cell::new(now()),
                grown: Waiters::default(),
                audience: Rc::default(),
            });
            logs.retain(|log| log.strong_count() > 0);
            logs.push(Rc::downgrade(&log));
            log
        });
        log.walking.set(log.walking.get() + 1);
        Reader { topic: Stake::new(self), next: log.end(), log, aways: self.away.get().0, rests: false }
    }

    fn logs(&self) -> Vec<Rc<Log>> {
        self.logs.borrow().iter().filter_map(Weak::upgrade).collect()
    }

    fn set(&self, state: State) {
        self.state.set(state);
        self.tell();
    }

    fn found_away(&self, fault: Fault) {
        self.away.set((self.away.get().0.wrapping_add(1), Some(fault)));
        self.tell();
    }

    /// Something that all have to know.
    fn tell(&self) {
        self.changed.wake();
        for log in self.logs() {
            log.grown.wake();
            log.audience.rouse_all();
        }
    }
}

impl Log {
    /// Number of the next segment.
    fn end(&self) -> u64 {
        self.first.get() + self.segments.borrow().len() as u64
    }

    fn render(&self, message: &Message, origin: &dyn Origin) {
        self.renderer.render(message, origin, self.page.borrow_mut().room());
    }

    /// Takes what was rendered, and brings it to everybody.
    async fn grow(&self) {
        let Some(segment) = self.page.borrow_mut().cut() else { return };
        let number = self.end();
        self.push(segment.clone());
        self.grown_at.set(now());
        self.grown.wake();
        self.telling.set(true);
        self.audience.tell(number, &segment).await;
        self.telling.set(false);
        drop(segment);
        self.forget();
    }

    fn push(&self, segment: Segment) {
        let mut segments = self.segments.borrow_mut();
        let mut bytes = self.bytes.get() + segment.len();
        segments.push_back(segment);
        while bytes > LOG_BYTES_MAX && segments.len() > 1 {
            bytes -= segments.pop_front().map_or(0, |oldest| oldest.len());
            self.first.set(self.first.get() + 1);
        }
        self.bytes.set(bytes);
    }

    /// Forgets what everybody has.
    fn forget(&self) {
        // One that rests now may be roused before it was told: then it comes for the segment.
        if self.walking.get() == 0 && !self.telling.get() {
            self.first.set(self.end());
            self.segments.borrow_mut().clear();
            self.bytes.set(0);
        }
    }
}

impl Reader {
    /// What comes next.
    pub fn poll_next(&mut self, cx: &Context<'_>) -> Poll<Found> {
        let found = self.find();
        if found.is_none() {
            self.log.grown.add(cx);
        }
        found.map_or(Poll::Pending, Poll::Ready)
    }

    /// What is there.
    fn find(&mut self) -> Option<Found> {
        let first = self.log.first.get();
        if self.next < first {
            self.topic.lagged.set(self.topic.lagged.get() + 1);
            return Some(Found::Lagged);
        }
        if let Some(segment) = self.take() {
            return Some(Found::Segment(segment));
        }
        if let State::Ended(fault) = self.topic.state.get() {
            return Some(Found::Ended(fault));
        }
        if let (count, Some(fault)) = self.topic.away.get()
            && count != self.aways
        {
            self.aways = count;
            return Some(Found::Away(fault));
        }
        None
    }

    /// The next segment, if there is one already.
    pub fn take(&mut self) -> Option<Segment> {
        let at = usize::try_from(self.next.checked_sub(self.log.first.get())?).ok()?;
        let segment = self.log.segments.borrow().get(at).cloned()?;
        self.next += 1;
        Some(segment)
    }

    /// Whether there is nothing for it.
    pub fn is_idle(&self) -> bool {
        let (count, away) = self.topic.away.get();
        self.next == self.log.end() && self.topic.is_alive() && (away.is_none() || count == self.aways)
    }

    /// When there was something for it last.
    pub fn grown_at(&self) -> Instant {
        self.log.grown_at.get()
    }

    /// Whether this segment is the next one for it, which it has then.
    pub fn passes(&mut self, number: u64) -> bool {
        let is_next = self.next == number;
        self.next += u64::from(is_next);
        is_next
    }

    /// Those that have read all, where this one may be.
    pub fn audience(&self) -> Rc<Audience> {
        self.log.audience.clone()
    }

    /// Says whether it comes for what there is itself, or is told as one of the audience.
    pub fn rest(&mut self, rests: bool) {
        if std::mem::replace(&mut self.rests, rests) != rests {
            let walking = self.log.walking.get();
            self.log.walking.set(if rests { walking.saturating_sub(1) } else { walking + 1 });
            self.log.forget();
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.rest(true);
    }
}

impl Stake {
    fn new(topic: &Rc<Topic>) -> Self {
        topic.readers.set(topic.readers.get() + 1);
        Self(topic.clone())
    }
}

impl Deref for Stake {
    type Target = Topic;

    fn deref(&self) -> &Topic {
        &self.0
    }
}

impl Drop for Stake {
    fn drop(&mut self) {
        let readers = self.0.readers.get().saturating_sub(1);
        self.0.readers.set(readers);
        if readers == 0 {
            self.0.left.wake();
        }
    }
}

/// Brings the feed's messages into the logs until it ends or nobody has read for a while.
async fn feed_all(topic: Rc<Topic>, mut feed: Feed) {
    let end = loop {
        let goes_on = {
            let mut unread = pin!(unread(&topic));
            poll_fn(|cx| match feed.poll_ready(cx) {
                Poll::Ready(present) => Poll::Ready(present),
                Poll::Pending => unread.as_mut().poll(cx).map(|()| false),
            })
            .await
        };
        if !goes_on {
            break None;
        }
        let logs = topic.logs();
        let (mut granted, mut ready, mut away, mut ended) = (0, false, None, None);
        feed.take_while(BATCH_MAX, |delivery, origin| {
            match delivery {
                Delivery::Message(message) => {
                    for log in &logs {
                        log.render(message, origin);
                    }
                    granted += message.weight();
                }
                Delivery::Ready => ready = true,
                Delivery::Away(fault) => away = Some(*fault),
                Delivery::Fault(fault) => ended = Some(*fault),
            }
            // Whoever waited for it takes a place first: what a broker has kept comes right behind this, often in one piece with it.
            !ready && ended.is_none()
        });
        feed.grant(granted);
        for log in logs {
            log.grow().await;
        }
        if ready {
            topic.away.set((topic.away.get().0, None));
            topic.set(State::Open);
        }
        if let Some(fault) = ended {
            break Some(fault);
        }
        if let Some(fault) = away {
            topic.found_away(fault);
        }
        // The readers' turn.
        yield_now().await;
    };
    topic.set(State::Ended(end));
}

/// Ready when nobody has read for a while.
async fn unread(topic: &Topic) {
    loop {
        poll_fn(|cx| match topic.readers.get() {
            0 => Poll::Ready(()),
            _ => {
                topic.left.add(cx);
                Poll::Pending
            }
        })
        .await;
        if !pause(LINGER).await || topic.readers.get() == 0 {
            return;
        }
    }
}
