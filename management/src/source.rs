//! Where snapshots come from.

use std::fs::File;
use std::path::{Path, PathBuf};

use ringway_config::{Catalogue, Loaded, Loader, Problem, Settings};

use crate::logging;

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
        let mut loaded = Loader::default().catalogue(&self.catalogue).load(self.path.as_deref());
        if let (Some(path), Some(snapshot)) = (&self.path, &loaded.snapshot) {
            let found = check_surroundings(path, &snapshot.settings);
            if !found.is_empty() {
                loaded.files.extend(certificates(&snapshot.settings));
                loaded.snapshot = None;
                loaded.problems.extend(found);
            }
        }
        loaded
    }
}

/// The files of the servers' certificates.
pub fn certificates(settings: &Settings) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for tls in settings.servers.iter().filter_map(|server| server.tls.as_ref()) {
        files.extend(tls.client_ca.clone());
        for certificate in &tls.certificates {
            let paths = [&certificate.cert, &certificate.key, &certificate.pkcs12];
            files.extend(paths.into_iter().flatten().cloned());
        }
    }
    files
}

/// What only shows where a gateway would run: a log filter that is none, files that are not there. `file` is what the settings were read
/// from.
pub fn check_surroundings(file: &Path, settings: &Settings) -> Vec<Problem> {
    let problem = |message: String| Problem::of_file(file.display().to_string(), message);
    let mut problems = Vec::new();
    if let Err(error) = logging::check(&settings.logging.level) {
        problems.push(problem(format!("logging.level: {error}")));
    }
    for path in certificates(settings) {
        if let Err(error) = File::open(&path) {
            problems.push(problem(format!("servers: {} cannot be read: {error}", path.display())));
        }
    }
    problems
}
