//! The lock-free ring between entrypoint and endpoint, and its doorbell.
//!
//! Layers, each of which can be used alone:
//!
//! * [`ring()`]: a bounded queue of owned values for one producer and one consumer;
//! * [`link()`]: a ring with credit, so that a slow consumer slows its producer by bytes and not only by slots.
//!
//! On one thread a ring costs plain loads and stores, and [`Consumer::moves`] tells a task that polls both halves when to stop.

mod link;
mod ring;
mod sync;

pub use link::{Full, Receiver, RecvBatch, Sender, Shortage, link};
pub use ring::{Batch, Consumer, Producer, SLOTS_MAX, ring};
