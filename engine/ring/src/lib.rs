//! The lock-free ring between entrypoint and endpoint, and its doorbell.
//!
//! Three layers, each of which can be used alone:
//!
//! * [`ring()`]: a bounded queue of owned values for one producer and one consumer;
//! * [`link()`]: a ring with credit, so that a slow consumer slows its producer by bytes and not only by slots;
//! * [`doorbell()`]: how one thread wakes another that waits on its io_uring, only when it sleeps.
//!
//! [`Extent`] is about memory, too: what a turn is going to use, asked for before it begins.
//!
//! On one thread a ring costs plain loads and stores and needs no bell: [`Consumer::moves`] tells a task that polls
//! both halves when to stop. Between threads there is a ring for each pair of them and one bell for each that sleeps.

mod doorbell;
mod eventfd;
#[doc(hidden)]
pub mod fuzz;
mod link;
mod prefetch;
mod ring;
mod sync;

pub use doorbell::{Ringer, Sleeper, doorbell};
pub use link::{Full, Receiver, RecvBatch, Sender, Shortage, link};
pub use prefetch::Extent;
pub use ring::{Batch, Consumer, Producer, SLOTS_MAX, ring};
