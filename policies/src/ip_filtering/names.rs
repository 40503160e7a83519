//! The addresses behind names of hosts: looked up beside the traffic, and kept until they are due again.
//!
//! The first request that needs them waits; later ones go on with what there is while it is looked up anew.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{Shared, WeakShared};
use ringway_contract::Services;

use super::LookupIpVersion;
use super::ranges::Ranges;

/// Names of one list.
pub const NAMES_MAX: usize = 64;
/// Addresses of one name that count.
const ADDRESSES_MAX: usize = 64;
/// How long addresses are used before the resolver is asked again, which remembers an answer for the time that its name server gave it.
const FRESH: Duration = Duration::from_secs(10);
/// The same where a name could not be looked up.
const AGAIN: Duration = Duration::from_secs(1);

/// A look-up of all names under way.
pub type Flight = Pin<Box<dyn Future<Output = ()>>>;

/// The names of a list.
pub struct Names {
    names: Rc<[String]>,
    version: LookupIpVersion,
    services: Services,
    state: Rc<State>,
    /// The look-up that requests wait for. Weak: when all of them are gone, it is broken off.
    flight: RefCell<Option<WeakShared<Flight>>>,
}

#[derive(Default)]
struct State {
    /// By name; `None`: it was never found out. What cannot be looked up stays as it was.
    addresses: RefCell<Box<[Option<Vec<IpAddr>>]>>,
    ranges: RefCell<Ranges>,
    /// When they are to be looked up again; `None`: they never were.
    due: Cell<Option<Instant>>,
    /// Whether they are looked up in the background.
    renewing: Cell<bool>,
}

impl Names {
    /// Those of a list; none of them is looked up before a request needs it.
    pub fn new(names: Vec<String>, version: LookupIpVersion, services: &Services) -> Self {
        let state = State { addresses: RefCell::new(vec![None; names.len()].into()), ..State::default() };
        Self {
            names: names.into(),
            version,
            services: services.clone(),
            state: Rc::new(state),
            flight: RefCell::default(),
        }
    }

    /// Whether one of them has this address, as far as is known.
    pub fn have(&self, address: IpAddr) -> bool {
        self.state.ranges.borrow().contains(address)
    }

    /// What a request has to wait for; nothing once they were looked up, however long ago.
    pub fn due(&self) -> Option<Shared<Flight>> {
        match self.state.due.get() {
            Some(due) if Instant::now() < due || self.state.renewing.get() => None,
            Some(_) => {
                self.state.renewing.set(true);
                (self.services.spawn)(self.look_up());
                None
            }
            None => {
                let known = self.flight.borrow().as_ref().and_then(WeakShared::upgrade);
                let flight = known.unwrap_or_else(|| self.look_up().shared());
                *self.flight.borrow_mut() = flight.downgrade();
                Some(flight)
            }
        }
    }

    fn look_up(&self) -> Flight {
        let (names, state, version) = (self.names.clone(), self.state.clone(), self.version);
        let resolve = self.services.resolve.clone();
        let renewing = Renewing(self.state.clone());
        Box::pin(async move {
            let mut failed = false;
            for (at, name) in names.iter().enumerate() {
                let Some(found) = resolve(name.clone()).await else {
                    tracing::warn!(name, "a name of ip-filtering cannot be looked up: what was known of it stays");
                    failed = true;
                    continue;
                };
                let found = found.into_iter().filter(|address| version.takes(*address)).take(ADDRESSES_MAX);
                if let Some(own) = state.addresses.borrow_mut().get_mut(at) {
                    *own = Some(found.collect());
                }
            }
            let addresses = state.addresses.borrow();
            let single = addresses.iter().flatten().flatten().map(|address| Ranges::single(*address));
            *state.ranges.borrow_mut() = Ranges::new(single.collect());
            state.due.set(Instant::now().checked_add(if failed { AGAIN } else { FRESH }));
            drop(renewing);
        })
    }
}

/// However a look-up ends, the next one may begin.
struct Renewing(Rc<State>);

impl Drop for Renewing {
    fn drop(&mut self) {
        self.0.renewing.set(false);
    }
}

/// Whether a text is the name of a host (RFC 1123 section 2.1), and no address with a mistake in it.
pub fn is_name(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        let inner = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        (1..=63).contains(&label.len()) && inner && !label.starts_with('-') && !label.ends_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= 253 && text.split('.').all(is_label) && last.bytes().any(|byte| !byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;

    fn polled(flight: Option<Shared<Flight>>) -> bool {
        flight.is_none_or(|mut flight| flight.poll_unpin(&mut Context::from_waker(Waker::noop())).is_ready())
    }

    #[test]
    fn names_are_told_from_mistaken_addresses() {
        for text in ["localhost", "a.example", "a.example.", "_dmarc.a.example", "1.a", "xn--bcher-kva.example", "a-b"]
        {
            assert!(is_name(text), "{text}");
        }
        let long = "a".repeat(64);
        for text in
            ["", ".", "a..b", "10.0.0", "10.0.0.256", "1", "-a", "a-", "a b", "a/8", "::1", "*.a", "bücher", &long]
        {
            assert!(!is_name(text), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_looked_up_again_stays() {
        let calls = Rc::new(Cell::new(0));
        let counted = calls.clone();
        let resolve = Rc::new(move |name: String| -> ringway_contract::kind::Resolving {
            let count = counted.replace(counted.get() + 1);
            let found = match (&*name, count) {
                ("gone.test", _) => Some(Vec::new()),
                (_, 0) => Some(vec![IpAddr::from([192, 0, 2, 1]), "2001:db8::1".parse().unwrap()]),
                _ => None,
            };
            Box::pin(std::future::ready(found))
        });
        let spawn = |mut flight: Flight| {
            let _ = flight.poll_unpin(&mut Context::from_waker(Waker::noop()));
        };
        let services = Services { resolve, spawn, ..Services::default() };
        let names = Names::new(vec!["a.test".into(), "gone.test".into()], LookupIpVersion::Ipv4, &services);
        assert!(!names.have([192, 0, 2, 1].into()) && polled(names.due()));
        assert!(names.have([192, 0, 2, 1].into()) && !names.have("2001:db8::1".parse().unwrap()));
        assert!(names.due().is_none() && calls.get() == 2, "they are fresh");
        names.state.due.set(Some(Instant::now()));
        assert!(names.due().is_none(), "nobody waits again");
        assert!(calls.get() == 4 && names.have([192, 0, 2, 1].into()) && !names.state.renewing.get());
    }

    #[test]
    fn a_look_up_that_is_broken_off_begins_again() {
        let pending = Rc::new(|_| -> ringway_contract::kind::Resolving { Box::pin(std::future::pending()) });
        let services = Services { resolve: pending, ..Services::default() };
        let names = Names::new(vec!["a.test".into()], LookupIpVersion::All, &services);
        assert!(!polled(names.due()) && !polled(names.due()));
        names.state.due.set(Some(Instant::now()));
        assert!(names.due().is_none() && !names.state.renewing.get(), "what is spawned here is dropped");
    }
}
