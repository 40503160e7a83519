//! Where snapshots come from.

use std::path::PathBuf;

use ringway_config::{Catalogue, Loaded, Loader, Premises};

use crate::logging;

/// Reads and checks everything that an operator says.
pub trait Source: Send + 'static {
    /// Does so anew.
    fn load(&self) -> Loaded;
}

/// `ringway.yaml` and the files that it names.
pub struct FileSource {
    path: Option<PathBuf>,
    catalogue: Catalogue,
    premises: Premises,
}

impl FileSource {
    /// The settings in `path`, or the built-in ones; definitions are checked by the extensions of `catalogue`, and the
    /// settings are tried out by `premises`.
    pub fn new(path: Option<PathBuf>, catalogue: Catalogue, premises: Premises) -> Self {
        Self { path, catalogue, premises }
    }
}

impl Source for FileSource {
    fn load(&self) -> Loaded {
        Loader::default().catalogue(&self.catalogue).premises(self.premises).load(self.path.as_deref())
    }
}

/// What is wrong with `logging.level`, for [`Premises`].
pub fn level(filter: &str) -> Option<String> {
    logging::check(filter).err().map(|error| error.to_string())
}
