//! A shard's connection to a Redis: one for all that use the same server, with as many commands under way as come.
//!
//! ```text
//!   ask ─▶ out ══ written together ══▶ Redis        a task of the shard connects, writes and reads,
//!   ask ◀─ waiting (first in, first out) ◀══ read    and connects again when the connection is gone
//! ```
//!
//! While it is away, nobody waits for it: whoever asks is told at once.

pub mod figures;
pub(crate) mod resp;
mod server;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::BytesMut;
use futures_util::future::{Either, select};
use ringway_contract::kind::Services;
use ringway_contract::{ByteStream, Dial, Refusal};

use self::figures::Figures;
pub use self::resp::Reply;
pub use self::server::{Sentinels, Server};

/// Commands that wait for their answers.
const WAITING_MAX: usize = 4096;
/// Bytes of commands that wait to be written.
const OUT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of one reply, besides its lines.
pub const REPLY_BYTES_MAX: usize = 5 * 1024 * 1024;
/// What is read at once.
const READ_BYTES: usize = 16 * 1024;
/// Between two attempts to connect, at first and at last.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// There was no answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Away;

type Sleep = fn(Duration) -> Pin<Box<dyn Future<Output = ()>>>;

/// A shard's way to one Redis.
pub struct Redis {
    wires: Rc<Wires>,
    timeout: Duration,
    sleep: Sleep,
}

/// How the connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    /// The first attempt is under way: whoever asks waits for it.
    New,
    Up,
    Away,
}

/// What the users of the connection and its task share.
struct Wires {
    server: Server,
    name: String,
    figures: Arc<Figures>,
    stand: Cell<Stand>,
    /// Connections that there were: what one of them has told need not hold for the next.
    risen: Cell<u64>,
    out: RefCell<BytesMut>,
    waiting: RefCell<VecDeque<Rc<Slot>>>,
    /// Why the connection is to be given up.
    broken: RefCell<Option<String>>,
    /// Nobody uses it any more.
    closed: Cell<bool>,
    writer: Cell<Option<Waker>>,
    breaking: Cell<Option<Waker>>,
    closing: Cell<Option<Waker>>,
}

/// Where an answer is put.
#[derive(Default)]
struct Slot {
    answer: RefCell<Option<Result<Reply, Away>>>,
    waker: Cell<Option<Waker>>,
}

impl Slot {
    fn put(&self, answer: Result<Reply, Away>) {
        *self.answer.borrow_mut() = Some(answer);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    async fn answered(&self) -> Result<Reply, Away> {
        poll_fn(|cx| match self.answer.borrow_mut().take() {
            Some(answer) => Poll::Ready(answer),
            None => {
                self.waker.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }
}

thread_local! {
    static SHARED: RefCell<HashMap<Server, Weak<Redis>>> = RefCell::default();
}

impl Redis {
    /// The shard's own for this server. It connects at once, and lives as long as somebody has it.
    ///
    /// # Errors
    /// It can never be reached: its TLS is wrong, or there is nothing to dial with.
    pub fn shared(server: Server, services: &Services) -> Result<Rc<Self>, Refusal> {
        let dial = services.dial.clone().ok_or_else(|| Refusal("there is nothing to reach a Redis with".into()))?;
        dial.check(&server.remote)?;
        let known = SHARED.with_borrow(|shared| shared.get(&server).and_then(Weak::upgrade));
        if let Some(redis) = known {
            return Ok(redis);
        }
        let name = server.name();
        let wires = Rc::new(Wires {
            figures: figures::of(&name),
            name,
            stand: Cell::new(Stand::New),
            risen: Cell::new(0),
            out: RefCell::default(),
            waiting: RefCell::default(),
            broken: RefCell::default(),
            closed: Cell::new(false),
            writer: Cell::default(),
            breaking: Cell::default(),
            closing: Cell::default(),
            server: server.clone(),
        });
        let redis = Rc::new(Self { wires: wires.clone(), timeout: server.timeout, sleep: services.sleep });
        SHARED.with_borrow_mut(|shared| {
            shared.retain(|_, redis| redis.strong_count() > 0);
            shared.insert(server, Rc::downgrade(&redis));
        });
        let sleep = services.sleep;
        (services.spawn)(Box::pin(async move {
            let closed = wires.closed();
            let life = wires.live(dial, sleep);
            select(pin!(closed), pin!(life)).await;
            wires.settle();
        }));
        Ok(redis)
    }

    /// Whether nobody need ask.
    pub fn is_away(&self) -> bool {
        self.wires.stand.get() == Stand::Away
    }

    /// Which connection this is, counted from 1. Behind another one there may be another server, or the same one empty.
    pub fn connection(&self) -> u64 {
        self.wires.risen.get()
    }

    /// What is counted of it.
    pub fn figures(&self) -> &Figures {
        &self.wires.figures
    }

    /// Sends a command, and waits for its answer.
    ///
    /// # Errors
    /// There is none in time, or the command was refused.
    pub async fn ask(&self, parts: &[&[u8]]) -> Result<Reply, Away> {
        let slot = self.wires.send(parts)?;
        let late = (self.sleep)(self.timeout_now());
        let answer = match select(pin!(slot.answered()), late).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => {
                self.wires.break_off("there was no answer in time");
                Err(Away)
            }
        };
        match answer {
            Ok(Reply::Error(why)) => {
                tracing::warn!(server = self.wires.name, why, "Redis refused a command");
                // Of a server that was the master, or has lost the scripts; another connection finds what is right.
                if ["READONLY", "NOSCRIPT", "LOADING", "MASTERDOWN"].iter().any(|mark| why.starts_with(mark)) {
                    self.wires.break_off(&why);
                }
                self.wires.figures.failures.fetch_add(1, Relaxed);
                Err(Away)
            }
            Ok(reply) => Ok(reply),
            Err(Away) => {
                self.wires.figures.failures.fetch_add(1, Relaxed);
                Err(Away)
            }
        }
    }

    /// Before the first connection its making is waited for, too.
    fn timeout_now(&self) -> Duration {
        match self.wires.stand.get() {
            Stand::New => self.wires.server.remote.timeout + self.timeout,
            _ => self.timeout,
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.wires.closed.set(true);
        if let Some(waker) = self.wires.closing.take() {
            waker.wake();
        }
    }
}

impl Wires {
    fn send(&self, parts: &[&[u8]]) -> Result<Rc<Slot>, Away> {
        let (mut out, mut waiting) = (self.out.borrow_mut(), self.waiting.borrow_mut());
        let bytes: usize = parts.iter().map(|part| part.len() + 32).sum();
        if self.stand.get() == Stand::Away || waiting.len() >= WAITING_MAX || out.len() + bytes > OUT_BYTES_MAX {
            return Err(Away);
        }
        resp::encode(&mut out, parts);
        let slot = Rc::new(Slot::default());
        waiting.push_back(slot.clone());
        self.figures.commands.fetch_add(1, Relaxed);
        wake(&self.writer);
        Ok(slot)
    }

    fn break_off(&self, why: &str) {
        self.broken.borrow_mut().get_or_insert_with(|| why.to_owned());
        wake(&self.breaking);
    }

    async fn closed(&self) {
        poll_fn(|cx| {
            if self.closed.get() {
                return Poll::Ready(());
            }
            self.closing.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    /// Connects again and again.
    async fn live(&self, dial: Rc<dyn Dial>, sleep: Sleep) {
        let (first, longest) = PAUSE;
        let mut pause = first;
        loop {
            let connecting = self.server.connect(&*dial);
            // With sentinels there are several connections to make.
            let late = sleep(self.server.remote.timeout.saturating_mul(2));
            let connected = match select(pin!(connecting), late).await {
                Either::Left((connected, _)) => connected,
                Either::Right(_) => Err(io::ErrorKind::TimedOut.into()),
            };
            let why = match connected {
                Ok(stream) => {
                    self.rise();
                    pause = first;
                    let why = self.carry(&*stream).await;
                    self.figures.up.fetch_sub(1, Relaxed);
                    why
                }
                Err(error) => error,
            };
            self.fall(&why);
            sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    fn rise(&self) {
        self.figures.up.fetch_add(1, Relaxed);
        self.risen.set(self.risen.get() + 1);
        if self.stand.replace(Stand::Up) == Stand::Away && self.figures.away.fetch_sub(1, Relaxed) == 1 {
            tracing::info!(server = self.name, "Redis is back");
        }
        self.broken.take();
    }

    fn fall(&self, why: &io::Error) {
        if self.stand.replace(Stand::Away) != Stand::Away && self.figures.away.fetch_add(1, Relaxed) == 0 {
            tracing::warn!(server = self.name, error = %why, "Redis is away: this gateway counts for itself, and caches in it are empty");
        }
        self.refuse_all();
    }

    fn refuse_all(&self) {
        self.out.borrow_mut().clear();
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        waiting.iter().for_each(|slot| slot.put(Err(Away)));
    }

    /// What is left to do when nobody uses it any more.
    fn settle(&self) {
        match self.stand.replace(Stand::Away) {
            Stand::Up => self.figures.up.fetch_sub(1, Relaxed),
            Stand::Away => self.figures.away.fetch_sub(1, Relaxed),
            Stand::New => 0,
        };
        self.refuse_all();
    }

    /// Writes and reads until that ends.
    async fn carry(&self, stream: &dyn ByteStream) -> io::Error {
        let (reads, writes, given_up) = (pin!(self.read(stream)), pin!(self.write(stream)), pin!(self.given_up()));
        match select(select(reads, writes), given_up).await {
            Either::Left((Either::Left((error, _)) | Either::Right((error, _)), _)) | Either::Right((error, _)) => {
                error
            }
        }
    }

    async fn given_up(&self) -> io::Error {
        poll_fn(|cx| match self.broken.take() {
            Some(why) => Poll::Ready(io::Error::other(why)),
            None => {
                self.breaking.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }

    async fn write(&self, stream: &dyn ByteStream) -> io::Error {
        loop {
            let next = poll_fn(|cx| {
                let mut out = self.out.borrow_mut();
                if out.is_empty() {
                    self.writer.set(Some(cx.waker().clone()));
                    return Poll::Pending;
                }
                Poll::Ready(out.split())
            });
            if let Err(error) = stream.write(next.await).await {
                return error;
            }
        }
    }

    async fn read(&self, stream: &dyn ByteStream) -> io::Error {
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(READ_BYTES);
            let (count, back) = stream.read(buffer).await;
            buffer = back;
            match count {
                Ok(0) => return io::ErrorKind::UnexpectedEof.into(),
                Ok(_) => {}
                Err(error) => return error,
            }
            loop {
                match resp::decode(&mut buffer, REPLY_BYTES_MAX) {
                    Ok(Some(reply)) => match self.waiting.borrow_mut().pop_front() {
                        Some(slot) => slot.put(Ok(reply)),
                        None => return io::Error::other("an answer to nothing"),
                    },
                    Ok(None) => break,
                    Err(error) => return io::Error::other(error),
                }
            }
        }
    }
}

fn wake(waker: &Cell<Option<Waker>>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}
