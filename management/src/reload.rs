//! Reload: read everything, check everything, publish; a bad snapshot changes nothing.
//!
//! ```text
//!  file change ─┐                                       ┌─ refused ─▶ every problem logged, the old snapshot serves on
//!  SIGHUP ──────┼─▶ wanted (one slot) ─▶ load ─▶ check ─┤
//!  POST /reload ┘                                       └─ publish ─▶ every shard runs the new revision
//! ```
//!
//! One reload runs at a time, on a thread of its own. What is asked for while it runs is answered by the next one, which reads the
//! files again: the newest wins, and a hundred requests are one reload.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ringway_config::{Loaded, Problem, Snapshot};
use ringway_contract::control::DataPlane;
use tokio::sync::oneshot;

use crate::logging::LogLevel;
use crate::service::ServiceManager;
use crate::source::Source;
use crate::watch::FileWatch;

/// Requests that may wait for one reload. More are refused: the admin port's connections are fewer anyway.
const WAITING_MAX: usize = 256;

/// Who asked for a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// A watched file changed.
    Files,
    /// `SIGHUP`.
    Signal,
    /// `POST /reload`.
    Admin,
}

/// What a reloader works with.
pub struct ReloadOptions {
    /// Where snapshots come from.
    pub source: Box<dyn Source>,
    /// Where they go.
    pub plane: Arc<dyn DataPlane>,
    /// Who is told.
    pub service: Arc<ServiceManager>,
    /// The log's level, which follows the settings.
    pub level: Option<LogLevel>,
    /// What the data plane runs already.
    pub snapshot: Arc<Snapshot>,
    /// What it was read from.
    pub files: Vec<PathBuf>,
    /// When reading it began.
    pub loaded_at: SystemTime,
}

/// A reload that was published.
#[derive(Clone, Debug)]
pub struct Published {
    /// Revision of the snapshot that the shards run now.
    pub revision: u64,
    /// What is worth a warning.
    pub warnings: Vec<Problem>,
}

/// Why a reload changed nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReloadError {
    /// The definitions or settings are wrong.
    #[error("{} of the configuration's problems forbid a reload", .0.len())]
    Invalid(Vec<Problem>),
    /// The data plane refused the snapshot.
    #[error("{0}")]
    Refused(String),
    /// Too many wait already.
    #[error("too many reloads are waiting")]
    Busy,
    /// The gateway is stopping.
    #[error("the gateway is stopping")]
    Stopped,
}

/// How a reload ended.
pub type Outcome = Result<Published, ReloadError>;

/// Counters of reloads since the start.
#[derive(Debug, Default)]
pub struct ReloadFigures {
    /// Published.
    pub succeeded: AtomicU64,
    /// Refused.
    pub failed: AtomicU64,
    /// When a snapshot was last published, the first one included; milliseconds since the epoch.
    pub published_ms: AtomicU64,
    /// How long the last reload took, in microseconds; 0 before the first.
    pub last_us: AtomicU64,
    /// 1 when the last reload was published (or none was tried), 0 when it was refused.
    pub last_ok: AtomicU64,
}

/// Asks for reloads. Clones ask the same thread; it ends when it is told to [`Reloader::stop`].
#[derive(Clone)]
pub struct Reloader {
    desk: Arc<Desk>,
}

/// What askers and the thread share.
struct Desk {
    wanted: Mutex<Wanted>,
    bell: Condvar,
    /// The snapshot that the shards run.
    current: Mutex<Arc<Snapshot>>,
    figures: ReloadFigures,
}

#[derive(Default)]
struct Wanted {
    trigger: Option<Trigger>,
    waiting: Vec<oneshot::Sender<Outcome>>,
    stopped: bool,
}

impl Reloader {
    /// Starts the thread.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start(options: ReloadOptions) -> io::Result<Self> {
        let ReloadOptions { source, plane, service, level, snapshot, files, loaded_at } = options;
        let figures = ReloadFigures { published_ms: epoch_ms().into(), last_ok: 1.into(), ..ReloadFigures::default() };
        let watched = snapshot.settings.watch;
        let desk = Desk { wanted: Mutex::default(), bell: Condvar::new(), current: Mutex::new(snapshot), figures };
        let reloader = Self { desk: Arc::new(desk) };
        let asker = reloader.clone();
        let watch = FileWatch::start(move || asker.ask(Trigger::Files))?;
        if watched {
            watch.replace(files, loaded_at);
        }
        let worker = Worker { source, plane, service, level, watch };
        let desk = Arc::clone(&reloader.desk);
        thread::Builder::new().name("ringway-reload".into()).spawn(move || worker.run(&desk))?;
        Ok(reloader)
    }

    /// Asks for a reload and does not wait for it.
    pub fn ask(&self, trigger: Trigger) {
        lock(&self.desk.wanted).trigger = Some(trigger);
        self.desk.bell.notify_one();
    }

    /// Asks for a reload and waits for one that began after this call.
    ///
    /// # Errors
    /// It changed nothing, and why.
    pub async fn reload(&self, trigger: Trigger) -> Outcome {
        let receiver = {
            let mut wanted = lock(&self.desk.wanted);
            if wanted.stopped {
                return Err(ReloadError::Stopped);
            }
            if wanted.waiting.len() >= WAITING_MAX {
                return Err(ReloadError::Busy);
            }
            let (sender, receiver) = oneshot::channel();
            wanted.waiting.push(sender);
            wanted.trigger = Some(trigger);
            receiver
        };
        self.desk.bell.notify_one();
        receiver.await.unwrap_or(Err(ReloadError::Stopped))
    }

    /// How many wait for the next reload.
    pub fn waiting(&self) -> usize {
        lock(&self.desk.wanted).waiting.len()
    }

    /// No reload begins after this.
    pub fn stop(&self) {
        let mut wanted = lock(&self.desk.wanted);
        wanted.stopped = true;
        wanted.waiting.clear();
        self.desk.bell.notify_one();
    }

    /// The snapshot that the shards run.
    pub fn current(&self) -> Arc<Snapshot> {
        Arc::clone(&lock(&self.desk.current))
    }

    /// What reloads came to.
    pub fn figures(&self) -> &ReloadFigures {
        &self.desk.figures
    }
}

/// What the thread owns.
struct Worker {
    source: Box<dyn Source>,
    plane: Arc<dyn DataPlane>,
    service: Arc<ServiceManager>,
    level: Option<LogLevel>,
    watch: FileWatch,
}

impl Worker {
    fn run(self, desk: &Desk) {
        while let Some((trigger, waiting)) = next(desk) {
            let started = Instant::now();
            self.service.reloading();
            // A defect in an extension's check must not end all reloading.
            let outcome = catch_unwind(AssertUnwindSafe(|| self.reload(trigger, desk))).unwrap_or_else(|_| {
                Err(ReloadError::Refused("the reload panicked: this is a defect of Ringway".into()))
            });
            self.service.ready();
            let figures = &desk.figures;
            let counter = if outcome.is_ok() { &figures.succeeded } else { &figures.failed };
            counter.fetch_add(1, Ordering::Relaxed);
            figures.last_ok.store(outcome.is_ok().into(), Ordering::Relaxed);
            figures.last_us.store(micros(started.elapsed()), Ordering::Relaxed);
            for sender in waiting {
                // A client that went away does not want to know.
                let _ = sender.send(outcome.clone());
            }
        }
    }

    fn reload(&self, trigger: Trigger, desk: &Desk) -> Outcome {
        let read_at = SystemTime::now();
        let Loaded { snapshot, problems, files } = self.source.load();
        let before = lock(&desk.current).clone();
        // What was read is watched even if it is wrong: the next save may mend it.
        let settings = snapshot.as_ref().map_or(&before.settings, |snapshot| &snapshot.settings);
        let files = if settings.watch { files } else { Vec::new() };
        self.watch.replace(files, read_at);
        for problem in &problems {
            if problem.is_error() {
                tracing::error!("{problem}");
            } else {
                tracing::warn!("{problem}");
            }
        }
        let Some(snapshot) = snapshot else {
            tracing::error!(?trigger, problems = problems.len(), "reload refused: the running configuration serves on");
            return Err(ReloadError::Invalid(problems));
        };
        let snapshot = Arc::new(snapshot);
        if let Err(refusal) = self.plane.publish(Arc::clone(&snapshot)) {
            tracing::error!(?trigger, %refusal, "reload refused: the running configuration serves on");
            return Err(ReloadError::Refused(refusal.reason));
        }
        if let Some(level) = &self.level {
            follow(level, &before, &snapshot);
        }
        *lock(&desk.current) = snapshot;
        desk.figures.published_ms.store(epoch_ms(), Ordering::Relaxed);
        let revision = self.plane.state().revision;
        tracing::info!(?trigger, revision, warnings = problems.len(), "reloaded");
        Ok(Published { revision, warnings: problems })
    }
}

/// A level that was changed in the settings holds from now on; one that was changed on the admin port stays until then.
fn follow(level: &LogLevel, before: &Snapshot, now: &Snapshot) {
    let wanted = &now.settings.logging.level;
    if before.settings.logging.level != *wanted
        && let Err(error) = level.change(wanted)
    {
        tracing::warn!(%error, "the log level stays as it is");
    }
}

/// Waits until a reload is wanted; `None` when no more will be.
fn next(desk: &Desk) -> Option<(Trigger, Vec<oneshot::Sender<Outcome>>)> {
    let mut wanted = lock(&desk.wanted);
    loop {
        if wanted.stopped {
            return None;
        }
        if let Some(trigger) = wanted.trigger.take() {
            return Some((trigger, std::mem::take(&mut wanted.waiting)));
        }
        wanted = desk.bell.wait(wanted).unwrap_or_else(PoisonError::into_inner);
    }
}

/// Nothing that is done under these locks can leave a value half-changed, so a panic elsewhere does not spoil them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn epoch_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
