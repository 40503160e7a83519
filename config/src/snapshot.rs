//! Everything that was said, checked: what the control plane publishes and every shard builds from.

use std::sync::Arc;

use crate::api::{Api, Dictionary};
use crate::secrets::Hidden;
use crate::settings::Settings;

/// A checked configuration. It never changes; a reload makes another.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The gateway's own settings.
    pub settings: Settings,
    /// The APIs in the order of their files, those that are idle included.
    pub apis: Vec<Arc<Api>>,
    /// Tables of texts for expressions; no two have the same name.
    pub dictionaries: Vec<Arc<Dictionary>>,
    /// The secrets that settings and definitions name: never shown.
    pub hidden: Hidden,
    /// Counts the snapshots of this process, from 1.
    pub revision: u64,
}
