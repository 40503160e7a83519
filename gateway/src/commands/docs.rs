//! `ringway docs`: writes the reference pages.

use std::fs;
use std::path::Path;

use anyhow::Context;

use super::Outcome;
use crate::reference;

/// Writes every page into `folder`.
pub fn docs(folder: &Path) -> Outcome {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for page in reference::pages() {
        let path = folder.join(&page.name);
        fs::write(&path, page.text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(true)
}
