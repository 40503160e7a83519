//! Endpoint groups: which endpoint takes an exchange, and over which lane.

pub mod balance;
pub mod breaker;
pub mod group;
pub mod health;
pub mod member;
pub mod target;

pub use breaker::Breaker;
pub use group::Group;
pub use member::{Held, Member};
