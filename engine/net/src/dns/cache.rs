//! What one shard knows about names. No I/O and no clock of its own, so that its rules can be tested in no time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{DnsError, DnsOptions};
use crate::signal::Signal;

/// An answer of the service.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) name: Arc<str>,
    pub(super) outcome: Result<Arc<[IpAddr]>, DnsError>,
    pub(super) ttl: Duration,
}

/// Names and what is known of them. At most `entries_max`.
pub(super) struct Cache {
    entries: HashMap<Arc<str>, Entry>,
    options: DnsOptions,
}

struct Entry {
    known: Option<Result<Arc<[IpAddr]>, DnsError>>,
    /// Until then it is used without a question.
    refresh_at: Instant,
    /// Until then it is used while it is asked for.
    fresh_until: Instant,
    /// Until then it is used if nothing better is to be had.
    stale_until: Instant,
    /// Set when the answer comes. There while the question is open.
    asked: Option<Rc<Signal>>,
}

/// What a look into the cache says.
pub(super) enum Look {
    /// Use it.
    Known(Result<Arc<[IpAddr]>, DnsError>),
    /// Use it and ask.
    Refresh(Result<Arc<[IpAddr]>, DnsError>, Arc<str>),
    /// Ask and wait.
    Ask(Arc<str>, Rc<Signal>),
    /// Somebody asked already: wait.
    Wait(Rc<Signal>),
    /// More names are asked for than there may be entries.
    Full,
}

impl Cache {
    pub(super) fn new(options: DnsOptions) -> Self {
        Self { entries: HashMap::new(), options }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn look(&mut self, name: &str, now: Instant) -> Look {
        if let Some(entry) = self.entries.get_mut(name) {
            if let Some(known) = &entry.known
                && now < entry.fresh_until
            {
                if now < entry.refresh_at || entry.asked.is_some() {
                    return Look::Known(known.clone());
                }
                let known = known.clone();
                entry.asked = Some(Rc::new(Signal::new()));
                return Look::Refresh(known, Arc::from(name));
            }
            if let Some(asked) = &entry.asked {
                return Look::Wait(Rc::clone(asked));
            }
        } else if !self.make_room(now) {
            return Look::Full;
        }
        let name: Arc<str> = Arc::from(name);
        let asked = Rc::new(Signal::new());
        self.entries
            .entry(Arc::clone(&name))
            .or_insert(Entry { known: None, refresh_at: now, fresh_until: now, stale_until: now, asked: None })
            .asked = Some(Rc::clone(&asked));
        Look::Ask(name, asked)
    }

    /// What is known now, however old.
    pub(super) fn known(&self, name: &str) -> Option<Result<Arc<[IpAddr]>, DnsError>> {
        self.entries.get(name)?.known.clone()
    }

    pub(super) fn learn(&mut self, answer: &Answer, now: Instant) {
        let Some(entry) = self.entries.get_mut(&answer.name) else { return };
        let asked = entry.asked.take();
        match &answer.outcome {
            Ok(addresses) => {
                let ttl = answer.ttl.clamp(self.options.ttl_min, self.options.ttl_max.max(self.options.ttl_min));
                entry.known = Some(Ok(Arc::clone(addresses)));
                entry.refresh_at = now + ttl * 4 / 5;
                entry.fresh_until = now + ttl;
                entry.stale_until = entry.fresh_until + self.options.stale_max;
            }
            // The old answer, a little longer: then it is asked for again.
            Err(error)
                if *error != DnsError::NotFound && matches!(entry.known, Some(Ok(_))) && now < entry.stale_until =>
            {
                entry.fresh_until = (now + self.options.negative_ttl).min(entry.stale_until).max(entry.fresh_until);
                entry.refresh_at = entry.fresh_until - (entry.fresh_until - now) / 5;
            }
            Err(error) => {
                entry.known = Some(Err(error.clone()));
                entry.refresh_at = now + self.options.negative_ttl;
                entry.fresh_until = entry.refresh_at;
                entry.stale_until = entry.refresh_at;
            }
        }
        if let Some(asked) = asked {
            asked.set();
        }
    }

    /// Whether there is room for one name more, after what is over or, failing that, what is closest to it was
    /// forgotten.
    fn make_room(&mut self, now: Instant) -> bool {
        if self.entries.len() < self.options.entries_max {
            return true;
        }
        self.entries.retain(|_, entry| entry.asked.is_some() || now < entry.fresh_until);
        if self.entries.len() < self.options.entries_max {
            return true;
        }
        let idle = self.entries.iter().filter(|(_, entry)| entry.asked.is_none());
        let Some(oldest) = idle.min_by_key(|(_, entry)| entry.fresh_until).map(|(name, _)| Arc::clone(name)) else {
            return false;
        };
        self.entries.remove(&oldest);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::{Answer, Cache, Look};
    use crate::dns::{DnsError, DnsOptions};

    const SECOND: Duration = Duration::from_secs(1);
    const NAME: &str = "a.example";

    fn cache() -> (Cache, Instant) {
        let options = DnsOptions {
            ttl_min: 10 * SECOND,
            ttl_max: 100 * SECOND,
            negative_ttl: 5 * SECOND,
            stale_max: 1000 * SECOND,
            entries_max: 3,
            ..DnsOptions::default()
        };
        (Cache::new(options), Instant::now())
    }

    fn address(last: u8) -> Arc<[IpAddr]> {
        Arc::from([IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))])
    }

    fn answer(outcome: Result<Arc<[IpAddr]>, DnsError>, ttl: u64) -> Answer {
        Answer { name: Arc::from(NAME), outcome, ttl: Duration::from_secs(ttl) }
    }

    fn state(cache: &mut Cache, now: Instant) -> &'static str {
        match cache.look(NAME, now) {
            Look::Known(Ok(_)) => "known",
            Look::Known(Err(_)) => "error",
            Look::Refresh(..) => "refresh",
            Look::Ask(..) => "ask",
            Look::Wait(_) => "wait",
            Look::Full => "full",
        }
    }

    #[test]
    fn a_name_is_asked_for_once_used_refreshed_and_asked_again() {
        let (mut cache, start) = cache();
        let Look::Ask(name, signal) = cache.look(NAME, start) else { panic!("unknown") };
        assert_eq!(&*name, NAME);
        assert_eq!(state(&mut cache, start), "wait");
        cache.learn(&answer(Ok(address(1)), 50), start);
        assert!(signal.is_set());
        let table = [(0, "known"), (39, "known"), (40, "refresh"), (41, "known"), (49, "known"), (50, "wait")];
        for (secs, expected) in table {
            assert_eq!(state(&mut cache, start + secs * SECOND), expected, "after {secs} s");
        }
        cache.learn(&answer(Ok(address(2)), 50), start + 60 * SECOND);
        assert_eq!(cache.known(NAME), Some(Ok(address(2))));
        assert_eq!(state(&mut cache, start + 110 * SECOND), "ask");
    }

    #[test]
    fn times_to_live_are_held_within_bounds() {
        for (ttl, fresh) in [(0, 10), (50, 50), (86_400, 100)] {
            let (mut cache, start) = cache();
            state(&mut cache, start);
            cache.learn(&answer(Ok(address(1)), ttl), start);
            state(&mut cache, start + (fresh - 1) * SECOND);
            cache.learn(&answer(Ok(address(1)), ttl), start);
            assert_eq!(state(&mut cache, start + fresh * SECOND), "ask", "a time to live of {ttl} s");
        }
    }

    #[test]
    fn what_is_known_outlives_failing_servers_but_not_a_denial() {
        let (mut cache, start) = cache();
        state(&mut cache, start);
        cache.learn(&answer(Ok(address(1)), 50), start);
        let later = start + 60 * SECOND;
        assert_eq!(state(&mut cache, later), "ask");
        cache.learn(&answer(Err(DnsError::Failed("timeout".into())), 0), later);
        assert_eq!(cache.known(NAME), Some(Ok(address(1))));
        assert_eq!(state(&mut cache, later + SECOND), "known", "asked again only after the pause");
        assert_eq!(state(&mut cache, later + 5 * SECOND), "ask");
        cache.learn(&answer(Err(DnsError::NotFound), 0), later + 5 * SECOND);
        assert_eq!(state(&mut cache, later + 6 * SECOND), "error");
        assert_eq!(state(&mut cache, later + 10 * SECOND), "ask");
    }

    #[test]
    fn staleness_ends() {
        let (mut cache, start) = cache();
        state(&mut cache, start);
        cache.learn(&answer(Ok(address(1)), 50), start);
        let later = start + 1051 * SECOND;
        assert_eq!(state(&mut cache, later), "ask");
        cache.learn(&answer(Err(DnsError::Failed("timeout".into())), 0), later);
        assert_eq!(state(&mut cache, later), "error");
    }

    #[test]
    fn the_table_is_bounded() {
        let (mut cache, start) = cache();
        for name in ["a", "b", "c"] {
            assert!(matches!(cache.look(name, start), Look::Ask(..)));
        }
        assert!(matches!(cache.look("d", start), Look::Full), "all three are being asked for");
        for (name, ttl) in [("a", 50), ("b", 20), ("c", 50)] {
            let ttl = Duration::from_secs(ttl);
            cache.learn(&Answer { name: Arc::from(name), outcome: Ok(address(1)), ttl }, start);
        }
        assert!(matches!(cache.look("d", start), Look::Ask(..)));
        assert_eq!((cache.len(), cache.known("b")), (3, None), "the one that is over first makes room");
    }
}
