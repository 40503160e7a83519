//! A folder of its own for each process that a test starts.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A new, empty folder, removed when dropped; kept when the test fails, so that its logs can be read.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes the folder.
    pub fn new(purpose: &str) -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ringway-{purpose}-{}-{count}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder in the temporary directory");
        Scratch { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where `name` is, or would be.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file, as an editor does: whole, by renaming. A watcher never sees half of it.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.join(name);
        let draft = self.join(&format!(".{}.draft", name.replace('/', "-")));
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("a folder");
        fs::write(&draft, text).expect("a file in the scratch folder");
        fs::rename(&draft, &path).expect("a file in the scratch folder");
        path
    }

    /// What a file says; nothing when it is missing.
    pub fn read(&self, name: &str) -> String {
        fs::read(self.join(name)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}
