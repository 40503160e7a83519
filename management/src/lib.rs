//! The control plane: what runs beside the shards and never on one.
//!
//! It checks definitions against the extensions that exist ([`kinds`]), publishes snapshots to the data plane ([`reload`]) when a
//! file changes ([`watch`]), on `SIGHUP` or when asked, serves the admin port ([`admin`]), and leads the process from start to
//! drain ([`lifecycle`]). It sees the data plane only as [`DataPlane`](ringway_contract::control::DataPlane).

pub mod admin;
pub mod kinds;
pub mod lifecycle;
pub mod logging;
pub mod process;
pub mod reload;
pub mod service;
pub mod source;
pub mod watch;
