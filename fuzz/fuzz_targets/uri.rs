//! Request targets: normalising twice is normalising once, and never leaves the root.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ringway_wire::fuzz::uri(data));
