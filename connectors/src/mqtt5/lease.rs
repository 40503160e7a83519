//! Client identifiers of consumers that a broker remembers.
//!
//! A broker knows a session by its client identifier, and allows one connection for each. A consumer that comes back has to find its
//! session again, and one that comes twice at the same time needs two: `CONSUMER-0`, `CONSUMER-1`, ... The first is taken whenever it is
//! free, and the others go when they are left: a session that nobody comes back to would go on taking its share of the messages.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// How long one waits for the first place: a consumer that asks again is often faster than the end of its last subscription.
const FIRST_WITHIN: Duration = Duration::from_millis(250);

/// How long a place is left alone after another gateway has taken it over.
const FOREIGN_FOR: Duration = Duration::from_secs(10);

/// Consumers about which it is remembered that places of theirs have messages left.
const CONSUMERS_MAX: usize = 64 * 1024;

static PLACES: Mutex<Option<HashMap<String, Places>>> = Mutex::new(None);

#[derive(Default)]
struct Places {
    busy: BTreeSet<u32>,
    /// Places that were left although the broker has messages for them.
    stranded: BTreeSet<u32>,
    /// Places that another gateway has.
    foreign: HashMap<u32, Instant>,
    freed: Arc<Notify>,
}

/// A place of a consumer, for as long as it lives.
pub struct Lease {
    consumer: String,
    /// Its number.
    pub number: u32,
    /// Whether the broker has messages for it that nobody has taken.
    pub stranded: bool,
    /// Whether another gateway has taken it over.
    pub foreign: bool,
}

fn places() -> MutexGuard<'static, Option<HashMap<String, Places>>> {
    PLACES.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Places {
    fn is_free(&self, number: u32) -> bool {
        !self.busy.contains(&number) && !self.foreign.contains_key(&number)
    }

    /// The place that is to be had before all others, if it is free.
    fn first(&self) -> Option<u32> {
        self.stranded.iter().copied().find(|number| self.is_free(*number)).or_else(|| self.is_free(0).then_some(0))
    }
}

/// Takes a place.
pub async fn take(consumer: &str) -> Lease {
    let by = Instant::now() + FIRST_WITHIN;
    loop {
        let freed = {
            let mut all = places();
            let places = all.get_or_insert_default().entry(consumer.to_owned()).or_default();
            let now = Instant::now();
            places.foreign.retain(|_, until| *until > now);
            let waits = !places.foreign.contains_key(&0) && now < by;
            let next = || (0..u32::MAX).find(|number| places.is_free(*number));
            if let Some(number) = places.first().or_else(|| if waits { None } else { next() }) {
                places.busy.insert(number);
                places.stranded.remove(&number);
                return Lease { consumer: consumer.to_owned(), number, stranded: false, foreign: false };
            }
            places.freed.clone().notified_owned()
        };
        let _ = timeout_at(by, freed).await;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut all = places();
        let Some(known) = all.as_mut() else { return };
        let crowded = known.len() > CONSUMERS_MAX;
        let Some(places) = known.get_mut(&self.consumer) else { return };
        places.busy.remove(&self.number);
        if self.foreign {
            places.foreign.insert(self.number, Instant::now() + FOREIGN_FOR);
        } else if self.stranded && self.number > 0 && !crowded {
            places.stranded.insert(self.number);
        }
        places.freed.notify_waiters();
        if places.busy.is_empty() && places.stranded.is_empty() && places.foreign.is_empty() {
            known.remove(&self.consumer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
    }

    #[test]
    fn a_consumer_that_comes_back_has_its_place_again() {
        now(async {
            assert_eq!(take("back").await.number, 0);
            assert_eq!(take("back").await.number, 0);
        });
    }

    #[test]
    fn one_that_comes_twice_waits_for_a_moment_and_has_two_places() {
        now(async {
            let first = take("twice").await;
            let second = take("twice").await;
            assert_eq!((first.number, second.number), (0, 1));
            assert_eq!(take("another").await.number, 0);
            let waiting = tokio::spawn(take("twice"));
            tokio::task::yield_now().await;
            drop(first);
            assert_eq!(waiting.await.unwrap().number, 0);
        });
    }

    #[test]
    fn a_place_with_messages_left_is_taken_first_and_one_of_another_gateway_last() {
        now(async {
            let (first, mut second) = (take("left").await, take("left").await);
            second.stranded = true;
            drop((first, second));
            let mut stranded = take("left").await;
            assert_eq!(stranded.number, 1);
            stranded.foreign = true;
            drop(stranded);
            let mut first = take("left").await;
            assert_eq!(first.number, 0);
            first.foreign = true;
            drop(first);
            assert_eq!(take("left").await.number, 2);
        });
    }
}
