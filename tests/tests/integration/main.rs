//! The gateway as a process, between real clients and real or scripted backends.
//!
//! One binary, so that it links once; a module per thing that is promised.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code outside of test functions")]

mod admin;
mod around;
mod balance;
mod balance_shards;
mod codings;
mod common;
mod demo;
mod endings;
mod endpoint;
mod examples;
mod faults;
mod filtering;
mod forwarding;
mod framing;
mod health;
mod hostile_backends;
mod hostile_clients;
mod limits;
mod messages;
mod metrics;
mod nginx;
mod parking;
#[path = "../passages/mod.rs"]
mod passages;
mod plans;
mod proxy_protocol;
mod records;
mod reload;
mod restart;
mod routing;
mod secrets;
mod smuggling;
mod streaming;
mod tls;
mod upgrade;
mod web_socket;
