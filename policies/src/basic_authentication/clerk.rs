//! A thread that holds passwords against hashes: that takes so long, on purpose, that a shard must not do it.
//!
//! A shard is not woken by other threads, so it looks again every few milliseconds. Nobody waits for a password that nobody asks about
//! any more, and however many requests come with the same one, it is looked at once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use ringway_contract::kind::Services;

use super::hash::Hash;
use crate::seal::Mark;

/// Passwords of the process that wait to be looked at: with the usual costs, a few seconds of work.
const WAITING_MAX: usize = 64;
/// How long a request waits for its password.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);

const OPEN: u8 = 0;
const RIGHT: u8 = 1;
const WRONG: u8 = 2;

/// A password to be held against a hash.
struct Job {
    password: Box<str>,
    hash: Arc<Hash>,
    state: AtomicU8,
}

/// Too many passwords wait.
#[derive(Debug)]
pub struct Busy;

/// The shard's way to the thread.
pub struct Clerk {
    sleep: fn(Duration) -> std::pin::Pin<Box<dyn Future<Output = ()>>>,
    under_way: RefCell<HashMap<Mark, Weak<Job>>>,
}

impl Clerk {
    pub fn new(services: &Services) -> Self {
        Self { sleep: services.sleep, under_way: RefCell::default() }
    }

    /// Whether the hash is that of the password; `mark` is that of the two.
    pub fn is_of(
        &self,
        mark: Mark,
        hash: &Arc<Hash>,
        password: &str,
    ) -> impl Future<Output = Result<bool, Busy>> + use<> {
        let (job, sleep) = (self.job(mark, hash, password), self.sleep);
        async move {
            let job = job?;
            let asked = Instant::now();
            while asked.elapsed() < PATIENCE {
                match job.state.load(Ordering::Acquire) {
                    RIGHT => return Ok(true),
                    WRONG => return Ok(false),
                    _ => sleep(LOOK).await,
                }
            }
            Err(Busy)
        }
    }

    fn job(&self, mark: Mark, hash: &Arc<Hash>, password: &str) -> Result<Arc<Job>, Busy> {
        let mut under_way = self.under_way.borrow_mut();
        if let Some(job) = under_way.get(&mark).and_then(Weak::upgrade) {
            return Ok(job);
        }
        let job = Arc::new(Job { password: password.into(), hash: hash.clone(), state: AtomicU8::new(OPEN) });
        desk().ok_or(Busy)?.try_send(Arc::downgrade(&job)).map_err(|_| Busy)?;
        if under_way.len() >= WAITING_MAX {
            under_way.retain(|_, job| job.strong_count() > 0);
        }
        under_way.insert(mark, Arc::downgrade(&job));
        Ok(job)
    }
}

/// Where jobs are put; the thread begins with the first. `None`: the system gives none.
fn desk() -> Option<&'static SyncSender<Weak<Job>>> {
    static DESK: OnceLock<Option<SyncSender<Weak<Job>>>> = OnceLock::new();
    let begin = || {
        let (desk, jobs) = sync_channel(WAITING_MAX);
        std::thread::Builder::new().name("passwords".into()).spawn(move || work(&jobs)).ok().map(|_| desk)
    };
    DESK.get_or_init(begin).as_ref()
}

fn work(jobs: &Receiver<Weak<Job>>) {
    for job in jobs.iter().filter_map(|job| job.upgrade()) {
        let state = if job.hash.is_of(job.password.as_bytes()) { RIGHT } else { WRONG };
        job.state.store(state, Ordering::Release);
    }
}
