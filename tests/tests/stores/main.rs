//! What the gateway shares with others: counts and responses in a Redis, users in a directory, tokens of a provider, secrets in a vault.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code outside of test functions")]

mod cache;
mod directory;
mod limits;
mod provider;
mod simulation;
mod vault;
