//! Protocol Buffers: `.proto` files (proto2 and proto3), values as bytes and as JSON (ProtoJSON).
//!
//! ```text
//!   .proto ─▶ lexer ─▶ parse ─▶ link ─▶ Schema ─┬─▶ decode: bytes ─▶ JSON
//!   its imports ──────────┘                     └─▶ encode: JSON ─▶ bytes
//! ```
//!
//! A file is compiled when a definition is loaded, or when a registry gave it. No tree of values is built from bytes: what is found of a message
//! are places in them, so a value of many small parts costs a bounded multiple of its bytes.

mod decode;
mod encode;
mod known;
mod lexer;
mod link;
mod parse;
mod schema;
mod wire;

#[cfg(test)]
mod tests;

pub use decode::{Printing, decode};
pub use encode::encode;
pub use link::compile;
pub use schema::Schema;

/// Messages in one another, in values.
const LEVELS_MAX: usize = 64;
/// Values of a message: some take two bytes.
const VALUES_MAX: usize = 1_000_000;
/// Bytes that may come of a value.
const OUT_BYTES_MAX: usize = 16 * 1024 * 1024;
