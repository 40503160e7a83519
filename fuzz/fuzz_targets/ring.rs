//! The ring and the link against the simplest thing that behaves the same.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ringway_ring::fuzz::drive(data));
