//! Where snapshots come from.

use std::path::PathBuf;

use ringway_config::{Catalogue, Loaded, Loader};

/// Reads and checks everything that an operator says.
pub trait Source: Send + 'static {
    /// Does so anew.
    fn load(&self) -> Loaded;
}

/// `ringway.yaml` and the files that it names.
#[derive(Debug)]
pub struct FileSource {
    path: Option<PathBuf>,
    catalogue: Catalogue,
}

impl FileSource {
    /// The settings in `path`, or the built-in ones; definitions are checked by the extensions of `catalogue`.
    pub fn new(path: Option<PathBuf>, catalogue: Catalogue) -> Self {
        Self { path, catalogue }
    }
}

impl Source for FileSource {
    fn load(&self) -> Loaded {
        Loader::default().catalogue(&self.catalogue).load(self.path.as_deref())
    }
}
