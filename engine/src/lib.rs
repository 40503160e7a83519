//! The data plane: every stage of an exchange, in order.
//!
//! [`start`] runs one shard per core; [`Engine`] is what the control plane sees of them. `exchange.rs` is the way of a request.

mod access_log;
mod annotate;
mod around;
mod assemble;
mod balance;
mod body;
mod call;
mod carriage;
pub mod chain;
mod compile;
mod connection;
mod content;
mod cors;
mod coupling;
mod dictionaries;
mod ended;
mod exchange;
mod group;
mod local;
mod max_forwards;
mod memory;
mod messages;
mod parking;
mod plan;
mod plane;
mod problem;
mod record;
mod report;
pub mod router;
mod secrets;
mod servers;
mod shared;
#[cfg(feature = "sim")]
pub mod simulated;
mod site;
pub mod telemetry;
mod template;
mod tunnel;
mod upstream;
mod welcome;
mod worker;
mod writer;

pub use plane::{Engine, StartError, StartOptions, start};
pub use servers::refusals;
