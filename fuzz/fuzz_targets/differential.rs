//! Request heads against a second, independent reading of the same bytes.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ringway_wire::fuzz::differential(data));
