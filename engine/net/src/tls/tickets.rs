//! Keys of session tickets (RFC 5077, RFC 8446 section 4.6.1), which rotate.
//!
//! ```text
//!   keys      A A A A │ B B B B │ C C C C
//!   accepts   A       │ A B     │ B C        a ticket of A is good for one more turn and no longer
//! ```
//!
//! Who has a key can read the sessions of TLS 1.2 that were resumed under it, so a key lives for two turns. rustls brings a
//! rotation of its own; it goes by the wall clock, turns every six hours, and once only after a long silence, so that a key of
//! yesterday's would be good for two turns more. Here a turn is an hour of the monotonic clock.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use rustls::server::ProducesTickets;

/// How long tickets are made with the same keys. They are accepted for as long again.
const TURN: Duration = Duration::from_secs(60 * 60);

/// Makes and reads tickets for all shards.
#[derive(Debug)]
pub(super) struct Tickets(RwLock<Keys>);

#[derive(Debug)]
struct Keys {
    /// `None` when there was no randomness to make keys of: no tickets are sent then.
    current: Option<Arc<dyn ProducesTickets>>,
    previous: Option<Arc<dyn ProducesTickets>>,
    since: Instant,
}

impl Tickets {
    pub(super) fn new(now: Instant) -> Result<Self, rustls::Error> {
        Ok(Self(RwLock::new(Keys { current: Some(keys()?), previous: None, since: now })))
    }

    /// New keys at once, whatever the clock says.
    pub(super) fn rotate(&self, now: Instant) {
        let mut keys = self.0.write().unwrap_or_else(PoisonError::into_inner);
        keys.turn(now, true);
    }

    fn turned(&self, now: Instant) -> [Option<Arc<dyn ProducesTickets>>; 2] {
        {
            let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
            if !keys.is_due(now) {
                return keys.both();
            }
        }
        let mut keys = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // Another shard may have been faster.
        if keys.is_due(now) {
            let fresh = now.saturating_duration_since(keys.since) < 2 * TURN;
            // From when the turn was due, not from now: nobody may have connected for a while.
            let since = if fresh { keys.since + TURN } else { now };
            keys.turn(since, fresh);
        }
        keys.both()
    }

    fn seal(&self, plain: &[u8], now: Instant) -> Option<Vec<u8>> {
        let [current, _] = self.turned(now);
        current?.encrypt(plain)
    }

    fn open(&self, ticket: &[u8], now: Instant) -> Option<Vec<u8>> {
        self.turned(now).into_iter().flatten().find_map(|keys| keys.decrypt(ticket))
    }
}

impl Keys {
    fn is_due(&self, now: Instant) -> bool {
        self.current.is_none() || now.saturating_duration_since(self.since) >= TURN
    }

    /// The present keys become the previous ones, or are forgotten when they are too old for that.
    fn turn(&mut self, since: Instant, fresh: bool) {
        let old = self.current.take();
        self.previous = if fresh { old } else { None };
        self.current = keys().ok();
        self.since = since;
    }

    fn both(&self) -> [Option<Arc<dyn ProducesTickets>>; 2] {
        [self.current.clone(), self.previous.clone()]
    }
}

/// rustls's own, ChaCha20-Poly1305 under random keys. Its rotation never comes to pass: two turns are shorter than one of its.
fn keys() -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
    rustls::crypto::ring::Ticketer::new()
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    /// Seconds that a ticket is certain to be good for, and what a client is told.
    fn lifetime(&self) -> u32 {
        TURN.as_secs() as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, Instant::now())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.open(ticket, Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_good_for_one_more_turn() {
        let start = Instant::now();
        let tickets = Tickets::new(start).unwrap();
        let ticket = tickets.seal(b"session", start).unwrap();
        let (second, third) = (start + TURN, start + 2 * TURN);
        assert_eq!(tickets.open(&ticket, second - Duration::from_secs(1)).as_deref(), Some(&b"session"[..]));
        assert_eq!(tickets.open(&ticket, second).as_deref(), Some(&b"session"[..]), "of the previous turn");
        let newer = tickets.seal(b"newer", second).unwrap();
        assert_eq!(tickets.open(&ticket, third), None, "of the turn before the previous");
        assert_eq!(tickets.open(&newer, third).as_deref(), Some(&b"newer"[..]));
    }

    #[test]
    fn a_turn_that_comes_late_does_not_put_off_the_next() {
        let start = Instant::now();
        let tickets = Tickets::new(start).unwrap();
        let ticket = tickets.seal(b"session", start).unwrap();
        let late = start + 2 * TURN - Duration::from_secs(1);
        assert!(tickets.open(&ticket, late).is_some());
        assert_eq!(tickets.open(&ticket, start + 2 * TURN), None);
    }

    #[test]
    fn keys_that_nobody_asked_for_meanwhile_are_forgotten() {
        let start = Instant::now();
        let tickets = Tickets::new(start).unwrap();
        let ticket = tickets.seal(b"session", start).unwrap();
        assert_eq!(tickets.open(&ticket, start + 2 * TURN), None, "nobody connected for two turns");
    }

    #[test]
    fn keys_can_be_changed_at_once() {
        let now = Instant::now();
        let tickets = Tickets::new(now).unwrap();
        let ticket = tickets.seal(b"session", now).unwrap();
        tickets.rotate(now);
        assert!(tickets.open(&ticket, now).is_some(), "once is one turn");
        tickets.rotate(now);
        assert!(tickets.open(&ticket, now).is_none(), "twice are two");
        assert_eq!(tickets.open(b"noise", now), None);
    }
}
