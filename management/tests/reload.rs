//! One reload at a time, the newest wins, a bad one changes nothing.
#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

mod support;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Instant;

use ringway_config::Problem;
use ringway_management::reload::{ReloadError, Trigger};
use support::{DEADLINE, FakePlane, FakeSource, reloader};

fn block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[track_caller]
fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < DEADLINE, "{what} did not happen");
        thread::yield_now();
    }
}

#[test]
fn requests_that_come_while_one_runs_share_the_next() {
    let (source, plane) = (FakeSource::default(), Arc::new(FakePlane::default()));
    let reloader = reloader(&source, &plane);
    plane.gate.close();
    reloader.ask(Trigger::Signal);
    wait_for("the first load", || source.loads.load(Ordering::SeqCst) == 1);
    let askers: Vec<_> = (0..20)
        .map(|_| {
            let reloader = reloader.clone();
            thread::spawn(move || block(reloader.reload(Trigger::Admin)).unwrap().revision)
        })
        .collect();
    wait_for("all askers wait", || reloader.waiting() == 20);
    plane.gate.open();
    for asker in askers {
        assert_eq!(asker.join().unwrap(), 2, "answered by a reload that began before it was asked for");
    }
    assert_eq!(source.loads.load(Ordering::SeqCst), 2);
    reloader.stop();
}

#[test]
fn a_bad_snapshot_is_not_published_and_the_next_good_one_is() {
    let (source, plane) = (FakeSource::default(), Arc::new(FakePlane::default()));
    let reloader = reloader(&source, &plane);
    let running = reloader.current();
    source.problems.lock().unwrap().push(Problem::of_file("a.yaml", "wrong"));
    let refused = block(reloader.reload(Trigger::Admin)).unwrap_err();
    assert!(matches!(refused, ReloadError::Invalid(problems) if problems.len() == 1));
    assert_eq!(plane.revision.load(Ordering::SeqCst), 0);
    assert!(Arc::ptr_eq(&running, &reloader.current()));
    source.problems.lock().unwrap().clear();
    assert_eq!(block(reloader.reload(Trigger::Admin)).unwrap().revision, 1);
    assert!(!Arc::ptr_eq(&running, &reloader.current()));
    reloader.stop();
}

#[test]
fn after_the_stop_nothing_is_reloaded() {
    let (source, plane) = (FakeSource::default(), Arc::new(FakePlane::default()));
    let reloader = reloader(&source, &plane);
    reloader.stop();
    assert!(matches!(block(reloader.reload(Trigger::Admin)), Err(ReloadError::Stopped)));
    assert_eq!(source.loads.load(Ordering::SeqCst), 0);
}

#[test]
fn a_changed_file_reloads_even_after_a_bad_reload() {
    let folder = tempfile::TempDir::new().unwrap();
    let file: PathBuf = folder.path().join("ringway.yaml");
    fs::write(&file, "1").unwrap();
    let source = FakeSource { files: vec![file.clone()], ..FakeSource::default() };
    let plane = Arc::new(FakePlane::default());
    let reloader = reloader(&source, &plane);
    source.problems.lock().unwrap().push(Problem::of_file("a.yaml", "wrong"));
    fs::write(&file, "22").unwrap();
    wait_for("the bad reload", || reloader.figures().failed.load(Ordering::SeqCst) >= 1);
    let published = || reloader.figures().succeeded.load(Ordering::SeqCst);
    let before = published();
    source.problems.lock().unwrap().clear();
    fs::write(&file, "333").unwrap();
    wait_for("the good reload", || published() > before);
    reloader.stop();
}
