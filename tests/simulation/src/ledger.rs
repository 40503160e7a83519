//! What was asked, sent, answered and read, and what must hold of it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use ringway_net::sim::World;

use crate::talks::Talks;

/// Breaches that are written down; more would not tell more.
const BREACHES_MAX: usize = 20;

/// How often what happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Requests that clients sent.
    pub asked: u64,
    /// Requests that reached a backend.
    pub arrived: u64,
    /// Responses that a client read to their end.
    pub whole: u64,
    /// Responses that broke off.
    pub cut: u64,
    /// Responses of the gateway's own.
    pub refused: u64,
    /// Requests without any response.
    pub unanswered: u64,
    /// Requests that became tunnels.
    pub tunnels: u64,
    /// Tunnels through which both sides heard all that the other had to say.
    pub talked: u64,
    /// Streams, WebSockets and collections of messages that clients got.
    pub subscriptions: u64,
    /// Those that came to the end of their messages.
    pub complete: u64,
    /// Messages that clients got.
    pub messages: u64,
    /// Messages that clients gave to the wire.
    pub published: u64,
    /// Those of which they know that the gateway has taken them.
    pub taken: u64,
    /// Requests that had to wait until others had ended.
    pub held_back: u64,
}

impl Figures {
    /// Adds those of another seed.
    pub fn add(&mut self, other: &Self) {
        self.each().into_iter().zip(Self::each(&mut other.clone())).for_each(|(total, more)| *total += *more);
    }

    /// The least of them: of many seeds, all should have happened.
    pub fn least(&self) -> u64 {
        Self::each(&mut self.clone()).into_iter().map(|figure| *figure).min().unwrap_or_default()
    }

    fn each(&mut self) -> [&mut u64; 14] {
        let Self { asked, arrived, whole, cut, refused, unanswered, tunnels, talked, .. } = self;
        let Self { subscriptions, complete, messages, published, taken, held_back, .. } = self;
        [
            asked,
            arrived,
            whole,
            cut,
            refused,
            unanswered,
            tunnels,
            talked,
            subscriptions,
            complete,
            messages,
            published,
            taken,
            held_back,
        ]
    }
}

/// A request, from its client's pen.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub method: &'static str,
    /// Bytes of its body.
    pub body: usize,
    /// Whether all of it was given to the wire.
    pub is_sent: bool,
    /// How often its head reached a backend.
    pub arrivals: u64,
    /// What backends said to it.
    pub answers: Vec<Answer>,
}

/// A backend's response.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// Bytes of its body, had it come to its end.
    pub body: usize,
    /// Whether it did, as far as its backend is concerned.
    pub is_whole: bool,
}

pub struct Ledger {
    world: Rc<World>,
    tells: bool,
    next: Cell<u64>,
    asked: RefCell<BTreeMap<u64, Asked>>,
    figures: Cell<Figures>,
    breaches: RefCell<Vec<String>>,
    story: RefCell<Vec<String>>,
    /// See `talks.rs`.
    pub talks: Talks,
    /// When the gateway was first told to end streams: by a reload, or a drain.
    dismissed_at: Cell<Option<Duration>>,
    stopped_at: Cell<Option<Duration>>,
}

/// The length of a body without end, which is one piece again and again.
pub const ENDLESS: usize = usize::MAX;
/// Bytes of that piece.
pub const ENDLESS_PIECE: usize = 8_000;

/// The bytes of a body: each request's and each answer's are their own.
pub fn pattern(tag: u64, number: u64, length: usize) -> Vec<u8> {
    let seed = tag.wrapping_mul(31).wrapping_add(number.wrapping_mul(17)).wrapping_add(7);
    (0..length as u64).map(|at| b'a' + (seed.wrapping_add(at.wrapping_mul(at / 7 + 3)) % 26) as u8).collect()
}

impl Ledger {
    pub fn new(world: Rc<World>, tells: bool) -> Self {
        Self {
            world,
            tells,
            next: Cell::new(1),
            asked: RefCell::default(),
            figures: Cell::default(),
            breaches: RefCell::default(),
            story: RefCell::default(),
            talks: Talks::default(),
            dismissed_at: Cell::default(),
            stopped_at: Cell::default(),
        }
    }

    /// The time of the world.
    pub fn elapsed(&self) -> Duration {
        self.world.elapsed()
    }

    /// The gateway is told what ends the streams of message APIs.
    pub fn dismisses(&self) {
        self.dismissed_at.set(self.dismissed_at.get().or(Some(self.elapsed())));
    }

    /// Whether it was.
    pub fn has_dismissed(&self) -> bool {
        self.dismissed_at.get().is_some()
    }

    /// The gateway is told to stop.
    pub fn stops(&self) {
        self.stopped_at.set(Some(self.elapsed()));
    }

    /// When it was, if it was in the middle of something.
    pub fn stopped_at(&self) -> Option<Duration> {
        self.stopped_at.get()
    }

    /// A new request's tag.
    pub fn ask(&self, method: &'static str, body: usize) -> u64 {
        let tag = self.next.get();
        self.next.set(tag + 1);
        self.asked.borrow_mut().insert(tag, Asked { method, body, ..Asked::default() });
        self.count(|figures| figures.asked += 1);
        tag
    }

    pub fn sent(&self, tag: u64) {
        self.change(tag, |asked| asked.is_sent = true);
    }

    /// A request's head has reached a backend.
    pub fn arrived(&self, tag: u64, method: &str, retries: u64) {
        self.count(|figures| figures.arrived += 1);
        let Some(asked) = self.change(tag, |asked| asked.arrivals += 1) else {
            return self.breach(format!("a backend got a request {tag} that nobody sent"));
        };
        if asked.method != method {
            self.breach(format!("request {tag} is a {} and arrived as {method}", asked.method));
        }
        let is_safe = asked.method != "POST" && asked.body == 0;
        // One stale connection, and what failover repeats.
        let max = if is_safe { 2 + retries } else { 1 };
        if asked.arrivals > max {
            self.breach(format!(
                "request {tag}, a {} with {} bytes, arrived {} times",
                method, asked.body, asked.arrivals
            ));
        }
    }

    /// A backend believes that it has a request's whole body.
    pub fn received(&self, tag: u64, body: &[u8]) {
        let Some(asked) = self.asked.borrow().get(&tag).cloned() else { return };
        if body != pattern(tag, 0, asked.body) {
            self.breach(format!(
                "request {tag} has {} bytes of a body, and arrived as whole with {}",
                asked.body,
                body.len()
            ));
        }
    }

    /// A backend begins an answer; its number.
    pub fn answer(&self, tag: u64, body: usize) -> u64 {
        let answered = self.change(tag, |asked| asked.answers.push(Answer { body, is_whole: false }));
        answered.map_or(0, |asked| asked.answers.len() as u64)
    }

    /// The answer has come to its end.
    pub fn answered(&self, tag: u64, number: u64) {
        self.change(tag, |asked| {
            if let Some(answer) = asked.answers.get_mut(number as usize - 1) {
                answer.is_whole = true;
            }
        });
    }

    /// A client has read so much of a backend's response to its request `tag`. The answer says that it is `of` and has a `number`.
    pub fn read(&self, tag: u64, of: u64, number: u64, body: &[u8], is_whole: bool, is_bodiless: bool) {
        if of != tag {
            return self.breach(format!("request {tag} was answered with the response to {of}"));
        }
        let Some(asked) = self.asked.borrow().get(&tag).cloned() else { return };
        let Some(answer) = usize::try_from(number).ok().and_then(|number| asked.answers.get(number.checked_sub(1)?))
        else {
            return self.breach(format!("request {tag} was answered with a response {number} that no backend gave"));
        };
        self.count(|figures| if is_whole { figures.whole += 1 } else { figures.cut += 1 });
        let is_part = match answer.body {
            ENDLESS => {
                let piece = pattern(tag, number, ENDLESS_PIECE);
                body.chunks(ENDLESS_PIECE).all(|part| piece.starts_with(part))
            }
            length => pattern(tag, number, length).starts_with(body),
        };
        if !is_part {
            return self
                .breach(format!("the body of the response to {tag} is another one, within {} bytes", body.len()));
        }
        if is_whole && !is_bodiless && (!answer.is_whole || body.len() < answer.body) {
            self.breach(format!(
                "the response to {tag} looks whole with {} bytes; its backend meant to send {}, and {}",
                body.len(),
                answer.body,
                if answer.is_whole { "did" } else { "broke off" },
            ));
        }
    }

    /// Messages that clients gave to the wire, and those of which they know that they were taken.
    pub fn published(&self) -> (u64, u64) {
        let figures = self.figures.get();
        (figures.published, figures.taken)
    }

    pub fn count(&self, count: impl FnOnce(&mut Figures)) {
        let mut figures = self.figures.get();
        count(&mut figures);
        self.figures.set(figures);
    }

    /// Something must hold and does not.
    pub fn breach(&self, what: String) {
        self.tell(|| format!("BREACH: {what}"));
        let mut breaches = self.breaches.borrow_mut();
        if breaches.len() < BREACHES_MAX {
            breaches.push(format!("{what} (at {})", seconds(self.world.elapsed())));
        }
    }

    /// Something happens.
    pub fn tell(&self, what: impl FnOnce() -> String) {
        if self.tells {
            self.story.borrow_mut().push(format!("{} {}", seconds(self.world.elapsed()), what()));
        }
    }

    pub fn close(&self) -> (Vec<String>, Figures, Vec<String>) {
        (self.breaches.take(), self.figures.get(), self.story.take())
    }

    fn change(&self, tag: u64, change: impl FnOnce(&mut Asked)) -> Option<Asked> {
        let mut all = self.asked.borrow_mut();
        let asked = all.get_mut(&tag)?;
        change(asked);
        Some(asked.clone())
    }
}

fn seconds(elapsed: Duration) -> String {
    format!("{:.6} s", elapsed.as_secs_f64())
}
