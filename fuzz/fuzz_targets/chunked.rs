//! Chunked bodies: the result does not depend on how the bytes are cut.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ringway_wire::fuzz::chunked(data));
