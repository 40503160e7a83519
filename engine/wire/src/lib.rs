//! Bytes and their meaning: HTTP/1.1 heads, chunks, URIs, the PROXY protocol and WebSocket frames, without I/O.
//!
//! Nothing here reads a socket, a clock or a thread. Bytes come in as [`bytes::BytesMut`] and heads come out as spans into
//! those very bytes; every container is handed back to its owner with `clear()`, so a warm connection allocates nothing.
//!
//! ```text
//!  client ──▶ RequestHead::parse ──▶ path(), fields, framing ──▶ RequestHead::encode ──▶ backend
//!  client ◀── ResponseHead::encode ◀── fields, framing ◀── ResponseHead::parse ◀── backend
//!             chunk::Decoder / chunk::head ... on the bodies of either side
//!             websocket::Decoder / websocket::encode ... on what follows a 101
//! ```
//!
//! The parsers are stricter than the grammar's letter wherever two servers were found to read the same bytes differently:
//! what is refused, and why, is in [`Rejection`].

pub mod chunk;
pub mod date;
pub mod encode;
mod fields;
mod framing;
#[doc(hidden)]
pub mod fuzz;
mod head;
mod host;
mod known;
pub mod proxy_protocol;
mod reject;
mod request;
mod response;
mod syntax;
pub mod uri;
pub mod websocket;

pub use encode::{Connection, TargetParts};
pub use fields::{FieldError, Fields};
pub use head::{Framing, Limits, Parsed, Version};
pub use host::Authority;
pub use known::Known;
pub use reject::Rejection;
pub use request::{RequestHead, TargetForm};
pub use response::ResponseHead;
pub use uri::UriOptions;
