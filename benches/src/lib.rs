//! Benches of the hot path (`benches/`), and the load harness that measures against nginx and HAProxy (`load/`).

pub mod cost;
pub mod mqtt;
