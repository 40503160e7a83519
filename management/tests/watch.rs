//! What counts as a change of a watched file, and what does not.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code outside of test functions")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, SystemTime};

use ringway_management::watch::FileWatch;
use tempfile::TempDir;

/// Longest wait for a change that must come.
const DEADLINE: Duration = Duration::from_secs(20);

struct Watched {
    folder: TempDir,
    watch: FileWatch,
    changes: Receiver<()>,
}

impl Watched {
    fn new() -> Self {
        let (sender, changes) = mpsc::channel();
        let watch = FileWatch::start(move || {
            let _ = sender.send(());
        });
        Self { folder: TempDir::new().unwrap(), watch: watch.unwrap(), changes }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Watches `names` as they stand: what was written just before counts as read.
    fn watch(&self, names: &[&str]) {
        let read_at = SystemTime::now() + Duration::from_secs(60);
        self.watch.replace(names.iter().map(|name| self.path(name)).collect(), read_at);
    }

    #[track_caller]
    fn expect_change(&self) {
        self.changes.recv_timeout(DEADLINE).expect("the change was not seen");
        // A change made in two steps may show as two.
        while self.changes.try_recv().is_ok() {}
    }
}

/// The way of vim, `sed -i` and most deployment tools.
fn replace_by_rename(path: &Path, text: &str) {
    let fresh = path.with_extension("fresh");
    fs::write(&fresh, text).unwrap();
    fs::rename(fresh, path).unwrap();
}

#[test]
fn a_file_that_is_written_or_replaced_again_and_again_is_seen_each_time() {
    let watched = Watched::new();
    watched.write("a.yaml", "1");
    watched.watch(&["a.yaml"]);
    for round in 0..3 {
        watched.write("a.yaml", &format!("written {round}{}", " ".repeat(round)));
        watched.expect_change();
        replace_by_rename(&watched.path("a.yaml"), &format!("replaced {round}{}", " ".repeat(round)));
        watched.expect_change();
    }
}

#[test]
fn a_file_that_is_removed_and_made_again_is_seen() {
    let watched = Watched::new();
    watched.write("a.yaml", "1");
    watched.watch(&["a.yaml"]);
    fs::remove_file(watched.path("a.yaml")).unwrap();
    watched.expect_change();
    watched.write("a.yaml", "2");
    watched.expect_change();
}

#[test]
fn a_folder_tells_of_new_changed_and_removed_definitions_at_any_depth() {
    let watched = Watched::new();
    fs::create_dir_all(watched.path("apis/team")).unwrap();
    watched.watch(&["apis"]);
    watched.write("apis/a.yaml", "1");
    watched.expect_change();
    watched.write("apis/team/b.json", "1");
    watched.expect_change();
    fs::create_dir_all(watched.path("apis/new")).unwrap();
    watched.expect_change();
    watched.write("apis/new/c.yml", "1");
    watched.expect_change();
    fs::remove_file(watched.path("apis/a.yaml")).unwrap();
    watched.expect_change();
}

#[test]
fn a_watched_folder_may_be_removed_and_made_again() {
    let watched = Watched::new();
    fs::create_dir(watched.path("apis")).unwrap();
    watched.write("apis/a.yaml", "1");
    watched.watch(&["apis"]);
    for text in ["22", "333"] {
        fs::remove_dir_all(watched.path("apis")).unwrap();
        watched.expect_change();
        fs::create_dir(watched.path("apis")).unwrap();
        watched.expect_change();
        watched.write("apis/a.yaml", text);
        watched.expect_change();
    }
}

#[test]
fn a_path_whose_folders_do_not_exist_yet_is_seen_when_it_comes() {
    let watched = Watched::new();
    watched.watch(&["not/yet/there.yaml"]);
    fs::create_dir_all(watched.path("not/yet")).unwrap();
    watched.write("not/yet/there.yaml", "1");
    watched.expect_change();
}

#[test]
fn a_swapped_link_is_a_change() {
    // The way Kubernetes updates a mounted ConfigMap: a.yaml -> ..data/a.yaml, ..data -> ..1, and ..data is swapped.
    let watched = Watched::new();
    for version in ["..1", "..2"] {
        fs::create_dir(watched.path(version)).unwrap();
        watched.write(&format!("{version}/a.yaml"), version);
    }
    symlink("..1", watched.path("..data")).unwrap();
    symlink("..data/a.yaml", watched.path("a.yaml")).unwrap();
    watched.watch(&["a.yaml"]);
    symlink("..2", watched.path("..fresh")).unwrap();
    fs::rename(watched.path("..fresh"), watched.path("..data")).unwrap();
    watched.expect_change();
}

#[test]
fn what_changed_after_it_was_read_is_told_at_once() {
    let watched = Watched::new();
    let read_at = SystemTime::now() - Duration::from_secs(60);
    watched.write("a.yaml", "changed while the snapshot was built");
    watched.watch.replace(vec![watched.path("a.yaml")], read_at);
    watched.expect_change();
}

#[test]
fn what_was_removed_after_it_was_read_is_told_at_once() {
    let watched = Watched::new();
    let read_at = SystemTime::now() - Duration::from_secs(60);
    watched.watch.replace(vec![watched.path("removed.yaml")], read_at);
    watched.expect_change();
}

#[test]
fn reading_files_and_unrelated_files_are_no_change() {
    let watched = Watched::new();
    fs::create_dir(watched.path("apis")).unwrap();
    watched.write("apis/a.yaml", "1");
    watched.watch(&["apis"]);
    fs::read(watched.path("apis/a.yaml")).unwrap();
    watched.write("beside.yaml", "1");
    // The next change is seen after all events of the above, so what it brings is the only change that there may be.
    watched.write("apis/a.yaml", "22");
    watched.changes.recv_timeout(DEADLINE).expect("the change was not seen");
    assert!(watched.changes.try_recv().is_err(), "one change was told as several");
}
