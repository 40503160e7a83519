//! Policies and guards: one folder each, one line in a table here.
//!
//! From its [`Kind`] come an extension's validation, its schema, its reference page and its place in `ringway list`.

use ringway_contract::{Guard, Kind, Policy};

pub mod key_less;
pub mod mock;
pub mod transform_headers;

/// Who may call a plan.
pub static GUARDS: &[&Kind<dyn Guard>] = &[&key_less::KIND];

/// Steps of flows.
pub static POLICIES: &[&Kind<dyn Policy>] = &[&mock::KIND, &transform_headers::KIND];
