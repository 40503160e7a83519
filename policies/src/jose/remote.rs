//! A key set that is fetched, and kept per shard.
//!
//! ```text
//!            a request needs it             FRESH over: one request fetches,
//!   nothing ───────────────────▶ fetching    the others go on with what there is
//!                                   │ ▲ ◀──────────────────────────────┐
//!                             fails │ │ PAUSE over                     │
//!                                   ▼ │                                │
//!                     pause (what was there stays) ── succeeds ─▶ fresh ┘
//! ```

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{Shared, WeakShared};
use http::StatusCode;
use ringway_contract::{Fetch, FetchRequest};

use super::{Algorithm, KeySet};

/// How long a set is good without being fetched anew.
const FRESH: Duration = Duration::from_secs(300);
/// Between the beginnings of two fetches, however many tokens name keys that are not in the set.
const PAUSE: Duration = Duration::from_secs(5);

/// A fetch under way.
pub type Flight = Pin<Box<dyn Future<Output = ()>>>;

/// A key set behind a URL.
pub struct Remote {
    url: String,
    timeout: Duration,
    algorithm: Algorithm,
    fetch: Rc<dyn Fetch>,
    state: Rc<State>,
    /// The fetch under way. Weak: when all who wait for it are gone, it is broken off.
    flight: RefCell<Option<WeakShared<Flight>>>,
    tried: Cell<Option<Instant>>,
}

#[derive(Default)]
struct State {
    keys: RefCell<Option<Rc<KeySet>>>,
    fetched: Cell<Option<Instant>>,
}

impl Remote {
    /// The one of this URL: every plan of the shard that names it has the same.
    pub fn shared(url: &str, timeout: Duration, algorithm: Algorithm, fetch: Rc<dyn Fetch>) -> Rc<Self> {
        thread_local! { static ALL: RefCell<HashMap<(String, Algorithm), Weak<Remote>>> = RefCell::default() }
        ALL.with_borrow_mut(|all| {
            all.retain(|_, known| known.strong_count() > 0);
            let name = (url.to_owned(), algorithm);
            all.get(&name).and_then(Weak::upgrade).unwrap_or_else(|| {
                let (url, state) = (url.to_owned(), Rc::default());
                let (flight, tried) = (RefCell::default(), Cell::default());
                let remote = Rc::new(Self { url, timeout, algorithm, fetch, state, flight, tried });
                all.insert(name, Rc::downgrade(&remote));
                remote
            })
        })
    }

    /// The keys that there are.
    pub fn keys(&self) -> Option<Rc<KeySet>> {
        self.state.keys.borrow().clone()
    }

    /// What a request has to wait for before it can use [`Remote::keys`]: nothing while they are fresh, or while another request fetches
    /// them anew.
    pub fn due(&self) -> Option<Shared<Flight>> {
        let fresh = self.state.fetched.get().is_some_and(|at| at.elapsed() < FRESH);
        if fresh {
            return None;
        }
        match self.under_way() {
            Some(flight) if self.state.fetched.get().is_none() => Some(flight),
            Some(_) => None,
            None => self.start(),
        }
    }

    /// What to wait for when a token names a key that is not there. `None`: it was looked for just now.
    pub fn renewed(&self) -> Option<Shared<Flight>> {
        self.under_way().or_else(|| self.start())
    }

    fn under_way(&self) -> Option<Shared<Flight>> {
        let flight = self.flight.borrow().as_ref().and_then(WeakShared::upgrade)?;
        flight.peek().is_none().then_some(flight)
    }

    fn start(&self) -> Option<Shared<Flight>> {
        if self.tried.get().is_some_and(|at| at.elapsed() < PAUSE) {
            return None;
        }
        self.tried.set(Some(Instant::now()));
        let request = FetchRequest { timeout: self.timeout, ..FetchRequest::get(&*self.url) };
        let (fetching, state, algorithm) = (self.fetch.fetch(request), self.state.clone(), self.algorithm);
        let flight: Flight = Box::pin(async move {
            // What cannot be fetched or read leaves what there was.
            let Ok(response) = fetching.await else { return };
            if response.status == StatusCode::OK
                && let Ok(keys) = KeySet::parse(algorithm, &response.body)
            {
                *state.keys.borrow_mut() = Some(Rc::new(keys));
                state.fetched.set(Some(Instant::now()));
            }
        });
        let flight = flight.shared();
        *self.flight.borrow_mut() = flight.downgrade();
        Some(flight)
    }
}
