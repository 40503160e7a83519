//! What needs more than one crate: harness, integration, end to end, tidy.
