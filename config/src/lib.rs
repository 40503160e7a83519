//! Everything an operator may say: definitions, ringway.yaml, their checks and the snapshot.

pub mod api;
mod check;
mod decode;
mod excerpt;
mod format;
mod json;
pub mod names;
mod node;
mod problem;
mod schema;
pub mod settings;
mod snapshot;

pub use check::{check, check_against};
pub use decode::decode;
pub use node::{Entry, Node, Number, Source, Span, Value};
pub use problem::{Problem, Severity};
pub use schema::{schema_of_api, schema_of_ringway};
pub use settings::Settings;
pub use snapshot::Snapshot;
