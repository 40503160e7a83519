//! Everything an operator may say: definitions, ringway.yaml, their checks and the snapshot.
//!
//! ```text
//!  file ─▶ json | yaml ─▶ Node ─▶ substitute ─▶ secrets ─▶ legacy ─▶ check ─▶ decode ─▶ Api ─▶ rules, pending, catalogue, plans, tags ─┐
//!                          (positions from here on)      (schema)  (serde)                                                  ▼
//!  ringway.yaml ─────────▶ Node ─▶ substitute ──────────▶ check ─▶ decode ─▶ Settings ───────────────────▶ routes ─▶ Snapshot
//! ```
//!
//! What APIs have in common ([`api::Common`]) is read before the definitions, from the same files: the steps of shared policy groups are put in
//! place in the tree of each definition.
//!
//! Every step answers with [`Problem`]s that have a file, a line and a column; nothing stops at the first.

pub mod api;
mod applications;
mod catalogue;
mod check;
mod common;
mod conditions;
mod decode;
mod definition;
mod deployment;
mod dictionaries;
mod examine;
mod excerpt;
mod files;
mod format;
#[doc(hidden)]
pub mod fuzz;
mod groups;
mod json;
mod kinds;
mod legacy;
mod load;
pub mod names;
mod node;
mod pairs;
mod path;
mod pending;
mod plans;
mod premises;
mod problem;
mod reference;
mod resources;
mod routes;
mod rules;
mod sampling;
mod schema;
mod secrets;
pub mod settings;
mod settings_file;
mod snapshot;
mod subscriptions;
mod substitute;
mod tags;
mod walk;
mod yaml;

pub use catalogue::{Catalogue, Check, Examine, Extension, Files, Messaging};
pub use check::{PROBLEMS_MAX, check, check_against};
pub use conditions::told;
pub use decode::decode;
pub use definition::Format;
pub use files::{FILE_BYTES_MAX, FILES_MAX};
pub use load::{Loaded, Loader, check_paths, load};
pub use node::{ALIASED_NODES_MAX, DEPTH_MAX, Entry, NODES_MAX, Node, Number, Source, Span, Value};
pub use pairs::level;
pub use premises::Premises;
pub use problem::{Problem, Severity};
pub use resources::ResourceUse;
pub use sampling::SamplingRule;
pub use schema::{schema_of_api, schema_of_common, schema_of_ringway};
pub use secrets::{Hidden, OpenStore, SecretStore, SecretTable};
pub use settings::Settings;
pub use snapshot::Snapshot;
pub use substitute::{Environment, NoEnvironment, ProcessEnvironment, VALUE_FILE_BYTES_MAX};
