//! Benches of the hot path, and the load harness that measures against peers.
