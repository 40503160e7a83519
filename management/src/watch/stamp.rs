//! How a file or folder looked when it was last seen.

use std::fs::{self, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How deep below a listed folder anything is looked at. Deeper files are not loaded either.
pub(super) const FOLDER_DEPTH_MAX: usize = 32;

/// Identity, size and times of everything that a path stands for, folded into a hash. Symbolic links are followed, so that
/// swapping a link (how Kubernetes updates a mounted ConfigMap) shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    hash: u64,
    /// The latest change of any inode seen (`st_ctime`: it cannot be set by `touch` or `cp -p`, and a rename moves it). For a link
    /// and for a path that does not exist, the directory's: a swap or a removal leaves its trace there.
    pub(super) changed: Option<SystemTime>,
}

impl Stamp {
    /// Looks at `path`: one `stat` for a file, one for each definition file below a folder.
    pub(super) fn of(path: &Path) -> Self {
        let mut look = Look { hasher: DefaultHasher::new(), changed: None };
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => look.folder(path, &metadata, 0),
            Ok(metadata) => look.file(path, &metadata),
            Err(error) => format!("{:?}", error.kind()).hash(&mut look.hasher),
        }
        if fs::symlink_metadata(path).map_or(true, |metadata| metadata.is_symlink())
            && let Some(above) = path.ancestors().skip(1).find_map(|ancestor| fs::metadata(ancestor).ok())
        {
            look.note(&above);
        }
        Self { hash: look.hasher.finish(), changed: look.changed }
    }
}

struct Look {
    hasher: DefaultHasher,
    changed: Option<SystemTime>,
}

impl Look {
    fn file(&mut self, path: &Path, metadata: &Metadata) {
        path.hash(&mut self.hasher);
        (metadata.dev(), metadata.ino(), metadata.len()).hash(&mut self.hasher);
        (metadata.mtime(), metadata.mtime_nsec()).hash(&mut self.hasher);
        self.note(metadata);
    }

    fn folder(&mut self, folder: &Path, metadata: &Metadata, depth: usize) {
        folder.hash(&mut self.hasher);
        self.note(metadata);
        if depth >= FOLDER_DEPTH_MAX {
            return;
        }
        for path in entries(folder) {
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => self.folder(&path, &metadata, depth + 1),
                Ok(metadata) if is_definition(&path) => self.file(&path, &metadata),
                _ => {}
            }
        }
    }

    fn note(&mut self, metadata: &Metadata) {
        let seconds = u64::try_from(metadata.ctime()).unwrap_or(0);
        let nanos = u32::try_from(metadata.ctime_nsec()).unwrap_or(0);
        let changed = UNIX_EPOCH + Duration::new(seconds, nanos);
        self.changed = self.changed.max(Some(changed));
    }
}

/// What lies in a folder, in a stable order, without hidden entries (an editor's swap files, the `..data` of a ConfigMap: its
/// target is seen through the links that point to it).
pub(super) fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."))
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths
}

pub(super) fn is_definition(path: &Path) -> bool {
    path.extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| known.eq_ignore_ascii_case(extension)))
}
