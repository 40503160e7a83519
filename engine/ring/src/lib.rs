//! The lock-free ring between entrypoint and endpoint, and its doorbell.
