//! Entrypoints and endpoints: one folder per protocol.
