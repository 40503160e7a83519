//! Sees when a file that the running snapshot was read from changes.
//!
//! The kernel's events (inotify) only say *look now*. What decides is a [`Stamp`] of every watched path: so an editor that writes
//! a new file and renames it over the old one, a link that is swapped, a folder that is removed and made again, and ten events
//! for one save all come out as one change; and opening a file, or a swap file beside it, as none.
//!
//! Directories are watched, never files: a watch on a file follows the old inode when the file is replaced. Where a directory is
//! missing, its nearest ancestor is watched until it comes (back). Where the kernel has no watch left, the stamps are compared
//! every [`POLL`].

mod stamp;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use self::stamp::{FOLDER_DEPTH_MAX, Stamp, entries, is_definition};

/// A change is reported when nothing has happened for this long: a save is often several writes.
const QUIET: Duration = Duration::from_millis(200);
/// ... but not later than this after the first event, when something keeps writing.
const QUIET_MAX: Duration = Duration::from_secs(2);
/// How often the stamps are compared while some directory cannot be watched.
const POLL: Duration = Duration::from_secs(5);
/// Messages that may wait for the thread. An event that finds no room is dropped: one that waits already says *look*.
const MESSAGES_MAX: usize = 16;

enum Message {
    /// Something happened in a watched directory.
    Event,
    /// Watch these paths instead; they were read at this time. Tells when they are watched.
    Replace(Vec<PathBuf>, SystemTime, SyncSender<()>),
    Stop,
}

/// Watches files and folders on a thread of its own until it is dropped.
#[derive(Debug)]
pub struct FileWatch {
    messages: SyncSender<Message>,
}

impl FileWatch {
    /// Calls `changed` on the watch's thread whenever one of the paths (files, or folders with all definitions below) changes.
    /// Nothing is watched before the first [`FileWatch::replace`].
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(changed: impl Fn() + Send + 'static) -> io::Result<Self> {
        let (messages, inbox) = mpsc::sync_channel(MESSAGES_MAX);
        let events = messages.clone();
        thread::Builder::new().name("ringway-watch".into()).spawn(move || Watch::new(events).run(&inbox, &changed))?;
        Ok(Self { messages })
    }

    /// Watches `paths` from now on; returns when they are watched. `since` is when they began to be read: what changed after it
    /// is reported too. Not to be called from `changed`.
    pub fn replace(&self, paths: Vec<PathBuf>, since: SystemTime) {
        let (done, watched) = mpsc::sync_channel(1);
        // The thread is gone only when it panicked; then there is nothing to wait for.
        if self.messages.send(Message::Replace(paths, since, done)).is_ok() {
            let _ = watched.recv();
        }
    }
}

impl Drop for FileWatch {
    fn drop(&mut self) {
        let _ = self.messages.send(Message::Stop);
    }
}

/// Names of the listed files and of what they link to, for the watcher's thread.
type Names = Arc<Mutex<HashSet<OsString>>>;

/// What the thread knows.
struct Watch {
    /// `None` when the kernel gives no inotify instance (`fs.inotify.max_user_instances`).
    watcher: Option<RecommendedWatcher>,
    /// What the listed files are called.
    names: Names,
    /// How each listed path looked last.
    stamps: BTreeMap<PathBuf, Stamp>,
    /// The directories that are watched, with the inode that the kernel's watch is on.
    watched: BTreeMap<PathBuf, (u64, u64)>,
    /// Some directory is not watched: look from time to time.
    blind: bool,
}

impl Watch {
    fn new(events: SyncSender<Message>) -> Self {
        let names = Names::default();
        let known = Arc::clone(&names);
        let handler = move |event: notify::Result<notify::Event>| {
            if event.map_or(true, |event| concerns(&event, &known)) {
                let _ = events.try_send(Message::Event);
            }
        };
        let watcher = notify::recommended_watcher(handler)
            .inspect_err(
                |error| tracing::warn!(%error, "files are compared every few seconds: the kernel does not watch them"),
            )
            .ok();
        Self { watcher, names, stamps: BTreeMap::new(), watched: BTreeMap::new(), blind: false }
    }

    fn run(mut self, inbox: &Receiver<Message>, changed: &impl Fn()) {
        let mut since_event: Option<Instant> = None;
        loop {
            let wait = match since_event {
                Some(first) => QUIET.min(QUIET_MAX.saturating_sub(first.elapsed())),
                None if self.blind => POLL,
                None => Duration::MAX,
            };
            match receive(inbox, wait) {
                Ok(Message::Event) => {
                    since_event.get_or_insert_with(Instant::now);
                    if since_event.is_some_and(|first| first.elapsed() < QUIET_MAX) {
                        continue;
                    }
                }
                Ok(Message::Replace(paths, since, done)) => {
                    let late = self.replace(paths, since);
                    let _ = done.send(());
                    if late {
                        changed();
                    }
                    continue;
                }
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            since_event = None;
            if self.look() {
                changed();
            }
        }
    }

    /// Takes over a new list. Answers whether something changed after it was read.
    fn replace(&mut self, paths: Vec<PathBuf>, since: SystemTime) -> bool {
        let now = SystemTime::now();
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = names(&paths);
        let before = std::mem::take(&mut self.stamps);
        let mut late = false;
        for path in distinct(paths) {
            // A path that was listed before keeps its stamp, which is older than the read: `look` compares it.
            let stamp = before.get(&path).copied().unwrap_or_else(|| {
                let stamp = Stamp::of(&path);
                // A time in the future (a clock that was set back) must not reload again and again. The kernel stamps inodes with a clock
                // that lags by up to a tick, so a change in the first milliseconds of a read goes unseen here; allowing for the lag would
                // reload whenever a gateway starts right after its files were written.
                late |= stamp.changed.is_some_and(|changed| changed > since && changed <= now);
                stamp
            });
            self.stamps.insert(path, stamp);
        }
        self.look() | late
    }

    /// Renews the watches, then the stamps. Answers whether a stamp changed.
    fn look(&mut self) -> bool {
        self.arm();
        let mut changed = false;
        for (path, stamp) in &mut self.stamps {
            let now = Stamp::of(path);
            changed |= now != *stamp;
            *stamp = now;
        }
        changed
    }

    /// Watches every directory whose events may concern a listed path, and no other.
    fn arm(&mut self) {
        let Some(watcher) = &mut self.watcher else {
            self.blind = true;
            return;
        };
        let mut wanted = BTreeSet::new();
        for path in self.stamps.keys() {
            directories(path, &mut wanted);
        }
        let inode = |path: &Path| fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino())).ok();
        self.watched.retain(|path, watched| {
            // A directory that was removed and made again is another inode: the kernel's watch went with the old one.
            let keep = wanted.contains(path) && inode(path) == Some(*watched);
            if !keep {
                let _ = watcher.unwatch(path);
            }
            keep
        });
        let was_blind = std::mem::replace(&mut self.blind, false);
        for path in wanted {
            if self.watched.contains_key(&path) {
                continue;
            }
            match (inode(&path), watcher.watch(&path, RecursiveMode::NonRecursive)) {
                (Some(inode), Ok(())) => {
                    self.watched.insert(path, inode);
                }
                (_, outcome) => {
                    self.blind = true;
                    if let (false, Err(error)) = (was_blind, outcome) {
                        let path = path.display();
                        tracing::warn!(%error, %path, "the kernel does not watch this directory: it is compared every few seconds");
                    }
                }
            }
        }
    }
}

fn names(paths: &[PathBuf]) -> HashSet<OsString> {
    let targets = paths.iter().filter_map(|path| fs::canonicalize(path).ok());
    paths.iter().cloned().chain(targets).filter_map(|path| path.file_name().map(OsString::from)).collect()
}

/// Whether an event may come of a change. Reading a file is an event too, and a log that grows beside `ringway.yaml` is thousands: what
/// is written into a file counts only when the file is called like a listed one or like a definition.
fn concerns(event: &notify::Event, known: &Names) -> bool {
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Metadata(_)) => {
            let known = known.lock().unwrap_or_else(PoisonError::into_inner);
            let listed =
                |path: &PathBuf| path.file_name().is_some_and(|name| known.contains(name)) || is_definition(path);
            event.paths.is_empty() || event.paths.iter().any(listed)
        }
        EventKind::Access(_) => false,
        _ => true,
    }
}

/// The paths without those that a listed folder stands for already: with a folder of many definitions, each would be looked at twice.
fn distinct(paths: Vec<PathBuf>) -> Vec<PathBuf> {
    let folders: BTreeSet<PathBuf> = paths.iter().filter(|path| path.is_dir()).cloned().collect();
    let within = |path: &Path| path.ancestors().skip(1).any(|above| folders.contains(above));
    paths.into_iter().filter(|path| !(within(path) && (folders.contains(path) || is_definition(path)))).collect()
}

/// The directories to watch for `path`.
fn directories(path: &Path, wanted: &mut BTreeSet<PathBuf>) {
    let parent = |path: &Path| match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    let above = parent(path);
    if above.is_dir() {
        wanted.insert(above);
    } else {
        // Until it is there, the nearest ancestor tells when it comes.
        wanted.insert(
            above
                .ancestors()
                .skip(1)
                .find(|ancestor| ancestor.is_dir())
                .map_or_else(|| PathBuf::from(if path.is_absolute() { "/" } else { "." }), Path::to_path_buf),
        );
    }
    // What a link points to changes in the target's directory.
    if let Ok(target) = fs::canonicalize(path) {
        if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink()) {
            wanted.insert(parent(&target));
        }
        if target.is_dir() {
            folders(path, 0, wanted);
        }
    }
}

fn folders(folder: &Path, depth: usize, wanted: &mut BTreeSet<PathBuf>) {
    wanted.insert(folder.to_path_buf());
    if depth < FOLDER_DEPTH_MAX {
        for path in entries(folder).into_iter().filter(|path| path.is_dir()) {
            folders(&path, depth + 1, wanted);
        }
    }
}

/// `recv_timeout` that takes [`Duration::MAX`] for *no limit*.
fn receive(inbox: &Receiver<Message>, wait: Duration) -> Result<Message, RecvTimeoutError> {
    if wait == Duration::MAX {
        inbox.recv().map_err(|_| RecvTimeoutError::Disconnected)
    } else {
        inbox.recv_timeout(wait)
    }
}

#[cfg(test)]
mod tests {
    use notify::Event;
    use notify::event::{CreateKind, DataChange};

    use super::*;

    #[test]
    fn writes_count_only_in_files_that_matter() {
        let known = Names::default();
        *known.lock().unwrap() = names(&[PathBuf::from("tls/server.key"), PathBuf::from("ringway.conf")]);
        let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));
        let opened = EventKind::Access(AccessKind::Open(AccessMode::Any));
        let made = EventKind::Create(CreateKind::File);
        for (kind, path, counts) in [
            (written, "./access.log", false),
            (closed, "./access.log", false),
            (written, "./ringway.conf", true),
            (closed, "tls/server.key", true),
            (closed, "apis/new.yaml", true),
            (opened, "./ringway.conf", false),
            (made, "./access.log", true),
        ] {
            let event = Event::new(kind).add_path(path.into());
            assert_eq!(concerns(&event, &known), counts, "{kind:?} {path}");
        }
    }
}
