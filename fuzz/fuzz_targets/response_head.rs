//! Response heads: whatever is accepted is written out strictly valid and means the same.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ringway_wire::fuzz::response_head(data));
