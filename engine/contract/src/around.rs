//! What a policy of the request puts around the call of the endpoint.
//!
//! ```text
//!   policies of the request ─▶ before ─▶ the call ─▶ after ─▶ policies of the response
//!                                 │          ▲         │
//!   has a response already ◀──────┘          └─────────┘ again
//! ```

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use crate::recording::Noted;
use crate::{Exchange, Fault, Reply, Step};

/// Stands around the call of the endpoint, for one exchange. Dropped without [`Around::after`], the call was broken off: the client went
/// away, or the exchange ended before.
pub trait Around {
    /// The policies of the request are through, and the endpoint is about to be called. Where the exchange has its response behind this
    /// ([`Exchange::response`], with its body in [`Contents::response`](crate::Contents)), it is not: the policies of the response come
    /// next.
    fn before<'a>(&'a self, _exchange: &'a mut Exchange) -> Step<'a> {
        Step::Next
    }

    /// How long one call may take until its response's head is there, besides the exchange's own time. A call that takes longer has failed
    /// with [`Cause::BackendTimeout`](crate::Cause). Asked before each call.
    fn patience(&self) -> Option<Duration> {
        None
    }

    /// The endpoint answered ([`Exchange::response`]), or failed. Asked for each call.
    fn after(&self, _exchange: &mut Exchange, _fault: Option<Fault>) -> After {
        After::Next
    }
}

/// What comes after a call.
pub enum After {
    /// What came, comes.
    Next,
    /// The answer, or the failure, is dropped, and after this long the endpoint is called once more: as long as there is time left, the
    /// request's body is held or empty, and [`CALLS_MAX`] is not reached. Otherwise it is as [`After::Next`].
    Again(Duration),
    /// This is answered instead.
    Reply(Box<Reply>),
}

/// Calls of one exchange that [`After::Again`] can make of one, at most.
pub const CALLS_MAX: u32 = 32;

/// Those of one exchange, the innermost first: each stands around those before it.
#[derive(Clone, Default)]
pub struct Arounds(Vec<Rc<dyn Around>>);

/// How many one exchange may have; further ones are left out.
const AROUNDS_MAX: usize = 16;

impl Arounds {
    /// Puts one around those that are there.
    pub fn push(&mut self, around: Rc<dyn Around>) {
        if self.0.len() < AROUNDS_MAX {
            self.0.push(around);
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// From the innermost to the outermost.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Rc<dyn Around>> {
        self.0.iter()
    }
}

impl fmt::Debug for Arounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} around", self.0.len())
    }
}

/// Sees a body while it is on its way. Dropped before [`Tap::end`], the body is not whole.
pub trait Tap {
    /// A piece of it.
    fn data(&mut self, piece: &[u8]);

    /// That was all.
    fn end(self: Box<Self>);
}

/// The one of an exchange, and whoever writes down what it sees.
#[derive(Default)]
pub struct Tapped(Option<Box<Taps>>);

/// Boxed: few bodies are tapped, and every session of a message API has room for two.
#[derive(Default)]
struct Taps {
    tap: Option<Box<dyn Tap>>,
    noted: Option<Rc<Noted>>,
}

impl Tapped {
    /// Lets `tap` see the body. One that was there before sees no more.
    pub fn set(&mut self, tap: Box<dyn Tap>) {
        self.0.get_or_insert_default().tap = Some(tap);
    }

    /// Notes the body, too.
    pub fn note(&mut self, noted: &Rc<Noted>) {
        self.0.get_or_insert_default().noted = Some(noted.clone());
    }

    /// A piece of the body.
    pub fn data(&mut self, piece: &[u8]) {
        let Some(taps) = &mut self.0 else { return };
        if let Some(tap) = &mut taps.tap {
            tap.data(piece);
        }
        if let Some(noted) = &taps.noted {
            noted.data(piece);
        }
    }

    /// The end of the body.
    pub fn end(&mut self) {
        if let Some(tap) = self.0.as_mut().and_then(|taps| taps.tap.take()) {
            tap.end();
        }
    }

    /// Takes it out, so that it goes with the body.
    pub fn take(&mut self) -> Self {
        std::mem::take(self)
    }
}

impl fmt::Debug for Tapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "tapped" } else { "not tapped" })
    }
}
