//! The only crate that names the runtime: shards, sockets, TLS, timers, buffers.
