//! Files and folders: which are read, in which order, and how large they may be.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::definition::Format;

/// The largest file, in bytes.
pub const FILE_BYTES_MAX: u64 = 64 << 20;

/// The most files.
pub const FILES_MAX: usize = 200_000;

/// The deepest folder below one that was named: what a loop of links runs into.
const FOLDERS_DEEP_MAX: usize = 32;

/// The text of a file.
///
/// # Errors
/// It cannot be read, is too large or is not UTF-8.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("larger than {FILE_BYTES_MAX} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        io::Error::other(format!("not UTF-8: the byte at offset {at} is not part of a character"))
    })
}

/// What a path holds.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Definition files, in the order of their names.
    pub(crate) definitions: Vec<PathBuf>,
    /// Settings files.
    pub(crate) settings: Vec<PathBuf>,
    /// Folders that were looked into.
    pub(crate) folders: Vec<PathBuf>,
}

/// Finds the files of `path`: itself, or all below it that end in `.json`, `.yaml` or `.yml`, hidden ones left out.
///
/// # Errors
/// A folder cannot be read, or there is too much.
pub(crate) fn find(path: &Path, found: &mut Found) -> io::Result<()> {
    if fs::metadata(path)?.is_dir() {
        return walk(path, 0, found);
    }
    if is_settings(path) {
        found.settings.push(path.to_owned())
    } else {
        found.definitions.push(path.to_owned())
    }
    Ok(())
}

fn walk(folder: &Path, depth: usize, found: &mut Found) -> io::Result<()> {
    if depth > FOLDERS_DEEP_MAX {
        return Err(io::Error::other(format!("{}: more than {FOLDERS_DEEP_MAX} folders deep", folder.display())));
    }
    found.folders.push(folder.to_owned());
    let mut entries =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    for path in entries {
        if path.file_name().and_then(|name| name.to_str()).is_none_or(|name| name.starts_with('.')) {
            continue;
        }
        // An entry that has gone since, or a link that leads nowhere, is as good as absent.
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if metadata.is_dir() {
            walk(&path, depth + 1, found)?;
        } else if is_settings(&path) {
            found.settings.push(path);
        } else if Format::of(&path).is_some() {
            found.definitions.push(path);
        }
        if found.definitions.len() > FILES_MAX {
            return Err(io::Error::other(format!("more than {FILES_MAX} files")));
        }
    }
    Ok(())
}

/// The files of the same folder that may hold definitions, but for this one. None where the folder cannot be read.
pub(crate) fn beside(path: &Path) -> Vec<PathBuf> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let listed = fs::read_dir(if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    let names = listed.into_iter().flatten().take(FILES_MAX).filter_map(|entry| Some(entry.ok()?.file_name()));
    let paths = names.filter(|name| !name.to_string_lossy().starts_with('.')).map(|name| folder.join(name));
    let mut found: Vec<PathBuf> =
        paths.filter(|own| own != path && Format::of(own).is_some() && !is_settings(own) && own.is_file()).collect();
    found.sort();
    found
}

/// Whether a file is named as settings are. Such a file is no definition, wherever it lies.
pub(crate) fn is_settings(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| matches!(name, "ringway.yaml" | "ringway.yml"))
}
