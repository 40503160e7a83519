//! The harness: real processes, real sockets, scripted peers, bounded time.
//!
//! * [`Gateway`] runs the binary under test; [`Nginx`], [`Kafka`], [`Mosquitto`], [`RabbitMq`], [`RedisServer`] and [`Slapd`] are
//!   real peers.
//! * [`Client`] and [`Backend`] speak the bytes that a test writes down, as a conversation of `>` and `<` lines ([`Peer::talk`]).
//! * [`Stage`] plays the cases of a [`script`]: both ends as one text, compared to the byte.
//! * [`tool`] runs curl, h2load, wrk, openssl and Python with a limit on their time.
//!
//! It is made of threads and blocking sockets, so that it shares no mechanism with what it tests. Nothing sleeps to let
//! something happen: [`wait_for`] asks for a condition until it holds or the deadline passes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a harness fails a test by panicking")]

mod api;
mod authority;
mod backend;
mod calm;
mod client;
mod deadline;
mod gateway;
mod head;
mod kafka;
mod mosquitto;
mod nginx;
mod observer;
mod oidc;
mod openbao;
mod peer;
mod port;
mod process;
mod rabbitmq;
mod redis;
mod scratch;
pub mod script;
mod slapd;
mod stage;
pub mod tool;

pub use api::Api;
pub use authority::Authority;
pub use backend::Backend;
pub use calm::Calm;
pub use client::Client;
pub use deadline::{DEADLINE, wait_for, wait_for_return, wait_until};
pub use gateway::{Gateway, binary};
pub use head::Head;
pub use kafka::{Kafka, Record};
pub use mosquitto::Mosquitto;
pub use nginx::Nginx;
pub use observer::Observer;
pub use oidc::OidcProvider;
pub use openbao::OpenBao;
pub use peer::Peer;
pub use port::Port;
pub use process::Process;
pub use rabbitmq::{MESSAGE_BYTES_MAX, RabbitMq};
pub use redis::RedisServer;
pub use scratch::Scratch;
pub use slapd::Slapd;
pub use stage::Stage;
