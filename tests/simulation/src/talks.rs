//! The ledger of tunnels: what each side has said and heard, and why a talk may be cut.
//!
//! ```text
//!   client ─ says ▶ [ up: of the request ] ─▶ hears ─ backend      what is heard is a beginning of what was said, byte for byte;
//!   client ◀ hears ─ [ down: of the 101 ] ◀─ says ─ backend        and all of it, unless the talk was spoilt before
//! ```

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use crate::http::End;
use crate::ledger::{Ledger, pattern};

/// A request, and who speaks: 0 for its client, and for a backend the number of its answer.
type Speaker = (u64, u64);

/// The sides of all talks.
#[derive(Default)]
pub struct Talks {
    sides: RefCell<BTreeMap<Speaker, Said>>,
    /// The answer by which a request became a tunnel, as its client has read it.
    opened: RefCell<BTreeMap<u64, u64>>,
    /// Backends that wait for the end of a talk, on wires that do not tear.
    listening: Cell<usize>,
}

/// One side.
struct Said {
    /// All that it is going to say.
    bytes: Vec<u8>,
    /// So much of it was given to the wire.
    said: usize,
    /// So much has it heard of the other.
    heard: usize,
    /// When it has heard the end, and which.
    ended: Option<(Duration, End)>,
    /// When it has done what cuts the talk, and what that was.
    spoilt: Option<(Duration, &'static str)>,
}

/// One side, for whoever is it. Dropped before [`over`](Self::over), it has left in the middle: a future that is cut tells nobody.
pub struct Side<'a> {
    ledger: &'a Ledger,
    speaker: Speaker,
    is_listening: bool,
}

impl Ledger {
    /// A side that is going to say so many bytes. `tears`: its wire does, some day.
    pub fn side(&self, (tag, number): Speaker, total: usize, tears: bool) -> Side<'_> {
        let said = Said { bytes: pattern(tag, number, total), said: 0, heard: 0, ended: None, spoilt: None };
        self.talks.sides.borrow_mut().insert((tag, number), said);
        let side = Side { ledger: self, speaker: (tag, number), is_listening: number > 0 && !tears };
        if tears {
            side.spoils("its wire tears");
        }
        if side.is_listening {
            self.talks.listening.set(self.talks.listening.get() + 1);
        }
        side
    }

    /// A client has read the 101 to its request: its other side is this answer's backend.
    pub fn opened(&self, tag: u64, number: u64) {
        if !self.talks.sides.borrow().contains_key(&(tag, number)) {
            return self.breach(format!("request {tag} became a tunnel by an answer {number} that no backend gave"));
        }
        self.talks.opened.borrow_mut().insert(tag, number);
        self.count(|figures| figures.tunnels += 1);
    }

    /// Backends that nobody has told that their talk is over.
    pub fn listening(&self) -> usize {
        self.talks.listening.get()
    }

    /// What must hold of the talks, now that all are over.
    pub fn judge_talks(&self) {
        let sides = self.talks.sides.borrow();
        for (&tag, &number) in self.talks.opened.borrow().iter() {
            let (Some(client), Some(backend)) = (sides.get(&(tag, 0)), sides.get(&(tag, number))) else { continue };
            let stopped = self.stopped_at().map(|at| (at, "the gateway stops"));
            let spoilt = [client.spoilt, backend.spoilt, stopped].into_iter().flatten().min_by_key(|(at, _)| *at);
            let whole =
                [("client", client, backend), ("backend", backend, client)].map(|(name, hearer, speaker)| {
                    let Some((at, end)) = hearer.ended else { return false };
                    let is_whole = end == End::Closed && hearer.heard == speaker.bytes.len();
                    if !is_whole && spoilt.is_none_or(|(since, _)| since > at) {
                        self.breach(format!(
                            "in tunnel {tag} nobody did any harm until {at:?}, when the {name} hears {end:?} behind {} bytes; the \
                             other side has said {} of {}",
                            hearer.heard,
                            speaker.said,
                            speaker.bytes.len()
                        ));
                    }
                    is_whole
                });
            if whole == [true, true] {
                self.count(|figures| figures.talked += 1);
            }
        }
    }
}

impl Side<'_> {
    /// The next `count` bytes that it says, to be called before they go.
    pub fn says(&self, count: usize) -> Vec<u8> {
        self.change(|said| {
            let from = said.said;
            said.said = (from + count).min(said.bytes.len());
            said.bytes.get(from..said.said).unwrap_or_default().to_vec()
        })
        .unwrap_or_default()
    }

    /// Whether it has something to say still.
    pub fn has_more(&self) -> bool {
        self.change(|said| said.said < said.bytes.len()).unwrap_or_default()
    }

    /// It hears something of the other side.
    pub fn hears(&self, bytes: &[u8]) {
        let ((tag, number), talks) = (self.speaker, &self.ledger.talks);
        let other = if number > 0 { 0 } else { talks.opened.borrow().get(&tag).copied().unwrap_or_default() };
        let from = self.change(|said| {
            said.heard += bytes.len();
            said.heard - bytes.len()
        });
        let from = from.unwrap_or_default();
        let sides = talks.sides.borrow();
        let said = sides.get(&(tag, other)).map(|said| said.bytes.get(from..said.said).unwrap_or_default());
        if !said.is_some_and(|said| said.starts_with(bytes)) {
            let who = if number > 0 { "backend" } else { "client" };
            self.ledger.breach(format!(
                "in tunnel {tag} the {who} hears {} bytes behind {from} that nobody said",
                bytes.len()
            ));
        }
    }

    /// It has heard the end of the other side.
    pub fn ended(&self, end: End) {
        let at = self.ledger.elapsed();
        self.change(|said| said.ended = Some((at, end)));
    }

    /// It is about to do what may cut the talk.
    pub fn spoils(&self, how: &'static str) {
        let at = self.ledger.elapsed();
        let is_first = self.change(|said| said.spoilt.replace(said.spoilt.unwrap_or((at, how))).is_none());
        if is_first.unwrap_or_default() {
            self.tell(how);
        }
    }

    /// It has left as it should.
    pub fn over(mut self) {
        self.listens_no_more();
        self.tell("over");
        std::mem::forget(self);
    }

    fn tell(&self, what: &str) {
        let (tag, number) = self.speaker;
        let who = if number > 0 { "backend" } else { "client" };
        self.change(|said| {
            let (spoken, total, heard) = (said.said, said.bytes.len(), said.heard);
            self.ledger.tell(|| {
                format!("tunnel {tag}, {who}: {what}; {spoken} of {total} bytes said, {heard} heard, {:?}", said.ended)
            });
        });
    }

    fn listens_no_more(&mut self) {
        if std::mem::take(&mut self.is_listening) {
            let listening = &self.ledger.talks.listening;
            listening.set(listening.get().saturating_sub(1));
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Said) -> T) -> Option<T> {
        self.ledger.talks.sides.borrow_mut().get_mut(&self.speaker).map(change)
    }
}

impl Drop for Side<'_> {
    fn drop(&mut self) {
        self.spoils("leaves");
        self.tell("is gone");
        self.listens_no_more();
    }
}
